/* 8-bit kernels for machines with AVX2 and FMA.
 *
 * The instruction that multiplies bytes here (vpmaddubsw) adds two products in 16 bits, and two
 * products of 255 × 127 do not fit. Activations of 7 bits would, but then a model's codes, and what
 * was measured of their agreement, would hold on some machines only. So the bytes are taken apart
 * into words, even and odd ones: the products are exact, and the codes those of every machine. */
#if defined(__x86_64__)
#include <immintrin.h>

#define INLINE      static inline __attribute__((always_inline))
#define TABLE       INT8_AVX2
#define TABLE_NAME  "avx2_int8"
#define TILE_PIXELS 4

INLINE __m256i dot(__m256i sum, __m256i x, __m256i weights)
{
    const __m256i low  = _mm256_madd_epi16(_mm256_and_si256(x, _mm256_set1_epi16(0xff)),
                                           _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8));
    const __m256i high = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), _mm256_srai_epi16(weights, 8));

    return _mm256_add_epi32(_mm256_add_epi32(sum, low), high);
}
#include "gpu/cpu/int8_avx2_body.h"
#else
typedef int int8_avx2_not_for_this_machine;
#endif
