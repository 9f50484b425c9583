/* gpu/cpu/kernels.h: the arithmetic that the CPU backend does itself, for each instruction set.
 *
 * Blocked tensors are C/B × H × W × B float32: blocks of B channels, the last filled up with lanes
 * of no meaning (finite, never read as a result; weights for them are zero). One body
 * (kernels_body.h) is compiled for each instruction set; kernels_best() picks at run time. Same
 * input, same instruction set: same bytes. */
#ifndef SIGHTLINE_GPU_CPU_KERNELS_H
#define SIGHTLINE_GPU_CPU_KERNELS_H

#include "gpu/graph.h"

#include <stdint.h>

#define KERNELS_MAX_BLOCK    16
#define STEM_POOL_KERNEL_MAX 8

/* A convolution with window 1×1, or any other whose output is blocked. */
struct kernel_conv {
    int64_t            in_channels, in_height, in_width;
    int64_t            out_channels, out_height, out_width;
    struct window      window;
    struct activation  activation;
    enum residual_kind residual_kind;
    const float       *x;
    const float *const
                *lanes;    /* pointwise: where each input channel's first pixel is, B floats from
                                  one to the next, when they are not the lanes of x; or NULL */
    const float *weights;  /* packed by the kernel's own pack function */
    const float *bias;     /* out channels, filled up to whole blocks */
    const float *residual; /* blocked like y, or NULL */
    float       *y;        /* blocked */
};

struct kernel_pool {
    int64_t       blocks, in_height, in_width, out_height, out_width;
    struct window window;
    const float  *x;
    float        *y;
};

/* One block of output channels, of which lane i is lane `lane[i]` of the block at x[source[i]]. */
struct kernel_gather {
    int          sources;
    const float *x[KERNELS_MAX_BLOCK];
    int32_t      source[KERNELS_MAX_BLOCK];
    int32_t      lane[KERNELS_MAX_BLOCK];
    int64_t      pixels;
    float       *y;
};

struct kernels {
    const char *name;
    int         block; /* B: channels of a block */
    /* Floats that packed weights take. */
    int64_t (*pointwise_weights)(int64_t in_channels, int64_t out_channels);
    void (*pointwise_pack)(const float *weights, int64_t in_channels, int64_t out_channels,
                           float *packed);
    void (*pointwise)(const struct kernel_conv *conv); /* x blocked, window 1×1, stride 1 */
    void (*depthwise)(const struct kernel_conv *conv); /* x blocked, groups = channels; weights
                                                          blocks × kh × kw × B */
    void (*stem)(const struct kernel_conv *conv);      /* x plain, groups 1, dilation 1; weights
                                                     blocks × C × kh × kw × B */
    /* A stem and the max pool over what it gives, which then lies nowhere; dilation 1, kernel of
     * STEM_POOL_KERNEL_MAX at most. The scratch memory in floats. */
    int64_t (*stem_pool_scratch)(const struct kernel_conv *conv, const struct kernel_pool *pool);
    void (*stem_pool)(const struct kernel_conv *conv, const struct kernel_pool *pool,
                      float *scratch);
    /* 3×3, stride 1, dilation 1, groups 1, x and y blocked. Floats of the scratch memory that one
     * such convolution needs, and of its packed weights; to pack them takes room for
     * in_channels × out_channels more. */
    int64_t (*winograd_scratch)(const struct kernel_conv *conv);
    int64_t (*winograd_weights)(int64_t in_channels, int64_t out_channels);
    void (*winograd_pack)(const float *weights, int64_t in_channels, int64_t out_channels,
                          float *room, float *packed);
    void (*winograd)(const struct kernel_conv *conv, float *scratch);
    void (*max_pool)(const struct kernel_pool *pool);
    void (*average_pool)(const struct kernel_pool *pool);
    /* Mean of each channel over all pixels: blocks × B. */
    void (*mean)(const float *x, int64_t blocks, int64_t pixels, float *y);
    /* y = bias + the sum of weights[i] * plane i of x. */
    void (*weigh_planes)(const float *x, const float *weights, float bias, int64_t planes,
                         int64_t pixels, float *y);
    void (*gather)(const struct kernel_gather *gather);
    void (*activate)(const struct activation *activation, const float *x, float *y, int64_t count);
    /* exp(x) / sum of exp(x), over numbers side by side. */
    void (*softmax)(const float *x, float *y, int64_t count);
    /* The same over the columns of a matrix of `count` rows that are `stride` numbers wide. */
    void (*softmax_columns)(const float *x, float *y, int64_t count, int64_t stride);
    void (*unary)(enum unary_kind kind, float a, const float *x, float *y, int64_t count);
    float (*sum_row)(const float *x, int64_t count);
    /* One row of NODE_LAYER_NORM; scale and shift may be NULL. */
    void (*layer_norm)(const float *x, const float *scale, const float *shift, float epsilon,
                       float *y, int64_t count);
    /* a op b, then the activation; a step of 0 repeats the first number of that side. */
    void (*binary)(enum binary_kind kind, const struct activation *activation, const float *a,
                   int64_t step_a, const float *b, int64_t step_b, float *y, int64_t count);
    /* As above where b has one number for each channel: blocks × B beside blocks × pixels × B. */
    void (*binary_channel)(enum binary_kind kind, const struct activation *activation,
                           const float *a, const float *b, int64_t blocks, int64_t pixels,
                           float *y);
    void (*from_plain)(const float *x, int64_t channels, int64_t pixels, float *y);
    /* Channel c at y + c * pitch. */
    void (*to_plain)(const float *x, int64_t channels, int64_t pixels, int64_t pitch, float *y);
    /* Pixel p's channels side by side, at y + p * row. */
    void (*to_rows)(const float *x, int64_t channels, int64_t pixels, float *y, int64_t row);
};

extern const struct kernels KERNELS_PLAIN; /* vectors of the compiler, any machine */
extern const struct kernels KERNELS_AVX2;
extern const struct kernels KERNELS_AVX512;
extern const struct kernels KERNELS_NEON;

/* The widest that this machine runs. */
const struct kernels *kernels_best(void);
/* By instruction set ("plain", "avx2", "avx2_vnni", "avx512", "avx512_amx", "neon"); NULL when this machine lacks
 * it. The same names as for int8_beside(). */
const struct kernels *kernels_find(const char *name);

#endif
