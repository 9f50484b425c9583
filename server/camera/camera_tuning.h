/* server/camera/camera_tuning.h: the times of the state machine, and a source from elsewhere:
 * for tests, which cannot wait for minutes. The server leaves all as it is. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_TUNING_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_TUNING_H

#include "server/camera/camera.h"
#include "server/camera/source.h"

struct camera_tuning {
    unsigned connect_ms; /* from the attempt to the first picture */
    unsigned stall_ms;   /* without a picture: stalled */
    unsigned
        stall_grace_ms; /* stalled for so long: given up; a picture before that and all is well */
    unsigned backoff_min_ms, backoff_max_ms;
    unsigned good_ms; /* streaming for so long: the next failure is the first again */
    uint64_t seed;    /* of the jitter */
    const struct source_ops *source; /* NULL: by the address */
};

/* What cameras have by default. */
extern const struct camera_tuning camera_tuning_default;
/* Between camera_open and camera_start. */
void camera_tune(struct camera *camera, const struct camera_tuning *tuning);

#endif
