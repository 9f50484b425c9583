/* gpu/cpu/kernels_conv.h: the convolutions: pointwise, depthwise, and the stem of a network.
 *
 * Part of kernels_body.h. What does not change in the inner loops (pixels, blocks, kernel, stride)
 * is a constant at every call of an inline function, so that the compiler unrolls the loops and
 * keeps the sums in registers. */
#include "gpu/cpu/kernels_vector.h"

INLINE vec finish(const struct kernel_conv *conv, vec sum, int64_t at)
{
    if (conv->residual_kind == RESIDUAL_BEFORE_ACTIVATION)
        sum += v_load(conv->residual + at);
    sum = v_activate(&conv->activation, sum);
    if (conv->residual_kind == RESIDUAL_AFTER_ACTIVATION)
        sum += v_load(conv->residual + at);
    return sum;
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

/* `pixels` pixels from `pixel` on and `blocks` output blocks from `first` on; both are constants at
 * every call, so that the sums stay in registers. */
INLINE void pointwise_tile(const struct kernel_conv *conv, const float *weights, int64_t first,
                           int64_t pixel, const int pixels, const int blocks)
{
    const int64_t plane     = conv->out_height * conv->out_width * B;
    const int64_t in_blocks = blocks_of(conv->in_channels);
    const float  *x         = conv->x + pixel * B;
    vec           sum[16][4];

    for (int p = 0; p < pixels; p++)
        for (int b = 0; b < blocks; b++)
            sum[p][b] = v_load(conv->bias + (first + b) * B);
    for (int64_t block = 0; block < in_blocks; block++) {
        const int64_t lanes = conv->in_channels - block * B < B ? conv->in_channels - block * B : B;
        for (int64_t c = 0; c < lanes; c++) {
            vec w[4];
            for (int b = 0; b < blocks; b++)
                w[b] = v_load(weights + b * B);
            for (int p = 0; p < pixels; p++) {
                vec all = v_all(x[p * B + c]);
                for (int b = 0; b < blocks; b++)
                    sum[p][b] = V_FMA(all, w[b], sum[p][b]);
            }
            weights += blocks * B;
        }
        x += plane;
    }
    for (int b = 0; b < blocks; b++)
        for (int p = 0; p < pixels; p++) {
            int64_t at = (first + b) * plane + (pixel + p) * B;
            v_store(conv->y + at, finish(conv, sum[p][b], at));
        }
}

/* All pixels in tiles; the last tile overlaps the one before rather than being small. */
INLINE void pointwise_row(const struct kernel_conv *conv, const float *weights, int64_t first,
                          const int pixels, const int blocks)
{
    const int64_t count = conv->out_height * conv->out_width;
    int64_t       pixel = 0;

    if (count < pixels) {
        for (; pixel < count; pixel++)
            pointwise_tile(conv, weights, first, pixel, 1, blocks);
        return;
    }
    for (; pixel + pixels <= count; pixel += pixels)
        pointwise_tile(conv, weights, first, pixel, pixels, blocks);
    if (pixel < count)
        pointwise_tile(conv, weights, first, count - pixels, pixels, blocks);
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
            pointwise_row(conv, weights, first, 6, 4);
        else if (width == 3)
            pointwise_row(conv, weights, first, 8, 3);
        else if (width == 2)
            pointwise_row(conv, weights, first, 12, 2);
        else
            pointwise_row(conv, weights, first, 14, 1);
#elif POINTWISE_BLOCKS == 2
        if (width == 2)
            pointwise_row(conv, weights, first, 6, 2);
        else
            pointwise_row(conv, weights, first, 10, 1);
#else
        pointwise_row(conv, weights, first, 4, 1);
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
    for (int p = 0; p < pixels; p++)
        v_store(conv->y + at + p * B, finish(conv, sum[p], at + p * B));
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
                      const int pixels, const int blocks, const int kernel, const int stride,
                      const bool edge)
{
    const struct window *window = &conv->window;
    const int            kh     = kernel > 0 ? kernel : window->kernel[0];
    const int            kw     = kernel > 0 ? kernel : window->kernel[1];
    const int            step   = stride > 0 ? stride : window->stride[1];
    const int64_t        left   = ox * step - window->pad_begin[1];
    const int64_t        taps   = conv->in_channels * kh * kw * B;
    const int64_t        plane  = conv->out_height * conv->out_width * B;
    int64_t              at     = ((block * conv->out_height + oy) * conv->out_width + ox) * B;
    vec                  sum[14][2];

    for (int p = 0; p < pixels; p++)
        for (int b = 0; b < blocks; b++)
            sum[p][b] = v_load(conv->bias + (block + b) * B);
    for (int64_t c = 0; c < conv->in_channels; c++)
        for (int ky = 0; ky < kh; ky++) {
            int64_t      iy = oy * window->stride[0] - window->pad_begin[0] + ky;
            const float *row, *w = conv->weights + block * taps + (c * kh + ky) * kw * B;
            if (iy < 0 || iy >= conv->in_height)
                continue;
            row = conv->x + (c * conv->in_height + iy) * conv->in_width;
            for (int kx = 0; kx < kw; kx++) {
                vec weights[2];
                if (edge && (left + kx < 0 || left + kx >= conv->in_width))
                    continue;
                for (int b = 0; b < blocks; b++)
                    weights[b] = v_load(w + b * taps + kx * B);
                for (int p = 0; p < pixels; p++) {
                    vec all = v_all(row[left + p * step + kx]);
                    for (int b = 0; b < blocks; b++)
                        sum[p][b] = V_FMA(all, weights[b], sum[p][b]);
                }
            }
        }
    for (int b = 0; b < blocks; b++)
        for (int p = 0; p < pixels; p++)
            v_store(conv->y + at + b * plane + p * B,
                    finish(conv, sum[p][b], at + b * plane + p * B));
}

INLINE void stem_row(const struct kernel_conv *conv, int64_t block, int64_t oy, const int pixels,
                     const int blocks, const int kernel, const int stride)
{
    const struct row_range inner = inner_columns(conv);
    int64_t                ox    = 0;

    for (; ox < inner.begin; ox++)
        stem_tile(conv, block, oy, ox, 1, blocks, 0, 0, true);
    for (; ox + pixels <= inner.end; ox += pixels)
        stem_tile(conv, block, oy, ox, pixels, blocks, kernel, stride, false);
    if (ox < inner.end && inner.end - inner.begin >= pixels) {
        /* The last tile overlaps the one before rather than being small. */
        stem_tile(conv, block, oy, inner.end - pixels, pixels, blocks, kernel, stride, false);
        ox = inner.end;
    }
    for (; ox < conv->out_width; ox++)
        stem_tile(conv, block, oy, ox, 1, blocks, 0, 0, true);
}

INLINE void stem_any(const struct kernel_conv *conv, const int kernel, const int stride)
{
    int64_t blocks = blocks_of(conv->out_channels), block = 0;

    for (; block + STEM_BLOCKS <= blocks; block += STEM_BLOCKS)
        for (int64_t oy = 0; oy < conv->out_height; oy++)
            stem_row(conv, block, oy, STEM_PIXELS, STEM_BLOCKS, kernel, stride);
    for (; block < blocks; block++)
        for (int64_t oy = 0; oy < conv->out_height; oy++)
            stem_row(conv, block, oy, STEM_PIXELS, 1, kernel, stride);
}

static void stem(const struct kernel_conv *conv)
{
    const struct window *window = &conv->window;
    bool                 square = window->kernel[0] == window->kernel[1] && window->stride[1] == 2;

    if (square && window->kernel[0] == 3)
        stem_any(conv, 3, 2);
    else if (square && window->kernel[0] == 6)
        stem_any(conv, 6, 2);
    else if (square && window->kernel[0] == 7)
        stem_any(conv, 7, 2);
    else
        stem_any(conv, 0, 0);
}
