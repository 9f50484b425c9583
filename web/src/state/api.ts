// HTTP: sign-in, cameras, history. Every failure is an ApiError with words that can be shown.

import { bag, readCameras, readHistory, type Bucket, type Camera, type History } from './protocol';

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0: the server was not reached. */
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface Session {
  required: boolean;
  signedIn: boolean;
}

const SESSION = '/api/v1/session';

/** Told when the server no longer knows us: the cookie has ended. Set by the store. */
export const refused = { tell: (): void => undefined };

export async function call(path: string, init: RequestInit = {}): Promise<unknown> {
  let answer: Response;
  try {
    answer = await fetch(path, { ...init, signal: init.signal ?? AbortSignal.timeout(15_000) });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, 'The server does not answer.');
  }
  const body: unknown = await answer.json().catch(() => null);
  if (answer.ok) return body;
  if (answer.status === 401 && path !== SESSION) refused.tell();
  const message = bag(body)['message'];
  throw new ApiError(answer.status, typeof message === 'string' ? message : `The server answered ${answer.status}.`);
}

export async function getSession(): Promise<Session> {
  const raw = bag(await call(SESSION));
  return { required: raw['required'] === true, signedIn: raw['signed_in'] === true };
}

export async function signIn(token: string): Promise<void> {
  await call(SESSION, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ token }),
  });
}

export async function signOut(): Promise<void> {
  await call(SESSION, { method: 'DELETE' });
}

export async function getCameras(): Promise<Camera[]> {
  return readCameras(await call('/api/v1/cameras'));
}

export interface Version {
  version: string;
  model: string;
  backend: string;
}
export async function getVersion(): Promise<Version> {
  const raw = bag(await call('/api/v1/version'));
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  return { version: text(raw['version']), model: text(raw['model']), backend: text(raw['backend']) };
}

export interface HistoryQuery {
  camera: string;
  counter: string;
  bucket: Bucket;
  fromMs: number;
  toMs: number;
}
export async function getHistory(query: HistoryQuery, signal?: AbortSignal): Promise<History> {
  const parameters = new URLSearchParams({
    camera: query.camera,
    counter: query.counter,
    bucket: query.bucket,
    from: new Date(query.fromMs).toISOString(),
    to: new Date(query.toMs).toISOString(),
  });
  return readHistory(await call(`/api/v1/history?${parameters}`, signal ? { signal } : {}));
}
