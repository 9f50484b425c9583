/* What the 8-bit kernels of all instruction sets share: their choice, packing, curves. */
#include "gpu/cpu/int8.h"

#include <math.h>
#include <string.h>

const struct int8_kernels *int8_find(const char *name)
{
    if (strcmp(name, "plain") == 0)
        return &INT8_PLAIN;
#if defined(__x86_64__)
    if (strcmp(name, "avx512_vnni") == 0 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
        return &INT8_AVX512;
#endif
    return NULL;
}

const struct int8_kernels *int8_best(void)
{
    const struct int8_kernels *best = int8_find("avx512_vnni");

    return best != NULL ? best : &INT8_PLAIN;
}

const struct int8_kernels *int8_beside(const char *kernels)
{
    return strcmp(kernels, "avx512") == 0 ? int8_best() : &INT8_PLAIN;
}

bool int8_gains(const struct int8_kernels *kernels)
{
    return kernels != &INT8_PLAIN;
}

int int8_group(int64_t blocks, int64_t first)
{
    int64_t left = blocks - first;

    return left == 1 ? 1 : left == 3 ? 3 : 2;
}

int64_t int8_conv_weights(int64_t out_blocks, int step_count)
{
    return out_blocks * step_count * INT8_BLOCK * INT8_QUAD;
}

/* Aligned groups of four rows that a window can touch. */
static int row_groups(const struct window *window)
{
    return (window->kernel[0] + 2) / INT8_QUAD + 1;
}

int64_t int8_depthwise_weights(int64_t blocks, const struct window *window)
{
    return blocks * INT8_QUAD * row_groups(window) * window->kernel[1] * INT8_BLOCK * INT8_QUAD;
}

void int8_depthwise_pack(const int8_t *weights, int64_t blocks, const struct window *window,
                         int8_t *packed)
{
    int groups = row_groups(window), taps = window->kernel[0] * window->kernel[1];

    for (int64_t block = 0; block < blocks; block++)
        for (int turn = 0; turn < INT8_QUAD; turn++)
            for (int row = 0; row < groups * INT8_QUAD; row++)
                for (int kx = 0; kx < window->kernel[1]; kx++)
                    for (int lane = 0; lane < INT8_BLOCK; lane++) {
                        int     ky = row - turn;
                        int64_t to = ((((block * INT8_QUAD + turn) * groups + row / INT8_QUAD) *
                                           window->kernel[1] +
                                       kx) *
                                          INT8_BLOCK +
                                      lane) *
                                         INT8_QUAD +
                                     row % INT8_QUAD;
                        packed[to] = ky >= 0 && ky < window->kernel[0]
                                         ? weights[(block * INT8_BLOCK + lane) * taps +
                                                   ky * window->kernel[1] + kx]
                                         : 0;
                    }
}

int64_t int8_depthwise_each(const struct int8_depthwise *conv)
{
    /* What the windows read, and what is read and written beyond it in whole vectors. */
    return conv->out_width + (conv->window.kernel[1] - 1) / conv->window.stride[1] + 17;
}

int64_t int8_depthwise_scratch(const struct int8_depthwise *conv)
{
    return (int64_t)INT8_QUAD * INT8_QUAD * conv->window.stride[1] * int8_depthwise_each(conv) *
           INT8_BLOCK;
}

static int16_t to_16_bits(double x)
{
    return (int16_t)fmin(fmax(rint(x), INT16_MIN), INT16_MAX);
}

static double curve_at(const struct activation *activation, bool bump, double x)
{
    double y = (double)graph_activate(activation, (float)x);

    return bump ? y - fmax(x, 0) : y;
}

void int8_curve_make(const struct activation *activation, bool bump, float in_range,
                     float *out_range, struct int8_curve *curve)
{
    double width = (double)in_range / (INT8_CURVE_SEGMENTS / 2.0), range = 1e-6;

    for (int i = 0; i < INT8_CURVE_SEGMENTS; i++) {
        int    piece = i - INT8_CURVE_SEGMENTS / 2;
        double x     = piece * width;
        double y     = curve_at(activation, bump, x);
        double next  = curve_at(activation, bump, x + width);
        /* Slopes are below 1 in units of the two ranges. */
        range = fmax(range,
                     fmax(fmax(fabs(y), fabs(next)), fabs(next - y) / width * (double)in_range));
    }
    range *= 1.02;
    *out_range = (float)range;
    for (int i = 0; i < INT8_CURVE_SEGMENTS; i++) {
        int    piece    = i < INT8_CURVE_SEGMENTS / 2 ? i : i - INT8_CURVE_SEGMENTS;
        double x        = piece * width;
        double y        = curve_at(activation, bump, x);
        double end      = curve_at(activation, bump, x + width);
        double middle   = curve_at(activation, bump, x + width / 2);
        double slope    = (end - y) / width;
        double base     = y - slope * x + (middle - (y + end) / 2) / 2; /* halves the error */
        curve->slope[i] = to_16_bits(slope * (double)in_range / range * 32768);
        curve->base[i]  = to_16_bits(base / range * 32768);
    }
}
