// What turns bytes into pictures. Three exist: h264.ts (WebCodecs), mse.ts (the media player) and jpeg.ts; live.ts chooses.

import type { Picture } from '../state/protocol';

export type Image = VideoFrame | ImageBitmap;

export interface Decoder {
  /** Takes a picture's bytes; the result comes later, or never if newer ones overtake it. */
  push(picture: Picture): void;
  close(): void;
}
export interface DecoderEvents {
  /** The receiver owns the image and must close() it. */
  image(image: Image, ptsMs: number): void;
  /** It cannot go on; nothing more comes from it. */
  failed(reason: string): void;
}
