// Light, dark, or as the system says; the choice is kept in this browser. public/theme.js applies a
// kept choice before the first paint.

import { effect, signal } from '@preact/signals';
import { kept } from './kept';

export type Theme = 'auto' | 'light' | 'dark';
export const theme = kept<Theme>('theme', 'auto', ['auto', 'light', 'dark']);

const system = matchMedia('(prefers-color-scheme: dark)');
const systemDark = signal(system.matches);
system.addEventListener('change', () => (systemDark.value = system.matches));

/** What is shown now; charts and canvases draw again when it changes. */
export const dark = signal(false);

effect(() => {
  dark.value = theme.value === 'dark' || (theme.value === 'auto' && systemDark.value);
  if (theme.value === 'auto') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme.value;
});

export const calm = signal(matchMedia('(prefers-reduced-motion: reduce)').matches);
matchMedia('(prefers-reduced-motion: reduce)').addEventListener('change', (event) => {
  calm.value = event.matches;
});
