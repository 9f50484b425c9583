#include "server/coverage.h"

#include "config/clock.h"

#include <string.h>

#define MINUTE_NS (60 * NS_PER_S)

static int64_t gap_of(double wanted_fps)
{
    if (wanted_fps > 0 && 3e9 / wanted_fps > (double)COVERAGE_GAP_NS)
        return (int64_t)(3e9 / wanted_fps);
    return COVERAGE_GAP_NS;
}

void coverage_begin(struct coverage *coverage, double wanted_fps, int64_t now_ns)
{
    memset(coverage, 0, sizeof *coverage);
    coverage->gap_ns      = gap_of(wanted_fps);
    coverage->reported_ns = now_ns;
    coverage->minute      = now_ns / MINUTE_NS;
    coverage->last_minute = -1;
}

void coverage_set_rate(struct coverage *coverage, double wanted_fps)
{
    if (coverage->gap_ns > coverage->next_gap_ns)
        coverage->next_gap_ns = coverage->gap_ns;
    coverage->gap_ns = gap_of(wanted_fps);
}

void coverage_frame(struct coverage *coverage, int64_t frame_ns)
{
    int64_t since_ns = frame_ns - coverage->last_frame_ns;
    int64_t gap_ns   = coverage->gap_ns;

    if (coverage->next_gap_ns > gap_ns)
        gap_ns = coverage->next_gap_ns;
    coverage->next_gap_ns = 0;
    if (coverage->last_frame_ns != 0 && since_ns > 0 && since_ns <= gap_ns)
        coverage->analysed_ns += since_ns;
    coverage->last_frame_ns = frame_ns;
}

void coverage_still(struct coverage *coverage, int64_t since_ns, int64_t until_ns)
{
    int64_t from_ns = coverage->last_frame_ns;

    /* The last picture that was analysed lies before them by one interval. */
    if (from_ns < since_ns - coverage->gap_ns)
        from_ns = since_ns;
    if (until_ns <= from_ns)
        return;
    coverage->analysed_ns += until_ns - from_ns;
    coverage->last_frame_ns = until_ns;
}

static void close_minute(struct coverage *coverage, int64_t minute)
{
    if (minute == coverage->minute)
        return;
    /* A minute of which a part was not watched over (the camera was new) still tells its share. */
    if (coverage->minute_elapsed_ms > 0)
        coverage->last_minute = (double)coverage->minute_analysed_ms /
                                (double)coverage->minute_elapsed_ms;
    coverage->minute             = minute;
    coverage->minute_analysed_ms = 0;
    coverage->minute_elapsed_ms  = 0;
}

bool coverage_take(struct coverage *coverage, int64_t now_ns, struct coverage_span *span)
{
    int64_t minute_end_ns = (coverage->reported_ns / MINUTE_NS + 1) * MINUTE_NS;
    int64_t until_ns      = now_ns < minute_end_ns ? now_ns : minute_end_ns;
    int64_t elapsed_ns    = until_ns - coverage->reported_ns;
    int64_t analysed_ns;

    /* The clock was set back, or the machine slept: begin anew rather than invent time. */
    if (elapsed_ns < 0 || now_ns - coverage->reported_ns > 10 * MINUTE_NS) {
        coverage->reported_ns   = now_ns;
        coverage->last_frame_ns = 0;
        coverage->analysed_ns   = 0;
        return false;
    }
    if (elapsed_ns == 0 || (until_ns == now_ns && elapsed_ns < COVERAGE_FLUSH_NS))
        return false;
    close_minute(coverage, coverage->reported_ns / MINUTE_NS);
    analysed_ns       = coverage->analysed_ns < elapsed_ns ? coverage->analysed_ns : elapsed_ns;
    span->time_ns     = coverage->reported_ns;
    span->analysed_ms = (uint32_t)(analysed_ns / NS_PER_MS);
    span->elapsed_ms  = (uint32_t)(elapsed_ns / NS_PER_MS);
    /* What a late picture vouched for beyond this span is carried into the next one. */
    coverage->analysed_ns -= analysed_ns;
    coverage->reported_ns = until_ns;
    coverage->minute_analysed_ms += span->analysed_ms;
    coverage->minute_elapsed_ms += span->elapsed_ms;
    return true;
}

double coverage_last_minute(const struct coverage *coverage)
{
    return coverage->last_minute;
}
