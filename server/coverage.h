/* server/coverage.h: which part of the time a camera was really analysed.
 *
 * Every analysed picture vouches for the time since the one before it, if that is not longer than
 * an object may take to cross unseen (COVERAGE_GAP_NS, or three wanted intervals). What is not
 * vouched for was not watched: the counts of that time have a gap, and say so. Pure; times are UTC. */
#ifndef SIGHTLINE_SERVER_COVERAGE_H
#define SIGHTLINE_SERVER_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

#define COVERAGE_GAP_NS \
    INT64_C(1000000000) /* a second: a walker moves 1.4 m, about two body widths */

struct coverage_span {
    int64_t  time_ns; /* within the minute that the figures belong to */
    uint32_t analysed_ms;
    uint32_t elapsed_ms;
};

struct coverage {
    int64_t gap_ns;      /* longest time that one picture vouches for */
    int64_t next_gap_ns; /* for the next one alone, after the rate has changed; else 0 */
    int64_t last_frame_ns;
    int64_t reported_ns; /* elapsed time up to here was given out */
    int64_t analysed_ns; /* since reported_ns */
    int64_t minute;      /* of the figures below */
    int64_t minute_analysed_ms, minute_elapsed_ms;
    double  last_minute; /* negative: none yet */
};

void coverage_begin(struct coverage *coverage, double wanted_fps, int64_t now_ns);
/* Another wanted rate from now on; the next picture still vouches for the time since the last one. */
void coverage_set_rate(struct coverage *coverage, double wanted_fps);
void coverage_frame(struct coverage *coverage, int64_t frame_ns);
/* From here to there pictures came without a gap and nothing moved in them: as good as analysed. */
void coverage_still(struct coverage *coverage, int64_t since_ns, int64_t until_ns);
/* Gives out what has accumulated, one minute at a time; false when there is nothing more. Called every
 * second; small spans are held back until COVERAGE_FLUSH_NS or the minute's end. */
bool coverage_take(struct coverage *coverage, int64_t now_ns, struct coverage_span *span);
/* Share of the last full minute, 0..1; negative before there was one. */
double coverage_last_minute(const struct coverage *coverage);

#define COVERAGE_FLUSH_NS INT64_C(2000000000) /* a crash costs at most 2 s of it */

#endif
