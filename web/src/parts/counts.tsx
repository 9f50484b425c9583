// The figures of one line or zone: both directions under the user's names, by class on request.

import { useId, useState } from 'preact/hooks';
import { count } from '../data/format';
import type { Camera, Counter, Line, Zone } from '../state/protocol';
import { editHref } from '../state/route';
import { counterOf } from '../state/store';
import { MoreIcon } from './icons';
import { Tick } from './tick';

interface LineProps {
  camera: string;
  line: Line;
}
interface ZoneProps {
  camera: string;
  zone: Zone;
}

export function LineCounts({ camera, line }: LineProps) {
  const counter = counterOf(camera, line.name).value;
  const total = counter?.kind === 'line' ? counter.total : null;
  return (
    <Row name={line.name} kind="line" heads={[line.aToB, line.bToA]} rows={rowsOf(counter)}>
      <Figure way="ab" name={line.aToB} value={total?.a_to_b} />
      <Figure way="ba" name={line.bToA} value={total?.b_to_a} />
    </Row>
  );
}

export const NoCounter = ({ camera }: { camera: Camera }) => (
  <p class="empty-small">Nothing is counted here yet: <a href={editHref(camera.name)}>draw a line or a zone</a>.</p>
);

export function ZoneCounts({ camera, zone }: ZoneProps) {
  const counter = counterOf(camera, zone.name).value;
  const total = counter?.kind === 'zone' ? counter.total : null;
  return (
    <Row name={zone.name} kind="zone" heads={['inside', 'entered', 'left']} rows={rowsOf(counter)}>
      <Figure way="in" name="inside now" value={total?.occupancy} />
      <Figure way="ab" name="entered" value={total?.entries} />
    </Row>
  );
}

function rowsOf(counter: Counter | null): [string, number[]][] {
  if (counter === null) return [];
  const rows: [string, number[]][] =
    counter.kind === 'line'
      ? Object.entries(counter.classes).map(([name, figures]) => [name, [figures.a_to_b, figures.b_to_a]])
      : Object.entries(counter.classes).map(([name, figures]) => [
          name,
          [figures.occupancy, figures.entries, figures.exits],
        ]);
  const size = (row: [string, number[]]): number => row[1].reduce((a, b) => a + b, 0);
  return rows.sort((a, b) => size(b) - size(a) || (a[0] < b[0] ? -1 : 1));
}

function Figure({ way, name, value }: { way: 'ab' | 'ba' | 'in'; name: string; value: number | undefined }) {
  return (
    <span class={`figure figure-${way}`}>
      <span class="figure-name">{name}</span>
      <span class="figure-value">{value === undefined ? <span class="none">–</span> : <Tick value={value} />}</span>
    </span>
  );
}

interface RowProps {
  name: string;
  kind: 'line' | 'zone';
  heads: string[];
  rows: [string, number[]][];
  children: preact.ComponentChildren;
}

function Row({ name, kind, heads, rows, children }: RowProps) {
  const [open, setOpen] = useState(false);
  const id = useId();
  return (
    <div class={`counts${open ? ' counts-open' : ''}`}>
      <button
        type="button" class="counts-row" aria-expanded={open} aria-controls={id}
        onClick={() => setOpen(!open)} title={open ? undefined : 'Show by class'}
      >
        <span class={`counts-name counts-${kind}`}>{name}</span>
        <span class="counts-figures">{children}</span>
        <MoreIcon />
      </button>
      <div id={id} class="counts-classes" hidden={!open}>
        {rows.length === 0 ? (
          <p class="quiet">Nothing counted here yet.</p>
        ) : (
          <ClassTable heads={heads} rows={rows} />
        )}
      </div>
    </div>
  );
}

function ClassTable({ heads, rows }: { heads: string[]; rows: [string, number[]][] }) {
  return (
    <table class="classes">
      <thead>
        <tr>
          <th scope="col">class</th>
          {heads.map((head) => <th scope="col" class="number" key={head}>{head}</th>)}
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, figures]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            {figures.map((figure, index) => <td class="number" key={index}>{count(figure)}</td>)}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
