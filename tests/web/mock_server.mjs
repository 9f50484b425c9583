// A server that speaks server/api/protocol.md about simulated cameras: to develop the dashboard and to
// test it in a browser without cameras, network or model. Needs node alone; ffmpeg (command line) makes the pictures,
// without it there are none, and the dashboard must live with that too.
//
//   node tests/web/mock_server.mjs --dist web/dist [--port 0] [--token SECRET] [--cameras 6] [--jpeg]
//
// Prints "http://127.0.0.1:PORT" and runs until it is told to stop. Lines on standard input change the
// world: "state gate stalled", "problem redis text", "well", "drop" (cut all WebSockets), "mute" (say no more, keep them
// open), "refuse" / "accept" (connections), "cameras 2".

import { createHash } from 'node:crypto';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { World } from './mock_world.mjs';
import { acceptKey, frame, FrameReader } from './mock_websocket.mjs';

const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};
// The real server's (server/api/reply.c): what violates it here would be broken there.
const POLICY =
  "default-src 'self'; img-src 'self' blob: data:; media-src blob:; connect-src 'self'; worker-src 'self' blob:; " +
  "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const COOKIE = 'sightline_session';

export async function startMock(options = {}) {
  // `replays`: a new viewer gets what came since the last key frame; else he waits for one that never comes.
  // `broken`: H.264 units are damaged, as from a camera whose stream no browser decodes.
  const { dist = 'web/dist', port = 0, token = '', cameras = 6, jpegOnly = false, clip = true, broken = false, replays = true } = options;
  const world = new World(cameras);
  const clips = clip ? await (clipsOnce ??= makeClips()) : null;
  const clients = new Set();
  let accepting = true;
  let mute = false;
  let nextChannel = 1;
  const secret = createHash('sha256').update(`cookie ${token}`).digest('hex');

  const signedIn = (request) =>
    token === '' ||
    (request.headers.cookie ?? '').includes(`${COOKIE}=${secret}`) ||
    request.headers.authorization === `Bearer ${token}`;

  const send = (response, status, body, headers = {}) => {
    response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...headers });
    response.end(JSON.stringify(body));
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://mock');
    if (!url.pathname.startsWith('/api/')) return void sendFile(dist, url.pathname, response);
    if (url.pathname === '/api/v1/session') return void handleSession(request, response);
    if (!signedIn(request)) return send(response, 401, { error: 'unauthorized', message: 'a token is needed' });
    if (url.pathname === '/api/v1/cameras') return send(response, 200, { cameras: world.cameras.map((one) => one.tell(clips && !jpegOnly)) });
    if (url.pathname === '/api/v1/counts') return send(response, 200, world.counts());
    if (url.pathname === '/api/v1/version')
      return send(response, 200, { version: '0.1.0', model: 'simulated boxes', backend: 'mock' });
    if (url.pathname === '/api/v1/history') {
      const history = world.history(Object.fromEntries(url.searchParams));
      return history ? send(response, 200, history) : send(response, 404, { error: 'not_found', message: 'no such counter' });
    }
    if (url.pathname === '/api/v1/snapshot') return sendSnapshot(response);
    if (url.pathname === '/api/v1/jobs') return void handleJob(request, response);
    send(response, 404, { error: 'not_found', message: 'no such path' });
  });

  function sendSnapshot(response) {
    if (clips === null) return send(response, 503, { error: 'unavailable', message: 'nothing is shown now' });
    response.writeHead(200, { 'Content-Type': 'image/jpeg', 'Cache-Control': 'no-store' });
    response.end(clips.jpeg[0]);
  }

  /** Each is done at once; what was asked for can be looked at. */
  const jobs = [];
  async function handleJob(request, response) {
    let body = '';
    for await (const part of request) body += part;
    const what = JSON.parse(body);
    if (world.isStale(what)) return send(response, 409, { error: 'changed meanwhile', message: `camera "${what.name}" was changed meanwhile` });
    const done = { id: jobs.push(what), do: what.do, state: 'done', progress: 1, error: null, result: {} };
    if (what.do === 'discover') done.result = { networks: 1, devices: [] };
    else if (!world.change(what)) Object.assign(done, { state: 'failed', error: `no camera named ${what.name}` });
    send(response, 202, done);
    if (what.do.endsWith('_camera')) publish('cameras', 0, {});
  }

  let attempts = 0;
  async function handleSession(request, response) {
    if (request.method === 'GET') return send(response, 200, { required: token !== '', signed_in: signedIn(request) });
    if (request.method === 'DELETE')
      return send(response, 200, {}, { 'Set-Cookie': `${COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0` });
    let body = '';
    for await (const part of request) body += part;
    let given = '';
    try {
      given = JSON.parse(body).token;
    } catch {
      return send(response, 400, { error: 'invalid', message: 'the body is not JSON' });
    }
    if (given === token) {
      attempts = 0;
      return send(response, 200, {}, { 'Set-Cookie': `${COOKIE}=${secret}; HttpOnly; SameSite=Strict; Path=/` });
    }
    attempts += 1;
    if (attempts > 5) return send(response, 429, { error: 'limit', message: 'too many attempts' });
    send(response, 401, { error: 'unauthorized', message: 'wrong token' });
  }

  server.on('upgrade', (request, socket) => {
    if (!accepting || !signedIn(request) || !request.url.startsWith('/api/v1/ws')) {
      socket.end(accepting ? 'HTTP/1.1 401 Unauthorized\r\n\r\n' : 'HTTP/1.1 503 Service Unavailable\r\n\r\n');
      return;
    }
    socket.setNoDelay(true);
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${acceptKey(request.headers['sec-websocket-key'])}\r\n\r\n`,
    );
    const client = { socket, topics: new Map(), cursor: null, counters: false };
    clients.add(client);
    const reader = new FrameReader();
    socket.on('data', (bytes) => {
      for (const message of reader.read(bytes)) {
        if (message.opcode === 8) socket.end();
        else if (message.opcode === 9) socket.write(frame(message.payload, 10));
        else if (message.opcode === 1) handleMessage(client, JSON.parse(message.payload.toString()));
      }
    });
    socket.on('close', () => clients.delete(client));
    socket.on('error', () => clients.delete(client));
    say(client, { type: 'hello', protocol: 1, version: '0.1.0', last_seq: world.lastSeq, time: new Date().toISOString() });
  });

  const say = (client, message) => {
    if (!mute) client.socket.write(frame(JSON.stringify(message)));
  };
  const publish = (topic, seq, data) => {
    for (const client of clients)
      if (topic === 'cameras' || client.topics.has(topic)) say(client, { topic, seq, ts: new Date().toISOString(), data });
  };

  function handleMessage(client, message) {
    if (message.type === 'unsubscribe') for (const topic of message.topics) client.topics.delete(topic);
    if (message.type !== 'subscribe') return;
    const told = [];
    for (const topic of message.topics) {
      const [kind, name] = topic.split('/');
      const camera = world.cameras.find((one) => one.name === name);
      if (name !== undefined && camera === undefined) {
        say(client, { type: 'error', error: 'not_found', topic, message: `no camera named ${name}` });
        continue;
      }
      const item = { topic };
      if (kind === 'video') {
        const h264 = message.video === 'h264' && !jpegOnly;
        Object.assign(item, { channel: nextChannel++, codec: h264 ? (clips?.codec ?? '') : 'jpeg' });
        client.topics.set(topic, { channel: item.channel, h264, started: false });
      } else client.topics.set(topic, {});
      told.push(item);
    }
    say(client, { type: 'subscribed', topics: told });
    if (message.topics.includes('events')) {
      client.cursor = message.since ?? world.lastSeq;
      replay(client);
    }
    if (message.topics.includes('counts'))
      say(client, { topic: 'counts', seq: world.lastSeq, ts: new Date().toISOString(), data: world.counts() });
    if (message.topics.includes('health'))
      say(client, { topic: 'health', seq: 0, ts: new Date().toISOString(), data: world.health() });
  }

  function replay(client) {
    for (const event of world.eventsAfter(client.cursor)) {
      client.cursor = event.seq;
      say(client, { topic: 'events', seq: event.seq, ts: event.time, data: event });
    }
  }

  // ---- time goes on ----
  const TICK_MS = 40;
  let tick = 0;
  const timer = setInterval(() => {
    tick += 1;
    const changed = world.step(TICK_MS);
    for (const client of clients) if (client.topics.has('events')) replay(client);
    if (changed.length > 0) publish('counts', world.lastSeq, { seq: world.lastSeq, counters: changed });
    if (tick % 50 === 0) publish('health', 0, world.health());
    for (const camera of world.cameras) {
      if (camera.state !== 'streaming') continue;
      sendVideo(camera);
      // Tracks come later than their picture, as from a real detector.
      if (tick % 3 === 0) {
        const message = camera.tracksMessage();
        setTimeout(() => publish(`tracks/${camera.name}`, message.frame, message.data), 90 + (tick % 5) * 8);
      }
    }
  }, TICK_MS);

  function sendVideo(camera) {
    if (clips === null || mute) return;
    for (const client of clients) {
      const wish = client.topics.get(`video/${camera.name}`);
      if (wish === undefined || client.socket.writableLength > 1 << 20) continue;
      const index = camera.frame % clips.h264.length;
      if (wish.h264) {
        // A new viewer gets all since the last key frame at once.
        if (!replays) continue;
        for (let behind = wish.started ? 0 : index; behind >= 0; behind -= 1) {
          const { bytes, key } = clips.h264[index - behind];
          client.socket.write(frame(picture(camera, wish.channel, 2, key, broken ? damaged(bytes) : bytes, behind), 2));
        }
        wish.started = true;
      } else if (camera.frame % 3 === 0) {
        client.socket.write(frame(picture(camera, wish.channel, 1, true, clips.jpeg[index % clips.jpeg.length]), 2));
      }
    }
  }

  function picture(camera, channel, kind, key, bytes, behind = 0) {
    const head = Buffer.alloc(28);
    head.writeUInt8(1, 0);
    head.writeUInt8(kind, 1);
    head.writeUInt8(key ? 1 : 0, 2);
    head.writeUInt32LE(channel, 4);
    head.writeUInt16LE(clips.width, 8);
    head.writeUInt16LE(clips.height, 10);
    head.writeBigInt64LE(BigInt(Math.round((camera.ptsMs - behind * TICK_MS) * 1000)), 12);
    head.writeBigInt64LE(BigInt(Date.now()) * 1000n, 20);
    return Buffer.concat([head, bytes]);
  }

  const control = {
    world,
    publish,
    jobs,
    video: clips !== null,
    say: (words) => {
      const [verb, name, ...rest] = words.trim().split(' ');
      if (verb === 'state') world.setState(name, rest[0], rest.slice(1).join(' '));
      else if (verb === 'problem') world.problems.push({ what: name, text: rest.join(' ') });
      else if (verb === 'well') world.problems.length = 0;
      else if (verb === 'cameras') { world.resize(Number(name)); publish('cameras', 0, {}); }
      else if (verb === 'drop') for (const client of clients) client.socket.destroy();
      else if (verb === 'mute') mute = true;
      else if (verb === 'speak') mute = false;
      else if (verb === 'refuse') accepting = false;
      else if (verb === 'accept') accepting = true;
      publish('health', 0, world.health());
    },
    clients: () => [...clients].map((client) => [...client.topics.keys()]),
    videoWishes: () => [...clients].flatMap((client) => [...client.topics].filter(([topic]) => topic.startsWith('video/')).map(([, wish]) => (wish.h264 ? 'h264' : 'jpeg'))),
    stop: () =>
      new Promise((done) => {
        clearInterval(timer);
        for (const client of clients) client.socket.destroy();
        server.close(done);
        server.closeAllConnections();
      }),
  };
  await new Promise((done) => server.listen(port, '127.0.0.1', done));
  control.url = `http://127.0.0.1:${server.address().port}`;
  return control;
}

/** Keeps the start code and the kind of unit, so that the decoder takes it for a picture. */
const damaged = (bytes) => Buffer.concat([Buffer.from([0, 0, 0, 1, 0x65]), Buffer.alloc(Math.min(400, bytes.length), 0xa5)]);

async function sendFile(dist, path, response) {
  const name = path === '/' ? 'index.html' : normalize(path).replace(/^[/\\]+/, '');
  try {
    if (name.startsWith('..')) throw new Error('outside');
    const bytes = await readFile(join(dist, name));
    response.writeHead(200, {
      'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream',
      'Content-Security-Policy': POLICY,
      'X-Content-Type-Options': 'nosniff',
      'Cache-Control': 'no-cache',
    });
    response.end(bytes);
  } catch {
    response.writeHead(404, { 'Content-Type': 'text/plain' });
    response.end('not found\n');
  }
}

let clipsOnce;
/** A street-like picture that moves a little, as H.264 access units and as JPEGs; null without ffmpeg. */
async function makeClips() {
  const [width, height, seconds] = [960, 540, 8];
  // Soft vertical light with moving grain: something to see boxes on, cheap to encode.
  const source = `gradients=s=${width}x${height}:c0=0x2b3a44:c1=0x54636b:c2=0x39454c:x0=0:y0=0:x1=0:y1=${height}:n=3:speed=0.003:r=25:d=${seconds}`;
  const filter = `drawbox=x=0:y=${height * 0.42}:w=${width}:h=${height * 0.58}:color=0x30383d:t=fill,noise=alls=7:allf=t`;
  const run = (output) =>
    new Promise((done) => {
      const program = execFile(
        'ffmpeg',
        ['-v', 'error', '-f', 'lavfi', '-i', source, '-vf', filter, ...output, 'pipe:1'],
        { encoding: 'buffer', maxBuffer: 256 << 20 },
        (error, bytes) => done(error ? null : bytes),
      );
      program.on('error', () => done(null));
    });
  const h264 = await run(['-c:v', 'libx264', '-profile:v', 'high', '-pix_fmt', 'yuv420p', '-preset', 'veryfast', '-tune', 'zerolatency', '-x264-params', 'slices=1:keyint=200:min-keyint=200:scenecut=0:aud=1', '-b:v', '1500k', '-f', 'h264']);
  const jpeg = await run(['-c:v', 'mjpeg', '-q:v', '6', '-f', 'image2pipe']);
  if (h264 === null || jpeg === null) return null;
  const units = splitUnits(h264);
  return { width, height, h264: units, jpeg: splitJpegs(jpeg), codec: codecOf(units[0].bytes) };
}

/** Access units begin with a delimiter (NAL type 9). */
function splitUnits(bytes) {
  const starts = [];
  for (let at = bytes.indexOf('000001', 0, 'hex'); at >= 0; at = bytes.indexOf('000001', at + 3, 'hex'))
    if ((bytes[at + 3] & 31) === 9) starts.push(at > 0 && bytes[at - 1] === 0 ? at - 1 : at);
  return starts.map((start, index) => {
    const unit = bytes.subarray(start, starts[index + 1] ?? bytes.length);
    return { bytes: unit, key: unit.indexOf('00000165', 0, 'hex') >= 0 };
  });
}

function splitJpegs(bytes) {
  const pictures = [];
  for (let at = bytes.indexOf('ffd8ff', 0, 'hex'); at >= 0; ) {
    const next = bytes.indexOf('ffd9ffd8ff', at, 'hex');
    pictures.push(bytes.subarray(at, next < 0 ? bytes.length : next + 2));
    at = next < 0 ? -1 : next + 2;
  }
  return pictures;
}

function codecOf(unit) {
  const at = unit.indexOf('00000167', 0, 'hex') + 4;
  return `avc1.${unit.subarray(at, at + 3).toString('hex')}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const value = (name, fallback) => {
    const at = process.argv.indexOf(`--${name}`);
    return at < 0 ? fallback : process.argv[at + 1];
  };
  const mock = await startMock({
    dist: value('dist', 'web/dist'),
    port: Number(value('port', 0)),
    token: value('token', ''),
    cameras: Number(value('cameras', 6)),
    jpegOnly: process.argv.includes('--jpeg'),
    clip: !process.argv.includes('--no-clip'),
  });
  process.stdout.write(`${mock.url}\n`);
  createInterface({ input: process.stdin }).on('line', (line) => mock.say(line));
}
