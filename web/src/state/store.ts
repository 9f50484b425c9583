// What the dashboard knows, as signals: written here from what the server sends, read by views.
// A counter has a signal of its own, so that a crossing redraws two digits and not the page.

import { batch, effect, signal, type Signal } from '@preact/signals';
import { ApiError, getCameras, getSession, getVersion, refused, type Session, type Version } from './api';
import {
  readCounters, readEvent, readHealth, type Camera, type CountEvent, type Counter, type Health,
} from './protocol';
import { Socket } from './socket';
import { unsaved } from './unsaved';

/** Events kept for the list of one camera, and fetched again when the page opens. */
export const EVENTS_KEPT = 200;
const EVENTS_REPLAYED = 500;

export type Link =
  | { phase: 'connecting' }
  | { phase: 'open' }
  | { phase: 'lost'; sinceMs: number; attempt: number; retryAt: number };

export const link = signal<Link>({ phase: 'connecting' });
/** Null until the server has said whether a token is needed. */
export const session = signal<Session | null>(null);
export const version = signal<Version | null>(null);
/** Null until the list has come. */
export const cameras = signal<Camera[] | null>(null);
export const camerasError = signal('');
export const health = signal<Health | null>(null);
/** The time, once a second, for "3 s ago". */
export const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 1000);

// ---- counters ----

const counters = new Map<string, Signal<Counter | null>>();

/** The figures of one counter; null until the server has sent them. */
export function counterOf(camera: string, counter: string): Signal<Counter | null> {
  const key = `${camera}/${counter}`;
  let found = counters.get(key);
  if (found === undefined) counters.set(key, (found = signal(null)));
  return found;
}

function applyCounters(data: unknown): void {
  batch(() => {
    for (const counter of readCounters(data)) counterOf(counter.camera, counter.counter).value = counter;
  });
}

// ---- events ----

const lists = new Map<string, Signal<CountEvent[]>>();
const waiting: CountEvent[] = [];
let waitingTimer = 0;
let lastSeq: number | null = null;
/** Events up to here are replayed ones: shown in lists, no reason to flash a line. */
let replayedTo = 0;
let greetedBy = '';
const outdated = signal(false);
effect(() => {
  if (outdated.value && !unsaved.value) location.reload();
});

/** The camera's latest events, newest first. */
export function eventsOf(camera: string): Signal<CountEvent[]> {
  let found = lists.get(camera);
  if (found === undefined) lists.set(camera, (found = signal([])));
  return found;
}

type EventListener = (event: CountEvent) => void;
const listeners = new Set<EventListener>();
/** Called for every event that happens from now on; returns the way to stop. */
export function onEvent(listener: EventListener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function applyEvent(data: unknown): void {
  const event = readEvent(data);
  // After a reconnection the server may begin a little before: each is taken once.
  if (event === null || (lastSeq !== null && event.seq <= lastSeq)) return;
  lastSeq = event.seq;
  if (event.seq > replayedTo) for (const listener of listeners) listener(event);
  waiting.push(event);
  // A busy street has a hundred a second: lists are told a few times a second, not each time.
  if (waitingTimer === 0) waitingTimer = window.setTimeout(flushEvents, 120);
}

function flushEvents(): void {
  waitingTimer = 0;
  const byCamera = new Map<string, CountEvent[]>();
  for (const event of waiting.splice(0)) {
    const list = byCamera.get(event.camera);
    if (list === undefined) byCamera.set(event.camera, [event]);
    else list.unshift(event);
  }
  batch(() => {
    for (const [camera, fresh] of byCamera) {
      const list = eventsOf(camera);
      list.value = [...fresh, ...list.value].slice(0, EVENTS_KEPT);
    }
  });
}

// ---- the connection ----

export const socket = new Socket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1/ws`, {
  opened(serverSeq, serverVersion) {
    // This page is part of the server: after an update the old one may not understand the new one. What somebody is
    // drawing is not taken out of his hand for that.
    if (greetedBy !== '' && serverVersion !== greetedBy) outdated.value = true;
    greetedBy = serverVersion;
    // A ledger that is shorter than what we saw is another one: begin again with it.
    if (lastSeq === null || serverSeq < lastSeq) {
      lastSeq = Math.max(0, serverSeq - EVENTS_REPLAYED);
      for (const list of lists.values()) list.value = [];
    }
    replayedTo = serverSeq;
    link.value = { phase: 'open' };
    void loadCameras();
    if (version.value === null) void loadVersion();
  },
  closed(attempt, retryAt) {
    const before = link.value;
    const sinceMs = before.phase === 'lost' ? before.sinceMs : Date.now();
    link.value = { phase: 'lost', sinceMs, attempt, retryAt };
    // A refused upgrade looks like any other failure: ask whether the sign-in has ended.
    void checkSession();
  },
  message(topic, _seq, data) {
    if (topic === 'events') applyEvent(data);
    else if (topic === 'counts') applyCounters(data);
    else if (topic === 'health') applyHealth(data);
    else if (topic === 'cameras') void loadCameras();
    else if (topic.startsWith('tracks/')) for (const tell of trackListeners.get(topic) ?? []) tell(data);
  },
  since: () => lastSeq,
});

type TracksListener = (data: unknown) => void;
const trackListeners = new Map<string, Set<TracksListener>>();
export function onTracks(topic: string, listener: TracksListener): () => void {
  const set = trackListeners.get(topic) ?? new Set();
  set.add(listener);
  trackListeners.set(topic, set);
  return () => set.delete(listener);
}

function applyHealth(data: unknown): void {
  const fresh = readHealth(data);
  health.value = fresh;
  const known = cameras.value;
  if (known === null) return;
  const byName = new Map(fresh.cameras.map((camera) => [camera.name, camera]));
  cameras.value = known.map((camera) => {
    const item = byName.get(camera.name);
    if (item === undefined) return camera;
    return {
      ...camera,
      state: item.state,
      reason: item.reason,
      coverage: item.coverage,
      analysis: item.analysis,
      fps: { ...camera.fps, ...item.fps },
    };
  });
}

let loading = false;
let loadAgain = false;
/** Asks for the list again; several wishes at once become one more request. */
export async function loadCameras(): Promise<void> {
  if (loading) {
    loadAgain = true;
    return;
  }
  loading = true;
  try {
    do {
      loadAgain = false;
      cameras.value = await getCameras();
      camerasError.value = '';
    } while (loadAgain);
  } catch (error) {
    camerasError.value = error instanceof Error ? error.message : String(error);
  } finally {
    loading = false;
  }
}

async function loadVersion(): Promise<void> {
  try {
    version.value = await getVersion();
  } catch {
    // It is a line of small print: the next connection asks again.
  }
}

/** Asks whether a token is needed and starts or stops the connection accordingly. */
export async function checkSession(): Promise<void> {
  let answer: Session;
  try {
    answer = await getSession();
  } catch (error) {
    // Not reached: the socket goes on trying and shows it.
    if (error instanceof ApiError && error.status === 0) socket.start();
    else session.value ??= { required: false, signedIn: false };
    return;
  }
  session.value = answer;
  if (answer.required && !answer.signedIn) {
    socket.stop();
    link.value = { phase: 'connecting' };
  } else socket.start();
}

/** Called once: what every view needs is wanted as long as the page lives. */
export function startStore(): void {
  for (const topic of ['events', 'counts', 'health']) socket.want(topic);
  refused.tell = () => void checkSession();
  void checkSession();
}

/** Figures that only the list of cameras has (frames, reconnects): for pages that show them. */
export function watchCameras(): () => void {
  const timer = window.setInterval(() => {
    if (!document.hidden && link.value.phase === 'open') void loadCameras();
  }, 5000);
  return () => clearInterval(timer);
}
