// What would be lost if this page were left. Whoever has something that is not saved says so; who goes elsewhere within
// the dashboard is asked by it (parts/leave_question.tsx), who closes or reloads the page by the browser.

import { computed, signal } from '@preact/signals';
import { useLayoutEffect, useState } from 'preact/hooks';

const holders = signal<readonly object[]>([]);

export const unsaved = computed(() => holders.value.length > 0);

export interface LeaveQuestion {
  answer: (leave: boolean) => void;
  /** One part of the page is being saved, which leaves it; the rest would be lost. */
  saving: boolean;
}

/** Waits for an answer; null: nobody is asked. */
export const leaveQuestion = signal<LeaveQuestion | null>(null);

const warn = (event: Event): void => event.preventDefault();

function hold(list: readonly object[]): void {
  holders.value = list;
  // Only as long as it is needed: a page with this listener is not kept for the way back.
  if (list.length > 0) addEventListener('beforeunload', warn);
  else {
    removeEventListener('beforeunload', warn);
    // It was saved while the question stood there, or the page is gone with the session.
    leaveQuestion.value?.answer(false);
  }
}

/** While it is true and the component is there, leaving the page would lose something. Returns who says so. */
export function useUnsaved(dirty: boolean): object {
  const [mine] = useState(() => ({}));
  useLayoutEffect(() => {
    if (!dirty) return undefined;
    hold([...holders.value, mine]);
    return () => hold(holders.value.filter((one) => one !== mine));
  }, [dirty, mine]);
  return mine;
}

/** It is saved, or nobody wants it any more. */
export const forgetUnsaved = (): void => hold([]);

/** Asks if something would be lost; false: stay. A second one while the first waits for its answer is to stay. */
export async function mayLeave(): Promise<boolean> {
  if (!unsaved.value) return true;
  const leave = await asked(false);
  if (leave) forgetUnsaved();
  return leave;
}

/** Asks if something besides `mine` would be lost by saving that and leaving. What is not saved stays held: it may
 *  turn out that `mine` cannot be saved. */
export async function maySaveAlone(mine: object): Promise<boolean> {
  return holders.value.every((one) => one === mine) || asked(true);
}

async function asked(saving: boolean): Promise<boolean> {
  if (leaveQuestion.value !== null) return false;
  const leave = await new Promise<boolean>((answer) => (leaveQuestion.value = { answer, saving }));
  leaveQuestion.value = null;
  return leave;
}
