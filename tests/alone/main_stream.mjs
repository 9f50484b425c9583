// tests/alone/main_stream.mjs, run by main_stream.t: the wall shows a camera's small stream, a click on the tile its main
// stream, the way back the small one again; and the page says which one it is, also when the main one cannot be had.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBrowser } from '../web/browser.mjs';

const BUILD = process.env.SIGHTLINE_BUILD ?? 'build/release';
const HERE = dirname(fileURLToPath(import.meta.url));
const SHOTS = resolve('build/screenshots');
const SLOW = /(asan|tsan)$/.test(BUILD) ? 8 : 1;

let count = 0;
let failed = 0;
function ok(condition, name) {
  count += 1;
  if (!condition) failed += 1;
  console.log(`${condition ? 'ok' : 'not ok'} ${count} - ${name}`);
  return condition;
}
async function until(condition, ms) {
  const end = Date.now() + ms * SLOW;
  for (;;) {
    const value = await condition();
    if (value || Date.now() > end) return value;
    await new Promise((done) => setTimeout(done, 50));
  }
}

const browser = await openBrowser();
if (!browser) {
  console.log('1..0 # SKIP no Chromium');
  process.exit(0);
}
const started = [];
const folder = mkdtempSync(join(tmpdir(), 'sightline-streams-'));
process.on('exit', () => {
  for (const child of started) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** A camera's stream of that size; its port when it listens. */
async function stream(width, height, port = 0) {
  const child = spawn('/usr/bin/python3', [join(HERE, '../integration/rtsp_server.py'), '--width', width, '--height', height,
    '--fps', '15', '--port', port].map(String), { stdio: ['pipe', 'pipe', 'ignore'] });
  started.push(child);
  let said = '';
  const found = await new Promise((done) => child.stdout.on('data', (data) => {
    said += data;
    const line = /port (\d+)\n/.exec(said);
    if (line) done(line[1]);
  }));
  return { child, port: Number(found) };
}
const sub = await stream(320, 180);
const main = await stream(960, 540);
writeFileSync(join(folder, 'sightline.yml'), `http: {port: 0}
data: data
cameras:
  gate:
    ffmpeg:
      inputs:
        - {path: "rtsp://127.0.0.1:${sub.port}/live", roles: [detect]}
        - {path: "rtsp://127.0.0.1:${main.port}/live", roles: [view]}
`);
const out = join(folder, 'out');
const server = spawn(join(BUILD, 'bin/sightline'), ['serve', '-c', join(folder, 'sightline.yml')], {
  stdio: ['ignore', openSync(out, 'w'), openSync(join(folder, 'log'), 'w')],
});
started.push(server);
const ended = new Promise((done) => server.on('exit', (code) => done(code)));
const address = await until(() => /Dashboard: (\S+)\/\n/.exec(readFileSync(out, 'utf8'))?.[1], 15000);
ok(address, 'the server starts');

const page = await browser.page({ width: 1440, height: 900 });
// The widths of the pictures that are decoded, as they are.
await page.send('Page.addScriptToEvaluateOnNewDocument', { source: `window.widths = [];
  const Own = window.VideoDecoder;
  window.VideoDecoder = class extends Own { constructor(init) { super({ ...init, output: (frame) => { widths.push(frame.displayWidth); init.output(frame); } }); } };` });
const state = async () => JSON.parse(await page.run(`fetch('/api/v1/cameras').then((r) => r.json()).then((all) => JSON.stringify(all.cameras[0].main))`)).state;
await page.go(`${address}/`);
ok(await page.until('window.widths.length > 10'), 'the wall shows the camera');
ok(await page.run('widths.every((width) => width === 320)'), 'its small stream');
ok((await state()) === 'idle', 'nobody has connected to the main one');

await page.run(`document.querySelector('a[href="#/camera/gate"]').click()`);
ok(await page.until(`document.querySelector('.video-kind')?.textContent === 'H.264, main stream'`), 'a click on the tile, and the page says that the main stream is shown');
ok(await page.until('widths.at(-1) === 960'), 'and shows it');
ok((await state()) === 'streaming', 'the server is connected to it');
mkdirSync(SHOTS, { recursive: true });
await page.png(join(SHOTS, 'main-stream.png'));

main.child.kill('SIGKILL');
ok(await page.until(`/analysed stream/.test(document.querySelector('.video-kind')?.textContent)`), 'it fails: the page says that the analysed stream is shown');
ok(await page.until('widths.at(-1) === 320'), 'and shows it');
ok(await page.run(`/cannot be had/.test(document.querySelector('.video-kind').title)`), 'and why');
await stream(960, 540, main.port);
ok(await until(() => page.run('widths.at(-1) === 960'), 30000), 'it comes back by itself');

await page.run(`document.querySelector('a[href="#/"]').click()`);
ok(await page.until('widths.at(-1) === 320'), 'back on the wall it is the small one');
ok(await until(async () => (await state()) === 'idle', 15000), 'the main one is closed');
ok(page.complaints.filter((text) => !/favicon/.test(text)).length === 0, `no error in the page ${page.complaints}`);
server.kill('SIGTERM');
ok((await ended) === 0, 'the server stops');
await browser.close();
console.log(`1..${count}`);
process.exit(failed ? 1 : 0);
