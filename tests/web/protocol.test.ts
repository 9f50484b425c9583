import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  PICTURE_HEADER_BYTES, readCameras, readCounters, readEvent, readHealth, readHistory, readPicture, readTracks,
} from '../../web/src/state/protocol';

function packet(kind: number, version = 1, payload = [9, 8, 7]): ArrayBuffer {
  const bytes = new Uint8Array(PICTURE_HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, version);
  view.setUint8(1, kind);
  view.setUint8(2, 1);
  view.setUint32(4, 70_000, true);
  view.setUint16(8, 1280, true);
  view.setUint16(10, 720, true);
  view.setBigInt64(12, 32_600_500n, true);
  view.setBigInt64(20, 1_900_000_000_123_456n, true);
  bytes.set(payload, PICTURE_HEADER_BYTES);
  return bytes.buffer;
}

test('a picture: every field of the header, little endian', () => {
  const picture = readPicture(packet(2));
  assert.ok(picture);
  assert.equal(picture.kind, 'h264');
  assert.equal(picture.key, true);
  assert.equal(picture.channel, 70_000);
  assert.deepEqual([picture.width, picture.height], [1280, 720]);
  assert.equal(picture.ptsMs, 32_600.5);
  assert.equal(picture.wallMs, 1_900_000_000_123.456);
  assert.deepEqual([...picture.bytes], [9, 8, 7]);
  assert.equal(readPicture(packet(1))?.kind, 'jpeg');
  assert.equal(readPicture(packet(3))?.kind, 'h265');
});

test('a picture: what is cut short, empty, of another version or kind is none', () => {
  assert.equal(readPicture(new ArrayBuffer(0)), null);
  assert.equal(readPicture(packet(2).slice(0, 20)), null);
  assert.equal(readPicture(packet(2, 1, [])), null);
  assert.equal(readPicture(packet(2, 2)), null);
  assert.equal(readPicture(packet(0)), null);
  assert.equal(readPicture(packet(9)), null);
});

test('a camera: missing and wrong fields become empty values, never undefined', () => {
  const [camera] = readCameras({ cameras: [{ name: 'gate', state: 'flying', fps: 'fast', lines: [{ name: 'door', coordinates: [[0.1, 'x'], 7] }], coverage: -1 }] });
  assert.ok(camera);
  assert.equal(camera.state, 'idle');
  assert.equal(camera.fps.wanted, 0);
  assert.equal(camera.coverage, null);
  assert.deepEqual(camera.lines[0]?.points, [[0.1, 0], [0, 0]]);
  assert.equal(camera.lines[0]?.aToB, 'a_to_b');
  assert.deepEqual(camera.zones, []);
  assert.equal(camera?.main, null, 'one stream, unless the server says otherwise');
  const [two] = readCameras({ cameras: [{ name: 'gate', main: { state: 'backoff', reason: 'no route', width: 'wide', codec: 7 } }] });
  assert.deepEqual(two?.main, { state: 'backoff', reason: 'no route', codec: '', width: 0, height: 0 });
  assert.deepEqual(readCameras(null), []);
  assert.deepEqual(readCameras({ cameras: [{}, 4, null] }), [], 'a camera without a name cannot be shown');
});

test('counters: lines and zones have figures of their own', () => {
  const counters = readCounters({
    counters: [
      { camera: 'gate', counter: 'door', kind: 'line', total: { a_to_b: 3, b_to_a: 1 }, classes: { person: { a_to_b: 3 } } },
      { camera: 'gate', counter: 'hall', kind: 'zone', total: { entries: 2, exits: 1, occupancy: 1 }, classes: {} },
    ],
  });
  assert.deepEqual(counters[0], { camera: 'gate', counter: 'door', kind: 'line', total: { a_to_b: 3, b_to_a: 1 }, classes: { person: { a_to_b: 3, b_to_a: 0 } } });
  assert.deepEqual(counters[1]?.total, { entries: 2, exits: 1, occupancy: 1 });
});

test('events: an unknown kind is left out, an unknown direction is none', () => {
  assert.equal(readEvent({ kind: 'landing' }), null);
  assert.equal(readEvent('no'), null);
  const event = readEvent({ kind: 'line_crossing', seq: 5, direction: 'up', camera: 'gate', counter: 'door', class: 'car' });
  assert.equal(event?.direction, 'none');
  assert.equal(event?.seq, 5);
});

test('health, tracks and history survive anything', () => {
  assert.deepEqual(readHealth({}), { status: 'ready', problems: [], cameras: [] });
  assert.deepEqual(readTracks({ tracks: [{ id: 1, box: [0.1] }] }).tracks[0]?.box, [0.1, 0, 0, 0]);
  assert.equal(readTracks({ tracks: [{ seen: false }] }).tracks[0]?.seen, false);
  assert.deepEqual(readHistory({ bucket: 'year', buckets: 3 }).buckets, []);
  assert.equal(readHistory({ buckets: [{ start: 'x', coverage: 1.4, classes: {} }] }).buckets[0]?.coverage, 1);
});
