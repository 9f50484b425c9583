// The little of RFC 6455 that a mock server needs: unfragmented frames out, masked frames in.

import { createHash } from 'node:crypto';

export const acceptKey = (key) =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/** One whole message; opcode 1 text, 2 binary, 8 close, 10 pong. */
export function frame(payload, opcode = 1) {
  const body = Buffer.from(payload);
  const bytes = body.length;
  const head =
    bytes < 126 ? Buffer.alloc(2) : bytes < 65_536 ? Buffer.alloc(4) : Buffer.alloc(10);
  head[0] = 0x80 | opcode;
  if (bytes < 126) head[1] = bytes;
  else if (bytes < 65_536) {
    head[1] = 126;
    head.writeUInt16BE(bytes, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(bytes), 2);
  }
  return Buffer.concat([head, body]);
}

export class FrameReader {
  constructor() {
    this.rest = Buffer.alloc(0);
  }

  /** The messages that are complete with these bytes. */
  read(bytes) {
    this.rest = Buffer.concat([this.rest, bytes]);
    const messages = [];
    for (;;) {
      const message = this.take();
      if (message === null) return messages;
      messages.push(message);
    }
  }

  take() {
    if (this.rest.length < 6) return null;
    let length = this.rest[1] & 127;
    let at = 2;
    if (length === 126) {
      length = this.rest.readUInt16BE(2);
      at = 4;
    } else if (length === 127) {
      length = Number(this.rest.readBigUInt64BE(2));
      at = 10;
    }
    if (this.rest.length < at + 4 + length) return null;
    const mask = this.rest.subarray(at, at + 4);
    const payload = Buffer.from(this.rest.subarray(at + 4, at + 4 + length)).map((byte, index) => byte ^ mask[index % 4]);
    const opcode = this.rest[0] & 15;
    this.rest = this.rest.subarray(at + 4 + length);
    return { opcode, payload: Buffer.from(payload) };
  }
}
