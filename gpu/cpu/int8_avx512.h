/* gpu/cpu/int8_avx512.h: the kernels of int8_avx512_move.c and int8_avx512_depthwise.c, and a part of
 * those in int8_avx512.c. See struct int8_kernels. */
#ifndef SIGHTLINE_GPU_CPU_INT8_AVX512_H
#define SIGHTLINE_GPU_CPU_INT8_AVX512_H

#include "gpu/cpu/int8.h"

/* What follows the sums (pixels × 16) of a block's neighbouring pixels from `at` on. */
void int8_avx512_finish(const struct int8_conv *conv, int64_t block, int64_t at, int pixels,
                        const int32_t *sums);
void int8_avx512_depthwise(const struct int8_depthwise *conv);
void int8_avx512_stem(const struct int8_stem *stem);
void int8_avx512_max_pool(const struct int8_pool *pool);
void int8_avx512_gather(const struct int8_gather *gather);
void int8_avx512_from_floats(const float *x, const float *scale, const float *zero, int64_t pixels,
                             uint8_t *y);
void int8_avx512_to_floats(const uint8_t *x, const float *scale, const float *zero, int64_t pixels,
                           float *y);

#endif
