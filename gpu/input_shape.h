/* gpu/input_shape.h: which size of input shows a picture best, at the cost of the network's own.
 *
 * A network whose file leaves height and width open runs at any multiple of 32. A picture of another
 * aspect than the network's own size leaves part of that empty; a size of about the same area in the
 * picture's aspect shows it larger, for the same work. Whole numbers only: the same choice on every
 * machine. */
#ifndef SIGHTLINE_GPU_INPUT_SHAPE_H
#define SIGHTLINE_GPU_INPUT_SHAPE_H

#include <stdint.h>

#define INPUT_SHAPE_STEP_PX 32
/* A size may have so much more area than the network's own: what it may cost. More was tried: 4:3 pictures of
 * people through 448x352 in place of 448x320 cost a tenth more and were found less well. */
#define INPUT_SHAPE_OVER_PERCENT 4
/* Where a picture would be less than this larger than in the network's own size, that is used: each
 * size costs memory and the time to open it. */
#define INPUT_SHAPE_GAIN_PERCENT 2

struct input_shape {
    int width_px, height_px;
};

/* The largest area that input_shape_for() may choose. */
int64_t input_shape_area_max(struct input_shape own);

/* The size in which the picture is largest, of these the one with the least area; `own`, always for
 * a picture of its aspect, or multiples of 32 that are nowhere shorter than half of its shorter side.
 * All sides at least 1. */
struct input_shape input_shape_for(struct input_shape own, int picture_width_px,
                                   int picture_height_px);

/* The one of `count` in which the picture is largest; of equals the first. */
int input_shape_nearest(const struct input_shape *shapes, int count, int picture_width_px,
                        int picture_height_px);

#endif
