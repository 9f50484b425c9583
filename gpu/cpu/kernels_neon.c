/* Kernels for 64-bit ARM: 32 registers of 4 numbers, of which the compiler makes 16 of 8. It may join
 * a product and a sum in this file (gpu/gpu.cmake). */
#if defined(__aarch64__)
#define KERNELS_TABLE     KERNELS_NEON
#define KERNELS_NAME      "neon"
#define B                 8
#define POINTWISE_BLOCKS  2
#define STEM_BLOCKS       2
#define STEM_PIXELS       6
#define STEM_PIXELS_ALONE 8
#define V_FMA(a, b, c)    ((a) * (b) + (c))
#include "gpu/cpu/kernels_body.h"
#else
typedef int kernels_neon_not_for_this_machine;
#endif
