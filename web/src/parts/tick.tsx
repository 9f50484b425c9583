// A number that shows that it has just changed.

import { useEffect, useRef } from 'preact/hooks';
import { count } from '../data/format';
import { calm } from '../state/theme';

export function Tick({ value }: { value: number }) {
  const element = useRef<HTMLSpanElement>(null);
  const before = useRef(value);
  useEffect(() => {
    const was = before.current;
    before.current = value;
    if (was === value || calm.peek()) return;
    element.current?.animate(
      [
        { transform: `translateY(${value > was ? '0.35em' : '-0.35em'})`, opacity: 0.2 },
        { transform: 'none', opacity: 1 },
      ],
      { duration: 260, easing: 'cubic-bezier(0.2, 0.8, 0.2, 1)' },
    );
    element.current?.parentElement?.animate(
      [{ backgroundColor: 'var(--flash)' }, { backgroundColor: 'transparent' }],
      { duration: 900, easing: 'ease-out' },
    );
  }, [value]);
  return (
    <span ref={element} class="tick">
      {count(value)}
    </span>
  );
}
