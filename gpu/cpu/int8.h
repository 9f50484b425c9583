/* gpu/cpu/int8.h: the arithmetic of 8-bit layers, for each instruction set.
 *
 * A picture of codes is C/16 × H × W × 16 bytes. A code q of channel c means scale[c] * (q -
 * zero[c]): each channel has a scale of its own, which costs nothing, as the weights of whoever
 * reads it take the scale in. Lanes behind the last channel hold any bytes and have no weight.
 *
 * Weights are bytes of -127..127 with one scale for each output channel, sums are 32-bit integers. What
 * follows a sum (`struct int8_finish`) is the same on every instruction set, bit by bit: the plain
 * kernels are the definition. */
#ifndef SIGHTLINE_GPU_CPU_INT8_H
#define SIGHTLINE_GPU_CPU_INT8_H

#include "gpu/graph.h"

#include <stdint.h>

#define INT8_BLOCK          16 /* channels side by side */
#define INT8_QUAD           4  /* channels that one instruction multiplies and adds */
#define INT8_CURVE_SEGMENTS 64
#define INT8_GROUP_MAX      3 /* output blocks that are computed together */
/* More products than this could leave 32 bits. */
#define INT8_PRODUCTS_MAX 65536
/* Steps of one code while several parts are added up. */
#define INT8_FRACTION 16

/* A function of a signed 16-bit number by straight pieces: base + (slope * x) / 2^15. */
struct int8_curve {
    int16_t base[INT8_CURVE_SEGMENTS]; /* by the upper six bits of x */
    int16_t slope[INT8_CURVE_SEGMENTS];
};

/* From a sum to what is stored. Numbers are by channel, filled up to whole blocks.
 *   v = saturate16(round(sum * scale + bias))
 *   with a curve:
 *     with a residual before it: v = saturate16(v + high(code * 128, residual_gain))
 *     v = curve(v); v = saturate16(high(v, gain) + zero)
 *     with a line:               l = saturate16(round(sum * line_scale + line_bias))
 *                                v = saturate16(v + (l > 0 ? l : 0))
 *     with a residual after it:  v = saturate16(v + high(code * 128, residual_gain))
 *     with a line or a residual after it: v = high(v, 2^15 / INT8_FRACTION)
 *   code = saturate to 0..255 (v)
 * where high(a, b) = (a * b + 2^14) >> 15. A SiLU is a line and a small curve near zero, so that
 * channels with large numbers and with small ones are both exact. Without `codes` the result is
 * sum * scale + bias. */
struct int8_finish {
    const float             *scale;
    const float             *bias;
    const struct int8_curve *curve; /* NULL: none */
    const int16_t           *gain;
    const int16_t           *zero;
    const float             *line_scale; /* NULL: none; only with a curve */
    const float             *line_bias;
    const int16_t           *residual_gain; /* NULL: none; only with a curve */
    bool                     residual_first;
};

/* A convolution over a picture that needs no padding any more. */
struct int8_conv {
    int64_t            out_blocks, rows, columns; /* of the output; with a 1×1 window one row */
    const uint8_t     *x;
    int64_t            row_bytes;   /* of x, from one output row to the next */
    int                pixel_bytes; /* of x, from one output pixel to the next: 16 or 4 */
    int                step_count;
    const int32_t     *steps;   /* byte offset of each four input channels from the pixel */
    const int8_t      *weights; /* groups × steps × blocks × 16 × 4; groups by int8_groups() */
    struct int8_finish finish;
    const uint8_t     *residual; /* like y, or NULL */
    uint8_t           *y;        /* NULL: floats */
    float             *floats;   /* C/16 × rows × columns × 16, or NULL */
};

/* Each channel by its own window. */
struct int8_depthwise {
    int64_t        blocks, in_height, in_width, out_height, out_width;
    struct window  window; /* dilation 1 */
    const uint8_t *x;
    const uint8_t *zero;   /* of x, by channel: what the padding is */
    const int8_t *weights; /* blocks × 4 turns × groups × kw × 16 × 4: int8_depthwise_pack() */
    struct int8_finish finish;
    const uint8_t     *residual;
    uint8_t           *y;
    uint8_t           *scratch; /* int8_depthwise_scratch() */
};

/* Into a larger picture with a border of zeros; with a stride, the columns 0, s, 2s... first, then
 * 1, s+1... in each row. */
struct int8_pad {
    int64_t        blocks, in_height, in_width, out_height, out_width; /* out_width: s × each */
    int            top, left, stride;
    const uint8_t *x;
    const uint8_t *zero; /* by channel */
    uint8_t       *y;
};

/* Floats of the model's input (3 planes at most 4) into pixels of four bytes, padded like above. */
struct int8_stem {
    int64_t      channels, in_height, in_width, out_height, out_width;
    int          top, left, stride;
    const float *x;
    float        scale, zero; /* code = saturate(round(x * scale + zero)) */
    uint8_t     *y;
};

struct int8_pool {
    int64_t        blocks, in_height, in_width, out_height, out_width;
    struct window  window;
    const uint8_t *x;
    uint8_t       *y;
};

/* One block of output channels: lane i is lane `lane[i]` of the block at x[source[i]]. */
struct int8_gather {
    int            sources;
    const uint8_t *x[INT8_BLOCK];
    uint8_t        source[INT8_BLOCK];
    uint8_t        lane[INT8_BLOCK];
    int64_t        pixels;
    uint8_t       *y;
};

struct int8_kernels {
    const char *name;
    void (*conv)(const struct int8_conv *conv);
    void (*depthwise)(const struct int8_depthwise *conv);
    void (*pad)(const struct int8_pad *pad);
    void (*stem)(const struct int8_stem *stem);
    void (*max_pool)(const struct int8_pool *pool);
    void (*gather)(const struct int8_gather *gather);
    /* Blocks of 16 floats; scale and zero by lane of one block. code = round(x * scale + zero) */
    void (*from_floats)(const float *x, const float *scale, const float *zero, int64_t pixels,
                        uint8_t *y);
    void (*to_floats)(const uint8_t *x, const float *scale, const float *zero, int64_t pixels,
                      float *y); /* (q - zero) * scale */
};

extern const struct int8_kernels INT8_PLAIN;     /* any machine; the definition */
extern const struct int8_kernels INT8_AMX;       /* AVX-512, and tiles for what is dense */
extern const struct int8_kernels INT8_AVX512;    /* with VNNI and VBMI */
extern const struct int8_kernels INT8_AVX2_VNNI; /* VNNI in 256 bits, without AVX-512 */
extern const struct int8_kernels INT8_AVX2;      /* without either */
extern const struct int8_kernels INT8_NEON;      /* with dot products where they were compiled in */

/* The best that this machine runs; never NULL. Never INT8_AMX: its instructions have run on no
 * machine of ours (see bf16.h), and nobody knows whether it is faster. "avx512_amx" asks for it. */
const struct int8_kernels *int8_best(void);
/* By name ("plain", "amx_int8", "avx512_vnni", "avx2_vnni", "avx2_int8", "neon_int8"); NULL when this machine
 * cannot run it. */
const struct int8_kernels *int8_find(const char *name);
/* Those that go with an instruction set as kernels_find() takes it; NULL or "": the best. */
const struct int8_kernels *int8_beside(const char *isa);
/* True when 8 bits are faster than floats: int8_beside(isa) than the float kernels. */
bool int8_gains(const char *isa);

/* Output blocks of the group that begins at block `first`. */
int int8_group(int64_t blocks, int64_t first);
/* `pad` of struct int8_kernels, in rows; for those without one of their own. */
void int8_pad_rows(const struct int8_pad *pad);
/* Bytes of packed weights. */
int64_t int8_conv_weights(int64_t out_blocks, int step_count);
int64_t int8_depthwise_weights(int64_t blocks, const struct window *window);
/* From 16 channels × kh × kw of each block. */
void int8_depthwise_pack(const int8_t *weights, int64_t blocks, const struct window *window,
                         int8_t *packed);
/* Bytes of scratch: 4 groups of rows × 4 quads × stride × `each` pixels of 16 bytes. */
int64_t int8_depthwise_scratch(const struct int8_depthwise *conv);
/* Pixels in each of the `stride` parts into which a padded row is dealt out. */
int64_t int8_depthwise_each(const struct int8_depthwise *conv);

/* The curve of an activation from [-in_range, in_range] to [-*out_range, *out_range], both ends of
 * 16 bits; *out_range is chosen. With `bump` it is what the activation has beside max(x, 0). */
void int8_curve_make(const struct activation *activation, bool bump, float in_range,
                     float *out_range, struct int8_curve *curve);

#endif
