/* Kernels for bfloat16 with the tiles of AMX. See gpu/cpu/bf16.h for what was not seen. */
#if defined(__x86_64__)
#include "gpu/cpu/bf16_avx512.h"

#include <immintrin.h>

#define TILES_CONFIGURE(config)       _tile_loadconfig(config)
#define TILES_RELEASE()               _tile_release()
#define TILE_ZERO(t)                  _tile_zero(t)
#define TILE_LOAD(t, from, row_bytes) _tile_loadd(t, from, row_bytes)
#define TILE_STORE(t, to, row_bytes)  _tile_stored(t, to, row_bytes)
#define TILE_PRODUCT(sum, a, b)       _tile_dpbf16ps(sum, a, b)
#include "gpu/cpu/bf16_tiles.h"

const struct bf16_kernels BF16_AMX = {
    .name = "amx_bf16",
    .pad  = bf16_avx512_pad,
    .conv = tiles_conv,
};
#else
typedef int bf16_amx_not_for_this_machine;
#endif
