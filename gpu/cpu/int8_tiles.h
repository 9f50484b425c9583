/* gpu/cpu/int8_tiles.h: dense convolutions in 8 bits by tiles of AMX: int8_tiles_conv().
 *
 * Included after the instructions, as they are (int8_amx.c) or as a model in C (the test): the names
 * of gpu/cpu/bf16_tiles.h, with TILE_PRODUCT for tdpbusd.
 *
 * The pictures and the packed weights are those of the other 8-bit kernels: a tile of the input is
 * pixels × the 16 channels of a block, a tile of weights the four steps of such a block. That fills
 * a quarter of what a tile can hold, but nothing has to be laid out anew. */
#ifndef SIGHTLINE_GPU_CPU_INT8_TILES_H
#define SIGHTLINE_GPU_CPU_INT8_TILES_H

#include "gpu/cpu/int8.h"

#include <string.h>

#define INT8_TILE_ROWS  16
#define INT8_TILE_BYTES 64 /* of a row of weights and of sums */
#define INT8_TILE_QUADS (INT8_BLOCK / INT8_QUAD)

/* As ldtilecfg wants it. */
struct int8_tile_config {
    uint8_t  palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t  rows[16];
};

/* True when the steps come in whole blocks of 16 channels. */
static bool int8_tiles_fit(const struct int8_conv *conv)
{
    if (conv->pixel_bytes != INT8_BLOCK || conv->step_count % INT8_TILE_QUADS != 0)
        return false;
    for (int k = 0; k < conv->step_count; k++)
        if (conv->steps[k] !=
            conv->steps[k / INT8_TILE_QUADS * INT8_TILE_QUADS] + k % INT8_TILE_QUADS * INT8_QUAD)
            return false;
    return true;
}

struct int8_tiles {
    const struct int8_conv *conv;
    int                     pixels; /* of a tile; one output row has so many at least */
    int64_t                 first;  /* block of the group */
    int                     group;
};

/* One or two tiles of pixels (the second at `next`, or -1) by the blocks `begin` and, if the group
 * has one more, the one after it. */
static void int8_tiles_run(const struct int8_tiles *tiles, int64_t row, int64_t column,
                           int64_t next, int begin)
{
    const struct int8_conv *conv = tiles->conv;
    const bool              two = begin + 1 < tiles->group, wide = next >= 0;
    const int64_t           stride = (int64_t)tiles->group * INT8_TILE_BYTES;
    const int8_t *weights = conv->weights + int8_conv_weights(tiles->first, conv->step_count) +
                            (int64_t)begin * INT8_TILE_BYTES;
    const uint8_t *x      = conv->x + row * conv->row_bytes + column * INT8_BLOCK;
    const uint8_t *second = conv->x + row * conv->row_bytes + next * INT8_BLOCK;
    const int64_t  block = tiles->first + begin, at = row * conv->columns;
    int32_t        sums[INT8_TILE_ROWS * INT8_BLOCK];

    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    for (int k = 0; k < conv->step_count; k += INT8_TILE_QUADS) {
        TILE_LOAD(4, x + conv->steps[k], INT8_BLOCK);
        TILE_LOAD(6, weights, stride);
        TILE_PRODUCT(0, 4, 6);
        if (two) {
            TILE_LOAD(7, weights + INT8_TILE_BYTES, stride);
            TILE_PRODUCT(1, 4, 7);
        }
        if (wide) {
            TILE_LOAD(5, second + conv->steps[k], INT8_BLOCK);
            TILE_PRODUCT(2, 5, 6);
        }
        if (wide && two)
            TILE_PRODUCT(3, 5, 7);
        weights += INT8_TILE_QUADS * stride;
    }
    TILE_STORE(0, sums, INT8_TILE_BYTES);
    TILES_FINISH(conv, block, at + column, tiles->pixels, sums);
    if (two) {
        TILE_STORE(1, sums, INT8_TILE_BYTES);
        TILES_FINISH(conv, block + 1, at + column, tiles->pixels, sums);
    }
    if (wide) {
        TILE_STORE(2, sums, INT8_TILE_BYTES);
        TILES_FINISH(conv, block, at + next, tiles->pixels, sums);
    }
    if (wide && two) {
        TILE_STORE(3, sums, INT8_TILE_BYTES);
        TILES_FINISH(conv, block + 1, at + next, tiles->pixels, sums);
    }
}

/* The last tile of a row reaches back over what is there already. */
static void int8_tiles_row(const struct int8_tiles *tiles, int64_t row)
{
    const int64_t last = tiles->conv->columns - tiles->pixels, step = tiles->pixels;

    for (int64_t column = 0; column <= last + step - 1; column += 2 * step) {
        const int64_t at   = column < last ? column : last;
        const int64_t next = at == last ? -1 : at + step < last ? at + step : last;
        for (int begin = 0; begin < tiles->group; begin += 2)
            int8_tiles_run(tiles, row, at, next, begin);
    }
}

static void int8_tiles_conv(const struct int8_conv *conv)
{
    const int64_t           each  = (conv->columns + INT8_TILE_ROWS - 1) / INT8_TILE_ROWS;
    struct int8_tiles       tiles = {.conv = conv};
    struct int8_tile_config config;

    tiles.pixels = (int)((conv->columns + each - 1) / each);
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int t = 0; t < 8; t++) {
        config.rows[t]      = (uint8_t)(t < 6 ? tiles.pixels : INT8_TILE_QUADS);
        config.row_bytes[t] = t == 4 || t == 5 ? INT8_BLOCK : INT8_TILE_BYTES;
    }
    TILES_CONFIGURE(&config);
    for (; tiles.first < conv->out_blocks; tiles.first += tiles.group) {
        tiles.group = int8_group(conv->out_blocks, tiles.first);
        for (int64_t row = 0; row < conv->rows; row++)
            int8_tiles_row(&tiles, row);
    }
    TILES_RELEASE();
}

#endif
