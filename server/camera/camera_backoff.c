#include "server/camera/camera_backoff.h"

/* SplitMix64: any seed will do, also 0. */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t value = *seed += UINT64_C(0x9e3779b97f4a7c15);

    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

unsigned camera_backoff_ms(unsigned failures, unsigned min_ms, unsigned max_ms, uint64_t *seed)
{
    uint64_t ceiling_ms = (uint64_t)min_ms * 2;

    for (unsigned i = 0; i < failures && ceiling_ms < max_ms; i++)
        ceiling_ms *= 2;
    if (ceiling_ms > max_ms)
        ceiling_ms = max_ms;
    return (unsigned)(ceiling_ms - next_random(seed) % (ceiling_ms / 2 + 1));
}
