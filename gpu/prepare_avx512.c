/* AVX-512 kernels of gpu/prepare.c, for processors with VBMI and VNNI. A filtered row holds, in
 * every 32 values, 0-3, 16-19, 4-7, 20-23, ...: packing leaves them so, the blend's unpacking
 * undoes it. */
#include "gpu/prepare_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#define TARGET \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")))

static bool available_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");
}

/* `count` bytes, the rest zero; never touches memory past them. */
TARGET static inline __m512i load_up_to(const uint8_t *source, int count)
{
    if (count >= 64)
        return _mm512_loadu_si512(source);
    return _mm512_maskz_loadu_epi8(count > 0 ? (UINT64_C(1) << count) - 1 : 0, source);
}

/* 4 taps of 16 outputs. */
TARGET static inline __m512i quad_of(const struct row_filter *filter, const uint8_t *source,
                                     int group, int quad)
{
    ptrdiff_t step = (ptrdiff_t)group * filter->quads + quad;
    int       base, left;
    __m512i   first, shuffle;

    if (filter->window_bytes == 0)
        return _mm512_i32gather_epi32(
            _mm512_loadu_si512(filter->start + (ptrdiff_t)group * ROW_GROUP_PX),
            source + (ptrdiff_t)ROW_QUAD_TAPS * quad, 1);
    base    = filter->window[step];
    left    = filter->source_px - base;
    first   = load_up_to(source + base, left);
    shuffle = _mm512_loadu_si512(filter->shuffle + step * 64);
    if (filter->window_bytes <= 64)
        return _mm512_permutexvar_epi8(shuffle, first);
    return _mm512_permutex2var_epi8(first, shuffle, load_up_to(source + base + 64, left - 64));
}

TARGET static inline __m512i sixteen_sums(const struct row_filter *filter, const uint8_t *source,
                                          int group)
{
    const __m512i sign = _mm512_set1_epi8(-128);
    __m512i       sum  = _mm512_setzero_si512();

    for (int quad = 0; quad < filter->quads; quad++) {
        ptrdiff_t step   = (ptrdiff_t)group * filter->quads + quad;
        __m512i   pixels = _mm512_xor_si512(quad_of(filter, source, group, quad), sign);

        sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(filter->weights + step * 64), pixels);
    }
    return sum;
}

TARGET static inline void store_row(const struct row_filter *filter, const uint8_t *source,
                                    int16_t *output)
{
    for (int group = 0; group < filter->groups; group += 2)
        _mm512_storeu_si512(output + (ptrdiff_t)group * ROW_GROUP_PX,
                            _mm512_packs_epi32(sixteen_sums(filter, source, group),
                                               sixteen_sums(filter, source, group + 1)));
}

/* The tables of two groups, held in registers for all rows. */
struct near_tables {
    __m512i shuffle[2], weights[2];
    int32_t window[2];
};

TARGET static inline __m512i near_sums(const struct near_tables *tables, int half,
                                       const uint8_t *source)
{
    __m512i pixels = _mm512_permutexvar_epi8(tables->shuffle[half],
                                             _mm512_loadu_si512(source + tables->window[half]));

    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), tables->weights[half],
                               _mm512_xor_si512(pixels, _mm512_set1_epi8(-128)));
}

/* The usual case, shrinking to a quarter at most: one window and one step for each 16 outputs. */
TARGET static void store_near_rows(const struct row_filter *filter, const uint8_t *const *source,
                                   int16_t *const *output, int count)
{
    for (int group = 0; group < filter->groups; group += 2) {
        struct near_tables tables;

        for (int half = 0; half < 2; half++) {
            ptrdiff_t place = ((ptrdiff_t)group + half) * 64;

            tables.window[half]  = filter->window[group + half];
            tables.shuffle[half] = _mm512_loadu_si512(filter->shuffle + place);
            tables.weights[half] = _mm512_loadu_si512(filter->weights + place);
        }
        for (int i = 0; i < count; i++)
            _mm512_storeu_si512(output[i] + (ptrdiff_t)group * ROW_GROUP_PX,
                                _mm512_packs_epi32(near_sums(&tables, 0, source[i]),
                                                   near_sums(&tables, 1, source[i])));
    }
}

static void filter_rows_avx512(const struct row_filter *filter, const uint8_t *const *source,
                               int16_t *const *output, int count)
{
    /* Windows are moved left to end with the row, so they are whole where the row is as long. */
    if (filter->quads == 1 && filter->window_bytes == 64 && filter->source_px >= 64) {
        store_near_rows(filter, source, output, count);
        return;
    }
    for (int i = 0; i < count; i++)
        store_row(filter, source[i], output[i]);
}

/* 32 blended values of one component from `x` on. */
TARGET static inline void blend_component(const struct blend_rows *rows, int x, __m512 value[2])
{
    __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();

    for (int tap = 0; tap < rows->taps; tap += 2) {
        __m512i a = _mm512_loadu_si512(rows->rows[tap] + x);
        __m512i b = _mm512_loadu_si512(rows->rows[tap + 1] + x);
        int32_t two;
        __m512i weights;

        memcpy(&two, rows->weights + tap, sizeof two);
        weights = _mm512_set1_epi32(two);
        low     = _mm512_dpwssd_epi32(low, _mm512_unpacklo_epi16(a, b), weights);
        high    = _mm512_dpwssd_epi32(high, _mm512_unpackhi_epi16(a, b), weights);
    }
    value[0] = _mm512_cvtepi32_ps(low);
    value[1] = _mm512_cvtepi32_ps(high);
}

TARGET static inline void store_channel(float *out, int left, __m512 value)
{
    if (left >= 16)
        _mm512_storeu_ps(out, value);
    else if (left > 0)
        _mm512_mask_storeu_ps(out, (__mmask16)((1U << left) - 1), value);
}

TARGET static inline __m512 coloured(const struct colour_matrix *matrix, int c, __m512 a, __m512 b,
                                     __m512 d)
{
    __m512 sum = _mm512_fmadd_ps(_mm512_set1_ps(matrix->coefficient[c][0]), a,
                                 _mm512_set1_ps(matrix->offset[c]));

    sum = _mm512_fmadd_ps(_mm512_set1_ps(matrix->coefficient[c][1]), b, sum);
    sum = _mm512_fmadd_ps(_mm512_set1_ps(matrix->coefficient[c][2]), d, sum);
    sum = _mm512_max_ps(sum, _mm512_set1_ps(matrix->low[c]));
    return _mm512_min_ps(sum, _mm512_set1_ps(matrix->high[c]));
}

TARGET static void blend_avx512(const struct blend_rows rows[3], const struct colour_matrix *matrix,
                                int count_px, float *const channel[3])
{
    const struct colour_matrix colours = *matrix; /* a copy: the stores cannot alias it */

    for (int x = 0; x < count_px; x += 32) {
        __m512 y[2], u[2], v[2];

        blend_component(&rows[0], x, y);
        blend_component(&rows[1], x, u);
        blend_component(&rows[2], x, v);
        for (int c = 0; c < 3; c++) {
            store_channel(channel[c] + x, count_px - x, coloured(&colours, c, y[0], u[0], v[0]));
            store_channel(channel[c] + x + 16, count_px - x - 16,
                          coloured(&colours, c, y[1], u[1], v[1]));
        }
    }
}

static void split_pairs_avx512(const uint8_t *source, int count_px, uint8_t *first, uint8_t *second)
{
    PREPARE_AVX2.split_pairs(source, count_px, first, second);
}

static void split_triples_avx512(const uint8_t *source, int count_px, uint8_t *const parts[3])
{
    PREPARE_C.split_triples(source, count_px, parts);
}

const struct prepare_kernels PREPARE_AVX512 = {
    .name             = "avx512",
    .lane_px          = ROW_GROUP_PX,
    .window_bytes_max = 128,
    .window_bytes_min = 1,
    .available        = available_avx512,
    .filter_rows      = filter_rows_avx512,
    .blend            = blend_avx512,
    .split_pairs      = split_pairs_avx512,
    .split_triples    = split_triples_avx512,
};

#endif
