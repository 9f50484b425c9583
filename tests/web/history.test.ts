import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cell, csvName, historyCsv } from '../../web/src/data/csv';
import { daysAreWholeHours, daysEnd, daysOf } from '../../web/src/data/days';
import { bucketName } from '../../web/src/data/format';
import { classesOf, meanCoverage, sum, tableRows, tallest, toSeries } from '../../web/src/data/series';
import type { History } from '../../web/src/state/protocol';

const at = (minute: number): string => new Date(Date.UTC(2031, 4, 6, 12, minute)).toISOString();
const NOW = Date.UTC(2031, 4, 6, 13);

const line: History = {
  camera: 'gate', counter: 'door', bucket: 'minute', from: at(0), to: at(5), local: false,
  buckets: [
    { start: at(0), coverage: 1, classes: { person: { a_to_b: 2, b_to_a: 1 }, car: { a_to_b: 4, b_to_a: 4 } } },
    // Minute 1 is absent: the server was off.
    { start: at(2), coverage: 0, classes: {} },
    { start: at(3), coverage: 0.5, classes: { person: { a_to_b: 7, b_to_a: 0 } } },
    { start: at(4), coverage: 1, classes: {} },
  ],
};
const all = { kind: 'line', grouping: 'direction', hidden: new Set<string>() } as const;

test('series: absent and unanalysed buckets are null, analysed ones without events are zero', () => {
  const data = toSeries(line, all, NOW);
  assert.equal(data.times.length, 5);
  assert.deepEqual(data.coverage, [1, null, null, 0.5, 1]);
  assert.deepEqual(data.series.map((one) => one.key), ['a_to_b', 'b_to_a']);
  assert.deepEqual(data.series[0]?.values, [6, null, null, 7, 0]);
  assert.deepEqual(data.series[1]?.values, [5, null, null, 0, 0]);
});

test('series: a class that is left out is not in the sums', () => {
  const data = toSeries(line, { ...all, hidden: new Set(['car']) }, NOW);
  assert.deepEqual(data.series[0]?.values, [2, null, null, 7, 0]);
});

test('series: by class both directions are one figure, the most frequent class first', () => {
  assert.deepEqual(classesOf(line, 'line'), ['person', 'car'].sort((a) => (a === 'car' ? 1 : -1)));
  const data = toSeries(line, { ...all, grouping: 'class' }, NOW);
  assert.deepEqual(data.series, [
    { key: 'person', values: [3, null, null, 7, 0] },
    { key: 'car', values: [8, null, null, 0, 0] },
  ]);
});

test('series: nothing is invented for the future', () => {
  const data = toSeries({ ...line, to: at(30) }, all, Date.UTC(2031, 4, 6, 12, 2, 30));
  assert.equal(data.times.length, 3);
  assert.equal(data.times.at(-1), Date.parse(at(2)) / 1000);
});

test('series: buckets begin at whole steps, whatever the question was', () => {
  const from = new Date(Date.UTC(2031, 4, 6, 12, 0, 31)).toISOString();
  const data = toSeries({ ...line, from }, all, NOW);
  assert.equal(data.times[0], Date.parse(at(0)) / 1000);
});

test('series: a range that makes no sense is empty', () => {
  assert.deepEqual(toSeries({ ...line, to: line.from }, all, NOW).times, []);
  assert.deepEqual(toSeries({ ...line, from: 'once upon a time' }, all, NOW).times, []);
});

test('series: days are UTC days', () => {
  const days: History = { ...line, bucket: 'day', from: '2031-05-01T00:00:00.000Z', to: '2031-05-04T00:00:00.000Z', buckets: [{ start: '2031-05-02T00:00:00.000Z', coverage: 1, classes: { person: { a_to_b: 9, b_to_a: 0 } } }] };
  assert.deepEqual(toSeries(days, all, NOW).series[0]?.values, [null, 9, null]);
});

test('series of a zone: entries, exits, and a mean dwell weighed by exits', () => {
  const zone: History = { ...line, buckets: [{ start: at(0), coverage: 1, classes: { person: { entries: 3, exits: 3, dwell_s: 10 }, car: { entries: 0, exits: 1, dwell_s: 50 } } }, { start: at(1), coverage: 1, classes: { person: { entries: 1, exits: 0, dwell_s: 0 } } }] };
  const data = toSeries(zone, { ...all, kind: 'zone' }, NOW);
  assert.deepEqual(data.series.map((one) => one.key), ['entries', 'exits']);
  assert.deepEqual(data.dwell, [20, null, null, null, null]);
});

test('sums: a sum of gaps is unknown, not zero', () => {
  assert.equal(sum([null, null]), null);
  assert.equal(sum([null, 2, 3]), 5);
  assert.equal(meanCoverage([1, null, 0.5, null]), 0.375);
  assert.equal(meanCoverage([]), null);
});

test('table: newest first, gaps that follow each other are one row', () => {
  assert.deepEqual(tableRows([null, null, 1, null, 0.5, 1, null, null]), [
    { first: 6, last: 7 }, { first: 5, last: 5 }, { first: 4, last: 4 }, { first: 3, last: 3 }, { first: 2, last: 2 }, { first: 0, last: 1 },
  ]);
  assert.deepEqual(tableRows([]), []);
});

test('scale: stacked bars are as tall as their parts together', () => {
  const series = [{ key: 'a', values: [1, null, 5] }, { key: 'b', values: [4, null, 2] }];
  assert.equal(tallest(series, true), 7);
  assert.equal(tallest(series, false), 5);
  assert.equal(tallest([], true), 1);
});

test('csv: gaps are rows with coverage 0 and nothing else', () => {
  const times = toSeries(line, all, NOW).times;
  const rows = historyCsv(line, times, ['person'], { kind: 'line', first: 'in', second: 'out' }).trimEnd().split('\r\n');
  assert.equal(rows[0], 'camera,line,start,end,coverage,person in,person out');
  assert.equal(rows[1], `gate,door,${at(0)},${at(1)},1,2,1`);
  assert.equal(rows[2], `gate,door,${at(1)},${at(2)},0,,`);
  assert.equal(rows[4], `gate,door,${at(3)},${at(4)},0.5,7,0`);
  assert.equal(rows.length, 6);
});

test('csv: names are quoted where needed and are never formulas', () => {
  assert.equal(cell('north "old" gate, left'), '"north ""old"" gate, left"');
  assert.equal(cell('=HYPERLINK("x")'), '"\'=HYPERLINK(""x"")"');
  assert.equal(cell('+49'), "'+49");
  assert.equal(cell(null), '');
  assert.equal(cell(-3), '-3');
});

test('csv: the file is named after what is in it', () => {
  assert.equal(csvName({ ...line, camera: 'Tor/Süd', counter: '../x' }), 'Tor-Süd_x_minute.csv');
  assert.equal(csvName({ ...line, camera: '***' }), 'unnamed_door_minute.csv');
});

// ---- days of the reader's clock ----

/** Berlin: on 30 March 2031 the day has 23 hours, on 26 October 25. */
const inBerlin = (run: () => void): void => {
  const before = process.env['TZ'];
  process.env['TZ'] = 'Europe/Berlin';
  try {
    run();
  } finally {
    if (before === undefined) delete process.env['TZ'];
    else process.env['TZ'] = before;
  }
};
const hoursOf = (from: number, count: number, classes: History['buckets'][number]['classes']): History => ({
  camera: 'gate', counter: 'door', bucket: 'hour', local: false,
  from: new Date(from).toISOString(), to: new Date(from + count * 3_600_000).toISOString(),
  buckets: Array.from({ length: count }, (_, hour) => ({ start: new Date(from + hour * 3_600_000).toISOString(), coverage: 1, classes })),
});

test('days: they begin at the midnight of the reader, also where the clock is changed', () => inBerlin(() => {
  const from = Date.UTC(2031, 2, 28, 23);
  const days = daysOf(hoursOf(from, 24 + 23 + 24, { person: { a_to_b: 1, b_to_a: 2 } }), Date.UTC(2031, 5, 1));
  const data = toSeries(days, all, Date.UTC(2031, 5, 1));
  assert.deepEqual(data.times.map((time) => new Date(time * 1000).toISOString().slice(5, 13)), ['03-28T23', '03-29T23', '03-30T22']);
  assert.deepEqual(data.series[0]?.values, [24, 23, 24]);
  assert.deepEqual(data.coverage, [1, 1, 1]);
  const rows = historyCsv(days, data.times, ['person'], { kind: 'line', first: 'in', second: 'out' }).split('\r\n');
  assert.match(rows[2] ?? '', /2031-03-29T23:00:00.000Z,2031-03-30T22:00:00.000Z,1,23,46/);
}));

test('days: they are named by the reader\u2019s own date', () => {
  const first = new Date(2031, 2, 29).getTime() / 1000;
  assert.match(bucketName(first, 86_400, 1, true), /29/);
  assert.match(bucketName(first, 86_400, 3, true), /29.*31/);
});

test('days: hours that are absent are gaps, and a mean stay is weighed by who left', () => inBerlin(() => {
  const from = Date.UTC(2031, 4, 5, 22);
  const hours = hoursOf(from, 24, { person: { entries: 1, exits: 1, dwell_s: 10 } });
  hours.buckets = hours.buckets.slice(0, 12);
  hours.buckets[0]!.classes = { person: { entries: 3, exits: 11, dwell_s: 20 } };
  hours.buckets[1]!.classes = { person: { entries: 0, exits: 0, dwell_s: 0 } };
  const [day] = daysOf(hours, Date.UTC(2031, 5, 1)).buckets;
  assert.equal(day?.coverage, 0.5);
  assert.equal(day?.classes['person']?.['exits'], 21);
  assert.ok(Math.abs((day?.classes['person']?.['dwell_s'] ?? 0) - (11 * 20 + 10 * 10) / 21) < 1e-9);
  // A day that is not over is as long as it has lasted.
  assert.equal(daysOf(hours, from + 12 * 3_600_000).buckets[0]?.coverage, 1);
}));

test('days: a question that ends within a day is about the whole of it', () => inBerlin(() => {
  const end = (time: number): string => new Date(daysEnd(time / 1000) * 1000).toISOString().slice(0, 16);
  assert.equal(end(Date.UTC(2031, 4, 6, 10)), '2031-05-06T22:00');
  assert.equal(end(Date.UTC(2031, 4, 6, 22)), '2031-05-06T22:00');
  assert.equal(end(Date.UTC(2031, 2, 30, 12)), '2031-03-30T22:00');
  assert.equal(end(Date.UTC(2031, 9, 25, 23)), '2031-10-26T23:00');
}));

test('days: an hour that would lie in two days leaves them to the server', () => {
  const before = process.env['TZ'];
  process.env['TZ'] = 'Asia/Kolkata';
  assert.equal(daysAreWholeHours(NOW / 1000 - 86_400, NOW / 1000), false);
  process.env['TZ'] = 'Europe/Berlin';
  assert.equal(daysAreWholeHours(NOW / 1000 - 300 * 86_400, NOW / 1000), true);
  assert.equal(daysAreWholeHours(NOW / 1000 - 3000 * 86_400, NOW / 1000), false);
  if (before === undefined) delete process.env['TZ'];
  else process.env['TZ'] = before;
});
