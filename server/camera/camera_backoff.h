/* server/camera/camera_backoff.h: how long a camera waits before it tries again. Pure. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_BACKOFF_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_BACKOFF_H

#include <stdint.h>

/* After `failures` failed tries before this one: uniformly from the upper half of min_ms * 2
 * doubled for each failure, at most max_ms; so min_ms to 2 min_ms at first, max_ms / 2 to max_ms
 * in the end. The jitter, so that a hundred cameras behind one switch do not come back as one,
 * follows from *seed, which moves on. */
unsigned camera_backoff_ms(unsigned failures, unsigned min_ms, unsigned max_ms, uint64_t *seed);

#endif
