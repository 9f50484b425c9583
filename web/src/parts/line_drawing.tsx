// A picture on which a counting line is drawn: two ends that are dragged, or moved with the arrow keys.

import { useRef } from 'preact/hooks';
import { middle } from '../draw/geometry';
import type { Point } from '../state/protocol';

export interface Ends {
  from: Point;
  to: Point;
}

const STEP = 0.01;
const within = (value: number): number => Math.min(1, Math.max(0, value));
const ARROWS: Record<string, Point> = {
  ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP],
};

interface Properties {
  picture: string;
  width: number;
  height: number;
  ends: Ends;
  /** What is counted towards side B, and back: shown at the arrows. */
  names: [string, string];
  onChange: (ends: Ends) => void;
}

export function LineDrawing({ picture, width, height, ends, names, onChange }: Properties) {
  const place = useRef<SVGSVGElement>(null);
  const dragged = useRef<'from' | 'to' | null>(null);
  const at = (point: Point): [number, number] => [point[0] * width, point[1] * height];
  const [x0, y0] = at(ends.from);
  const [x1, y1] = at(ends.to);
  const here = middle([[x0, y0], [x1, y1]]);
  const unit = Math.max(width, height) / 100;

  const move = (event: PointerEvent): void => {
    if (dragged.current === null || place.current === null) return;
    const box = place.current.getBoundingClientRect();
    const point: Point = [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
    onChange({ ...ends, [dragged.current]: point });
  };
  const key = (which: 'from' | 'to', event: KeyboardEvent): void => {
    const step = ARROWS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const large = event.shiftKey ? 5 : 1;
    const point = ends[which];
    onChange({ ...ends, [which]: [within(point[0] + step[0] * large), within(point[1] + step[1] * large)] });
  };

  const end = (which: 'from' | 'to', x: number, y: number, label: string) => (
    <circle
      class="drawing-end" cx={x} cy={y} r={unit * 1.7} tabindex={0} role="slider"
      aria-label={`${label}: move with the arrow keys`} aria-valuenow={Math.round(ends[which][0] * 100)}
      aria-valuetext={`${Math.round(ends[which][0] * 100)} % across, ${Math.round(ends[which][1] * 100)} % down`}
      onKeyDown={(event) => key(which, event)}
      onPointerDown={(event) => {
        dragged.current = which;
        (event.currentTarget as SVGElement).setPointerCapture(event.pointerId);
        event.preventDefault();
        (event.currentTarget as SVGElement).focus();
      }}
      onPointerMove={move}
      onPointerUp={() => (dragged.current = null)}
      onPointerCancel={() => (dragged.current = null)}
    />
  );
  const arrow = (sign: 1 | -1, name: string, kind: string) => {
    if (here === null) return null;
    const [dx, dy] = [here.toB[0] * sign, here.toB[1] * sign];
    const [tx, ty] = [here.x + dx * unit * 8, here.y + dy * unit * 8];
    return (
      <g class={`drawing-arrow ${kind}`}>
        <path
          d={`M${here.x + dx * unit * 1.5} ${here.y + dy * unit * 1.5}L${tx} ${ty}M${tx - dx * unit * 2 - dy * unit * 1.5} ${ty - dy * unit * 2 + dx * unit * 1.5}L${tx} ${ty}L${tx - dx * unit * 2 + dy * unit * 1.5} ${ty - dy * unit * 2 - dx * unit * 1.5}`}
          stroke-width={unit * 0.7}
        />
        <text x={tx + dx * unit * 2.4} y={ty + dy * unit * 2.4} font-size={unit * 3.4}>{name}</text>
      </g>
    );
  };

  return (
    <svg ref={place} class="drawing" viewBox={`0 0 ${width} ${height}`} aria-label="The camera’s picture with the counting line">
      <image href={picture} width={width} height={height} preserveAspectRatio="none" />
      <line class="drawing-line-edge" x1={x0} y1={y0} x2={x1} y2={y1} stroke-width={unit * 1.1} />
      <line class="drawing-line" x1={x0} y1={y0} x2={x1} y2={y1} stroke-width={unit * 0.6} />
      {arrow(1, names[0], 'towards-b')}
      {arrow(-1, names[1], 'towards-a')}
      {end('from', x0, y0, 'First end of the line')}
      {end('to', x1, y1, 'Second end of the line')}
    </svg>
  );
}
