// tests/alone/glass_to_glass.mjs, run by glass_to_glass.t. From the moment at which a picture is made (before it is encoded)
// to the moment at which the page has it on its canvas: encoder, RTSP, server, WebSocket and WebCodecs, on one machine and one
// clock. What the screen adds (at most one refresh) is not in it. Then the same where the browser has no decoder for pages (as
// on plain http in a local network), by its media player; and that neither leaves JPEG.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBrowser } from '../web/browser.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const BUILD = process.env.SIGHTLINE_BUILD ?? 'build/release';
const SAMPLES = Number(process.env.SIGHTLINE_SAMPLES ?? 250);
const P95_MS = 300;
const PLAYER_P95_MS = 500; // the player has a clock and a queue of its own
const WITHOUT = (...names) => names.map((name) => `delete globalThis.${name};`).join(' ');
const MODEL = resolve(process.env.SIGHTLINE_MATERIAL ?? '../shared/material', 'models/yolox_nano_coco_416.onnx');

let count = 0;
let failed = 0;
function ok(condition, name) {
  count += 1;
  if (!condition) failed += 1;
  console.log(`${condition ? 'ok' : 'not ok'} ${count} - ${name}`);
}
const started = [];
function start(command, words, options = {}) {
  const child = spawn(command, words, { stdio: ['pipe', 'pipe', 'ignore'], ...options });
  started.push(child);
  return new Promise((done) => {
    let text = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (more) => { text += more; const found = options.wanted.exec(text); if (found) done(found[1]); });
    child.on('exit', () => done(null));
  });
}

// In the page: reads the code of every picture that comes onto the canvas.
const READ = (samples) => `new Promise((done) => {
  const canvas = document.querySelector('.picture canvas');
  const copy = new OffscreenCanvas(640, 360).getContext('2d', { willReadFrequently: true });
  const ages = [];
  let last = -1;
  const end = performance.now() + 60000;
  const look = () => {
    copy.drawImage(canvas, 0, 0, 640, 360);
    const now = Date.now();
    const pixels = copy.getImageData(0, 0, 640, 40).data;
    const bright = (x, y) => pixels[(y * 640 + x) * 4 + 1];
    let code = 0;
    let whole = true;
    for (let bit = 0; bit < 32; bit += 1) {
      const [above, below] = [bright(bit * 20 + 10, 10), bright(bit * 20 + 10, 30)];
      if (Math.abs(above - below) < 60) whole = false;
      if (above > below) code += 2 ** bit;
    }
    if (whole && code !== last) {
      if (last !== -1) ages.push(((now % 2 ** 32) - code + 2 ** 32) % 2 ** 32);
      last = code;
    }
    if (ages.length >= ${samples} || performance.now() > end) done(ages);
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})`;

const browser = await openBrowser();
if (!browser) {
  console.log('1..0 # SKIP no Chromium');
  process.exit(0);
}
const folder = mkdtempSync(join(tmpdir(), 'sightline-glass-'));
try {
  await measure();
} catch (error) {
  ok(false, error.stack ?? String(error));
} finally {
  await browser.close();
  for (const child of started) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
console.log(`1..${count}`);
process.exit(failed > 0 ? 1 : 0);

async function measure() {
  const port = await start('/usr/bin/python3', [join(HERE, 'time_code_camera.py')], { wanted: /port (\d+)/ });
  if (!port) {
    ok(true, 'the camera # SKIP no GStreamer RTSP server');
    return;
  }
  // With a network there are boxes, which pictures wait for.
  const model = existsSync(MODEL) ? `model: ${MODEL}\n` : '';
  writeFileSync(join(folder, 'sightline.yml'), `http: {port: 0}\ndata: data\n${model}cameras: {clock: {ffmpeg: {inputs: [{path: rtsp://127.0.0.1:${port}/live}]}}}\n`);
  const log = openSync(join(folder, 'log'), 'w');
  const address = await start(join(BUILD, 'bin/sightline'), ['serve', '-c', join(folder, 'sightline.yml')],
    { stdio: ['ignore', 'pipe', log], wanted: /Dashboard: (http:\S+)\// });
  if (!address) throw new Error(`no server: ${readFileSync(join(folder, 'log'), 'utf8')}`);
  await read(address, '', 'decoded by this browser', 'H.264', P95_MS);
  await read(address, WITHOUT('VideoDecoder'), 'media player', 'H.264', PLAYER_P95_MS);
  const page = await open(address, WITHOUT('VideoDecoder', 'MediaSource'));
  ok(await page.until(`document.querySelector('.video-kind')?.textContent.startsWith('JPEG')`), 'with neither it is JPEG');
  ok((await page.run(`document.querySelector('.video-kind').title`)).includes('because'), 'and it says why');
}

async function open(address, before) {
  const page = await browser.page({ width: 1280, height: 900 });
  await page.send('Page.addScriptToEvaluateOnNewDocument', { source: before });
  await page.go(`${address}/#/camera/clock`);
  return page;
}

async function read(address, before, means, kind, mostMs) {
  const page = await open(address, before);
  ok(await page.until(`document.querySelector('.video-kind')?.title.includes('${means}')`), `shown: ${means}`);
  ok((await page.run(`document.querySelector('.video-kind').textContent`)) === kind, 'the camera’s own video is shown');
  await page.run(READ(50)); // until it has settled
  const ages = (await page.run(READ(SAMPLES))).sort((a, b) => a - b);
  const at = (share) => ages[Math.min(ages.length - 1, Math.floor(ages.length * share))];
  ok(ages.length >= SAMPLES, `${ages.length} pictures were read back`);
  ok(at(0.95) < mostMs, `glass to glass, ${means}: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms (at most ${mostMs}), worst ${ages.at(-1)} ms`);
  ok(page.complaints.length === 0, `without complaints: ${page.complaints.slice(0, 3).join(' | ')}`);
  if (process.env.SIGHTLINE_SHOTS) await page.png(join(process.env.SIGHTLINE_SHOTS, `live-${mostMs}.png`));
  await page.go('about:blank');
}
