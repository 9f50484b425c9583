// Pictures take turns: a wall of cameras on a machine without a graphics card shows fewer pictures a second of
// each, and the page still answers. Who waits longest is drawn first.

/** Of one frame. To draw a picture of 960x540 takes 0.2 ms with a graphics card and 10 ms without. */
const BUDGET_MS = 16;

const waiting = new Set<() => void>();
let request = 0;

/** Calls `draw` once, in one of the next frames. */
export function paintSoon(draw: () => void): void {
  waiting.add(draw);
  if (request === 0) request = requestAnimationFrame(() => paint());
}

/** It is not to be called any more. */
export function paintNever(draw: () => void): void {
  waiting.delete(draw);
}

/** Draws until the frame's time is spent, at least one. */
function paint(): void {
  const endMs = performance.now() + BUDGET_MS;
  request = 0;
  for (const draw of [...waiting]) {
    waiting.delete(draw);
    draw();
    if (performance.now() >= endMs) break;
  }
  if (waiting.size > 0 && request === 0) request = requestAnimationFrame(() => paint());
}
