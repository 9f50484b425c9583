/* gpu/cuda/cuda_body_pictures.h: the bodies of the kernels over pictures (H×W×C, half precision).
 *
 * Each function is one thread: number `thread` of the picture `image` of the batch. One thread
 * makes CUDA_LANES channels of one pixel, neighbours in memory are neighbours in the grid. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_BODY_PICTURES_H
#define SIGHTLINE_GPU_CUDA_CUDA_BODY_PICTURES_H

#include "gpu/cuda/cuda_body.h"

/* Which lanes of which pixel a thread makes. */
struct spot {
    uint32_t x, y, lane; /* lane: the first channel */
};

BODY uint32_t picture_threads(const struct cuda_picture *picture)
{
    return picture->height * picture->width * lane_groups(picture);
}

BODY struct spot spot_of(const struct cuda_picture *picture, uint32_t thread)
{
    uint32_t    groups = lane_groups(picture), pixel = thread / groups;
    struct spot spot;

    spot.lane = thread % groups * CUDA_LANES;
    spot.y    = pixel / picture->width;
    spot.x    = pixel % picture->width;
    return spot;
}

BODY half_bits *spot_at(const struct cuda_picture *picture, uint32_t image, const struct spot *spot)
{
    return pixel_at(picture, image, spot->y, spot->x) + spot->lane;
}

BODY void body_input(const struct cuda_input *args, uint32_t image, uint32_t thread)
{
    struct spot  spot   = spot_of(&args->y, thread);
    uint32_t     plane  = args->y.height * args->y.width;
    const float *from   = args->x + (int64_t)image * args->y.channels * plane;
    struct lanes values = {{0}};

    for (uint32_t i = 0; i < CUDA_LANES; i++)
        if (spot.lane + i < args->y.channels)
            values.at[i] = from[(spot.lane + i) * plane + spot.y * args->y.width + spot.x];
    lanes_store(spot_at(&args->y, image, &spot), &values);
}

/* Taps of a window at `first` that lie before `end`. */
BODY int32_t taps_before(int32_t first, int32_t end, int32_t kernel, int32_t dilation)
{
    int32_t count = first < end ? (end - first - 1) / dilation + 1 : 0;

    return count < kernel ? count : kernel;
}

BODY void body_pool(const struct cuda_pool *args, uint32_t image, uint32_t thread)
{
    struct spot  spot   = spot_of(&args->y, thread);
    int32_t      top    = (int32_t)spot.y * args->window.stride[0] - args->window.pad_begin[0];
    int32_t      left   = (int32_t)spot.x * args->window.stride[1] - args->window.pad_begin[1];
    int32_t      height = (int32_t)args->x.height, width = (int32_t)args->x.width, count = 0;
    struct lanes result;

    for (int i = 0; i < CUDA_LANES; i++)
        result.at[i] = args->is_max ? -65504.0F : 0.0F;
    for (int32_t ky = 0; ky < args->window.kernel[0]; ky++) {
        int32_t y = top + ky * args->window.dilation[0];
        if (y < 0 || y >= height)
            continue;
        for (int32_t kx = 0; kx < args->window.kernel[1]; kx++) {
            int32_t      x = left + kx * args->window.dilation[1];
            struct lanes tap;
            if (x < 0 || x >= width)
                continue;
            tap = lanes_load(pixel_at(&args->x, image, (uint32_t)y, (uint32_t)x) + spot.lane);
            for (int i = 0; i < CUDA_LANES; i++)
                result.at[i] = args->is_max ? fmaxf(result.at[i], tap.at[i])
                                            : result.at[i] + tap.at[i];
            count++;
        }
    }
    if (!args->is_max) {
        if (args->count_padding)
            count = taps_before(top, height + args->pad_end[0], args->window.kernel[0],
                                args->window.dilation[0]) *
                    taps_before(left, width + args->pad_end[1], args->window.kernel[1],
                                args->window.dilation[1]);
        for (int i = 0; i < CUDA_LANES; i++)
            result.at[i] /= (float)(count > 0 ? count : 1);
    }
    lanes_store(spot_at(&args->y, image, &spot), &result);
}

/* Where output coordinate `out` lies in the input; as enum resize_coordinates. */
BODY float source_coordinate(const struct cuda_resize *args, int axis, uint32_t out,
                             uint32_t in_size, uint32_t out_size)
{
    if (args->coordinates == 0)
        return (float)out / args->scale[axis];
    if (args->coordinates == 2)
        return out_size == 1 ? 0.0F : (float)out * (float)(in_size - 1) / (float)(out_size - 1);
    return ((float)out + 0.5F) / args->scale[axis] - 0.5F;
}

/* As enum resize_rounding. */
BODY uint32_t nearest_coordinate(const struct cuda_resize *args, int axis, uint32_t out,
                                 uint32_t in_size, uint32_t out_size)
{
    float   x = source_coordinate(args, axis, out, in_size, out_size);
    float   rounded;
    int32_t index;

    if (args->rounding == 0)
        rounded = floorf(x);
    else if (args->rounding == 1)
        rounded = ceilf(x);
    else if (args->rounding == 2)
        rounded = ceilf(x - 0.5F);
    else
        rounded = floorf(x + 0.5F);
    index = (int32_t)rounded;
    return index < 0 ? 0 : index >= (int32_t)in_size ? in_size - 1 : (uint32_t)index;
}

BODY float blend_coordinate(const struct cuda_resize *args, int axis, uint32_t out,
                            uint32_t in_size, uint32_t out_size)
{
    return fminf(fmaxf(source_coordinate(args, axis, out, in_size, out_size), 0.0F),
                 (float)(in_size - 1));
}

BODY void body_resize(const struct cuda_resize *args, uint32_t image, uint32_t thread)
{
    const struct cuda_picture *in = &args->x, *out = &args->y;
    struct spot                spot = spot_of(out, thread);
    struct lanes               a, b, c, d;
    float                      y, x, down, right;
    uint32_t                   y0, x0, y1, x1;

    if (!args->is_linear) {
        y0 = nearest_coordinate(args, 0, spot.y, in->height, out->height);
        x0 = nearest_coordinate(args, 1, spot.x, in->width, out->width);
        a  = lanes_load(pixel_at(in, image, y0, x0) + spot.lane);
        lanes_store(spot_at(out, image, &spot), &a);
        return;
    }
    y     = blend_coordinate(args, 0, spot.y, in->height, out->height);
    x     = blend_coordinate(args, 1, spot.x, in->width, out->width);
    y0    = (uint32_t)y;
    x0    = (uint32_t)x;
    y1    = y0 + 1 < in->height ? y0 + 1 : y0;
    x1    = x0 + 1 < in->width ? x0 + 1 : x0;
    down  = y - (float)y0;
    right = x - (float)x0;
    a     = lanes_load(pixel_at(in, image, y0, x0) + spot.lane);
    b     = lanes_load(pixel_at(in, image, y0, x1) + spot.lane);
    c     = lanes_load(pixel_at(in, image, y1, x0) + spot.lane);
    d     = lanes_load(pixel_at(in, image, y1, x1) + spot.lane);
    for (int i = 0; i < CUDA_LANES; i++) {
        float top    = a.at[i] + (b.at[i] - a.at[i]) * right;
        float bottom = c.at[i] + (d.at[i] - c.at[i]) * right;
        a.at[i]      = top + (bottom - top) * down;
    }
    lanes_store(spot_at(out, image, &spot), &a);
}

/* The end of convolutions and of arithmetic: residual and activation in their order. */
BODY void finish_lanes(const struct cuda_activation *activation, int32_t residual,
                       const half_bits *from, struct lanes *values)
{
    struct lanes r = {{0}};

    if (residual != 0)
        r = lanes_load(from);
    for (int i = 0; i < CUDA_LANES; i++) {
        float x = residual == 1 ? values->at[i] + r.at[i] : values->at[i];

        x             = activate(activation, x);
        values->at[i] = residual == 2 ? x + r.at[i] : x;
    }
}

BODY void body_lanes(const struct cuda_lanes *args, uint32_t image, uint32_t thread)
{
    struct spot  spot = spot_of(&args->y, thread);
    struct lanes a = lanes_load(spot_at(&args->a, image, &spot)), b = {{0}};

    if (args->has_b) {
        if (args->operand == OPERAND_SAME)
            b = lanes_load(spot_at(&args->b, image, &spot));
        else if (args->operand == OPERAND_PICTURE_CHANNELS)
            b = lanes_load(pixel_at(&args->b, image, 0, 0) + spot.lane);
        for (uint32_t i = 0; i < CUDA_LANES; i++) {
            if (args->operand == OPERAND_SCALAR)
                b.at[i] = args->scalar;
            else if (args->operand == OPERAND_CONSTANT_CHANNELS)
                b.at[i] = args->channel[spot.lane + i];
            a.at[i] = args->swapped ? combine(args->binary, b.at[i], a.at[i])
                                    : combine(args->binary, a.at[i], b.at[i]);
        }
    }
    finish_lanes(&args->activation, args->residual,
                 args->residual != 0 ? spot_at(&args->r, image, &spot) : args->y.at, &a);
    /* 0 / 0 in a lane without meaning would not stay there. */
    for (uint32_t i = 0; i < CUDA_LANES; i++)
        if (spot.lane + i >= args->y.channels)
            a.at[i] = 0.0F;
    lanes_store(spot_at(&args->y, image, &spot), &a);
}

BODY void body_channels(const struct cuda_channels *args, uint32_t image, uint32_t thread)
{
    struct spot      spot = spot_of(&args->y, thread);
    const half_bits *from = pixel_at(&args->x, image, spot.y, spot.x);
    half_bits       *to   = spot_at(&args->y, image, &spot);

    for (uint32_t i = spot.lane; i < spot.lane + CUDA_LANES && i < args->y.channels; i++) {
        int32_t source = args->map[i];

        to[i - spot.lane] = source >= 0 ? from[source] : (half_bits)0;
    }
}

/* As above where every thread moves 16 bytes: `to` and `from` lie on them. */
BODY void body_channels_aligned(const struct cuda_channels *args, uint32_t image, uint32_t thread)
{
    struct spot  spot   = spot_of(&args->y, thread);
    struct lanes values = lanes_load(pixel_at(&args->x, image, spot.y, spot.x) +
                                     args->aligned_from + spot.lane);

    lanes_store(spot_at(&args->y, image, &spot), &values);
}

BODY void body_depthwise(const struct cuda_conv *args, uint32_t image, uint32_t thread)
{
    struct spot  spot   = spot_of(&args->y, thread);
    int32_t      top    = (int32_t)spot.y * args->window.stride[0] - args->window.pad_begin[0];
    int32_t      left   = (int32_t)spot.x * args->window.stride[1] - args->window.pad_begin[1];
    int32_t      height = (int32_t)args->x.height, width = (int32_t)args->x.width;
    uint32_t     lanes = lane_groups(&args->y) * CUDA_LANES;
    struct lanes sum;

    for (int i = 0; i < CUDA_LANES; i++)
        sum.at[i] = args->bias[spot.lane + (uint32_t)i];
    for (int32_t ky = 0; ky < args->window.kernel[0]; ky++) {
        int32_t y = top + ky * args->window.dilation[0];
        if (y < 0 || y >= height)
            continue;
        for (int32_t kx = 0; kx < args->window.kernel[1]; kx++) {
            int32_t      x = left + kx * args->window.dilation[1];
            struct lanes tap, weight;
            if (x < 0 || x >= width)
                continue;
            tap    = lanes_load(pixel_at(&args->x, image, (uint32_t)y, (uint32_t)x) + spot.lane);
            weight = lanes_load(args->weights +
                                (uint32_t)(ky * args->window.kernel[1] + kx) * lanes + spot.lane);
            for (int i = 0; i < CUDA_LANES; i++)
                sum.at[i] = fmaf(tap.at[i], weight.at[i], sum.at[i]);
        }
    }
    finish_lanes(&args->activation, args->residual,
                 args->residual != 0 ? spot_at(&args->r, image, &spot) : args->y.at, &sum);
    lanes_store(spot_at(&args->y, image, &spot), &sum);
}

/* One output channel of a convolution in groups. */
BODY float grouped_sum(const struct cuda_conv *args, uint32_t image, const struct spot *spot,
                       uint32_t channel)
{
    int32_t          top   = (int32_t)spot->y * args->window.stride[0] - args->window.pad_begin[0];
    int32_t          left  = (int32_t)spot->x * args->window.stride[1] - args->window.pad_begin[1];
    int32_t          first = (int32_t)channel / args->group_out * args->group_in;
    const half_bits *weights = args->weights + (int64_t)channel * args->weight_pitch;
    float            sum     = args->bias[channel];

    for (int32_t ky = 0; ky < args->window.kernel[0]; ky++) {
        int32_t y = top + ky * args->window.dilation[0];
        if (y < 0 || y >= (int32_t)args->x.height)
            continue;
        for (int32_t kx = 0; kx < args->window.kernel[1]; kx++) {
            int32_t          x = left + kx * args->window.dilation[1];
            const half_bits *tap, *weight;
            if (x < 0 || x >= (int32_t)args->x.width)
                continue;
            tap    = pixel_at(&args->x, image, (uint32_t)y, (uint32_t)x) + first;
            weight = weights + (ky * args->window.kernel[1] + kx) * args->group_in;
            for (int32_t c = 0; c < args->group_in; c++)
                sum = fmaf(half_load(tap[c]), half_load(weight[c]), sum);
        }
    }
    return sum;
}

BODY void body_grouped(const struct cuda_conv *args, uint32_t image, uint32_t thread)
{
    struct spot  spot = spot_of(&args->y, thread);
    struct lanes sum  = {{0}};

    for (uint32_t i = 0; i < CUDA_LANES; i++)
        if (spot.lane + i < args->y.channels)
            sum.at[i] = grouped_sum(args, image, &spot, spot.lane + i);
    finish_lanes(&args->activation, args->residual,
                 args->residual != 0 ? spot_at(&args->r, image, &spot) : args->y.at, &sum);
    lanes_store(spot_at(&args->y, image, &spot), &sum);
}

#define MEAN_THREADS 32 /* of one warp, for one group of lanes */

/* What one thread of a warp adds up: every MEAN_THREADS-th pixel. */
BODY struct lanes mean_part(const struct cuda_mean *args, uint32_t image, uint32_t group,
                            uint32_t member)
{
    uint32_t     pixels = args->x.height * args->x.width;
    struct lanes sum    = {{0}};

    for (uint32_t pixel = member; pixel < pixels; pixel += MEAN_THREADS) {
        struct lanes tap = lanes_load(args->x.at + (int64_t)image * args->x.image +
                                      (int64_t)pixel * args->x.pitch + group * CUDA_LANES);

        for (int i = 0; i < CUDA_LANES; i++)
            sum.at[i] += tap.at[i];
    }
    return sum;
}

BODY void mean_finish(const struct cuda_mean *args, uint32_t image, uint32_t group,
                      struct lanes *sum)
{
    for (int i = 0; i < CUDA_LANES; i++)
        sum->at[i] /= (float)(args->x.height * args->x.width);
    lanes_store(pixel_at(&args->y, image, 0, 0) + group * CUDA_LANES, sum);
}

#endif
