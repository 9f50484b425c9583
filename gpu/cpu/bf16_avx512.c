/* Kernels for bfloat16 with AVX-512: one instruction multiplies a pair of input channels of a pixel
 * by their weights for 16 output channels and adds the products. */
#if defined(__x86_64__)
#include "gpu/cpu/bf16_avx512.h"

#include "gpu/cpu/bf16_walk.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#define PIXELS_MAX 12

INLINE __m512bh load_pairs(const uint16_t *weights)
{
    return (__m512bh)_mm512_loadu_si512(weights);
}

/* Both are constants at every call, so that the sums stay in registers. */
INLINE void tile(const struct bf16_spot *spot, const int blocks, const int pixels)
{
    const struct bf16_conv *conv   = spot->conv;
    const int64_t           each   = (int64_t)conv->step_count * BF16_STEP;
    const uint16_t         *weight = conv->weights + spot->block * each;
    __m512                  sums[2][PIXELS_MAX];
    float                   stored[PIXELS_MAX * BF16_OUT];

#pragma GCC unroll 12
    for (int p = 0; p < pixels; p++)
        sums[0][p] = sums[1][p] = _mm512_setzero_ps();
    for (int k = 0; k < conv->step_count; k++) {
        const uint8_t *x = spot->x + conv->steps[k];
        for (int pair = 0; pair < BF16_PAIRS; pair++, weight += 2 * BF16_OUT, x += 4) {
            __m512bh w[2] = {load_pairs(weight), load_pairs(weight)};
            if (blocks == 2)
                w[1] = load_pairs(weight + each);
#pragma GCC unroll 12
            for (int p = 0; p < pixels; p++) {
                int32_t two;
                memcpy(&two, x + p * BF16_PIXEL_BYTES, sizeof two);
                sums[0][p] = _mm512_dpbf16_ps(sums[0][p], w[0], (__m512bh)_mm512_set1_epi32(two));
                if (blocks == 2)
                    sums[1][p] = _mm512_dpbf16_ps(sums[1][p], w[1],
                                                  (__m512bh)_mm512_set1_epi32(two));
            }
        }
    }
    for (int b = 0; b < blocks; b++) {
#pragma GCC unroll 12
        for (int p = 0; p < pixels; p++)
            _mm512_storeu_ps(stored + p * BF16_OUT, sums[b][p]);
        bf16_finish(conv, spot->block + b, spot->at, pixels, stored);
    }
}

#define CASE(pixels)               \
    case pixels:                   \
        if (spot->blocks == 2)     \
            tile(spot, 2, pixels); \
        else                       \
            tile(spot, 1, pixels); \
        break;

static void avx512_spot(const struct bf16_spot *spot)
{
    switch (spot->pixels) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
    default:
        break;
    }
}

static void avx512_conv(const struct bf16_conv *conv)
{
    bf16_walk(conv, PIXELS_MAX, avx512_spot);
}

/* Pixels `column`, `column + stride`... of one row of two blocks; `second` is NULL where there is
 * but one. */
static void pad_part(const struct bf16_pad *pad, const float *first, const float *second,
                     int64_t part, uint16_t *y)
{
    const int64_t each = pad->out_width / pad->stride;

    for (int64_t k = 0; k < each; k++, y += BF16_BLOCK) {
        int64_t at  = k * pad->stride + part - pad->left;
        __m512  low = _mm512_setzero_ps(), high = low;
        if (first != NULL && at >= 0 && at < pad->in_width) {
            low = _mm512_loadu_ps(first + at * BF16_OUT);
            if (second != NULL)
                high = _mm512_loadu_ps(second + at * BF16_OUT);
        }
        _mm512_storeu_si512(y, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

void bf16_avx512_pad(const struct bf16_pad *pad)
{
    const int64_t each  = pad->out_width / pad->stride;
    const int64_t plane = pad->in_height * pad->in_width * BF16_OUT;

    for (int64_t block = 0; block < (pad->in_blocks + 1) / 2; block++)
        for (int64_t row = 0; row < pad->out_height; row++) {
            int64_t      from  = row - pad->top;
            const float *first = NULL, *second = NULL;
            uint16_t    *y = pad->y + (block * pad->out_height + row) * pad->out_width * BF16_BLOCK;
            if (from >= 0 && from < pad->in_height) {
                first = pad->x + block * 2 * plane + from * pad->in_width * BF16_OUT;
                if (block * 2 + 1 < pad->in_blocks)
                    second = first + plane;
            }
            for (int part = 0; part < pad->stride; part++)
                pad_part(pad, first, second, part, y + part * each * BF16_BLOCK);
        }
}

const struct bf16_kernels BF16_AVX512 = {
    .name = "avx512_bf16",
    .pad  = bf16_avx512_pad,
    .conv = avx512_conv,
};
#else
typedef int bf16_avx512_not_for_this_machine;
#endif
