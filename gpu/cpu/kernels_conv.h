/* gpu/cpu/kernels_conv.h: the convolutions: pointwise, depthwise, and the stem of a network.
 *
 * Part of kernels_body.h. What does not change in the inner loops (pixels, blocks, kernel, stride)
 * is a constant at every call of an inline function, so that the compiler unrolls the loops and
 * keeps the sums in registers. */
#include "gpu/cpu/kernels_vector.h"

#include <float.h>

INLINE vec finish(const struct kernel_conv *conv, vec sum, int64_t at)
{
    if (conv->residual_kind == RESIDUAL_BEFORE_ACTIVATION)
        sum += v_load(conv->residual + at);
    sum = v_activate(&conv->activation, sum);
    if (conv->residual_kind == RESIDUAL_AFTER_ACTIVATION)
        sum += v_load(conv->residual + at);
    return sum;
}

/* The sums of neighbouring pixels, side by side, to y from `at` on. The usual endings are told apart
 * once and not for every vector. */
INLINE void finish_row(const struct kernel_conv *conv, const vec *sum, const int pixels, int64_t at)
{
    const enum activation_kind kind  = conv->activation.kind;
    const bool                 plain = conv->residual_kind == RESIDUAL_NONE;
    float                     *y     = conv->y + at;

    if (plain && kind == ACTIVATION_SILU)
        for (int p = 0; p < pixels; p++)
            v_store(y + p * B, sum[p] * v_sigmoid(sum[p]));
    else if (plain && kind == ACTIVATION_NONE)
        for (int p = 0; p < pixels; p++)
            v_store(y + p * B, sum[p]);
    else if (plain && kind == ACTIVATION_RELU && conv->activation.a == 0.0F)
        for (int p = 0; p < pixels; p++)
            v_store(y + p * B, V_MAX(sum[p], v_all(0.0F)));
    else
        for (int p = 0; p < pixels; p++)
            v_store(y + p * B, finish(conv, sum[p], at + p * B));
}

/* ---- blocks of which half is empty ----
 *
 * Of two output blocks the second often has few channels: 24 are one and a half. Where the machine can put
 * two pixels into one vector (V_HALVES and what belongs to it), a quarter of the multiplications goes:
 * `sum[1]` has a vector for each two pixels then. */
#ifdef V_HALVES
#define HAS_HALVES true
#else
#define HAS_HALVES       false
#define STEM_PIXELS_HALF STEM_PIXELS
#define V_HALVES(a, b)   (a)
#define V_TWICE(p)       v_load(p)
#define V_LOW(x)         (x)
#define V_HIGH(x)        (x)
#endif

/* True when the second block from `first` on is the last one and at most half full. */
INLINE bool is_half(const struct kernel_conv *conv, int64_t first)
{
    return HAS_HALVES && conv->out_channels > (first + 1) * B &&
           conv->out_channels <= (first + 1) * B + B / 2;
}

/* From a vector for each two pixels to one for each. */
INLINE void part_halves(vec *sum, const int pixels)
{
    for (int p = pixels - 2; p >= 0; p -= 2) {
        vec both   = sum[p / 2];
        sum[p]     = V_LOW(both);
        sum[p + 1] = V_HIGH(both);
    }
}

/* ---- pointwise: weights are groups of output blocks × input lane × block × B ---- */

static int64_t pointwise_weights(int64_t in_channels, int64_t out_channels)
{
    return blocks_of(in_channels) * B * blocks_of(out_channels) * B;
}

static void pointwise_pack(const float *weights, int64_t in_channels, int64_t out_channels,
                           float *packed)
{
    int64_t in_lanes = blocks_of(in_channels) * B, out_blocks = blocks_of(out_channels);

    for (int64_t first = 0; first < out_blocks; first += POINTWISE_BLOCKS) {
        int64_t width = out_blocks - first < POINTWISE_BLOCKS ? out_blocks - first
                                                              : POINTWISE_BLOCKS;
        for (int64_t c = 0; c < in_lanes; c++)
            for (int64_t i = 0; i < width * B; i++) {
                int64_t out = first * B + i;
                *packed++   = c < in_channels && out < out_channels ? weights[out * in_channels + c]
                                                                    : 0.0F;
            }
    }
}

/* The products of one input channel, which for the first pixel is at `lane`. */
INLINE void pointwise_lane(vec sum[4][16], const float *lane, const float *weights,
                           const int pixels, const int blocks, const bool half)
{
    const int full = half ? 1 : blocks;
    vec       w[4], before = v_all(0.0F);

    for (int b = 0; b < full; b++)
        w[b] = v_load(weights + b * B);
    if (half)
        w[1] = V_TWICE(weights + B);
    for (int p = 0; p < pixels; p++) {
        vec all = v_all(lane[p * B]);
        for (int b = 0; b < full; b++)
            sum[b][p] = V_FMA(all, w[b], sum[b][p]);
        if (half && p % 2 == 1)
            sum[1][p / 2] = V_FMA(V_HALVES(before, all), w[1], sum[1][p / 2]);
        before = all;
    }
}

/* `pixels` pixels from `pixel` on and `blocks` output blocks from `first` on; both are constants at
 * every call, so that the sums stay in registers. */
INLINE void pointwise_tile(const struct kernel_conv *conv, const float *weights, int64_t first,
                           int64_t pixel, const int pixels, const int blocks, const bool half)
{
    const int64_t plane     = conv->out_height * conv->out_width * B;
    const int64_t in_blocks = blocks_of(conv->in_channels);
    const float  *x         = conv->x + pixel * B;
    vec           sum[4][16];

    for (int p = 0; p < pixels; p++)
        for (int b = 0; b < (half ? 1 : blocks); b++)
            sum[b][p] = v_load(conv->bias + (first + b) * B);
    for (int p = 0; half && p < pixels / 2; p++)
        sum[1][p] = V_TWICE(conv->bias + (first + 1) * B);
    for (int64_t c = 0; conv->lanes != NULL && c < conv->in_channels; c++)
        pointwise_lane(sum, conv->lanes[c] + pixel * B, weights + c * blocks * B, pixels, blocks,
                       half);
    for (int64_t block = 0; conv->lanes == NULL && block < in_blocks; block++) {
        const int64_t lanes = conv->in_channels - block * B < B ? conv->in_channels - block * B : B;
        for (int64_t c = 0; c < lanes; c++) {
            pointwise_lane(sum, x + c, weights, pixels, blocks, half);
            weights += blocks * B;
        }
        x += plane;
    }
    if (half)
        part_halves(sum[1], pixels);
    for (int b = 0; b < blocks; b++)
        finish_row(conv, sum[b], pixels, (first + b) * plane + pixel * B);
}

/* All pixels in tiles; the last tile overlaps the one before rather than being small. */
INLINE void pointwise_row(const struct kernel_conv *conv, const float *weights, int64_t first,
                          const int pixels, const int blocks, const bool half)
{
    const int64_t count = conv->out_height * conv->out_width;
    int64_t       pixel = 0;

    if (count < pixels) {
        for (; pixel < count; pixel++)
            pointwise_tile(conv, weights, first, pixel, 1, blocks, false);
        return;
    }
    for (; pixel + pixels <= count; pixel += pixels)
        pointwise_tile(conv, weights, first, pixel, pixels, blocks, half);
    if (pixel < count)
        pointwise_tile(conv, weights, first, count - pixels, pixels, blocks, half);
}

static void pointwise(const struct kernel_conv *conv)
{
    const float *weights    = conv->weights;
    int64_t      out_blocks = blocks_of(conv->out_channels);
    int64_t      in_lanes   = blocks_of(conv->in_channels) * B;

    for (int64_t first = 0; first < out_blocks; first += POINTWISE_BLOCKS) {
        int64_t width = out_blocks - first;
        if (width > POINTWISE_BLOCKS)
            width = POINTWISE_BLOCKS;
#if POINTWISE_BLOCKS == 4
        if (width == 4)
            pointwise_row(conv, weights, first, 6, 4, false);
        else if (width == 3)
            pointwise_row(conv, weights, first, 8, 3, false);
        else if (width == 2 && is_half(conv, first))
            pointwise_row(conv, weights, first, 14, 2, true);
        else if (width == 2)
            pointwise_row(conv, weights, first, 12, 2, false);
        else
            pointwise_row(conv, weights, first, 14, 1, false);
#elif POINTWISE_BLOCKS == 2
        if (width == 2)
            pointwise_row(conv, weights, first, 6, 2, false);
        else
            pointwise_row(conv, weights, first, 10, 1, false);
#else
        pointwise_row(conv, weights, first, 4, 1, false);
#endif
        weights += in_lanes * width * B;
    }
}

/* ---- depthwise ---- */

struct row_range {
    int64_t begin, end; /* output columns whose whole window lies inside the picture */
};

static struct row_range inner_columns(const struct kernel_conv *conv)
{
    const struct window *window = &conv->window;
    int64_t              span   = (int64_t)(window->kernel[1] - 1) * window->dilation[1];
    int64_t              begin = (window->pad_begin[1] + window->stride[1] - 1) / window->stride[1];
    int64_t last = conv->in_width - 1 - span + window->pad_begin[1]; /* of the window's left edge */
    int64_t end  = last < 0 ? 0 : last / window->stride[1] + 1;

    if (begin > conv->out_width)
        begin = conv->out_width;
    if (end > conv->out_width)
        end = conv->out_width;
    if (end < begin)
        end = begin;
    return (struct row_range){begin, end};
}

/* One pixel with every check. */
static void depthwise_edge(const struct kernel_conv *conv, const float *x, const float *weights,
                           vec bias, int64_t block, int64_t oy, int64_t ox)
{
    const struct window *window = &conv->window;
    vec                  sum    = bias;
    int64_t              at     = ((block * conv->out_height + oy) * conv->out_width + ox) * B;

    for (int ky = 0; ky < window->kernel[0]; ky++) {
        int64_t iy = oy * window->stride[0] - window->pad_begin[0] + ky * window->dilation[0];
        if (iy < 0 || iy >= conv->in_height)
            continue;
        for (int kx = 0; kx < window->kernel[1]; kx++) {
            int64_t ix = ox * window->stride[1] - window->pad_begin[1] + kx * window->dilation[1];
            if (ix < 0 || ix >= conv->in_width)
                continue;
            sum = V_FMA(v_load(x + (iy * conv->in_width + ix) * B),
                        v_load(weights + (ky * window->kernel[1] + kx) * B), sum);
        }
    }
    v_store(conv->y + at, finish(conv, sum, at));
}

enum edge { EDGE_NONE, EDGE_LEFT, EDGE_RIGHT };

/* `pixels` neighbouring pixels of one row; rows outside the picture are left out. A kernel or
 * stride of 0 is one that is not known when this is compiled. All columns lie inside, but for a
 * tile at an edge of a picture that is as wide as its output: which taps fall outside is known
 * beforehand. */
INLINE void depthwise_tile(const struct kernel_conv *conv, const float *x, const float *weights,
                           vec bias, int64_t block, int64_t oy, int64_t ox, const int pixels,
                           const int kernel, const int stride, const enum edge edge)
{
    const struct window *window   = &conv->window;
    const int            kh       = kernel > 0 ? kernel : window->kernel[0];
    const int            kw       = kernel > 0 ? kernel : window->kernel[1];
    const int            step     = stride > 0 ? stride : window->stride[1];
    const int            dilation = kernel > 0 ? 1 : window->dilation[1];
    const int            pad      = kernel / 2; /* at an edge */
    int64_t              at       = ((block * conv->out_height + oy) * conv->out_width + ox) * B;
    int64_t              left     = ox * step - window->pad_begin[1];
    vec                  sum[8];

    for (int p = 0; p < pixels; p++)
        sum[p] = bias;
    for (int ky = 0; ky < kh; ky++) {
        int64_t iy = oy * window->stride[0] - window->pad_begin[0] +
                     ky * (kernel > 0 ? 1 : window->dilation[0]);
        int64_t row = (iy * conv->in_width + left) * B;
        if (iy < 0 || iy >= conv->in_height)
            continue;
        for (int kx = 0; kx < kw; kx++) {
            vec w = v_load(weights + (ky * kw + kx) * B);
            for (int p = 0; p < pixels; p++) {
                if ((edge == EDGE_LEFT && p + kx < pad) ||
                    (edge == EDGE_RIGHT && (pixels - 1 - p) + (kw - 1 - kx) < pad))
                    continue;
                sum[p] = V_FMA(v_load(x + row + (p * step + kx * dilation) * B), w, sum[p]);
            }
        }
    }
    finish_row(conv, sum, pixels, at);
}

/* Output as large as the input, and wide enough for tiles of 8 pixels that overlap where the width
 * is no multiple of 8. */
INLINE void depthwise_same(const struct kernel_conv *conv, const int kernel)
{
    const int64_t width = conv->out_width, last = width - 8 - kernel / 2;

    for (int64_t block = 0; block < blocks_of(conv->out_channels); block++) {
        const float *x       = conv->x + block * conv->in_height * width * B;
        const float *weights = conv->weights + block * kernel * kernel * B;
        vec          bias    = v_load(conv->bias + block * B);
        for (int64_t oy = 0; oy < conv->out_height; oy++) {
            depthwise_tile(conv, x, weights, bias, block, oy, 0, 8, kernel, 1, EDGE_LEFT);
            for (int64_t ox = 8; ox < width - 8; ox += 8)
                depthwise_tile(conv, x, weights, bias, block, oy, ox < last ? ox : last, 8, kernel,
                               1, EDGE_NONE);
            depthwise_tile(conv, x, weights, bias, block, oy, width - 8, 8, kernel, 1, EDGE_RIGHT);
        }
    }
}

INLINE void depthwise_any(const struct kernel_conv *conv, const int kernel, const int stride)
{
    const struct row_range inner  = inner_columns(conv);
    int64_t                blocks = blocks_of(conv->out_channels);
    int64_t                taps   = (int64_t)conv->window.kernel[0] * conv->window.kernel[1];

    for (int64_t block = 0; block < blocks; block++) {
        const float *x       = conv->x + block * conv->in_height * conv->in_width * B;
        const float *weights = conv->weights + block * taps * B;
        vec          bias    = v_load(conv->bias + block * B);
        for (int64_t oy = 0; oy < conv->out_height; oy++) {
            int64_t ox = 0;
            for (; ox < inner.begin; ox++)
                depthwise_edge(conv, x, weights, bias, block, oy, ox);
            for (; ox + 8 <= inner.end; ox += 8)
                depthwise_tile(conv, x, weights, bias, block, oy, ox, 8, kernel, stride, EDGE_NONE);
            for (; ox + 4 <= inner.end; ox += 4)
                depthwise_tile(conv, x, weights, bias, block, oy, ox, 4, kernel, stride, EDGE_NONE);
            for (; ox < inner.end; ox++)
                depthwise_tile(conv, x, weights, bias, block, oy, ox, 1, kernel, stride, EDGE_NONE);
            for (; ox < conv->out_width; ox++)
                depthwise_edge(conv, x, weights, bias, block, oy, ox);
        }
    }
}

static void depthwise(const struct kernel_conv *conv)
{
    const struct window *window = &conv->window;
    int                  kernel = window->kernel[0], stride = window->stride[0];
    bool                 square = window->kernel[1] == kernel && window->stride[1] == stride &&
                  window->dilation[0] == 1 && window->dilation[1] == 1;
    bool same = square && stride == 1 && window->pad_begin[1] == kernel / 2 &&
                window->pad_end[1] == kernel / 2 && conv->out_width >= 8 + 2 * (kernel / 2);

    if (same && kernel == 3)
        depthwise_same(conv, 3);
    else if (same && kernel == 5)
        depthwise_same(conv, 5);
    else if (square && kernel == 3 && stride == 1)
        depthwise_any(conv, 3, 1);
    else if (square && kernel == 3 && stride == 2)
        depthwise_any(conv, 3, 2);
    else if (square && kernel == 5 && stride == 1)
        depthwise_any(conv, 5, 1);
    else
        depthwise_any(conv, 0, 0);
}

/* ---- stem: few plain channels in, blocks out ---- */

/* `pixels` neighbouring pixels of `blocks` output blocks. A kernel or stride of 0 is one that is
 * not known when this is compiled. */
INLINE void stem_tile(const struct kernel_conv *conv, int64_t block, int64_t oy, int64_t ox,
                      const int pixels, const int blocks, const bool half, const int kernel,
                      const int stride, const bool edge)
{
    const int            full   = half ? 1 : blocks;
    const struct window *window = &conv->window;
    const int            kh     = kernel > 0 ? kernel : window->kernel[0];
    const int            kw     = kernel > 0 ? kernel : window->kernel[1];
    const int            step   = stride > 0 ? stride : window->stride[1];
    const int64_t        left   = ox * step - window->pad_begin[1];
    const int64_t        taps   = conv->in_channels * kh * kw * B;
    const int64_t        plane  = conv->out_height * conv->out_width * B;
    int64_t              at     = ((block * conv->out_height + oy) * conv->out_width + ox) * B;
    vec                  sum[2][14];

    for (int p = 0; p < pixels; p++)
        for (int b = 0; b < full; b++)
            sum[b][p] = v_load(conv->bias + (block + b) * B);
    for (int p = 0; half && p < pixels / 2; p++)
        sum[1][p] = V_TWICE(conv->bias + (block + 1) * B);
    for (int64_t c = 0; c < conv->in_channels; c++)
        for (int ky = 0; ky < kh; ky++) {
            int64_t      iy = oy * window->stride[0] - window->pad_begin[0] + ky;
            const float *row, *w = conv->weights + block * taps + (c * kh + ky) * kw * B;
            if (iy < 0 || iy >= conv->in_height)
                continue;
            row = conv->x + (c * conv->in_height + iy) * conv->in_width;
            if (!edge && ky >= kh - step && iy + step < conv->in_height) {
                /* What the row of windows below reads beside this: too short for the machine to
                 * foresee. */
                __builtin_prefetch(row + step * conv->in_width + left + kw);
                __builtin_prefetch(row + step * conv->in_width + left + kw + 16);
            }
            for (int kx = 0; kx < kw; kx++) {
                vec weights[2], before = v_all(0.0F);
                if (edge && (left + kx < 0 || left + kx >= conv->in_width))
                    continue;
                for (int b = 0; b < full; b++)
                    weights[b] = v_load(w + b * taps + kx * B);
                if (half)
                    weights[1] = V_TWICE(w + taps + kx * B);
                for (int p = 0; p < pixels; p++) {
                    vec all = v_all(row[left + p * step + kx]);
                    for (int b = 0; b < full; b++)
                        sum[b][p] = V_FMA(all, weights[b], sum[b][p]);
                    if (half && p % 2 == 1)
                        sum[1][p / 2] = V_FMA(V_HALVES(before, all), weights[1], sum[1][p / 2]);
                    before = all;
                }
            }
        }
    if (half)
        part_halves(sum[1], pixels);
    for (int b = 0; b < blocks; b++)
        finish_row(conv, sum[b], pixels, at + b * plane);
}

INLINE void stem_row(const struct kernel_conv *conv, int64_t block, int64_t oy, const int pixels,
                     const int blocks, const bool half, const int kernel, const int stride)
{
    const struct row_range inner = inner_columns(conv);
    int64_t                ox    = 0;

    for (; ox < inner.begin; ox++)
        stem_tile(conv, block, oy, ox, 1, blocks, false, 0, 0, true);
    for (; ox + pixels <= inner.end; ox += pixels)
        stem_tile(conv, block, oy, ox, pixels, blocks, half, kernel, stride, false);
    if (ox < inner.end && inner.end - inner.begin >= pixels) {
        /* The last tile overlaps the one before rather than being small. */
        stem_tile(conv, block, oy, inner.end - pixels, pixels, blocks, half, kernel, stride, false);
        ox = inner.end;
    }
    for (; ox < conv->out_width; ox++)
        stem_tile(conv, block, oy, ox, 1, blocks, false, 0, 0, true);
}

/* Output rows from `begin` to before `end` of `blocks` blocks. */
INLINE void stem_band(const struct kernel_conv *conv, int64_t block, int64_t begin, int64_t end,
                      const int blocks, const int kernel, const int stride)
{
    const int pixels = blocks == 1 ? STEM_PIXELS_ALONE : STEM_PIXELS;

    for (int64_t oy = begin; oy < end; oy++)
        if (blocks == 2 && is_half(conv, block))
            stem_row(conv, block, oy, STEM_PIXELS_HALF, 2, true, kernel, stride);
        else
            stem_row(conv, block, oy, pixels, blocks, false, kernel, stride);
}

INLINE void stem_square(const struct kernel_conv *conv, int64_t block, int64_t begin, int64_t end,
                        const int blocks)
{
    const struct window *window = &conv->window;
    bool                 square = window->kernel[0] == window->kernel[1] && window->stride[1] == 2;

    if (square && window->kernel[0] == 3)
        stem_band(conv, block, begin, end, blocks, 3, 2);
    else if (square && window->kernel[0] == 6)
        stem_band(conv, block, begin, end, blocks, 6, 2);
    else if (square && window->kernel[0] == 7)
        stem_band(conv, block, begin, end, blocks, 7, 2);
    else
        stem_band(conv, block, begin, end, blocks, 0, 0);
}

static void stem_rows(const struct kernel_conv *conv, int64_t block, int64_t blocks, int64_t begin,
                      int64_t end)
{
    if (blocks == STEM_BLOCKS)
        stem_square(conv, block, begin, end, STEM_BLOCKS);
    else
        stem_square(conv, block, begin, end, 1);
}

static int64_t stem_group(const struct kernel_conv *conv, int64_t block)
{
    return block + STEM_BLOCKS <= blocks_of(conv->out_channels) ? STEM_BLOCKS : 1;
}

static void stem(const struct kernel_conv *conv)
{
    for (int64_t block = 0; block < blocks_of(conv->out_channels);) {
        int64_t blocks = stem_group(conv, block);
        stem_rows(conv, block, blocks, 0, conv->out_height);
        block += blocks;
    }
}

/* ---- stem and the pool behind it, while the stem's rows are near ---- */

static int64_t stem_pool_scratch(const struct kernel_conv *conv, const struct kernel_pool *pool)
{
    return STEM_BLOCKS * conv->out_width * B * pool->window.kernel[0];
}

/* One row of the stem, of `blocks` blocks from `block` on, to y: blocks × width × B. */
static void stem_single_row(const struct kernel_conv *conv, int64_t block, int64_t blocks,
                            int64_t row, float *y)
{
    struct kernel_conv one  = *conv;
    int64_t            taps = conv->in_channels * conv->window.kernel[0] * conv->window.kernel[1];

    one.weights += block * taps * B;
    one.bias += block * B;
    one.y          = y;
    one.out_height = 1;
    one.window.pad_begin[0] -= (int)row * conv->window.stride[0];
    stem_rows(&one, 0, blocks, 0, 1);
}

/* The largest of `count` rows over the columns from `begin` to before `end`. */
INLINE vec pool_window(const float *const *rows, int64_t offset, const int count, int64_t begin,
                       int64_t end)
{
    vec result = v_all(-FLT_MAX);

    for (int k = 0; k < count; k++)
        for (int64_t x = begin; x < end; x++)
            result = V_MAX(v_load(rows[k] + offset + x * B), result);
    return result;
}

/* One output row from the rows at `rows` (blocks × width × B each), of which the first `count` are
 * there. */
static void pool_rows(const struct kernel_pool *pool, const float *const *rows, int count,
                      int64_t block, int64_t blocks, int64_t oy)
{
    const int64_t kernel = pool->window.kernel[1], stride = pool->window.stride[1];

    for (int64_t b = 0; b < blocks; b++) {
        float        *y = pool->y + ((block + b) * pool->out_height + oy) * pool->out_width * B;
        const int64_t offset = b * pool->in_width * B;
        for (int64_t ox = 0; ox < pool->out_width; ox++) {
            int64_t left  = ox * stride - pool->window.pad_begin[1];
            int64_t begin = left < 0 ? 0 : left;
            int64_t end   = left + kernel < pool->in_width ? left + kernel : pool->in_width;
            if (count == 3 && end - begin == 3)
                v_store(y + ox * B, pool_window(rows, offset + begin * B, 3, 0, 3));
            else
                v_store(y + ox * B, pool_window(rows, offset, count, begin, end));
        }
    }
}

static void stem_pool(const struct kernel_conv *conv, const struct kernel_pool *pool,
                      float *scratch)
{
    const int     kernel = pool->window.kernel[0];
    const int64_t row    = STEM_BLOCKS * conv->out_width * B;

    for (int64_t block = 0; block < blocks_of(conv->out_channels);) {
        int64_t blocks = stem_group(conv, block), made = 0;
        for (int64_t oy = 0; oy < pool->out_height; oy++) {
            const float *rows[STEM_POOL_KERNEL_MAX];
            int64_t      top   = oy * pool->window.stride[0] - pool->window.pad_begin[0];
            int64_t      first = top < 0 ? 0 : top, end = top + kernel;
            if (end > conv->out_height)
                end = conv->out_height;
            for (; made < end; made++)
                stem_single_row(conv, block, blocks, made, scratch + made % kernel * row);
            for (int64_t k = first; k < end; k++)
                rows[k - first] = scratch + k % kernel * row;
            pool_rows(pool, rows, (int)(end - first), block, blocks, oy);
        }
        block += blocks;
    }
}
