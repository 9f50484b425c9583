import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Track, Tracks } from '../../web/src/state/protocol';
import { Playout, TRACKS_STALE_MS, TrackRing, WAIT_MAX_MS } from '../../web/src/video/sync';

const track = (id: number, x: number): Track => ({ id, class: 'person', score: 0.9, box: [x, 0.2, x + 0.1, 0.6], seen: true });
const message = (ptsMs: number, ...tracks: Track[]): Tracks => ({ ptsMs, tracks });
const lefts = (tracks: Track[]): number[] => tracks.map((one) => Math.round(one.box[0] * 1000) / 1000);

test('tracks: those of the nearest picture that is not later', () => {
  const ring = new TrackRing();
  ring.push(message(1000, track(1, 0.1)));
  ring.push(message(1200, track(2, 0.5)));
  assert.deepEqual(ring.at(900), []);
  assert.deepEqual(ring.at(1000).map((one) => one.id), [1]);
  assert.deepEqual(ring.at(1199).map((one) => one.id), [1]);
  assert.deepEqual(ring.at(1200).map((one) => one.id), [2]);
});

test('tracks: times that were rounded on the way still meet', () => {
  const ring = new TrackRing();
  ring.push(message(1000, track(1, 0.1)));
  assert.equal(ring.at(999.6).length, 1);
  assert.equal(ring.at(999.4).length, 0);
});

test('tracks: an object in both neighbours is where it was in between; others stay', () => {
  const ring = new TrackRing();
  ring.push(message(1000, track(1, 0.1), track(7, 0.3)));
  ring.push(message(1200, track(1, 0.2)));
  assert.deepEqual(lefts(ring.at(1100)), [0.15, 0.3]);
  assert.deepEqual(lefts(ring.at(1200)), [0.2]);
});

test('tracks: behind the newest ones, an object goes on as it went, and not for ever', () => {
  const ring = new TrackRing();
  ring.push(message(1000, track(1, 0.1), track(7, 0.3)));
  ring.push(message(1200, track(1, 0.2), track(9, 0.5)));
  assert.deepEqual(lefts(ring.at(1300)), [0.25, 0.5]);
  assert.deepEqual(lefts(ring.at(1400)), [0.3, 0.5]);
  assert.deepEqual(lefts(ring.at(1900)), [0.3, 0.5]);
  ring.push(message(1400, { ...track(1, 0.9), seen: false }));
  assert.deepEqual(lefts(ring.at(1500)), [0.9]);
});

test('tracks: old ones are not drawn on a new picture', () => {
  const ring = new TrackRing();
  ring.push(message(1000, track(1, 0.1)));
  assert.equal(ring.at(1000 + TRACKS_STALE_MS).length, 1);
  assert.equal(ring.at(1001 + TRACKS_STALE_MS).length, 0);
});

test('tracks: a file that begins again brings nothing along', () => {
  const ring = new TrackRing();
  ring.push(message(60_000, track(1, 0.1)));
  ring.push(message(40, track(2, 0.1)));
  assert.equal(ring.newestMs, 40);
  assert.deepEqual(ring.at(60_000), []);
  ring.push(message(90_000, track(3, 0.1)));
  assert.deepEqual(ring.at(100), []);
});

test('tracks: memory is bounded', () => {
  const ring = new TrackRing();
  for (let at = 0; at < 100_000; at += 10) ring.push(message(at, track(1, 0.1)));
  assert.ok((ring as unknown as { ring: unknown[] }).ring.length <= 200);
});

test('tails: from the past to the object itself, for those on the picture only', () => {
  const ring = new TrackRing();
  ring.push(message(0, track(1, 0), track(2, 0)));
  ring.push(message(500, track(1, 0.1)));
  ring.push(message(1000, track(1, 0.2)));
  ring.push(message(1500, track(1, 0.3)));
  const tails = ring.tails(ring.at(1000), 1000, 600);
  assert.equal(tails.length, 1);
  assert.deepEqual(tails[0]?.points.map((point) => Math.round(point[0] * 100) / 100), [0.15, 0.25, 0.25]);
  assert.ok(tails[0]?.points.every((point) => point[1] === 0.6), 'the foot of the object');
});

test('playout: without tracks a picture is shown at once', () => {
  const playout = new Playout();
  assert.equal(playout.picture(0, 100), 100);
  assert.equal(playout.picture(40, 140), 140);
});

test('playout: pictures learn to wait for their tracks', () => {
  const playout = new Playout();
  for (let frame = 0; frame < 200; frame += 1) {
    playout.picture(frame * 40, frame * 40);
    if (frame % 5 === 0 && frame > 0) playout.tracks(frame * 40 - 120, frame * 40);
  }
  // 120 ms late.
  assert.ok(playout.waitMs > 100 && playout.waitMs <= 125, `${playout.waitMs}`);
});

test('playout: the wait is bounded and time never turns back', () => {
  const playout = new Playout();
  let last = 0;
  for (let frame = 0; frame < 400; frame += 1) {
    const due = playout.picture(frame * 40, frame * 40);
    assert.ok(due >= last && due - frame * 40 <= WAIT_MAX_MS);
    last = due;
    if (frame >= 100 && frame < 200) playout.tracks((frame - 100) * 40, frame * 40);
    else playout.tracks(frame * 40, frame * 40);
  }
});
