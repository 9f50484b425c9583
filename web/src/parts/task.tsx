// One task of a form that takes its time: its words while it runs, and what went wrong.

import { useSignal, type Signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

export interface Task {
  /** What is being done; empty: nothing. */
  busy: Signal<string>;
  error: Signal<string>;
  run: (words: string, task: (signal: AbortSignal) => Promise<void>) => Promise<void>;
  stop: () => void;
}

/** One task at a time; leaving the page ends it. */
export function useTask(): Task {
  const busy = useSignal('');
  const error = useSignal('');
  const control = useRef<AbortController | null>(null);
  useEffect(() => () => control.current?.abort(), []);
  const run = async (words: string, task: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    control.current?.abort();
    const mine = new AbortController();
    control.current = mine;
    busy.value = words;
    error.value = '';
    try {
      await task(mine.signal);
    } catch (failure) {
      if (!mine.signal.aborted) error.value = failure instanceof Error ? failure.message : String(failure);
    } finally {
      if (control.current === mine) busy.value = '';
    }
  };
  return { busy, error, run, stop: () => control.current?.abort() };
}

export const Busy = ({ words }: { words: string }) => <p class="add-busy" role="status">{words !== '' && <><i class="spinner" aria-hidden="true" />{words}</>}</p>;
export const Wrong = ({ words }: { words: string }) => <p class="bad-text" role="alert">{words}</p>;
