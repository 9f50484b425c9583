/* What the 8-bit kernels of all instruction sets share: their choice, packing, curves. */
#include "gpu/cpu/int8.h"

#include "gpu/cpu/tiles.h"

#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__x86_64__)
/* Not every compiler's list of what a machine can have knows it. That the system saves the registers
 * is said by "avx2". */
static bool has_avx_vnni(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;

    return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 &&
           (a & (1U << 4)) != 0;
}

static const struct int8_kernels *find_x86(const char *name)
{
    const bool tiles = strcmp(name, "amx_int8") == 0;
    const bool avx2  = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");

    if ((tiles || strcmp(name, "avx512_vnni") == 0) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
        return !tiles ? &INT8_AVX512 : tiles_permitted(TILES_INT8) ? &INT8_AMX : NULL;
    if (strcmp(name, "avx2_vnni") == 0 && avx2 && has_avx_vnni())
        return &INT8_AVX2_VNNI;
    return strcmp(name, "avx2_int8") == 0 && avx2 ? &INT8_AVX2 : NULL;
}
#endif

const struct int8_kernels *int8_find(const char *name)
{
    if (strcmp(name, "plain") == 0)
        return &INT8_PLAIN;
#if defined(__x86_64__)
    return find_x86(name);
#elif defined(__aarch64__)
    return strcmp(name, "neon_int8") == 0 ? &INT8_NEON : NULL;
#else
    return NULL;
#endif
}

const struct int8_kernels *int8_best(void)
{
    static const char *const   NAMES[] = {"avx512_vnni", "avx2_vnni", "avx2_int8", "neon_int8"};
    const struct int8_kernels *best    = NULL;

    for (size_t i = 0; best == NULL && i < sizeof NAMES / sizeof NAMES[0]; i++)
        best = int8_find(NAMES[i]);
    return best != NULL ? best : &INT8_PLAIN;
}

const struct int8_kernels *int8_beside(const char *isa)
{
    const struct int8_kernels *found = NULL;

    if (isa == NULL || *isa == '\0' || strcmp(isa, "avx512") == 0)
        return int8_best();
    if (strcmp(isa, "avx512_amx") == 0)
        found = int8_find("amx_int8");
    else if (strcmp(isa, "avx2_vnni") == 0)
        found = int8_find("avx2_vnni");
    else if (strcmp(isa, "avx2") == 0)
        found = int8_find("avx2_int8");
    else if (strcmp(isa, "neon") == 0)
        found = int8_find("neon_int8");
    return found != NULL ? found : &INT8_PLAIN;
}

bool int8_gains(const char *isa)
{
    const struct int8_kernels *kernels = int8_beside(isa);

    /* As measured. With AVX2 alone floats have Winograd and are as fast; on ARM nobody has looked. */
    return strcmp(kernels->name, "avx512_vnni") == 0 || strcmp(kernels->name, "amx_int8") == 0 ||
           strcmp(kernels->name, "avx2_vnni") == 0;
}

static void fill_pixels(uint8_t *to, const uint8_t *pixel, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        memcpy(to + i * INT8_BLOCK, pixel, INT8_BLOCK);
}

static void pad_row(const struct int8_pad *pad, const uint8_t *x, const uint8_t *zero, uint8_t *y)
{
    int64_t each = pad->out_width / pad->stride;

    if (pad->stride == 1) {
        int64_t right = pad->out_width - pad->left - pad->in_width;
        int64_t width = right < 0 ? pad->in_width + right : pad->in_width;
        fill_pixels(y, zero, pad->left);
        memcpy(y + pad->left * INT8_BLOCK, x, (size_t)(width * INT8_BLOCK));
        fill_pixels(y + (pad->left + width) * INT8_BLOCK, zero, right);
        return;
    }
    for (int i = 0; i < pad->stride; i++)
        for (int64_t k = 0; k < each; k++, y += INT8_BLOCK) {
            int64_t at = k * pad->stride + i - pad->left;
            memcpy(y, at >= 0 && at < pad->in_width ? x + at * INT8_BLOCK : zero, INT8_BLOCK);
        }
}

void int8_pad_rows(const struct int8_pad *pad)
{
    for (int64_t block = 0; block < pad->blocks; block++) {
        const uint8_t *zero = pad->zero + block * INT8_BLOCK;
        for (int64_t row = 0; row < pad->out_height; row++) {
            int64_t  from = row - pad->top;
            uint8_t *y    = pad->y + (block * pad->out_height + row) * pad->out_width * INT8_BLOCK;
            if (from < 0 || from >= pad->in_height)
                fill_pixels(y, zero, pad->out_width);
            else
                pad_row(pad, pad->x + (block * pad->in_height + from) * pad->in_width * INT8_BLOCK,
                        zero, y);
        }
    }
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
