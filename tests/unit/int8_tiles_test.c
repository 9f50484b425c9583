// links: gpu
// Dense convolutions in 8 bits by tiles, with a model of AMX's instructions in C: the sums, and so what
// follows them, are those of plain C, over random shapes.
#include "gpu/cpu/int8.h"

#include "gpu/cpu/int8_avx512.h"

#include "tests/amx_model.h"
#include "tests/random_shapes.h"
#include "tests/tap.h"

static void finish(const struct int8_conv *conv, int64_t block, int64_t at, int pixels,
                   const int32_t *sums)
{
#if defined(__x86_64__)
    if (conv->floats == NULL) { /* only where the machine has it */
        int8_avx512_finish(conv, block, at, pixels, sums);
        return;
    }
#endif
    for (int p = 0; p < pixels; p++)
        for (int i = 0; i < INT8_BLOCK; i++)
            conv->floats[(block * conv->rows * conv->columns + at + p) * INT8_BLOCK + i] = fmaf(
                (float)sums[p * INT8_BLOCK + i], conv->finish.scale[block * INT8_BLOCK + i],
                conv->finish.bias[block * INT8_BLOCK + i]);
}

#define TILES_CONFIGURE(config)                     amx_configure(config)
#define TILES_RELEASE()                             amx_release()
#define TILE_ZERO(t)                                amx_zero(t)
#define TILE_LOAD(t, from, row_bytes)               amx_load(t, from, row_bytes)
#define TILE_STORE(t, to, row_bytes)                amx_store(t, to, row_bytes)
#define TILE_PRODUCT(sum, a, b)                     amx_product_bytes(sum, a, b)
#define TILES_FINISH(conv, block, at, pixels, sums) finish(conv, block, at, pixels, sums)
#include "gpu/cpu/int8_tiles.h"

#define TRIALS 60

static bool try_conv(void)
{
    const int64_t    in_blocks = pick(1, 4), kernel = pick(1, 3);
    struct int8_conv conv  = {.out_blocks  = pick(1, 6),
                              .rows        = pick(1, 6),
                              .columns     = pick(1, 70),
                              .pixel_bytes = INT8_BLOCK};
    const int64_t    width = conv.columns + kernel - 1, height = conv.rows + kernel - 1;
    const int64_t    count  = conv.out_blocks * conv.rows * conv.columns * INT8_BLOCK;
    const int64_t    lanes  = conv.out_blocks * INT8_BLOCK;
    const int64_t    inputs = in_blocks * width * height * INT8_BLOCK;
    int32_t         *steps  = room_for(in_blocks * kernel * kernel * 4, sizeof *steps);
    float           *scale = room_for(lanes, sizeof *scale), *bias = room_for(lanes, sizeof *bias);
    float           *y[2] = {room_for(count, sizeof(float)), room_for(count, sizeof(float))};
    uint8_t         *x    = room_for(inputs, 1);
    int64_t          k    = 0;
    bool             same;

    for (int64_t block = 0; block < in_blocks; block++)
        for (int64_t tap = 0; tap < kernel * kernel; tap++)
            for (int q = 0; q < 4; q++)
                steps[k++] = (int32_t)(((block * height + tap / kernel) * width + tap % kernel) *
                                           INT8_BLOCK +
                                       q * INT8_QUAD);
    int64_t weight_count = int8_conv_weights(conv.out_blocks, (int)k);
    int8_t *weights      = room_for(weight_count, 1);
    for (int64_t i = 0; i < inputs; i++)
        x[i] = (uint8_t)pick(0, 255);
    for (int64_t i = 0; i < weight_count; i++)
        weights[i] = (int8_t)pick(-127, 127);
    for (int64_t i = 0; i < lanes; i++) {
        scale[i] = (float)pick(1, 100) / 1000;
        bias[i]  = (float)pick(-100, 100);
    }
    conv.x         = x;
    conv.row_bytes = width * INT8_BLOCK;
    conv.steps = steps, conv.step_count = (int)k;
    conv.weights = weights;
    conv.finish  = (struct int8_finish){.scale = scale, .bias = bias};
    conv.floats  = y[0];
    INT8_PLAIN.conv(&conv);
    conv.floats = y[1];
    same        = int8_tiles_fit(&conv);
    int8_tiles_conv(&conv);
    same = same && memcmp(y[0], y[1], (size_t)count * sizeof(float)) == 0;
    if (int8_find("avx512_vnni") != NULL) {
        conv.floats = NULL;
        conv.y      = (uint8_t *)y[0];
        INT8_PLAIN.conv(&conv);
        conv.y = (uint8_t *)y[1];
        int8_tiles_conv(&conv);
        same = same && memcmp(y[0], y[1], (size_t)count) == 0;
    }
    steps[k - 1]++;
    same = same && !int8_tiles_fit(&conv);
    free(steps);
    free(scale);
    free(bias);
    free(x);
    free(weights);
    free(y[0]);
    free(y[1]);
    return same;
}

int main(void)
{
    int good = 0;

    for (int i = 0; i < TRIALS; i++)
        good += try_conv();
    is_int(good, TRIALS, "convolutions by tiles give the numbers of plain C");
    is_int(amx_faults, 0, "nothing that the instructions would refuse in %d products",
           amx_products);
    return done_testing();
}
