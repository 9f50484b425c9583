/* Which kernels for bfloat16 this machine runs. */
#include "gpu/cpu/bf16.h"

#include "gpu/cpu/tiles.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

uint16_t bf16_round(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffU) > 0x7f800000U)
        return (uint16_t)(bits >> 16 | 0x40U); /* not a number, and quiet */
    if ((bits & 0x7f800000U) == 0)
        return (uint16_t)(bits >> 16 & 0x8000U); /* the instructions know no denormal numbers */
    return (uint16_t)((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

float bf16_float(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float    number;

    memcpy(&number, &bits, sizeof number);
    return number;
}

#if defined(__x86_64__)
static bool has_avx512_bf16(void)
{
    unsigned a = 0, b = 0, c = 0, d = 0;

    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 5)) != 0;
}

/* A small convolution that fills whole tiles and parts of them, against plain C. */
enum { TRY_CHANNELS = 64, TRY_OUT = 3, TRY_COLUMNS = 37, TRY_STEPS = TRY_CHANNELS / BF16_BLOCK };

static bool same_as_plain(const struct bf16_kernels *kernels)
{
    static const struct activation NONE = {.kind = ACTIVATION_NONE};
    static uint16_t                x[TRY_STEPS * TRY_COLUMNS * BF16_BLOCK];
    static uint16_t                weights[TRY_OUT * TRY_STEPS * BF16_STEP];
    static float                   y[2][TRY_OUT * TRY_COLUMNS * BF16_OUT], bias[TRY_OUT * BF16_OUT];
    const int32_t                  steps[TRY_STEPS] = {0, TRY_COLUMNS * BF16_PIXEL_BYTES};
    struct bf16_conv               conv             = {.out_blocks = TRY_OUT,
                                                       .rows       = 1,
                                                       .columns    = TRY_COLUMNS,
                                                       .x          = x,
                                                       .row_bytes  = TRY_COLUMNS * BF16_PIXEL_BYTES,
                                                       .step_count = TRY_STEPS,
                                                       .steps      = steps,
                                                       .weights    = weights,
                                                       .bias       = bias,
                                                       .activation = &NONE,
                                                       .kernels    = &KERNELS_PLAIN};
    uint32_t                       state            = 1;

    /* Small whole numbers: every sum is exact, in whatever order. */
    for (size_t i = 0; i < sizeof x / sizeof x[0]; i++)
        x[i] = bf16_round((float)((state = state * 1664525U + 1013904223U) >> 28));
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++)
        weights[i] = bf16_round((float)((state = state * 1664525U + 1013904223U) >> 28) - 8);
    conv.y = y[0];
    BF16_PLAIN.conv(&conv);
    conv.y = y[1];
    kernels->conv(&conv);
    for (size_t i = 0; i < sizeof y[0] / sizeof y[0][0]; i++) {
        if (y[0][i] != y[1][i])
            return false;
    }
    return true;
}

static bool tiles_work;

static void look_at_tiles(void)
{
    tiles_work = has_avx512_bf16() && tiles_permitted(TILES_BF16) && same_as_plain(&BF16_AMX);
}

static bool has_amx(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, look_at_tiles);
    return tiles_work;
}
#endif

const struct bf16_kernels *bf16_find(const char *name)
{
    if (strcmp(name, "plain") == 0)
        return &BF16_PLAIN;
#if defined(__x86_64__)
    if (strcmp(name, "avx512_bf16") == 0 && has_avx512_bf16())
        return &BF16_AVX512;
    if (strcmp(name, "amx_bf16") == 0 && has_amx())
        return &BF16_AMX;
#endif
    return NULL;
}

const struct bf16_kernels *bf16_beside(const char *isa)
{
    const struct bf16_kernels *found = NULL;

    if (isa != NULL && *isa != '\0' && strncmp(isa, "avx512", 6) != 0)
        return NULL;
    found = bf16_find("amx_bf16");
    return found != NULL ? found : bf16_find("avx512_bf16");
}

bool bf16_gains(const char *isa)
{
    const struct bf16_kernels *kernels = bf16_beside(isa);

    return kernels != NULL && strcmp(kernels->name, "amx_bf16") == 0;
}
