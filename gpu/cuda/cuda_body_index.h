/* gpu/cuda/cuda_body_index.h: the bodies of the kernels that read where other numbers say.
 *
 * Indices come from the data that the network sees: they are brought into range before each use. One
 * thread makes one number of y, but of the best K: there a thread is a number of x. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_BODY_INDEX_H
#define SIGHTLINE_GPU_CUDA_CUDA_BODY_INDEX_H

#include "gpu/cuda/cuda_body.h"

/* A whole number within 0..size-1 from whatever `x` is, also when it is not a number; below 0 it counts
 * from the end. */
BODY uint32_t index_in(float x, uint32_t size)
{
    int32_t i;

    if (!(x > -2e9F))
        return 0;
    i = x < 2e9F ? (int32_t)x : (int32_t)size - 1;
    if (i < 0)
        i += (int32_t)size;
    return i < 0 ? 0 : i >= (int32_t)size ? size - 1 : (uint32_t)i;
}

BODY void body_take(const struct cuda_take *args, uint32_t image, uint32_t thread)
{
    uint32_t index, inner, list, outer;

    if (!view_index(&args->y, image, thread, &index))
        return;
    inner = index % args->inner;
    list  = index / args->inner % args->index_count;
    outer = index / args->inner / args->index_count;
    list  = index_in(view_load(&args->indices, image, list), args->count);
    view_store(&args->y, image, index,
               view_load(&args->x, image, (outer * args->count + list) * args->inner + inner));
}

BODY void body_take_elements(const struct cuda_take_elements *args, uint32_t image, uint32_t thread)
{
    uint32_t index, rest, from;

    if (!view_index(&args->y, image, thread, &index))
        return;
    rest = index;
    from = index_in(view_load(&args->indices, image, index), args->count) *
           args->stride[args->axis];
    for (int k = args->rank - 1; k >= 0; k--) {
        if (k != args->axis)
            from += rest % args->dimension[k] * args->stride[k];
        rest /= args->dimension[k];
    }
    view_store(&args->y, image, index, view_load(&args->x, image, from));
}

BODY void body_take_slices(const struct cuda_take_slices *args, uint32_t image, uint32_t thread)
{
    uint32_t index, row, from;

    if (!view_index(&args->y, image, thread, &index))
        return;
    row  = index / args->inner;
    from = row / args->rows * args->batch_step + index % args->inner;
    for (uint32_t d = 0; d < args->depth; d++)
        from += index_in(view_load(&args->indices, image, row * args->depth + d),
                         args->dimension[d]) *
                args->stride[d];
    view_store(&args->y, image, index, view_load(&args->x, image, from));
}

/* True when number `other` comes before `own`, `earlier`: it has the smaller index. One order of all
 * numbers, as behind() of gpu/cpu/cpu_plain_index.c: those that are none at its end. */
BODY int top_k_before(int32_t smallest, float other, float own, int earlier)
{
    if (other < own || other > own)
        return smallest ? other < own : other > own;
    if ((other != other) != (own != own))
        return own != own;
    return earlier;
}

/* Its place is the number of those before it: no order of threads and no memory of its own. */
BODY void body_top_k(const struct cuda_top_k *args, uint32_t image, uint32_t thread)
{
    uint32_t inner = thread % args->inner, at = thread / args->inner % args->count;
    uint32_t outer = thread / args->inner / args->count;
    uint32_t first = outer * args->count * args->inner + inner, before = 0;
    float    own = view_load(&args->x, image, thread);

    for (uint32_t i = 0; i < args->count; i++) {
        float other = view_load(&args->x, image, first + i * args->inner);

        before += top_k_before(args->smallest, other, own, i < at) != 0;
    }
    if (before < args->best)
        view_store(&args->y, image, (outer * args->best + before) * args->inner + inner, (float)at);
}

/* From -1..1 to pixels. Far-off and undefined places become the border or beyond it by one. */
BODY float sample_place(const struct cuda_grid_sample *args, float x, uint32_t size)
{
    float last  = (float)(size - 1);
    float place = args->align_corners ? (x + 1.0F) * 0.5F * last
                                      : ((x + 1.0F) * (float)size - 1.0F) * 0.5F;

    place = place > -1e6F ? fminf(place, 1e6F) : -1e6F;
    if (args->padding == 2) {
        float low  = args->align_corners ? 0.0F : -0.5F;
        float span = args->align_corners ? last : (float)size, turns, rest;

        if (span <= 0.0F) {
            place = 0.0F;
        } else {
            place = fabsf(place - low);
            turns = floorf(place / span);
            rest  = place - turns * span;
            place = low + (fmodf(turns, 2.0F) == 0.0F ? rest : span - rest);
        }
    }
    return args->padding != 0 ? fminf(fmaxf(place, 0.0F), last) : place;
}

BODY void body_grid_sample(const struct cuda_grid_sample *args, uint32_t image, uint32_t thread)
{
    uint32_t index, point, plane, at;
    float    x, y, left, top, right, down, sum = 0.0F;

    if (!view_index(&args->y, image, thread, &index))
        return;
    plane = index / args->points;
    point = plane / args->channels * args->points + index % args->points;
    x     = sample_place(args, view_load(&args->grid, image, 2 * point), args->width);
    y     = sample_place(args, view_load(&args->grid, image, 2 * point + 1), args->height);
    left  = args->nearest ? rintf(x) : floorf(x);
    top   = args->nearest ? rintf(y) : floorf(y);
    right = args->nearest ? 0.0F : x - left;
    down  = args->nearest ? 0.0F : y - top;
    for (int32_t i = 0; i < 4; i++) {
        int32_t column = (int32_t)left + i % 2, row = (int32_t)top + i / 2;
        float   weight = (i % 2 == 0 ? 1.0F - right : right) * (i / 2 == 0 ? 1.0F - down : down);

        if (column < 0 || row < 0 || column >= (int32_t)args->width || row >= (int32_t)args->height)
            continue;
        at = (plane * args->height + (uint32_t)row) * args->width + (uint32_t)column;
        sum += view_load(&args->x, image, at) * weight;
    }
    view_store(&args->y, image, index, sum);
}

BODY void body_where(const struct cuda_where *args, uint32_t image, uint32_t thread)
{
    uint32_t index, rest, from[3] = {0, 0, 0};
    int      chosen;

    if (!view_index(&args->y, image, thread, &index))
        return;
    rest = index;
    for (int k = args->rank - 1; k >= 0; k--) {
        for (int i = 0; i < 3; i++)
            from[i] += rest % args->dimension[k] * args->stride[i][k];
        rest /= args->dimension[k];
    }
    chosen = view_load(&args->from[0], image, from[0]) != 0.0F ? 1 : 2;
    view_store(&args->y, image, index, view_load(&args->from[chosen], image, from[chosen]));
}

#endif
