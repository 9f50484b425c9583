// JPEG pictures: decoded by the browser off the main thread, one at a time, the newest wins.

import type { Picture } from '../state/protocol';
import type { Decoder, DecoderEvents } from './decoder';

/** So many broken pictures in a row are no accident. */
const BROKEN_MAX = 10;

export class JpegDecoder implements Decoder {
  private next: Picture | null = null;
  private busy = false;
  private closed = false;
  private broken = 0;

  constructor(private readonly events: DecoderEvents) {}

  push(picture: Picture): void {
    this.next = picture;
    if (!this.busy) void this.run();
  }

  close(): void {
    this.closed = true;
    this.next = null;
  }

  private async run(): Promise<void> {
    this.busy = true;
    while (this.next !== null && !this.closed) {
      const picture = this.next;
      this.next = null;
      try {
        // The view's own buffer belongs to this message alone.
        const blob = new Blob([picture.bytes as Uint8Array<ArrayBuffer>], { type: 'image/jpeg' });
        const image = await createImageBitmap(blob);
        this.broken = 0;
        if (this.closed) image.close();
        else this.events.image(image, picture.ptsMs);
      } catch {
        this.broken += 1;
        if (this.broken === BROKEN_MAX) this.events.failed('the pictures are damaged');
      }
    }
    this.busy = false;
  }
}
