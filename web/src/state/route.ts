// Where we are: the part of the address after '#', so that the server needs to know one page only.

import { signal } from '@preact/signals';

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
addEventListener('hashchange', () => (route.value = readRoute(location.hash)));

/** Another address for the same view, without a step in the browser's history. */
export function replaceQuery(query: URLSearchParams): void {
  const path = location.hash.split('?')[0] || '#/';
  history.replaceState(null, '', `${path}?${query}`);
}
