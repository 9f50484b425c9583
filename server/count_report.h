/* server/count_report.h: what `sightline count` found, as text or JSON. */
#ifndef SIGHTLINE_SERVER_COUNT_REPORT_H
#define SIGHTLINE_SERVER_COUNT_REPORT_H

#include "server/count_options.h"
#include "storage/event.h"

#include <stdint.h>

struct count_report_line {
    uint64_t crossings[OBJECT_CLASSES][2]; /* [class][0: a_to_b, 1: b_to_a] */
};
struct count_report_zone {
    uint64_t entries[OBJECT_CLASSES];
    uint64_t exits[OBJECT_CLASSES];
    uint32_t occupancy[OBJECT_CLASSES];
    uint32_t occupancy_max;
    uint64_t dwell_ms; /* summed over the exits */
};
struct count_report {
    const struct settings_camera *camera;
    uint64_t                      frames_decoded;
    uint64_t                      frames_analysed;
    uint64_t                      events;
    int64_t                       last_pts_ns;
    double                        duration_s; /* as the file says, 0 if it does not */
    double                        wall_s;
    struct why               missing; /* what of the video is not in the counts; empty: nothing */
    struct count_report_line lines[LIMIT_LINES];
    struct count_report_zone zones[LIMIT_ZONES];
};

/* `camera` outlives the report. */
void count_report_begin(struct count_report *report, const struct settings_camera *camera);
void count_report_event(struct count_report *report, const struct event *event);
void count_report_occupancy(struct count_report *report, const char *zone,
                            const uint32_t inside[OBJECT_CLASSES]);
/* To standard output; the time that it took goes to standard error (in JSON it is the field wall_s), so
 * that the same video gives the same text. */
int count_report_print(const struct count_report *report, const struct count_options *options);

#endif
