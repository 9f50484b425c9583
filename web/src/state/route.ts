// Where we are: the part of the address after '#', so that the server needs to know one page only.

import { signal } from '@preact/signals';
import { mayLeave, unsaved } from './unsaved';

export interface Route {
  view: 'wall' | 'camera' | 'history' | 'health' | 'add' | 'edit';
  camera: string;
  /** Further choices of a view (the history page keeps its own here, so that a link shows the same). */
  query: URLSearchParams;
}

export function readRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  const [first = '', ...rest] = path.split('/');
  const parameters = new URLSearchParams(query);
  if ((first === 'camera' || first === 'edit') && rest.length > 0) {
    let name = rest.join('/');
    try {
      name = decodeURIComponent(name);
    } catch {
      // A hand-written address: taken as it stands.
    }
    return { view: first, camera: name, query: parameters };
  }
  const view = first === 'history' || first === 'health' || first === 'add' ? first : 'wall';
  return { view, camera: '', query: parameters };
}

export const editHref = (name: string): string => `#/edit/${encodeURIComponent(name)}`;
export const cameraHref = (name: string): string => `#/camera/${encodeURIComponent(name)}`;

export const route = signal(readRoute(location.hash));

// Every step of the history is numbered, so that one that nobody was asked about can be taken back, wherever it led.
const numberOfStep = (): number | undefined => (history.state as { step?: number } | null)?.step;
let step = numberOfStep() ?? 0;
history.replaceState({ step }, '');

addEventListener('hashchange', () => {
  const known = numberOfStep();
  const to = known ?? step + 1;
  if (known === undefined) history.replaceState({ step: to }, '');
  const next = readRoute(location.hash);
  const elsewhere = next.view !== route.value.view || next.camera !== route.value.camera;
  if (elsewhere && to !== step && unsaved.value) return askFirst(to - step);
  step = to;
  route.value = next;
});

function askFirst(steps: number): void {
  history.go(-steps);
  void mayLeave().then((leave) => {
    if (leave) history.go(steps);
  });
}

/** Another address for the same view, without a step in the browser's history. */
export function replaceQuery(query: URLSearchParams): void {
  const path = location.hash.split('?')[0] || '#/';
  history.replaceState(history.state, '', `${path}?${query}`);
}
