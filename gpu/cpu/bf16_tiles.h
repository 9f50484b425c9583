/* gpu/cpu/bf16_tiles.h: a convolution by tiles of AMX: tiles_conv().
 *
 * Included after the instructions, as they are (bf16_amx.c) or as a model in C (the test):
 *   TILES_CONFIGURE(config)        the 64 bytes of ldtilecfg
 *   TILE_ZERO(t), TILE_LOAD(t, from, row_bytes), TILE_STORE(t, to, row_bytes)
 *   TILE_PRODUCT(sum, a, b)        tdpbf16ps
 *   TILES_RELEASE()
 *
 * Tiles 0 to 3 are sums: pixels × 16 output channels, of two times 16 pixels and two blocks; 4 and
 * 5 the input: pixels × 32 channels, straight from the padded picture; 6 and 7 weights: 16 pairs of
 * channels × 16 output channels × 2, straight from the packed ones. */
#ifndef SIGHTLINE_GPU_CPU_BF16_TILES_H
#define SIGHTLINE_GPU_CPU_BF16_TILES_H

#include "gpu/cpu/bf16_walk.h"

#include <string.h>

#define TILE_ROWS  16
#define TILE_BYTES 64 /* of a row */

/* As ldtilecfg wants it. */
struct tile_config {
    uint8_t  palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t  rows[16];
};

/* Pixels of a tile when a spot has `pixels`: the second tile overlaps the first by one if that is
 * an odd number. */
static int tile_pixels(int pixels)
{
    return pixels > TILE_ROWS ? (pixels + 1) / 2 : pixels;
}

static void tiles_spot(const struct bf16_spot *spot)
{
    const struct bf16_conv *conv   = spot->conv;
    const int               pixels = tile_pixels(spot->pixels);
    const bool              wide = spot->pixels > TILE_ROWS, two = spot->blocks == 2;
    const int64_t           each   = (int64_t)conv->step_count * BF16_STEP;
    const int64_t           second = (int64_t)(spot->pixels - pixels) * BF16_PIXEL_BYTES;
    const uint16_t         *weight = conv->weights + spot->block * each;
    float                   sums[2 * TILE_ROWS * BF16_OUT];
    float                  *after = sums + (spot->pixels - pixels) * BF16_OUT;

    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    for (int k = 0; k < conv->step_count; k++, weight += BF16_STEP) {
        const uint8_t *x = spot->x + conv->steps[k];
        TILE_LOAD(4, x, BF16_PIXEL_BYTES);
        TILE_LOAD(6, weight, TILE_BYTES);
        TILE_PRODUCT(0, 4, 6);
        if (two) {
            TILE_LOAD(7, weight + each, TILE_BYTES);
            TILE_PRODUCT(1, 4, 7);
        }
        if (wide) {
            TILE_LOAD(5, x + second, BF16_PIXEL_BYTES);
            TILE_PRODUCT(2, 5, 6);
        }
        if (wide && two)
            TILE_PRODUCT(3, 5, 7);
    }
    TILE_STORE(0, sums, TILE_BYTES);
    if (wide)
        TILE_STORE(2, after, TILE_BYTES);
    bf16_finish(conv, spot->block, spot->at, spot->pixels, sums);
    if (!two)
        return;
    TILE_STORE(1, sums, TILE_BYTES);
    if (wide)
        TILE_STORE(3, after, TILE_BYTES);
    bf16_finish(conv, spot->block + 1, spot->at, spot->pixels, sums);
}

static void tiles_conv(const struct bf16_conv *conv)
{
    const int          most = 2 * TILE_ROWS, pixels = tile_pixels(bf16_spot_pixels(conv, most));
    struct tile_config config;

    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int t = 0; t < 8; t++) {
        config.rows[t]      = (uint8_t)(t < 6 ? pixels : BF16_PAIRS);
        config.row_bytes[t] = TILE_BYTES;
    }
    TILES_CONFIGURE(&config);
    bf16_walk(conv, most, tiles_spot);
    TILES_RELEASE();
}

#endif
