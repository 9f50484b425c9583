/* 8-bit kernels with the tiles of AMX for dense convolutions; what does not come in whole blocks of
 * channels, and all else, by AVX-512. See gpu/cpu/int8.h for what was not seen. */
#if defined(__x86_64__)
#include "gpu/cpu/int8_avx512.h"

#include <immintrin.h>

#define TILES_CONFIGURE(config)       _tile_loadconfig(config)
#define TILES_RELEASE()               _tile_release()
#define TILE_ZERO(t)                  _tile_zero(t)
#define TILE_LOAD(t, from, row_bytes) _tile_loadd(t, from, row_bytes)
#define TILE_STORE(t, to, row_bytes)  _tile_stored(t, to, row_bytes)
#define TILE_PRODUCT(sum, a, b)       _tile_dpbusd(sum, a, b)
#define TILES_FINISH(conv, block, at, pixels, sums) \
    int8_avx512_finish(conv, block, at, pixels, sums)
#include "gpu/cpu/int8_tiles.h"

static void amx_conv(const struct int8_conv *conv)
{
    if (int8_tiles_fit(conv))
        int8_tiles_conv(conv);
    else
        INT8_AVX512.conv(conv);
}

static void amx_depthwise(const struct int8_depthwise *conv)
{
    INT8_AVX512.depthwise(conv);
}

const struct int8_kernels INT8_AMX = {
    .name        = "amx_int8",
    .conv        = amx_conv,
    .depthwise   = amx_depthwise,
    .pad         = int8_pad_rows,
    .stem        = int8_avx512_stem,
    .max_pool    = int8_avx512_max_pool,
    .gather      = int8_avx512_gather,
    .from_floats = int8_avx512_from_floats,
    .to_floats   = int8_avx512_to_floats,
};
#else
typedef int int8_amx_not_for_this_machine;
#endif
