import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketName, duration, dwell, percent, size } from '../../web/src/data/format';
import { directionName, jpegReason, keepsUp, problemWords, stateAdvice, stateSentence } from '../../web/src/data/words';
import { readCameras, readEvent } from '../../web/src/state/protocol';

test('durations: two units at most', () => {
  assert.deepEqual(
    [0, 8_400, 59_400, 60_000, 200_000, 3_600_000, 7_500_000, 172_800_000, 273_600_000].map(duration),
    ['0 s', '8 s', '59 s', '1 min', '3 min 20 s', '1 h', '2 h 5 min', '2 d', '3 d 4 h'],
  );
  assert.equal(duration(-5), '0 s');
  assert.equal(dwell(3_340), '3.3 s');
  assert.equal(dwell(65_000), '1 min 5 s');
});

test('percentages: a small loss is not rounded away', () => {
  assert.equal(percent(1).replace(/\s/g, ''), '100%');
  assert.equal(percent(0.9999).replace(/\s/g, ''), '99%');
  assert.equal(percent(0.0001).replace(/\s/g, ''), '1%');
  assert.equal(percent(0).replace(/\s/g, ''), '0%');
});

test('names of buckets: a day is a UTC day wherever the reader is', () => {
  assert.match(bucketName(Date.UTC(2031, 4, 6) / 1000, 86_400), /6.*UTC/);
  assert.equal(size(0, 0), '');
  assert.equal(size(1280, 720), '1280×720');
});

const camera = (more: object) => readCameras({ cameras: [{ name: 'gate', state: 'streaming', ...more }] })[0]!;

test('a rate: the server is slow only when the camera gives enough', () => {
  assert.equal(keepsUp(camera({ fps: { decoded: 25, analysed: 10, wanted: 10 } })), true);
  assert.equal(keepsUp(camera({ fps: { decoded: 25, analysed: 5, wanted: 10 } })), false);
  assert.equal(keepsUp(camera({ fps: { decoded: 5, analysed: 5, wanted: 10 } })), true);
  assert.equal(keepsUp(camera({ fps: { decoded: 25, analysed: 12, wanted: 0 } })), false);
  assert.equal(keepsUp(camera({ analysis: 'resting: nothing moves', fps: { decoded: 25, analysed: 0.3, wanted: 10 } })), true);
  assert.equal(keepsUp(camera({ analysis: 'as wanted', fps: { decoded: 16, analysed: 4, wanted: 5 } })), true);
  assert.equal(keepsUp(camera({ analysis: 'slowed down: the detector cannot keep up', fps: { decoded: 25, analysed: 9, wanted: 10 } })), false);
  assert.equal(keepsUp(camera({ state: 'stalled', fps: { decoded: 0, analysed: 0, wanted: 10 } })), true);
});

test('words: every state has a sentence, every trouble an advice', () => {
  for (const state of ['idle', 'connecting', 'streaming', 'stalled', 'backoff', 'ended'] as const)
    assert.ok(stateSentence(camera({ state })).length > 10);
  for (const state of ['idle', 'stalled', 'backoff', 'ended'] as const) assert.ok(stateAdvice(camera({ state })).length > 10);
  assert.equal(stateAdvice(camera({ state: 'streaming' })), '');
  const refused = { state: 'backoff', reason: 'the camera refuses the user name or the password; next try in 8 s' };
  assert.match(stateAdvice(camera(refused)), /user and password in the configuration file/);
  assert.match(stateAdvice(camera({ ...refused, managed: true })), /user and password under “Lines, zones, settings”/);
  assert.doesNotMatch(stateAdvice(camera({ state: 'backoff', reason: 'connection refused', managed: true })), /password|configuration/);
  const missing = { state: 'backoff', source: '/videos/door.mp4', reason: 'No such file or directory; next try in 8 s' };
  assert.match(stateAdvice(camera(missing)), /file is at this path/);
  assert.match(stateAdvice(camera({ ...missing, source: 'upload:0123456789abcdef', managed: true })), /Upload the video again/);
  for (const state of ['backoff', 'stalled']) assert.doesNotMatch(stateAdvice(camera({ ...missing, state })), /power|network/);
  assert.match(stateAdvice(camera({ ...missing, source: 'rtsp://gate/live' })), /power and network/);
  for (const what of ['ledger', 'disk', 'redis', 'camera', 'model', 'configuration']) assert.ok(problemWords(what).advice.length > 10);
  assert.equal(problemWords('weather').title, 'Problem: weather');
});

test('directions have the names that the user gave them', () => {
  const lines = camera({ lines: [{ name: 'door', coordinates: [], a_to_b: 'hinein', b_to_a: 'hinaus' }] }).lines;
  const event = (more: object) => readEvent({ kind: 'line_crossing', counter: 'door', ...more })!;
  assert.equal(directionName(event({ direction: 'a_to_b' }), lines), 'hinein');
  assert.equal(directionName(event({ direction: 'b_to_a' }), lines), 'hinaus');
  assert.equal(directionName(event({ kind: 'zone_exit' }), lines), 'left');
  assert.equal(directionName(event({ counter: 'gone', direction: 'a_to_b' }), lines), 'a_to_b');
});

test('a machine that is too slow is told in words', () => {
  assert.match(problemWords('load').title, /cannot keep up/);
  assert.match(problemWords('load').advice, /detect: fps/);
});

test('JPEG: why it is that', () => {
  assert.match(jpegReason(camera({ video: 'h265' }), ''), /H\.265/);
  assert.equal(jpegReason(camera({ video: 'h265' }), 'the decoder failed'), 'the decoder failed');
  assert.equal(jpegReason(camera({ video: 'h264' }), 'the decoder failed'), 'the decoder failed');
  assert.equal(jpegReason(camera({ video: 'jpeg' }), ''), '');
});
