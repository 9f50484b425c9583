// Colours on the picture. They stand on any footage, day and night, so they do not follow the theme; each
// is drawn over a dark casing. The hues stay apart for the common kinds of colour blindness.

export const CLASS_COLOUR: Record<string, string> = {
  person: '#5ce1c6',
  bicycle: '#c9b6ff',
  car: '#ffc24b',
  motorcycle: '#ff9ecb',
  bus: '#ff8a5c',
  truck: '#8fd0ff',
};
export const classColour = (name: string): string => CLASS_COLOUR[name] ?? '#d7dde3';

export const A_TO_B = '#58b4ff';
export const B_TO_A = '#ffab4d';
export const LINE = '#ffffff';
export const ZONE = '#b9a4ff';
export const CASING = 'rgba(8, 12, 16, 0.72)';
