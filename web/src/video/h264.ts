// The camera's own H.264 (Annex B) through WebCodecs, without a container and without a buffer to wait for.

import type { Picture } from '../state/protocol';
import type { Decoder, DecoderEvents } from './decoder';

/** More than this in the decoder means that it is slower than the camera: go on at the next key frame. */
const QUEUE_MAX = 40;
/** A decoder that takes this many pictures and shows none will never show one. */
const SILENT_MAX = 90;

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
  private silent = 0;
  private failed = false;

  constructor(codec: string, private readonly events: DecoderEvents) {
    this.decoder = new VideoDecoder({
      output: (frame) => {
        this.silent = 0;
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
    if (this.decoder.decodeQueueSize > QUEUE_MAX) this.waitsForKey = true;
    if (this.waitsForKey && !picture.key) return;
    this.waitsForKey = false;
    this.silent += 1;
    if (this.silent > SILENT_MAX) {
      this.fail('the decoder shows no picture');
      return;
    }
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
    if (this.decoder.state !== 'closed') this.decoder.close();
  }

  private fail(reason: string): void {
    if (this.failed) return;
    this.close();
    this.events.failed(reason);
  }
}
