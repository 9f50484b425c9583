// The latest events of a camera, newest first. One stop for the tab key; arrow keys go through the rows.

import { useRef } from 'preact/hooks';
import { dwell, percent, timeOfDay } from '../data/format';
import { directionName } from '../data/words';
import type { Camera, CountEvent } from '../state/protocol';
import { eventsOf } from '../state/store';

const SHOWN = 60;

export function Events({ camera }: { camera: Camera }) {
  const events = eventsOf(camera.name).value;
  const several = camera.lines.length + camera.zones.length > 1;
  const list = useRef<HTMLOListElement>(null);
  if (events.length === 0)
    return (
      <p class="empty-small">
        Nothing has been counted here lately. Events appear as soon as something crosses a line or enters a zone.
      </p>
    );

  const move = (event: KeyboardEvent): void => {
    const rows = [...(list.current?.children ?? [])] as HTMLElement[];
    const at = rows.indexOf(document.activeElement as HTMLElement);
    const target = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    rows[Math.min(rows.length - 1, Math.max(0, target))]?.focus();
  };

  return (
    <ol class="events" ref={list} onKeyDown={move} aria-label="Latest events">
      {events.slice(0, SHOWN).map((event, index) => (
        <li key={event.seq} tabIndex={index === 0 ? 0 : -1}>
          <time dateTime={event.time}>{timeOfDay(event.time)}</time>
          <span class={`way way-${wayOf(event)}`} aria-hidden="true">{arrowOf(event)}</span>
          <span class="events-what">
            <b>{event.class}</b> {directionName(event, camera.lines)}
            {event.kind === 'zone_exit' && event.dwell_ms > 0 && ` · ${dwell(event.dwell_ms).replaceAll(' ', '\u00a0')}`}
          </span>
          <span class="events-where">{several ? event.counter : ''}</span>
          <span class="events-sure" title="How sure the detector was">{percent(event.confidence)}</span>
        </li>
      ))}
    </ol>
  );
}

function wayOf(event: CountEvent): 'ab' | 'ba' {
  return event.kind === 'zone_exit' || event.direction === 'b_to_a' ? 'ba' : 'ab';
}
function arrowOf(event: CountEvent): string {
  if (event.kind === 'zone_entry') return '↘';
  if (event.kind === 'zone_exit') return '↗';
  return event.direction === 'a_to_b' ? '→' : '←';
}
