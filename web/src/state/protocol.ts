// What the server says (server/api/protocol.md), as types, and the readers that turn outside data into them.
// Nothing from the network is trusted to have its shape: a missing field becomes its empty value.

export type Point = readonly [number, number];
export type CameraState = 'idle' | 'connecting' | 'streaming' | 'stalled' | 'backoff' | 'ended';
export type Direction = 'a_to_b' | 'b_to_a' | 'none';
export type Bucket = 'minute' | 'hour' | 'day';

export interface Line {
  name: string;
  points: Point[];
  aToB: string;
  bToA: string;
  classes: string[];
}
export interface Zone {
  name: string;
  points: Point[];
  classes: string[];
  /** Pictures inside (outside) before an entry (exit) is believed. */
  inertia: number;
}
export interface MainStream {
  state: CameraState;
  reason: string;
  codec: string;
  width: number;
  height: number;
}
export interface Camera {
  name: string;
  /** It was added in the dashboard and can be changed there. */
  managed: boolean;
  /** Another text when any of its settings is another. */
  version: string;
  state: CameraState;
  reason: string;
  source: string;
  codec: string;
  video: string;
  width: number;
  height: number;
  /** The camera's second stream, which the server connects to only while somebody looks; null: it has one. */
  main: MainStream | null;
  fps: { source: number; decoded: number; analysed: number; wanted: number };
  /** In the server's words, why not every wanted picture is analysed: "as wanted", "resting: nothing moves". */
  analysis: string;
  progress: number;
  /** Share of the last full minute that was analysed; null before there is one. */
  coverage: number | null;
  frames: { decoded: number; analysed: number; skipped: number; dropped: number };
  reconnects: number;
  decodeErrors: number;
  packetsLost: number;
  /** What it counts at all. */
  classes: string[];
  lines: Line[];
  zones: Zone[];
}

export interface LineFigures {
  a_to_b: number;
  b_to_a: number;
}
export interface ZoneFigures {
  entries: number;
  exits: number;
  occupancy: number;
}
export type Counter =
  | { camera: string; counter: string; kind: 'line'; total: LineFigures; classes: Record<string, LineFigures> }
  | { camera: string; counter: string; kind: 'zone'; total: ZoneFigures; classes: Record<string, ZoneFigures> };

export interface CountEvent {
  seq: number;
  time: string;
  kind: 'line_crossing' | 'zone_entry' | 'zone_exit';
  camera: string;
  counter: string;
  direction: Direction;
  class: string;
  confidence: number;
  track: number;
  dwell_ms: number;
}

export interface Problem {
  what: string;
  text: string;
}
export interface CameraHealth {
  name: string;
  state: CameraState;
  reason: string;
  fps: { decoded: number; analysed: number };
  analysis: string;
  coverage: number | null;
}
export interface Health {
  status: 'ready' | 'degraded' | 'not_ready';
  problems: Problem[];
  cameras: CameraHealth[];
}

export interface Track {
  id: number;
  class: string;
  score: number;
  /** x0, y0, x1, y1, relative to the picture. */
  box: readonly [number, number, number, number];
  seen: boolean;
}
export interface Tracks {
  ptsMs: number;
  tracks: Track[];
}

export interface HistoryBucket {
  start: string;
  coverage: number;
  classes: Record<string, Record<string, number>>;
}
export interface History {
  camera: string;
  counter: string;
  bucket: Bucket;
  from: string;
  to: string;
  /** Days of the reader's clock, made here; the server's own begin at midnight UTC. */
  local: boolean;
  buckets: HistoryBucket[];
}

// ---- readers ----

type Bag = Record<string, unknown>;

export const bag = (value: unknown): Bag =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Bag) : {};
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const figure = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) ? value : 0;
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const texts = (value: unknown): string[] => list(value).map(text).filter((name) => name !== '');

const STATES: readonly string[] = ['idle', 'connecting', 'streaming', 'stalled', 'backoff', 'ended'];
const readState = (value: unknown): CameraState =>
  STATES.includes(text(value)) ? (value as CameraState) : 'idle';

/** A share of 0..1; null where the server has none yet (absent or negative). */
const share = (value: unknown): number | null =>
  typeof value === 'number' && value >= 0 ? Math.min(1, value) : null;

const readPoints = (value: unknown): Point[] =>
  list(value).map((point) => {
    const pair = list(point);
    return [figure(pair[0]), figure(pair[1])] as const;
  });

function readMain(value: unknown): MainStream | null {
  if (typeof value !== 'object' || value === null) return null;
  const raw = bag(value);
  return {
    state: readState(raw['state']),
    reason: text(raw['reason']),
    codec: text(raw['codec']),
    width: figure(raw['width']),
    height: figure(raw['height']),
  };
}

export function readCamera(value: unknown): Camera {
  const raw = bag(value);
  const fps = bag(raw['fps']);
  const frames = bag(raw['frames']);
  return {
    name: text(raw['name']),
    managed: raw['managed'] === true,
    version: text(raw['version']),
    state: readState(raw['state']),
    reason: text(raw['reason']),
    source: text(raw['source']),
    codec: text(raw['codec']),
    video: text(raw['video']),
    width: figure(raw['width']),
    height: figure(raw['height']),
    main: readMain(raw['main']),
    fps: {
      source: figure(fps['source']),
      decoded: figure(fps['decoded']),
      analysed: figure(fps['analysed']),
      wanted: figure(fps['wanted']),
    },
    analysis: text(raw['analysis']),
    progress: figure(raw['progress']),
    coverage: share(raw['coverage']),
    frames: {
      decoded: figure(frames['decoded']),
      analysed: figure(frames['analysed']),
      skipped: figure(frames['skipped']),
      dropped: figure(frames['dropped']),
    },
    reconnects: figure(raw['reconnects']),
    decodeErrors: figure(raw['decode_errors']),
    packetsLost: figure(raw['packets_lost']),
    classes: texts(raw['classes']),
    lines: list(raw['lines']).map((line) => {
      const item = bag(line);
      return {
        name: text(item['name']),
        points: readPoints(item['coordinates']),
        aToB: text(item['a_to_b']) || 'a_to_b',
        bToA: text(item['b_to_a']) || 'b_to_a',
        classes: texts(item['classes']),
      };
    }),
    zones: list(raw['zones']).map((zone) => {
      const item = bag(zone);
      return {
        name: text(item['name']),
        points: readPoints(item['coordinates']),
        classes: texts(item['classes']),
        inertia: figure(item['inertia']),
      };
    }),
  };
}

export const readCameras = (value: unknown): Camera[] =>
  list(bag(value)['cameras']).map(readCamera).filter((camera) => camera.name !== '');

const lineFigures = (value: unknown): LineFigures => {
  const raw = bag(value);
  return { a_to_b: figure(raw['a_to_b']), b_to_a: figure(raw['b_to_a']) };
};
const zoneFigures = (value: unknown): ZoneFigures => {
  const raw = bag(value);
  return {
    entries: figure(raw['entries']),
    exits: figure(raw['exits']),
    occupancy: figure(raw['occupancy']),
  };
};
function byClass<Figures>(value: unknown, read: (figures: unknown) => Figures): Record<string, Figures> {
  return Object.fromEntries(Object.entries(bag(value)).map(([name, item]) => [name, read(item)]));
}

export function readCounters(value: unknown): Counter[] {
  return list(bag(value)['counters']).map((item) => {
    const raw = bag(item);
    const names = { camera: text(raw['camera']), counter: text(raw['counter']) };
    return raw['kind'] === 'zone'
      ? {
          ...names,
          kind: 'zone',
          total: zoneFigures(raw['total']),
          classes: byClass(raw['classes'], zoneFigures),
        }
      : {
          ...names,
          kind: 'line',
          total: lineFigures(raw['total']),
          classes: byClass(raw['classes'], lineFigures),
        };
  });
}

export function readEvent(value: unknown): CountEvent | null {
  const raw = bag(value);
  const kind = text(raw['kind']);
  if (kind !== 'line_crossing' && kind !== 'zone_entry' && kind !== 'zone_exit') return null;
  const direction = text(raw['direction']);
  return {
    seq: figure(raw['seq']),
    time: text(raw['time']),
    kind,
    camera: text(raw['camera']),
    counter: text(raw['counter']),
    direction: direction === 'a_to_b' || direction === 'b_to_a' ? direction : 'none',
    class: text(raw['class']),
    confidence: figure(raw['confidence']),
    track: figure(raw['track']),
    dwell_ms: figure(raw['dwell_ms']),
  };
}

export function readHealth(value: unknown): Health {
  const raw = bag(value);
  const status = raw['status'];
  return {
    status: status === 'degraded' || status === 'not_ready' ? status : 'ready',
    problems: list(raw['problems']).map((item) => ({
      what: text(bag(item)['what']),
      text: text(bag(item)['text']),
    })),
    cameras: list(raw['cameras']).map((item) => {
      const camera = bag(item);
      const fps = bag(camera['fps']);
      return {
        name: text(camera['name']),
        state: readState(camera['state']),
        reason: text(camera['reason']),
        fps: { decoded: figure(fps['decoded']), analysed: figure(fps['analysed']) },
        analysis: text(camera['analysis']),
        coverage: share(camera['coverage']),
      };
    }),
  };
}

export function readTracks(value: unknown): Tracks {
  const raw = bag(value);
  return {
    ptsMs: figure(raw['pts_ms']),
    tracks: list(raw['tracks']).map((item) => {
      const track = bag(item);
      const box = list(track['box']).map(figure);
      return {
        id: figure(track['id']),
        class: text(track['class']),
        score: figure(track['score']),
        box: [box[0] ?? 0, box[1] ?? 0, box[2] ?? 0, box[3] ?? 0] as const,
        seen: track['seen'] !== false,
      };
    }),
  };
}

export function readHistory(value: unknown): History {
  const raw = bag(value);
  const bucket = raw['bucket'];
  return {
    camera: text(raw['camera']),
    counter: text(raw['counter']),
    bucket: bucket === 'hour' || bucket === 'day' ? bucket : 'minute',
    from: text(raw['from']),
    to: text(raw['to']),
    local: false,
    buckets: list(raw['buckets']).map((item) => {
      const one = bag(item);
      return {
        start: text(one['start']),
        coverage: share(one['coverage']) ?? 0,
        classes: byClass(one['classes'], (figures) =>
          Object.fromEntries(Object.entries(bag(figures)).map(([key, number]) => [key, figure(number)])),
        ),
      };
    }),
  };
}

// ---- pictures: binary messages ----

export const PICTURE_HEADER_BYTES = 28;
export type PictureKind = 'jpeg' | 'h264' | 'h265';
const PICTURE_KINDS: readonly (PictureKind | undefined)[] = [undefined, 'jpeg', 'h264', 'h265'];

export interface Picture {
  kind: PictureKind;
  key: boolean;
  channel: number;
  width: number;
  height: number;
  ptsMs: number;
  wallMs: number;
  bytes: Uint8Array;
}

/** Null for anything that is not a whole picture of version 1. The bytes are a view, not a copy. */
export function readPicture(buffer: ArrayBuffer): Picture | null {
  if (buffer.byteLength <= PICTURE_HEADER_BYTES) return null;
  const view = new DataView(buffer);
  const kind = PICTURE_KINDS[view.getUint8(1)];
  if (view.getUint8(0) !== 1 || kind === undefined) return null;
  return {
    kind,
    key: (view.getUint8(2) & 1) !== 0,
    channel: view.getUint32(4, true),
    width: view.getUint16(8, true),
    height: view.getUint16(10, true),
    // Microseconds of 2^53 are 285 years: a double holds them exactly.
    ptsMs: Number(view.getBigInt64(12, true)) / 1000,
    wallMs: Number(view.getBigInt64(20, true)) / 1000,
    bytes: new Uint8Array(buffer, PICTURE_HEADER_BYTES),
  };
}
