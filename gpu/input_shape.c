#include "gpu/input_shape.h"

#include <stdbool.h>

/* How large the picture is in it: the ratio of their sides, times both sides of the picture. */
static int64_t size_of(struct input_shape shape, int64_t width_px, int64_t height_px)
{
    int64_t across = shape.width_px * height_px, down = shape.height_px * width_px;

    return across < down ? across : down;
}

static int64_t area_of(struct input_shape shape)
{
    return (int64_t)shape.width_px * shape.height_px;
}

static int64_t step_up(int64_t px)
{
    return (px + INPUT_SHAPE_STEP_PX - 1) / INPUT_SHAPE_STEP_PX * INPUT_SHAPE_STEP_PX;
}

int64_t input_shape_area_max(struct input_shape own)
{
    return area_of(own) * (100 + INPUT_SHAPE_OVER_PERCENT) / 100;
}

struct input_shape input_shape_for(struct input_shape own, int picture_width_px,
                                   int picture_height_px)
{
    int64_t width_px = picture_width_px, height_px = picture_height_px;
    int64_t area     = input_shape_area_max(own);
    int64_t least_px = step_up((own.width_px < own.height_px ? own.width_px : own.height_px) / 2);
    int64_t own_size = size_of(own, width_px, height_px), best_size = own_size;
    struct input_shape best = own;

    if (own.width_px * height_px == own.height_px * width_px)
        return own; /* it is full: more would only be larger */
    if (least_px < INPUT_SHAPE_STEP_PX)
        least_px = INPUT_SHAPE_STEP_PX;
    for (int64_t w = least_px; w * least_px <= area; w += INPUT_SHAPE_STEP_PX) {
        int64_t            h      = area / w / INPUT_SHAPE_STEP_PX * INPUT_SHAPE_STEP_PX;
        int64_t            needed = step_up((w * height_px + width_px - 1) / width_px);
        struct input_shape shape;
        int64_t            size;

        if (needed < h)
            h = needed;
        if (h < least_px)
            h = least_px;
        shape = (struct input_shape){(int)w, (int)h};
        size  = size_of(shape, width_px, height_px);
        if (size > best_size || (size == best_size && area_of(shape) < area_of(best))) {
            best      = shape;
            best_size = size;
        }
    }
    if (own_size * (100 + INPUT_SHAPE_GAIN_PERCENT) >= best_size * 100)
        return own;
    return best;
}

int input_shape_nearest(const struct input_shape *shapes, int count, int picture_width_px,
                        int picture_height_px)
{
    int     best      = 0;
    int64_t best_size = -1;

    for (int i = 0; i < count; i++) {
        int64_t size = size_of(shapes[i], picture_width_px, picture_height_px);

        if (size > best_size) {
            best      = i;
            best_size = size;
        }
    }
    return best;
}
