/* gpu/cpu/kernels_dense.h: 3×3 convolutions of stride 1 with a quarter of the multiplications.
 *
 * Part of kernels_body.h. Winograd's F(4×4, 3×3): tiles of 6×6 input pixels are transformed, then
 * each of the 36 places of a tile is a product of matrices over the channels (the pointwise kernel
 * with tiles for pixels), and what comes out is transformed back to 4×4 output pixels. The tiles of
 * one strip stay in the second-level cache from the first transform to the last. Rounding costs a
 * relative error of some 1e-6. */
#ifndef SIGHTLINE_GPU_CPU_KERNELS_DENSE_H
#define SIGHTLINE_GPU_CPU_KERNELS_DENSE_H

#include "gpu/cpu/kernels_conv.h"

#include <math.h>

#define TILE_OUT    4
#define TILE_IN     6
#define TILE_PLACES (TILE_IN * TILE_IN)
#define STRIP_BYTES (INT64_C(768) << 10) /* of transformed tiles, both ways */
#define STRIP_STEP  12
#define STRIP_MIN   24
#define STRIP_MAX   120
/* Planes begin at different sets of the first-level cache. */
#define PLANE_SKEW 16

/* The points of the interpolation are 0, ±NEAR, ±FAR and infinity. With these, whose squares have
 * the product 1, the largest error is a fifth of that with the usual 1 and 2. */
#define NEAR        0.70710678F
#define NEAR_SQUARE 0.5F
#define NEAR_CUBE   0.35355339F
#define FAR         1.41421356F
#define FAR_SQUARE  2.0F
#define FAR_CUBE    2.82842712F

static int64_t winograd_tiles(const struct kernel_conv *conv)
{
    return ((conv->out_height + TILE_OUT - 1) / TILE_OUT) *
           ((conv->out_width + TILE_OUT - 1) / TILE_OUT);
}

static int64_t winograd_strip(const struct kernel_conv *conv)
{
    int64_t lanes = (blocks_of(conv->in_channels) + blocks_of(conv->out_channels)) * B;
    int64_t tiles = STRIP_BYTES / (TILE_PLACES * (int64_t)sizeof(float) * lanes);

    tiles = tiles / STRIP_STEP * STRIP_STEP;
    if (tiles > STRIP_MAX)
        tiles = STRIP_MAX;
    if (tiles < STRIP_MIN)
        tiles = STRIP_MIN;
    return tiles < winograd_tiles(conv) ? tiles : winograd_tiles(conv);
}

static int64_t winograd_plane(const struct kernel_conv *conv, int64_t channels)
{
    return winograd_strip(conv) * blocks_of(channels) * B + PLANE_SKEW;
}

static int64_t winograd_scratch(const struct kernel_conv *conv)
{
    return TILE_PLACES *
           (winograd_plane(conv, conv->in_channels) + winograd_plane(conv, conv->out_channels));
}

/* The matrices of all places, then zeros for the bias that the products do not have. */
static int64_t winograd_weights(int64_t in_channels, int64_t out_channels)
{
    return TILE_PLACES * pointwise_weights(in_channels, out_channels) + blocks_of(out_channels) * B;
}

static void winograd_pack(const float *weights, int64_t in_channels, int64_t out_channels,
                          float *one_place, float *packed)
{
    const double near          = 2.0 * NEAR_SQUARE * (NEAR_SQUARE - FAR_SQUARE);
    const double far           = 2.0 * FAR_SQUARE * (FAR_SQUARE - NEAR_SQUARE);
    const double g[TILE_IN][3] = {
        {1.0 / (NEAR_SQUARE * FAR_SQUARE), 0, 0},
        {1.0 / near, sqrt((double)NEAR_SQUARE) / near, NEAR_SQUARE / near},
        {1.0 / near, -sqrt((double)NEAR_SQUARE) / near, NEAR_SQUARE / near},
        {1.0 / far, sqrt((double)FAR_SQUARE) / far, FAR_SQUARE / far},
        {1.0 / far, -sqrt((double)FAR_SQUARE) / far, FAR_SQUARE / far},
        {0, 0, 1},
    };
    int64_t size = pointwise_weights(in_channels, out_channels);

    for (int place = 0; place < TILE_PLACES; place++) {
        const double *gy = g[place / TILE_IN], *gx = g[place % TILE_IN];
        for (int64_t i = 0; i < in_channels * out_channels; i++) {
            double sum = 0.0;
            for (int tap = 0; tap < 9; tap++)
                sum += gy[tap / 3] * gx[tap % 3] * (double)weights[i * 9 + tap];
            one_place[i] = (float)sum;
        }
        pointwise_pack(one_place, in_channels, out_channels, packed + place * size);
    }
    memset(packed + TILE_PLACES * size, 0, (size_t)(blocks_of(out_channels) * B) * sizeof *packed);
}

/* Along one side of a tile: the polynomials of 0, ±NEAR, ±FAR and infinity. */
INLINE void winograd_in(const vec d[TILE_IN], vec t[TILE_IN])
{
    const vec sum      = v_all(-(NEAR_SQUARE + FAR_SQUARE));
    vec       near     = V_FMA(v_all(-FAR_SQUARE), d[2], d[4]);
    vec       far      = V_FMA(v_all(-NEAR_SQUARE), d[2], d[4]);
    vec       near_odd = V_FMA(v_all(-FAR_SQUARE), d[1], d[3]);
    vec       far_odd  = V_FMA(v_all(-NEAR_SQUARE), d[1], d[3]);

    t[0] = V_FMA(sum, d[2], d[0] + d[4]);
    t[1] = V_FMA(v_all(NEAR), near_odd, near);
    t[2] = V_FMA(v_all(-NEAR), near_odd, near);
    t[3] = V_FMA(v_all(FAR), far_odd, far);
    t[4] = V_FMA(v_all(-FAR), far_odd, far);
    t[5] = V_FMA(sum, d[3], d[1] + d[5]);
}

INLINE void winograd_out(const vec m[TILE_IN], vec y[TILE_OUT])
{
    vec near = m[1] + m[2], near_odd = m[1] - m[2];
    vec far = m[3] + m[4], far_odd = m[3] - m[4];

    y[0] = m[0] + near + far;
    y[1] = V_FMA(v_all(FAR), far_odd, v_all(NEAR) * near_odd);
    y[2] = V_FMA(v_all(FAR_SQUARE), far, v_all(NEAR_SQUARE) * near);
    y[3] = V_FMA(v_all(FAR_CUBE), far_odd, V_FMA(v_all(NEAR_CUBE), near_odd, m[5]));
}

/* One block of channels of one tile, whose first pixel is `from`, to the 36 planes at `to`. */
INLINE void tile_in(const float *from, int64_t row, float *to, int64_t plane)
{
    vec columns[TILE_IN][TILE_IN], d[TILE_IN], t[TILE_IN];

    for (int x = 0; x < TILE_IN; x++) {
        for (int y = 0; y < TILE_IN; y++)
            d[y] = v_load(from + y * row + x * B);
        winograd_in(d, t);
        for (int y = 0; y < TILE_IN; y++)
            columns[y][x] = t[y];
    }
    for (int y = 0; y < TILE_IN; y++) {
        winograd_in(columns[y], t);
        for (int x = 0; x < TILE_IN; x++)
            v_store(to + (y * TILE_IN + x) * plane, t[x]);
    }
}

/* As above at an edge of the picture: what lies outside is zero. */
static void tile_in_edge(const struct kernel_conv *conv, const float *x, int64_t top, int64_t left,
                         float *to, int64_t plane)
{
    float patch[TILE_PLACES * B] = {0};

    for (int py = 0; py < TILE_IN; py++)
        for (int px = 0; px < TILE_IN; px++) {
            int64_t iy = top + py, ix = left + px;
            if (iy >= 0 && iy < conv->in_height && ix >= 0 && ix < conv->in_width)
                v_store(patch + (py * TILE_IN + px) * B,
                        v_load(x + (iy * conv->in_width + ix) * B));
        }
    tile_in(patch, (int64_t)TILE_IN * B, to, plane);
}

static void strip_in(const struct kernel_conv *conv, int64_t first, int64_t count, float *planes,
                     int64_t plane)
{
    int64_t across = (conv->out_width + TILE_OUT - 1) / TILE_OUT;

    for (int64_t block = 0; block < blocks_of(conv->in_channels); block++) {
        const float *x = conv->x + block * conv->in_height * conv->in_width * B;
        for (int64_t i = 0; i < count; i++) {
            int64_t top    = (first + i) / across * TILE_OUT - conv->window.pad_begin[0];
            int64_t left   = (first + i) % across * TILE_OUT - conv->window.pad_begin[1];
            float  *to     = planes + (block * count + i) * B;
            bool    inside = top >= 0 && left >= 0 && top + TILE_IN <= conv->in_height &&
                          left + TILE_IN <= conv->in_width;
            if (inside)
                tile_in(x + (top * conv->in_width + left) * B, conv->in_width * B, to, plane);
            else
                tile_in_edge(conv, x, top, left, to, plane);
        }
    }
}

INLINE void tile_out(const struct kernel_conv *conv, const float *from, int64_t plane,
                     int64_t block, int64_t oy, int64_t ox)
{
    int64_t height = conv->out_height - oy < TILE_OUT ? conv->out_height - oy : TILE_OUT;
    int64_t width  = conv->out_width - ox < TILE_OUT ? conv->out_width - ox : TILE_OUT;
    int64_t at     = ((block * conv->out_height + oy) * conv->out_width + ox) * B;
    vec     rows[TILE_OUT][TILE_IN], m[TILE_IN], y[TILE_OUT], bias = v_load(conv->bias + block * B);

    for (int x = 0; x < TILE_IN; x++) {
        for (int place = 0; place < TILE_IN; place++)
            m[place] = v_load(from + (place * TILE_IN + x) * plane);
        winograd_out(m, y);
        for (int py = 0; py < TILE_OUT; py++)
            rows[py][x] = y[py];
    }
    for (int py = 0; py < TILE_OUT; py++) {
        if (py >= height)
            return;
        winograd_out(rows[py], y);
        for (int px = 0; px < TILE_OUT; px++)
            if (px < width) {
                int64_t pixel = at + (py * conv->out_width + px) * B;
                v_store(conv->y + pixel, finish(conv, y[px] + bias, pixel));
            }
    }
}

static void strip_out(const struct kernel_conv *conv, int64_t first, int64_t count,
                      const float *planes, int64_t plane)
{
    int64_t across = (conv->out_width + TILE_OUT - 1) / TILE_OUT;

    for (int64_t block = 0; block < blocks_of(conv->out_channels); block++)
        for (int64_t i = 0; i < count; i++)
            tile_out(conv, planes + (block * count + i) * B, plane, block,
                     (first + i) / across * TILE_OUT, (first + i) % across * TILE_OUT);
}

static void winograd(const struct kernel_conv *conv, float *scratch)
{
    const int64_t strip = winograd_strip(conv), tiles = winograd_tiles(conv);
    const int64_t in_plane  = winograd_plane(conv, conv->in_channels);
    const int64_t out_plane = winograd_plane(conv, conv->out_channels);
    const int64_t size      = pointwise_weights(conv->in_channels, conv->out_channels);
    float        *products  = scratch + TILE_PLACES * in_plane;

    for (int64_t first = 0; first < tiles; first += strip) {
        int64_t            count   = tiles - first < strip ? tiles - first : strip;
        struct kernel_conv product = {.in_channels  = conv->in_channels,
                                      .out_channels = conv->out_channels,
                                      .in_height    = 1,
                                      .in_width     = count,
                                      .out_height   = 1,
                                      .out_width    = count,
                                      .bias         = conv->weights + TILE_PLACES * size};
        strip_in(conv, first, count, scratch, in_plane);
        for (int place = 0; place < TILE_PLACES; place++) {
            product.x       = scratch + place * in_plane;
            product.weights = conv->weights + place * size;
            product.y       = products + place * out_plane;
            pointwise(&product);
        }
        strip_out(conv, first, count, products, out_plane);
    }
}

#endif
