// History of any line or zone: any range, as chart and as table. The choices are in the address, so a link shows the same.

import { useEffect, useMemo, useState } from 'preact/hooks';
import { bucketName, count, duration, percent } from '../data/format';
import { BUCKETS_MAX, COVERAGE_WHOLE, tableRows, type ChartData } from '../data/series';
import { BUCKETS, bucketSpanMs, HistoryPanel, SPAN_MS, sourcesOf, useHistory, type Source } from '../parts/history_panel';
import { Segments } from '../parts/segments';
import type { Bucket } from '../state/protocol';
import { editHref, replaceQuery, route } from '../state/route';
import { cameras } from '../state/store';
import { Loading } from './wall';

/** Rows of the table at first; the rest is in the CSV file or behind a button. */
const ROWS = 60;

const RANGES: Record<Bucket, readonly (readonly [string, string, number])[]> = {
  minute: [['1h', '1 hour', 3_600_000], ['6h', '6 hours', 6 * 3_600_000], ['24h', '24 hours', 24 * 3_600_000]],
  hour: [['2d', '2 days', SPAN_MS.hour], ['7d', '7 days', 7 * 86_400_000], ['31d', '31 days', SPAN_MS.day]],
  day: [['31d', '31 days', SPAN_MS.day], ['90d', '90 days', 90 * 86_400_000], ['365d', '1 year', 365 * 86_400_000]],
};

interface Choice {
  camera: string;
  counter: string;
  bucket: Bucket;
  /** A name in RANGES, or "own" with from and to. */
  range: string;
  from: string;
  to: string;
}

function readChoice(query: URLSearchParams): Choice {
  const bucket = query.get('bucket');
  return {
    camera: query.get('camera') ?? '',
    counter: query.get('counter') ?? '',
    bucket: bucket === 'minute' || bucket === 'day' ? bucket : 'hour',
    range: query.get('range') ?? '',
    from: query.get('from') ?? '',
    to: query.get('to') ?? '',
  };
}

export function HistoryView() {
  const [choice, setChoice] = useState(() => readChoice(route.value.query));
  useEffect(() => setChoice(readChoice(route.value.query)), [route.value]);
  const change = (part: Partial<Choice>): void => {
    const next = { ...choice, ...part };
    setChoice(next);
    replaceQuery(new URLSearchParams(Object.entries(next).filter(([, value]) => value !== '')));
  };

  const all = cameras.value;
  const camera = all?.find((one) => one.name === choice.camera) ?? all?.find((one) => sourcesOf(one).length > 0) ?? all?.[0];
  const sources = camera === undefined ? [] : sourcesOf(camera);
  const source = sources.find((one) => one.counter === choice.counter) ?? sources[0] ?? null;
  const ranges = RANGES[choice.bucket];
  const range = choice.range === 'own' ? 'own' : (ranges.find((one) => one[0] === choice.range) ?? ranges[0]!)[0];
  const span = ownSpan(choice);
  const chosen = useMemo(() => {
    if (range === 'own') return span;
    const length = ranges.find((one) => one[0] === range)?.[2] ?? SPAN_MS[choice.bucket];
    // Rounded up, so that the question stays the same for as long as a bucket lasts.
    const toMs = Math.ceil(Date.now() / bucketSpanMs(choice.bucket)) * bucketSpanMs(choice.bucket);
    return { fromMs: toMs - length, toMs };
  }, [range, choice.bucket, span?.fromMs, span?.toMs]);
  const loaded = useHistory(source, choice.bucket, chosen);

  if (all === null) return <Loading />;
  if (camera === undefined || source === null)
    return (
      <section class="empty">
        <h1 tabIndex={-1}>No history yet</h1>
        <p>{all.length === 0
          ? <>There is no camera yet: <a href="#/add">add one</a>.</>
          : <>Nothing is counted yet: draw a line or a zone on {camera === undefined ? 'a camera' : <a href={editHref(camera.name)}>{camera.name}</a>}.</>}{' '}
          From then on every minute is kept.</p>
      </section>
    );
  return (
    <section class="history-view">
      <header class="head"><h1 tabIndex={-1}>History</h1></header>
      <div class="card">
        <div class="questions">
          <label>Camera
            <select class="field" value={camera.name} onChange={(event) => change({ camera: event.currentTarget.value, counter: '' })}>
              {all.map((one) => <option key={one.name} value={one.name}>{one.name}</option>)}
            </select>
          </label>
          <label>Line or zone
            <select class="field" value={source.counter} onChange={(event) => change({ counter: event.currentTarget.value })}>
              {sources.map((one) => <option key={one.counter} value={one.counter}>{one.counter}</option>)}
            </select>
          </label>
          <div class="question"><span aria-hidden="true">Each bar is one of</span>
            <Segments label="Each bar is one of" name="bucket" value={choice.bucket} options={BUCKETS} onChange={(bucket) => change({ bucket, range: choice.range === 'own' ? 'own' : '' })} />
          </div>
          <div class="question"><span aria-hidden="true">Range</span>
            <Segments
              label="Range" name="range" value={range}
              options={[...ranges.map((one) => [one[0], one[1]] as const), ['own', 'Own'] as const]}
              onChange={(value) => change(value === 'own' ? { range: value, ...defaultOwn(choice, chosen) } : { range: value })}
            />
          </div>
          {range === 'own' && (
            <>
              <label>From
                <input class="field" type="datetime-local" value={choice.from} onChange={(event) => change({ from: event.currentTarget.value })} />
              </label>
              <label>To
                <input class="field" type="datetime-local" value={choice.to} onChange={(event) => change({ to: event.currentTarget.value })} />
              </label>
            </>
          )}
        </div>
        {range === 'own' && span === null ? (
          <p class="notice">Choose a time to begin and a later one to end, at most {count(BUCKETS_MAX)} bars apart.</p>
        ) : (
          <HistoryPanel source={source} loaded={loaded} height={320} below={(data, _history, nameOf) => <Table data={data} source={source} nameOf={nameOf} />} />
        )}
      </div>
    </section>
  );
}

/** The range that was typed; null while it makes no sense. */
function ownSpan(choice: Choice): { fromMs: number; toMs: number } | null {
  const fromMs = Date.parse(choice.from);
  const toMs = Date.parse(choice.to);
  const whole = toMs > fromMs && (toMs - fromMs) / bucketSpanMs(choice.bucket) <= BUCKETS_MAX;
  return whole ? { fromMs, toMs } : null;
}

function defaultOwn(choice: Choice, chosen: { fromMs: number; toMs: number } | null): Partial<Choice> {
  if (choice.from !== '' || chosen === null) return {};
  return { from: localText(chosen.fromMs), to: localText(chosen.toMs) };
}

/** "2031-02-28T13:05" on the reader's clock, as the input field wants it. */
function localText(ms: number): string {
  const date = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return date.toISOString().slice(0, 16);
}

function Table({ data, source, nameOf }: { data: ChartData; source: Source; nameOf: (key: string) => string }) {
  const [whole, setWhole] = useState(false);
  const rows = tableRows(data.coverage);
  const shown = whole ? rows : rows.slice(0, ROWS);
  return (
    <div class="table-box" tabIndex={0} role="region" aria-label="History as a table">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Time</th>
            {data.series.map((one) => <th scope="col" class="number" key={one.key}>{nameOf(one.key)}</th>)}
            <th scope="col" class="number">Together</th>
            {source.kind === 'zone' && <th scope="col" class="number">Mean stay</th>}
            <th scope="col" class="number">Analysed</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ first: index, last }) => {
            const share = data.coverage[index] ?? null;
            const values = data.series.map((one) => one.values[index] ?? null);
            const dwell = data.dwell[index] ?? null;
            return (
              <tr key={data.times[index]} class={share === null ? 'row-gap' : ''}>
                <th scope="row">{bucketName(data.times[index] ?? 0, data.step, last - index + 1, data.local)}</th>
                {values.map((value, at) => <td class="number" key={at}>{value === null ? '–' : count(value)}</td>)}
                <td class="number"><b>{share === null ? '–' : count(values.reduce<number>((total, value) => total + (value ?? 0), 0))}</b></td>
                {source.kind === 'zone' && <td class="number">{dwell === null ? '–' : duration(dwell * 1000)}</td>}
                <td class={`number${share !== null && share < COVERAGE_WHOLE ? ' warn-text' : ''}`}>{share === null ? 'gap' : percent(share)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {!whole && rows.length > ROWS && (
        <p class="table-more"><button type="button" class="button" onClick={() => setWhole(true)}>Show all {count(rows.length)} rows</button></p>
      )}
    </div>
  );
}
