/* server/camera/motion.h: whether anything moves in a camera's pictures, so that the detector may
 * rest while nothing does.
 *
 * A grid of cells of 8x8 pixels (more for pictures wider than 1280), each the mean of 16 samples
 * of the decoder's own luma, against a background that follows in some seconds. It is meant to
 * wake the detector too often, never too late: MOTION_LEVELS is what a grey coat makes on a grey
 * road. Media time alone decides: the same pictures give the same answers. One thread at a
 * time. */
#ifndef SIGHTLINE_SERVER_CAMERA_MOTION_H
#define SIGHTLINE_SERVER_CAMERA_MOTION_H

#include "config/settings.h"
#include "gpu/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define MOTION_LEVELS        6 /* of 255, by which a cell differs from its background */
#define MOTION_BACKGROUND_NS INT64_C(8000000000) /* what has stood for so long belongs to it */

struct motion;

/* Copies the masks. NULL: no memory. */
struct motion *motion_open(const struct settings_motion *settings);
void           motion_close(struct motion **motion);
/* True: something moves in this picture, or nobody can tell (the first of a stream or of a size,
 * packed RGB). */
bool motion_look(struct motion *motion, const struct frame *frame);

/* ---- which pictures are analysed; pure ---- */

#define MOTION_HOLD_NS    INT64_C(3000000000) /* after the last movement */
#define MOTION_REFRESH_NS INT64_C(2000000000) /* one picture at least in so long a time */

/* Zero before the first picture and at a new stream. */
struct motion_gate {
    bool    any;
    int64_t moved_ns, wanted_ns;
};
/* `active`: the detector's last pictures show something that is followed. */
bool motion_gate_wants(struct motion_gate *gate, bool moving, bool active, int64_t pts_ns);
/* Only what MOTION_REFRESH_NS asks for is analysed now. */
bool motion_gate_rests(const struct motion_gate *gate, int64_t pts_ns);

#endif
