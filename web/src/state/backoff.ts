// When to try again after a lost connection: exponential, capped, jittered so that a
// hundred dashboards do not come back in the same millisecond.

export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_LAST_MS = 15_000;

/** The wait before attempt `attempt` (0 for the first); `random` is in 0..1. */
export function backoffMs(attempt: number, random: number): number {
  const full = Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full / 2 + (full / 2) * random);
}
