/* gpu/cuda/cuda_body_plain.h: the bodies of the kernels that address numbers in the model's order.
 *
 * They read and write either layout (struct cuda_view), one number for each thread: what stands
 * between the heads' feature maps and the outputs, where flexibility is worth more than speed. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_BODY_PLAIN_H
#define SIGHTLINE_GPU_CUDA_CUDA_BODY_PLAIN_H

#include "gpu/cuda/cuda_body.h"

BODY void body_copy(const struct cuda_copy *args, uint32_t image, uint32_t thread)
{
    uint32_t index, rest;
    int32_t  from = args->offset;

    if (!view_index(&args->y, image, thread, &index))
        return;
    rest = index;
    for (int k = args->rank - 1; k >= 0; k--) {
        from += (int32_t)(rest % args->dimension[k]) * args->stride[k];
        rest /= args->dimension[k];
    }
    view_store(&args->y, image, index,
               activate(&args->activation, view_load(&args->x, image, (uint32_t)from)));
}

BODY void body_binary(const struct cuda_binary *args, uint32_t image, uint32_t thread)
{
    uint32_t index, rest, a = 0, b = 0;
    float    result;

    if (!view_index(&args->y, image, thread, &index))
        return;
    rest = index;
    for (int k = args->rank - 1; k >= 0; k--) {
        uint32_t at = rest % args->dimension[k];

        a += at * args->stride_a[k];
        b += at * args->stride_b[k];
        rest /= args->dimension[k];
    }
    result = combine(args->binary, view_load(&args->a, image, a), view_load(&args->b, image, b));
    view_store(&args->y, image, index, activate(&args->activation, result));
}

/* Thread: one row. */
BODY void body_softmax(const struct cuda_softmax *args, uint32_t image, uint32_t row)
{
    uint32_t first   = row / args->inner * args->inner * args->count + row % args->inner;
    float    largest = view_load(&args->x, image, first), sum = 0.0F;

    for (uint32_t i = 1; i < args->count; i++)
        largest = fmaxf(largest, view_load(&args->x, image, first + i * args->inner));
    for (uint32_t i = 0; i < args->count; i++)
        sum += expf(view_load(&args->x, image, first + i * args->inner) - largest);
    for (uint32_t i = 0; i < args->count; i++) {
        uint32_t at = first + i * args->inner;

        view_store(&args->y, image, at, expf(view_load(&args->x, image, at) - largest) / sum);
    }
}

/* Thread: one row. */
BODY void body_layer_norm(const struct cuda_layer_norm *args, uint32_t image, uint32_t row)
{
    uint32_t first = row * args->count;
    float    mean = 0.0F, variance = 0.0F, by;

    for (uint32_t i = 0; i < args->count; i++)
        mean += view_load(&args->x, image, first + i);
    mean /= (float)args->count;
    for (uint32_t i = 0; i < args->count; i++) {
        float apart = view_load(&args->x, image, first + i) - mean;

        variance += apart * apart;
    }
    by = 1.0F / sqrtf(variance / (float)args->count + args->epsilon);
    for (uint32_t i = 0; i < args->count; i++) {
        float scale = args->has_scale ? view_load(&args->scale, image, i) : 1.0F;
        float shift = args->has_shift ? view_load(&args->shift, image, i) : 0.0F;

        view_store(&args->y, image, first + i,
                   (view_load(&args->x, image, first + i) - mean) * by * scale + shift);
    }
}

/* Thread: one number of y. */
BODY void body_reduce(const struct cuda_reduce *args, uint32_t image, uint32_t thread)
{
    uint32_t stride[KERNEL_RANK_MAX], index, rest, base = 0, count = 1, step = 1;
    float    result = 0.0F, x;

    if (!view_index(&args->y, image, thread, &index))
        return;
    for (int k = args->rank - 1; k >= 0; k--) {
        stride[k] = step;
        step *= args->dimension[k];
        if ((args->axes >> k & 1U) != 0)
            count *= args->dimension[k];
    }
    rest = index;
    for (int k = args->rank - 1; k >= 0; k--) {
        if ((args->axes >> k & 1U) != 0)
            continue;
        base += rest % args->dimension[k] * stride[k];
        rest /= args->dimension[k];
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = base;

        rest = i;
        for (int k = args->rank - 1; k >= 0; k--) {
            if ((args->axes >> k & 1U) == 0)
                continue;
            at += rest % args->dimension[k] * stride[k];
            rest /= args->dimension[k];
        }
        x = view_load(&args->x, image, at);
        if (i == 0)
            result = x;
        else
            result = args->kind == 1   ? result * x
                     : args->kind == 2 ? fmaxf(result, x)
                     : args->kind == 3 ? fminf(result, x)
                                       : result + x;
    }
    view_store(&args->y, image, index, args->is_mean ? result / (float)count : result);
}

BODY void body_pad(const struct cuda_pad *args, uint32_t image, uint32_t thread)
{
    uint32_t index, rest, from = 0, step = 1;
    int      inside = 1;

    if (!view_index(&args->y, image, thread, &index))
        return;
    rest = index;
    for (int k = args->rank - 1; k >= 0; k--) {
        int32_t at = (int32_t)(rest % args->dimension[k]) - args->begin[k];

        inside = inside && at >= 0 && at < (int32_t)args->x_dimension[k];
        from += (uint32_t)at * step;
        step *= args->x_dimension[k];
        rest /= args->dimension[k];
    }
    view_store(&args->y, image, index, inside ? view_load(&args->x, image, from) : args->value);
}

/* Thread: one number of x. */
BODY void body_piece(const struct cuda_piece *args, uint32_t image, uint32_t thread)
{
    uint32_t to = thread / args->count * args->y_row + args->begin + thread % args->count;

    view_store(&args->y, image, to, view_load(&args->x, image, thread));
}

#define MATMUL_TILE 4 /* rows that one thread makes: each number of B is read once for so many */

/* Thread: MATMUL_TILE rows of one column of one matrix of y. */
BODY uint32_t matmul_threads(const struct cuda_matmul *args)
{
    return args->outer[0] * args->outer[1] * args->outer[2] *
           ((args->m + MATMUL_TILE - 1) / MATMUL_TILE) * args->n;
}

BODY void body_matmul(const struct cuda_matmul *args, uint32_t image, uint32_t thread)
{
    uint32_t tiles  = (args->m + MATMUL_TILE - 1) / MATMUL_TILE;
    uint32_t column = thread % args->n, row = thread / args->n % tiles * MATMUL_TILE;
    uint32_t matrix = thread / args->n / tiles, rest = matrix;
    int32_t  a = 0, b = 0;
    float    sum[MATMUL_TILE] = {0};

    for (int k = 2; k >= 0; k--) {
        a += (int32_t)(rest % args->outer[k]) * args->a_outer[k];
        b += (int32_t)(rest % args->outer[k]) * args->b_outer[k];
        rest /= args->outer[k];
    }
    b += (int32_t)column * args->b_column;
    for (uint32_t k = 0; k < args->k; k++) {
        float right = view_load(&args->b, image, (uint32_t)(b + (int32_t)k * args->b_row));

        for (uint32_t i = 0; i < MATMUL_TILE; i++)
            if (row + i < args->m)
                sum[i] = fmaf(view_load(&args->a, image,
                                        (uint32_t)(a + (int32_t)(row + i) * args->a_row +
                                                   (int32_t)k * args->a_column)),
                              right, sum[i]);
    }
    for (uint32_t i = 0; i < MATMUL_TILE && row + i < args->m; i++) {
        float    value = args->alpha * sum[i];
        uint32_t at    = (matrix * args->m + row + i) * args->n + column;

        if (args->c.at != NULL)
            value += args->beta * view_load(&args->c, image,
                                            (uint32_t)((int32_t)(row + i) * args->c_row +
                                                       (int32_t)column * args->c_column));
        view_store(&args->y, image, at, activate(&args->activation, value));
    }
}

#endif
