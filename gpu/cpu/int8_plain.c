/* The 8-bit kernels in plain C: what the others must give, byte by byte. */
#include "gpu/cpu/int8.h"

#include <math.h>
#include <string.h>

static int32_t saturate(int64_t x, int32_t low, int32_t high)
{
    return (int32_t)(x < low ? low : x > high ? high : x);
}

static int16_t saturate16(int64_t x)
{
    return (int16_t)saturate(x, INT16_MIN, INT16_MAX);
}

static int16_t high(int32_t a, int32_t b)
{
    return (int16_t)((a * b + (1 << 14)) >> 15);
}

static int16_t round16(float x)
{
    if (!(x > (float)INT16_MIN))
        return INT16_MIN;
    return x < (float)INT16_MAX ? (int16_t)lrintf(x) : INT16_MAX;
}

static uint8_t round8(float x)
{
    return (uint8_t)saturate(round16(x), 0, UINT8_MAX);
}

static int16_t bend(const struct int8_finish *finish, int32_t sum, int16_t v, int64_t channel,
                    const uint8_t *residual)
{
    int16_t add = 0, line;
    int     segment;

    if (finish->residual_gain != NULL && residual != NULL)
        add = high(*residual << 7, finish->residual_gain[channel]);
    if (finish->residual_first)
        v = saturate16(v + add);
    segment = (v >> 10) & (INT8_CURVE_SEGMENTS - 1);
    v       = saturate16(finish->curve->base[segment] + high(finish->curve->slope[segment], v));
    v       = saturate16(high(v, finish->gain[channel]) + finish->zero[channel]);
    if (finish->line_scale != NULL) {
        line = round16(fmaf((float)sum, finish->line_scale[channel], finish->line_bias[channel]));
        v    = saturate16(v + (line > 0 ? line : 0));
    }
    if (finish->residual_gain != NULL && !finish->residual_first)
        v = saturate16(v + add);
    else if (finish->line_scale == NULL)
        return v;
    return high(v, (1 << 15) / INT8_FRACTION);
}

static uint8_t finish_code(const struct int8_finish *finish, int32_t sum, int64_t channel,
                           const uint8_t *residual)
{
    int16_t v = round16(fmaf((float)sum, finish->scale[channel], finish->bias[channel]));

    if (finish->curve != NULL)
        v = bend(finish, sum, v, channel, residual);
    return (uint8_t)saturate(v, 0, UINT8_MAX);
}

static void conv_point(const struct int8_conv *conv, const int8_t *weights, int blocks,
                       int64_t first, int64_t row, int64_t column)
{
    const uint8_t *x = conv->x + row * conv->row_bytes + column * conv->pixel_bytes;

    for (int i = 0; i < blocks * INT8_BLOCK; i++) {
        int64_t channel = first * INT8_BLOCK + i;
        int64_t at      = (((first + i / INT8_BLOCK) * conv->rows + row) * conv->columns + column) *
                         INT8_BLOCK +
                     i % INT8_BLOCK;
        int32_t sum = 0;
        for (int k = 0; k < conv->step_count; k++) {
            for (int q = 0; q < INT8_QUAD; q++)
                sum += x[conv->steps[k] + q] *
                       weights[((int64_t)k * blocks * INT8_BLOCK + i) * INT8_QUAD + q];
        }
        if (conv->floats != NULL)
            conv->floats[at] = fmaf((float)sum, conv->finish.scale[channel],
                                    conv->finish.bias[channel]);
        else
            conv->y[at] = finish_code(&conv->finish, sum, channel,
                                      conv->residual != NULL ? conv->residual + at : NULL);
    }
}

static void plain_conv(const struct int8_conv *conv)
{
    int group;

    for (int64_t first = 0; first < conv->out_blocks; first += group) {
        const int8_t *weights = conv->weights + int8_conv_weights(first, conv->step_count);
        group                 = int8_group(conv->out_blocks, first);
        for (int64_t row = 0; row < conv->rows; row++)
            for (int64_t column = 0; column < conv->columns; column++)
                conv_point(conv, weights, group, first, row, column);
    }
}

static int32_t depthwise_sum(const struct int8_depthwise *conv, int64_t block, int lane,
                             int64_t row, int64_t column)
{
    const struct window *window = &conv->window;
    const uint8_t       *x = conv->x + block * conv->in_height * conv->in_width * INT8_BLOCK + lane;
    const int8_t        *weights = conv->weights + int8_depthwise_weights(block, window);
    int32_t              sum     = 0;

    for (int ky = 0; ky < window->kernel[0]; ky++)
        for (int kx = 0; kx < window->kernel[1]; kx++) {
            int64_t y  = row * window->stride[0] - window->pad_begin[0] + ky;
            int64_t at = column * window->stride[1] - window->pad_begin[1] + kx;
            /* Turn 0: the window begins with the first row of a group. */
            int64_t tap = (((int64_t)(ky / INT8_QUAD) * window->kernel[1] + kx) * INT8_BLOCK +
                           lane) *
                              INT8_QUAD +
                          ky % INT8_QUAD;
            bool inside = y >= 0 && y < conv->in_height && at >= 0 && at < conv->in_width;
            sum += weights[tap] * (inside ? x[(y * conv->in_width + at) * INT8_BLOCK]
                                          : conv->zero[block * INT8_BLOCK + lane]);
        }
    return sum;
}

static void plain_depthwise(const struct int8_depthwise *conv)
{
    int64_t at = 0;

    for (int64_t block = 0; block < conv->blocks; block++)
        for (int64_t row = 0; row < conv->out_height; row++)
            for (int64_t column = 0; column < conv->out_width; column++)
                for (int lane = 0; lane < INT8_BLOCK; lane++, at++)
                    conv->y[at] = finish_code(&conv->finish,
                                              depthwise_sum(conv, block, lane, row, column),
                                              block * INT8_BLOCK + lane,
                                              conv->residual != NULL ? conv->residual + at : NULL);
}

static void plain_pad(const struct int8_pad *pad)
{
    int64_t each = pad->out_width / pad->stride;

    for (int64_t block = 0; block < pad->blocks; block++)
        for (int64_t row = 0; row < pad->out_height; row++)
            for (int64_t column = 0; column < pad->out_width; column++) {
                int64_t y = row - pad->top, x = column - pad->left;
                bool    inside = y >= 0 && y < pad->in_height && x >= 0 && x < pad->in_width;
                int64_t to     = (block * pad->out_height + row) * pad->out_width +
                             column % pad->stride * each + column / pad->stride;
                memcpy(pad->y + to * INT8_BLOCK,
                       inside ? pad->x +
                                    ((block * pad->in_height + y) * pad->in_width + x) * INT8_BLOCK
                              : pad->zero + block * INT8_BLOCK,
                       INT8_BLOCK);
            }
}

static void plain_stem(const struct int8_stem *stem)
{
    int64_t each = stem->out_width / stem->stride;

    for (int64_t row = 0; row < stem->out_height; row++)
        for (int64_t column = 0; column < stem->out_width; column++) {
            int64_t y = row - stem->top, x = column - stem->left;
            bool    inside = y >= 0 && y < stem->in_height && x >= 0 && x < stem->in_width;
            int64_t to     = row * stem->out_width + column % stem->stride * each +
                         column / stem->stride;
            for (int c = 0; c < INT8_QUAD; c++) {
                float number = 0;
                if (inside && c < stem->channels)
                    number = stem->x[(c * stem->in_height + y) * stem->in_width + x];
                stem->y[to * INT8_QUAD + c] = round8(fmaf(number, stem->scale, stem->zero));
            }
        }
}

static void plain_max_pool(const struct int8_pool *pool)
{
    const struct window *window = &pool->window;
    uint8_t             *to     = pool->y;

    for (int64_t block = 0; block < pool->blocks; block++)
        for (int64_t row = 0; row < pool->out_height; row++)
            for (int64_t column = 0; column < pool->out_width; column++, to += INT8_BLOCK) {
                memset(to, 0, INT8_BLOCK);
                for (int k = 0; k < window->kernel[0] * window->kernel[1]; k++) {
                    int64_t y = row * window->stride[0] - window->pad_begin[0] +
                                (int64_t)(k / window->kernel[1]) * window->dilation[0];
                    int64_t x = column * window->stride[1] - window->pad_begin[1] +
                                (int64_t)(k % window->kernel[1]) * window->dilation[1];
                    if (y < 0 || y >= pool->in_height || x < 0 || x >= pool->in_width)
                        continue;
                    const uint8_t *from = pool->x +
                                          ((block * pool->in_height + y) * pool->in_width + x) *
                                              INT8_BLOCK;
                    for (int i = 0; i < INT8_BLOCK; i++)
                        to[i] = from[i] > to[i] ? from[i] : to[i];
                }
            }
}

static void plain_gather(const struct int8_gather *gather)
{
    for (int64_t p = 0; p < gather->pixels; p++)
        for (int i = 0; i < INT8_BLOCK; i++)
            gather->y[p * INT8_BLOCK + i] =
                gather->x[gather->source[i]][p * INT8_BLOCK + gather->lane[i]];
}

static void plain_from_floats(const float *x, const float *scale, const float *zero, int64_t pixels,
                              uint8_t *y)
{
    for (int64_t i = 0; i < pixels * INT8_BLOCK; i++)
        y[i] = round8(fmaf(x[i], scale[i % INT8_BLOCK], zero[i % INT8_BLOCK]));
}

static void plain_to_floats(const uint8_t *x, const float *scale, const float *zero, int64_t pixels,
                            float *y)
{
    for (int64_t i = 0; i < pixels * INT8_BLOCK; i++)
        y[i] = ((float)x[i] - zero[i % INT8_BLOCK]) * scale[i % INT8_BLOCK];
}

const struct int8_kernels INT8_PLAIN = {
    .name        = "plain",
    .conv        = plain_conv,
    .depthwise   = plain_depthwise,
    .pad         = plain_pad,
    .stem        = plain_stem,
    .max_pool    = plain_max_pool,
    .gather      = plain_gather,
    .from_floats = plain_from_floats,
    .to_floats   = plain_to_floats,
};
