// Sends a video to the server, piece by piece, so that a short cut of the network does not begin it again. See
// protocol.md, JOB, upload.

import { ApiError } from './api';
import { askJob, beginJob, endJob, pause, sendPiece, watchJob, type Job } from './jobs';

export const PIECE_BYTES = { least: 64 << 10, first: 256 << 10, most: 1 << 20 };
const RETRY_MS = 300;
/** So long without any progress, and it is given up: the server does so after a minute as well. */
const PATIENCE_MS = 50_000;

/** Small pieces on slow lines, as the server gives each one 10 s. */
export function nextPiece(bytes: number, tookMs: number): number {
  if (tookMs < 500) return Math.min(bytes * 2, PIECE_BYTES.most);
  return tookMs > 2000 ? Math.max(bytes / 2, PIECE_BYTES.least) : bytes;
}

const received = (job: Job): number => Number(job.result['received']) || 0;

/** Busy, slow or not reached: worth another try. */
const mayRetry = (failure: unknown): boolean =>
  failure instanceof ApiError && [0, 400, 408, 503].includes(failure.status);

async function sendAll(file: Blob, job: Job, signal: AbortSignal, seen: (received: number) => void): Promise<Job> {
  let at = 0;
  let piece = PIECE_BYTES.first;
  let moved = performance.now();
  while (at < file.size) {
    const began = performance.now();
    try {
      job = await sendPiece(job, at, file.slice(at, at + piece), signal);
      piece = nextPiece(piece, performance.now() - began);
    } catch (failure) {
      if (!mayRetry(failure) || performance.now() - moved > PATIENCE_MS) throw failure;
      await pause(RETRY_MS, signal);
      piece = Math.max(piece / 2, PIECE_BYTES.least);
      // The answer may be what was lost, not the piece.
      job = await askJob(job, signal).catch((lost: unknown) => { if (mayRetry(lost)) return job; throw lost; });
      if (job.state === 'failed') throw new ApiError(422, job.error);
    }
    if (received(job) > at) moved = performance.now();
    at = received(job);
    seen(at);
  }
  return job;
}

/** The job with the video's address and first picture; `seen` is told how many bytes have arrived. */
export async function uploadVideo(file: Blob, signal: AbortSignal, seen: (received: number) => void): Promise<Job> {
  const job = await beginJob({ do: 'upload', bytes: file.size }, signal);
  try {
    return await watchJob(await sendAll(file, job, signal, seen), signal);
  } catch (failure) {
    endJob(job);
    throw failure;
  }
}
