/* gpu/cpu/kernels_body.h: the kernels, written once in the compiler's vectors.
 *
 * Included by one file per instruction set, which defines KERNELS_TABLE, KERNELS_NAME, B (numbers
 * in a vector, and channels in a block), POINTWISE_BLOCKS (output blocks in one tile of the
 * pointwise kernel), V_FMA, and the other V_ macros where the machine has an instruction for them. Everything here is
 * static: the same names in each file are different code. */
#include "gpu/cpu/kernels.h"

#include <float.h>
#include <string.h>

typedef float   vec __attribute__((vector_size(B * 4)));
typedef int32_t ivec __attribute__((vector_size(B * 4)));

#define INLINE static inline __attribute__((always_inline))

INLINE vec v_load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void v_store(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

INLINE vec v_all(float x)
{
#ifdef V_ALL
    return V_ALL(x);
#else
    vec v;

    for (int i = 0; i < B; i++)
        v[i] = x;
    return v;
#endif
}

INLINE vec v_pick(ivec mask, vec a, vec b)
{
    return (vec)(((ivec)a & mask) | ((ivec)b & ~mask));
}

#ifndef V_MAX
#define V_MAX(a, b) v_pick((ivec)((a) > (b)), a, b)
#define V_MIN(a, b) v_pick((ivec)((a) < (b)), a, b)
#endif

#ifndef V_ROUND
INLINE vec v_round(vec x)
{
    const vec rounder = v_all(12582912.0F); /* 1.5 * 2^23: adding it rounds to an integer */

    return (x + rounder) - rounder;
}
#define V_ROUND(x) v_round(x)
#endif

#ifndef V_SCALE
/* x * 2^n for whole n within -126..127. */
INLINE vec v_scale(vec x, vec n)
{
    return (vec)((ivec)x + (__builtin_convertvector(n, ivec) << 23));
}
#define V_SCALE(x, n) v_scale(x, n)
#define V_SCALE_LIMIT 126.0F
#endif

#ifndef V_RECIPROCAL
#define V_RECIPROCAL(x) (v_all(1.0F) / (x))
#endif

/* 2^t: 2 to the whole part times a polynomial of the rest, fitted to a relative error of 1e-7. */
INLINE vec v_exp2(vec t)
{
    vec n, f, p;

#ifdef V_SCALE_LIMIT
    t = V_MAX(V_MIN(t, v_all(V_SCALE_LIMIT)), v_all(-V_SCALE_LIMIT));
#endif
    n = V_ROUND(t);
    f = t - n;
    p = v_all(0.001327647129073739F);
    p = V_FMA(p, f, v_all(0.009675540961325169F));
    p = V_FMA(p, f, v_all(0.05550713092088699F));
    p = V_FMA(p, f, v_all(0.24022120237350464F));
    p = V_FMA(p, f, v_all(0.6931469440460205F));
    p = V_FMA(p, f, v_all(1.0000001192092896F));
    return V_SCALE(p, n);
}

/* 1 / (1 + exp(-x)). */
INLINE vec v_sigmoid(vec x)
{
    return V_RECIPROCAL(v_all(1.0F) + v_exp2(x * v_all(-1.44269504F)));
}

INLINE vec v_activate(const struct activation *activation, vec x)
{
    const vec zero = v_all(0.0F), one = v_all(1.0F);
    vec       gate;

    switch (activation->kind) {
    case ACTIVATION_NONE:
        return x;
    case ACTIVATION_RELU:
        return V_MAX(x, zero) + V_MIN(x, zero) * v_all(activation->a);
    case ACTIVATION_CLIP:
        return V_MIN(V_MAX(x, v_all(activation->a)), v_all(activation->b));
    case ACTIVATION_SIGMOID:
        return v_sigmoid(x);
    case ACTIVATION_SILU:
        return x * v_sigmoid(x);
    case ACTIVATION_HARD_SIGMOID:
    case ACTIVATION_HARD_SWISH:
        gate = V_FMA(x, v_all(activation->a), v_all(activation->b));
        gate = V_MIN(V_MAX(gate, zero), one);
        return activation->kind == ACTIVATION_HARD_SWISH ? x * gate : gate;
    }
    return x;
}

INLINE vec finish(const struct kernel_conv *conv, vec sum, int64_t at)
{
    if (conv->residual_kind == RESIDUAL_BEFORE_ACTIVATION)
        sum += v_load(conv->residual + at);
    sum = v_activate(&conv->activation, sum);
    if (conv->residual_kind == RESIDUAL_AFTER_ACTIVATION)
        sum += v_load(conv->residual + at);
    return sum;
}

static int64_t blocks_of(int64_t channels)
{
    return (channels + B - 1) / B;
}

/* ---- pointwise: weights are groups of POINTWISE_BLOCKS output blocks × input lane × block × B ---- */

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

/* `pixels` neighbouring pixels of one row; rows outside the picture are left out. A kernel or stride
 * of 0 is one that is not known when this is compiled. All columns lie inside, but for a tile at an
 * edge of a picture that is as wide as its output: which taps fall outside is known beforehand. */
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

/* `pixels` neighbouring pixels of `blocks` output blocks. A kernel or stride of 0 is one that is not
 * known when this is compiled. */
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

/* ---- pools ---- */

/* The taps of a window that starts at `start` that lie inside 0..size-1: from *first to before the
 * result. */
INLINE int taps_inside(int64_t start, int64_t size, int kernel, int dilation, int *first)
{
    int before = 0, end = kernel;

    while (before < kernel && start + before * dilation < 0)
        before++;
    while (end > before && start + (end - 1) * dilation >= size)
        end--;
    *first = before;
    return end;
}

/* What an average divides by: the window without what ceil_mode adds beyond the padding. */
INLINE int64_t padded_taps(const struct kernel_pool *pool, int64_t top, int64_t left)
{
    int64_t bottom = top + pool->window.kernel[0], right = left + pool->window.kernel[1];

    if (bottom > pool->in_height + pool->window.pad_end[0])
        bottom = pool->in_height + pool->window.pad_end[0];
    if (right > pool->in_width + pool->window.pad_end[1])
        right = pool->in_width + pool->window.pad_end[1];
    return (bottom - top) * (right - left);
}

INLINE vec pool_pixel(const struct kernel_pool *pool, const float *x, int64_t top, int64_t left,
                      const bool average)
{
    const struct window *window = &pool->window;
    int y0, x0, y1 = taps_inside(top, pool->in_height, window->kernel[0], window->dilation[0], &y0);
    int x1        = taps_inside(left, pool->in_width, window->kernel[1], window->dilation[1], &x0);
    vec result    = v_all(average ? 0.0F : -FLT_MAX);
    int64_t count = 0;

    for (int ky = y0; ky < y1; ky++) {
        const float *row = x + ((top + ky * window->dilation[0]) * pool->in_width + left) * B;
        for (int kx = x0; kx < x1; kx++) {
            vec tap = v_load(row + kx * window->dilation[1] * B);
            result  = average ? result + tap : V_MAX(tap, result);
        }
    }
    if (!average)
        return result;
    if (y1 > y0 && x1 > x0)
        count = (int64_t)(y1 - y0) * (x1 - x0);
    if (window->count_padding)
        count = padded_taps(pool, top, left);
    return result / v_all((float)(count > 0 ? count : 1));
}

INLINE void pool_any(const struct kernel_pool *pool, const bool average)
{
    const struct window *window = &pool->window;
    float               *y      = pool->y;

    for (int64_t block = 0; block < pool->blocks; block++)
        for (int64_t oy = 0; oy < pool->out_height; oy++)
            for (int64_t ox = 0; ox < pool->out_width; ox++) {
                v_store(y, pool_pixel(pool, pool->x + block * pool->in_height * pool->in_width * B,
                                      oy * window->stride[0] - window->pad_begin[0],
                                      ox * window->stride[1] - window->pad_begin[1], average));
                y += B;
            }
}

static void max_pool(const struct kernel_pool *pool)
{
    pool_any(pool, false);
}

static void average_pool(const struct kernel_pool *pool)
{
    pool_any(pool, true);
}

static void mean(const float *x, int64_t blocks, int64_t pixels, float *y)
{
    for (int64_t block = 0; block < blocks; block++) {
        vec sum[4] = {v_all(0.0F), v_all(0.0F), v_all(0.0F), v_all(0.0F)};
        for (int64_t p = 0; p < pixels; p++)
            sum[p & 3] += v_load(x + (block * pixels + p) * B);
        v_store(y + block * B, (sum[0] + sum[1] + sum[2] + sum[3]) / v_all((float)pixels));
    }
}

/* ---- lanes ---- */

#ifndef V_PERMUTE
INLINE vec v_permute(vec x, ivec lanes)
{
    vec y;

    for (int i = 0; i < B; i++)
        y[i] = x[lanes[i]];
    return y;
}
#define V_PERMUTE(x, lanes) v_permute(x, lanes)
#endif

INLINE void gather_any(const struct kernel_gather *gather, const int sources)
{
    ivec lanes, mask[KERNELS_MAX_BLOCK] = {0};

    memcpy(&lanes, gather->lane, sizeof lanes);
    for (int i = 0; i < B; i++)
        mask[gather->source[i]][i] = -1;
    for (int64_t p = 0; p < gather->pixels; p++) {
        ivec y = {0};
        for (int i = 0; i < sources; i++)
            y |= (ivec)V_PERMUTE(v_load(gather->x[i] + p * B), lanes) & mask[i];
        v_store(gather->y + p * B, (vec)y);
    }
}

static void gather(const struct kernel_gather *gather)
{
    if (gather->sources == 1)
        gather_any(gather, 1);
    else if (gather->sources == 2)
        gather_any(gather, 2);
    else if (gather->sources == 3)
        gather_any(gather, 3);
    else
        gather_any(gather, gather->sources);
}

static void from_plain(const float *x, int64_t channels, int64_t pixels, float *y)
{
    for (int64_t block = 0; block < blocks_of(channels); block++) {
        int64_t lanes = channels - block * B < B ? channels - block * B : B;
        for (int64_t p = 0; p < pixels; p++) {
            float *to = y + (block * pixels + p) * B;
            for (int64_t i = 0; i < lanes; i++)
                to[i] = x[(block * B + i) * pixels + p];
            for (int64_t i = lanes; i < B; i++)
                to[i] = 0.0F;
        }
    }
}

static void to_plain(const float *x, int64_t channels, int64_t pixels, float *y)
{
    for (int64_t c = 0; c < channels; c++)
        for (int64_t p = 0; p < pixels; p++)
            y[c * pixels + p] = x[(c / B * pixels + p) * B + c % B];
}

static void to_rows(const float *x, int64_t channels, int64_t pixels, float *y, int64_t row)
{
    for (int64_t block = 0; block < blocks_of(channels); block++) {
        int64_t lanes = channels - block * B < B ? channels - block * B : B;
        for (int64_t p = 0; p < pixels; p++) {
            const float *from = x + (block * pixels + p) * B;
            float       *to   = y + p * row + block * B;
            if (lanes == B) {
                v_store(to, v_load(from));
                continue;
            }
            for (int64_t i = 0; i < lanes; i++)
                to[i] = from[i];
        }
    }
}

/* ---- number by number ---- */

static void activate(const struct activation *activation, const float *x, float *y, int64_t count)
{
    int64_t i = 0;

    for (; i + B <= count; i += B)
        v_store(y + i, v_activate(activation, v_load(x + i)));
    if (i < count) {
        float last[B] = {0};
        memcpy(last, x + i, (size_t)(count - i) * sizeof *x);
        v_store(last, v_activate(activation, v_load(last)));
        memcpy(y + i, last, (size_t)(count - i) * sizeof *x);
    }
}

static void softmax(const float *x, float *y, int64_t count)
{
    float largest = x[0], sum = 0.0F;

    for (int64_t i = 1; i < count; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (int64_t i = 0; i < count; i += B) {
        int64_t lanes   = count - i < B ? count - i : B;
        float   part[B] = {0};
        memcpy(part, x + i, (size_t)lanes * sizeof *x);
        v_store(part, v_exp2((v_load(part) - v_all(largest)) * v_all(1.44269504F)));
        for (int64_t k = 0; k < lanes; k++)
            sum += part[k];
        memcpy(y + i, part, (size_t)lanes * sizeof *y);
    }
    for (int64_t i = 0; i < count; i++)
        y[i] /= sum;
}

INLINE vec v_binary(enum binary_kind kind, vec a, vec b)
{
    switch (kind) {
    case BINARY_ADD:
        return a + b;
    case BINARY_SUBTRACT:
        return a - b;
    case BINARY_MULTIPLY:
        return a * b;
    case BINARY_DIVIDE:
        return a / b;
    }
    return a;
}

static void binary(enum binary_kind kind, const struct activation *activation, const float *a,
                   int64_t step_a, const float *b, int64_t step_b, float *y, int64_t count)
{
    int64_t i = 0;

    for (; i + B <= count; i += B) {
        vec va = step_a == 0 ? v_all(a[0]) : v_load(a + i);
        vec vb = step_b == 0 ? v_all(b[0]) : v_load(b + i);
        v_store(y + i, v_activate(activation, v_binary(kind, va, vb)));
    }
    if (i < count) {
        float last_a[B], last_b[B], last_y[B];
        for (int64_t k = 0; k < B; k++) {
            int64_t at = i + k < count ? i + k : count - 1;
            last_a[k]  = a[step_a == 0 ? 0 : at];
            last_b[k]  = b[step_b == 0 ? 0 : at];
        }
        v_store(last_y, v_activate(activation, v_binary(kind, v_load(last_a), v_load(last_b))));
        memcpy(y + i, last_y, (size_t)(count - i) * sizeof *y);
    }
}

static void binary_channel(enum binary_kind kind, const struct activation *activation,
                           const float *a, const float *b, int64_t blocks, int64_t pixels, float *y)
{
    for (int64_t block = 0; block < blocks; block++) {
        vec vb = v_load(b + block * B);
        for (int64_t p = 0; p < pixels; p++) {
            int64_t at = (block * pixels + p) * B;
            v_store(y + at, v_activate(activation, v_binary(kind, v_load(a + at), vb)));
        }
    }
}

const struct kernels KERNELS_TABLE = {
    .name              = KERNELS_NAME,
    .block             = B,
    .pointwise_weights = pointwise_weights,
    .pointwise_pack    = pointwise_pack,
    .pointwise         = pointwise,
    .depthwise         = depthwise,
    .stem              = stem,
    .max_pool          = max_pool,
    .average_pool      = average_pool,
    .mean              = mean,
    .gather            = gather,
    .activate          = activate,
    .softmax           = softmax,
    .binary            = binary,
    .binary_channel    = binary_channel,
    .from_plain        = from_plain,
    .to_plain          = to_plain,
    .to_rows           = to_rows,
};
