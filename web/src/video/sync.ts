// Boxes on the right picture. Pictures and tracks come on their own ways: a picture at once, its tracks
// after inference. So pictures wait a little (Playout), just long enough that the tracks of an analysed one
// are there, and tracks are looked up by the picture's own time (TrackRing); on the pictures behind the last
// analysed one, boxes go on as they went. Pure: no clocks, no DOM.

import type { Track, Tracks } from '../state/protocol';

/** Tracks kept, in media time: what tails need and the longest wait. */
const RING_MS = 4000;
const RING_MAX = 200;
/** Tracks older than this are not drawn on a picture: they would be somewhere else by now. */
export const TRACKS_STALE_MS = 1200;
/** Media time that jumps by more than this is a new start (a file that loops, a camera that came back). */
export const JUMP_MS = 5000;

export interface Tail {
  id: number;
  class: string;
  /** Reference points (bottom centre), oldest first, relative to the picture. */
  points: [number, number][];
}

export class TrackRing {
  private ring: Tracks[] = [];

  push(message: Tracks): void {
    const last = this.ring.at(-1);
    if (last !== undefined) {
      if (message.ptsMs < last.ptsMs || message.ptsMs - last.ptsMs > JUMP_MS) this.ring = [];
      else if (message.ptsMs === last.ptsMs) this.ring.pop();
    }
    this.ring.push(message);
    const oldest = message.ptsMs - RING_MS;
    while (this.ring.length > RING_MAX || (this.ring[0]?.ptsMs ?? oldest) < oldest) this.ring.shift();
  }

  clear(): void {
    this.ring = [];
  }

  get newestMs(): number | null {
    return this.ring.at(-1)?.ptsMs ?? null;
  }

  /** Index of the newest message that is not after `ptsMs`; -1: none. */
  private before(ptsMs: number): number {
    for (let index = this.ring.length - 1; index >= 0; index -= 1)
      if ((this.ring[index]?.ptsMs ?? Infinity) <= ptsMs) return index;
    return -1;
  }

  /** The tracks on the picture of `ptsMs`: those of the nearest analysed picture not after it, moved on
   * towards the next one where that is known (an object seen in both was in between in between), or on as they went
   * between the last two where it is not: at most as far again, and as they were when that is over. */
  at(ptsMs: number): Track[] {
    // Times are rounded differently on the two ways.
    const index = this.before(ptsMs + 0.5);
    const found = this.ring[index];
    if (found === undefined || ptsMs - found.ptsMs > TRACKS_STALE_MS) return [];
    const next = this.ring[index + 1];
    if (next === undefined) return this.goneOn(index, ptsMs);
    const share = (ptsMs - found.ptsMs) / (next.ptsMs - found.ptsMs);
    if (share <= 0 || next.ptsMs - found.ptsMs > TRACKS_STALE_MS) return found.tracks;
    const later = new Map(next.tracks.map((track) => [track.id, track]));
    return found.tracks.map((track) => {
      const to = later.get(track.id);
      return to === undefined ? track : { ...track, box: between(track.box, to.box, share) };
    });
  }

  /** The newest tracks as they are at `ptsMs`, if objects go on as they went. */
  private goneOn(index: number, ptsMs: number): Track[] {
    const found = this.ring[index]!;
    const earlier = this.ring[index - 1];
    const stepMs = found.ptsMs - (earlier?.ptsMs ?? found.ptsMs);
    if (earlier === undefined || stepMs <= 0 || stepMs > TRACKS_STALE_MS || ptsMs <= found.ptsMs) return found.tracks;
    const share = Math.min(1, (ptsMs - found.ptsMs) / stepMs);
    const before = new Map(earlier.tracks.map((track) => [track.id, track]));
    return found.tracks.map((track) => {
      const from = before.get(track.id);
      return from === undefined || !track.seen ? track : { ...track, box: between(from.box, track.box, 1 + share) };
    });
  }

  /** Where the objects of `tracks` came from in the last `lengthMs` before `ptsMs`. */
  tails(tracks: readonly Track[], ptsMs: number, lengthMs: number): Tail[] {
    const tails = new Map<number, Tail>(
      tracks.map((track) => [track.id, { id: track.id, class: track.class, points: [] }]),
    );
    for (const message of this.ring) {
      if (message.ptsMs > ptsMs || message.ptsMs < ptsMs - lengthMs) continue;
      for (const track of message.tracks) tails.get(track.id)?.points.push(foot(track));
    }
    for (const track of tracks) tails.get(track.id)?.points.push(foot(track));
    return [...tails.values()].filter((tail) => tail.points.length > 1);
  }
}

const foot = (track: Track): [number, number] => [(track.box[0] + track.box[2]) / 2, track.box[3]];

function between(a: Track['box'], b: Track['box'], share: number): Track['box'] {
  const mix = (from: number, to: number): number => from + (to - from) * share;
  return [mix(a[0], b[0]), mix(a[1], b[1]), mix(a[2], b[2]), mix(a[3], b[3])];
}

/** The longest that a picture waits for its tracks: beyond it live is worth more than in step. */
export const WAIT_MAX_MS = 150;
const ARRIVALS_MAX = 256;

/** How long pictures wait. Learns from each track message how late it came after its picture. */
export class Playout {
  private arrivals: { ptsMs: number; atMs: number }[] = [];
  private lagMs = 0;
  private lastDueMs = 0;

  /** A picture came at `atMs` (any steady clock); returns when to show it on the same clock. */
  picture(ptsMs: number, atMs: number): number {
    this.arrivals.push({ ptsMs, atMs });
    if (this.arrivals.length > ARRIVALS_MAX) this.arrivals.shift();
    // Never before the one that came first: a shorter wait must not turn time back.
    this.lastDueMs = Math.max(this.lastDueMs, atMs + this.waitMs);
    return this.lastDueMs;
  }

  tracks(ptsMs: number, atMs: number): void {
    const picture = this.arrivals.find((one) => Math.abs(one.ptsMs - ptsMs) <= 1);
    if (picture === undefined) return;
    const lag = Math.max(0, atMs - picture.atMs);
    // Up quickly, down slowly: a late box is seen, a wait of 20 ms more is not.
    this.lagMs += (lag - this.lagMs) * (lag > this.lagMs ? 0.5 : 0.03);
  }

  get waitMs(): number {
    return Math.min(WAIT_MAX_MS, this.lagMs);
  }

  reset(): void {
    this.arrivals = [];
    this.lastDueMs = 0;
  }
}
