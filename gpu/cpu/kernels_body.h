/* gpu/cpu/kernels_body.h: the kernels, written once in the compiler's vectors.
 *
 * Included by one file per instruction set, which defines KERNELS_TABLE, KERNELS_NAME, B (numbers
 * in a vector, and channels in a block), POINTWISE_BLOCKS (output blocks in one tile of the
 * pointwise kernel), STEM_BLOCKS and STEM_PIXELS (the tile of the stem; STEM_PIXELS_ALONE when it
 * has one block, STEM_PIXELS_HALF when the second is half empty), V_FMA, and the other V_ macros
 * where the machine has an instruction for them. Everything here is static: the same names in each
 * file are different code. */
#include "gpu/cpu/kernels_dense.h"
#include "gpu/cpu/kernels_number.h"

#include <float.h>
#include <string.h>

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

#define STRIP_COLUMNS 64 /* of the input: what stays in the nearest cache */

/* Output columns from `begin` to before `end` of row `oy`: the largest of each column first, then the
 * largest of neighbouring columns, so that a window of 13×13 takes 26 steps and not 169. */
INLINE void max_pool_strip(const struct kernel_pool *pool, const float *x, int64_t oy,
                           int64_t begin, int64_t end, float *y)
{
    const struct window *window = &pool->window;
    const int64_t        stride = window->stride[1], pad = window->pad_begin[1];
    const int64_t        top  = oy * window->stride[0] - window->pad_begin[0];
    int64_t              left = begin * stride - pad, right = (end - 1) * stride - pad;
    vec                  largest[STRIP_COLUMNS];
    int                  y0, y1 = taps_inside(top, pool->in_height, window->kernel[0], 1, &y0);

    left  = left > 0 ? left : 0;
    right = right + window->kernel[1] < pool->in_width ? right + window->kernel[1] : pool->in_width;
    for (int64_t column = left; column < right; column++) {
        vec most = v_all(-FLT_MAX);
        for (int ky = y0; ky < y1; ky++)
            most = V_MAX(v_load(x + ((top + ky) * pool->in_width + column) * B), most);
        largest[column - left] = most;
    }
    for (int64_t ox = begin; ox < end; ox++) {
        const int64_t from = ox * stride - pad;
        vec           most = v_all(-FLT_MAX);
        int           x0, x1 = taps_inside(from, pool->in_width, window->kernel[1], 1, &x0);
        for (int kx = x0; kx < x1; kx++)
            most = V_MAX(largest[from + kx - left], most);
        v_store(y + ox * B, most);
    }
}

static void max_pool_strips(const struct kernel_pool *pool)
{
    const struct window *window = &pool->window;
    const int64_t        width  = (STRIP_COLUMNS - window->kernel[1]) / window->stride[1] + 1;
    const int64_t        plane  = pool->in_height * pool->in_width * B;

    for (int64_t block = 0; block < pool->blocks; block++)
        for (int64_t oy = 0; oy < pool->out_height; oy++) {
            float *y = pool->y + (block * pool->out_height + oy) * pool->out_width * B;
            for (int64_t ox = 0; ox < pool->out_width; ox += width)
                max_pool_strip(pool, pool->x + block * plane, oy, ox,
                               ox + width < pool->out_width ? ox + width : pool->out_width, y);
        }
}

static void max_pool(const struct kernel_pool *pool)
{
    const struct window *window = &pool->window;

    if (window->kernel[0] > 3 && window->kernel[1] > 3 && window->kernel[1] <= STRIP_COLUMNS &&
        window->dilation[0] == 1 && window->dilation[1] == 1)
        max_pool_strips(pool);
    else
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
    else if (gather->sources == 4)
        gather_any(gather, 4);
    else if (gather->sources == 5)
        gather_any(gather, 5);
    else
        gather_any(gather, gather->sources);
}

/* Lanes of the upper and the lower of two rows after numbers `step` apart have changed places. */
#define UPPER(lane, step) (((lane) & (step)) != 0 ? B + (lane) - (step) : (lane))
#define LOWER(lane, step) (((lane) & (step)) != 0 ? B + (lane) : (lane) + (step))
#define EIGHT(row, from, step)                                                      \
    row(from, step), row(from + 1, step), row(from + 2, step), row(from + 3, step), \
        row(from + 4, step), row(from + 5, step), row(from + 6, step), row(from + 7, step)
#if B == 16
#define ALL_LANES(row, step) EIGHT(row, 0, step), EIGHT(row, 8, step)
#else
#define ALL_LANES(row, step) EIGHT(row, 0, step)
#endif
#define TRADE(rows, step)                                                                       \
    do {                                                                                        \
        for (int i = 0; i < B; i++) {                                                           \
            vec upper = (rows)[i], lower = (rows)[(i + (step)) % B];                            \
            if ((i & (step)) != 0)                                                              \
                continue;                                                                       \
            (rows)[i]          = __builtin_shufflevector(upper, lower, ALL_LANES(UPPER, step)); \
            (rows)[i + (step)] = __builtin_shufflevector(upper, lower, ALL_LANES(LOWER, step)); \
        }                                                                                       \
    } while (0)

INLINE void transpose(vec rows[B])
{
    TRADE(rows, 1);
    TRADE(rows, 2);
    TRADE(rows, 4);
#if B == 16
    TRADE(rows, 8);
#endif
}

static void from_plain(const float *x, int64_t channels, int64_t pixels, float *y)
{
    for (int64_t block = 0; block < blocks_of(channels); block++) {
        int64_t      lanes = channels - block * B < B ? channels - block * B : B, p = 0;
        const float *from = x + block * B * pixels;
        float       *to   = y + block * B * pixels;
        for (; p + B <= pixels; p += B) {
            vec rows[B];
            for (int64_t i = 0; i < B; i++)
                rows[i] = i < lanes ? v_load(from + i * pixels + p) : v_all(0.0F);
            transpose(rows);
            for (int64_t i = 0; i < B; i++)
                v_store(to + (p + i) * B, rows[i]);
        }
        for (; p < pixels; p++)
            for (int64_t i = 0; i < B; i++)
                to[p * B + i] = i < lanes ? from[i * pixels + p] : 0.0F;
    }
}

static void to_plain(const float *x, int64_t channels, int64_t pixels, int64_t pitch, float *y)
{
    for (int64_t block = 0; block < blocks_of(channels); block++) {
        int64_t      lanes = channels - block * B < B ? channels - block * B : B, p = 0;
        const float *from = x + block * B * pixels;
        float       *to   = y + block * B * pitch;
        for (; p + B <= pixels; p += B) {
            vec rows[B];
            for (int64_t i = 0; i < B; i++)
                rows[i] = v_load(from + (p + i) * B);
            transpose(rows);
            for (int64_t i = 0; i < B; i++)
                if (i < lanes)
                    v_store(to + i * pitch + p, rows[i]);
        }
        for (; p < pixels; p++)
            for (int64_t i = 0; i < lanes; i++)
                to[i * pitch + p] = from[p * B + i];
    }
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
    float     lanes[B] = {0};
    float     largest = x[0], sum = 0.0F;
    const vec scale     = v_all(1.44269504F);
    vec       v_largest = v_all(x[0]), v_sum = v_all(0.0F);
    int64_t   i = 0;

    for (; i + B <= count; i += B)
        v_largest = V_MAX(v_load(x + i), v_largest);
    v_store(lanes, v_largest);
    for (int k = 0; k < B; k++)
        largest = lanes[k] > largest ? lanes[k] : largest;
    for (int64_t k = i; k < count; k++)
        largest = x[k] > largest ? x[k] : largest;
    v_largest = v_all(largest);
    for (i = 0; i + B <= count; i += B) {
        vec e = v_exp2((v_load(x + i) - v_largest) * scale);
        v_sum = v_sum + e;
        v_store(y + i, e);
    }
    v_store(lanes, v_sum);
    for (int k = 0; k < B; k++)
        sum += lanes[k];
    if (i < count) {
        float last[B] = {0};
        memcpy(last, x + i, (size_t)(count - i) * sizeof *x);
        v_store(last, v_exp2((v_load(last) - v_largest) * scale));
        for (int64_t k = 0; k < count - i; k++)
            sum += last[k];
        memcpy(y + i, last, (size_t)(count - i) * sizeof *y);
    }
    v_sum = v_all(1.0F / sum);
    for (i = 0; i + B <= count; i += B)
        v_store(y + i, v_load(y + i) * v_sum);
    for (; i < count; i++)
        y[i] *= 1.0F / sum;
}

INLINE vec v_binary(enum binary_kind kind, vec a, vec b)
{
    const vec zero = v_all(0.0F), one = v_all(1.0F);

    switch (kind) {
    case BINARY_ADD:
        return a + b;
    case BINARY_SUBTRACT:
        return a - b;
    case BINARY_MULTIPLY:
        return a * b;
    case BINARY_DIVIDE:
        return a / b;
    case BINARY_MINIMUM:
        return V_MIN(a, b);
    case BINARY_MAXIMUM:
        return V_MAX(a, b);
    case BINARY_EQUAL:
        return v_pick((ivec)(a == b), one, zero);
    case BINARY_LESS:
        return v_pick((ivec)(a < b), one, zero);
    case BINARY_LESS_EQUAL:
        return v_pick((ivec)(a <= b), one, zero);
    case BINARY_AND:
        return v_pick((ivec)(a != zero) & (ivec)(b != zero), one, zero);
    case BINARY_OR:
        return v_pick((ivec)(a != zero) | (ivec)(b != zero), one, zero);
    case BINARY_XOR:
        return v_pick((ivec)(a != zero) ^ (ivec)(b != zero), one, zero);
    case BINARY_POWER:
    case BINARY_MODULO:
    case BINARY_REMAINDER:
        break;
    }
    for (int i = 0; i < B; i++) /* rare: by the C library */
        a[i] = graph_binary(kind, a[i], b[i]);
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

static void weigh_planes(const float *x, const float *weights, float bias, int64_t planes,
                         int64_t pixels, float *y)
{
    int64_t p = 0;

    for (; p + B <= pixels; p += B) {
        vec sum = v_all(bias);
        for (int64_t i = 0; i < planes; i++)
            sum = V_FMA(v_load(x + i * pixels + p), v_all(weights[i]), sum);
        v_store(y + p, sum);
    }
    if (p < pixels) {
        size_t rest    = (size_t)(pixels - p) * sizeof *x;
        float  last[B] = {0};
        vec    sum     = v_all(bias);
        for (int64_t i = 0; i < planes; i++) {
            memcpy(last, x + i * pixels + p, rest);
            sum = V_FMA(v_load(last), v_all(weights[i]), sum);
        }
        v_store(last, sum);
        memcpy(y + p, last, rest);
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
    .stem_pool_scratch = stem_pool_scratch,
    .stem_pool         = stem_pool,
    .winograd_scratch  = winograd_scratch,
    .winograd_weights  = winograd_weights,
    .winograd_pack     = winograd_pack,
    .winograd          = winograd,
    .max_pool          = max_pool,
    .average_pool      = average_pool,
    .mean              = mean,
    .weigh_planes      = weigh_planes,
    .gather            = gather,
    .activate          = activate,
    .softmax           = softmax,
    .softmax_columns   = softmax_columns,
    .unary             = unary,
    .sum_row           = sum_row,
    .layer_norm        = layer_norm,
    .binary            = binary,
    .binary_channel    = binary_channel,
    .from_plain        = from_plain,
    .to_plain          = to_plain,
    .to_rows           = to_rows,
};
