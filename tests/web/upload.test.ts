import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextPiece, PIECE_BYTES, uploadVideo } from '../../web/src/state/upload';

/** A server that takes an upload; `trouble` may answer in its place: a status, 'lost' (it took the piece), 'cut' (it did not). */
class FakeServer {
  got: Uint8Array[] = [];
  ended: string[] = [];
  requests = 0;
  constructor(readonly bytes: number, readonly trouble: (number: number) => number | 'lost' | 'cut' | null) {}

  get received(): number { return this.got.reduce((sum, piece) => sum + piece.length, 0); }

  job(): Response {
    const done = this.received === this.bytes;
    return Response.json({
      id: 7, do: 'upload', state: done ? 'done' : 'running', progress: this.received / this.bytes, error: null,
      result: { received: this.received, bytes: this.bytes, ...(done ? { address: 'upload:0123456789abcdef' } : {}) },
    });
  }

  fetch = async (path: string, init: RequestInit = {}): Promise<Response> => {
    if (init.signal?.aborted) throw new DOMException('left', 'AbortError');
    if (init.method === 'DELETE') this.ended.push(path);
    if (!path.includes('/data')) return this.job();
    const trouble = this.trouble(this.requests);
    this.requests += 1;
    if (trouble === 'cut') throw new TypeError('network');
    if (typeof trouble === 'number') return Response.json({ message: `no: ${trouble}` }, { status: trouble });
    assert.equal(Number(/at=(\d+)/.exec(path)?.[1]), this.received, 'the next byte that is awaited');
    this.got.push(new Uint8Array(await (init.body as Blob).arrayBuffer()));
    if (trouble === 'lost') throw new TypeError('network');
    return this.job();
  };
}

async function send(server: FakeServer, signal = new AbortController().signal, seen: (n: number) => void = () => undefined) {
  const video = new Uint8Array(server.bytes).map((_, index) => index * 31);
  globalThis.fetch = server.fetch as typeof fetch;
  return { video, job: await uploadVideo(new Blob([video]), signal, seen) };
}

test('upload: everything arrives once and in order, whatever goes wrong on the way', async () => {
  const steps: (number | 'lost' | 'cut' | null)[] = [null, 'cut', 503, 'lost', null, 408];
  const server = new FakeServer(3_000_000, (number) => steps[number] ?? null);
  const progress: number[] = [];
  const { video, job } = await send(server, undefined, (received) => progress.push(received));
  assert.deepEqual(Buffer.concat(server.got), Buffer.from(video));
  assert.equal(job.result['address'], 'upload:0123456789abcdef');
  assert.deepEqual(progress, [...progress].sort((a, b) => a - b), 'progress never goes back');
  assert.equal(progress.at(-1), 3_000_000);
  assert.deepEqual(server.ended, []);
});

test('upload: what the server refuses for good is told in its words, and its job is ended', async () => {
  const server = new FakeServer(3_000_000, (number) => (number === 1 ? 507 : null));
  await assert.rejects(send(server), /no: 507/);
  assert.equal(server.ended.length, 1);
});

test('upload: who leaves ends the job', async () => {
  const control = new AbortController();
  const server = new FakeServer(3_000_000, () => null);
  await assert.rejects(send(server, control.signal, (received) => { if (received > 500_000) control.abort(); }));
  assert.equal(server.ended.length, 1);
  assert.ok(server.received < 3_000_000);
});

test('upload: pieces fit the line', () => {
  assert.equal(nextPiece(PIECE_BYTES.first, 10), PIECE_BYTES.first * 2);
  assert.equal(nextPiece(PIECE_BYTES.most, 10), PIECE_BYTES.most);
  assert.equal(nextPiece(PIECE_BYTES.first, 1000), PIECE_BYTES.first);
  assert.equal(nextPiece(PIECE_BYTES.least, 9000), PIECE_BYTES.least);
});
