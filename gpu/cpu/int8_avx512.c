/* 8-bit kernels for machines with AVX-512 VNNI.
 *
 * One instruction multiplies four input channels of a pixel (the same four bytes in every lane) by
 * their weights for 16 output channels and adds the products. A tile of `pixels` × `blocks` sums
 * stays in registers over all input channels and taps; both are constants at every call of an
 * inline function, so that the compiler unrolls the loops. */
#if defined(__x86_64__)
#include "gpu/cpu/int8_avx512.h"

#include <string.h>

#include "gpu/cpu/int8_avx512_finish.h"

/* The 16-bit numbers of 16 channels in the order that two packed pixels have: four channels of one
 * pixel, the same four of the other, the next four... */
INLINE __m512i pair_order(const int16_t *numbers)
{
    const __m512i order = _mm512_set_epi64(
        0x000f000e000d000c, 0x000f000e000d000c, 0x000b000a00090008, 0x000b000a00090008,
        0x0007000600050004, 0x0007000600050004, 0x0003000200010000, 0x0003000200010000);

    return _mm512_permutexvar_epi16(
        order, _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)numbers)));
}

/* Transposes 4×4 words of 32 bits; twice is nothing. */
INLINE __m512i transpose_words(__m512i x)
{
    return _mm512_permutexvar_epi32(
        _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0), x);
}

/* Lines by which sums become numbers, of 16 channels. */
struct lines {
    __m512 scale, bias, line_scale, line_bias;
};

/* The codes of four pixels × 16 channels. */
INLINE __m512i finish_pixels(const struct form form, const struct finisher *f,
                             const struct lines *lines, const __m512i sums[4], __m512i residual)
{
    const __m512 scale = lines->scale, bias = lines->bias;
    __m512i      a        = _mm512_packs_epi32(round_sums(sums[0], scale, bias),
                                               round_sums(sums[1], scale, bias));
    __m512i      b        = _mm512_packs_epi32(round_sums(sums[2], scale, bias),
                                               round_sums(sums[3], scale, bias));
    __m512i      line[2]  = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    __m512i      codes[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};

    if (form.line) {
        const __m512 slope = lines->line_scale, start = lines->line_bias;
        line[0] = _mm512_packs_epi32(round_sums(sums[0], slope, start),
                                     round_sums(sums[1], slope, start));
        line[1] = _mm512_packs_epi32(round_sums(sums[2], slope, start),
                                     round_sums(sums[3], slope, start));
    }
    if (form.residual) {
        const __m512i apart = transpose_words(residual);
        codes[0]            = _mm512_unpacklo_epi8(apart, codes[0]);
        codes[1]            = _mm512_unpackhi_epi8(apart, codes[1]);
    }
    if (form.curve) {
        a = bend(form, f, a, line[0], codes[0]);
        b = bend(form, f, b, line[1], codes[1]);
    }
    return transpose_words(_mm512_packus_epi16(a, b));
}

/* A tile's place. */
struct spot {
    const struct int8_conv *conv;
    const uint8_t          *x;
    const int8_t           *weights;
    int64_t                 first; /* block */
    int64_t                 at;    /* pixel of the output */
};

/* Pointers are read before the first code is stored: a store of bytes might change any of them. */
INLINE void store_form(const struct form form, const struct spot *spot, const __m512i *sums,
                       int64_t block, const int pixels)
{
    const struct int8_conv   *conv    = spot->conv;
    const struct int8_finish *finish  = &conv->finish;
    const int64_t             channel = block * INT8_BLOCK;
    const int64_t             at = (block * conv->rows * conv->columns + spot->at) * INT8_BLOCK;
    uint8_t                  *y  = conv->y + at;
    const uint8_t            *residual = form.residual ? conv->residual + at : NULL;
    struct finisher           numbers  = {.curve = finish->curve};
    struct lines              lines    = {.scale = _mm512_loadu_ps(finish->scale + channel),
                                          .bias  = _mm512_loadu_ps(finish->bias + channel)};

    if (form.curve) {
        numbers.gain = pair_order(finish->gain + channel);
        numbers.zero = pair_order(finish->zero + channel);
    }
    if (form.line) {
        lines.line_scale = _mm512_loadu_ps(finish->line_scale + channel);
        lines.line_bias  = _mm512_loadu_ps(finish->line_bias + channel);
    }
    if (form.residual)
        numbers.residual_gain = pair_order(finish->residual_gain + channel);
#pragma GCC unroll 8
    for (int p = 0; p < pixels; p += 4) {
        const int       count = pixels - p < 4 ? pixels - p : 4;
        const __mmask16 words = (__mmask16)((1U << (4 * count)) - 1);
        __m512i         codes = _mm512_setzero_si512(), four[4];
        for (int i = 0; i < 4; i++)
            four[i] = sums[p + (i < count ? i : 0)];
        if (form.residual)
            codes = _mm512_maskz_loadu_epi32(words, residual + p * INT8_BLOCK);
        codes = finish_pixels(form, &numbers, &lines, four, codes);
        if (count == 4)
            _mm512_storeu_si512(y + p * INT8_BLOCK, codes);
        else
            _mm512_mask_storeu_epi32(y + p * INT8_BLOCK, words, codes);
    }
}

INLINE void store_codes(const struct spot *spot, const __m512i *sums, int64_t block,
                        const int pixels)
{
#define STORE(form) store_form(form, spot, sums, block, pixels)
    BY_FORM(form_of(&spot->conv->finish), STORE);
#undef STORE
}

INLINE void store_floats(const struct spot *spot, const __m512i *sums, int64_t block,
                         const int pixels)
{
    const struct int8_conv *conv  = spot->conv;
    const int64_t           at    = (block * conv->rows * conv->columns + spot->at) * INT8_BLOCK;
    const __m512            scale = _mm512_loadu_ps(conv->finish.scale + block * INT8_BLOCK);
    const __m512            bias  = _mm512_loadu_ps(conv->finish.bias + block * INT8_BLOCK);

#pragma GCC unroll 16
    for (int p = 0; p < pixels; p++)
        _mm512_storeu_ps(conv->floats + at + p * INT8_BLOCK,
                         _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[p]), scale, bias));
}

INLINE void tile(const struct spot *spot, const int blocks, const int pixels, const int stride)
{
    const int32_t *steps   = spot->conv->steps;
    const int8_t  *weights = spot->weights;
    __m512i        sums[3][16];

#pragma GCC unroll 3
    for (int b = 0; b < blocks; b++)
#pragma GCC unroll 16
        for (int p = 0; p < pixels; p++)
            sums[b][p] = _mm512_setzero_si512();
    for (int k = 0; k < spot->conv->step_count; k++) {
        const uint8_t *x = spot->x + steps[k];
        __m512i        w[3];
#pragma GCC unroll 3
        for (int b = 0; b < blocks; b++)
            w[b] = _mm512_loadu_si512(weights + b * 64);
#pragma GCC unroll 16
        for (int p = 0; p < pixels; p++) {
            int32_t four;
            memcpy(&four, x + p * stride, sizeof four);
#pragma GCC unroll 3
            for (int b = 0; b < blocks; b++)
                sums[b][p] = dot(sums[b][p], _mm512_set1_epi32(four), w[b]);
        }
        weights += blocks * 64;
    }
#pragma GCC unroll 3
    for (int b = 0; b < blocks; b++) {
        if (spot->conv->floats != NULL)
            store_floats(spot, sums[b], spot->first + b, pixels);
        else
            store_codes(spot, sums[b], spot->first + b, pixels);
    }
}

void int8_avx512_finish(const struct int8_conv *conv, int64_t block, int64_t at, int pixels,
                        const int32_t *sums)
{
    struct spot spot = {.conv = conv, .at = at};

    for (int p = 0; p < pixels; p++, spot.at++) {
        const __m512i one = _mm512_loadu_si512(sums + p * INT8_BLOCK);
        if (conv->floats != NULL)
            store_floats(&spot, &one, block, 1);
        else
            store_codes(&spot, &one, block, 1);
    }
}

typedef void tile_function(const struct spot *spot);

#define TILE(blocks, pixels, stride)                                         \
    static void tile_##blocks##_##pixels##_##stride(const struct spot *spot) \
    {                                                                        \
        tile(spot, blocks, pixels, stride);                                  \
    }
#define TILES_OF_1(X, stride) \
    X(1, 1, stride)           \
    X(1, 2, stride)           \
    X(1, 4, stride)           \
    X(1, 8, stride)           \
    X(1, 10, stride)          \
    X(1, 11, stride) X(1, 12, stride) X(1, 13, stride) X(1, 14, stride) X(1, 16, stride)
#define TILES_OF_2(X, stride) \
    X(2, 1, stride)           \
    X(2, 2, stride)           \
    X(2, 4, stride)           \
    X(2, 5, stride)           \
    X(2, 6, stride)           \
    X(2, 7, stride)           \
    X(2, 8, stride)           \
    X(2, 9, stride) X(2, 10, stride) X(2, 11, stride) X(2, 12, stride) X(2, 13, stride)
#define TILES_OF_3(X, stride) \
    X(3, 1, stride)           \
    X(3, 2, stride) X(3, 4, stride) X(3, 5, stride) X(3, 7, stride) X(3, 8, stride) X(3, 9, stride)

TILES_OF_1(TILE, 16)
TILES_OF_2(TILE, 16)
TILES_OF_3(TILE, 16)
TILES_OF_1(TILE, 4)
TILES_OF_2(TILE, 4)
TILES_OF_3(TILE, 4)

struct tile_row {
    int            blocks, pixels, stride;
    tile_function *run;
};

#define ROW(blocks, pixels, stride) {blocks, pixels, stride, tile_##blocks##_##pixels##_##stride},
static const struct tile_row TILES[] = {TILES_OF_1(ROW, 16) TILES_OF_2(ROW, 16) TILES_OF_3(
    ROW, 16) TILES_OF_1(ROW, 4) TILES_OF_2(ROW, 4) TILES_OF_3(ROW, 4)};

/* The widest tile of those that cover a row with the least work. */
static const struct tile_row *choose_tile(int blocks, int stride, int64_t columns)
{
    const struct tile_row *best      = NULL;
    int64_t                best_cost = 0;

    for (size_t i = 0; i < sizeof TILES / sizeof TILES[0]; i++) {
        const struct tile_row *row = &TILES[i];
        int64_t                cost;
        if (row->blocks != blocks || row->stride != stride || row->pixels > columns)
            continue;
        /* Loads and multiplications of a step, two of each at a time; and what a tile costs. */
        cost = (columns + row->pixels - 1) / row->pixels *
               (row->pixels * blocks > row->pixels + blocks ? row->pixels * blocks
                                                            : row->pixels + blocks + 1);
        if (best == NULL || cost <= best_cost) {
            best      = row;
            best_cost = cost;
        }
    }
    return best;
}

/* Rows of the output whose input stays in the second-level cache over all groups of blocks. */
#define BAND_BYTES 262144

static void conv_band(const struct int8_conv *conv, int64_t begin, int64_t end, int64_t left,
                      int64_t right)
{
    int group;

    for (int64_t first = 0; first < conv->out_blocks; first += group) {
        const struct tile_row *shape;
        struct spot            spot = {.conv = conv, .first = first};
        group                       = int8_group(conv->out_blocks, first);
        shape                       = choose_tile(group, conv->pixel_bytes, right - left);
        spot.weights                = conv->weights + int8_conv_weights(first, conv->step_count);
        for (int64_t row = begin; row < end; row++)
            for (int64_t column = left; column < right; column += shape->pixels) {
                /* The last tile reaches back over what is there already. */
                int64_t at = column + shape->pixels > right ? right - shape->pixels : column;
                spot.x     = conv->x + row * conv->row_bytes + at * conv->pixel_bytes;
                spot.at    = row * conv->columns + at;
                shape->run(&spot);
            }
    }
}

static void avx512_conv(const struct int8_conv *conv)
{
    int64_t pixel = (int64_t)conv->step_count * INT8_QUAD, band;

    if (conv->rows == 1) { /* one long row: cut it */
        band = BAND_BYTES / pixel > 16 ? BAND_BYTES / pixel / 16 * 16 : 16;
        for (int64_t left = 0; left < conv->columns; left += band) {
            int64_t right = left + 2 * band > conv->columns ? conv->columns : left + band;
            conv_band(conv, 0, 1, left, right);
            if (right == conv->columns)
                break;
        }
        return;
    }
    band = BAND_BYTES / (conv->row_bytes * (pixel / 16 + 1)) + 1;
    for (int64_t row = 0; row < conv->rows; row += band)
        conv_band(conv, row, row + band < conv->rows ? row + band : conv->rows, 0, conv->columns);
}

const struct int8_kernels INT8_AVX512 = {
    .name        = "avx512_vnni",
    .conv        = avx512_conv,
    .depthwise   = int8_avx512_depthwise,
    .pad         = int8_pad_rows,
    .stem        = int8_avx512_stem,
    .max_pool    = int8_avx512_max_pool,
    .gather      = int8_avx512_gather,
    .from_floats = int8_avx512_from_floats,
    .to_floats   = int8_avx512_to_floats,
};
#else
typedef int int8_avx512_not_for_this_machine;
#endif
