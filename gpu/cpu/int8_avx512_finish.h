/* gpu/cpu/int8_avx512_finish.h: what the 8-bit kernels for AVX-512 VNNI share: products, and what
 * follows the sums as struct int8_finish defines it. Inside of int8_avx512.c and
 * int8_avx512_depthwise.c. */
#ifndef SIGHTLINE_GPU_CPU_INT8_AVX512_FINISH_H
#define SIGHTLINE_GPU_CPU_INT8_AVX512_FINISH_H

#include "gpu/cpu/int8.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* sum + four products, in place: left to itself, the compiler copies sums between registers. */
INLINE __m512i dot(__m512i sum, __m512i x, __m512i weights)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(weights));
    return sum;
}

/* Which parts of struct int8_finish there are. A constant wherever speed counts, so that each form has
 * code of its own without questions in it. */
struct form {
    bool curve, line, residual, residual_first;
};

INLINE struct form form_of(const struct int8_finish *finish)
{
    return (struct form){.curve          = finish->curve != NULL,
                         .line           = finish->line_scale != NULL,
                         .residual       = finish->residual_gain != NULL,
                         .residual_first = finish->residual_first};
}

/* CALL(form) with the forms that networks are made of as constants: nothing (ReLU), SiLU, SiLU and
 * then a residual; the rest as it comes. */
#define BY_FORM(any, CALL)                                                        \
    do {                                                                          \
        const struct form which = any;                                            \
        if (!which.curve)                                                         \
            CALL(((struct form){0}));                                             \
        else if (which.line && !which.residual)                                   \
            CALL(((struct form){.curve = true, .line = true}));                   \
        else if (which.line && !which.residual_first)                             \
            CALL(((struct form){.curve = true, .line = true, .residual = true})); \
        else                                                                      \
            CALL(which);                                                          \
    } while (0)

/* Numbers by channel as the packed pixels need them. */
struct finisher {
    const struct int8_curve *curve;
    __m512i                  gain, zero, residual_gain;
};

INLINE __m512i curve_of(const struct int8_curve *curve, __m512i x)
{
    __m512i segment = _mm512_srai_epi16(x, 10);
    __m512i base    = _mm512_permutex2var_epi16(_mm512_loadu_si512(curve->base), segment,
                                                _mm512_loadu_si512(curve->base + 32));
    __m512i slope   = _mm512_permutex2var_epi16(_mm512_loadu_si512(curve->slope), segment,
                                                _mm512_loadu_si512(curve->slope + 32));

    return _mm512_adds_epi16(base, _mm512_mulhrs_epi16(slope, x));
}

INLINE __m512i round_sums(__m512i sums, __m512 scale, __m512 bias)
{
    return _mm512_cvtps_epi32(_mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scale, bias));
}

/* What follows the rounded sum; `line` is the sum's other form, `codes` those of the residual. */
INLINE __m512i bend(const struct form form, const struct finisher *f, __m512i v, __m512i line,
                    __m512i codes)
{
    __m512i residual = _mm512_setzero_si512();

    if (form.residual)
        residual = _mm512_mulhrs_epi16(_mm512_slli_epi16(codes, 7), f->residual_gain);
    if (form.residual_first)
        v = _mm512_adds_epi16(v, residual);
    v = curve_of(f->curve, v);
    v = _mm512_adds_epi16(_mm512_mulhrs_epi16(v, f->gain), f->zero);
    if (form.line)
        v = _mm512_adds_epi16(v, _mm512_max_epi16(line, _mm512_setzero_si512()));
    if (form.residual && !form.residual_first)
        v = _mm512_adds_epi16(v, residual);
    else if (!form.line)
        return v;
    return _mm512_mulhrs_epi16(v, _mm512_set1_epi16((1 << 15) / INT8_FRACTION));
}

#endif
