// Days as the reader lives them: the server keeps days of UTC, so local ones are made of its hours. Where the
// clock is not a whole number of hours from UTC, an hour would lie in two days: the days of UTC stay there. Pure.

import type { History, HistoryBucket } from '../state/protocol';

const HOUR_S = 3600;
/** Hours that are asked for at once: the server gives 10,080 buckets. */
const HOURS_MAX = 10_000;

/** The beginning of the day, on the reader's clock, that this time is in. */
export function dayStart(time: number): number {
  return new Date(time * 1000).setHours(0, 0, 0, 0) / 1000;
}

/** The beginning of the day after it: 23, 24 or 25 hours later. */
export function dayAfter(start: number): number {
  const date = new Date(start * 1000);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + 1).getTime() / 1000;
}

/** True when days from one time to the other can be made of the server's hours. */
export function daysAreWholeHours(from: number, to: number): boolean {
  if (to - dayStart(from) > HOURS_MAX * HOUR_S) return false;
  for (let day = dayStart(from); day < to; day = dayAfter(day)) if (day % HOUR_S !== 0) return false;
  return true;
}

/** The end of the last day that begins before this time: a question about days is one about whole ones. */
export function daysEnd(to: number): number {
  return dayAfter(dayStart(to - 1));
}

/** A history of hours as one of local days. An hour that is absent was not analysed. */
export function daysOf(hours: History, nowMs: number): History {
  const days = new Map<number, HistoryBucket[]>();
  for (const bucket of hours.buckets) {
    const start = dayStart(Date.parse(bucket.start) / 1000);
    const day = days.get(start);
    if (day === undefined) days.set(start, [bucket]);
    else day.push(bucket);
  }
  const buckets = [...days].map(([start, parts]) => dayOf(start, parts, nowMs / 1000));
  return { ...hours, bucket: 'day', local: true, buckets };
}

function dayOf(start: number, parts: HistoryBucket[], now: number): HistoryBucket {
  const classes: HistoryBucket['classes'] = {};
  let analysed = 0;
  for (const part of parts) {
    const begin = Date.parse(part.start) / 1000;
    analysed += part.coverage * Math.max(0, Math.min(HOUR_S, now - begin));
    for (const [name, figures] of Object.entries(part.classes)) add((classes[name] ??= {}), figures);
  }
  const length = Math.max(1, Math.min(dayAfter(start), now) - start);
  return { start: new Date(start * 1000).toISOString(), coverage: Math.min(1, analysed / length), classes };
}

/** Counts add up; a mean stay is weighed by those who left. */
function add(to: Record<string, number>, figures: Record<string, number>): void {
  const before = to['exits'] ?? 0;
  const left = figures['exits'] ?? 0;
  for (const [key, value] of Object.entries(figures)) {
    if (key !== 'dwell_s') to[key] = (to[key] ?? 0) + value;
    else if (left > 0) to[key] = ((to[key] ?? 0) * before + value * left) / (before + left);
  }
}
