/* gpu/cpu/bf16_walk.h: what the kernels for bfloat16 share: the way through the output, and what
 * follows the sums. Compiled into each of them, with its instruction set. */
#ifndef SIGHTLINE_GPU_CPU_BF16_WALK_H
#define SIGHTLINE_GPU_CPU_BF16_WALK_H

#include "gpu/cpu/bf16.h"

/* Neighbouring pixels of one or two output blocks. */
struct bf16_spot {
    const struct bf16_conv *conv;
    const uint8_t          *x; /* of the first pixel */
    int64_t                 block, at;
    int                     blocks, pixels;
};

/* Bytes of input that stay in the second-level cache over all output blocks. */
#define BF16_BAND_BYTES 524288

/* Pixels of every spot, `most` at most, so that spots are of one size: the last reaches back. */
static inline int bf16_spot_pixels(const struct bf16_conv *conv, int most)
{
    const int64_t spots = (conv->columns + most - 1) / most;

    return (int)((conv->columns + spots - 1) / spots);
}

static inline void bf16_walk_row(struct bf16_spot *spot, int64_t row, int64_t begin, int64_t end,
                                 void (*run)(const struct bf16_spot *spot))
{
    const struct bf16_conv *conv = spot->conv;

    for (int64_t i = begin; i < end; i++) {
        int64_t last = conv->columns - spot->pixels, column = i * spot->pixels;
        if (column > last)
            column = last;
        spot->x  = (const uint8_t *)conv->x + row * conv->row_bytes + column * BF16_PIXEL_BYTES;
        spot->at = row * conv->columns + column;
        run(spot);
    }
}

static inline void bf16_walk(const struct bf16_conv *conv, int most,
                             void (*run)(const struct bf16_spot *spot))
{
    struct bf16_spot spot  = {.conv = conv, .pixels = bf16_spot_pixels(conv, most)};
    const int64_t    spots = (conv->columns + spot.pixels - 1) / spot.pixels;
    const bool       flat  = conv->rows == 1; /* one long row: cut it */
    const int64_t    units = flat ? spots : conv->rows;
    const int64_t    bytes = (flat ? spot.pixels * BF16_PIXEL_BYTES : conv->row_bytes) *
                          (int64_t)conv->step_count;
    const int64_t band = BF16_BAND_BYTES / bytes + 1;

    for (int64_t begin = 0; begin < units; begin += band) {
        const int64_t end = begin + band < units ? begin + band : units;
        for (spot.block = 0; spot.block < conv->out_blocks; spot.block += spot.blocks) {
            spot.blocks = conv->out_blocks - spot.block > 1 ? 2 : 1;
            if (flat)
                bf16_walk_row(&spot, 0, begin, end, run);
            for (int64_t row = begin; !flat && row < end; row++)
                bf16_walk_row(&spot, row, 0, spots, run);
        }
    }
}

/* Bias, residual and activation for the sums of one block's pixels, and to y. */
static inline void bf16_finish(const struct bf16_conv *conv, int64_t block, int64_t at, int pixels,
                               const float *sums)
{
    const int64_t to       = (block * conv->rows * conv->columns + at) * BF16_OUT;
    const float  *bias     = conv->bias + block * BF16_OUT;
    const float  *residual = conv->residual_kind != RESIDUAL_NONE ? conv->residual + to : NULL;
    float        *y        = conv->y + to;

    for (int p = 0; p < pixels; p++)
        for (int i = 0; i < BF16_OUT; i++)
            y[p * BF16_OUT + i] = sums[p * BF16_OUT + i] + bias[i];
    if (conv->residual_kind == RESIDUAL_BEFORE_ACTIVATION)
        for (int i = 0; i < pixels * BF16_OUT; i++)
            y[i] += residual[i];
    if (conv->activation->kind != ACTIVATION_NONE)
        conv->kernels->activate(conv->activation, y, y, (int64_t)pixels * BF16_OUT);
    if (conv->residual_kind == RESIDUAL_AFTER_ACTIVATION)
        for (int i = 0; i < pixels * BF16_OUT; i++)
            y[i] += residual[i];
}

#endif
