// What would be lost if this page were left. Whoever has something that is not saved says so; who goes elsewhere within
// the dashboard is asked by it (parts/leave_question.tsx), who closes or reloads the page by the browser.

import { computed, signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

const holders = signal<readonly object[]>([]);

export const unsaved = computed(() => holders.value.length > 0);

/** Waits for an answer; null: nobody is asked. */
export const leaveQuestion = signal<((leave: boolean) => void) | null>(null);

const warn = (event: Event): void => event.preventDefault();

function hold(list: readonly object[]): void {
  holders.value = list;
  // Only as long as it is needed: a page with this listener is not kept for the way back.
  if (list.length > 0) addEventListener('beforeunload', warn);
  else {
    removeEventListener('beforeunload', warn);
    // It was saved while the question stood there, or the page is gone with the session.
    leaveQuestion.value?.(false);
  }
}

/** While it is true and the component is there, leaving the page would lose something. */
export function useUnsaved(dirty: boolean): void {
  useEffect(() => {
    if (!dirty) return undefined;
    const mine = {};
    hold([...holders.value, mine]);
    return () => hold(holders.value.filter((one) => one !== mine));
  }, [dirty]);
}

/** It is saved, or nobody wants it any more. */
export const forgetUnsaved = (): void => hold([]);

/** Asks if something would be lost; false: stay. A second one while the first waits for its answer is to stay. */
export async function mayLeave(): Promise<boolean> {
  if (!unsaved.value) return true;
  if (leaveQuestion.value !== null) return false;
  const leave = await new Promise<boolean>((done) => (leaveQuestion.value = done));
  leaveQuestion.value = null;
  if (leave) forgetUnsaved();
  return leave;
}
