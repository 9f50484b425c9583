// links: gpu
// Convolutions in bfloat16 against plain C over random shapes: those of AVX-512 where the machine has
// them, those of AMX with a model of its instructions in C, and as they are where the machine has them.
#include "gpu/cpu/bf16.h"

#include "tests/amx_model.h"
#include "tests/random_shapes.h"
#include "tests/tap.h"

#define TILES_CONFIGURE(config)       amx_configure(config)
#define TILES_RELEASE()               amx_release()
#define TILE_ZERO(t)                  amx_zero(t)
#define TILE_LOAD(t, from, row_bytes) amx_load(t, from, row_bytes)
#define TILE_STORE(t, to, row_bytes)  amx_store(t, to, row_bytes)
#define TILE_PRODUCT(sum, a, b)       amx_product(sum, a, b)
#include "gpu/cpu/bf16_tiles.h"

#define TRIALS 60

static uint16_t *halves_of(int64_t count)
{
    uint16_t *halves = room_for(count, sizeof *halves);

    for (int64_t i = 0; i < count; i++)
        halves[i] = bf16_round((float)pick(-1000, 1000) / 500);
    return halves;
}

static float *floats_of(int64_t count)
{
    float *floats = room_for(count, sizeof *floats);

    for (int64_t i = 0; i < count; i++)
        floats[i] = (float)pick(-1000000, 1000000) / 3e5F;
    return floats;
}

/* The largest difference, relative to the sum of all absolute products. */
static double try_conv(const struct bf16_kernels *kernels, int trial)
{
    static const enum activation_kind KINDS[] = {ACTIVATION_NONE, ACTIVATION_RELU, ACTIVATION_SILU};
    const bool                        flat    = trial % 3 == 0;
    struct activation                 activation = {.kind = KINDS[trial % 2 + trial % 4 / 2]};
    int64_t                           in_blocks = pick(1, 4), kernel = flat ? 1 : pick(1, 3), k = 0;
    struct bf16_conv                  conv = {.out_blocks    = pick(1, 5),
                                              .rows          = flat ? 1 : pick(1, 9),
                                              .columns       = pick(1, flat ? 200 : 50),
                                              .activation    = &activation,
                                              .residual_kind = (enum residual_kind)(trial % 3),
                                              .kernels       = &KERNELS_PLAIN};
    const int64_t width = conv.columns + kernel - 1, height = conv.rows + kernel - 1;
    const int64_t count = conv.out_blocks * conv.rows * conv.columns * BF16_OUT;
    int32_t      *steps = room_for(in_blocks * kernel * kernel, sizeof *steps);
    float        *y[2]  = {room_for(count, sizeof(float)), room_for(count, sizeof(float))};
    double        worst = 0;

    for (int64_t block = 0; block < in_blocks; block++)
        for (int64_t tap = 0; tap < kernel * kernel; tap++)
            steps[k++] = (int32_t)(((block * height + tap / kernel) * width + tap % kernel) *
                                   BF16_PIXEL_BYTES);
    uint16_t *x       = halves_of(in_blocks * height * width * BF16_BLOCK);
    uint16_t *weights = halves_of(conv.out_blocks * k * BF16_STEP);
    float    *bias = floats_of(conv.out_blocks * BF16_OUT), *residual = floats_of(count);
    conv.step_count = (int)k;
    conv.steps      = steps;
    conv.row_bytes  = width * BF16_PIXEL_BYTES;
    conv.x          = x;
    conv.weights    = weights;
    conv.bias       = bias;
    conv.residual   = residual;
    conv.y          = y[0];
    BF16_PLAIN.conv(&conv);
    conv.y = y[1];
    kernels->conv(&conv);
    for (int64_t i = 0; i < count; i++) {
        double error = fabs((double)y[0][i] - (double)y[1][i]) / (double)(k * BF16_BLOCK);
        if (!(error <= worst))
            worst = error;
    }
    free(steps);
    free(x);
    free(weights);
    free(bias);
    free(residual);
    free(y[0]);
    free(y[1]);
    return worst;
}

static bool try_pad(const struct bf16_kernels *kernels)
{
    struct bf16_pad pad = {.in_blocks = pick(1, 5),
                           .in_height = pick(1, 20),
                           .in_width  = pick(1, 40),
                           .top       = (int)pick(0, 3),
                           .left      = (int)pick(0, 3),
                           .stride    = (int)pick(1, 3)};
    pad.out_height      = pad.in_height + pad.top + pick(0, 3);
    pad.out_width       = (pad.in_width + pad.left + pick(2, 3)) / pad.stride * pad.stride;
    int64_t   count     = (pad.in_blocks + 1) / 2 * pad.out_height * pad.out_width * BF16_BLOCK;
    float    *x         = floats_of(pad.in_blocks * pad.in_height * pad.in_width * BF16_OUT);
    uint16_t *expected = halves_of(count), *got = halves_of(count);
    bool      same;

    pad.x = x;
    pad.y = expected;
    BF16_PLAIN.pad(&pad);
    pad.y = got;
    kernels->pad(&pad);
    same = memcmp(expected, got, (size_t)count * sizeof *got) == 0;
    free(x);
    free(expected);
    free(got);
    return same;
}

static void test_kernels(const struct bf16_kernels *kernels)
{
    double worst = 0;
    int    pads  = 0;

    for (int i = 0; i < TRIALS; i++) {
        double error = try_conv(kernels, i);
        if (!(error <= worst))
            worst = error;
        pads += kernels->pad == NULL || try_pad(kernels);
    }
    ok(worst < 1e-6, "%s: convolutions differ by %.1e of the products", kernels->name, worst);
    is_int(pads, TRIALS, "%s: padding and rounding", kernels->name);
}

static void test_rounding(void)
{
    static const struct {
        float    x;
        uint16_t bits;
    } CASES[] = {{1, 0x3f80},           {-2.5F, 0xc020},    {1.00390625F, 0x3f80},
                 {1.01171875F, 0x3f82}, {1.0040F, 0x3f81},  {0, 0},
                 {1e-39F, 0},           {INFINITY, 0x7f80}, {3.4028235e38F, 0x7f80}};
    int good  = 0;

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        good += bf16_round(CASES[i].x) == CASES[i].bits;
    is_int(good, sizeof CASES / sizeof CASES[0], "numbers are rounded to the nearest, or even");
    ok(isnan(bf16_float(bf16_round(NAN))), "what is no number stays none");
}

/* The model against a product that was worked out by hand. */
static void test_model(void)
{
    struct tile_config config = {
        .palette = 1, .row_bytes = {8, 8, 8}, .rows = {1, 1, 2}}; /* 1×2 = 1×4 by 4×2 */
    uint16_t a[4], b[2][4];
    float    sum[2] = {0.5F, 0};
    int      faults = amx_faults;

    for (int i = 0; i < 4; i++) {
        a[i]    = bf16_round((float)(i + 1));
        b[0][i] = bf16_round((float)(10 + i)); /* rows 0 and 1 of columns 0, 1: in pairs */
        b[1][i] = bf16_round((float)(20 + i));
    }
    TILES_CONFIGURE(&config);
    TILE_LOAD(0, sum, 8);
    TILE_LOAD(1, a, 8);
    TILE_LOAD(2, b, 8);
    TILE_PRODUCT(0, 1, 2);
    TILE_STORE(0, sum, 8);
    ok(sum[0] == 1 * 10 + 2 * 11 + 3 * 20 + 4 * 21 + 0.5F &&
           sum[1] == 1 * 12 + 2 * 13 + 3 * 22 + 4 * 23,
       "the model multiplies as the manual says: %g %g", (double)sum[0], (double)sum[1]);
    is_int(amx_faults, faults, "and takes it without a fault");
    TILE_PRODUCT(0, 1, 1);
    is_int(amx_faults, faults + 1, "it refuses a tile that stands for both factors");
    TILES_RELEASE();
    TILE_ZERO(0);
    is_int(amx_faults, faults + 2, "and one that is not configured");
    amx_faults = 0;
}

int main(void)
{
    static const struct bf16_kernels MODEL   = {.name = "model of AMX", .conv = tiles_conv};
    static const char *const         NAMES[] = {"avx512_bf16", "amx_bf16"};

    test_rounding();
    test_model();
    amx_products = 0;
    test_kernels(&MODEL);
    is_int(amx_faults, 0, "nothing that the instructions would refuse in %d products",
           amx_products);
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (bf16_find(NAMES[i]) == NULL)
            skip_one("this machine has no %s", NAMES[i]);
        else
            test_kernels(bf16_find(NAMES[i]));
    }
    ok(bf16_beside("avx2") == NULL && bf16_beside("plain") == NULL,
       "not where the instruction set is held below AVX-512");
    ok(bf16_gains(NULL) == (bf16_find("amx_bf16") != NULL), "a gain with AMX only");
    return done_testing();
}
