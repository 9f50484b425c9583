/* Kernels for any machine, in vectors of the compiler: what the other ones are tested against. */
#define KERNELS_TABLE     KERNELS_PLAIN
#define KERNELS_NAME      "plain"
#define B                 8
#define POINTWISE_BLOCKS  1
#define STEM_BLOCKS       1
#define STEM_PIXELS       4
#define STEM_PIXELS_ALONE 4
#define V_FMA(a, b, c)    ((a) * (b) + (c))
#include "gpu/cpu/kernels_body.h"
