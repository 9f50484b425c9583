// A signal with one of a few values that is kept in this browser. Without storage it lives as long as the page.

import { effect, signal, type Signal } from '@preact/signals';

export function kept<Value extends string>(name: string, fallback: Value, allowed: readonly Value[]): Signal<Value> {
  const key = `sightline.${name}`;
  let value = fallback;
  try {
    const stored = localStorage.getItem(key) as Value | null;
    if (stored !== null && allowed.includes(stored)) value = stored;
  } catch {
    // Storage is off: the fallback it is.
  }
  const result = signal(value);
  effect(() => {
    try {
      localStorage.setItem(key, result.value);
    } catch {
      // As above.
    }
  });
  return result;
}
