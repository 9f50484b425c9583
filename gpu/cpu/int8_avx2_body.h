/* gpu/cpu/int8_avx2_body.h: 8-bit kernels in 256-bit registers.
 *
 * Included by int8_avx2.c and int8_avx2_vnni.c, which say what their machine has before it:
 *   dot(sum, x, weights)  sum + four products in each of 8 lanes, x unsigned, exact
 *   TILE_PIXELS           neighbouring pixels whose sums stay in registers: 2 × so many
 *   TABLE, TABLE_NAME     the struct int8_kernels that is made
 *
 * A tile is one block of 16 output channels (two registers) × up to TILE_PIXELS pixels. */
#ifndef SIGHTLINE_GPU_CPU_INT8_AVX2_BODY_H
#define SIGHTLINE_GPU_CPU_INT8_AVX2_BODY_H

#include "gpu/cpu/int8_avx2.h"

#include <string.h>

INLINE __m256i load_32(const void *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

INLINE __m128i load_16(const void *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

INLINE void store_16(void *at, __m128i x)
{
    _mm_storeu_si128((__m128i *)at, x);
}

/* ---- what follows the sums: two pixels, each 16 channels of 16 bits in their order ---- */

enum plane { BASE_LOW, BASE_HIGH, SLOPE_LOW, SLOPE_HIGH, PLANE_COUNT };

struct finisher {
    const struct int8_finish *finish;
    /* The curve's numbers, split into bytes, 16 segments in each register. */
    uint8_t plane[PLANE_COUNT][INT8_CURVE_SEGMENTS / 16][16];
};

static void prepare_finish(struct finisher *f, const struct int8_finish *finish)
{
    f->finish = finish;
    if (finish->curve == NULL)
        return;
    for (int i = 0; i < INT8_CURVE_SEGMENTS; i++) {
        const uint16_t base                  = (uint16_t)finish->curve->base[i];
        const uint16_t slope                 = (uint16_t)finish->curve->slope[i];
        f->plane[BASE_LOW][i / 16][i % 16]   = (uint8_t)base;
        f->plane[BASE_HIGH][i / 16][i % 16]  = (uint8_t)(base >> 8);
        f->plane[SLOPE_LOW][i / 16][i % 16]  = (uint8_t)slope;
        f->plane[SLOPE_HIGH][i / 16][i % 16] = (uint8_t)(slope >> 8);
    }
}

/* at[k]: places in the k-th 16 bytes, those that lie in others with their upper bit set. */
INLINE __m256i look_up(const uint8_t plane[4][16], const __m256i at[4])
{
    __m256i found = _mm256_setzero_si256();

    for (int k = 0; k < 4; k++)
        found = _mm256_or_si256(
            found, _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load_16(plane[k])), at[k]));
    return found;
}

INLINE void curve_of(const struct finisher *f, __m256i v[2])
{
    const __m256i segment = _mm256_packus_epi16(_mm256_srli_epi16(v[0], 10),
                                                _mm256_srli_epi16(v[1], 10));
    __m256i       at[4], base[2], slope[2];

    for (int k = 0; k < 4; k++)
        at[k] = _mm256_add_epi8(_mm256_xor_si256(segment, _mm256_set1_epi8((char)(16 * k))),
                                _mm256_set1_epi8(0x70));
    base[0]  = look_up(f->plane[BASE_LOW], at);
    base[1]  = look_up(f->plane[BASE_HIGH], at);
    slope[0] = look_up(f->plane[SLOPE_LOW], at);
    slope[1] = look_up(f->plane[SLOPE_HIGH], at);
    v[0]     = _mm256_adds_epi16(_mm256_unpacklo_epi8(base[0], base[1]),
                                 _mm256_mulhrs_epi16(_mm256_unpacklo_epi8(slope[0], slope[1]), v[0]));
    v[1]     = _mm256_adds_epi16(_mm256_unpackhi_epi8(base[0], base[1]),
                                 _mm256_mulhrs_epi16(_mm256_unpackhi_epi8(slope[0], slope[1]), v[1]));
}

/* `line` is the sum's other form; `residual` may be NULL, `count` of its pixels are there. */
INLINE void bend(const struct finisher *f, int64_t channel, const uint8_t *residual,
                 const int count, __m256i v[2], const __m256i line[2])
{
    const struct int8_finish *finish = f->finish;
    const bool                after  = finish->residual_gain != NULL && !finish->residual_first;
    __m256i                   add[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

    if (finish->residual_gain != NULL && residual != NULL)
        for (int i = 0; i < count; i++)
            add[i] = _mm256_mulhrs_epi16(
                _mm256_slli_epi16(_mm256_cvtepu8_epi16(load_16(residual + i * INT8_BLOCK)), 7),
                load_32(finish->residual_gain + channel));
    if (finish->residual_first)
        for (int i = 0; i < 2; i++)
            v[i] = _mm256_adds_epi16(v[i], add[i]);
    curve_of(f, v);
    for (int i = 0; i < 2; i++) {
        v[i] = _mm256_adds_epi16(_mm256_mulhrs_epi16(v[i], load_32(finish->gain + channel)),
                                 load_32(finish->zero + channel));
        if (finish->line_scale != NULL)
            v[i] = _mm256_adds_epi16(v[i], _mm256_max_epi16(line[i], _mm256_setzero_si256()));
        if (after)
            v[i] = _mm256_adds_epi16(v[i], add[i]);
        if (after || finish->line_scale != NULL)
            v[i] = _mm256_mulhrs_epi16(v[i], _mm256_set1_epi16((1 << 15) / INT8_FRACTION));
    }
}

/* Two pixels' codes (or, with a count of 1, the first one's) to y. */
INLINE void store_codes(const struct finisher *f, int64_t channel, const uint8_t *residual,
                        const int count, __m256i v[2], const __m256i line[2], uint8_t *y)
{
    __m256i codes;

    if (f->finish->curve != NULL)
        bend(f, channel, residual, count, v, line);
    codes = _mm256_permute4x64_epi64(_mm256_packus_epi16(v[0], v[1]), 0xd8);
    if (count == 2)
        _mm256_storeu_si256((__m256i *)(void *)y, codes);
    else
        store_16(y, _mm256_castsi256_si128(codes));
}

INLINE __m256i round_sums(__m256i sums, __m256 scale, __m256 bias)
{
    return _mm256_cvtps_epi32(_mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, bias));
}

/* ---- dense convolutions ---- */

INLINE __m256i round_pixel(const __m256i sums[2], const float *scale, const float *bias)
{
    return _mm256_permute4x64_epi64(
        _mm256_packs_epi32(
            round_sums(sums[0], _mm256_loadu_ps(scale), _mm256_loadu_ps(bias)),
            round_sums(sums[1], _mm256_loadu_ps(scale + 8), _mm256_loadu_ps(bias + 8))),
        0xd8);
}

/* A tile's place. */
struct spot {
    const struct int8_conv *conv;
    const struct finisher  *finisher;
    const uint8_t          *x;
    const int8_t           *weights;
    int64_t                 weight_step; /* bytes from one step to the next */
    int64_t                 block;
    int64_t                 at; /* pixel of the output */
};

INLINE void tile_codes(const struct spot *spot, __m256i sums[][2], const int pixels)
{
    const struct int8_conv   *conv    = spot->conv;
    const struct int8_finish *finish  = &conv->finish;
    const int64_t             channel = spot->block * INT8_BLOCK;
    const int64_t at = (spot->block * conv->rows * conv->columns + spot->at) * INT8_BLOCK;

#pragma GCC unroll 4
    for (int p = 0; p < pixels; p += 2) {
        const int      count    = pixels - p < 2 ? 1 : 2;
        const uint8_t *residual = conv->residual != NULL ? conv->residual + at + p * INT8_BLOCK
                                                         : NULL;
        __m256i        v[2], line[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        for (int i = 0; i < 2; i++) {
            const __m256i *pixel = sums[i < count ? p + i : p];
            v[i] = round_pixel(pixel, finish->scale + channel, finish->bias + channel);
            if (finish->line_scale != NULL)
                line[i] = round_pixel(pixel, finish->line_scale + channel,
                                      finish->line_bias + channel);
        }
        store_codes(spot->finisher, channel, residual, count, v, line,
                    conv->y + at + p * INT8_BLOCK);
    }
}

INLINE void tile_floats(const struct spot *spot, __m256i sums[][2], const int pixels)
{
    const struct int8_conv *conv  = spot->conv;
    const float            *scale = conv->finish.scale + spot->block * INT8_BLOCK;
    const float            *bias  = conv->finish.bias + spot->block * INT8_BLOCK;
    float *y = conv->floats + (spot->block * conv->rows * conv->columns + spot->at) * INT8_BLOCK;

#pragma GCC unroll 8
    for (int p = 0; p < pixels; p++)
        for (int h = 0; h < 2; h++)
            _mm256_storeu_ps(y + p * INT8_BLOCK + h * 8,
                             _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[p][h]),
                                             _mm256_loadu_ps(scale + h * 8),
                                             _mm256_loadu_ps(bias + h * 8)));
}

INLINE void tile(const struct spot *spot, const int pixels, const int stride)
{
    const int32_t *steps   = spot->conv->steps;
    const int8_t  *weights = spot->weights;
    __m256i        sums[TILE_PIXELS][2];

#pragma GCC unroll 8
    for (int p = 0; p < pixels; p++)
        sums[p][0] = sums[p][1] = _mm256_setzero_si256();
    for (int k = 0; k < spot->conv->step_count; k++, weights += spot->weight_step) {
        const uint8_t *x  = spot->x + steps[k];
        const __m256i  w0 = load_32(weights), w1 = load_32(weights + 32);
#pragma GCC unroll 8
        for (int p = 0; p < pixels; p++) {
            int32_t four;
            memcpy(&four, x + p * stride, sizeof four);
            sums[p][0] = dot(sums[p][0], _mm256_set1_epi32(four), w0);
            sums[p][1] = dot(sums[p][1], _mm256_set1_epi32(four), w1);
        }
    }
    if (spot->conv->floats != NULL)
        tile_floats(spot, sums, pixels);
    else
        tile_codes(spot, sums, pixels);
}

typedef void tile_function(const struct spot *spot);

#define TILE(pixels, stride)                                      \
    static void tile_##pixels##_##stride(const struct spot *spot) \
    {                                                             \
        tile(spot, pixels, stride);                               \
    }
#if TILE_PIXELS == 6
#define TILES(X, stride) \
    X(1, stride) X(2, stride) X(3, stride) X(4, stride) X(5, stride) X(6, stride)
#else
#define TILES(X, stride) X(1, stride) X(2, stride) X(3, stride) X(4, stride)
#endif
TILES(TILE, 16)
TILES(TILE, 4)

#define NAME(pixels, stride) tile_##pixels##_##stride,
/* By pixel_bytes, 16 or 4, and by pixels. */
static tile_function *const TILE_FUNCTIONS[2][TILE_PIXELS] = {{TILES(NAME, 16)}, {TILES(NAME, 4)}};

/* Rows of the output whose input stays in the second-level cache over all blocks. */
#define BAND_BYTES 131072

struct band {
    int64_t top, bottom, left, right;
};

static void conv_block(const struct int8_conv *conv, struct spot *spot, const struct band *band)
{
    const int64_t  width = band->right - band->left;
    const int64_t  tiles = (width + TILE_PIXELS - 1) / TILE_PIXELS;
    const int64_t  each  = (width + tiles - 1) / tiles; /* of about one size */
    tile_function *run   = TILE_FUNCTIONS[conv->pixel_bytes == INT8_QUAD][each - 1];

    for (int64_t row = band->top; row < band->bottom; row++)
        for (int64_t column = band->left; column < band->right; column += each) {
            /* The last tile reaches back over what is there already. */
            int64_t at = column + each > band->right ? band->right - each : column;
            spot->x    = conv->x + row * conv->row_bytes + at * conv->pixel_bytes;
            spot->at   = row * conv->columns + at;
            run(spot);
        }
}

static void conv_band(const struct int8_conv *conv, const struct finisher *finisher,
                      const struct band *band)
{
    struct spot spot = {.conv = conv, .finisher = finisher};
    int         group;

    for (int64_t first = 0; first < conv->out_blocks; first += group) {
        group            = int8_group(conv->out_blocks, first);
        spot.weight_step = group * INT8_BLOCK * INT8_QUAD;
        for (int b = 0; b < group; b++) {
            spot.block   = first + b;
            spot.weights = conv->weights + int8_conv_weights(first, conv->step_count) +
                           b * INT8_BLOCK * INT8_QUAD;
            conv_block(conv, &spot, band);
        }
    }
}

static void conv_all(const struct int8_conv *conv)
{
    int64_t         pixel = (int64_t)conv->step_count * INT8_QUAD, step;
    struct band     band  = {.bottom = 1};
    struct finisher finisher;

    prepare_finish(&finisher, &conv->finish);
    if (conv->rows == 1) { /* one long row: cut it */
        step = BAND_BYTES / pixel > 12 ? BAND_BYTES / pixel / 12 * 12 : 12;
        for (; band.right < conv->columns; band.left = band.right) {
            band.right = band.left + 2 * step > conv->columns ? conv->columns : band.left + step;
            conv_band(conv, &finisher, &band);
        }
        return;
    }
    band.right = conv->columns;
    step       = BAND_BYTES / (conv->row_bytes * (pixel / 16 + 1)) + 1;
    for (; band.top < conv->rows; band.top = band.bottom) {
        band.bottom = band.top + step < conv->rows ? band.top + step : conv->rows;
        conv_band(conv, &finisher, &band);
    }
}

/* ---- each channel by itself ----
 *
 * Four rows of the input are interleaved, so that one dot() adds up four taps that stand below
 * each other: `ring` holds the last four such groups, for each four channels a row of 16-byte
 * pixels (channel × row). */

struct ring {
    const struct int8_depthwise *conv;
    const uint8_t               *x; /* the block */
    __m128i                      zero;
    int64_t                      columns; /* of the padded row */
    int64_t                      each;    /* of them in each part of a row dealt out by stride */
    int64_t                      plane;   /* bytes of four channels' row */
};

INLINE __m128i ring_pixel(const struct ring *ring, int64_t y, int64_t x)
{
    const struct int8_depthwise *conv = ring->conv;

    if (y < 0 || y >= conv->in_height || x < 0 || x >= conv->in_width)
        return ring->zero;
    return load_16(ring->x + (y * conv->in_width + x) * INT8_BLOCK);
}

INLINE __m256i ring_two(const struct ring *ring, int64_t row, int64_t column)
{
    const struct int8_depthwise *conv = ring->conv;
    int64_t                      y    = row - conv->window.pad_begin[0];
    int64_t                      x    = column - conv->window.pad_begin[1];

    if (y >= 0 && y < conv->in_height && x >= 0 && x + 2 <= conv->in_width)
        return load_32(ring->x + (y * conv->in_width + x) * INT8_BLOCK);
    return _mm256_set_m128i(ring_pixel(ring, y, x + 1), ring_pixel(ring, y, x));
}

/* Where column `column` of the padded row stands: with a stride, 0, s, 2s... first. */
INLINE void ring_store(const struct ring *ring, uint8_t *to, int64_t column, __m256i two)
{
    int stride = ring->conv->window.stride[1];

    if (stride == 1) {
        _mm256_storeu_si256((__m256i *)(void *)(to + column * 16), two);
        return;
    }
    store_16(to + (column % stride * ring->each + column / stride) * 16,
             _mm256_castsi256_si128(two));
    column++;
    store_16(to + (column % stride * ring->each + column / stride) * 16,
             _mm256_extracti128_si256(two, 1));
}

static void fill_group(const struct ring *ring, int64_t group, uint8_t *to)
{
    for (int64_t column = 0; column < ring->columns; column += 2) {
        __m256i rows[4], low[2], high[2];
        for (int i = 0; i < 4; i++)
            rows[i] = ring_two(ring, group * 4 + i, column);
        for (int i = 0; i < 2; i++) {
            low[i]  = _mm256_unpacklo_epi8(rows[2 * i], rows[2 * i + 1]);
            high[i] = _mm256_unpackhi_epi8(rows[2 * i], rows[2 * i + 1]);
        }
        ring_store(ring, to, column, _mm256_unpacklo_epi16(low[0], low[1]));
        ring_store(ring, to + ring->plane, column, _mm256_unpackhi_epi16(low[0], low[1]));
        ring_store(ring, to + 2 * ring->plane, column, _mm256_unpacklo_epi16(high[0], high[1]));
        ring_store(ring, to + 3 * ring->plane, column, _mm256_unpackhi_epi16(high[0], high[1]));
    }
}

/* The sums of one output row: which groups, with which weights. */
struct taps {
    const struct finisher *finisher;
    int                    groups, width;
    const uint8_t         *group[4];
    const int8_t          *weights;
    int64_t                plane;
    int64_t                column[16]; /* bytes of each horizontal tap from the output's place */
};

/* Four pixels of 16 channels; two of them and four channels in each register. */
INLINE void tap_sums(const struct taps *taps, int64_t column, __m256i sums[2][4])
{
    const int8_t *weights = taps->weights;

    for (int q = 0; q < 4; q++)
        sums[0][q] = sums[1][q] = _mm256_setzero_si256();
    for (int g = 0; g < taps->groups; g++)
        for (int k = 0; k < taps->width; k++, weights += 64) {
            const uint8_t *x = taps->group[g] + taps->column[k] + column * 16;
#pragma GCC unroll 4
            for (int q = 0; q < 4; q++) {
                const __m256i w = _mm256_broadcastsi128_si256(load_16(weights + q * 16));
                sums[0][q]      = dot(sums[0][q], load_32(x + q * taps->plane), w);
                sums[1][q]      = dot(sums[1][q], load_32(x + q * taps->plane + 32), w);
            }
        }
}

INLINE __m256i round_quad(const float *scale, const float *bias, __m256i sums)
{
    return round_sums(sums, _mm256_broadcast_ps((const __m128 *)(const void *)scale),
                      _mm256_broadcast_ps((const __m128 *)(const void *)bias));
}

/* Lane l of sums[q]: pixel l, channels 4q to 4q + 3. v[l]: that pixel's 16 channels. */
INLINE void round_pixels(const float *scale, const float *bias, const __m256i sums[4], __m256i v[2])
{
    const __m256i first  = _mm256_packs_epi32(round_quad(scale, bias, sums[0]),
                                              round_quad(scale + 4, bias + 4, sums[1]));
    const __m256i second = _mm256_packs_epi32(round_quad(scale + 8, bias + 8, sums[2]),
                                              round_quad(scale + 12, bias + 12, sums[3]));

    v[0] = _mm256_permute2x128_si256(first, second, 0x20);
    v[1] = _mm256_permute2x128_si256(first, second, 0x31);
}

INLINE void depthwise_two(const struct int8_depthwise *conv, const struct finisher *finisher,
                          int64_t block, int64_t at, const int count, const __m256i sums[4])
{
    const struct int8_finish *finish   = &conv->finish;
    const int64_t             channel  = block * INT8_BLOCK;
    const uint8_t            *residual = conv->residual != NULL ? conv->residual + at : NULL;
    __m256i                   v[2], line[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

    round_pixels(finish->scale + channel, finish->bias + channel, sums, v);
    if (finish->line_scale != NULL)
        round_pixels(finish->line_scale + channel, finish->line_bias + channel, sums, line);
    store_codes(finisher, channel, residual, count, v, line, conv->y + at);
}

static void depthwise_row(const struct int8_depthwise *conv, const struct taps *taps, int64_t block,
                          int64_t row)
{
    int64_t at = (block * conv->out_height + row) * conv->out_width * INT8_BLOCK;

    for (int64_t column = 0; column < conv->out_width; column += 4) {
        __m256i sums[2][4];
        tap_sums(taps, column, sums);
        for (int f = 0; f < 2; f++) {
            int64_t left = conv->out_width - column - 2 * f;
            int64_t to   = at + (column + 2 * f) * INT8_BLOCK;
            if (left >= 2)
                depthwise_two(conv, taps->finisher, block, to, 2, sums[f]);
            else if (left == 1)
                depthwise_two(conv, taps->finisher, block, to, 1, sums[f]);
        }
    }
}

static void depthwise_block(const struct int8_depthwise *conv, struct ring *ring,
                            const struct finisher *finisher, int64_t block)
{
    const struct window *window = &conv->window;
    const int64_t        turns  = int8_depthwise_weights(1, window) / INT8_QUAD;
    struct taps taps   = {.finisher = finisher, .width = window->kernel[1], .plane = ring->plane};
    int64_t     filled = 0;

    ring->x    = conv->x + block * conv->in_height * conv->in_width * INT8_BLOCK;
    ring->zero = load_16(conv->zero + block * INT8_BLOCK);
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

static void depthwise_all(const struct int8_depthwise *conv)
{
    int64_t     columns = (conv->out_width - 1) * conv->window.stride[1] + conv->window.kernel[1];
    struct ring ring    = {.conv = conv, .columns = columns, .each = int8_depthwise_each(conv)};
    struct finisher finisher;

    prepare_finish(&finisher, &conv->finish);
    ring.plane = conv->window.stride[1] * ring.each * 16;
    for (int64_t block = 0; block < conv->blocks; block++)
        depthwise_block(conv, &ring, &finisher, block);
}

const struct int8_kernels TABLE = {
    .name        = TABLE_NAME,
    .conv        = conv_all,
    .depthwise   = depthwise_all,
    .pad         = int8_pad_rows,
    .stem        = int8_avx2_stem,
    .max_pool    = int8_avx2_max_pool,
    .gather      = int8_avx2_gather,
    .from_floats = int8_avx2_from_floats,
    .to_floats   = int8_avx2_to_floats,
};

#endif
