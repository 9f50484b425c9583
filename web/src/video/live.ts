// The live picture of one camera: asks for video and tracks while somebody looks, lets pictures wait
// for their tracks, and decodes them when they are due: by WebCodecs, else by the media player, else as JPEG.

import type { Camera, Picture, Track } from '../state/protocol';
import { readTracks } from '../state/protocol';
import { onTracks, socket } from '../state/store';
import type { WantedStream, WantedVideo } from '../state/topics';
import type { Decoder, Image } from './decoder';
import { canDecodeH264, H264Decoder, supportsCodec } from './h264';
import { JpegDecoder } from './jpeg';
import { canPlayFragments, MseDecoder } from './mse';
import { JUMP_MS, Playout, TrackRing, type Tail } from './sync';

const TAIL_MS = 2500;
/** Tracks without any picture for so long: the camera is well, but its next key frame is far away. */
const NO_PICTURE_MS = 2500;
/** After that it is tried again, each time after twice as long: the gap may have been a hiccup of the network. */
const RETRY_MS = 60_000;
/** High profile, level 4: what most cameras send; the stream's own parameter sets decide. */
const CODEC_UNKNOWN = 'avc1.640028';
/** Packets that wait at most; past it the oldest go to the decoder at once. */
const WAITING_MAX = 300;

export interface LiveState {
  /** What is shown; null before the first picture. */
  kind: WantedVideo | null;
  /** H.264 by the browser's media player, which is slower to show a picture than its decoder. */
  player: boolean;
  /** Why it is JPEG though the camera has H.264, or the player; "" if there is nothing to explain. */
  fallback: string;
}

export class LivePicture {
  image: Image | null = null;
  imagePtsMs = 0;
  /** performance.now() of the last picture shown; 0: none yet. */
  shownAt = 0;

  private readonly ring = new TrackRing();
  private readonly playout = new Playout();
  private decoder: Decoder | null = null;
  private decoderKind: WantedVideo | null = null;
  private decoderCodec = '';
  private waiting: { picture: Picture; dueMs: number }[] = [];
  private dueTimer = 0;
  private lastPtsMs: number | null = null;
  private asked: WantedVideo | null = null;
  /** When a picture came last, or when they were asked for. */
  private heardAt = 0;
  private h264Failed = '';
  /** Why WebCodecs is not used for H.264; "" while it is. */
  private decoderFailed = '';
  private retryTimer = 0;
  private retryMs = RETRY_MS;
  private shownKind: WantedVideo | null = null;
  private shownPlayer = false;
  private stops: (() => void)[] = [];
  private readonly video: string;
  private readonly tracksTopic: string;

  /** `changed`: something new is to be drawn. `stateChanged`: the label is another one. */
  constructor(
    private readonly camera: Camera,
    private readonly changed: () => void,
    private readonly stateChanged: (state: LiveState) => void,
    /** The main stream, where there is one: for a picture that is large. */
    private readonly stream: WantedStream = 'sub',
  ) {
    this.video = `video/${camera.name}`;
    this.tracksTopic = `tracks/${camera.name}`;
  }

  start(): void {
    if (this.asked !== null) return;
    this.stops = [
      onTracks(this.tracksTopic, (data) => this.takeTracks(data)),
      socket.onPicture(this.video, (picture) => this.takePicture(picture)),
    ];
    socket.want(this.tracksTopic);
    if (!canDecodeH264())
      this.decoderFailed = window.isSecureContext
        ? 'this browser has no video decoder'
        : 'the browser decodes video only over https or on the server’s own machine';
    if (this.camera.video === 'h264' && this.decoderFailed !== '' && !canPlayFragments())
      this.h264Failed = this.decoderFailed;
    if (this.camera.video === 'h265') this.h264Failed = 'the server sends a browser no H.265';
    const h264 = this.camera.video === 'h264' && this.h264Failed === '';
    this.ask(h264 ? 'h264' : 'jpeg');
  }

  /** Stops traffic; the last picture stays. */
  stop(): void {
    if (this.asked === null) return;
    socket.release(this.video);
    socket.release(this.tracksTopic);
    this.asked = null;
    if (this.retryTimer !== 0) this.h264Failed = '';
    clearTimeout(this.retryTimer);
    this.retryTimer = 0;
    for (const stop of this.stops.splice(0)) stop();
    this.dropDecoder();
    this.ring.clear();
    this.playout.reset();
  }

  close(): void {
    this.stop();
    this.image?.close();
    this.image = null;
  }

  /** Tracks and their tails for the picture that is shown; without any picture the newest ones. */
  overlay(): { tracks: Track[]; tails: Tail[] } {
    const ptsMs = this.image === null ? this.ring.newestMs : this.imagePtsMs;
    if (ptsMs === null) return { tracks: [], tails: [] };
    const tracks = this.ring.at(ptsMs);
    return { tracks, tails: this.ring.tails(tracks, ptsMs, TAIL_MS) };
  }

  private ask(kind: WantedVideo): void {
    if (this.asked !== null) socket.release(this.video);
    this.asked = kind;
    this.heardAt = performance.now();
    socket.want(this.video, kind, this.stream);
  }

  private takeTracks(data: unknown): void {
    const message = readTracks(data);
    this.ring.push(message);
    this.playout.tracks(message.ptsMs, performance.now());
    if (this.image === null) this.changed();
    if (this.asked === 'h264' && performance.now() - this.heardAt > NO_PICTURE_MS)
      this.bridge();
  }

  private takePicture(picture: Picture): void {
    if (picture.kind === 'h265') {
      this.fallBack('this browser does not show H.265');
      return;
    }
    if (this.lastPtsMs !== null && Math.abs(picture.ptsMs - this.lastPtsMs) > JUMP_MS) this.playout.reset();
    this.lastPtsMs = picture.ptsMs;
    this.heardAt = performance.now();
    this.waiting.push({ picture, dueMs: this.playout.picture(picture.ptsMs, performance.now()) });
    if (this.waiting.length > WAITING_MAX) this.decode(this.waiting.shift()!.picture);
    this.schedule();
  }

  private schedule(): void {
    if (this.dueTimer !== 0) return;
    const first = this.waiting[0];
    if (first === undefined) return;
    this.dueTimer = window.setTimeout(
      () => {
        this.dueTimer = 0;
        const nowMs = performance.now() + 2;
        while (this.waiting[0] !== undefined && this.waiting[0].dueMs <= nowMs)
          this.decode(this.waiting.shift()!.picture);
        this.schedule();
      },
      Math.max(0, first.dueMs - performance.now()),
    );
  }

  private decode(picture: Picture): void {
    if (picture.kind === 'h265') return;
    const other = picture.kind === 'h264' && picture.key && this.decoderCodec !== this.codec();
    if (this.decoder === null || this.decoderKind !== picture.kind || other) {
      if (picture.kind === 'h264' && !picture.key) return;
      this.openDecoder(picture.kind);
    }
    this.decoder?.push(picture);
  }

  private openDecoder(kind: WantedVideo): void {
    this.decoder?.close();
    this.decoderKind = kind;
    const events = {
      image: (image: Image, ptsMs: number) => this.show(image, ptsMs, kind),
      failed: (reason: string) => this.decoderHasFailed(reason),
    };
    if (kind === 'jpeg') {
      this.decoder = new JpegDecoder(events);
      return;
    }
    const codec = (this.decoderCodec = this.codec());
    if (this.decoderFailed !== '') {
      this.decoder = new MseDecoder(codec, events);
      return;
    }
    this.decoder = new H264Decoder(codec, events);
    void supportsCodec(codec).then((supported) => {
      if (!supported && this.decoderKind === 'h264') this.decoderHasFailed(`this browser does not decode ${codec}`);
    });
  }

  /** The browser's decoder, then its media player, then JPEG. */
  private decoderHasFailed(reason: string): void {
    if (this.decoderKind !== 'h264' || this.decoderFailed !== '' || !canPlayFragments()) {
      this.fallBack(reason);
      return;
    }
    this.decoderFailed = reason;
    this.dropDecoder();
    if (this.asked === 'h264') this.ask('h264'); // again from a key frame
  }

  /** As the server says; it says so again when the camera changes its settings. */
  private codec(): string {
    return socket.codecOf(this.video) || CODEC_UNKNOWN;
  }

  private show(image: Image, ptsMs: number, kind: WantedVideo): void {
    this.image?.close();
    this.image = image;
    this.imagePtsMs = ptsMs;
    this.shownAt = performance.now();
    const player = kind === 'h264' && this.decoderFailed !== '';
    if (this.shownKind !== kind || this.shownPlayer !== player) {
      this.shownKind = kind;
      this.shownPlayer = player;
      this.stateChanged({ kind, player, fallback: kind === 'jpeg' ? this.h264Failed : this.decoderFailed });
    }
    this.changed();
  }
  /** JPEG for a while: the stream itself may be good. */
  private bridge(): void {
    this.fallBack('the camera sends whole pictures too rarely');
    this.retryTimer = window.setTimeout(() => {
      this.retryTimer = 0;
      this.h264Failed = '';
      this.ask('h264');
    }, this.retryMs);
    this.retryMs *= 2;
  }

  /** JPEG instead, and say so. A failure of JPEG itself is only shown. */
  private fallBack(reason: string): void {
    if (this.asked === null || this.h264Failed === reason) return;
    this.h264Failed = reason;
    this.dropDecoder();
    this.stateChanged({ kind: this.shownKind, player: this.shownPlayer, fallback: reason });
    if (this.asked === 'h264') this.ask('jpeg');
  }

  private dropDecoder(): void {
    clearTimeout(this.dueTimer);
    this.dueTimer = 0;
    this.waiting = [];
    this.decoder?.close();
    this.decoder = null;
    this.decoderKind = null;
  }
}
