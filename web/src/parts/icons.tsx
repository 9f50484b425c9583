// The few icons, drawn by hand: 20×20, one stroke, the colour of the text.

import type { ComponentChildren } from 'preact';

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg
      class="icon" viewBox="0 0 20 20" width="20" height="20" fill="none" stroke="currentColor"
      stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const WallIcon = () => (
  <Icon><rect x="3" y="3.5" width="6" height="5.5" rx="1.2" /><rect x="11" y="3.5" width="6" height="5.5" rx="1.2" /><rect x="3" y="11" width="6" height="5.5" rx="1.2" /><rect x="11" y="11" width="6" height="5.5" rx="1.2" /></Icon>
);
export const ChartIcon = () => (
  <Icon><path d="M3.5 16.5h13" /><path d="M6 13.5v-4" /><path d="M10 13.5v-9" /><path d="M14 13.5v-6" /></Icon>
);
export const HealthIcon = () => (
  <Icon><path d="M2.5 10.5h3.2l2-5.5 3.6 10 2.2-6 1 1.5h3" /></Icon>
);
export const SunIcon = () => (
  <Icon><circle cx="10" cy="10" r="3.2" /><path d="M10 2.5v1.8M10 15.7v1.8M2.5 10h1.8M15.7 10h1.8M4.7 4.7 6 6M14 14l1.3 1.3M15.3 4.7 14 6M6 14l-1.3 1.3" /></Icon>
);
export const MoonIcon = () => (
  <Icon><path d="M16.2 12.3A6.8 6.8 0 0 1 7.7 3.8a6.8 6.8 0 1 0 8.5 8.5Z" /></Icon>
);
export const AutoIcon = () => (
  <Icon><circle cx="10" cy="10" r="6.5" /><path d="M10 3.5v13a6.5 6.5 0 0 0 0-13Z" fill="currentColor" /></Icon>
);
export const LeaveIcon = () => (
  <Icon><path d="M8 3.5H5A1.5 1.5 0 0 0 3.5 5v10A1.5 1.5 0 0 0 5 16.5h3" /><path d="M12.5 13.5 16 10l-3.5-3.5M16 10H8" /></Icon>
);
export const FullIcon = () => (
  <Icon><path d="M3.5 7.5v-4h4M12.5 3.5h4v4M16.5 12.5v4h-4M7.5 16.5h-4v-4" /></Icon>
);
export const DownIcon = () => (
  <Icon><path d="M10 3.5v8.5M6.5 8.7 10 12.2l3.5-3.5M4 16.5h12" /></Icon>
);
export const BackIcon = () => (
  <Icon><path d="M12 4.5 6.5 10l5.5 5.5" /></Icon>
);
export const MoreIcon = () => (
  <Icon><path d="m6 8 4 4 4-4" /></Icon>
);
export const WarnIcon = () => (
  <Icon><path d="M10 3.2 17.5 16.5h-15Z" /><path d="M10 8.2v3.6M10 14.1v.1" /></Icon>
);
export const GoodIcon = () => (
  <Icon><circle cx="10" cy="10" r="7" /><path d="m6.8 10.2 2.2 2.2 4.2-4.6" /></Icon>
);
export const EditIcon = () => (
  <Icon><path d="M12.8 4.2 15.8 7.2 7.5 15.5 4 16 4.5 12.5Z" /><path d="m11 6 3 3" /></Icon>
);
export const PlusIcon = () => (
  <Icon><path d="M10 4.5v11" /><path d="M4.5 10h11" /></Icon>
);
