/* config/clock.h: the two clocks. Durations and deadlines use the monotonic one, records the other.
 *
 * Modules that compute (tracker, lines, zones, roll-ups) never read a clock: they take the time as
 * an argument, so that a recorded hour replays exactly. */
#ifndef SIGHTLINE_CONFIG_CLOCK_H
#define SIGHTLINE_CONFIG_CLOCK_H

#include <stdint.h>

#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

/* Nanoseconds since an arbitrary start; never steps. */
int64_t clock_monotonic_ns(void);

/* Nanoseconds since 1970-01-01 UTC; may step when the machine's clock is set. */
int64_t clock_wall_ns(void);

/* "2026-11-21T03:04:05.678Z" into `text`. */
void clock_format_utc(int64_t wall_ns, char text[static 32]);

#endif
