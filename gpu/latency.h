/* gpu/latency.h: how long something took, as a histogram with fixed bounds.
 *
 * The bounds are those of a scraped metric: cumulative sums of `bucket` give what Prometheus wants.
 * No lock inside: the owner's lock guards it. */
#ifndef SIGHTLINE_GPU_LATENCY_H
#define SIGHTLINE_GPU_LATENCY_H

#include <stdint.h>

#define LATENCY_BOUNDS 16

/* Upper bounds, inclusive, from 50 us to 5 s. */
extern const int64_t LATENCY_BOUND_NS[LATENCY_BOUNDS];

struct latency {
    uint64_t bucket[LATENCY_BOUNDS + 1]; /* the last: above all bounds */
    uint64_t count;
    int64_t  sum_ns;
};

/* A negative duration counts as 0. */
void latency_add(struct latency *latency, int64_t duration_ns);

#endif
