/* AVX2 kernels of gpu/prepare.c. A filtered row holds, in every 16 values, 0-3, 8-11, 4-7, 12-15:
 * the order in which packing leaves them and which the blend's unpacking undoes. */
#include "gpu/prepare_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#define TARGET __attribute__((target("avx2,fma")))

static bool available_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

TARGET static inline __m256i two_lanes(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low)),
        _mm_loadu_si128((const __m128i *)(const void *)high), 1);
}

/* 4 taps of 8 outputs from two windows of 16 bytes. */
TARGET static inline __m256i windowed_quad(const uint8_t *source, const int32_t *window,
                                           const uint8_t *shuffle)
{
    return _mm256_shuffle_epi8(two_lanes(source + window[0], source + window[1]),
                               _mm256_loadu_si256((const __m256i *)(const void *)shuffle));
}

/* The same from windows of 32 bytes: a shuffle gives 0 for a place with the high bit set, so each
 * half of the window gives its own pixels and the two are put together. */
TARGET static inline __m256i wide_quad(const uint8_t *source, const int32_t *window,
                                       const uint8_t *shuffle)
{
    const uint8_t *low = source + window[0], *high = source + window[1];
    __m256i        places = _mm256_loadu_si256((const __m256i *)(const void *)shuffle);
    __m256i        first  = _mm256_adds_epu8(places, _mm256_set1_epi8(0x70));
    __m256i        second = _mm256_sub_epi8(places, _mm256_set1_epi8(16));

    return _mm256_or_si256(_mm256_shuffle_epi8(two_lanes(low, high), first),
                           _mm256_shuffle_epi8(two_lanes(low + 16, high + 16), second));
}

TARGET static inline __m256i gathered_quad(const uint8_t *source, const int32_t *start)
{
    return _mm256_i32gather_epi32((const int *)(const void *)source,
                                  _mm256_loadu_si256((const __m256i *)(const void *)start), 1);
}

/* 8 outputs: `half` 0 or 1 of a group. */
TARGET static inline __m256i eight_sums(const struct row_filter *filter, const uint8_t *source,
                                        int group, int half)
{
    __m256i sum = _mm256_setzero_si256();

    for (int quad = 0; quad < filter->quads; quad++) {
        ptrdiff_t      step    = ((ptrdiff_t)group * filter->quads + quad) * 2 + half;
        const uint8_t *weights = filter->weights + step * 32;
        __m256i        pixels, pairs;

        if (filter->window_bytes == 16)
            pixels = windowed_quad(source, filter->window + step * 2, filter->shuffle + step * 32);
        else if (filter->window_bytes == 32)
            pixels = wide_quad(source, filter->window + step * 2, filter->shuffle + step * 32);
        else
            pixels = gathered_quad(source + (ptrdiff_t)ROW_QUAD_TAPS * quad,
                                   filter->start + (ptrdiff_t)group * ROW_GROUP_PX +
                                       (ptrdiff_t)half * 8);
        pixels = _mm256_xor_si256(pixels, _mm256_set1_epi8(-128));
        /* No saturation: two weights add up to 255 at most, and 255 * 128 < 32768. */
        pairs = _mm256_maddubs_epi16(_mm256_loadu_si256((const __m256i *)(const void *)weights),
                                     pixels);
        sum   = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return sum;
}

TARGET static void filter_row_avx2(const struct row_filter *filter, const uint8_t *source,
                                   int16_t *output)
{
    for (int group = 0; group < filter->groups; group++) {
        __m256i low  = eight_sums(filter, source, group, 0);
        __m256i high = eight_sums(filter, source, group, 1);

        _mm256_storeu_si256((__m256i *)(void *)(output + (ptrdiff_t)group * ROW_GROUP_PX),
                            _mm256_packs_epi32(low, high));
    }
}

static void filter_rows_avx2(const struct row_filter *filter, const uint8_t *const *source,
                             int16_t *const *output, int count)
{
    for (int i = 0; i < count; i++)
        filter_row_avx2(filter, source[i], output[i]);
}

/* 16 blended values of one component from `x` on. */
TARGET static inline void blend_component(const struct blend_rows *rows, int x, __m256 value[2])
{
    __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();

    for (int tap = 0; tap < rows->taps; tap += 2) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(rows->rows[tap] + x));
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(rows->rows[tap + 1] + x));
        int32_t two;
        __m256i weights;

        memcpy(&two, rows->weights + tap, sizeof two);
        weights = _mm256_set1_epi32(two);
        low     = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), weights));
        high    = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), weights));
    }
    value[0] = _mm256_cvtepi32_ps(low);
    value[1] = _mm256_cvtepi32_ps(high);
}

TARGET static inline __m256 coloured(const struct colour_matrix *matrix, int c, __m256 a, __m256 b,
                                     __m256 d)
{
    __m256 sum = _mm256_fmadd_ps(_mm256_set1_ps(matrix->coefficient[c][0]), a,
                                 _mm256_set1_ps(matrix->offset[c]));

    sum = _mm256_fmadd_ps(_mm256_set1_ps(matrix->coefficient[c][1]), b, sum);
    sum = _mm256_fmadd_ps(_mm256_set1_ps(matrix->coefficient[c][2]), d, sum);
    sum = _mm256_max_ps(sum, _mm256_set1_ps(matrix->low[c]));
    return _mm256_min_ps(sum, _mm256_set1_ps(matrix->high[c]));
}

TARGET static void blend_avx2(const struct blend_rows rows[3], const struct colour_matrix *matrix,
                              int count_px, float *const channel[3])
{
    for (int x = 0; x < count_px; x += 16) {
        __m256 value[3][2];

        for (int k = 0; k < 3; k++)
            blend_component(&rows[k], x, value[k]);
        for (int c = 0; c < 3; c++) {
            for (int half = 0; half < 2; half++) {
                int    at  = x + 8 * half;
                __m256 sum = coloured(matrix, c, value[0][half], value[1][half], value[2][half]);
                float  spill[8];

                if (at + 8 <= count_px) {
                    _mm256_storeu_ps(channel[c] + at, sum);
                } else if (at < count_px) {
                    _mm256_storeu_ps(spill, sum);
                    memcpy(channel[c] + at, spill, (size_t)(count_px - at) * sizeof *spill);
                }
            }
        }
    }
}

TARGET static void split_pairs_avx2(const uint8_t *source, int count_px, uint8_t *first,
                                    uint8_t *second)
{
    const __m256i low_bytes = _mm256_set1_epi16(0xff);
    int           i         = 0;

    for (; i + 32 <= count_px; i += 32) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(source + (ptrdiff_t)2 * i));
        __m256i b = _mm256_loadu_si256(
            (const __m256i *)(const void *)(source + (ptrdiff_t)2 * i + 32));
        __m256i even = _mm256_packus_epi16(_mm256_and_si256(a, low_bytes),
                                           _mm256_and_si256(b, low_bytes));
        __m256i odd  = _mm256_packus_epi16(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8));

        _mm256_storeu_si256((__m256i *)(void *)(first + i), _mm256_permute4x64_epi64(even, 0xd8));
        _mm256_storeu_si256((__m256i *)(void *)(second + i), _mm256_permute4x64_epi64(odd, 0xd8));
    }
    PREPARE_C.split_pairs(source + (ptrdiff_t)2 * i, count_px - i, first + i, second + i);
}

static void split_triples_avx2(const uint8_t *source, int count_px, uint8_t *const parts[3])
{
    PREPARE_C.split_triples(source, count_px, parts);
}

const struct prepare_kernels PREPARE_AVX2 = {
    .name             = "avx2",
    .lane_px          = 4,
    .window_bytes_max = 32,
    .window_bytes_min = 32,
    .available        = available_avx2,
    .filter_rows      = filter_rows_avx2,
    .blend            = blend_avx2,
    .split_pairs      = split_pairs_avx2,
    .split_triples    = split_triples_avx2,
};

#endif
