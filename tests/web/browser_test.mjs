// The dashboard in Chromium against mock_server.mjs: what an operator sees, and what happens when things go wrong.
// With words behind it only the scenes of that name are played: browser_test.mjs "edit"

import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBrowser } from './browser.mjs';
import { startMock } from './mock_server.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const build = process.env.SIGHTLINE_BUILD ?? join(root, 'build/release');
const dist = [resolve(build, 'web/dist'), join(root, 'web/dist')].find((folder) => existsSync(join(folder, 'index.html')));

let number = 0;
let failed = false;
const say = (text) => process.stdout.write(`${text}\n`);
function ok(condition, name) {
  number += 1;
  if (!condition) failed = true;
  say(`${condition ? 'ok' : 'not ok'} ${number} - ${name}`);
  return condition;
}
const skipAll = (reason) => {
  say(`1..0 # SKIP ${reason}`);
  process.exit(0);
};
if (dist === undefined) skipAll('the dashboard has not been built');
const browser = await openBrowser();
if (browser === null) skipAll('there is no Chromium');

/** A server and a page that shows it, both gone afterwards. Complaints of the page are failures. */
async function scene(name, { server = {}, view = {}, path = '/#/', expect = /$^/ }, act) {
  if (process.argv.length > 2 && !process.argv.includes(name)) return;
  const mock = await startMock({ dist, cameras: 3, ...server });
  const page = await browser.page(view);
  try {
    await page.go(mock.url + path);
    await act(page, mock);
    const complaints = page.complaints.filter((text) => !expect.test(text));
    ok(complaints.length === 0, `${name}: the browser has nothing to complain about`);
    for (const complaint of complaints) say(`# ${complaint}`);
  } catch (error) {
    ok(false, `${name}: ${error.message}`);
  } finally {
    await page.send('Page.close').catch(() => undefined);
    await mock.stop();
  }
}

const text = (selector) => `[...document.querySelectorAll('${selector}')].map((one) => one.textContent)`;
const WS_REFUSED = /WebSocket connection to .* failed|status of 50|ERR_CONNECTION/;

await scene('wall', {}, async (page, mock) => {
  ok(await page.until(`${text('.tile h2')}.join() === 'Main gate,Market street,Car park north'`), 'wall: a tile for each camera');
  const kind = mock.video ? 'H.264' : null;
  if (kind !== null) {
    ok(await page.until(`${text('.video-kind')}.filter((one) => one === 'H.264').length === 3`), 'wall: live H.264 in every tile');
    ok(
      await page.until(`(() => {
        const copy = new OffscreenCanvas(160, 90).getContext('2d', { willReadFrequently: true });
        copy.drawImage(document.querySelector('.tile canvas'), 0, 0, 160, 90);
        const pixels = copy.getImageData(0, 0, 160, 90).data;
        let light = 0;
        for (let at = 0; at < pixels.length; at += 4) if (pixels[at] + pixels[at + 1] + pixels[at + 2] > 90) light += 1;
        return light > pixels.length / 8;
      })()`),
      'wall: the canvas shows a picture',
    );
  }
  ok(await page.until(`${text('.badge')}.every((one) => one === 'Streaming')`), 'wall: the state of each camera in words');
  const before = await page.run(`${text('.figure-value')}.join()`);
  ok(await page.until(`${text('.figure-value')}.join() !== '${before}'`), 'wall: counts go on by themselves');
  await page.run(`document.querySelector('.counts-row').click()`);
  ok(await page.until(`document.querySelector('.counts-classes:not([hidden]) tbody tr')`), 'wall: figures by class on request');
  mock.say('state Main_gate stalled no picture for 8 seconds');
  ok(await page.until(`document.querySelector('.tile .badge').textContent === 'Stalled'`), 'wall: a stalled camera is called so');
  ok(await page.until(`document.querySelector('.picture-old .picture-words')?.textContent.includes('no picture for 8 seconds')`), 'wall: an old picture is dimmed and the reason stands on it');
});

await scene('many cameras', { server: { cameras: 40 } }, async (page, mock) => {
  await page.until(`document.querySelectorAll('.tile').length === 24`);
  ok(await page.until(`document.querySelector('.pages').textContent.includes('Page 1 of 2')`), 'many cameras: pages of 24');
  await page.until(`document.querySelector('.video-kind') || document.querySelector('.picture')`);
  await new Promise((done) => setTimeout(done, 700));
  const topics = mock.clients()[0] ?? [];
  const videos = topics.filter((topic) => topic.startsWith('video/'));
  ok(videos.length >= 3 && videos.length < 16, `many cameras: only tiles that can be seen ask for video (${videos.length})`);
  await page.run(`[...document.querySelectorAll('.pages button')].at(-1).click()`);
  ok(await page.until(`document.querySelectorAll('.tile').length === 16`), 'many cameras: the next page');
  await page.run(`scrollTo(0, 0)`);
  await new Promise((done) => setTimeout(done, 900));
  const later = mock.clients()[0] ?? [];
  ok(later.every((topic) => !videos.includes(topic)) && later.length < 64, 'many cameras: tiles that are gone are given up');
});

await scene('JPEG', { server: { broken: true, cameras: 1 } }, async (page, mock) => {
  if (!mock.video) return;
  ok(await page.until(`document.querySelector('.video-kind')?.textContent === 'JPEG fallback'`), 'JPEG: a stream that cannot be decoded falls back, visibly');
  ok(await page.until(`document.querySelector('.video-kind').title.includes('because')`), 'JPEG: and says why');
  ok(mock.videoWishes().join() === 'jpeg', 'JPEG: the stream itself is given up');
});

await scene('rare key frames', { server: { replays: false, cameras: 1 } }, async (page, mock) => {
  if (!mock.video) return;
  ok(await page.until(`document.querySelector('.video-kind')?.textContent === 'JPEG fallback'`), 'rare key frames: a picture within seconds all the same');
});

await scene('another page', {}, async (page, mock) => {
  if (!mock.video) return;
  await page.until(`${text('.video-kind')}.length === 3`);
  await page.run(`location.hash = '#/camera/Main%20gate'`);
  ok(await page.until(`document.querySelector('.camera .video-kind')?.textContent === 'H.264'`, 2000), 'another page: the stream begins there at once');
});

await scene('lost', { expect: WS_REFUSED }, async (page, mock) => {
  await page.until(`document.querySelectorAll('.tile').length === 3`);
  mock.say('refuse');
  mock.say('drop');
  ok(await page.until(`document.querySelector('.banner')?.textContent.includes('No connection to the server')`), 'lost: a banner says so');
  ok(await page.until(`document.querySelector('main').classList.contains('stale')`), 'lost: what is shown is dimmed');
  ok((await page.run(`document.querySelectorAll('.tile').length`)) === 3, 'lost: the last figures stay');
  mock.say('accept');
  await page.run(`document.querySelector('.banner button').click()`);
  ok(await page.until(`!document.querySelector('.banner') && !document.querySelector('.stale')`), 'lost: comes back');
  const before = await page.run(`${text('.figure-value')}.join()`);
  ok(await page.until(`${text('.figure-value')}.join() !== '${before}'`), 'lost: and counts on');
  mock.say('mute');
  ok(await page.until(`document.querySelector('.link').textContent === 'Offline'`, 25_000), 'lost: a connection that says nothing is not believed');
  mock.say('speak');
  ok(await page.until(`document.querySelector('.link').textContent === 'Live'`), 'lost: and replaced');
});

await scene('events', { path: '/#/camera/Main%20gate', expect: WS_REFUSED }, async (page, mock) => {
  ok(await page.until(`document.querySelectorAll('.events li').length > 5`), 'events: the latest are there at once');
  const world = mock.world;
  const first = await page.run(`document.querySelector('.events time').dateTime`);
  mock.say('drop');
  ok(await page.until(`document.querySelector('.events time').dateTime > '${first}'`), 'events: new ones come after a lost connection');
  const shown = await page.run(`${text('.events li')}.length`);
  const times = await page.run(`[...document.querySelectorAll('.events time')].map((one) => one.dateTime)`);
  const newest = times[0];
  const expected = world.events.filter((event) => event.camera === 'Main gate' && event.time <= newest).slice(-shown).reverse().map((event) => event.time);
  ok(JSON.stringify(times) === JSON.stringify(expected), 'events: each once, none missing');
  await page.run(`document.querySelector('.events li').focus()`);
  await page.key('ArrowDown');
  ok(await page.run(`document.activeElement === document.querySelectorAll('.events li')[1] || document.activeElement.matches('.events li')`), 'events: arrow keys go through the list');
  ok(await page.until(`document.querySelector('.chart canvas')`), 'events: the chart is there');
});

await scene('history', { path: '/#/history?camera=Main%20gate&counter=door&bucket=minute&range=6h' }, async (page) => {
  ok(await page.until(`document.querySelectorAll('.table tbody tr').length === 60`), 'history: a table under the chart');
  ok(await page.until(`document.querySelector('.row-gap td:last-child')?.textContent === 'gap'`), 'history: a gap is called a gap');
  ok(await page.run(`[...document.querySelectorAll('.row-gap td:not(:last-child)')].every((one) => one.textContent === '–')`), 'history: and has no figures');
  await page.run(`document.querySelector('.chart').focus()`);
  await page.key('ArrowLeft');
  ok(await page.until(`document.querySelector('.tip strong')`), 'history: arrow keys read the bars');
  ok(await page.until(`document.querySelector('.chart [aria-live]').textContent.length > 20`), 'history: aloud as well');
  await page.run(`(() => {
    const make = URL.createObjectURL;
    URL.createObjectURL = (blob) => { blob.text().then((csv) => (window.csv = csv)); return make.call(URL, blob); };
    HTMLAnchorElement.prototype.click = function () { window.csvName = this.download; };
    [...document.querySelectorAll('button')].find((one) => one.textContent.includes('CSV')).click();
  })()`);
  ok(await page.until(`window.csvName === 'Main-gate_door_minute.csv' && window.csv.split('\\r\\n').length === 362`), 'history: the same as CSV, a row for each minute');
  ok(await page.run(`/,0,,/.test(window.csv)`), 'history: with its gaps');
});

await scene('edit', { path: '/#/camera/Market%20street', expect: /status of 409/ }, async (page, mock) => {
  await page.until(`[...document.querySelectorAll('.head .button')].some((one) => one.textContent.includes('Lines, zones'))`);
  await page.run(`[...document.querySelectorAll('.head .button')].find((one) => one.textContent.includes('Lines, zones')).click()`);
  ok(await page.until(`document.querySelectorAll('.drawing-end').length === 3`), 'edit: the line stands on the picture with its points');
  const before = await page.run(`document.querySelector('.drawing-end').getAttribute('cy')`);
  await page.run(`document.querySelector('.drawing-end').focus()`);
  await page.key('ArrowUp');
  ok(await page.until(`Number(document.querySelector('.drawing-end').getAttribute('cy')) < ${Number(before)}`), 'edit: a point is moved with the keyboard');
  await page.key('Delete');
  ok(await page.until(`document.querySelectorAll('.drawing-end').length === 2`), 'edit: and taken away');
  await page.run(`[...document.querySelectorAll('.edit .button')].find((one) => one.textContent.includes('A zone')).click()`);
  ok(await page.until(`document.querySelectorAll('.edit-shapes li').length === 2 && document.querySelectorAll('.drawing-end').length === 4`), 'edit: a zone is added');
  await page.run(`(() => { const field = document.querySelector('.edit-shapes li:last-child input'); field.value = 'road'; field.dispatchEvent(new Event('input', { bubbles: true })); })()`);
  ok(await page.until(`document.querySelector('.edit [type=submit]').disabled && /Two lines or zones/.test(document.querySelector('.edit [role=alert]').textContent)`), 'edit: two of one name are refused in words');
  await page.run(`(() => { const field = document.querySelector('.edit-shapes li:last-child input'); field.value = 'queue'; field.dispatchEvent(new Event('input', { bubbles: true })); })()`);
  await page.until(`!document.querySelector('.edit [type=submit]').disabled`);
  await keptFromLeaving(page);
  await keptFromSavingAlone(page, mock);
  await page.run(`document.querySelector('.edit [type=submit]').click()`);
  ok(await page.until(`location.hash === '#/camera/Market%20street' && ${text('.counts-name')}.join() === 'road,queue'`), 'edit: saved, and shown at once');
  const sent = mock.jobs.at(-1);
  ok(sent.do === 'change_camera' && Object.keys(sent.camera).join() === 'lines,zones' && sent.camera.lines.road.coordinates.split(',').length === 4, 'edit: what was not changed is not sent');
  ok(sent.version === 'v1', 'edit: and which version was seen is');
  const CHECKED = `[...document.querySelectorAll('.edit-classes input')].filter((one) => one.checked).map((one) => one.parentElement.textContent).join()`;
  const click = (name) => page.run(`document.querySelector('.edit-classes [name=class-${name}]').click()`);
  await page.run(`location.hash = '#/edit/Market%20street'`);
  ok(await page.until(`${CHECKED} === 'person,bicycle,car,motorcycle,bus,truck'`), 'edit: six boxes for six classes');
  for (const name of ['person', 'bicycle', 'car', 'motorcycle', 'bus', 'truck']) await click(name);
  ok(await page.until(`document.querySelector('.edit [type=submit]').disabled && /at least one kind/.test(document.querySelector('.edit [role=alert]').textContent)`), 'edit: none at all is refused in words');
  await click('bus');
  await click('car');
  await page.until(`!document.querySelector('.edit [type=submit]').disabled`);
  await page.run(`document.querySelector('.edit [type=submit]').click()`);
  await page.until(`location.hash === '#/camera/Market%20street'`);
  ok(mock.jobs.at(-1).camera.objects?.track.join() === 'car,bus', 'edit: the classes that are counted are changed');
  await page.run(`location.hash = '#/edit/Market%20street'`);
  ok(await page.until(`${CHECKED} === 'car,bus'`), 'edit: and shown so');
  const another = { do: 'change_camera', name: 'Market street', camera: { lines: {}, zones: {}, objects: { track: ['truck'] } } };
  mock.world.change(another);
  mock.publish('cameras', 0, {});
  ok(await page.until(`/changed meanwhile/.test(document.querySelector('.edit-stale')?.textContent) && document.querySelector('.edit [type=submit]').disabled`), 'edit: what another changes meanwhile is told');
  ok((await page.run(CHECKED)) === 'car,bus', 'edit: and takes the pen out of nobody’s hand');
  await page.run(`document.querySelector('.edit-stale .button').click()`);
  ok(await page.until(`${CHECKED} === 'truck' && !document.querySelector('.edit [type=submit]').disabled`), 'edit: begun anew with what it is now');
  mock.world.change({ ...another, camera: { lines: {}, zones: {} } });
  const asked = mock.jobs.length;
  await page.run(`document.querySelector('.edit [type=submit]').click()`);
  ok((await page.until(`/changed meanwhile/.test(document.querySelector('.edit-stale')?.textContent)`)) && mock.jobs.length === asked, 'edit: what is not seen yet is not saved over, either');
  await page.run(`location.hash = '#/edit/Main%20gate'`);
  ok(await page.until(`document.querySelector('.edit-text')?.textContent.includes('      door:')`), 'edit: a camera of the configuration file is told as text');
  ok((await page.run(`${text('.edit h2')}.join()`)) === 'What is counted', 'edit: and cannot be removed here');
  await page.run(`location.hash = '#/edit/Market%20street'`);
  await page.until(`${text('.edit .button')}.includes('Remove…')`);
  await page.run(`[...document.querySelectorAll('.edit .button')].find((one) => one.textContent === 'Remove…').click()`);
  await page.until(`document.activeElement.textContent === 'Remove Market street'`);
  await page.key('Enter');
  ok(await page.until(`location.hash === '#/' && ${text('.tile h2')}.join() === 'Main gate,Car park north'`), 'edit: removed after a question');
  await leftUnsaved(page);
});

/** What is drawn on the edit page is not lost by a link, the way back, or the end of the page. */
async function keptFromLeaving(page) {
  const drawn = `document.querySelectorAll('.edit-shapes li').length === 2 && location.hash === '#/edit/Market%20street'`;
  const ending = `!dispatchEvent(new Event('beforeunload', { cancelable: true }))`;
  ok(await page.run(ending), 'edit: the page does not close with unsaved changes without a question');
  await page.run(`(() => { const link = document.querySelector('nav [href="#/history"]'); link.focus(); link.click(); })()`);
  ok(await page.until(`document.querySelector('dialog[open][role=alertdialog]') !== null`), 'edit: nor does a link leave it');
  ok(await page.run(`(() => {
    const dialog = document.querySelector('dialog');
    const words = (key) => document.getElementById(dialog.getAttribute(key)).textContent;
    return dialog.matches(':modal') && /Leave without saving/.test(words('aria-labelledby')) && /will be lost/.test(words('aria-describedby')) && document.activeElement.textContent === 'Stay here';
  })()`), 'edit: the question has a name and words, keeps the focus, and to stay is the first answer');
  await page.key('Escape');
  ok(await page.until(`document.querySelector('dialog') === null && ${drawn}`), 'edit: Escape is to stay, and all is as it was');
  ok(await page.run(`document.activeElement.getAttribute('href') === '#/history'`), 'edit: with the focus where it was');
  await page.run(`history.back()`);
  await page.until(`document.querySelector('dialog[open]') !== null`);
  await page.key('Enter');
  ok(await page.until(`document.querySelector('dialog') === null && ${drawn}`), 'edit: nor does the way back');
}

/** The page has two parts that are saved each for itself, and leaves when one is: the other is not lost unasked. */
async function keptFromSavingAlone(page, mock) {
  const type = (name, value) => page.run(`(() => { const field = document.querySelector('.edit [name=${name}]'); field.value = '${value}'; field.dispatchEvent(new Event('input', { bubbles: true })); })()`);
  const asked = mock.jobs.length;
  await type('user', 'viewer');
  await page.until(`!document.querySelector('.edit [type=password]').form.querySelector('[type=submit]').disabled`);
  await page.run(`document.querySelector('.edit [type=password]').form.requestSubmit()`);
  ok(await page.until(`/Something else .* will be lost/.test(document.querySelector('dialog[open]')?.textContent)`), 'edit: a password is not saved over unsaved lines without a question');
  await page.key('Enter');
  ok(await page.until(`document.querySelector('dialog') === null && document.querySelectorAll('.edit-shapes li').length === 2`), 'edit: to stay is the first answer there, too');
  await page.run(`document.querySelector('.edit [type=submit]').click()`);
  ok(await page.until(`document.querySelector('dialog[open]') !== null`), 'edit: nor lines over an unsaved user');
  await page.key('Escape');
  await page.until(`document.querySelector('dialog') === null`);
  ok(mock.jobs.length === asked, 'edit: and nothing has been sent');
  await type('user', '');
  await page.until(`document.querySelector('.edit [type=password]').form.querySelector('[type=submit]').disabled`);
}

async function leftUnsaved(page) {
  await page.run(`location.hash = '#/edit/Main%20gate'`);
  await page.until(`document.querySelector('.edit-text') !== null`);
  const shapes = await page.run(`document.querySelectorAll('.edit-shapes li').length`);
  const add = `[...document.querySelectorAll('.edit .button')].find((one) => one.textContent.includes('A zone')).click()`;
  await page.run(add);
  await page.until(`document.querySelectorAll('.edit-shapes li').length === ${shapes + 1}`);
  await page.run(`[...document.querySelectorAll('.edit-actions .button')].at(-1).click()`);
  await page.until(`document.querySelectorAll('.edit-shapes li').length === ${shapes}`);
  ok(await page.run(`dispatchEvent(new Event('beforeunload', { cancelable: true }))`), 'edit: what was taken back again is no change');
  await page.run(add);
  await page.until(`document.querySelectorAll('.edit-shapes li').length === ${shapes + 1}`);
  await page.run(`location.hash = '#/history'`);
  await page.until(`document.querySelector('dialog[open]') !== null`);
  await page.run(`[...document.querySelectorAll('dialog .button')].find((one) => one.textContent === 'Leave without saving').click()`);
  ok(await page.until(`location.hash === '#/history' && document.querySelector('dialog') === null && document.querySelector('.edit') === null`), 'edit: left when that is the answer');
  await page.run(`history.back()`);
  ok(await page.until(`location.hash === '#/edit/Main%20gate' && document.querySelectorAll('.edit-shapes li').length === ${shapes}`), 'edit: and without a trace on the way back');
}

await scene('health', { path: '/#/health' }, async (page, mock) => {
  ok(await page.until(`document.querySelector('.verdict h2')?.textContent === 'All is well'`), 'health: well');
  mock.say('problem ledger no space left on device');
  mock.say('state Main_gate backoff connection refused');
  ok(await page.until(`document.querySelector('.verdict-not_ready')`), 'health: not well');
  ok(await page.until(`${text('.problem-text')}.join().includes('no space left on device')`), 'health: the server’s own words');
  ok(await page.run(`${text('.problem .advice')}.length === 2`), 'health: and what to do about each');
  ok(await page.until(`document.querySelector('.pip').textContent.startsWith('2')`), 'health: seen from every page');
});

await scene('sign-in', { server: { token: 'open sesame' }, expect: /status of 401/ }, async (page, mock) => {
  ok(await page.until(`document.querySelector('input[type=password]')`), 'sign-in: asked for where a token is needed');
  ok(mock.clients().length === 0, 'sign-in: no connection before it');
  const enter = async (token) => {
    await page.run(`(() => { const field = document.querySelector('input[type=password]'); field.focus(); field.select(); })()`);
    await page.type(token);
    await page.key('Enter');
  };
  await enter('wrong');
  ok(await page.until(`document.querySelector('[role=alert]').textContent !== ''`), 'sign-in: a wrong token is refused in words');
  await enter('open sesame');
  ok(await page.until(`document.querySelectorAll('.tile').length === 3`), 'sign-in: the right one opens');
  await page.run(`document.querySelector('[aria-label="Sign out"]').click()`);
  ok(await page.until(`document.querySelector('input[type=password]') && !document.querySelector('.tile')`), 'sign-in: and out again');
});

await scene('names', { server: { cameras: 1 } }, async (page, mock) => {
  await page.until(`document.querySelector('.tile h2')`);
  const name = '<img src=x onerror="window.hacked=1">';
  const camera = mock.world.cameras[0];
  camera.line = { ...camera.line, a_to_b: '<b>in<b>' };
  camera.name = name;
  mock.publish('cameras', 0, {});
  ok(await page.until(`document.querySelector('.tile h2').textContent === ${JSON.stringify(name)}`), 'names: shown as they are, at once');
  ok((await page.run(`window.hacked === undefined && document.querySelectorAll('.tile img, .tile b').length === 0`)), 'names: never as HTML');
  mock.say('cameras 0');
  ok(await page.until(`document.querySelector('h1').textContent === 'No camera yet'`), 'names: without a camera the page says what to do');
});

for (const [width, height] of [[1440, 900], [820, 1180], [390, 844]])
  for (const dark of [false, true])
    await scene(`${width} px${dark ? ', dark' : ''}`, { view: { width, height, dark, phone: width < 500 } }, async (page, mock) => {
      let narrow = true;
      for (const path of ['#/', '#/camera/Main%20gate', '#/history', '#/health']) {
        await page.run(`location.hash = '${path}'`);
        await page.until(`document.querySelector('.tile, .camera, .history-view .table, .health-view .table')`);
        narrow &&= await page.run(`document.documentElement.scrollWidth <= innerWidth`);
      }
      ok(narrow, `${width} px${dark ? ', dark' : ''}: nothing is wider than the window`);
      ok(mock.clients().length === 1, `${width} px${dark ? ', dark' : ''}: one connection for all pages`);
    });

await scene('keyboard', {}, async (page) => {
  await page.until(`document.querySelectorAll('.tile').length === 3`);
  const seen = [];
  for (let each = 0; each < 18; each += 1) {
    await page.key('Tab');
    seen.push(await page.run(`document.activeElement.textContent.trim().slice(0, 20) || document.activeElement.getAttribute('aria-label') || document.activeElement.name`));
  }
  ok(['To the content', 'Wall', 'History', 'Health', 'Main gate'].every((name) => seen.some((one) => one?.startsWith(name))), 'keyboard: everything is reached by the tab key');
  ok(await page.run(`getComputedStyle(document.activeElement).outlineStyle !== 'none' || getComputedStyle(document.activeElement.parentElement).outlineStyle !== 'none'`), 'keyboard: the focus can be seen');
});

await browser.close();
say(`1..${number}`);
process.exitCode = failed ? 1 : 0;
