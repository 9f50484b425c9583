// links: gpu
// The 8-bit kernels of this machine give the same bytes as the plain ones, over random shapes.
#include "gpu/cpu/int8.h"

#include "tests/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TRIALS 60

static uint64_t random_state = 88172645463325252U;

static int64_t pick(int64_t low, int64_t high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (int64_t)(random_state >> 11) % (high - low + 1);
}

static void *bytes_of(int64_t count)
{
    uint8_t *bytes = malloc((size_t)count + 1);

    if (bytes == NULL)
        abort();
    for (int64_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)pick(0, 255);
    return bytes;
}

/* Weights: the byte -128 is none. */
static int8_t *weights_of(int64_t count)
{
    int8_t *weights = bytes_of(count);

    for (int64_t i = 0; i < count; i++)
        weights[i] = weights[i] == INT8_MIN ? INT8_MAX : weights[i];
    return weights;
}

static float *floats_of(int64_t count, float low, float high)
{
    float *floats = malloc(((size_t)count + 1) * sizeof *floats);

    if (floats == NULL)
        abort();
    for (int64_t i = 0; i < count; i++)
        floats[i] = low + (high - low) * (float)pick(0, 1000000) / 1e6F;
    return floats;
}

static int16_t *words_of(int64_t count, int64_t low, int64_t high)
{
    int16_t *words = malloc(((size_t)count + 1) * sizeof *words);

    if (words == NULL)
        abort();
    for (int64_t i = 0; i < count; i++)
        words[i] = (int16_t)pick(low, high);
    return words;
}

static const struct activation SILU = {.kind = ACTIVATION_SILU};

/* Numbers with which about all codes appear, and some saturate. */
static struct int8_finish random_finish(int64_t lanes, int products, bool curve, bool residual,
                                        struct int8_curve *made)
{
    float              spread = 30000.0F / (9000.0F * sqrtf((float)products) * 2);
    float              range;
    struct int8_finish finish = {.bias = floats_of(lanes, -3000, 3000)};

    if (!curve)
        spread /= 128;
    finish.scale = floats_of(lanes, spread / 2, spread * 2);
    if (curve) {
        int8_curve_make(&SILU, pick(0, 1) == 1, 8.0F, &range, made);
        if (pick(0, 1) == 1) {
            finish.line_scale = floats_of(lanes, spread / 64, spread / 8);
            finish.line_bias  = floats_of(lanes, -500, 500);
        }
        finish.curve = made;
        finish.gain  = words_of(lanes, 100, residual ? 4000 : 600);
        finish.zero  = words_of(lanes, 0, 60);
    }
    if (residual) {
        finish.residual_gain  = words_of(lanes, 500, 9000);
        finish.residual_first = pick(0, 1) == 1;
    }
    return finish;
}

static void free_finish(struct int8_finish *finish)
{
    free((void *)(uintptr_t)finish->scale);
    free((void *)(uintptr_t)finish->bias);
    free((void *)(uintptr_t)finish->line_scale);
    free((void *)(uintptr_t)finish->line_bias);
    free((void *)(uintptr_t)finish->gain);
    free((void *)(uintptr_t)finish->zero);
    free((void *)(uintptr_t)finish->residual_gain);
}

/* True when a convolution gives the same on both. */
static bool try_conv(const struct int8_kernels *kernels, int trial)
{
    bool              curve = trial % 2 == 0, residual = trial % 4 == 0, stem = trial % 7 == 3;
    bool              floats = trial % 5 == 1, flat = trial % 3 == 0;
    int64_t           in_blocks = stem ? 1 : pick(1, 5), kernel = flat ? 1 : pick(1, 4);
    int               pixel = stem ? 4 : 16, quads = pixel / 4;
    struct int8_curve made;
    struct int8_conv  conv  = {.out_blocks  = pick(1, 6),
                               .rows        = flat ? 1 : pick(1, 9),
                               .columns     = pick(1, flat ? 300 : 40),
                               .pixel_bytes = pixel};
    int64_t           width = conv.columns + kernel - 1, height = conv.rows + kernel - 1;
    int64_t           count = conv.out_blocks * conv.rows * conv.columns * INT8_BLOCK, k = 0;
    size_t            size = (size_t)count * (floats ? sizeof(float) : 1);
    void    *x = bytes_of(in_blocks * width * height * pixel), *expected, *got, *more = NULL;
    int32_t *steps = calloc((size_t)(in_blocks * kernel * kernel * quads), sizeof *steps);
    bool     same;

    for (int64_t block = 0; block < in_blocks; block++)
        for (int64_t tap = 0; tap < kernel * kernel; tap++)
            for (int64_t q = 0; q < quads; q++)
                steps[k++] = (int32_t)(((block * height + tap / kernel) * width + tap % kernel) *
                                           pixel +
                                       q * 4);
    conv.step_count = (int)k;
    conv.steps      = steps;
    conv.row_bytes  = width * pixel;
    conv.x          = x;
    int8_t *weights = weights_of(int8_conv_weights(conv.out_blocks, conv.step_count));
    conv.weights    = weights;
    conv.finish = random_finish(conv.out_blocks * INT8_BLOCK, conv.step_count * 4, curve, residual,
                                &made);
    if (residual)
        conv.residual = more = bytes_of(count);
    expected    = calloc(size, 1);
    got         = calloc(size, 1);
    conv.y      = floats ? NULL : expected;
    conv.floats = floats ? expected : NULL;
    INT8_PLAIN.conv(&conv);
    conv.y      = floats ? NULL : got;
    conv.floats = floats ? got : NULL;
    kernels->conv(&conv);
    same = memcmp(expected, got, size) == 0;
    free(steps);
    free(x);
    free(weights);
    free(more);
    free(expected);
    free(got);
    free_finish(&conv.finish);
    return same;
}

static bool try_depthwise(const struct int8_kernels *kernels, int trial)
{
    bool                  curve = trial % 2 == 0, residual = trial % 4 == 0;
    int                   side = (int)pick(1, 7), stride = (int)pick(1, 3);
    struct int8_curve     made;
    struct int8_depthwise conv  = {.blocks    = pick(1, 3),
                                   .in_height = pick(side, 30),
                                   .in_width  = pick(side, 70),
                                   .window    = {.kernel    = {side, (int)pick(1, 7)},
                                                 .stride    = {(int)pick(1, 2), stride},
                                                 .pad_begin = {side / 2, (int)pick(0, 3)}}};
    int64_t               lanes = conv.blocks * INT8_BLOCK, taps = side * conv.window.kernel[1];
    int8_t               *plain_weights = weights_of(lanes * taps);
    int8_t *weights = malloc((size_t)int8_depthwise_weights(conv.blocks, &conv.window));
    bool    same;

    conv.out_height = (conv.in_height + side / 2 - 1) / conv.window.stride[0] + 1;
    conv.out_width  = (conv.in_width + 1) / stride + 1;
    int8_depthwise_pack(plain_weights, conv.blocks, &conv.window, weights);
    int64_t count = lanes * conv.out_height * conv.out_width;
    void   *x = bytes_of(lanes * conv.in_height * conv.in_width), *more = NULL;
    void   *zero = bytes_of(lanes), *expected = calloc((size_t)count, 1);
    void   *got  = calloc((size_t)count, 1);
    conv.x       = x;
    conv.zero    = zero;
    conv.weights = weights;
    conv.finish  = random_finish(lanes, (int)taps, curve, residual, &made);
    conv.scratch = malloc((size_t)int8_depthwise_scratch(&conv));
    if (residual)
        conv.residual = more = bytes_of(count);
    conv.y = expected;
    INT8_PLAIN.depthwise(&conv);
    conv.y = got;
    kernels->depthwise(&conv);
    same = memcmp(expected, got, (size_t)count) == 0;
    free(plain_weights);
    free(weights);
    free(x);
    free(zero);
    free(more);
    free(expected);
    free(got);
    free(conv.scratch);
    free_finish(&conv.finish);
    return same;
}

static bool try_pad(const struct int8_kernels *kernels)
{
    struct int8_pad pad = {.blocks    = pick(1, 3),
                           .in_height = pick(1, 20),
                           .in_width  = pick(1, 40),
                           .top       = (int)pick(0, 3),
                           .left      = (int)pick(0, 3),
                           .stride    = (int)pick(1, 3)};
    pad.out_height      = pad.in_height + pad.top + pick(-1, 3);
    pad.out_width       = (pad.in_width + pad.left + pick(0, 3)) / pad.stride * pad.stride;
    if (pad.out_height < 1 || pad.out_width < pad.stride || pad.out_width < pad.left)
        return true;
    int64_t count = pad.blocks * pad.out_height * pad.out_width * INT8_BLOCK;
    void   *x     = bytes_of(pad.blocks * pad.in_height * pad.in_width * INT8_BLOCK);
    void   *zero = bytes_of(pad.blocks * INT8_BLOCK), *expected = bytes_of(count);
    void   *got = bytes_of(count);
    bool    same;

    pad.x    = x;
    pad.zero = zero;
    pad.y    = expected;
    INT8_PLAIN.pad(&pad);
    pad.y = got;
    kernels->pad(&pad);
    same = memcmp(expected, got, (size_t)count) == 0;
    free(x);
    free(zero);
    free(expected);
    free(got);
    return same;
}

static bool try_stem(const struct int8_kernels *kernels)
{
    struct int8_stem stem = {.channels  = pick(1, 4),
                             .in_height = pick(1, 20),
                             .in_width  = pick(1, 70),
                             .top       = (int)pick(0, 3),
                             .left      = (int)pick(0, 3),
                             .stride    = (int)pick(1, 3),
                             .scale     = 0.9F,
                             .zero      = 3.0F};
    stem.out_height       = stem.in_height + stem.top + pick(0, 3);
    stem.out_width        = (stem.in_width + stem.left + 2) / stem.stride * stem.stride;
    int64_t count         = stem.out_height * stem.out_width * 4;
    float  *x             = floats_of(stem.channels * stem.in_height * stem.in_width, -20, 300);
    void   *expected = bytes_of(count), *got = bytes_of(count);
    bool    same;

    stem.x = x;
    stem.y = expected;
    INT8_PLAIN.stem(&stem);
    stem.y = got;
    kernels->stem(&stem);
    same = memcmp(expected, got, (size_t)count) == 0;
    free(x);
    free(expected);
    free(got);
    return same;
}

static bool try_pool(const struct int8_kernels *kernels)
{
    int              side = (int)pick(1, 5), stride = (int)pick(1, 2), dilation = (int)pick(1, 2);
    struct int8_pool pool = {.blocks    = pick(1, 3),
                             .in_height = pick(1, 20),
                             .in_width  = pick(1, 30),
                             .window    = {.kernel    = {side, side},
                                           .stride    = {stride, stride},
                                           .dilation  = {dilation, dilation},
                                           .pad_begin = {side / 2, side / 2}}};
    pool.out_height       = (pool.in_height - 1) / stride + 1;
    pool.out_width        = (pool.in_width - 1) / stride + 1;
    int64_t count         = pool.blocks * pool.out_height * pool.out_width * INT8_BLOCK;
    void   *x             = bytes_of(pool.blocks * pool.in_height * pool.in_width * INT8_BLOCK);
    void   *expected = bytes_of(count), *got = bytes_of(count);
    bool    same;

    pool.x = x;
    pool.y = expected;
    INT8_PLAIN.max_pool(&pool);
    pool.y = got;
    kernels->max_pool(&pool);
    same = memcmp(expected, got, (size_t)count) == 0;
    free(x);
    free(expected);
    free(got);
    return same;
}

static bool try_gather(const struct int8_kernels *kernels)
{
    struct int8_gather gather = {.sources = (int)pick(1, 16), .pixels = pick(1, 50)};
    int64_t            count  = gather.pixels * INT8_BLOCK;
    void              *x = bytes_of(count * gather.sources), *expected = bytes_of(count);
    void              *got = bytes_of(count);
    bool               same;

    for (int i = 0; i < INT8_BLOCK; i++) {
        gather.x[i]      = (uint8_t *)x + i % gather.sources * count;
        gather.source[i] = (uint8_t)pick(0, gather.sources - 1);
        gather.lane[i]   = (uint8_t)pick(0, 15);
    }
    gather.y = expected;
    INT8_PLAIN.gather(&gather);
    gather.y = got;
    kernels->gather(&gather);
    same = memcmp(expected, got, (size_t)count) == 0;
    free(x);
    free(expected);
    free(got);
    return same;
}

static bool try_floats(const struct int8_kernels *kernels)
{
    int64_t  pixels = pick(1, 40), count = pixels * INT8_BLOCK;
    float   *x = floats_of(count, -30, 300), *scale = floats_of(16, 0.5F, 2), *back[2];
    float   *zero = floats_of(16, 0, 40);
    uint8_t *codes[2];
    const struct int8_kernels *both[2] = {&INT8_PLAIN, kernels};
    bool                       same;

    for (int i = 0; i < 2; i++) {
        codes[i] = bytes_of(count);
        back[i]  = floats_of(count, 0, 1);
        both[i]->from_floats(x, scale, zero, pixels, codes[i]);
        both[i]->to_floats(codes[i], scale, zero, pixels, back[i]);
    }
    same = memcmp(codes[0], codes[1], (size_t)count) == 0 &&
           memcmp(back[0], back[1], (size_t)count * sizeof(float)) == 0;
    for (int i = 0; i < 2; i++) {
        free(codes[i]);
        free(back[i]);
    }
    free(x);
    free(scale);
    free(zero);
    return same;
}

static void test_kernels(const struct int8_kernels *kernels)
{
    int conv = 0, depthwise = 0, moves[5] = {0};

    for (int i = 0; i < TRIALS; i++) {
        conv += try_conv(kernels, i);
        depthwise += try_depthwise(kernels, i);
        moves[0] += try_pad(kernels);
        moves[1] += try_stem(kernels);
        moves[2] += try_pool(kernels);
        moves[3] += try_gather(kernels);
        moves[4] += try_floats(kernels);
    }
    is_int(conv, TRIALS, "%s: convolutions", kernels->name);
    is_int(depthwise, TRIALS, "%s: channel by channel", kernels->name);
    is_int(moves[0], TRIALS, "%s: padding", kernels->name);
    is_int(moves[1], TRIALS, "%s: the input's floats", kernels->name);
    is_int(moves[2], TRIALS, "%s: pools", kernels->name);
    is_int(moves[3], TRIALS, "%s: channels put together", kernels->name);
    is_int(moves[4], TRIALS, "%s: to and from floats", kernels->name);
}

/* The straight pieces against the function itself, in steps of the 255 that the output has. */
static void test_curves(void)
{
    static const struct activation KINDS[] = {
        {.kind = ACTIVATION_SILU},
        {.kind = ACTIVATION_SIGMOID},
        {.kind = ACTIVATION_RELU, .a = 0.1F},
        {.kind = ACTIVATION_HARD_SWISH, .a = 1 / 6.0F, .b = 0.5F}};
    double worst = 0;

    for (size_t k = 0; k < sizeof KINDS / sizeof KINDS[0]; k++)
        for (float range = 8; range <= 32; range *= 2) {
            if (KINDS[k].kind == ACTIVATION_SIGMOID && range > 8)
                continue; /* there it is flat */
            struct int8_curve curve;
            float             out_range;
            int8_curve_make(&KINDS[k], false, range, &out_range, &curve);
            for (int x = INT16_MIN; x <= INT16_MAX; x++) {
                int    segment = (x >> 10) & 63;
                double y = (curve.base[segment] + curve.slope[segment] * (double)x / 32768) / 32768;
                double expected = graph_activate(&KINDS[k], (float)x / 32768 * range);
                double most     = graph_activate(&KINDS[k], range);
                double error    = fabs(y * out_range - expected) / most * 255;
                worst           = error > worst ? error : worst;
            }
        }
    ok(worst < 0.6, "curves are within %.2f of one code of 255", worst);
}

/* What the environment may ask for decides about 8 bits too. */
static void test_choice(void)
{
    static const char *const PAIRS[][2] = {{"plain", "plain"},
                                           {"avx2", "avx2_int8"},
                                           {"avx2_vnni", "avx2_vnni"},
                                           {"avx512_amx", "amx_int8"},
                                           {"neon", "neon_int8"}};

    for (size_t i = 0; i < sizeof PAIRS / sizeof PAIRS[0]; i++) {
        const struct int8_kernels *wanted = int8_find(PAIRS[i][1]);
        ok(int8_beside(PAIRS[i][0]) == (wanted != NULL ? wanted : &INT8_PLAIN), "%s: 8 bits by %s",
           PAIRS[i][0], int8_beside(PAIRS[i][0])->name);
    }
    ok(int8_beside(NULL) == int8_best() && int8_beside("") == int8_best(),
       "nothing is asked for: %s", int8_best()->name);
    ok(!int8_gains("plain") && !int8_gains("avx2"), "8 bits are no gain in plain C or with AVX2");
}

int main(void)
{
    const char *names[] = {"amx_int8", "avx512_vnni", "avx2_vnni", "avx2_int8", "neon_int8"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (int8_find(names[i]) == NULL)
            skip_one("this machine has no %s", names[i]);
        else
            test_kernels(int8_find(names[i]));
    }
    test_curves();
    test_choice();
    return done_testing();
}
