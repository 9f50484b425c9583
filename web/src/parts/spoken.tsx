// Counts for people who listen: the changed totals, at most every quarter of a minute, never each tick.

import { useEffect, useRef, useState } from 'preact/hooks';
import { count } from '../data/format';
import type { Camera } from '../state/protocol';
import { counterOf } from '../state/store';

const EVERY_MS = 15_000;

export function Spoken({ camera }: { camera: Camera }) {
  const [text, setText] = useState('');
  const latest = useRef(camera);
  latest.current = camera;
  useEffect(() => {
    const timer = window.setInterval(() => setText(totals(latest.current)), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  return <p class="hidden" aria-live="polite">{text}</p>;
}

function totals(camera: Camera): string {
  const lines = camera.lines.map((line) => {
    const counter = counterOf(camera.name, line.name).peek();
    return counter?.kind === 'line'
      ? `${line.name}: ${count(counter.total.a_to_b)} ${line.aToB}, ${count(counter.total.b_to_a)} ${line.bToA}.`
      : '';
  });
  const zones = camera.zones.map((zone) => {
    const counter = counterOf(camera.name, zone.name).peek();
    return counter?.kind === 'zone' ? `${zone.name}: ${count(counter.total.occupancy)} inside.` : '';
  });
  return [...lines, ...zones].filter(Boolean).join(' ');
}
