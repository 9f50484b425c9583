// The one WebSocket: connects, comes back by itself, says what is wanted, hands out what arrives.
// It never gives up and never trusts silence: the server speaks every two seconds (health), so a
// connection that says nothing for SILENCE_MS is dead and is replaced.

import { backoffMs } from './backoff';
import { bag, readPicture, type Picture } from './protocol';
import { TopicBook, type WantedStream, type WantedVideo } from './topics';

const SILENCE_MS = 10_000;
/** Requests are gathered this long: the server takes 20 messages a second. */
const GATHER_MS = 60;

export interface SocketListener {
  /** Connected and greeted. `lastSeq` is the newest event that the server has, `version` its own. */
  opened(lastSeq: number, version: string): void;
  /** Lost, or could not connect; the next try is at `retryAt` (ms, Date.now clock). */
  closed(attempt: number, retryAt: number): void;
  message(topic: string, seq: number, data: unknown): void;
  /** The number for `events` at the next subscription; null: only new ones. */
  since(): number | null;
}
/** Which stream a video topic gives to who asked for the main one, and why it is not that; "" when it is. */
export interface ShownStream {
  stream: WantedStream;
  note: string;
}
export type PictureListener = (picture: Picture) => void;

export class Socket {
  private socket: WebSocket | null = null;
  private book = new TopicBook();
  private attempt = 0;
  private retryTimer = 0;
  private gatherTimer = 0;
  private silenceTimer = 0;
  private heardAt = 0;
  private greeted = false;
  private channels = new Map<number, string>();
  private pictures = new Map<string, Set<PictureListener>>();
  private codecs = new Map<string, string>();
  private streams = new Map<string, Set<(shown: ShownStream) => void>>();

  constructor(
    private readonly address: string,
    private readonly listener: SocketListener,
  ) {
    addEventListener('online', () => this.retryNow());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.retryNow();
    });
  }

  start(): void {
    if (this.socket === null && this.retryTimer === 0) this.connect();
  }

  stop(): void {
    clearTimeout(this.retryTimer);
    this.retryTimer = 0;
    clearInterval(this.silenceTimer);
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
    this.forget();
  }

  /** Does not wait for the next try; does nothing while connected or stopped. */
  retryNow(): void {
    if (this.retryTimer === 0) return;
    clearTimeout(this.retryTimer);
    this.connect();
  }

  want(topic: string, video: WantedVideo = 'jpeg', stream: WantedStream = 'sub'): void {
    this.book.want(topic, video, stream);
    this.gather();
  }

  release(topic: string): void {
    this.book.release(topic);
    this.gather();
  }

  /** Pictures of `topic` ("video/gate"); returns the way to stop. Several may listen to one. */
  onPicture(topic: string, listener: PictureListener): () => void {
    const set = this.pictures.get(topic) ?? new Set();
    set.add(listener);
    this.pictures.set(topic, set);
    return () => {
      set.delete(listener);
      if (set.size === 0) this.pictures.delete(topic);
    };
  }

  /** Told which stream `topic` gives, whenever the server says so; returns the way to stop. */
  onStream(topic: string, listener: (shown: ShownStream) => void): () => void {
    const set = this.streams.get(topic) ?? new Set();
    set.add(listener);
    this.streams.set(topic, set);
    return () => {
      set.delete(listener);
      if (set.size === 0) this.streams.delete(topic);
    };
  }

  /** The codec string that the server gave with a video topic ("avc1.64001f"); "" before. */
  codecOf(topic: string): string {
    return this.codecs.get(topic) ?? '';
  }

  private connect(): void {
    this.retryTimer = 0;
    const socket = new WebSocket(this.address);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.heardAt = Date.now();
    socket.onmessage = (event: MessageEvent<string | ArrayBuffer>) => {
      if (this.socket !== socket) return;
      this.heardAt = Date.now();
      if (typeof event.data === 'string') this.readText(event.data);
      else this.readBinary(event.data);
    };
    // A failed connection also ends in a close event; there is nothing to learn from the error.
    socket.onclose = () => this.lost(socket);
    clearInterval(this.silenceTimer);
    this.silenceTimer = window.setInterval(() => {
      if (Date.now() - this.heardAt < SILENCE_MS) return;
      socket.close();
      // The close handshake of a dead peer takes a minute: do not wait for it.
      this.lost(socket);
    }, 1000);
  }

  private lost(socket: WebSocket): void {
    if (this.socket !== socket) return;
    this.socket = null;
    clearInterval(this.silenceTimer);
    this.forget();
    const wait = backoffMs(this.attempt, Math.random());
    this.attempt += 1;
    this.retryTimer = window.setTimeout(() => this.connect(), wait);
    this.listener.closed(this.attempt, Date.now() + wait);
  }

  private forget(): void {
    this.greeted = false;
    this.book.forget();
    this.channels.clear();
    this.codecs.clear();
  }

  private readText(message: string): void {
    let raw: Record<string, unknown>;
    try {
      raw = bag(JSON.parse(message));
    } catch {
      return; // Not ours to repair: the next message is whole again.
    }
    if (raw['type'] === 'hello') {
      this.attempt = 0;
      this.greeted = true;
      this.listener.opened(Number(raw['last_seq']) || 0, String(raw['version'] ?? ''));
      this.gather();
    } else if (raw['type'] === 'subscribed') {
      this.noteChannels(raw['topics']);
    } else if (raw['type'] === 'error') {
      if (typeof raw['topic'] === 'string') this.listener.message('error', 0, raw);
    } else if (typeof raw['topic'] === 'string') {
      this.listener.message(raw['topic'], Number(raw['seq']) || 0, raw['data']);
    }
  }

  private noteChannels(topics: unknown): void {
    if (!Array.isArray(topics)) return;
    for (const item of topics.map(bag)) {
      const topic = item['topic'];
      if (typeof topic !== 'string') continue;
      if (typeof item['channel'] === 'number') this.channels.set(item['channel'], topic);
      if (typeof item['codec'] === 'string') this.codecs.set(topic, item['codec']);
      const stream = item['stream'];
      if (stream !== 'main' && stream !== 'sub') continue;
      const note = typeof item['note'] === 'string' ? item['note'] : '';
      for (const listener of this.streams.get(topic) ?? []) listener({ stream, note });
}
  }

  private readBinary(buffer: ArrayBuffer): void {
    const picture = readPicture(buffer);
    const topic = picture === null ? undefined : this.channels.get(picture.channel);
    if (picture === null || topic === undefined) return;
    for (const listener of this.pictures.get(topic) ?? []) listener(picture);
  }

  private gather(): void {
    if (this.gatherTimer !== 0) return;
    this.gatherTimer = window.setTimeout(() => {
      this.gatherTimer = 0;
      if (!this.greeted || this.socket?.readyState !== WebSocket.OPEN) return;
      for (const request of this.book.flush(this.listener.since()))
        this.socket.send(JSON.stringify(request));
    }, GATHER_MS);
  }
}
