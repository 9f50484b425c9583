/* server/camera/decode_relief.h: what a decoder leaves out when the processors cannot keep up with
 * a live stream: first the pictures that no other refers to, then all but key frames. The last
 * resort, after the analysis has been slowed down: counts of such a time have a gap, and the
 * camera says why. Pure. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_RELIEF_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_RELIEF_H

#include "server/camera/camera.h"

#include <stdint.h>

/* Behind the camera by so much, for so long: one step down. A queue holds 5 s. */
#define DECODE_RELIEF_LATE_NS INT64_C(700000000)
#define DECODE_RELIEF_STEP_NS INT64_C(1000000000)
/* In time for so long: one step up; doubled each time that the step was too early. */
#define DECODE_RELIEF_CALM_NS     INT64_C(5000000000)
#define DECODE_RELIEF_CALM_MAX_NS INT64_C(80000000000)
#define DECODE_RELIEF_IN_TIME_NS  INT64_C(200000000)

/* Zero at the beginning. */
struct decode_relief {
    enum camera_relief level;
    int64_t            late_since_ns, calm_since_ns; /* 0: it is not */
    int64_t            calm_ns;                      /* to wait before the next step up */
    int64_t            raised_ns;                    /* the last step up */
};
/* A picture came out `late_ns` after its packet came in. */
void decode_relief_note(struct decode_relief *relief, int64_t late_ns, int64_t now_ns);

#endif
