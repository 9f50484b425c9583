import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BACKOFF_FIRST_MS, BACKOFF_LAST_MS, backoffMs } from '../../web/src/state/backoff';
import { TILES_MAX, TopicBook, TOPICS_FIXED, TOPICS_MAX } from '../../web/src/state/topics';

test('backoff: grows, is capped, is spread over half of itself', () => {
  assert.equal(backoffMs(0, 0), BACKOFF_FIRST_MS / 2);
  assert.equal(backoffMs(0, 1), BACKOFF_FIRST_MS);
  for (let attempt = 1; attempt < 40; attempt += 1) {
    assert.ok(backoffMs(attempt, 0.5) >= backoffMs(attempt - 1, 0.5));
    assert.ok(backoffMs(attempt, 1) <= BACKOFF_LAST_MS);
    assert.ok(backoffMs(attempt, 0) >= BACKOFF_FIRST_MS / 2);
  }
  assert.equal(backoffMs(1000, 1), BACKOFF_LAST_MS);
});

test('topics: asked for once however many want them, given up when nobody does', () => {
  const book = new TopicBook();
  book.want('events');
  book.want('tracks/gate');
  book.want('tracks/gate');
  assert.deepEqual(book.flush(41), [{ type: 'subscribe', topics: ['events', 'tracks/gate'], video: 'jpeg', since: 41 }]);
  assert.deepEqual(book.flush(41), []);
  book.release('tracks/gate');
  assert.deepEqual(book.flush(41), []);
  book.release('tracks/gate');
  assert.deepEqual(book.flush(41), [{ type: 'unsubscribe', topics: ['tracks/gate'] }]);
  book.release('tracks/gate');
  assert.deepEqual(book.flush(41), []);
});

test('topics: wanted and released before it was said costs no message', () => {
  const book = new TopicBook();
  book.want('video/gate', 'h264');
  book.release('video/gate');
  assert.deepEqual(book.flush(null), []);
});

test('topics: each kind of video is asked for with its own kind', () => {
  const book = new TopicBook();
  book.want('video/a', 'h264');
  book.want('video/b', 'jpeg');
  assert.deepEqual(book.flush(null), [
    { type: 'subscribe', topics: ['video/b'], video: 'jpeg' },
    { type: 'subscribe', topics: ['video/a'], video: 'h264' },
  ]);
});

test('topics: video that is left and wanted again begins again, other topics just go on', () => {
  const book = new TopicBook();
  for (const topic of ['video/a', 'tracks/a']) book.want(topic, 'h264');
  book.flush(null);
  for (const topic of ['video/a', 'tracks/a']) {
    book.release(topic);
    book.want(topic, 'h264');
  }
  assert.deepEqual(book.flush(null), [
    { type: 'unsubscribe', topics: ['video/a'] },
    { type: 'subscribe', topics: ['video/a'], video: 'h264' },
  ]);
  assert.deepEqual(book.flush(null), []);
});

test('topics: a fallback to JPEG gives the stream up and asks again', () => {
  const book = new TopicBook();
  book.want('video/a', 'h264');
  book.flush(null);
  book.release('video/a');
  book.want('video/a', 'jpeg');
  assert.deepEqual(book.flush(null), [
    { type: 'unsubscribe', topics: ['video/a'] },
    { type: 'subscribe', topics: ['video/a'], video: 'jpeg' },
  ]);
});

test('topics: a large view asks for the main stream, and the wall for the other one again', () => {
  const book = new TopicBook();
  book.want('video/a', 'h264');
  book.want('video/b', 'h264');
  book.flush(null);
  book.release('video/a');
  book.want('video/a', 'h264', 'main');
  assert.deepEqual(book.flush(null), [
    { type: 'unsubscribe', topics: ['video/a'] },
    { type: 'subscribe', topics: ['video/a'], video: 'h264', stream: 'main' },
  ]);
  book.want('video/a', 'h264');
  book.release('video/a');
  assert.deepEqual(book.flush(null), [
    { type: 'unsubscribe', topics: ['video/a'] },
    { type: 'subscribe', topics: ['video/a'], video: 'h264' },
  ]);
});

test('topics: a new connection is told everything again, events from where they were', () => {
  const book = new TopicBook();
  book.want('events');
  book.want('counts');
  book.flush(null);
  book.forget();
  assert.deepEqual(book.flush(99), [{ type: 'subscribe', topics: ['events', 'counts'], video: 'jpeg', since: 99 }]);
});

test('topics: a full page of tiles is allowed by the protocol', () => {
  assert.ok(TOPICS_FIXED + TILES_MAX * 2 <= TOPICS_MAX);
  assert.ok(TILES_MAX >= 24);
});
