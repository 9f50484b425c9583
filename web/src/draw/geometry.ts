// Plane geometry of the overlay: where the picture lies in its canvas, and which way a line counts. Pure.

import type { Point } from '../state/protocol';

export interface Frame {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The largest place of the picture's shape in the middle of the canvas. */
export function fit(pictureWidth: number, pictureHeight: number, width: number, height: number): Frame {
  if (pictureWidth <= 0 || pictureHeight <= 0) return { x: 0, y: 0, width, height };
  const scale = Math.min(width / pictureWidth, height / pictureHeight);
  const wide = pictureWidth * scale;
  const high = pictureHeight * scale;
  return { x: (width - wide) / 2, y: (height - high) / 2, width: wide, height: high };
}

export const place = (point: Point | readonly [number, number], frame: Frame): [number, number] => [
  frame.x + point[0] * frame.width,
  frame.y + point[1] * frame.height,
];

export interface Middle {
  x: number;
  y: number;
  /** Unit vector from side A to side B. */
  toB: [number, number];
}

/** The middle of a polyline by length, and its direction of counting there. Side A is on the left hand of
 * someone who walks on the picture from the first point to the next. Null for less than two different points. */
export function middle(points: readonly (readonly [number, number])[]): Middle | null {
  const lengths: number[] = [];
  let total = 0;
  for (let index = 1; index < points.length; index += 1) {
    const [x0, y0] = points[index - 1]!;
    const [x1, y1] = points[index]!;
    lengths.push(Math.hypot(x1 - x0, y1 - y0));
    total += lengths.at(-1)!;
  }
  if (!(total > 0)) return null;
  let left = total / 2;
  for (let index = 0; index < lengths.length; index += 1) {
    const length = lengths[index]!;
    if (left > length || length === 0) {
      left -= length;
      continue;
    }
    const [x0, y0] = points[index]!;
    const [x1, y1] = points[index + 1]!;
    const share = left / length;
    const dx = (x1 - x0) / length;
    const dy = (y1 - y0) / length;
    // y goes down: the left hand of (1, 0) is (0, -1), so B is at (0, 1).
    return { x: x0 + (x1 - x0) * share, y: y0 + (y1 - y0) * share, toB: [-dy, dx] };
  }
  return null;
}

/** The mean of the corners: good enough a place for a zone's name. */
export function centre(points: readonly (readonly [number, number])[]): [number, number] {
  const x = points.reduce((sum, point) => sum + point[0], 0);
  const y = points.reduce((sum, point) => sum + point[1], 0);
  return [x / Math.max(1, points.length), y / Math.max(1, points.length)];
}
