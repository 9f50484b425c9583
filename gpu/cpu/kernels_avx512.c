/* Kernels for machines with AVX-512: 32 registers of 16 numbers. */
#if defined(__x86_64__)
#include <float.h>
#include <immintrin.h>

#define KERNELS_TABLE     KERNELS_AVX512
#define KERNELS_NAME      "avx512"
#define B                 16
#define POINTWISE_BLOCKS  4
#define STEM_BLOCKS       2
#define STEM_PIXELS       8
#define STEM_PIXELS_ALONE 10
#define STEM_PIXELS_HALF  8
#define V_ALL(x)          ((vec)_mm512_set1_ps(x))
#define V_FMA(a, b, c)    ((vec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define V_MAX(a, b)       ((vec)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define V_MIN(a, b)       ((vec)_mm512_min_ps((__m512)(a), (__m512)(b)))
#define V_ROUND(x) \
    ((vec)_mm512_roundscale_ps((__m512)(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
#define V_SCALE(x, n)       ((vec)_mm512_scalef_ps((__m512)(x), (__m512)(n)))
#define V_PERMUTE(x, lanes) ((vec)_mm512_permutexvar_ps((__m512i)(lanes), (__m512)(x)))
#define V_RECIPROCAL(x)     ((vec)reciprocal_m512((__m512)(x)))
/* Two pixels in one vector, for blocks of which half is empty. */
#define V_HALVES(a, b) ((vec)_mm512_mask_mov_ps((__m512)(a), 0xff00, (__m512)(b)))
#define V_TWICE(p)     ((vec)_mm512_broadcast_f32x8(_mm256_loadu_ps(p)))
#define V_LOW(x)       ((vec)_mm512_maskz_mov_ps(0x00ff, (__m512)(x)))
#define V_HIGH(x)      ((vec)_mm512_maskz_shuffle_f32x4(0x00ff, (__m512)(x), (__m512)(x), 0x4e))

/* One step of Newton after the estimate of 14 bits; infinity gives 0. */
static inline __m512 reciprocal_m512(__m512 x)
{
    __m512 r = _mm512_rcp14_ps(x);

    return _mm512_mul_ps(
        r, _mm512_fnmadd_ps(_mm512_min_ps(x, _mm512_set1_ps(FLT_MAX)), r, _mm512_set1_ps(2.0F)));
}
#include "gpu/cpu/kernels_body.h"
#else
typedef int kernels_avx512_not_for_this_machine;
#endif
