/* server/rate_share.h: how much of its wanted rate each camera is analysed at, when the detector
 * cannot keep up with all of them. One share for all: every camera is slowed down in proportion,
 * none below RATE_SHARE_FPS_MIN. Down at once by what was lost, up by small steps after calm; a
 * step up that was too early makes the next one wait twice as long. Pure. */
#ifndef SIGHTLINE_SERVER_RATE_SHARE_H
#define SIGHTLINE_SERVER_RATE_SHARE_H

#include <stdint.h>

#define RATE_SHARE_FPS_MIN     1.0  /* what coverage counts as watched; or the wanted rate */
#define RATE_SHARE_LOST        0.02 /* of the pictures: less is jitter */
#define RATE_SHARE_UP          0.1  /* one step */
#define RATE_SHARE_CALM_NS     INT64_C(4000000000)
#define RATE_SHARE_CALM_MAX_NS INT64_C(60000000000)

struct rate_share {
    double  share; /* 0..1 */
    int64_t calm_since_ns;
    int64_t calm_ns;
    int64_t raised_ns; /* the last step up; 0: none since the last one that was too early */
};

void rate_share_begin(struct rate_share *share);
/* Of all pictures of the last second, so many were given up for newer ones. */
void rate_share_note(struct rate_share *share, uint64_t offered, uint64_t lost, int64_t now_ns);
/* What a camera gets; `wanted_fps` 0 is every picture of the `source_fps` that it sends. 0: all. */
double rate_share_fps(const struct rate_share *share, double wanted_fps, double source_fps);

#endif
