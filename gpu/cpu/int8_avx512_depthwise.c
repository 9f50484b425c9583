/* 8-bit kernels for machines with AVX-512 VNNI: each channel by its own window.
 *
 * Four rows of the input are interleaved, so that one instruction adds up four taps that stand
 * below each other: `ring` holds the last four such groups, for each four channels a row of
 * 16-byte pixels (channel × row). */
#if defined(__x86_64__)
#include "gpu/cpu/int8_avx512.h"

#include "gpu/cpu/int8_avx512_finish.h"

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

void int8_avx512_depthwise(const struct int8_depthwise *conv)
{
    int64_t     columns = (conv->out_width - 1) * conv->window.stride[1] + conv->window.kernel[1];
    struct ring ring    = {.conv = conv, .columns = columns, .each = int8_depthwise_each(conv)};

    ring.plane = conv->window.stride[1] * ring.each * 16;
    for (int64_t block = 0; block < conv->blocks; block++)
        depthwise_block(conv, &ring, block);
}
#else
typedef int int8_avx512_depthwise_not_for_this_machine;
#endif
