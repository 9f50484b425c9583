// History as bars: uPlot gives axes, scales and the cursor; bars, gaps and partial coverage are drawn here,
// because a gap must look like a gap.

import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { bucketName, count, duration, hourOfDay, minuteOfDay, monthDay, monthDayUtc, percent } from '../data/format';
import { COVERAGE_WHOLE, tallest, type ChartData } from '../data/series';
import { dark } from '../state/theme';

export interface ChartProps {
  data: ChartData;
  /** Words for series keys (the user's names of directions). */
  nameOf: (key: string) => string;
  colourOf: (key: string, index: number) => string;
  stacked: boolean;
  height: number;
  label: string;
}

const DAY_S = 86_400;

export function Chart(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [cursor, setCursor] = useState<{ index: number; left: number } | null>(null);
  const { data, height } = props;
  const theme = dark.value;
  const shape = `${data.step}/${data.series.map((one) => one.key).join('/')}/${theme}/${height}`;

  useEffect(() => {
    const created = new uPlot(
      options(box.current!, latest, (index, left) => setCursor(index === null ? null : { index, left })),
      plotData(latest.current.data),
      box.current!,
    );
    plot.current = created;
    const sized = new ResizeObserver(() => {
      const width = box.current?.clientWidth ?? 0;
      if (width > 0) created.setSize({ width, height });
    });
    sized.observe(box.current!);
    return () => {
      sized.disconnect();
      created.destroy();
      plot.current = null;
      setCursor(null);
    };
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(plotData(data));
  }, [data, props.stacked]);

  const move = (event: KeyboardEvent): void => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const last = data.times.length - 1;
    if (event.key === 'Escape') setCursor(null);
    const target =
      event.key === 'Home' ? 0
      : event.key === 'End' ? last
      : step !== undefined ? Math.min(last, Math.max(0, (cursor?.index ?? last + (step < 0 ? 1 : 0)) + step))
      : null;
    if (target === null || plot.current === null || last < 0) return;
    event.preventDefault();
    const left = plot.current.valToPos((data.times[target] ?? 0) + data.step / 2, 'x');
    plot.current.setCursor({ left, top: 10 });
  };

  return (
    <div class="chart" tabIndex={0} role="group" aria-label={`${props.label}. Arrow keys go from bar to bar.`} onKeyDown={move} onBlur={() => setCursor(null)}>
      <div ref={box} class="chart-plot" style={{ height: `${height}px` }} />
      {cursor !== null && <Tip props={props} index={cursor.index} left={cursor.left} width={box.current?.clientWidth ?? 0} />}
      <p class="hidden" aria-live="polite">{cursor === null ? '' : spoken(props, cursor.index)}</p>
    </div>
  );
}

/** Times are moved to the middle of their bucket, so that the cursor snaps to the bar under it. */
function plotData(data: ChartData): uPlot.AlignedData {
  return [data.times.map((time) => time + data.step / 2), ...data.series.map((one) => one.values)];
}

function coverageWords(share: number | null): string {
  if (share === null) return 'Not analysed: nothing is known about this time';
  return share >= COVERAGE_WHOLE ? 'Fully analysed' : `${percent(share)} of this time was analysed`;
}

function spoken(props: ChartProps, index: number): string {
  const { data, nameOf } = props;
  const figures = data.coverage[index] == null
    ? ''
    : data.series.map((one) => `${nameOf(one.key)} ${count(one.values[index] ?? 0)}`).join(', ');
  return `${bucketName(data.times[index] ?? 0, data.step, 1, data.local)}. ${figures}. ${coverageWords(data.coverage[index] ?? null)}`;
}

function Tip({ props, index, left, width }: { props: ChartProps; index: number; left: number; width: number }) {
  const { data, nameOf, colourOf } = props;
  const time = data.times[index];
  if (time === undefined) return null;
  const share = data.coverage[index] ?? null;
  const dwell = data.dwell[index] ?? null;
  return (
    <div class={left > width / 2 ? 'tip tip-left' : 'tip'} style={{ left: `${left}px` }}>
      <strong>{bucketName(time, data.step, 1, data.local)}</strong>
      {share !== null && data.series.map((one, position) => (
        <span class="tip-row" key={one.key}>
          <i class="swatch" style={{ background: colourOf(one.key, position) }} />
          {nameOf(one.key)}
          <b>{count(one.values[index] ?? 0)}</b>
        </span>
      ))}
      {dwell !== null && <span class="tip-row">mean stay<b>{duration(dwell * 1000)}</b></span>}
      <span class={share === null || share < COVERAGE_WHOLE ? 'tip-coverage tip-part' : 'tip-coverage'}>
        {coverageWords(share)}
      </span>
      {time + data.step > Date.now() / 1000 && <span class="tip-coverage">Not over yet</span>}
    </div>
  );
}

type Latest = { current: ChartProps };

function options(
  box: HTMLElement, latest: Latest, moved: (index: number | null, left: number) => void,
): uPlot.Options {
  const style = getComputedStyle(box);
  const ink = style.getPropertyValue('--ink-3').trim();
  const grid = style.getPropertyValue('--rule').trim();
  const font = '12px system-ui, sans-serif';
  const axis = { stroke: ink, font, ticks: { show: false }, grid: { stroke: grid, width: 1 } };
  return {
    width: Math.max(200, box.clientWidth),
    height: latest.current.height,
    // At the right there is room for half of the last time.
    padding: [10, 24, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false }, focus: { prox: -1 } },
    scales: {
      x: {
        range: (): [number, number] => {
          const { times, step } = latest.current.data;
          return [times[0] ?? 0, (times.at(-1) ?? 0) + step];
        },
      },
      y: {
        range: (): [number, number] => {
          const { data, stacked } = latest.current;
          return [0, tallest(data.series, stacked) * 1.08];
        },
      },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 30,
        space: 64,
        incrs: [60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY_S, 2 * DAY_S, 7 * DAY_S, 14 * DAY_S, 30 * DAY_S],
        values: (_plot, splits, _axis, _space, step) => axisWords(splits, step, latest.current.data),
      },
      {
        ...axis,
        size: 46,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000, 500_000],
        values: (_plot, splits) => splits.map((value) => count(value)),
      },
    ],
    series: [
      {},
      // The lines themselves are not drawn: the hook below draws bars. They give the cursor its index.
      ...latest.current.data.series.map((one) => ({ label: one.key, paths: () => null, points: { show: false } })),
    ],
    hooks: {
      draw: [(plot) => drawBars(plot, latest.current, style)],
      setCursor: [
        (plot) => {
          const { idx, left } = plot.cursor;
          moved(idx == null || left == null || left < 0 ? null : idx, (left ?? 0) + plot.bbox.left / devicePixelRatio);
        },
      ],
    },
  };
}

/** The date where a day begins, else the time. */
function axisWords(splits: number[], increment: number, data: ChartData): string[] {
  if (data.step >= DAY_S) return splits.map((time) => (data.local ? monthDay : monthDayUtc)(time * 1000));
  return splits.map((time) => {
    const date = new Date(time * 1000);
    const midnight = date.getHours() === 0 && date.getMinutes() === 0;
    if (midnight || increment >= DAY_S) return monthDay(time * 1000);
    return increment >= 3600 ? hourOfDay(time * 1000) : minuteOfDay(time * 1000);
  });
}

function hatch(context: CanvasRenderingContext2D, colour: string, spacing: number): CanvasPattern | null {
  const tile = document.createElement('canvas');
  tile.width = tile.height = spacing;
  const ink = tile.getContext('2d')!;
  ink.strokeStyle = colour;
  ink.lineWidth = Math.max(1, spacing / 7);
  ink.beginPath();
  for (const shift of [-spacing, 0, spacing]) {
    ink.moveTo(shift, spacing);
    ink.lineTo(shift + spacing, 0);
  }
  ink.stroke();
  return context.createPattern(tile, 'repeat');
}

/** The time before anything was analysed is no interruption: it is only not there yet. */
function drawBefore(plot: uPlot, data: ChartData, known: number, style: CSSStyleDeclaration): void {
  const context = plot.ctx;
  const { left, top, height } = plot.bbox;
  const pixel = devicePixelRatio || 1;
  const right = plot.valToPos(data.times[known] ?? 0, 'x', true);
  context.fillStyle = style.getPropertyValue('--sunken').trim();
  context.fillRect(left, top, right - left, height);
  const words = 'not analysed before';
  context.font = `${12 * pixel}px system-ui, sans-serif`;
  if (context.measureText(words).width + 24 * pixel > right - left) return;
  context.fillStyle = style.getPropertyValue('--ink-3').trim();
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  context.fillText(words, right - 10 * pixel, top + height / 2);
}

function drawBars(plot: uPlot, props: ChartProps, style: CSSStyleDeclaration): void {
  const { data, stacked, colourOf } = props;
  const context = plot.ctx;
  const { top, height } = plot.bbox;
  const bottom = top + height;
  const pixel = devicePixelRatio || 1;
  const gap = hatch(context, style.getPropertyValue('--gap').trim(), 8 * pixel);
  const part = hatch(context, style.getPropertyValue('--surface').trim(), 6 * pixel);
  const known = data.coverage.findIndex((share) => share !== null);
  context.save();
  if (known > 0) drawBefore(plot, data, known, style);
  data.times.forEach((time, index) => {
    if (index < known) return;
    const left = plot.valToPos(time, 'x', true);
    const right = plot.valToPos(time + data.step, 'x', true);
    const share = data.coverage[index] ?? null;
    if (share === null) {
      context.fillStyle = gap ?? 'transparent';
      context.fillRect(left, top, right - left, height);
      return;
    }
    const space = right - left > 5 * pixel ? Math.min((right - left) * 0.16, 6 * pixel) : 0;
    const bars = stacked ? 1 : Math.max(1, data.series.length);
    const wide = (right - left - space) / bars;
    let base = 0;
    data.series.forEach((one, position) => {
      const value = one.values[index] ?? 0;
      if (value <= 0) return;
      const x = left + space / 2 + (stacked ? 0 : position * wide);
      const y0 = stacked ? plot.valToPos(base, 'y', true) : bottom;
      const y1 = plot.valToPos(stacked ? base + value : value, 'y', true);
      base += value;
      context.fillStyle = colourOf(one.key, position);
      context.fillRect(x, y1, wide, y0 - y1);
      if (share < COVERAGE_WHOLE && part !== null) {
        context.fillStyle = part;
        context.fillRect(x, y1, wide, y0 - y1);
      }
    });
    // Time that is known in part and had nothing to count would look whole without a mark.
    if (share < COVERAGE_WHOLE && gap !== null) {
      context.fillStyle = gap;
      context.fillRect(left, bottom - 4 * pixel, right - left, 4 * pixel);
    }
  });
  context.restore();
}
