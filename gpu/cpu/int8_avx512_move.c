/* 8-bit kernels for machines with AVX-512: moving codes, and to and from floats. */
#if defined(__x86_64__)
#include "gpu/cpu/int8_avx512.h"

#include <immintrin.h>
#include <string.h>

#include "gpu/cpu/int8_pixel.h"

#define INLINE static inline __attribute__((always_inline))

/* A picture of floats comes from far away, in as many streams as it has channels, which the processor
 * follows by itself only within a page: asked for so early, a stem takes half its time. */
#define AHEAD_FLOATS 512

/* 16 pixels of four channels as bytes. */
INLINE __m512i stem_pixels(const struct int8_stem *stem, const float *x, __mmask16 mask)
{
    const __m512  scale = _mm512_set1_ps(stem->scale), zero = _mm512_set1_ps(stem->zero);
    const int64_t plane = stem->in_height * stem->in_width;
    __m512i       code, all = _mm512_setzero_si512();

    for (int c = 0; c < INT8_QUAD; c++) {
        if (c < stem->channels)
            _mm_prefetch((const char *)(x + c * plane + AHEAD_FLOATS), _MM_HINT_T0);
        __m512 number = c < stem->channels ? _mm512_maskz_loadu_ps(mask, x + c * plane)
                                           : _mm512_setzero_ps();
        code          = _mm512_cvtps_epi32(_mm512_fmadd_ps(number, scale, zero));
        code          = _mm512_min_epi32(_mm512_max_epi32(code, _mm512_setzero_si512()),
                                         _mm512_set1_epi32(UINT8_MAX));
        all           = _mm512_or_si512(all, _mm512_sll_epi32(code, _mm_cvtsi32_si128(8 * c)));
    }
    return all;
}

INLINE __mmask16 mask_of(int64_t first, int64_t end)
{
    __mmask16 upto  = end >= 16 ? 0xffff : end <= 0 ? 0 : (__mmask16)((1U << end) - 1);
    __mmask16 below = first >= 16 ? 0xffff : first <= 0 ? 0 : (__mmask16)((1U << first) - 1);

    return (__mmask16)(upto & ~below);
}

/* 16 pixels, the even ones to `y` and the odd ones to `odd`; a store that compresses is slow. */
INLINE void store_halves(__m512i all, uint8_t *y, uint8_t *odd, int64_t count)
{
    const __m512i  order = _mm512_set_epi32(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i  apart = _mm512_permutexvar_epi32(order, all);
    const __mmask8 half  = (__mmask8)mask_of(0, count / 2 < 8 ? count / 2 : 8);

    _mm256_mask_storeu_epi32(y, half, _mm512_castsi512_si256(apart));
    _mm256_mask_storeu_epi32(odd, half, _mm512_extracti64x4_epi64(apart, 1));
}

static void stem_row(const struct int8_stem *stem, const float *x, uint8_t *y, __m512i nothing)
{
    int64_t each = stem->out_width / stem->stride;

    for (int64_t column = 0; column < stem->out_width; column += 16) {
        int64_t from = column - stem->left, left = stem->out_width - column;
        __m512i all = nothing;
        if (x != NULL)
            all = stem_pixels(stem, x + from, mask_of(-from, stem->in_width - from));
        if (stem->stride == 1) {
            _mm512_mask_storeu_epi32(y + column * 4, mask_of(0, left), all);
        } else if (stem->stride == 2) {
            store_halves(all, y + column * 2, y + (each + column / 2) * 4, left);
        } else {
            uint8_t pixels[64];
            _mm512_storeu_si512(pixels, all);
            for (int i = 0; i < 16 && column + i < stem->out_width; i++)
                memcpy(y + ((column + i) % stem->stride * each + (column + i) / stem->stride) * 4,
                       pixels + i * 4, 4);
        }
    }
}

void int8_avx512_stem(const struct int8_stem *stem)
{
    __m512i nothing = stem_pixels(stem, stem->x, 0);

    for (int64_t row = 0; row < stem->out_height; row++) {
        int64_t from = row - stem->top;
        stem_row(stem, from >= 0 && from < stem->in_height ? stem->x + from * stem->in_width : NULL,
                 stem->y + row * stem->out_width * 4, nothing);
    }
}

/* Four pixels at once where all their taps lie inside and side by side. */
static void pool_four(const struct int8_pool *pool, const uint8_t *x, int64_t row, int64_t column,
                      uint8_t *y)
{
    const struct window *window = &pool->window;
    int64_t              top = row - window->pad_begin[0], left = column - window->pad_begin[1];
    __m512i              most = _mm512_setzero_si512();

    for (int ky = 0; ky < window->kernel[0]; ky++) {
        int64_t at_y = top + (int64_t)ky * window->dilation[0];
        if (at_y < 0 || at_y >= pool->in_height)
            continue;
        for (int kx = 0; kx < window->kernel[1]; kx++)
            most = _mm512_max_epu8(most,
                                   _mm512_loadu_si512(x + (at_y * pool->in_width + left +
                                                           (int64_t)kx * window->dilation[1]) *
                                                              INT8_BLOCK));
    }
    _mm512_storeu_si512(y, most);
}

void int8_avx512_max_pool(const struct int8_pool *pool)
{
    const struct window *window = &pool->window;
    bool                 dense  = window->stride[0] == 1 && window->stride[1] == 1;
    uint8_t             *y      = pool->y;

    for (int64_t block = 0; block < pool->blocks; block++) {
        const uint8_t *x = pool->x + block * pool->in_height * pool->in_width * INT8_BLOCK;
        for (int64_t row = 0; row < pool->out_height; row++)
            for (int64_t column = 0; column < pool->out_width;) {
                int64_t left = column - window->pad_begin[1];
                if (dense && column + 4 <= pool->out_width && left >= 0 &&
                    left + (int64_t)(window->kernel[1] - 1) * window->dilation[1] + 4 <=
                        pool->in_width) {
                    pool_four(pool, x, row, column, y + column * INT8_BLOCK);
                    column += 4;
                } else {
                    pool_pixel(pool, x, row, column, y + column * INT8_BLOCK);
                    column++;
                }
                if (column == pool->out_width)
                    y += pool->out_width * INT8_BLOCK;
            }
    }
}

void int8_avx512_gather(const struct int8_gather *gather)
{
    uint8_t pick[INT8_BLOCK][INT8_BLOCK];

    for (int s = 0; s < gather->sources; s++)
        for (int i = 0; i < INT8_BLOCK; i++)
            pick[s][i] = gather->source[i] == s ? gather->lane[i] : 0x80; /* 0x80 gives 0 */
    for (int64_t p = 0; p < gather->pixels; p += 4) {
        int64_t   left  = gather->pixels - p;
        __mmask16 words = left >= 4 ? 0xffff : (__mmask16)((1U << (4 * left)) - 1);
        __m512i   all   = _mm512_setzero_si512();
        for (int s = 0; s < gather->sources; s++) {
            __m512i lanes = _mm512_broadcast_i32x4(load_pixel(pick[s]));
            __m512i x     = _mm512_maskz_loadu_epi32(words, gather->x[s] + p * INT8_BLOCK);
            all           = _mm512_or_si512(all, _mm512_shuffle_epi8(x, lanes));
        }
        _mm512_mask_storeu_epi32(gather->y + p * INT8_BLOCK, words, all);
    }
}

void int8_avx512_from_floats(const float *x, const float *scale, const float *zero, int64_t pixels,
                             uint8_t *y)
{
    const __m512 s = _mm512_loadu_ps(scale), z = _mm512_loadu_ps(zero);

    for (int64_t p = 0; p < pixels; p++) {
        __m512i code = _mm512_cvtps_epi32(
            _mm512_fmadd_ps(_mm512_loadu_ps(x + p * INT8_BLOCK), s, z));
        code = _mm512_max_epi32(code, _mm512_setzero_si512());
        _mm_storeu_si128((__m128i *)(void *)(y + p * INT8_BLOCK), _mm512_cvtusepi32_epi8(code));
    }
}

void int8_avx512_to_floats(const uint8_t *x, const float *scale, const float *zero, int64_t pixels,
                           float *y)
{
    const __m512 s = _mm512_loadu_ps(scale), z = _mm512_loadu_ps(zero);

    for (int64_t p = 0; p < pixels; p++)
        _mm512_storeu_ps(y + p * INT8_BLOCK,
                         _mm512_mul_ps(_mm512_sub_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(
                                                         load_pixel(x + p * INT8_BLOCK))),
                                                     z),
                                       s));
}
#else
typedef int int8_avx512_move_not_for_this_machine;
#endif
