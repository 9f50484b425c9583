/* Kernels for machines with AVX-512: 32 registers of 16 numbers. */
#if defined(__x86_64__)
#include <immintrin.h>

#define KERNELS_TABLE    KERNELS_AVX512
#define KERNELS_NAME     "avx512"
#define B                16
#define POINTWISE_BLOCKS 4
#define V_FMA(a, b, c)   ((vec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define V_MAX(a, b)      ((vec)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define V_MIN(a, b)      ((vec)_mm512_min_ps((__m512)(a), (__m512)(b)))
#include "gpu/cpu/kernels_body.h"
#else
typedef int kernels_avx512_not_for_this_machine;
#endif
