import assert from 'node:assert/strict';
import { paintNever, paintSoon } from '../../web/src/draw/painter';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fit, middle, place } from '../../web/src/draw/geometry';

declare const ROOT: string;

test('fit: the whole picture, in the middle, undistorted', () => {
  assert.deepEqual(fit(1280, 720, 640, 360), { x: 0, y: 0, width: 640, height: 360 });
  assert.deepEqual(fit(640, 480, 640, 360), { x: 80, y: 0, width: 480, height: 360 });
  assert.deepEqual(fit(1000, 200, 500, 300), { x: 0, y: 100, width: 500, height: 100 });
  assert.deepEqual(fit(0, 0, 500, 300), { x: 0, y: 0, width: 500, height: 300 });
  assert.deepEqual(place([0.5, 1], { x: 80, y: 0, width: 480, height: 360 }), [320, 360]);
});

test('a line: side A is on the left hand of who walks it, so B is on the right', () => {
  // To the right on the picture: the left hand points up, B is below.
  assert.deepEqual(middle([[0, 50], [100, 50]])?.toB.map(Math.round), [-0, 1]);
  assert.deepEqual(middle([[100, 50], [0, 50]])?.toB.map(Math.round), [-0, -1]);
  // Down: the left hand points to the picture's right.
  assert.deepEqual(middle([[50, 0], [50, 100]])?.toB.map(Math.round), [-1, 0]);
});

test('a line: the middle is by length, repeated points do no harm', () => {
  const found = middle([[0, 0], [0, 0], [30, 0], [30, 90]]);
  assert.deepEqual([found?.x, found?.y], [30, 30]);
  assert.equal(middle([[5, 5]]), null);
  assert.equal(middle([[5, 5], [5, 5]]), null);
  assert.equal(middle([]), null);
});

// ---- contrast (WCAG 2.2, 1.4.3 and 1.4.11) ----

type Theme = Map<string, string>;

function themes(): Theme[] {
  const css = readFileSync(new URL('web/src/style/base.css', ROOT), 'utf8');
  const blocks = [...css.matchAll(/color-scheme: (?:light|dark);([^}]*)}/g)].map((match) => match[1] ?? '');
  return blocks.map((block) => new Map([...block.matchAll(/(--[\w-]+): (#[0-9a-f]{6});/g)].map((match) => [match[1]!, match[2]!])));
}

function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const share = parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(theme: Theme, front: string, back: string): number {
  const [high, low] = [luminance(theme.get(front)!), luminance(theme.get(back)!)].sort((a, b) => b - a) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

test('themes: the dark one that the system asks for and the chosen one are the same', () => {
  const [light, asked, chosen] = themes();
  assert.deepEqual([...asked!], [...chosen!]);
  assert.deepEqual([...light!.keys()].sort(), [...chosen!.keys()].sort());
});

test('themes: words have 4.5:1 on everything they stand on', () => {
  for (const theme of themes()) {
    for (const ink of ['--ink', '--ink-2', '--ink-3'])
      for (const back of ['--ground', '--surface', '--raised', '--sunken']) assert.ok(contrast(theme, ink, back) >= 4.5, `${ink} on ${back}: ${contrast(theme, ink, back)}`);
    for (const [ink, back] of [
      ['--accent', '--surface'], ['--accent', '--ground'], ['--on-accent', '--accent'], ['--good', '--good-soft'], ['--warn', '--warn-soft'],
      ['--warn', '--surface'], ['--bad', '--bad-soft'], ['--bad', '--ground'], ['--bad', '--surface'], ['--ink', '--bad-soft'], ['--ink', '--warn-soft'],
      ['--ink-2', '--bad-soft'], ['--ink-2', '--warn-soft'], ['--ink-2', '--good-soft'], ['--surface', '--bad'], ['--ink', '--flash'],
    ] as const)
      assert.ok(contrast(theme, ink, back) >= 4.5, `${ink} on ${back}: ${contrast(theme, ink, back)}`);
  }
});

test('themes: bars, marks, fields and the focus ring have 3:1', () => {
  for (const theme of themes())
    for (const mark of ['--ab', '--ba', '--zone', '--accent', '--rule-strong', '--class-person', '--class-bicycle', '--class-car', '--class-motorcycle', '--class-bus', '--class-truck'])
      assert.ok(contrast(theme, mark, '--surface') >= 3, `${mark}: ${contrast(theme, mark, '--surface')}`);
});

test('painter: what takes its time is spread over frames, each in its turn, and none is forgotten', () => {
  const frames: (() => void)[] = [];
  const told: string[] = [];
  const before = globalThis.requestAnimationFrame;
  globalThis.requestAnimationFrame = (frame) => frames.push(() => frame(0));
  const slow = (name: string) => () => {
    told.push(name);
    for (const end = performance.now() + 20; performance.now() < end; );
  };
  const [first, second, third] = [slow('first'), slow('second'), slow('third')];
  paintSoon(first);
  paintSoon(second);
  paintSoon(first);
  frames.shift()?.();
  assert.deepEqual(told, ['first']);
  // It comes back while others wait: behind them.
  paintSoon(first);
  paintSoon(third);
  paintNever(third);
  frames.shift()?.();
  frames.shift()?.();
  assert.deepEqual(told, ['first', 'second', 'first']);
  assert.equal(frames.length, 0);
  globalThis.requestAnimationFrame = before;
});
