/* gpu/cpu/bf16.h: convolutions with inputs and weights of 16 bits (bfloat16) and sums of 32.
 *
 * Numbers between layers stay float32: a convolution rounds its input into a padded picture of its
 * own (`pad`) and gives float32 again, so that everything else in a network is as exact as before.
 * Such a picture is C/32 × H × W × 32; lanes behind the last channel are 0 or have weights of 0.
 *
 * The packed weights have one order for all instruction sets: that of a tile of AMX, whose rows are
 * what one vdpbf16ps of AVX-512 reads.
 *
 * Not seen: the instructions of AMX have run on no machine of ours. The same code with a model of
 * them in C passes tests/unit/bf16_test.c, and bf16_find() compares a convolution with plain C once
 * before it gives these kernels away. */
#ifndef SIGHTLINE_GPU_CPU_BF16_H
#define SIGHTLINE_GPU_CPU_BF16_H

#include "gpu/cpu/kernels.h"
#include "gpu/graph.h"

#include <stdint.h>

#define BF16_BLOCK       32 /* input channels side by side */
#define BF16_OUT         16 /* output channels side by side */
#define BF16_PIXEL_BYTES 64
#define BF16_PAIRS       16                          /* of input channels in a step */
#define BF16_STEP        (BF16_PAIRS * BF16_OUT * 2) /* weights of a step and a block */

/* A convolution over a picture that needs no padding any more. */
struct bf16_conv {
    int64_t                  out_blocks, rows, columns; /* with a 1×1 window one row */
    const uint16_t          *x;
    int64_t                  row_bytes; /* of x, from one output row to the next */
    int                      step_count;
    const int32_t           *steps;   /* byte offset of each 32 input channels from the pixel */
    const uint16_t          *weights; /* out_blocks × steps × 16 pairs × 16 × 2 */
    const float             *bias;    /* filled up to whole blocks */
    const struct activation *activation;
    enum residual_kind       residual_kind;
    const float             *residual; /* like y, or NULL */
    float                   *y;        /* out_blocks × rows × columns × 16 */
    const struct kernels    *kernels;  /* for the activation */
};

/* From float32, in blocks of 16, into a larger picture with a border of zeros; with a stride, the
 * columns 0, s, 2s... first, then 1, s+1... in each row. */
struct bf16_pad {
    int64_t      in_blocks, in_height, in_width, out_height, out_width; /* out_width: s × each */
    int          top, left, stride;
    const float *x;
    uint16_t    *y; /* (in_blocks + 1) / 2 × out_height × out_width × 32 */
};

struct bf16_kernels {
    const char *name;
    void (*pad)(const struct bf16_pad *pad);
    void (*conv)(const struct bf16_conv *conv);
};

extern const struct bf16_kernels BF16_PLAIN; /* the definition, but for the order of sums */
extern const struct bf16_kernels BF16_AVX512;
extern const struct bf16_kernels BF16_AMX;

/* By name ("plain", "avx512_bf16", "amx_bf16"); NULL when this machine cannot run it. For "amx_bf16"
 * the system is asked, once for the process, to keep the tiles of its threads. */
const struct bf16_kernels *bf16_find(const char *name);
/* Those for an instruction set as kernels_find() takes it; NULL: this machine has none. */
const struct bf16_kernels *bf16_beside(const char *isa);
/* True when they are faster than floats: with AMX only. */
bool bf16_gains(const char *isa);

/* The nearest number of 16 bits, of two the even one. */
uint16_t bf16_round(float x);
float    bf16_float(uint16_t x);

#endif
