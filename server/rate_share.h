/* server/rate_share.h: how much of its wanted rate each camera is analysed at, when the detector
 * cannot keep up with all of them. One share for all: every camera is slowed down in proportion,
 * none below RATE_SHARE_FPS_MIN. Down at once by what was lost; up after calm, by what the detector
 * has to spare. A detector that is busy and loses nothing is left alone; a step up that was too much
 * makes the next one wait twice as long. Pure. */
#ifndef SIGHTLINE_SERVER_RATE_SHARE_H
#define SIGHTLINE_SERVER_RATE_SHARE_H

#include <stdint.h>

#define RATE_SHARE_FPS_MIN     1.0  /* what coverage counts as watched; or the wanted rate */
#define RATE_SHARE_LOST        0.02 /* of the pictures: less is jitter */
#define RATE_SHARE_BUSY        0.9  /* of the detector's time: no more is asked of it */
#define RATE_SHARE_UP_MIN      1.05 /* one step up */
#define RATE_SHARE_UP_MAX      2.0
#define RATE_SHARE_CALM_NS     INT64_C(4000000000)
#define RATE_SHARE_CALM_MAX_NS INT64_C(60000000000)

struct rate_share {
    double  share; /* 0..1 */
    int64_t calm_since_ns;
    int64_t calm_ns;
    int64_t raised_ns; /* the last step up; 0: none since the last one that was too much */
    int64_t lowered_ns;
};

void rate_share_begin(struct rate_share *share);
/* Of all pictures of the last second, so many were given up for newer ones; and the detector was at
 * work for so much of it, 0..1. */
void rate_share_note(struct rate_share *share, uint64_t offered, uint64_t lost, double busy,
                     int64_t now_ns);
/* What a camera gets; `wanted_fps` 0 is every picture of the `source_fps` that it sends. 0: all. */
double rate_share_fps(const struct rate_share *share, double wanted_fps, double source_fps);

#endif
