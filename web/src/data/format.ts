// Numbers and times in the reader's own language and clock.

const numbers = new Intl.NumberFormat();
const oneDecimal = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const upToOne = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const percents = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 0 });

export const count = (value: number): string => numbers.format(value);
export const rate = (value: number): string => oneDecimal.format(value);
export const rough = (value: number): string => upToOne.format(value);

/** A share as a percentage that never rounds a loss away: 99.9 % is not shown as 100 %. */
export function percent(share: number): string {
  const whole = Math.round(share * 100);
  if (whole === 100 && share < 1) return percents.format(0.99);
  if (whole === 0 && share > 0) return percents.format(0.01);
  return percents.format(share);
}

/** "8 s", "3 min 20 s", "2 h 5 min", "3 d 4 h". */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return hours % 24 === 0 ? `${hours / 24} d` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A short dwell has a decimal, as seconds matter there. */
export const dwell = (ms: number): string => (ms < 10_000 ? `${rough(ms / 1000)} s` : duration(ms));

const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit', second: '2-digit' });
const shortClock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const hourOnly = new Intl.DateTimeFormat(undefined, { hour: 'numeric' });
const dayAndClock = new Intl.DateTimeFormat(undefined, {
  weekday: 'short', day: 'numeric', month: 'short', hour: 'numeric', minute: '2-digit',
});
const dayOnly = new Intl.DateTimeFormat(undefined, {
  weekday: 'short', day: 'numeric', month: 'short', timeZone: 'UTC',
});
const dayOnlyLocal = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric', month: 'short' });
const shortDay = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const shortDayUtc = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', timeZone: 'UTC' });

export const timeOfDay = (time: number | string): string => clock.format(new Date(time));
export const minuteOfDay = (time: number | string): string => shortClock.format(new Date(time));
/** "6 AM" or "06": for axes whose steps are whole hours. */
export const hourOfDay = (time: number | string): string => hourOnly.format(new Date(time));
export const dateAndTime = (time: number | string): string => dayAndClock.format(new Date(time));
/** Day buckets begin at midnight UTC: their date is the UTC date, wherever the reader is. */
export const utcDay = (time: number | string): string => dayOnly.format(new Date(time));
const localDay = (time: number): string => dayOnlyLocal.format(new Date(time));
export const monthDay = (time: number | string): string => shortDay.format(new Date(time));
export const monthDayUtc = (time: number | string): string => shortDayUtc.format(new Date(time));

/** The name of a history bucket, or of several that follow each other: the day, or the time from and to. */
export function bucketName(time: number, step: number, buckets = 1, local = false): string {
  const end = time + step * buckets;
  if (local) {
    // Noon is in the right day whichever hours the clock has skipped.
    const last = localDay((end - step / 2) * 1000);
    return buckets === 1 ? localDay(time * 1000) : `${localDay(time * 1000)} – ${last}`;
  }
  if (step >= 86_400)
    return buckets === 1 ? `${utcDay(time * 1000)} (UTC)` : `${utcDay(time * 1000)} – ${utcDay((end - step) * 1000)} (UTC)`;
  const sameDay = new Date(time * 1000).toDateString() === new Date((end - 1) * 1000).toDateString();
  return `${dateAndTime(time * 1000)} – ${sameDay ? minuteOfDay(end * 1000) : dateAndTime(end * 1000)}`;
}

/** "1280×720", or "" before the first picture. */
export const size = (width: number, height: number): string => (width > 0 ? `${width}×${height}` : '');
