// Lines and zones while they are drawn, and how they stand in the configuration. Pure.

import type { Camera, Point } from '../state/protocol';

export interface Shape {
  /** Of this page alone. */
  id: number;
  kind: 'line' | 'zone';
  name: string;
  points: Point[];
  aToB: string;
  bToA: string;
  /** Those that it counts; empty: all that the camera does. */
  classes: string[];
  /** Pictures inside (outside) before an entry (exit) is believed; 0: the server's own choice. */
  inertia: number;
}

/** The server's: LIMIT_LINE_POINTS, LIMIT_ZONE_POINTS. */
export const POINTS_MAX = { line: 16, zone: 64 };
export const CLASSES = ['person', 'bicycle', 'car', 'motorcycle', 'bus', 'truck'] as const;
export const pointsMin = (kind: Shape['kind']): number => (kind === 'zone' ? 3 : 2);

/** A ten-thousandth is less than a pixel. */
const within = (value: number): number => Math.min(1, Math.max(0, Number(value.toFixed(4))));

export const moved = (shape: Shape, index: number, to: Point): Shape => ({
  ...shape,
  points: shape.points.map((point, at) => (at === index ? [within(to[0]), within(to[1])] : point)),
});

export const withPoint = (shape: Shape, index: number, point: Point): Shape =>
  shape.points.length >= POINTS_MAX[shape.kind] ? shape : { ...shape, points: [...shape.points.slice(0, index), point, ...shape.points.slice(index)] };

export const withoutPoint = (shape: Shape, index: number): Shape => ({
  ...shape,
  points: shape.points.filter((_, at) => at !== index),
});

let lastId = 0;

export function newShape(kind: Shape['kind'], name: string): Shape {
  lastId += 1;
  return {
    id: lastId, kind, name, aToB: 'in', bToA: 'out', classes: [], inertia: 0,
    points: kind === 'line' ? [[0.15, 0.6], [0.85, 0.6]] : [[0.3, 0.4], [0.7, 0.4], [0.7, 0.8], [0.3, 0.8]],
  };
}

const kept = (classes: string[]): string[] => (classes.length >= CLASSES.length ? [] : classes);

export const shapesOf = (camera: Camera): Shape[] => [
  ...camera.lines.map((line) => ({
    ...newShape('line', line.name), points: [...line.points], aToB: line.aToB, bToA: line.bToA, classes: kept(line.classes),
  })),
  ...camera.zones.map((zone) => ({
    ...newShape('zone', zone.name), points: [...zone.points], classes: kept(zone.classes), inertia: zone.inertia,
  })),
];

/** The same to the server, whatever their numbers on this page. */
export const sameShapes = (one: readonly Shape[], other: readonly Shape[]): boolean => {
  const told = (shapes: readonly Shape[]): string => JSON.stringify(shapes.map((shape) => ({ ...shape, id: 0 })));
  return told(one) === told(other);
};

/** A name that none of them has yet. */
export function freeShapeName(shapes: readonly Shape[], wish: string): string {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? wish : `${wish} ${number}`;
    if (!shapes.some((shape) => shape.name === name)) return name;
  }
}

/** What is wrong with the names; "" when nothing is. */
export function shapesProblem(shapes: readonly Shape[]): string {
  for (const shape of shapes) {
    const called = [shape.name, ...(shape.kind === 'line' ? [shape.aToB, shape.bToA] : [])];
    if (called.some((name) => name.trim() === '')) return `Every ${shape.kind} and direction needs a name.`;
    if (called.some((name) => name !== name.trim())) return `“${shape.name}”: a name must not begin or end with a space.`;
    if (shape.name.includes('/')) return `“${shape.name}”: a name must not hold “/”.`;
    if (shapes.some((other) => other !== shape && other.name === shape.name)) return `Two lines or zones are named “${shape.name}”.`;
  }
  return '';
}

/** The six places that the server tells: what nobody has moved stays, and its counting with it. */
const coordinates = (shape: Shape): string =>
  shape.points.flatMap(([x, y]) => [x, y]).map((value) => value.toFixed(6).replace(/\.?0+$/, '')).join(',');

export interface Counters {
  lines: Record<string, unknown>;
  zones: Record<string, unknown>;
}

/** As under a camera in the configuration. */
export function toCounters(shapes: readonly Shape[]): Counters {
  const lines: [string, unknown][] = [];
  const zones: [string, unknown][] = [];
  for (const shape of shapes) {
    const common = { coordinates: coordinates(shape), ...(shape.classes.length > 0 ? { objects: shape.classes } : {}) };
    if (shape.kind === 'line') lines.push([shape.name, { ...common, directions: { a_to_b: shape.aToB, b_to_a: shape.bToA } }]);
    else zones.push([shape.name, { ...common, ...(shape.inertia > 0 ? { inertia: shape.inertia } : {}) }]);
  }
  return { lines: Object.fromEntries(lines), zones: Object.fromEntries(zones) };
}

/** In the order of all, with this one put in or taken out. */
export const withClass = (classes: readonly string[], name: string, chosen: boolean): string[] =>
  CLASSES.filter((one) => (one === name ? chosen : classes.includes(one)));

/** The same as text for the configuration file, to stand under the camera's name; with `classes` when they are to be others. */
export function toYaml(shapes: readonly Shape[], classes?: readonly string[]): string {
  const { lines, zones } = toCounters(shapes);
  return (classes === undefined ? '' : `    objects: ${flow({ track: classes })}\n`) + part('lines', lines) + part('zones', zones);
}

/** JSON's strings are YAML's too. */
const word = (text: string): string => (/^[A-Za-z][A-Za-z0-9_-]*$/.test(text) ? text : JSON.stringify(text));

function part(title: string, entries: Record<string, unknown>): string {
  if (Object.keys(entries).length === 0) return '';
  const text = [`    ${title}:`];
  for (const [name, entry] of Object.entries(entries)) {
    text.push(`      ${word(name)}:`);
    for (const [key, value] of Object.entries(entry as Record<string, unknown>)) text.push(`        ${key}: ${flow(value)}`);
  }
  return `${text.join('\n')}\n`;
}

function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value).map(([key, one]) => `${key}: ${flow(one)}`).join(', ')}}`;
  return typeof value === 'string' ? word(value) : String(value);
}
