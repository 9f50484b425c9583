// A camera's state as a word with a shape of its own: colour alone says nothing to many people.

import type { CameraState } from '../state/protocol';
import { STATE_NAME, STATE_TONE } from '../data/words';

export function StateBadge({ state, reason }: { state: CameraState; reason?: string }) {
  const tone = STATE_TONE[state];
  return (
    <span class={`badge badge-${tone}`} title={reason || undefined}>
      <svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
        {tone === 'good' && <circle cx="5" cy="5" r="4" />}
        {tone === 'busy' && <path d="M5 1a4 4 0 0 1 4 4H7.4A2.4 2.4 0 0 0 5 2.6Z" class="turn" />}
        {tone === 'bad' && <path d="M5 .8 9.6 9H.4Z" />}
        {tone === 'quiet' && <rect x="1.5" y="1.5" width="7" height="7" rx="1.5" />}
      </svg>
      <span>{STATE_NAME[state]}</span>
    </span>
  );
}
