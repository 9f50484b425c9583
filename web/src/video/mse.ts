// The camera's own H.264 through the browser's media player (Media Source Extensions): where WebCodecs does not
// exist, as on plain http in a local network. Each picture becomes a fragment; the player runs just behind the newest.

import type { Picture } from '../state/protocol';
import type { Decoder, DecoderEvents } from './decoder';
import { fragment, initSegment, TIMESCALE } from './fmp4';

const MIME = (codec: string): string => `video/mp4; codecs="${codec}"`;
const ANY_H264 = 'avc1.42E01E';
/** A picture is said to last so long: the player then neither stalls between two pictures nor takes a pause of
 * the camera for the end of a group. The next picture replaces it when it comes. */
const PICTURE_S = 1;
/** How far behind the newest picture the player is kept; by its speed, and by a jump when it is far off. */
const BEHIND_S = 0.05;
const JUMP_BEHIND_S = 1;
const JUMP_AHEAD_S = 0.5;
const SPEED_LEAST = 0.8;
const SPEED_MOST = 1.5;
/** Of what was played; more is taken out of the player's memory now and then. */
const KEEP_S = 10;
const TRIM_EVERY_S = 20;
/** Fragments that wait at most; past it the stream goes on at the next key frame. */
const WAITING_MAX = 120;
/** Pictures whose times are remembered, to know which one is shown. */
const TIMES_MAX = 300;
const SILENT_PICTURES = 20;
const SILENT_MS = 5000;

/** Asked once: a browser without it has no need to be asked again. */
export const canPlayFragments = (): boolean =>
  typeof MediaSource === 'function' &&
  'requestVideoFrameCallback' in HTMLVideoElement.prototype &&
  MediaSource.isTypeSupported(MIME(ANY_H264));

export class MseDecoder implements Decoder {
  private readonly video = document.createElement('video');
  private readonly source = new MediaSource();
  private readonly address = URL.createObjectURL(this.source);
  private buffer: SourceBuffer | null = null;
  private waiting: Uint8Array<ArrayBuffer>[] = [];
  private times: number[] = [];
  private firstMs = 0;
  private lastMs = -Infinity;
  private trimmedS = 0;
  private sequence = 0;
  private size = '';
  private waitsForKey = true;
  private closed = false;
  private full = false;
  private silentTimer = 0;
  private silentPictures = 0;

  constructor(private readonly codec: string, private readonly events: DecoderEvents) {
    this.video.muted = true;
    this.video.playsInline = true;
    this.video.addEventListener('error', () => this.fail(this.video.error?.message || 'the media player failed'));
    this.source.addEventListener('sourceopen', () => this.open(), { once: true });
    this.video.src = this.address;
    this.video.requestVideoFrameCallback(this.seen);
  }

  push(picture: Picture): void {
    if (this.closed || (this.waitsForKey && !picture.key)) return;
    if (this.waiting.length >= WAITING_MAX) {
      this.waiting = [];
      this.waitsForKey = true;
      return;
    }
    if (picture.key) this.begin(picture);
    if (this.closed) return;
    if (picture.ptsMs <= this.lastMs) {
      // A clock that was set back, or pictures that are not sent in the order in which they are shown.
      this.fail('the camera’s pictures come out of order');
      return;
    }
    if (this.lastMs === -Infinity) this.firstMs = picture.ptsMs;
    this.lastMs = picture.ptsMs;
    this.times.push(picture.ptsMs);
    if (this.times.length > TIMES_MAX) this.times.shift();
    this.sequence += 1;
    const time = Math.round(((picture.ptsMs - this.firstMs) / 1000) * TIMESCALE);
    this.waiting.push(fragment(picture.bytes, this.sequence, time, PICTURE_S * TIMESCALE, picture.key));
    this.watch();
    this.append();
    this.follow();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.silentTimer);
    this.waiting = [];
    this.video.pause();
    this.video.removeAttribute('src');
    this.video.load();
    URL.revokeObjectURL(this.address);
  }

  /** A key frame: the player must know the size before the first one, and whenever it is another. */
  private begin(picture: Picture): void {
    const size = `${picture.width}x${picture.height}`;
    if (this.waitsForKey || size !== this.size) {
      const init = initSegment(picture.bytes, picture.width, picture.height);
      if (init === null) {
        this.fail('the camera’s key frames do not say how they are to be decoded');
        return;
      }
      this.size = size;
      this.waiting.push(init);
    }
    this.waitsForKey = false;
  }

  private open(): void {
    if (this.closed) return;
    try {
      this.buffer = this.source.addSourceBuffer(MIME(this.codec));
    } catch {
      this.fail(`this browser does not play ${this.codec}`);
      return;
    }
    this.buffer.addEventListener('updateend', () => this.append());
    this.buffer.addEventListener('error', () => this.fail('the media player does not take the camera’s pictures'));
    this.append();
    this.video.play().catch(() => this.fail('this browser does not start the video'));
  }

  private append(): void {
    if (this.closed || this.buffer === null || this.buffer.updating) return;
    const playedS = this.video.currentTime;
    if (playedS - this.trimmedS > TRIM_EVERY_S || this.full) {
      this.trimmedS = playedS;
      if (playedS > KEEP_S) {
        this.full = false;
        this.buffer.remove(0, playedS - KEEP_S);
        return;
      }
    }
    const next = this.waiting[0];
    if (next === undefined) return;
    try {
      this.buffer.appendBuffer(next);
      this.waiting.shift();
    } catch (error) {
      if (error instanceof DOMException && error.name === 'QuotaExceededError' && !this.full && playedS > KEEP_S) {
        this.full = true;
        this.append();
      } else {
        this.fail(error instanceof Error ? error.message : String(error));
      }
    }
  }

  /** Keeps the player near the newest picture. */
  private follow(): void {
    const newestS = (this.lastMs - this.firstMs) / 1000;
    const behindS = newestS - this.video.currentTime;
    const { buffered } = this.video;
    const beginS = buffered.length > 0 ? buffered.start(buffered.length - 1) : 0;
    if (buffered.length > 0 && (behindS > JUMP_BEHIND_S || behindS < -JUMP_AHEAD_S))
      this.video.currentTime = Math.max(beginS, newestS - BEHIND_S);
    this.video.playbackRate = Math.min(SPEED_MOST, Math.max(SPEED_LEAST, 1 + (behindS - BEHIND_S) * 2));
  }

  private readonly seen = (_nowMs: number, shown: VideoFrameCallbackMetadata): void => {
    if (this.closed) return;
    this.heard();
    const ptsMs = this.nearest(this.firstMs + shown.mediaTime * 1000);
    void createImageBitmap(this.video).then(
      (image) => (this.closed ? image.close() : this.events.image(image, ptsMs)),
      () => undefined, // between two sizes there is no picture to take
    );
    this.video.requestVideoFrameCallback(this.seen);
  };

  /** The player's clock is rounded; boxes want the picture's own time. */
  private nearest(ptsMs: number): number {
    let best = ptsMs;
    let off = 5;
    for (const time of this.times)
      if (Math.abs(time - ptsMs) < off) [best, off] = [time, Math.abs(time - ptsMs)];
    return best;
  }

  private watch(): void {
    this.silentPictures += 1;
    if (this.silentTimer !== 0) return;
    this.silentTimer = window.setTimeout(() => {
      // A page that nobody sees is given no pictures.
      const dead = this.silentPictures >= SILENT_PICTURES && !document.hidden;
      this.heard();
      if (dead) this.fail('the media player shows no picture');
    }, SILENT_MS);
  }

  private heard(): void {
    clearTimeout(this.silentTimer);
    this.silentTimer = 0;
    this.silentPictures = 0;
  }

  private fail(reason: string): void {
    if (this.closed) return;
    this.close();
    this.events.failed(reason);
  }
}
