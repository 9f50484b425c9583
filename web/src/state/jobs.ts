// What takes its time on the server: begun, watched, and its end told. See protocol.md, JOB.

import { ApiError, call } from './api';
import { bag } from './protocol';

export interface Job {
  id: number;
  state: 'running' | 'done' | 'failed';
  progress: number;
  error: string;
  result: Record<string, unknown>;
}

const LOOK_MS = 300;

function readJob(raw: unknown): Job {
  const fields = bag(raw);
  const state = fields['state'];
  return {
    id: Number(fields['id']),
    state: state === 'done' || state === 'failed' ? state : 'running',
    progress: Number(fields['progress']) || 0,
    error: typeof fields['error'] === 'string' ? fields['error'] : '',
    result: bag(fields['result']),
  };
}

export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => { clearTimeout(timer); reject(new DOMException('left', 'AbortError')); }, { once: true });
  });

export const beginJob = async (what: Record<string, unknown>, signal: AbortSignal): Promise<Job> =>
  readJob(await call('/api/v1/jobs', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(what), signal,
  }));

export const askJob = async (job: Job, signal: AbortSignal): Promise<Job> =>
  readJob(await call(`/api/v1/jobs?id=${job.id}`, { signal }));

/** The next bytes of an upload, beginning with number `at`. */
export const sendPiece = async (job: Job, at: number, piece: Blob, signal: AbortSignal): Promise<Job> =>
  readJob(await call(`/api/v1/jobs/data?id=${job.id}&at=${at}`, {
    method: 'POST', headers: { 'Content-Type': 'application/octet-stream' }, body: piece, signal,
  }));

/** Nobody waits for it any more; when the server is not reached, its own patience ends it. */
export function endJob(job: Job): void {
  void call(`/api/v1/jobs?id=${job.id}`, { method: 'DELETE' }).catch(() => undefined);
}

/** Runs a job to its end; `seen` is told of every look at it. A failed one is an ApiError in the server's words. */
export async function runJob(what: Record<string, unknown>, signal: AbortSignal, seen?: (job: Job) => void): Promise<Job> {
  return watchJob(await beginJob(what, signal), signal, seen);
}

export async function watchJob(job: Job, signal: AbortSignal, seen?: (job: Job) => void): Promise<Job> {
  for (;;) {
    seen?.(job);
    if (job.state === 'failed') throw new ApiError(422, job.error);
    if (job.state === 'done') return job;
    await pause(LOOK_MS, signal);
    job = await askJob(job, signal);
  }
}

export const jobPicture = (job: Job): string => `/api/v1/jobs/picture?id=${job.id}`;

// ---- results ----

export interface Device {
  name: string;
  hardware: string;
  location: string;
  host: string;
  service: string;
}

export interface Stream {
  name: string;
  address: string;
  codec: string;
  width: number;
  height: number;
  fps: number;
  /** What the server would take it for. */
  role: 'detect' | 'view' | '';
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const number = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0);

export const readDevices = (job: Job): Device[] =>
  list(job.result['devices']).map((raw) => {
    const device = bag(raw);
    return {
      name: text(device['name']), hardware: text(device['hardware']), location: text(device['location']),
      host: text(device['host']), service: text(device['service']),
    };
  });

export const readStreams = (job: Job): Stream[] =>
  list(job.result['streams']).map((raw) => {
    const stream = bag(raw);
    const role = text(stream['role']);
    return {
      name: text(stream['name']), address: text(stream['address']), codec: text(stream['codec']),
      width: number(stream['width']), height: number(stream['height']), fps: number(stream['fps']),
      role: role === 'detect' || role === 'view' ? role : '',
    };
  });

/** "H.264, 1280 × 720, 25 pictures a second" of what a probe found. */
export function pictureWords(job: Job): string {
  const codec = text(job.result['codec']).replace(/^h26(\d)$/, 'H.26$1').replace(/^mjpeg$/, 'MJPEG');
  const fps = number(job.result['fps']);
  const size = `${number(job.result['width'])} × ${number(job.result['height'])}`;
  return [codec, size, ...(fps > 0 ? [`${Math.round(fps * 10) / 10} pictures a second`] : [])].join(', ');
}
