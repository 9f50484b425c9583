// A picture on which lines and zones are drawn. The chosen one has handles: points are dragged or moved with the
// arrow keys and taken away with Delete; a small handle in the middle of an edge becomes a point.

import { useRef, useState } from 'preact/hooks';
import { centre, middle } from '../draw/geometry';
import { moved, POINTS_MAX, pointsMin, withoutPoint, withPoint, type Shape } from '../data/shapes';
import type { Point } from '../state/protocol';

const STEP = 0.01;
const ARROWS: Record<string, Point> = {
  ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP],
};

interface Properties {
  /** Empty: there is none, and the shapes stand on a plain ground. */
  picture: string;
  width: number;
  height: number;
  shapes: readonly Shape[];
  /** Index of the one with handles. */
  chosen: number;
  onChoose: (index: number) => void;
  onChange: (shape: Shape) => void;
}

export function ShapeDrawing({ picture, width, height, shapes, chosen, onChoose, onChange }: Properties) {
  const place = useRef<SVGSVGElement>(null);
  const [failed, setFailed] = useState('');
  const unit = Math.max(width, height) / 100;
  const seen = picture !== '' && failed !== picture;
  const shape = shapes[chosen];
  return (
    <svg ref={place} class="drawing" viewBox={`0 0 ${width} ${height}`} role="group" aria-label="The camera’s picture with what is counted on it">
      {seen
        ? <image href={picture} width={width} height={height} preserveAspectRatio="none" onError={() => setFailed(picture)} />
        : <text class="drawing-words" x={width / 2} y={height / 10} font-size={unit * 2.6}>The camera shows no picture now</text>}
      {shapes.map((one, index) => (
        <Outline key={one.id} shape={one} width={width} height={height} chosen={index === chosen} onChoose={() => onChoose(index)} />
      ))}
      {shape !== undefined && <Handles shape={shape} width={width} height={height} place={place} onChange={onChange} />}
    </svg>
  );
}

interface OneProperties {
  shape: Shape;
  width: number;
  height: number;
}

function Outline({ shape, width, height, chosen, onChoose }: OneProperties & { chosen: boolean; onChoose: () => void }) {
  const unit = Math.max(width, height) / 100;
  const points = shape.points.map(([x, y]) => [x * width, y * height] as const);
  const path = points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${x} ${y}`).join('') + (shape.kind === 'zone' ? 'Z' : '');
  const here = shape.kind === 'line' ? middle(points) : null;
  const [cx, cy] = centre(points);
  return (
    <g class={`drawing-shape drawing-${shape.kind}${chosen ? ' chosen' : ''}`} onPointerDown={chosen ? undefined : onChoose}>
      <path class="drawing-edge" d={path} stroke-width={unit * 1.1} />
      <path class="drawing-stroke" d={path} stroke-width={unit * (chosen ? 0.6 : 0.4)} />
      {here !== null && <Arrow at={here} sign={1} name={shape.aToB} kind="towards-b" unit={unit} />}
      {here !== null && <Arrow at={here} sign={-1} name={shape.bToA} kind="towards-a" unit={unit} />}
      {here === null && <text class="drawing-name" x={cx} y={cy} font-size={unit * 3}>{shape.name}</text>}
    </g>
  );
}

interface ArrowProperties {
  at: { x: number; y: number; toB: [number, number] };
  sign: 1 | -1;
  name: string;
  kind: string;
  unit: number;
}

function Arrow({ at, sign, name, kind, unit }: ArrowProperties) {
  const [dx, dy] = [at.toB[0] * sign, at.toB[1] * sign];
  const [tx, ty] = [at.x + dx * unit * 8, at.y + dy * unit * 8];
  return (
    <g class={`drawing-arrow ${kind}`}>
      <path
        d={`M${at.x + dx * unit * 1.5} ${at.y + dy * unit * 1.5}L${tx} ${ty}M${tx - dx * unit * 2 - dy * unit * 1.5} ${ty - dy * unit * 2 + dx * unit * 1.5}L${tx} ${ty}L${tx - dx * unit * 2 + dy * unit * 1.5} ${ty - dy * unit * 2 - dx * unit * 1.5}`}
        stroke-width={unit * 0.7}
      />
      {/* Words beside a steep line begin at its arrow, not in the middle of it. */}
      <text
        x={tx + dx * unit * (Math.abs(dx) > 0.5 ? 1 : 2.4)} y={ty + dy * unit * 2.4} font-size={unit * 3.4}
        style={{ textAnchor: dx > 0.5 ? 'start' : dx < -0.5 ? 'end' : 'middle' }}
      >{name}</text>
    </g>
  );
}

interface HandleProperties extends OneProperties {
  place: { current: SVGSVGElement | null };
  onChange: (shape: Shape) => void;
}

function Handles({ shape, width, height, place, onChange }: HandleProperties) {
  const dragged = useRef(-1);
  const unit = Math.max(width, height) / 100;
  const full = shape.points.length >= POINTS_MAX[shape.kind];
  const edges = full ? 0 : shape.kind === 'zone' ? shape.points.length : shape.points.length - 1;

  const move = (event: PointerEvent): void => {
    if (dragged.current < 0 || place.current === null) return;
    const box = place.current.getBoundingClientRect();
    onChange(moved(shape, dragged.current, [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]));
  };
  const key = (index: number, event: KeyboardEvent): void => {
    const step = ARROWS[event.key];
    const point = shape.points[index]!;
    const large = event.shiftKey ? 5 : 1;
    if (step !== undefined) onChange(moved(shape, index, [point[0] + step[0] * large, point[1] + step[1] * large]));
    else if ((event.key === 'Delete' || event.key === 'Backspace') && shape.points.length > pointsMin(shape.kind)) onChange(withoutPoint(shape, index));
    else return;
    event.preventDefault();
  };
  const grab = (index: number, event: PointerEvent): void => {
    dragged.current = index;
    place.current?.setPointerCapture(event.pointerId);
    event.preventDefault();
    (event.currentTarget as SVGElement).focus();
  };
  const letGo = (): void => void (dragged.current = -1);
  const words = ([x, y]: Point): string => `${Math.round(x * 100)} % across, ${Math.round(y * 100)} % down`;
  return (
    <g ref={(element) => {
      // The drawing itself hears the pointer: a handle may be drawn anew while it is dragged.
      const svg = element === null ? null : place.current;
      if (svg === null) return;
      svg.onpointermove = move;
      svg.onpointerup = svg.onpointercancel = letGo;
    }}>
      {Array.from({ length: edges }, (_, index) => {
        const from = shape.points[index]!;
        const to = shape.points[(index + 1) % shape.points.length]!;
        const between: Point = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
        const add = (): void => onChange(withPoint(shape, index + 1, between));
        return (
          <circle
            key={`add ${index}`} class="drawing-add" cx={between[0] * width} cy={between[1] * height} r={unit * 1.1}
            tabindex={0} role="button" aria-label={`Add a point at ${words(between)}`}
            onKeyDown={(event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); add(); } }}
            onPointerDown={(event) => { add(); grab(index + 1, event); }}
          />
        );
      })}
      {shape.points.map((point, index) => (
        <circle
          key={`point ${index}`} class="drawing-end" cx={point[0] * width} cy={point[1] * height} r={unit * 1.7} tabindex={0} role="slider"
          aria-label={`Point ${index + 1} of ${shape.points.length}: move with the arrow keys${shape.points.length > pointsMin(shape.kind) ? ', Delete takes it away' : ''}`}
          aria-valuenow={Math.round(point[0] * 100)} aria-valuetext={words(point)}
          onKeyDown={(event) => key(index, event)} onPointerDown={(event) => grab(index, event)}
        />
      ))}
    </g>
  );
}
