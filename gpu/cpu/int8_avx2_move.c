/* 8-bit kernels for machines with AVX2: moving codes, and to and from floats. */
#if defined(__x86_64__)
#include "gpu/cpu/int8_avx2.h"

#include <immintrin.h>
#include <string.h>

#include "gpu/cpu/int8_pixel.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m256i load_two(const uint8_t *x)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)x);
}

/* ---- the model's input ---- */

/* 8 pixels of four channels as bytes. */
INLINE __m256i stem_eight(const struct int8_stem *stem, const float *x)
{
    const __m256  scale = _mm256_set1_ps(stem->scale), zero = _mm256_set1_ps(stem->zero);
    const int64_t plane = stem->in_height * stem->in_width;
    __m256i       all   = _mm256_setzero_si256();

    for (int c = 0; c < INT8_QUAD; c++) {
        __m256  number = c < stem->channels ? _mm256_loadu_ps(x + c * plane) : _mm256_setzero_ps();
        __m256i code   = _mm256_cvtps_epi32(_mm256_fmadd_ps(number, scale, zero));
        code           = _mm256_min_epi32(_mm256_max_epi32(code, _mm256_setzero_si256()),
                                          _mm256_set1_epi32(UINT8_MAX));
        all            = _mm256_or_si256(all, _mm256_sll_epi32(code, _mm_cvtsi32_si128(8 * c)));
    }
    return all;
}

/* One pixel; x is NULL outside the picture. */
static void stem_pixel(const struct int8_stem *stem, const float *x, uint8_t *y)
{
    const int64_t plane = stem->in_height * stem->in_width;

    for (int c = 0; c < INT8_QUAD; c++) {
        float number = x != NULL && c < stem->channels ? x[c * plane] : 0;
        int   code   = _mm_cvtss_si32(
                _mm_fmadd_ss(_mm_set_ss(number), _mm_set_ss(stem->scale), _mm_set_ss(stem->zero)));
        y[c] = (uint8_t)(code < 0 ? 0 : code > UINT8_MAX ? UINT8_MAX : code);
    }
}

/* The even pixels to `y` and the odd ones to `odd`. */
INLINE void store_halves(__m256i all, uint8_t *y, uint8_t *odd)
{
    const __m256i apart = _mm256_permutevar8x32_epi32(all,
                                                      _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0));

    _mm_storeu_si128((__m128i *)(void *)y, _mm256_castsi256_si128(apart));
    _mm_storeu_si128((__m128i *)(void *)odd, _mm256_extracti128_si256(apart, 1));
}

static void stem_row(const struct int8_stem *stem, const float *x, uint8_t *y)
{
    const int64_t each = stem->out_width / stem->stride;

    for (int64_t column = 0; column < stem->out_width;) {
        int64_t  from   = column - stem->left;
        bool     inside = x != NULL && from >= 0 && from < stem->in_width;
        uint8_t *to     = y + (column % stem->stride * each + column / stem->stride) * INT8_QUAD;
        if (!inside || stem->stride > 2 || column % stem->stride != 0 ||
            from + 8 > stem->in_width || column + 8 > stem->out_width) {
            stem_pixel(stem, inside ? x + from : NULL, to);
            column++;
            continue;
        }
        if (stem->stride == 1)
            _mm256_storeu_si256((__m256i *)(void *)to, stem_eight(stem, x + from));
        else
            store_halves(stem_eight(stem, x + from), to, to + each * INT8_QUAD);
        column += 8;
    }
}

void int8_avx2_stem(const struct int8_stem *stem)
{
    for (int64_t row = 0; row < stem->out_height; row++) {
        int64_t from = row - stem->top;
        stem_row(stem, from >= 0 && from < stem->in_height ? stem->x + from * stem->in_width : NULL,
                 stem->y + row * stem->out_width * INT8_QUAD);
    }
}

/* ---- pools ---- */

/* Two pixels at once where all their taps lie inside and side by side. */
static void pool_two(const struct int8_pool *pool, const uint8_t *x, int64_t row, int64_t column,
                     uint8_t *y)
{
    const struct window *window = &pool->window;
    int64_t              top = row - window->pad_begin[0], left = column - window->pad_begin[1];
    __m256i              most = _mm256_setzero_si256();

    for (int ky = 0; ky < window->kernel[0]; ky++) {
        int64_t at_y = top + (int64_t)ky * window->dilation[0];
        if (at_y < 0 || at_y >= pool->in_height)
            continue;
        for (int kx = 0; kx < window->kernel[1]; kx++)
            most = _mm256_max_epu8(most, load_two(x + (at_y * pool->in_width + left +
                                                       (int64_t)kx * window->dilation[1]) *
                                                          INT8_BLOCK));
    }
    _mm256_storeu_si256((__m256i *)(void *)y, most);
}

void int8_avx2_max_pool(const struct int8_pool *pool)
{
    const struct window *window = &pool->window;
    const bool           dense  = window->stride[0] == 1 && window->stride[1] == 1;
    const int64_t        reach  = (int64_t)(window->kernel[1] - 1) * window->dilation[1] + 2;
    uint8_t             *y      = pool->y;

    for (int64_t block = 0; block < pool->blocks; block++) {
        const uint8_t *x = pool->x + block * pool->in_height * pool->in_width * INT8_BLOCK;
        for (int64_t row = 0; row < pool->out_height; row++)
            for (int64_t column = 0; column < pool->out_width;) {
                int64_t left = column - window->pad_begin[1];
                bool    two  = dense && column + 2 <= pool->out_width && left >= 0 &&
                           left + reach <= pool->in_width;
                if (two)
                    pool_two(pool, x, row, column, y);
                else
                    pool_pixel(pool, x, row, column, y);
                column += two ? 2 : 1;
                y += (two ? 2 : 1) * INT8_BLOCK;
            }
    }
}

/* ---- channels, floats ---- */

void int8_avx2_gather(const struct int8_gather *gather)
{
    uint8_t pick[INT8_BLOCK][INT8_BLOCK];
    int64_t p = 0;

    for (int s = 0; s < gather->sources; s++)
        for (int i = 0; i < INT8_BLOCK; i++)
            pick[s][i] = gather->source[i] == s ? gather->lane[i] : 0x80; /* 0x80 gives 0 */
    for (; p + 2 <= gather->pixels; p += 2) {
        __m256i all = _mm256_setzero_si256();
        for (int s = 0; s < gather->sources; s++)
            all = _mm256_or_si256(
                all, _mm256_shuffle_epi8(load_two(gather->x[s] + p * INT8_BLOCK),
                                         _mm256_broadcastsi128_si256(load_pixel(pick[s]))));
        _mm256_storeu_si256((__m256i *)(void *)(gather->y + p * INT8_BLOCK), all);
    }
    if (p < gather->pixels) {
        __m128i all = _mm_setzero_si128();
        for (int s = 0; s < gather->sources; s++)
            all = _mm_or_si128(all, _mm_shuffle_epi8(load_pixel(gather->x[s] + p * INT8_BLOCK),
                                                     load_pixel(pick[s])));
        _mm_storeu_si128((__m128i *)(void *)(gather->y + p * INT8_BLOCK), all);
    }
}

void int8_avx2_from_floats(const float *x, const float *scale, const float *zero, int64_t pixels,
                           uint8_t *y)
{
    const __m256 s[2] = {_mm256_loadu_ps(scale), _mm256_loadu_ps(scale + 8)};
    const __m256 z[2] = {_mm256_loadu_ps(zero), _mm256_loadu_ps(zero + 8)};

    for (int64_t p = 0; p < pixels; p++, x += INT8_BLOCK, y += INT8_BLOCK) {
        __m256i low   = _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_loadu_ps(x), s[0], z[0]));
        __m256i high  = _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_loadu_ps(x + 8), s[1], z[1]));
        __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
        _mm_storeu_si128(
            (__m128i *)(void *)y,
            _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }
}

void int8_avx2_to_floats(const uint8_t *x, const float *scale, const float *zero, int64_t pixels,
                         float *y)
{
    for (int64_t p = 0; p < pixels; p++, x += INT8_BLOCK, y += INT8_BLOCK)
        for (int i = 0; i < INT8_BLOCK; i += 8) {
            __m256 code = _mm256_cvtepi32_ps(
                _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(x + i))));
            _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_sub_ps(code, _mm256_loadu_ps(zero + i)),
                                                  _mm256_loadu_ps(scale + i)));
        }
}
#else
typedef int int8_avx2_move_not_for_this_machine;
#endif
