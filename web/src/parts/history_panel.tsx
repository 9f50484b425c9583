// A counter's history: chart with its choices, and the same as CSV. Used by the camera and the history page.

import { signal, useSignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { csvName, historyCsv } from '../data/csv';
import { daysAreWholeHours, daysEnd, daysOf, dayStart } from '../data/days';
import { count, percent } from '../data/format';
import {
  BUCKET_SECONDS, classesOf, directionKeys, meanCoverage, sum, toSeries, type ChartData, type Grouping,
} from '../data/series';
import { getHistory, type HistoryQuery } from '../state/api';
import { kept } from '../state/kept';
import type { Bucket, Camera, History } from '../state/protocol';
import { link, onEvent } from '../state/store';
import { dark } from '../state/theme';
import { Chart } from './chart';
import { DownIcon } from './icons';
import { Segments } from './segments';

export const BUCKETS: readonly (readonly [Bucket, string])[] = [
  ['minute', 'Minutes'],
  ['hour', 'Hours'],
  ['day', 'Days'],
];
/** What the server gives by default: an hour of minutes, two days of hours, a month of days. */
export const SPAN_MS: Record<Bucket, number> = { minute: 3_600_000, hour: 48 * 3_600_000, day: 31 * 86_400_000 };

const grouping = kept<Grouping>('grouping', 'direction', ['direction', 'class']);
const stacking = kept<'stacked' | 'beside'>('stacking', 'stacked', ['stacked', 'beside']);
const hiddenClasses = signal<ReadonlySet<string>>(new Set());

export interface Source {
  camera: string;
  counter: string;
  kind: 'line' | 'zone';
  /** What the directions are called. */
  first: string;
  second: string;
}

export function sourcesOf(camera: Camera): Source[] {
  return [
    ...camera.lines.map((line) => ({
      camera: camera.name, counter: line.name, kind: 'line' as const, first: line.aToB, second: line.bToA,
    })),
    ...camera.zones.map((zone) => ({
      camera: camera.name, counter: zone.name, kind: 'zone' as const, first: 'entered', second: 'left',
    })),
  ];
}

export interface Loaded {
  history: History | null;
  error: string;
  loading: boolean;
  /** The question that it answers: another one's answer is never shown for it. */
  question: string;
}

/** Fetches when the question changes, after events of this counter, and every so often for coverage. */
export function useHistory(source: Source | null, bucket: Bucket, range: { fromMs: number; toMs: number } | null): Loaded {
  const state = useSignal<Loaded>({ history: null, error: '', loading: true, question: '' });
  const online = link.value.phase === 'open';
  const question = [source?.camera, source?.counter, bucket, range?.fromMs, range?.toMs].join('/');
  useEffect(() => {
    if (source === null) return;
    const abort = new AbortController();
    let timer = 0;
    // After a lost connection the old bars stay until the new ones are there.
    if (state.peek().question !== question) state.value = { history: null, error: '', loading: true, question };
    const load = async (): Promise<void> => {
      clearTimeout(timer);
      timer = 0;
      const toMs = range?.toMs ?? Date.now();
      const fromMs = range?.fromMs ?? toMs - SPAN_MS[bucket];
      const local = bucket === 'day' && daysAreWholeHours(fromMs / 1000, toMs / 1000);
      const query: HistoryQuery = {
        camera: source.camera, counter: source.counter,
        ...(local
          ? { bucket: 'hour', fromMs: dayStart(fromMs / 1000) * 1000, toMs: daysEnd(toMs / 1000) * 1000 }
          : { bucket, fromMs, toMs }),
      };
      try {
        const answer = await getHistory(query, abort.signal);
        const history = local ? daysOf(answer, Date.now()) : answer;
        state.value = { history, error: '', loading: false, question };
      } catch (error) {
        if (abort.signal.aborted) return;
        state.value = { ...state.peek(), error: error instanceof Error ? error.message : String(error), loading: false };
      }
      plan(bucket === 'minute' ? 15_000 : 60_000);
    };
    const plan = (ms: number): void => {
      clearTimeout(timer);
      timer = window.setTimeout(() => void load(), ms);
    };
    // A year of days is 8,760 hours: not at every event.
    const soonMs = bucket === 'day' ? 10_000 : 1500;
    let soon = false;
    const deaf = onEvent((event) => {
      if (soon || event.camera !== source.camera || event.counter !== source.counter) return;
      soon = true;
      plan(soonMs);
      window.setTimeout(() => (soon = false), soonMs);
    });
    void load();
    return () => {
      abort.abort();
      clearTimeout(timer);
      deaf();
    };
  }, [question, online]);
  const answer = state.value;
  return answer.question === question ? answer : { history: null, error: '', loading: true, question };
}

const CLASS_CHART: Record<string, string> = {
  person: '--class-person', bicycle: '--class-bicycle', car: '--class-car',
  motorcycle: '--class-motorcycle', bus: '--class-bus', truck: '--class-truck',
};

function colour(key: string, index: number): string {
  const style = getComputedStyle(document.documentElement);
  const name =
    key === 'a_to_b' || key === 'entries' ? '--ab'
    : key === 'b_to_a' || key === 'exits' ? '--ba'
    : (CLASS_CHART[key] ?? ['--class-person', '--class-car', '--class-truck'][index % 3]!);
  return style.getPropertyValue(name).trim();
}

interface PanelProps {
  source: Source;
  loaded: Loaded;
  height: number;
  /** Further choices at the left end of the bar. */
  children?: ComponentChildren;
  /** What comes below, from the same data. */
  below?: (data: ChartData, history: History, nameOf: (key: string) => string) => ComponentChildren;
}

export function HistoryPanel({ source, loaded, height, children, below }: PanelProps) {
  const { history, error, loading } = loaded;
  const hidden = hiddenClasses.value;
  const data = useMemo(
    () =>
      history === null
        ? null
        : toSeries(history, { kind: source.kind, grouping: grouping.value, hidden }, Date.now()),
    [history, source.kind, grouping.value, hidden],
  );
  const classes = useMemo(() => (history === null ? [] : classesOf(history, source.kind)), [history, source.kind]);
  const [first] = directionKeys(source.kind);
  const nameOf = (key: string): string =>
    grouping.value === 'class' ? key : key === first ? source.first : source.second;
  // Read here, so that a change of theme draws the swatches again.
  void dark.value;

  return (
    <div class="history">
      <div class="bar">
        {children}
        <Segments
          label="Bars by" name={`grouping-${source.counter}`} value={grouping.value}
          options={[['direction', 'By direction'], ['class', 'By class']]}
          onChange={(value) => (grouping.value = value)}
        />
        <Segments
          label="Bars" name={`stacking-${source.counter}`} value={stacking.value}
          options={[['stacked', 'Stacked'], ['beside', 'Side by side']]}
          onChange={(value) => (stacking.value = value)}
        />
        <span class="grow" />
        <button
          type="button" class="button" disabled={history === null || data === null}
          onClick={() => history !== null && data !== null && download(history, data, classes, source)}
        >
          <DownIcon /> CSV
        </button>
      </div>
      {classes.length > 0 && (
        <div class="chips" role="group" aria-label="Classes">
          {classes.map((name) => (
            <button
              type="button" key={name} class="chip" aria-pressed={!hidden.has(name)}
              onClick={() => (hiddenClasses.value = toggled(hidden, name))}
            >
              <i class="swatch" style={grouping.value === 'class' ? { background: colour(name, 0) } : {}} />
              {name}
            </button>
          ))}
        </div>
      )}
      {error !== '' && <p class="notice notice-bad">The history cannot be shown: {error}</p>}
      {data === null ? (
        <div class="chart-empty" style={{ height: `${height}px` }}>{loading ? 'Loading…' : ''}</div>
      ) : data.coverage.every((share) => share === null) ? (
        <div class="chart-empty" style={{ height: `${height}px` }}>
          <p><strong>Nothing was analysed in this time.</strong><br />
            That is a gap, not a zero: the server or the camera was not running, or had not been set up yet.</p>
        </div>
      ) : (
        <Chart
          data={data} nameOf={nameOf} colourOf={colour} stacked={stacking.value === 'stacked'} height={height}
          label={`History of ${source.counter}`}
        />
      )}
      {data !== null && <Summary data={data} nameOf={nameOf} />}
      {data !== null && history !== null && below?.(data, history, nameOf)}
    </div>
  );
}

function Summary({ data, nameOf }: { data: ChartData; nameOf: (key: string) => string }) {
  const coverage = meanCoverage(data.coverage);
  return (
    <div class="legend">
      {data.series.map((one, index) => (
        <span key={one.key}>
          <i class="swatch" style={{ background: colour(one.key, index) }} />
          {nameOf(one.key)} <b>{(() => { const total = sum(one.values); return total === null ? '–' : count(total); })()}</b>
        </span>
      ))}
      <span class="grow" />
      {coverage !== null && (
        <span class="quiet">
          {percent(coverage)} of this time was analysed
          {coverage < 1 && <> · <i class="swatch swatch-gap" />hatched: not, or in part</>}
        </span>
      )}
    </div>
  );
}

function toggled(set: ReadonlySet<string>, name: string): Set<string> {
  const result = new Set(set);
  if (!result.delete(name)) result.add(name);
  return result;
}

function download(history: History, data: ChartData, classes: string[], source: Source): void {
  const shown = classes.filter((name) => !hiddenClasses.value.has(name));
  const text = historyCsv(history, data.times, shown, source);
  // The mark tells a spreadsheet that this is UTF-8.
  const url = URL.createObjectURL(new Blob(['\ufeff', text], { type: 'text/csv;charset=utf-8' }));
  const anchor = document.createElement('a');
  anchor.href = url;
  anchor.download = csvName(history);
  anchor.click();
  window.setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export const bucketSpanMs = (bucket: Bucket): number => BUCKET_SECONDS[bucket] * 1000;
