/* 8-bit kernels for 64-bit ARM.
 *
 * Its dot products take bytes of one sign only (the mixed one is compiled in where the machine is
 * said to have it), so 128 is taken from the codes, and 128 × the sum of the weights is added to the
 * sums again: exact, as two products of 128 × 127 fit into 16 bits too, where a machine has no dot
 * product at all. */
#if defined(__aarch64__)
#include "gpu/cpu/int8.h"

#include <arm_neon.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

#define TILE_PIXELS  4
#define WINDOW_ROWS  8 /* of a depthwise window, filled up to whole quads */
#define WINDOW_WIDTH 16
#define CODES_MIDDLE 128

/* sum + four products in each of 4 lanes; both signed, weights not -128 */
INLINE int32x4_t dot_signed(int32x4_t sum, int8x16_t x, int8x16_t weights)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, x, weights);
#else
    const int16x8_t low  = vmull_s8(vget_low_s8(x), vget_low_s8(weights));
    const int16x8_t high = vmull_high_s8(x, weights);

    return vpadalq_s16(sum, vpaddq_s16(low, high));
#endif
}

/* ---- what follows the sums: one pixel, 16 channels ---- */

struct words {
    int16x8_t half[2];
};

struct finisher {
    const struct int8_finish *finish;
    /* The curve's numbers, split into bytes. */
    uint8x16x4_t base_low, base_high, slope_low, slope_high;
};

static void prepare_finish(struct finisher *f, const struct int8_finish *finish)
{
    uint8x16x4_t *const planes[] = {&f->base_low, &f->base_high, &f->slope_low, &f->slope_high};
    uint8_t             bytes[4][INT8_CURVE_SEGMENTS];

    memset(f, 0, sizeof *f);
    f->finish = finish;
    if (finish->curve == NULL)
        return;
    for (int i = 0; i < INT8_CURVE_SEGMENTS; i++) {
        bytes[0][i] = (uint8_t)finish->curve->base[i];
        bytes[1][i] = (uint8_t)((uint16_t)finish->curve->base[i] >> 8);
        bytes[2][i] = (uint8_t)finish->curve->slope[i];
        bytes[3][i] = (uint8_t)((uint16_t)finish->curve->slope[i] >> 8);
    }
    for (int p = 0; p < 4; p++)
        for (int k = 0; k < 4; k++)
            planes[p]->val[k] = vld1q_u8(bytes[p] + k * 16);
}

INLINE void curve_of(const struct finisher *f, struct words *v)
{
    const uint8x16_t segment = vcombine_u8(
        vmovn_u16(vshrq_n_u16(vreinterpretq_u16_s16(v->half[0]), 10)),
        vmovn_u16(vshrq_n_u16(vreinterpretq_u16_s16(v->half[1]), 10)));
    const uint8x16_t base_low   = vqtbl4q_u8(f->base_low, segment);
    const uint8x16_t base_high  = vqtbl4q_u8(f->base_high, segment);
    const uint8x16_t slope_low  = vqtbl4q_u8(f->slope_low, segment);
    const uint8x16_t slope_high = vqtbl4q_u8(f->slope_high, segment);
    const int16x8_t  base[2]    = {vreinterpretq_s16_u8(vzip1q_u8(base_low, base_high)),
                                   vreinterpretq_s16_u8(vzip2q_u8(base_low, base_high))};
    const int16x8_t  slope[2]   = {vreinterpretq_s16_u8(vzip1q_u8(slope_low, slope_high)),
                                   vreinterpretq_s16_u8(vzip2q_u8(slope_low, slope_high))};

    for (int h = 0; h < 2; h++)
        v->half[h] = vqaddq_s16(base[h], vqrdmulhq_s16(slope[h], v->half[h]));
}

/* `line` is the sum's other form; `residual` may be NULL. */
INLINE void bend(const struct finisher *f, int64_t channel, const uint8_t *residual,
                 struct words *v, const struct words *line)
{
    const struct int8_finish *finish = f->finish;
    const bool                after  = finish->residual_gain != NULL && !finish->residual_first;
    int16x8_t                 add[2] = {vdupq_n_s16(0), vdupq_n_s16(0)};

    if (finish->residual_gain != NULL && residual != NULL)
        for (int h = 0; h < 2; h++)
            add[h] = vqrdmulhq_s16(vreinterpretq_s16_u16(vshll_n_u8(vld1_u8(residual + h * 8), 7)),
                                   vld1q_s16(finish->residual_gain + channel + h * 8));
    if (finish->residual_first)
        for (int h = 0; h < 2; h++)
            v->half[h] = vqaddq_s16(v->half[h], add[h]);
    curve_of(f, v);
    for (int h = 0; h < 2; h++) {
        int16x8_t x = vqrdmulhq_s16(v->half[h], vld1q_s16(finish->gain + channel + h * 8));
        x           = vqaddq_s16(x, vld1q_s16(finish->zero + channel + h * 8));
        if (finish->line_scale != NULL)
            x = vqaddq_s16(x, vmaxq_s16(line->half[h], vdupq_n_s16(0)));
        if (after)
            x = vqaddq_s16(x, add[h]);
        if (after || finish->line_scale != NULL)
            x = vqrdmulhq_s16(x, vdupq_n_s16((1 << 15) / INT8_FRACTION));
        v->half[h] = x;
    }
}

INLINE float32x4_t scale_sums(int32x4_t sums, const float *scale, const float *bias)
{
    return vfmaq_f32(vld1q_f32(bias), vcvtq_f32_s32(sums), vld1q_f32(scale));
}

INLINE struct words round_pixel(const int32x4_t sums[4], const float *scale, const float *bias)
{
    struct words v;

    for (int h = 0; h < 2; h++)
        v.half[h] = vcombine_s16(
            vqmovn_s32(vcvtnq_s32_f32(scale_sums(sums[2 * h], scale + 8 * h, bias + 8 * h))),
            vqmovn_s32(
                vcvtnq_s32_f32(scale_sums(sums[2 * h + 1], scale + 8 * h + 4, bias + 8 * h + 4))));
    return v;
}

/* One pixel's codes. */
INLINE void store_codes(const struct finisher *f, int64_t channel, const int32x4_t sums[4],
                        const uint8_t *residual, uint8_t *y)
{
    const struct int8_finish *finish = f->finish;
    struct words v    = round_pixel(sums, finish->scale + channel, finish->bias + channel);
    struct words line = {{vdupq_n_s16(0), vdupq_n_s16(0)}};

    if (finish->line_scale != NULL)
        line = round_pixel(sums, finish->line_scale + channel, finish->line_bias + channel);
    if (finish->curve != NULL)
        bend(f, channel, residual, &v, &line);
    vst1q_u8(y, vcombine_u8(vqmovun_s16(v.half[0]), vqmovun_s16(v.half[1])));
}

/* ---- dense convolutions ---- */

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

INLINE void tile_sums(const struct spot *spot, const int pixels, int32x4_t sums[][4])
{
    const int32_t *steps   = spot->conv->steps;
    const int64_t  stride  = spot->conv->pixel_bytes;
    const int8_t  *weights = spot->weights;
    int32x4_t      all[4]; /* the weights' own sums */

    for (int i = 0; i < 4; i++) {
        all[i] = vdupq_n_s32(0);
        for (int p = 0; p < pixels; p++)
            sums[p][i] = vdupq_n_s32(0);
    }
    for (int k = 0; k < spot->conv->step_count; k++, weights += spot->weight_step) {
        const uint8_t *x = spot->x + steps[k];
        int8x16_t      w[4];
        for (int i = 0; i < 4; i++)
            w[i] = vld1q_s8(weights + i * 16);
#if !defined(__ARM_FEATURE_MATMUL_INT8)
        for (int i = 0; i < 4; i++)
            all[i] = dot_signed(all[i], vdupq_n_s8(1), w[i]);
#endif
        for (int p = 0; p < pixels; p++) {
            uint32_t four;
            memcpy(&four, x + p * stride, sizeof four);
#if defined(__ARM_FEATURE_MATMUL_INT8)
            const uint8x16_t same = vreinterpretq_u8_u32(vdupq_n_u32(four));
            for (int i = 0; i < 4; i++)
                sums[p][i] = vusdotq_s32(sums[p][i], same, w[i]);
#else
            const int8x16_t same = vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080U));
            for (int i = 0; i < 4; i++)
                sums[p][i] = dot_signed(sums[p][i], same, w[i]);
#endif
        }
    }
    for (int p = 0; p < pixels; p++)
        for (int i = 0; i < 4; i++)
            sums[p][i] = vmlaq_n_s32(sums[p][i], all[i], CODES_MIDDLE);
}

INLINE void tile(const struct spot *spot, const int pixels)
{
    const struct int8_conv *conv    = spot->conv;
    const int64_t           channel = spot->block * INT8_BLOCK;
    const int64_t           at = (spot->block * conv->rows * conv->columns + spot->at) * INT8_BLOCK;
    int32x4_t               sums[TILE_PIXELS][4];

    tile_sums(spot, pixels, sums);
    for (int p = 0; p < pixels; p++) {
        const int64_t to = at + p * INT8_BLOCK;
        if (conv->floats == NULL) {
            store_codes(spot->finisher, channel, sums[p],
                        conv->residual != NULL ? conv->residual + to : NULL, conv->y + to);
            continue;
        }
        for (int i = 0; i < 4; i++)
            vst1q_f32(conv->floats + to + 4 * i,
                      scale_sums(sums[p][i], conv->finish.scale + channel + 4 * i,
                                 conv->finish.bias + channel + 4 * i));
    }
}

static void tile_of(const struct spot *spot, int64_t pixels)
{
    switch (pixels) {
    case 4:
        tile(spot, 4);
        break;
    case 3:
        tile(spot, 3);
        break;
    case 2:
        tile(spot, 2);
        break;
    default:
        tile(spot, 1);
        break;
    }
}

/* Bytes of the input, and so rows of the output, that stay near over all blocks. */
#define BAND_BYTES 131072

struct band {
    int64_t top, bottom, left, right;
};

static void conv_block(const struct int8_conv *conv, struct spot *spot, const struct band *band)
{
    const int64_t width = band->right - band->left;
    const int64_t tiles = (width + TILE_PIXELS - 1) / TILE_PIXELS;
    const int64_t each  = (width + tiles - 1) / tiles; /* of about one size */

    for (int64_t row = band->top; row < band->bottom; row++)
        for (int64_t column = band->left; column < band->right; column += each) {
            /* The last tile reaches back over what is there already. */
            int64_t at = column + each > band->right ? band->right - each : column;
            spot->x    = conv->x + row * conv->row_bytes + at * conv->pixel_bytes;
            spot->at   = row * conv->columns + at;
            tile_of(spot, each);
        }
}

static void conv_band(const struct int8_conv *conv, const struct finisher *finisher,
                      const struct band *band)
{
    struct spot spot = {.conv = conv, .finisher = finisher};
    int         group;

    for (int64_t first = 0; first < conv->out_blocks; first += group) {
        group            = int8_group(conv->out_blocks, first);
        spot.weight_step = (int64_t)group * INT8_BLOCK * INT8_QUAD;
        for (int b = 0; b < group; b++) {
            spot.block   = first + b;
            spot.weights = conv->weights + int8_conv_weights(first, conv->step_count) +
                           (int64_t)b * INT8_BLOCK * INT8_QUAD;
            conv_block(conv, &spot, band);
        }
    }
}

static void neon_conv(const struct int8_conv *conv)
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

/* ---- each channel by itself ---- */

/* The weights of one block: by row and column of the window. */
struct taps {
    int16x8_t weight[WINDOW_ROWS][WINDOW_WIDTH][2];
};

static void unpack_taps(const struct int8_depthwise *conv, int64_t block, struct taps *taps)
{
    const struct window *window = &conv->window;
    /* Turn 0: the window begins with the first row of a group. */
    const int8_t *weights = conv->weights + int8_depthwise_weights(block, window);

    for (int ky = 0; ky < window->kernel[0]; ky += INT8_QUAD)
        for (int kx = 0; kx < window->kernel[1]; kx++, weights += INT8_BLOCK * INT8_QUAD) {
            const int8x16x4_t rows = vld4q_s8(weights);
            for (int i = 0; i < INT8_QUAD; i++) {
                taps->weight[ky + i][kx][0] = vmovl_s8(vget_low_s8(rows.val[i]));
                taps->weight[ky + i][kx][1] = vmovl_high_s8(rows.val[i]);
            }
        }
}

INLINE void add_tap(int32x4_t sums[4], const uint8_t *x, const int16x8_t weight[2])
{
    const uint8x16_t codes = vld1q_u8(x);
    const int16x8_t  low   = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(codes)));
    const int16x8_t  high  = vreinterpretq_s16_u16(vmovl_high_u8(codes));

    sums[0] = vmlal_s16(sums[0], vget_low_s16(low), vget_low_s16(weight[0]));
    sums[1] = vmlal_high_s16(sums[1], low, weight[0]);
    sums[2] = vmlal_s16(sums[2], vget_low_s16(high), vget_low_s16(weight[1]));
    sums[3] = vmlal_high_s16(sums[3], high, weight[1]);
}

static void depthwise_pixel(const struct int8_depthwise *conv, const struct taps *taps,
                            int64_t block, int64_t row, int64_t column, int32x4_t sums[4])
{
    const struct window *window = &conv->window;
    const uint8_t       *x      = conv->x + block * conv->in_height * conv->in_width * INT8_BLOCK;
    const uint8_t       *zero   = conv->zero + block * INT8_BLOCK;
    const int64_t        left   = column * window->stride[1] - window->pad_begin[1];

    for (int i = 0; i < 4; i++)
        sums[i] = vdupq_n_s32(0);
    for (int ky = 0; ky < window->kernel[0]; ky++) {
        int64_t y       = row * window->stride[0] - window->pad_begin[0] + ky;
        bool    outside = y < 0 || y >= conv->in_height;
        for (int kx = 0; kx < window->kernel[1]; kx++) {
            int64_t at = left + kx;
            add_tap(sums,
                    outside || at < 0 || at >= conv->in_width
                        ? zero
                        : x + (y * conv->in_width + at) * INT8_BLOCK,
                    taps->weight[ky][kx]);
        }
    }
}

static void neon_depthwise(const struct int8_depthwise *conv)
{
    struct finisher finisher;
    struct taps     taps;
    int64_t         at = 0;

    prepare_finish(&finisher, &conv->finish);
    for (int64_t block = 0; block < conv->blocks; block++) {
        unpack_taps(conv, block, &taps);
        for (int64_t row = 0; row < conv->out_height; row++)
            for (int64_t column = 0; column < conv->out_width; column++, at += INT8_BLOCK) {
                int32x4_t sums[4];
                depthwise_pixel(conv, &taps, block, row, column, sums);
                store_codes(&finisher, block * INT8_BLOCK, sums,
                            conv->residual != NULL ? conv->residual + at : NULL, conv->y + at);
            }
    }
}

/* ---- moving codes, and to and from floats ---- */

static void neon_stem(const struct int8_stem *stem)
{
    INT8_PLAIN.stem(stem); /* little work, and the compiler's vectors do */
}

static void neon_max_pool(const struct int8_pool *pool)
{
    const struct window *window = &pool->window;
    uint8_t             *to     = pool->y;

    for (int64_t block = 0; block < pool->blocks; block++)
        for (int64_t row = 0; row < pool->out_height; row++)
            for (int64_t column = 0; column < pool->out_width; column++, to += INT8_BLOCK) {
                uint8x16_t most = vdupq_n_u8(0);
                for (int k = 0; k < window->kernel[0] * window->kernel[1]; k++) {
                    int64_t y = row * window->stride[0] - window->pad_begin[0] +
                                (int64_t)(k / window->kernel[1]) * window->dilation[0];
                    int64_t x = column * window->stride[1] - window->pad_begin[1] +
                                (int64_t)(k % window->kernel[1]) * window->dilation[1];
                    if (y >= 0 && y < pool->in_height && x >= 0 && x < pool->in_width)
                        most = vmaxq_u8(
                            most, vld1q_u8(pool->x +
                                           ((block * pool->in_height + y) * pool->in_width + x) *
                                               INT8_BLOCK));
                }
                vst1q_u8(to, most);
            }
}

static void neon_gather(const struct int8_gather *gather)
{
    uint8_t pick[INT8_BLOCK][INT8_BLOCK];

    for (int s = 0; s < gather->sources; s++)
        for (int i = 0; i < INT8_BLOCK; i++)
            pick[s][i] = gather->source[i] == s ? gather->lane[i] : 0xff; /* 0xff gives 0 */
    for (int64_t p = 0; p < gather->pixels; p++) {
        uint8x16_t all = vdupq_n_u8(0);
        for (int s = 0; s < gather->sources; s++)
            all = vorrq_u8(all,
                           vqtbl1q_u8(vld1q_u8(gather->x[s] + p * INT8_BLOCK), vld1q_u8(pick[s])));
        vst1q_u8(gather->y + p * INT8_BLOCK, all);
    }
}

static void neon_from_floats(const float *x, const float *scale, const float *zero, int64_t pixels,
                             uint8_t *y)
{
    for (int64_t p = 0; p < pixels; p++, x += INT8_BLOCK, y += INT8_BLOCK) {
        int16x4_t part[4];
        for (int i = 0; i < 4; i++)
            part[i] = vqmovn_s32(vcvtnq_s32_f32(vfmaq_f32(
                vld1q_f32(zero + 4 * i), vld1q_f32(x + 4 * i), vld1q_f32(scale + 4 * i))));
        vst1q_u8(y, vcombine_u8(vqmovun_s16(vcombine_s16(part[0], part[1])),
                                vqmovun_s16(vcombine_s16(part[2], part[3]))));
    }
}

static void neon_to_floats(const uint8_t *x, const float *scale, const float *zero, int64_t pixels,
                           float *y)
{
    for (int64_t p = 0; p < pixels; p++)
        for (int i = 0; i < INT8_BLOCK; i++)
            y[p * INT8_BLOCK + i] = ((float)x[p * INT8_BLOCK + i] - zero[i]) * scale[i];
}

const struct int8_kernels INT8_NEON = {
    .name        = "neon_int8",
    .conv        = neon_conv,
    .depthwise   = neon_depthwise,
    .pad         = int8_pad_rows,
    .stem        = neon_stem,
    .max_pool    = neon_max_pool,
    .gather      = neon_gather,
    .from_floats = neon_from_floats,
    .to_floats   = neon_to_floats,
};
#else
typedef int int8_neon_not_for_this_machine;
#endif
