// links: server
/* Which part of the time was analysed: gaps, minutes, slow cameras, clocks that jump. */
#include "config/clock.h"
#include "server/coverage.h"
#include "tests/tap.h"

#define START (INT64_C(1795230000) * NS_PER_S) /* the beginning of a minute */

struct sums {
    int64_t analysed_ms, elapsed_ms;
    int     spans;
};

/* Plays `seconds` at `fps`, but for a hole, with a look every second as the pipeline does. */
static struct sums play(struct coverage *coverage, int64_t start_ns, double fps, int seconds,
                        int hole_from_s, int hole_to_s)
{
    struct sums          sums = {0};
    struct coverage_span span;
    int64_t              next_ns = start_ns;

    for (int s = 1; s <= seconds; s++) {
        for (; next_ns < start_ns + s * NS_PER_S; next_ns += (int64_t)(1e9 / fps)) {
            int64_t at_s = (next_ns - start_ns) / NS_PER_S;
            if (at_s < hole_from_s || at_s >= hole_to_s)
                coverage_frame(coverage, next_ns);
        }
        while (coverage_take(coverage, start_ns + s * NS_PER_S, &span)) {
            sums.analysed_ms += span.analysed_ms;
            sums.elapsed_ms += span.elapsed_ms;
            sums.spans++;
            if (span.time_ns / (60 * NS_PER_S) !=
                (span.time_ns + span.elapsed_ms * NS_PER_MS - 1) / (60 * NS_PER_S))
                sums.spans += 1000; /* a span over two minutes */
        }
    }
    return sums;
}

int main(void)
{
    struct coverage coverage;
    struct sums     sums;

    coverage_begin(&coverage, 5, START);
    ok(coverage_last_minute(&coverage) < 0, "no minute yet");
    sums = play(&coverage, START, 5, 130, 0, 0);
    is_int(sums.elapsed_ms, 130000, "all time is told");
    ok(sums.analysed_ms >= 129000 && sums.analysed_ms <= 130000, "all of it was analysed: %d ms",
       (int)sums.analysed_ms);
    ok(sums.spans < 1000 && sums.spans >= 13, "every span lies within one minute");
    ok(coverage_last_minute(&coverage) > 0.98, "the last full minute: %.3f",
       coverage_last_minute(&coverage));

    coverage_begin(&coverage, 5, START);
    sums = play(&coverage, START, 5, 120, 20, 50);
    is_int(sums.elapsed_ms, 120000, "all time is told with a hole too");
    is_near(sums.analysed_ms, 90000, 1500, "half a minute was not analysed");

    coverage_begin(&coverage, 0.5, START);
    sums = play(&coverage, START, 0.5, 120, 0, 0);
    ok(sums.analysed_ms >= 116000, "a slow rate that is wanted is no gap: %d ms",
       (int)sums.analysed_ms);
    coverage_begin(&coverage, 5, START);
    sums = play(&coverage, START, 0.5, 120, 0, 0);
    is_int(sums.analysed_ms, 0, "a rate far below the wanted one vouches for nothing");

    coverage_begin(&coverage, 0.2, START);
    coverage_frame(&coverage, START);
    coverage_set_rate(&coverage, 5);
    coverage_frame(&coverage, START + 5 * NS_PER_S);
    is_int(coverage.analysed_ns, 5 * NS_PER_S, "a faster rate: what the slow one saw is seen");
    coverage_frame(&coverage, START + 10 * NS_PER_S);
    is_int(coverage.analysed_ns, 5 * NS_PER_S, "a hole from then on");
    coverage_set_rate(&coverage, 0.2);
    coverage_frame(&coverage, START + 15 * NS_PER_S);
    is_int(coverage.analysed_ns, 10 * NS_PER_S, "a slow one again: none");

    coverage_begin(&coverage, 5, START);
    play(&coverage, START, 5, 30, 0, 0);
    sums = play(&coverage, START - 3600 * NS_PER_S, 5, 30, 0, 0);
    ok(sums.elapsed_ms <= 30000 && sums.analysed_ms <= sums.elapsed_ms,
       "a clock that is set back invents no time");
    coverage_begin(&coverage, 5, START);
    play(&coverage, START, 5, 30, 0, 0);
    sums = play(&coverage, START + 7200 * NS_PER_S, 5, 30, 0, 0);
    ok(sums.elapsed_ms <= 30000 && sums.analysed_ms <= sums.elapsed_ms,
       "a machine that slept invents none either");

    coverage_begin(&coverage, 5, START);
    coverage_frame(&coverage, START);
    coverage_still(&coverage, START + NS_PER_S / 5, START + 20 * NS_PER_S);
    coverage_still(&coverage, START + NS_PER_S / 5, START + 30 * NS_PER_S);
    coverage_still(&coverage, START + NS_PER_S / 5, START + 30 * NS_PER_S);
    is_int(coverage.analysed_ns, 30 * NS_PER_S, "pictures in which nothing moved were watched");
    coverage_frame(&coverage, START + 30 * NS_PER_S + NS_PER_S / 5);
    is_int(coverage.analysed_ns, 30 * NS_PER_S + NS_PER_S / 5, "up to the one that is analysed");
    coverage_still(&coverage, START + 50 * NS_PER_S, START + 55 * NS_PER_S);
    is_int(coverage.analysed_ns, 35 * NS_PER_S + NS_PER_S / 5, "a hole before them stays a hole");
    return done_testing();
}
