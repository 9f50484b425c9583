#include "gpu/latency.h"

#include "config/clock.h"

const int64_t LATENCY_BOUND_NS[LATENCY_BOUNDS] = {
    50 * NS_PER_US,  100 * NS_PER_US, 250 * NS_PER_US, 500 * NS_PER_US,
    1 * NS_PER_MS,   2 * NS_PER_MS,   5 * NS_PER_MS,   10 * NS_PER_MS,
    20 * NS_PER_MS,  50 * NS_PER_MS,  100 * NS_PER_MS, 200 * NS_PER_MS,
    500 * NS_PER_MS, 1 * NS_PER_S,    2 * NS_PER_S,    5 * NS_PER_S,
};

void latency_add(struct latency *latency, int64_t duration_ns)
{
    int place = 0;

    if (duration_ns < 0)
        duration_ns = 0;
    while (place < LATENCY_BOUNDS && duration_ns > LATENCY_BOUND_NS[place])
        place++;
    latency->bucket[place]++;
    latency->count++;
    latency->sum_ns += duration_ns;
}
