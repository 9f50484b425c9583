/* 8-bit kernels for machines with AVX2 and its VNNI, but not those of AVX-512. */
#if defined(__x86_64__)
#include <immintrin.h>

#define INLINE      static inline __attribute__((always_inline))
#define TABLE       INT8_AVX2_VNNI
#define TABLE_NAME  "avx2_vnni"
#define TILE_PIXELS 6

/* In place: left to itself, the compiler copies sums between registers. */
INLINE __m256i dot(__m256i sum, __m256i x, __m256i weights)
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(x), "x"(weights));
    return sum;
}
#include "gpu/cpu/int8_avx2_body.h"
#else
typedef int int8_avx2_vnni_not_for_this_machine;
#endif
