// The shown history as a CSV file (RFC 4180), made in the browser.

import { dayAfter } from './days';
import { BUCKET_SECONDS, directionKeys } from './series';
import type { History } from '../state/protocol';

/** Names are the user's: quoted where needed, and never a formula for a spreadsheet. */
export function cell(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export interface CsvNames {
  kind: 'line' | 'zone';
  /** What the user calls the directions. */
  first: string;
  second: string;
}

/** One row for each bucket of `times` (Unix seconds); a gap has coverage 0 and empty figures. */
export function historyCsv(history: History, times: readonly number[], classes: readonly string[], names: CsvNames): string {
  const [first, second] = directionKeys(names.kind);
  const zone = names.kind === 'zone';
  const head = ['camera', names.kind, 'start', 'end', 'coverage'];
  for (const name of classes) {
    head.push(`${name} ${names.first}`, `${name} ${names.second}`);
    if (zone) head.push(`${name} mean dwell s`);
  }
  const found = new Map(history.buckets.map((bucket) => [Date.parse(bucket.start) / 1000, bucket]));
  const step = BUCKET_SECONDS[history.bucket];
  const rows = times.map((time) => {
    const bucket = found.get(time);
    const analysed = bucket !== undefined && bucket.coverage > 0;
    const row: (string | number | null)[] = [
      history.camera,
      history.counter,
      new Date(time * 1000).toISOString(),
      new Date((history.local ? dayAfter(time) : time + step) * 1000).toISOString(),
      analysed ? bucket.coverage : 0,
    ];
    for (const name of classes) {
      const figures = bucket?.classes[name];
      row.push(analysed ? (figures?.[first] ?? 0) : null, analysed ? (figures?.[second] ?? 0) : null);
      if (zone) row.push(analysed ? (figures?.['dwell_s'] ?? null) : null);
    }
    return row;
  });
  return [head, ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}

/** "gate_door_hour.csv": letters and digits of any language stay, all else is a hyphen. */
export function csvName(history: History): string {
  const clean = (name: string): string => name.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '') || 'unnamed';
  return `${clean(history.camera)}_${clean(history.counter)}_${history.bucket}.csv`;
}
