// The camera's own H.264 (Annex B) through WebCodecs, without a container and without a buffer to wait for.

import type { Picture } from '../state/protocol';
import type { Decoder, DecoderEvents } from './decoder';

/** More than this in the decoder for so long means that it is slower than the camera: it goes on at the next
 * key frame. For a moment it is normal: a new viewer gets all pictures since the last key frame at once. */
const QUEUE_MAX = 40;
const BEHIND_MS = 2500;
/** A decoder that was given this many pictures and shows none for so long will never show one. */
const SILENT_PICTURES = 20;
const SILENT_MS = 5000;

/** Secure contexts only (https, or this machine), and not in every browser. */
export const canDecodeH264 = (): boolean => window.isSecureContext && typeof VideoDecoder === 'function';

/** Asked once for each codec string. */
const answers = new Map<string, Promise<boolean>>();
export function supportsCodec(codec: string): Promise<boolean> {
  let answer = answers.get(codec);
  if (answer === undefined) {
    answer = VideoDecoder.isConfigSupported({ codec }).then(
      (result) => result.supported === true,
      () => false,
    );
    answers.set(codec, answer);
  }
  return answer;
}

export class H264Decoder implements Decoder {
  private readonly decoder: VideoDecoder;
  private waitsForKey = true;
  private failed = false;
  private behindSince = 0;
  /** Runs while pictures are inside and none came out. */
  private silentTimer = 0;
  private silentPictures = 0;

  constructor(codec: string, private readonly events: DecoderEvents) {
    this.decoder = new VideoDecoder({
      output: (frame) => {
        this.heard();
        if (this.failed) frame.close();
        else events.image(frame, frame.timestamp / 1000);
      },
      error: (error) => this.fail(error.message),
    });
    try {
      // Without a description the bytes are taken as Annex B, parameter sets in the stream.
      this.decoder.configure({ codec, optimizeForLatency: true });
    } catch (error) {
      // After the constructor has returned, so that the owner knows whom to replace.
      queueMicrotask(() => this.fail(error instanceof Error ? error.message : String(error)));
    }
  }

  push(picture: Picture): void {
    if (this.failed || this.decoder.state !== 'configured') return;
    if (this.isBehind()) this.waitsForKey = true;
    if (this.waitsForKey && !picture.key) return;
    this.waitsForKey = false;
    this.silentPictures += 1;
    if (this.silentTimer === 0)
      this.silentTimer = window.setTimeout(() => {
        // Few pictures: the camera itself was silent, and a decoder may hold one or two back.
        const dead = this.silentPictures >= SILENT_PICTURES;
        this.heard();
        if (dead) this.fail('the decoder shows no picture');
      }, SILENT_MS);
    try {
      this.decoder.decode(
        new EncodedVideoChunk({
          type: picture.key ? 'key' : 'delta',
          timestamp: Math.round(picture.ptsMs * 1000),
          data: picture.bytes as Uint8Array<ArrayBuffer>,
        }),
      );
    } catch (error) {
      this.fail(error instanceof Error ? error.message : String(error));
    }
  }

  close(): void {
    this.failed = true;
    this.heard();
    if (this.decoder.state !== 'closed') this.decoder.close();
  }

  private heard(): void {
    clearTimeout(this.silentTimer);
    this.silentTimer = 0;
    this.silentPictures = 0;
  }

  private isBehind(): boolean {
    const nowMs = performance.now();
    if (this.decoder.decodeQueueSize <= QUEUE_MAX) this.behindSince = 0;
    else if (this.behindSince === 0) this.behindSince = nowMs;
    if (this.behindSince === 0 || nowMs - this.behindSince < BEHIND_MS) return false;
    this.behindSince = 0;
    return true;
  }

  private fail(reason: string): void {
    if (this.failed) return;
    this.close();
    this.events.failed(reason);
  }
}
