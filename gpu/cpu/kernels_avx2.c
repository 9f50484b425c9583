/* Kernels for machines with AVX2 and FMA: 16 registers of 8 numbers. */
#if defined(__x86_64__)
#include <immintrin.h>

#define KERNELS_TABLE     KERNELS_AVX2
#define KERNELS_NAME      "avx2"
#define B                 8
#define POINTWISE_BLOCKS  2
#define STEM_BLOCKS       2
#define STEM_PIXELS       6
#define STEM_PIXELS_ALONE 8
#define V_ALL(x)          ((vec)_mm256_set1_ps(x))
#define V_FMA(a, b, c)    ((vec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define V_MAX(a, b)       ((vec)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define V_MIN(a, b)       ((vec)_mm256_min_ps((__m256)(a), (__m256)(b)))
#define V_ROUND(x) \
    ((vec)_mm256_round_ps((__m256)(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
#define V_PERMUTE(x, lanes) ((vec)_mm256_permutevar8x32_ps((__m256)(x), (__m256i)(lanes)))
#include "gpu/cpu/kernels_body.h"
#else
typedef int kernels_avx2_not_for_this_machine;
#endif
