// tests/alone/add_camera.mjs, run by add_camera.t: the four steps of the wizard, as an installer does them.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBrowser } from '../web/browser.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const BUILD = process.env.SIGHTLINE_BUILD ?? 'build/release';
const SHOTS = resolve('build/screenshots');
const SLOW = /(asan|tsan)$/.test(BUILD) ? 8 : 1;
const HOST = '10.77.0.1';
const [USER, PASSWORD] = ['installer', 'canary-p@ss:w/rd'];
const VIDEO = resolve(process.env.SIGHTLINE_MATERIAL ?? '../shared/material', 'videos/opendatacam_street.mp4');

let count = 0;
let failed = 0;
const diag = (text) => console.log(`# ${text}`);
function ok(condition, name) {
  count += 1;
  if (!condition) failed += 1;
  console.log(`${condition ? 'ok' : 'not ok'} ${count} - ${name}`);
  return condition;
}
const started = [];
const folder = mkdtempSync(join(tmpdir(), 'sightline-add-'));
function stop() {
  for (const process of started) process.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
function start(command, words, options = {}) {
  const child = spawn(command, words, { stdio: ['pipe', 'pipe', 'ignore'], ...options });
  started.push(child);
  return child;
}
/** The first line of a child's output that fits; null when it ends first. */
function line(child, pattern) {
  return new Promise((done) => {
    let text = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (more) => { text += more; const found = pattern.exec(text); if (found) done(found); });
    child.on('exit', () => done(null));
  });
}

const browser = await openBrowser();
if (!browser) {
  console.log('1..0 # SKIP no Chromium');
  process.exit(0);
}
try {
  await play();
} catch (error) {
  ok(false, error.stack ?? String(error));
} finally {
  await browser.close();
  stop();
}
console.log(`1..${count}`);
process.exit(failed > 0 ? 1 : 0);

async function play() {
  const python = '/usr/bin/python3';
  const rtsp = start(python, [join(HERE, '../integration/rtsp_server.py'), '--address', HOST, '--auth', 'digest', '--user', USER,
    '--password', PASSWORD, '--width', '640', '--height', '360', ...(existsSync(VIDEO) ? ['--file', VIDEO] : [])]);
  const port = (await line(rtsp, /port (\d+)/))?.[1];
  const camera = start(python, [join(HERE, '../integration/onvif_camera.py'), HOST, port, USER, PASSWORD]);
  if (!port || !(await line(camera, /ready/))) throw new Error('the simulated camera did not start');
  writeFileSync(join(folder, 'sightline.yml'), 'http: {port: 0}\ndata: data\n');
  const log = openSync(join(folder, 'log'), 'w');
  const server = start(join(BUILD, 'bin/sightline'), ['serve', '-c', join(folder, 'sightline.yml')], { stdio: ['ignore', 'pipe', log] });
  const address = (await line(server, /Dashboard: (http:\S+)\//))?.[1];
  if (!address) throw new Error(`no server: ${readFileSync(join(folder, 'log'), 'utf8')}`);
  await steps(address);
  const said = readFileSync(join(folder, 'log'), 'utf8') + readFileSync(join(folder, 'data/cameras.yml'), 'utf8');
  ok(!said.includes('canary'), 'the password is in no log and in no file');
}

/** A video file in the place of a camera: no address and no sign-in, but a bar that says how far it is. */
async function addVideo(address, page, { until, shot, click, type }) {
  if (!existsSync(VIDEO)) return diag('no video in the test material');
  const choose = async (file) => {
    const { root } = await page.send('DOM.getDocument');
    const { nodeId } = await page.send('DOM.querySelector', { nodeId: root.nodeId, selector: 'input[name=video]' });
    await page.send('DOM.setFileInputFiles', { nodeId, files: [file] });
  };
  await page.go(`${address}/#/add`);
  ok(await until(`document.querySelector('input[name=video]') !== null`), 'a video file may be chosen instead');
  await page.run(`window.bar = []; new MutationObserver(() => { const bar = document.querySelector('.add-sending progress');
    if (bar) window.bar.push([bar.value, bar.max, bar.getAttribute('aria-valuetext')]); }).observe(document.body, { subtree: true, childList: true, attributes: true })`);
  const broken = join(folder, 'broken.mp4');
  writeFileSync(broken, 'this is no video\n'.repeat(500));
  await choose(broken);
  ok(await until(`/cannot be used/.test(document.querySelector('.add-video [role=alert]')?.textContent ?? '')`, 40), 'one that is none is told in words');
  await choose(VIDEO);
  ok(await until(`document.querySelector('.add-picture img')?.naturalWidth > 0`, 60), 'its first picture is shown');
  const bar = await page.run('window.bar');
  ok(bar.some(([value, max, words]) => value > 0 && value <= max && / of .*MB/.test(words)), `its progress was shown: ${bar.length} steps`);
  ok(await page.run(`document.querySelector('input[name=name]').value === 'opendatacam_street'`), 'it is named after the file');
  await shot('add-6-video');
  await click('Next');
  ok(await until(`document.querySelector('input[name=loop]')?.checked === false`), 'it is played once unless one says so');
  await type('a_to_b', 'out of town');
  await page.run(`document.querySelector('input[name=loop]').click()`);
  await click('Add the camera');
  ok(await until(`location.hash === '#/camera/opendatacam_street'`), 'it is added and shown');
  ok(await until(`/^live|streaming/i.test(document.querySelector('.badge')?.textContent ?? '')`), 'it plays');
}

async function steps(address) {
  const page = await browser.page({ width: 1280, height: 900 });
  const until = (what, seconds = 20) => page.until(what, seconds * 1000 * SLOW);
  const shot = async (name) => {
    mkdirSync(SHOTS, { recursive: true });
    await page.png(join(SHOTS, `${name}.png`));
  };
  const type = (name, text) => page.run(`(() => { const field = document.querySelector('input[name=${name}]');
    field.value = ${JSON.stringify(text)}; field.dispatchEvent(new Event('input', { bubbles: true })); })()`);
  const click = (text) => page.run(`[...document.querySelectorAll('button, a.button')].find((one) => one.textContent.includes(${JSON.stringify(text)})).click()`);

  await page.go(`${address}/#/`);
  ok(await until(`document.querySelector('.empty a[href="#/add"]') !== null`), 'an empty wall shows the way');
  await click('Add a camera');
  ok(await until(`[...document.querySelectorAll('.add-devices b')].some((one) => one.textContent === 'North gate')`), 'the camera is found by itself');
  await until(`document.querySelector('.add-progress') === null`);
  await shot('add-1-find');
  await page.run(`document.querySelector('.add-devices button').click()`);
  ok(await until(`document.querySelector('input[name=password]') !== null`), 'it asks for its user and password');
  await type('user', USER);
  await type('password', 'wrong');
  await click('Show its picture');
  ok(await until(`/refuses/.test(document.querySelector('[role=alert]')?.textContent ?? '')`), 'a wrong password is told');
  await shot('add-2-sign-in');
  await type('password', PASSWORD);
  await click('Show its picture');
  ok(await until(`document.querySelector('.add-picture img')?.naturalWidth === 640`, 40), 'its picture is shown');
  ok(await page.run(`document.querySelector('input[name=name]').value === 'North gate'`), 'it has a name already');
  ok(await page.run(`/recommended/.test(document.querySelector('select option:checked').textContent)`), 'the smaller stream is chosen to count on');
  await shot('add-3-picture');
  await click('Next');
  ok(await until(`document.querySelectorAll('.drawing-end').length === 2`), 'a line to draw');
  const before = await page.run(`document.querySelector('.drawing-end').getAttribute('cy')`);
  await page.run(`document.querySelector('.drawing-end').focus()`);
  for (let press = 0; press < 5; press += 1) await page.key('ArrowDown');
  ok(await until(`Number(document.querySelector('.drawing-end').getAttribute('cy')) > ${Number(before)} + 10`), 'it is moved with the keyboard');
  await type('a_to_b', 'towards town');
  await shot('add-4-line');
  await click('Add the camera');
  ok(await until(`location.hash === '#/camera/North%20gate'`), 'it is added and shown');
  ok(await until(`/^live|streaming/i.test(document.querySelector('.badge')?.textContent ?? '')`), 'it plays');
  const { cameras } = await (await fetch(`${address}/api/v1/cameras`)).json();
  ok(cameras[0].main !== null && cameras[0].managed, 'its larger stream is there to be looked at');
  const found = JSON.stringify(cameras[0].lines);
  ok(/"entrance"/.test(found) && /towards town/.test(found), 'with its line and direction');
  diag(found);
  await shot('add-5-done');
  await addVideo(address, page, { until, shot, click, type });
  for (const complaint of page.complaints.filter((text) => !/40[04]|422|503.*jobs.data/.test(text))) ok(false, `the browser complains: ${complaint}`);
}
