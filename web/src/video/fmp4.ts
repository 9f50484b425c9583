// H.264 access units (Annex B) as fragmented MP4, one picture a fragment: what Media Source Extensions take
// where there is no WebCodecs. Pure: no DOM.

export const TIMESCALE = 90_000;

/** The NAL units of an access unit, without start codes; views, not copies. */
export function splitNals(unit: Uint8Array): Uint8Array[] {
  const nals: Uint8Array[] = [];
  let start = -1;
  const end = (at: number): void => {
    let last = at;
    while (last > start && unit[last - 1] === 0) last -= 1; // zeros belong to the next start code
    if (start >= 0 && last > start) nals.push(unit.subarray(start, last));
  };
  for (let at = 0; at + 2 < unit.length; at += 1) {
    if (unit[at] !== 0 || unit[at + 1] !== 0 || unit[at + 2] !== 1) continue;
    end(at);
    start = at + 3;
    at += 2;
  }
  end(unit.length);
  return nals;
}

function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
const u16 = (value: number): number[] => [(value >>> 8) & 255, value & 255];
const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value)];
const zeros = (count: number): number[] => new Array<number>(count).fill(0);

function box(name: string, ...parts: (Uint8Array | number[])[]): Uint8Array<ArrayBuffer> {
  const body = join(parts.map((part) => (part instanceof Uint8Array ? part : Uint8Array.from(part))));
  return join([Uint8Array.from([...u32(body.length + 8), ...[...name].map((letter) => letter.charCodeAt(0))]), body]);
}
const full = (version: number, flags: number): number[] => u32(((version << 24) | flags) >>> 0);
const MATRIX = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].flatMap(u32);

/** Null without parameter sets, or with ones that no avcC can hold. */
export function initSegment(unit: Uint8Array, width: number, height: number): Uint8Array<ArrayBuffer> | null {
  const nals = splitNals(unit);
  const sps = nals.find((nal) => (nal[0]! & 31) === 7);
  const pps = nals.find((nal) => (nal[0]! & 31) === 8);
  if (sps === undefined || pps === undefined || sps.length < 4 || sps.length > 65535 || pps.length > 65535) return null;
  const avcc = box('avcC', [1, sps[1]!, sps[2]!, sps[3]!, 255, 225, ...u16(sps.length)], sps, [1, ...u16(pps.length)], pps);
  const avc1 = box('avc1', [...zeros(6), ...u16(1), ...zeros(16), ...u16(width), ...u16(height),
    ...u32(0x480000), ...u32(0x480000), ...u32(0), ...u16(1), ...zeros(32), ...u16(24), 255, 255], avcc);
  const none = [...full(0, 0), ...u32(0)];
  const table = box('stbl', box('stsd', [...full(0, 0), ...u32(1)], avc1), box('stts', none), box('stsc', none),
    box('stsz', [...none, ...u32(0)]), box('stco', none));
  const media = box('minf', box('vmhd', [...full(0, 1), ...zeros(8)]),
    box('dinf', box('dref', [...full(0, 0), ...u32(1)], box('url ', full(0, 1)))), table);
  const track = box('trak',
    box('tkhd', [...full(0, 3), ...zeros(8), ...u32(1), ...zeros(8), ...zeros(16), ...MATRIX, ...u32(width * 65536), ...u32(height * 65536)]),
    box('mdia', box('mdhd', [...full(0, 0), ...zeros(8), ...u32(TIMESCALE), ...u32(0), 0x55, 0xc4, 0, 0]),
      box('hdlr', [...full(0, 0), ...u32(0), ...[...'vide'].map((letter) => letter.charCodeAt(0)), ...zeros(13)]), media));
  const movie = box('moov',
    box('mvhd', [...full(0, 0), ...zeros(8), ...u32(1000), ...u32(0), ...u32(0x10000), ...u16(0x100), ...zeros(10), ...MATRIX, ...zeros(24), ...u32(2)]),
    track, box('mvex', box('trex', [...full(0, 0), ...u32(1), ...u32(1), ...zeros(12)])));
  const brand = [...'isom'].map((letter) => letter.charCodeAt(0));
  return join([box('ftyp', brand, u32(0x200), brand), movie]);
}

/** `time` and `duration` in TIMESCALE; `time` may pass 2^32. */
export function fragment(unit: Uint8Array, sequence: number, time: number, duration: number, key: boolean): Uint8Array<ArrayBuffer> {
  const nals = splitNals(unit).filter((nal) => (nal[0]! & 31) !== 9); // delimiters say nothing here
  const data = join(nals.flatMap((nal) => [Uint8Array.from(u32(nal.length)), nal]));
  const moof = (offset: number): Uint8Array<ArrayBuffer> => box('moof', box('mfhd', [...full(0, 0), ...u32(sequence)]), box('traf',
    box('tfhd', [...full(0, 0x20000), ...u32(1)]),
    box('tfdt', [...full(1, 0), ...u32(Math.floor(time / 2 ** 32)), ...u32(time % 2 ** 32)]),
    box('trun', [...full(0, 0x701), ...u32(1), ...u32(offset), ...u32(duration), ...u32(data.length), ...u32(key ? 0x2000000 : 0x1010000)])));
  return join([moof(moof(0).length + 8), box('mdat', data)]);
}
