/* gpu/cpu/int8_pixel.h: what the 8-bit kernels of all x86 instruction sets do with one pixel of a
 * block (INT8_BLOCK channels, 16 bytes) alike. For files that are compiled for AVX2 or more. */
#ifndef SIGHTLINE_GPU_CPU_INT8_PIXEL_H
#define SIGHTLINE_GPU_CPU_INT8_PIXEL_H

#include "gpu/cpu/int8.h"

#include <immintrin.h>
#include <stdint.h>

static inline __m128i load_pixel(const uint8_t *x)
{
    return _mm_loadu_si128((const __m128i *)(const void *)x);
}

/* The largest code under the window; what lies outside of the picture is not there. */
static inline void pool_pixel(const struct int8_pool *pool, const uint8_t *x, int64_t row,
                              int64_t column, uint8_t *y)
{
    const struct window *window = &pool->window;
    int64_t              top    = row * window->stride[0] - window->pad_begin[0];
    int64_t              left   = column * window->stride[1] - window->pad_begin[1];
    __m128i              most   = _mm_setzero_si128();

    for (int ky = 0; ky < window->kernel[0]; ky++) {
        int64_t at_y = top + (int64_t)ky * window->dilation[0];
        if (at_y < 0 || at_y >= pool->in_height)
            continue;
        for (int kx = 0; kx < window->kernel[1]; kx++) {
            int64_t at_x = left + (int64_t)kx * window->dilation[1];
            if (at_x >= 0 && at_x < pool->in_width)
                most = _mm_max_epu8(most,
                                    load_pixel(x + (at_y * pool->in_width + at_x) * INT8_BLOCK));
        }
    }
    _mm_storeu_si128((__m128i *)(void *)y, most);
}

#endif
