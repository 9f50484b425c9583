// Drives Chromium through its debugging pipe: no port, no package. What the dashboard's browser tests need, no more.
//
//   const browser = await openBrowser();          // null when there is no Chromium
//   const page = await browser.page({ width: 1440, height: 900, dark: true });
//   await page.go(url); await page.until('document.title !== ""'); await page.png('shot.png');

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-extensions', '--mute-audio', '--hide-scrollbars',
  '--remote-debugging-pipe',
];
const PATIENCE_MS = 20_000;

export async function openBrowser(program = process.env.CHROMIUM ?? '/usr/bin/chromium') {
  if (!existsSync(program)) return null;
  const profile = await mkdtemp(join(tmpdir(), 'sightline-browser-'));
  const child = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const [, , , writer, reader] = child.stdio;
  const waiting = new Map();
  const sessions = new Map();
  let nextId = 1;
  let rest = '';
  reader.setEncoding('utf8');
  reader.on('data', (text) => {
    const parts = (rest + text).split('\0');
    rest = parts.pop();
    for (const part of parts) {
      const message = JSON.parse(part);
      if (message.id !== undefined) {
        const { done, fail } = waiting.get(message.id);
        waiting.delete(message.id);
        if (message.error) fail(new Error(message.error.message));
        else done(message.result);
      } else sessions.get(message.sessionId)?.(message.method, message.params);
    }
  });
  child.on('exit', () => {
    for (const { fail } of waiting.values()) fail(new Error('Chromium has ended'));
  });
  const send = (method, params = {}, sessionId) =>
    new Promise((done, fail) => {
      const id = nextId++;
      waiting.set(id, { done, fail });
      writer.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });

  return {
    async page(view = {}) {
      const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
      const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
      const page = new Page((method, params) => send(method, params, sessionId));
      sessions.set(sessionId, (method, params) => page.heard(method, params));
      await page.begin(view);
      return page;
    },
    async close() {
      const ended = new Promise((done) => child.on('exit', done));
      await Promise.race([send('Browser.close').catch(() => undefined), ended]);
      setTimeout(() => child.kill('SIGKILL'), 3000).unref();
      await ended;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

class Page {
  constructor(send) {
    this.send = send;
    /** Errors and warnings of the page: violations of the content policy are among them. */
    this.complaints = [];
  }

  async begin(view) {
    for (const domain of ['Page', 'Runtime', 'Log']) await this.send(`${domain}.enable`);
    await this.look(view);
  }

  async look({ width = 1440, height = 900, scale = 1, dark = false, calm = false, phone = false }) {
    await this.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: scale, mobile: phone });
    await this.send('Emulation.setEmulatedMedia', {
      features: [
        { name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' },
        { name: 'prefers-reduced-motion', value: calm ? 'reduce' : 'no-preference' },
      ],
    });
  }

  heard(method, params) {
    if (method === 'Runtime.exceptionThrown')
      this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    if (method === 'Log.entryAdded' && ['error', 'warning'].includes(params.entry.level))
      this.complaints.push(`${params.entry.text} ${params.entry.url ?? ''}`);
    if (method === 'Runtime.consoleAPICalled' && ['error', 'warning', 'assert'].includes(params.type))
      this.complaints.push(params.args.map((one) => one.value ?? one.description).join(' '));
  }

  async go(url) {
    await this.send('Page.navigate', { url });
    await this.until('document.readyState === "complete"');
  }

  async run(script) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression: script, awaitPromise: true, returnByValue: true, userGesture: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until the expression is true; the page itself looks at every change of its picture. */
  async until(expression, patienceMs = PATIENCE_MS) {
    const end = Date.now() + patienceMs;
    for (;;) {
      const found = await this.run(`(() => { try { return !!(${expression}); } catch { return false; } })()`).catch(() => false);
      if (found) return true;
      if (Date.now() > end) return false;
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async key(name) {
    const code = { Tab: 9, Enter: 13, Escape: 27, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 }[name] ?? 0;
    const event = { key: name, code: name, windowsVirtualKeyCode: code, ...(name === 'Enter' ? { text: '\r' } : {}) };
    await this.send('Input.dispatchKeyEvent', { type: 'keyDown', ...event });
    await this.send('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
  }

  async type(text) {
    await this.send('Input.insertText', { text });
  }

  async png(file, whole = false) {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: whole });
    await writeFile(file, Buffer.from(data, 'base64'));
  }
}
