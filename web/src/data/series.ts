// History buckets into chart series. The one rule that matters: what was not analysed is null, never zero.

import type { Bucket, History } from '../state/protocol';
import { dayAfter, dayStart } from './days';

export const BUCKET_SECONDS: Record<Bucket, number> = { minute: 60, hour: 3600, day: 86_400 };
/** Below it a bucket counts as partly analysed and is drawn so: a second or two lost at a reconnection is noise. */
export const COVERAGE_WHOLE = 0.98;
/** A chart of more bars than this is unreadable and slow; the range is cut at its old end. */
export const BUCKETS_MAX = 3000;

export type Grouping = 'direction' | 'class';
export interface Series {
  /** "a_to_b", "entries", or a class. */
  key: string;
  values: (number | null)[];
}
export interface ChartData {
  step: number;
  /** Days of the reader's clock: one of them in a year has 23 hours and one has 25. */
  local: boolean;
  /** Start of each bucket, Unix seconds, without holes. */
  times: number[];
  /** Share analysed; null: not at all. */
  coverage: (number | null)[];
  /** Mean dwell in seconds of zones, where there were exits. */
  dwell: (number | null)[];
  series: Series[];
}

export interface SeriesChoice {
  kind: 'line' | 'zone';
  grouping: Grouping;
  /** Classes left out. */
  hidden: ReadonlySet<string>;
}

export const directionKeys = (kind: 'line' | 'zone'): readonly [string, string] =>
  kind === 'line' ? ['a_to_b', 'b_to_a'] : ['entries', 'exits'];

/** Classes that occur in a history, by how often. */
export function classesOf(history: History, kind: 'line' | 'zone'): string[] {
  const totals = new Map<string, number>();
  const [first, second] = directionKeys(kind);
  for (const bucket of history.buckets)
    for (const [name, figures] of Object.entries(bucket.classes))
      totals.set(name, (totals.get(name) ?? 0) + (figures[first] ?? 0) + (figures[second] ?? 0));
  return [...totals].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([name]) => name);
}

export function toSeries(history: History, choice: SeriesChoice, nowMs: number): ChartData {
  const step = BUCKET_SECONDS[history.bucket];
  const times = bucketTimes(history, step, nowMs);
  const found = new Map(history.buckets.map((bucket) => [Date.parse(bucket.start) / 1000, bucket]));
  const [first, second] = directionKeys(choice.kind);
  const classes = classesOf(history, choice.kind).filter((name) => !choice.hidden.has(name));
  const keys = choice.grouping === 'direction' ? [first, second] : classes;
  const data: ChartData = {
    step,
    local: history.local,
    times,
    coverage: [],
    dwell: [],
    series: keys.map((key) => ({ key, values: [] })),
  };
  for (const time of times) {
    const bucket = found.get(time);
    const analysed = bucket !== undefined && bucket.coverage > 0;
    data.coverage.push(analysed ? bucket.coverage : null);
    data.dwell.push(analysed ? meanDwell(bucket.classes, classes) : null);
    for (const series of data.series) {
      if (!analysed) {
        series.values.push(null);
      } else if (choice.grouping === 'direction') {
        const key = series.key;
        series.values.push(classes.reduce((sum, name) => sum + (bucket.classes[name]?.[key] ?? 0), 0));
      } else {
        const figures = bucket.classes[series.key];
        series.values.push((figures?.[first] ?? 0) + (figures?.[second] ?? 0));
      }
    }
  }
  return data;
}

function bucketTimes(history: History, step: number, nowMs: number): number[] {
  const from = Date.parse(history.from) / 1000;
  const to = Math.min(Date.parse(history.to), nowMs) / 1000;
  if (!(to > from)) return [];
  const last = Math.ceil(to / step) * step - step;
  const first = Math.max(Math.floor(from / step) * step, last - (BUCKETS_MAX - 1) * step);
  const times: number[] = [];
  if (history.local) {
    for (let time = dayStart(from); time < to; time = dayAfter(time)) times.push(time);
    return times.slice(-BUCKETS_MAX);
  }
  for (let time = first; time <= last; time += step) times.push(time);
  return times;
}

/** The mean over classes, each weighed by its exits; null when nobody left. */
function meanDwell(figures: Record<string, Record<string, number>>, classes: string[]): number | null {
  let exits = 0;
  let seconds = 0;
  for (const name of classes) {
    const left = figures[name]?.['exits'] ?? 0;
    exits += left;
    seconds += left * (figures[name]?.['dwell_s'] ?? 0);
  }
  return exits > 0 ? seconds / exits : null;
}

/** Sum of a series; null when no bucket of it was analysed. */
export function sum(values: readonly (number | null)[]): number | null {
  let result: number | null = null;
  for (const value of values) if (value !== null) result = (result ?? 0) + value;
  return result;
}

/** Height of the tallest bar, stacked or side by side; at least 1, so that an empty chart has a scale. */
export function tallest(series: readonly Series[], stacked: boolean): number {
  let result = 1;
  const length = series[0]?.values.length ?? 0;
  for (let index = 0; index < length; index += 1) {
    let total = 0;
    for (const one of series) {
      const value = one.values[index] ?? 0;
      total = stacked ? total + value : Math.max(total, value);
    }
    result = Math.max(result, total);
  }
  return result;
}

/** Rows of a table, newest first: a run of gaps is one row from its first to its last bucket. */
export function tableRows(coverage: readonly (number | null)[]): { first: number; last: number }[] {
  const rows: { first: number; last: number }[] = [];
  for (let index = coverage.length - 1; index >= 0; index -= 1) {
    const row = rows.at(-1);
    const goesOn = row !== undefined && coverage[index] === null && coverage[row.first] === null;
    if (goesOn) row.first = index;
    else rows.push({ first: index, last: index });
  }
  return rows;
}

/** Share of the shown time that was analysed. */
export function meanCoverage(coverage: readonly (number | null)[]): number | null {
  if (coverage.length === 0) return null;
  return coverage.reduce<number>((total, share) => total + (share ?? 0), 0) / coverage.length;
}
