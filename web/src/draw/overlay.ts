// Draws what the server knows onto the picture: boxes, tails, lines with their sides, zones.

import { count } from '../data/format';
import type { Camera, Line, Track, Zone } from '../state/protocol';
import type { Tail } from '../video/sync';
import { centre, middle, place, type Frame } from './geometry';
import { A_TO_B, B_TO_A, CASING, classColour, LINE, ZONE } from './palette';

export interface Scene {
  camera: Camera;
  tracks: readonly Track[];
  tails: readonly Tail[];
  /** How strongly a counter lights up after an event, 0..1, by name. */
  glow: (counter: string) => number;
  /** Objects inside each zone now. */
  occupancy: (zone: string) => number | null;
}

type Context = CanvasRenderingContext2D;

/** Where plates of this picture lie already, so that the next one makes way. */
let taken: Frame[] = [];

/** How much may be written: in a small tile words would cover what they name. */
interface Room {
  font: string;
  high: number;
  /** Names of lines and zones; without them only directions and numbers. */
  names: boolean;
  classes: boolean;
}

function roomOf(width: number): Room {
  if (width >= 560) return { font: '600 12px system-ui, sans-serif', high: 17, names: true, classes: true };
  if (width >= 360) return { font: '600 10.5px system-ui, sans-serif', high: 14, names: true, classes: true };
  return { font: '600 10px system-ui, sans-serif', high: 13, names: false, classes: false };
}

/** `frame` is the picture's place in CSS pixels; the context is scaled accordingly. */
export function drawOverlay(context: Context, frame: Frame, scene: Scene): void {
  context.save();
  context.beginPath();
  context.rect(frame.x, frame.y, frame.width, frame.height);
  context.clip();
  context.lineJoin = 'round';
  context.lineCap = 'round';
  const room = roomOf(frame.width);
  taken = [];
  context.font = room.font;
  context.textBaseline = 'middle';
  for (const zone of scene.camera.zones) drawZone(context, frame, zone, scene, room);
  for (const tail of scene.tails) drawTail(context, frame, tail);
  for (const track of scene.tracks) drawTrack(context, frame, track, room);
  for (const line of scene.camera.lines) drawLine(context, frame, line, scene, room);
  context.restore();
}

function trace(context: Context, points: readonly [number, number][]): void {
  context.beginPath();
  points.forEach(([x, y], index) => (index === 0 ? context.moveTo(x, y) : context.lineTo(x, y)));
}

/** A stroke that can be seen on snow and at night. */
function cased(context: Context, colour: string, width: number): void {
  context.strokeStyle = CASING;
  context.lineWidth = width + 2.5;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}

const overlap = (a: Frame, b: Frame): boolean =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/** Words on a dark plate, kept inside the picture; `anchor` is the plate's middle. */
function plate(
  context: Context, frame: Frame, room: Room, text: string, anchor: [number, number], colour: string,
): void {
  const pad = room.high / 3;
  const width = context.measureText(text).width + pad * 2;
  const high = room.high;
  const x = Math.min(Math.max(anchor[0] - width / 2, frame.x + 3), frame.x + frame.width - width - 3);
  const level = Math.min(Math.max(anchor[1] - high / 2, frame.y + 3), frame.y + frame.height - high - 3);
  const free = [0, 1, -1, 2, -2]
    .map((step) => ({ x, y: level + step * (high + 1), width, height: high }))
    .find((place) => !taken.some((other) => overlap(place, other)));
  const y = free?.y ?? level;
  taken.push({ x, y, width, height: high });
  context.fillStyle = CASING;
  context.beginPath();
  context.roundRect(x, y, width, high, 4);
  context.fill();
  context.fillStyle = colour;
  context.fillText(text, x + pad, y + high / 2 + 0.5);
}

function drawZone(context: Context, frame: Frame, zone: Zone, scene: Scene, room: Room): void {
  const points = zone.points.map((point) => place(point, frame));
  if (points.length < 3) return;
  const glow = scene.glow(zone.name);
  trace(context, points);
  context.closePath();
  context.globalAlpha = 0.1 + glow * 0.22;
  context.fillStyle = ZONE;
  context.fill();
  context.globalAlpha = 1;
  context.setLineDash([7, 5]);
  context.strokeStyle = ZONE;
  context.lineWidth = 1.5 + glow * 1.5;
  context.stroke();
  context.setLineDash([]);
  if (!room.names) return;
  const inside = scene.occupancy(zone.name);
  const text = inside === null ? zone.name : `${zone.name} · ${count(inside)} inside`;
  const top = Math.min(...points.map((point) => point[1]));
  plate(context, frame, room, text, [centre(points)[0], top + room.high * 0.8], ZONE);
}

function drawLine(context: Context, frame: Frame, line: Line, scene: Scene, room: Room): void {
  const points = line.points.map((point) => place(point, frame));
  const mid = middle(points);
  if (mid === null) return;
  const glow = scene.glow(line.name);
  if (glow > 0) {
    trace(context, points);
    context.globalAlpha = glow * 0.5;
    context.strokeStyle = LINE;
    context.lineWidth = 12;
    context.stroke();
    context.globalAlpha = 1;
  }
  trace(context, points);
  cased(context, LINE, 2);
  for (const end of [points[0]!, points.at(-1)!]) {
    context.beginPath();
    context.arc(end[0], end[1], 3.5, 0, Math.PI * 2);
    context.fillStyle = LINE;
    cased(context, LINE, 1);
    context.fill();
  }
  const shaft = room.high + 2;
  drawArrow(context, mid, 1, A_TO_B, shaft);
  drawArrow(context, mid, -1, B_TO_A, shaft);
  // The name of a direction stands on the side that one arrives at.
  const gap = shaft + 4 + room.high * 0.6;
  const reach = (text: string): number =>
    gap + Math.abs(mid.toB[0]) * (context.measureText(text).width / 2);
  const at = (text: string, sign: number): [number, number] => [
    mid.x + mid.toB[0] * reach(text) * sign,
    mid.y + mid.toB[1] * reach(text) * sign,
  ];
  plate(context, frame, room, line.aToB, at(line.aToB, 1), A_TO_B);
  plate(context, frame, room, line.bToA, at(line.bToA, -1), B_TO_A);
  if (!room.names) return;
  // The line's own name lies beside its first point, where no arrow is.
  const [startX, startY] = points[0]!;
  const [nextX, nextY] = points[1]!;
  const length = Math.hypot(nextX - startX, nextY - startY) || 1;
  const along = Math.min(length * 0.18, 60);
  plate(
    context, frame, room, line.name,
    [startX + ((nextX - startX) / length) * along, startY + ((nextY - startY) / length) * along],
    LINE,
  );
}

function drawArrow(
  context: Context, mid: { x: number; y: number; toB: [number, number] }, sign: number, colour: string, length: number,
): void {
  const [dx, dy] = [mid.toB[0] * sign, mid.toB[1] * sign];
  // The two arrows stand beside each other, so that each has its own shaft.
  const [sx, sy] = [-dy * 6, dx * 6];
  const from: [number, number] = [mid.x + sx + dx * 3, mid.y + sy + dy * 3];
  const to: [number, number] = [mid.x + sx + dx * length, mid.y + sy + dy * length];
  const head = 5;
  context.beginPath();
  context.moveTo(from[0], from[1]);
  context.lineTo(to[0], to[1]);
  context.moveTo(to[0] - dx * head - dy * head, to[1] - dy * head + dx * head);
  context.lineTo(to[0], to[1]);
  context.lineTo(to[0] - dx * head + dy * head, to[1] - dy * head - dx * head);
  cased(context, colour, 2);
}

function drawTail(context: Context, frame: Frame, tail: Tail): void {
  const colour = classColour(tail.class);
  const points = tail.points.map((point) => place(point, frame));
  context.strokeStyle = colour;
  context.lineWidth = 2;
  // Fades towards the past: some strokes of rising strength instead of a gradient that cannot bend.
  const steps = Math.min(8, points.length - 1);
  for (let step = 0; step < steps; step += 1) {
    const from = Math.floor((step * (points.length - 1)) / steps);
    const to = Math.floor(((step + 1) * (points.length - 1)) / steps);
    context.globalAlpha = (0.75 * (step + 1)) / steps;
    trace(context, points.slice(from, to + 1));
    context.stroke();
  }
  context.globalAlpha = 1;
}

function drawTrack(context: Context, frame: Frame, track: Track, room: Room): void {
  const [x0, y0] = place([track.box[0], track.box[1]], frame);
  const [x1, y1] = place([track.box[2], track.box[3]], frame);
  const colour = classColour(track.class);
  const round = Math.min(6, (x1 - x0) / 4, (y1 - y0) / 4);
  context.globalAlpha = track.seen ? 1 : 0.45;
  context.beginPath();
  context.roundRect(x0, y0, x1 - x0, y1 - y0, Math.max(0, round));
  // An object that is not seen in this picture is where the tracker expects it: dashed.
  if (!track.seen) context.setLineDash([4, 4]);
  cased(context, colour, 1.75);
  context.setLineDash([]);
  const text = room.classes ? `${track.class} ${track.id}` : String(track.id);
  const high = room.high - 2;
  const width = context.measureText(text).width + high / 2;
  const left = Math.min(x0, frame.x + frame.width - width);
  const top = y0 - high - 2 > frame.y ? y0 - high - 2 : y0 + 2;
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(left, top, width, high, 3);
  context.fill();
  context.fillStyle = '#0a0f14';
  context.fillText(text, left + high / 4, top + high / 2 + 0.5);
  context.globalAlpha = 1;
}
