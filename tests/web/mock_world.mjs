// Simulated cameras: objects walk and drive over a picture, cross a line, stay in a zone. Deterministic: its
// own generator of random numbers, so that a test sees the same world every time.

const CLASSES = [['person', 0.55], ['car', 0.25], ['bicycle', 0.1], ['truck', 0.06], ['bus', 0.04]];
const NAMES = ['Main gate', 'Market street', 'Car park north', 'Loading dock', 'Platform 2', 'Riverside path', 'Lobby', 'Bridge', 'Warehouse B', 'Crossing east'];
const SIZE = { person: [0.035, 0.15], bicycle: [0.06, 0.12], car: [0.15, 0.13], truck: [0.2, 0.22], bus: [0.24, 0.22] };

function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Camera {
  constructor(world, index) {
    this.world = world;
    this.index = index;
    this.name = NAMES[index] ?? `Camera ${index + 1}`;
    this.random = generator(index + 1);
    /** The first one stands in the configuration file, the others were added in the dashboard. */
    this.managed = index > 0;
    this.version = 1;
    this.classes = ['person', 'bicycle', 'car', 'motorcycle', 'bus', 'truck'];
    this.state = 'streaming';
    this.reason = '';
    this.frame = 0;
    this.ptsMs = 0;
    this.nextId = 1;
    this.objects = [];
    this.line = index % 2 === 0
      ? { name: 'door', coordinates: [[0.28, 0.72], [0.8, 0.72]], a_to_b: 'in', b_to_a: 'out' }
      : { name: 'road', coordinates: [[0.55, 0.95], [0.5, 0.62], [0.55, 0.45]], a_to_b: 'northbound', b_to_a: 'southbound' };
    this.zone = index % 3 === 0 ? { name: 'queue', coordinates: [[0.06, 0.5], [0.3, 0.5], [0.34, 0.92], [0.05, 0.92]] } : null;
    this.totals = { [this.line.name]: {}, ...(this.zone ? { [this.zone.name]: {} } : {}) };
    this.dropped = 0;
    for (let each = 0; each < 4; each += 1) this.spawn(this.random());
  }

  spawn(progress = 0) {
    let pick = this.random();
    const name = (CLASSES.find(([, share]) => (pick -= share) < 0) ?? CLASSES[0])[0];
    const down = this.random() < 0.5;
    const along = this.index % 2 === 0 ? 'y' : 'x';
    const lane = 0.15 + this.random() * 0.7;
    this.objects.push({
      id: this.nextId++, class: name, along, lane, position: down ? -0.05 + progress : 1.05 - progress,
      speed: (down ? 1 : -1) * (0.05 + this.random() * 0.08) * (name === 'person' ? 1 : 1.8),
      sway: this.random() * 6, score: 0.6 + this.random() * 0.38, inside: false, since: 0,
    });
  }

  place(object) {
    const y = object.along === 'y' ? 0.3 + object.position * 0.75 : 0.5 + object.lane * 0.45;
    const x = object.along === 'y' ? object.lane + Math.sin(this.ptsMs / 900 + object.sway) * 0.012 : object.position;
    const scale = 0.5 + y * 0.75;
    const [w, h] = SIZE[object.class];
    return { foot: [x, y], box: [x - (w * scale) / 2, y - h * scale, x + (w * scale) / 2, y] };
  }

  step(ms) {
    this.frame += 1;
    this.ptsMs += ms;
    if (this.objects.length < 9 && this.random() < 0.02) this.spawn();
    const events = [];
    for (const object of this.objects) {
      const before = this.place(object).foot;
      object.position += (object.speed * ms) / 1000;
      const after = this.place(object).foot;
      const crossing = this.crossing(before, after);
      if (crossing) events.push({ kind: 'line_crossing', counter: this.line.name, direction: crossing, object });
      if (this.zone) {
        const inside = isInside(after, this.zone.coordinates);
        if (inside !== object.inside) {
          events.push({ kind: inside ? 'zone_entry' : 'zone_exit', counter: this.zone.name, direction: 'none', object, dwell: inside ? 0 : this.ptsMs - object.since });
          object.inside = inside;
          object.since = this.ptsMs;
        }
      }
    }
    this.objects = this.objects.filter((object) => object.position > -0.2 && object.position < 1.2);
    return events;
  }

  crossing(from, to) {
    const points = this.line.coordinates;
    for (let index = 1; index < points.length; index += 1) {
      const [p, q] = [points[index - 1], points[index]];
      const side = (point) => (q[0] - p[0]) * (point[1] - p[1]) - (q[1] - p[1]) * (point[0] - p[0]);
      const other = (point) => (to[0] - from[0]) * (point[1] - from[1]) - (to[1] - from[1]) * (point[0] - from[0]);
      // y goes down: a positive side is on the right hand, which is B.
      if (side(from) <= 0 !== side(to) <= 0 && other(p) > 0 !== other(q) > 0) return side(to) > 0 ? 'a_to_b' : 'b_to_a';
    }
    return null;
  }

  tracksMessage() {
    return {
      frame: this.frame,
      data: {
        pts_ms: this.ptsMs, width: 960, height: 540,
        tracks: this.objects.map((object) => ({
          id: object.id, class: object.class, score: object.score, box: this.place(object).box, seen: (this.frame + object.id * 7) % 90 > 6,
        })),
      },
    };
  }

  get fps() {
    const on = this.state === 'streaming';
    const slow = this.index === 3;
    return { source: 25, decoded: on ? 25 : 0, analysed: on ? (slow ? 5.2 : 8.3) : 0, wanted: slow ? 10 : 8.3 };
  }

  get coverage() {
    return this.state === 'streaming' ? (this.index === 3 ? 0.71 : 1) : 0;
  }

  tell(h264) {
    return {
      name: this.name, managed: this.managed, version: `v${this.version}`, classes: this.classes, state: this.state, reason: this.reason, source: `rtsp://10.0.0.${20 + this.index}/stream1`,
      codec: 'h264', video: h264 ? 'h264' : 'jpeg', width: 960, height: 540, fps: this.fps, progress: 0, coverage: this.coverage,
      frames: { decoded: this.frame, analysed: Math.floor(this.frame / 3), skipped: Math.floor((this.frame * 2) / 3), dropped: this.index === 3 ? 412 : 0 },
      reconnects: this.index === 1 ? 2 : 0, decode_errors: 0, packets_lost: this.index === 1 ? 31 : 0,
      lines: [{ ...this.line, classes: CLASSES.map(([name]) => name) }],
      zones: this.zone ? [{ ...this.zone, classes: ['person'], inertia: 3 }] : [],
    };
  }
}

function isInside([x, y], polygon) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [a, b] = [polygon[i], polygon[j]];
    if (a[1] > y !== b[1] > y && x < ((b[0] - a[0]) * (y - a[1])) / (b[1] - a[1]) + a[0]) inside = !inside;
  }
  return inside;
}

export class World {
  constructor(count) {
    this.problems = [];
    this.events = [];
    this.lastSeq = 0;
    this.startMs = Date.now();
    this.cameras = [];
    this.resize(count);
    // A past, so that lists and totals are not empty at the start.
    for (let each = 0; each < 3000; each += 1) this.step(40, each * 40 - 3000 * 40);
  }

  resize(count) {
    while (this.cameras.length < count) this.cameras.push(new Camera(this, this.cameras.length));
    this.cameras.length = count;
  }

  /** Whoever wants this change has seen the camera before another one. */
  isStale({ name, version }) {
    const camera = this.cameras.find((one) => one.name === name);
    return camera !== undefined && version !== undefined && version !== `v${camera.version}`;
  }

  /** "change_camera" of its lines and zones, or "remove_camera"; false when there is no such camera. */
  change({ do: verb, name, camera: to }) {
    const camera = this.cameras.find((one) => one.name === name);
    if (camera === undefined) return false;
    if (verb === 'remove_camera') this.cameras.splice(this.cameras.indexOf(camera), 1);
    if (verb !== 'change_camera') return true;
    const points = (text) => text.split(',').map(Number).flatMap((value, at, all) => (at % 2 === 0 ? [[value, all[at + 1]]] : []));
    const [line] = Object.entries(to.lines ?? {});
    const [zone] = Object.entries(to.zones ?? {});
    if (line) camera.line = { name: line[0], coordinates: points(line[1].coordinates), ...line[1].directions };
    camera.zone = zone ? { name: zone[0], coordinates: points(zone[1].coordinates) } : null;
    camera.classes = to.objects?.track ?? camera.classes;
    camera.version += 1;
    for (const one of [camera.line, camera.zone]) if (one) camera.totals[one.name] ??= {};
    return true;
  }

  setState(name, state, reason) {
    const camera = this.cameras.find((one) => one.name.replaceAll(' ', '_') === name);
    if (camera) Object.assign(camera, { state, reason });
  }

  /** Returns the counters that changed. */
  step(ms, offsetMs = 0) {
    const changed = new Set();
    for (const camera of this.cameras) {
      if (camera.state !== 'streaming') continue;
      for (const event of camera.step(ms)) {
        const figures = (camera.totals[event.counter][event.object.class] ??= event.kind === 'line_crossing' ? { a_to_b: 0, b_to_a: 0 } : { entries: 0, exits: 0, occupancy: 0 });
        if (event.kind === 'line_crossing') figures[event.direction] += 1;
        else {
          figures[event.kind === 'zone_entry' ? 'entries' : 'exits'] += 1;
          figures.occupancy = camera.objects.filter((object) => object.inside && object.class === event.object.class).length;
        }
        this.lastSeq += 1;
        this.events.push({
          seq: this.lastSeq, time: new Date(Date.now() + offsetMs).toISOString(), kind: event.kind, camera: camera.name,
          counter: event.counter, direction: event.direction, class: event.object.class, confidence: event.object.score,
          class_share: 1, track: event.object.id, frame: camera.frame, pts_ms: camera.ptsMs, dwell_ms: Math.round(event.dwell ?? 0), rule: '9f2c41aa', path: [],
        });
        changed.add(`${camera.index}/${event.counter}`);
      }
    }
    if (this.events.length > 4000) this.events.splice(0, 1000);
    return [...changed].map((key) =>
      this.counter(this.cameras.find((camera) => camera.index === Number(key.split('/')[0])), key.slice(key.indexOf('/') + 1)));
  }

  eventsAfter(seq) {
    return this.events.filter((event) => event.seq > seq);
  }

  counter(camera, counter) {
    const classes = camera.totals[counter];
    const line = counter === camera.line.name;
    const total = line ? { a_to_b: 0, b_to_a: 0 } : { entries: 0, exits: 0, occupancy: 0 };
    for (const figures of Object.values(classes)) for (const key of Object.keys(total)) total[key] += figures[key];
    return { camera: camera.name, counter, kind: line ? 'line' : 'zone', total, classes };
  }

  counts() {
    return { seq: this.lastSeq, counters: this.cameras.flatMap((camera) => Object.keys(camera.totals).map((name) => this.counter(camera, name))) };
  }

  health() {
    const problems = [...this.problems];
    for (const camera of this.cameras)
      if (camera.state === 'stalled' || camera.state === 'backoff') problems.push({ what: 'camera', text: `${camera.name}: ${camera.reason || camera.state}` });
    const status = problems.some((one) => one.what === 'ledger' || one.what === 'model') ? 'not_ready' : problems.length > 0 ? 'degraded' : 'ready';
    return {
      status, problems,
      cameras: this.cameras.map((camera) => ({ name: camera.name, state: camera.state, reason: camera.reason, fps: { decoded: camera.fps.decoded, analysed: camera.fps.analysed }, coverage: camera.coverage })),
    };
  }

  history({ camera: name, counter, bucket = 'minute', from, to }) {
    const camera = this.cameras.find((one) => one.name === name);
    if (!camera || !(counter in camera.totals)) return null;
    const step = { minute: 60, hour: 3600, day: 86_400 }[bucket];
    const end = to ? Date.parse(to) / 1000 : Date.now() / 1000;
    const begin = from ? Date.parse(from) / 1000 : end - step * 60;
    const line = counter === camera.line.name;
    const buckets = [];
    const now = Date.now() / 1000;
    for (let start = Math.floor(begin / step) * step; start < Math.min(end, now); start += step) {
      const random = generator(start / 60 + camera.index * 977);
      const share = ((start / step) % 41 === 7 || (start / step) % 41 === 8 || (start / step) % 41 === 9) ? 0 : (start / step) % 17 === 3 ? 0.4 + random() * 0.3 : 1;
      if (share === 0) continue;
      const hour = new Date(start * 1000).getUTCHours();
      const busy = (bucket === 'day' ? 11 : 2 + 14 * Math.exp(-((hour - 8.5) ** 2) / 8) + 12 * Math.exp(-((hour - 17) ** 2) / 7)) * (step / 60) ** 0.8 * share * 0.6;
      const classes = {};
      for (const [each, weight] of CLASSES) {
        const one = Math.round(busy * weight * (0.4 + random()));
        const two = Math.round(busy * weight * (0.4 + random()) * 0.8);
        if (one + two === 0) continue;
        classes[each] = line ? { a_to_b: one, b_to_a: two } : { entries: one, exits: two, dwell_s: 8 + random() * 50 };
      }
      buckets.push({ start: new Date(start * 1000).toISOString(), coverage: Math.round(share * 100) / 100, classes });
    }
    return { camera: name, counter, bucket, from: new Date(begin * 1000).toISOString(), to: new Date(end * 1000).toISOString(), buckets };
  }
}
