/* 8-bit kernels for machines with AVX-512 VNNI.
 *
 * One instruction multiplies four input channels of a pixel (the same four bytes in every lane) by
 * their weights for 16 output channels and adds the products. A tile of `pixels` × `blocks` sums
 * stays in registers over all input channels and taps; both are constants at every call of an
 * inline function, so that the compiler unrolls the loops. */
#if defined(__x86_64__)
#include "gpu/cpu/int8_avx512.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* sum + four products, in place: left to itself, the compiler copies sums between registers. */
INLINE __m512i dot(__m512i sum, __m512i x, __m512i weights)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(weights));
    return sum;
}

/* Which parts of struct int8_finish there are. A constant wherever speed counts, so that each form has
 * code of its own without questions in it. */
struct form {
    bool curve, line, residual, residual_first;
};

INLINE struct form form_of(const struct int8_finish *finish)
{
    return (struct form){.curve          = finish->curve != NULL,
                         .line           = finish->line_scale != NULL,
                         .residual       = finish->residual_gain != NULL,
                         .residual_first = finish->residual_first};
}

/* CALL(form) with the forms that networks are made of as constants: nothing (ReLU), SiLU, SiLU and
 * then a residual; the rest as it comes. */
#define BY_FORM(any, CALL)                                                        \
    do {                                                                          \
        const struct form which = any;                                            \
        if (!which.curve)                                                         \
            CALL(((struct form){0}));                                             \
        else if (which.line && !which.residual)                                   \
            CALL(((struct form){.curve = true, .line = true}));                   \
        else if (which.line && !which.residual_first)                             \
            CALL(((struct form){.curve = true, .line = true, .residual = true})); \
        else                                                                      \
            CALL(which);                                                          \
    } while (0)

/* Numbers by channel as the packed pixels need them. */
struct finisher {
    const struct int8_curve *curve;
    __m512i                  gain, zero, residual_gain;
};

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

INLINE __m512i curve_of(const struct int8_curve *curve, __m512i x)
{
    __m512i segment = _mm512_srai_epi16(x, 10);
    __m512i base    = _mm512_permutex2var_epi16(_mm512_loadu_si512(curve->base), segment,
                                                _mm512_loadu_si512(curve->base + 32));
    __m512i slope   = _mm512_permutex2var_epi16(_mm512_loadu_si512(curve->slope), segment,
                                                _mm512_loadu_si512(curve->slope + 32));

    return _mm512_adds_epi16(base, _mm512_mulhrs_epi16(slope, x));
}

INLINE __m512i round_sums(__m512i sums, __m512 scale, __m512 bias)
{
    return _mm512_cvtps_epi32(_mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scale, bias));
}

/* What follows the rounded sum; `line` is the sum's other form, `codes` those of the residual. */
INLINE __m512i bend(const struct form form, const struct finisher *f, __m512i v, __m512i line,
                    __m512i codes)
{
    __m512i residual = _mm512_setzero_si512();

    if (form.residual)
        residual = _mm512_mulhrs_epi16(_mm512_slli_epi16(codes, 7), f->residual_gain);
    if (form.residual_first)
        v = _mm512_adds_epi16(v, residual);
    v = curve_of(f->curve, v);
    v = _mm512_adds_epi16(_mm512_mulhrs_epi16(v, f->gain), f->zero);
    if (form.line)
        v = _mm512_adds_epi16(v, _mm512_max_epi16(line, _mm512_setzero_si512()));
    if (form.residual && !form.residual_first)
        v = _mm512_adds_epi16(v, residual);
    else if (!form.line)
        return v;
    return _mm512_mulhrs_epi16(v, _mm512_set1_epi16((1 << 15) / INT8_FRACTION));
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

/* ---- each channel by itself ----
 *
 * Four rows of the input are interleaved, so that one instruction adds up four taps that stand
 * below each other: `ring` holds the last four such groups, for each four channels a row of
 * 16-byte pixels (channel × row). */

struct ring {
    const struct int8_depthwise *conv;
    const uint8_t               *x; /* the block */
    __m128i                      zero;
    int64_t                      columns; /* of the padded row */
    int64_t                      each;    /* of them in each part of a row dealt out by stride */
    int64_t                      plane;   /* bytes of four channels' row */
};

INLINE __m128i ring_pixel(const struct ring *ring, int64_t row, int64_t column)
{
    const struct int8_depthwise *conv = ring->conv;
    int64_t                      y    = row - conv->window.pad_begin[0];
    int64_t                      x    = column - conv->window.pad_begin[1];

    if (y < 0 || y >= conv->in_height || x < 0 || x >= conv->in_width)
        return ring->zero;
    return _mm_loadu_si128(
        (const __m128i *)(const void *)(ring->x + (y * conv->in_width + x) * INT8_BLOCK));
}

INLINE __m512i ring_four(const struct ring *ring, int64_t row, int64_t column)
{
    const struct int8_depthwise *conv = ring->conv;
    int64_t                      y    = row - conv->window.pad_begin[0];
    int64_t                      x    = column - conv->window.pad_begin[1];
    __m512i                      four;

    if (y < 0 || y >= conv->in_height)
        return _mm512_broadcast_i32x4(ring->zero);
    if (x >= 0 && x + 4 <= conv->in_width)
        return _mm512_loadu_si512(ring->x + (y * conv->in_width + x) * INT8_BLOCK);
    four = _mm512_castsi128_si512(ring_pixel(ring, row, column));
    four = _mm512_inserti32x4(four, ring_pixel(ring, row, column + 1), 1);
    four = _mm512_inserti32x4(four, ring_pixel(ring, row, column + 2), 2);
    return _mm512_inserti32x4(four, ring_pixel(ring, row, column + 3), 3);
}

/* Where column `column` of the padded row stands: with a stride, 0, s, 2s... first. */
INLINE void ring_store(const struct ring *ring, uint8_t *to, int64_t column, __m512i four)
{
    int stride = ring->conv->window.stride[1];

    if (stride == 1) {
        _mm512_storeu_si512(to + column * 16, four);
        return;
    }
    __m128i pixels[4];
    _mm512_storeu_si512(pixels, four);
    for (int64_t i = column; i < column + 4; i++)
        _mm_storeu_si128((__m128i *)(void *)(to + (i % stride * ring->each + i / stride) * 16),
                         pixels[i - column]);
}

INLINE void ring_store_halves(const struct ring *ring, uint8_t *to, int64_t column, __m512i a,
                              __m512i b)
{
    _mm512_storeu_si512(to + column / 2 * 16, _mm512_shuffle_i64x2(a, b, 0x88));
    _mm512_storeu_si512(to + (ring->each + column / 2) * 16, _mm512_shuffle_i64x2(a, b, 0xdd));
}

INLINE void interleave(const __m512i rows[4], __m512i quads[4])
{
    __m512i low01  = _mm512_unpacklo_epi8(rows[0], rows[1]);
    __m512i low23  = _mm512_unpacklo_epi8(rows[2], rows[3]);
    __m512i high01 = _mm512_unpackhi_epi8(rows[0], rows[1]);
    __m512i high23 = _mm512_unpackhi_epi8(rows[2], rows[3]);

    quads[0] = _mm512_unpacklo_epi16(low01, low23);
    quads[1] = _mm512_unpackhi_epi16(low01, low23);
    quads[2] = _mm512_unpacklo_epi16(high01, high23);
    quads[3] = _mm512_unpackhi_epi16(high01, high23);
}

static void fill_group(const struct ring *ring, int64_t group, uint8_t *to)
{
    const bool halves = ring->conv->window.stride[1] == 2;
    __m512i    rows[4], quads[2][4];

    for (int64_t column = 0; column < ring->columns; column += halves ? 8 : 4) {
        for (int i = 0; i < 4; i++)
            rows[i] = ring_four(ring, group * 4 + i, column);
        interleave(rows, quads[0]);
        if (halves) {
            for (int i = 0; i < 4; i++)
                rows[i] = ring_four(ring, group * 4 + i, column + 4);
            interleave(rows, quads[1]);
        }
        for (int q = 0; q < 4; q++) {
            if (halves)
                ring_store_halves(ring, to + q * ring->plane, column, quads[0][q], quads[1][q]);
            else
                ring_store(ring, to + q * ring->plane, column, quads[0][q]);
        }
    }
}

/* The sums of one output row: which groups, with which weights. */
struct taps {
    int            groups, width;
    const uint8_t *group[4];
    const int8_t  *weights;
    int64_t        plane;
    int64_t        column[16]; /* bytes of each horizontal tap from the output pixel's place */
};

/* 4 × `fours` pixels of 16 channels. */
INLINE void tap_sums(const struct taps *taps, int64_t column, const int fours, __m512i sums[4][4])
{
    const int8_t *weights = taps->weights;

#pragma GCC unroll 4
    for (int f = 0; f < fours; f++)
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++)
            sums[f][q] = _mm512_setzero_si512();
    for (int g = 0; g < taps->groups; g++)
        for (int k = 0; k < taps->width; k++, weights += 64) {
            const uint8_t *x = taps->group[g] + taps->column[k] + column * 16;
#pragma GCC unroll 4
            for (int q = 0; q < 4; q++) {
                __m512i w = _mm512_broadcast_i32x4(
                    _mm_loadu_si128((const __m128i *)(const void *)(weights + q * 16)));
#pragma GCC unroll 4
                for (int f = 0; f < fours; f++)
                    sums[f][q] = dot(sums[f][q], _mm512_loadu_si512(x + q * taps->plane + f * 64),
                                     w);
            }
        }
}

INLINE __m512i eight(const int16_t *numbers)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)numbers));
}

INLINE __m512i round_quad(const float *scale, const float *bias, __m512i sums)
{
    return round_sums(sums, _mm512_broadcast_f32x4(_mm_loadu_ps(scale)),
                      _mm512_broadcast_f32x4(_mm_loadu_ps(bias)));
}

/* Lane l of sums[q]: pixel l, channels 4q to 4q + 3. Packed, eight channels stand in order. */
INLINE __m512i finish_eight(const struct form form, const struct int8_finish *finish,
                            int64_t channel, const __m512i sums[2], __m512i codes)
{
    struct finisher f    = {.curve = finish->curve};
    __m512i         line = _mm512_setzero_si512();
    __m512i         v    = _mm512_packs_epi32(
                   round_quad(finish->scale + channel, finish->bias + channel, sums[0]),
                   round_quad(finish->scale + channel + 4, finish->bias + channel + 4, sums[1]));

    if (!form.curve)
        return v;
    if (form.line)
        line = _mm512_packs_epi32(
            round_quad(finish->line_scale + channel, finish->line_bias + channel, sums[0]),
            round_quad(finish->line_scale + channel + 4, finish->line_bias + channel + 4, sums[1]));
    f.gain = eight(finish->gain + channel);
    f.zero = eight(finish->zero + channel);
    if (form.residual)
        f.residual_gain = eight(finish->residual_gain + channel);
    return bend(form, &f, v, line, codes);
}

INLINE __m512i finish_quads(const struct form form, const struct int8_finish *finish,
                            int64_t channel, const __m512i sums[4], __m512i residual)
{
    const __m512i none = _mm512_setzero_si512();

    return _mm512_packus_epi16(
        finish_eight(form, finish, channel, sums, _mm512_unpacklo_epi8(residual, none)),
        finish_eight(form, finish, channel + 8, sums + 2, _mm512_unpackhi_epi8(residual, none)));
}

/* Four pixels at a time; `finish` is the caller's own, so that no store of codes can change it. */
INLINE void depthwise_pixels(const struct form form, const struct int8_depthwise *conv,
                             const struct int8_finish *finish, const struct taps *taps,
                             int64_t block, int64_t row, int64_t column, const int fours)
{
    int64_t at = ((block * conv->out_height + row) * conv->out_width + column) * INT8_BLOCK;
    __m512i sums[4][4];

    tap_sums(taps, column, fours, sums);
#pragma GCC unroll 4
    for (int f = 0; f < fours; f++) {
        int64_t   left  = conv->out_width - column - f * 4;
        __mmask16 words = left >= 4 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1U << (4 * left)) - 1);
        __m512i   codes = _mm512_setzero_si512();
        if (form.residual)
            codes = _mm512_maskz_loadu_epi32(words, conv->residual + at + f * 64);
        codes = finish_quads(form, finish, block * INT8_BLOCK, sums[f], codes);
        _mm512_mask_storeu_epi32(conv->y + at + f * 64, words, codes);
    }
}

INLINE void depthwise_form(const struct form form, const struct int8_depthwise *conv,
                           const struct taps *taps, int64_t block, int64_t row)
{
    const struct int8_finish finish = conv->finish;
    int64_t                  column = 0;

    for (; column + 12 < conv->out_width; column += 16)
        depthwise_pixels(form, conv, &finish, taps, block, row, column, 4);
    for (; column + 4 < conv->out_width; column += 8)
        depthwise_pixels(form, conv, &finish, taps, block, row, column, 2);
    for (; column < conv->out_width; column += 4)
        depthwise_pixels(form, conv, &finish, taps, block, row, column, 1);
}

static void depthwise_row(const struct int8_depthwise *conv, const struct taps *taps, int64_t block,
                          int64_t row)
{
#define ROW_OF(form) depthwise_form(form, conv, taps, block, row)
    BY_FORM(form_of(&conv->finish), ROW_OF);
#undef ROW_OF
}

static void depthwise_block(const struct int8_depthwise *conv, struct ring *ring, int64_t block)
{
    const struct window *window = &conv->window;
    const int64_t        turns  = int8_depthwise_weights(1, window) / INT8_QUAD;
    struct taps          taps   = {.width = window->kernel[1], .plane = ring->plane};
    int64_t              filled = 0;

    ring->x    = conv->x + block * conv->in_height * conv->in_width * INT8_BLOCK;
    ring->zero = _mm_loadu_si128((const __m128i *)(const void *)(conv->zero + block * INT8_BLOCK));
    for (int k = 0; k < taps.width; k++)
        taps.column[k] = (k % window->stride[1] * ring->each + k / window->stride[1]) * 16;
    for (int64_t row = 0; row < conv->out_height; row++) {
        int64_t top = row * window->stride[0], turn = top % 4, group = top / 4;
        taps.groups  = (int)(turn + window->kernel[0] + 3) / 4;
        taps.weights = conv->weights + int8_depthwise_weights(block, window) + turn * turns;
        if (filled < group)
            filled = group;
        for (; filled < group + taps.groups; filled++)
            fill_group(ring, filled, conv->scratch + filled % 4 * 4 * ring->plane);
        for (int g = 0; g < taps.groups; g++)
            taps.group[g] = conv->scratch + (group + g) % 4 * 4 * ring->plane;
        depthwise_row(conv, &taps, block, row);
    }
}

static void avx512_depthwise(const struct int8_depthwise *conv)
{
    int64_t     columns = (conv->out_width - 1) * conv->window.stride[1] + conv->window.kernel[1];
    struct ring ring    = {.conv = conv, .columns = columns, .each = int8_depthwise_each(conv)};

    ring.plane = conv->window.stride[1] * ring.each * 16;
    for (int64_t block = 0; block < conv->blocks; block++)
        depthwise_block(conv, &ring, block);
}

const struct int8_kernels INT8_AVX512 = {
    .name        = "avx512_vnni",
    .conv        = avx512_conv,
    .depthwise   = avx512_depthwise,
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
