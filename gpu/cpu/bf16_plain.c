/* The kernels for bfloat16 in plain C. */
#include "gpu/cpu/bf16_walk.h"

static void plain_spot(const struct bf16_spot *spot)
{
    const struct bf16_conv *conv = spot->conv;

    for (int b = 0; b < spot->blocks; b++) {
        const uint16_t *weights = conv->weights + (spot->block + b) * conv->step_count * BF16_STEP;
        float           sums[BF16_OUT] = {0};
        for (int k = 0; k < conv->step_count; k++) {
            const uint16_t *x = (const uint16_t *)(const void *)(spot->x + conv->steps[k]);
            for (int i = 0; i < BF16_STEP; i++)
                sums[i / 2 % BF16_OUT] += bf16_float(x[i / (2 * BF16_OUT) * 2 + i % 2]) *
                                          bf16_float(weights[k * BF16_STEP + i]);
        }
        bf16_finish(conv, spot->block + b, spot->at, 1, sums);
    }
}

static void plain_conv(const struct bf16_conv *conv)
{
    bf16_walk(conv, 1, plain_spot);
}

static void plain_pad(const struct bf16_pad *pad)
{
    const int64_t each = pad->out_width / pad->stride, pixels = pad->in_height * pad->in_width;

    for (int64_t block = 0; block < (pad->in_blocks + 1) / 2; block++)
        for (int64_t row = 0; row < pad->out_height; row++)
            for (int64_t column = 0; column < pad->out_width; column++) {
                int64_t y = row - pad->top, x = column - pad->left;
                bool    inside = y >= 0 && y < pad->in_height && x >= 0 && x < pad->in_width;
                int64_t place  = (block * pad->out_height + row) * pad->out_width +
                                column % pad->stride * each + column / pad->stride;
                for (int i = 0; i < BF16_BLOCK; i++) {
                    int64_t from = block * 2 + i / BF16_OUT;
                    pad->y[place * BF16_BLOCK + i] =
                        inside && from < pad->in_blocks
                            ? bf16_round(pad->x[(from * pixels + y * pad->in_width + x) * BF16_OUT +
                                                i % BF16_OUT])
                            : 0;
                }
            }
}

const struct bf16_kernels BF16_PLAIN = {.name = "plain", .pad = plain_pad, .conv = plain_conv};
