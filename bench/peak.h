/* bench/peak.h: what one core can compute at most, measured: loops of independent multiply-adds that
 * touch no memory. */
#ifndef SIGHTLINE_BENCH_PEAK_H
#define SIGHTLINE_BENCH_PEAK_H

#include <stdint.h>

#include "config/clock.h"

#define PEAK_ROUNDS 5
#define PEAK_STEPS  400000

struct peaks {
    double f32_avx2, f32_avx512; /* GFLOP/s; 0: this machine has none */
    double int8_vnni;            /* Gop/s */
};

#if defined(__x86_64__)
#include <immintrin.h>

/* 12 sums: more than the latency of a multiply-add times two units needs. `a` and `b` are not known to
 * the compiler. */
#define PEAK_LOOP(TYPE, ZERO, STEP)                   \
    do {                                              \
        TYPE sum[12];                                 \
        __asm__ volatile("" : "+v"(a), "+v"(b));      \
        for (int i = 0; i < 12; i++)                  \
            sum[i] = ZERO;                            \
        for (int step = 0; step < PEAK_STEPS; step++) \
            for (int i = 0; i < 12; i++)              \
                sum[i] = STEP;                        \
        for (int i = 0; i < 12; i++)                  \
            __asm__ volatile("" : : "v"(sum[i]));     \
    } while (0)

__attribute__((target("avx2,fma"))) static void peak_avx2(void)
{
    __m256 a = _mm256_set1_ps(0.5F), b = _mm256_set1_ps(0.25F);

    PEAK_LOOP(__m256, _mm256_setzero_ps(), _mm256_fmadd_ps(a, b, sum[i]));
}

__attribute__((target("avx512f"))) static void peak_avx512(void)
{
    __m512 a = _mm512_set1_ps(0.5F), b = _mm512_set1_ps(0.25F);

    PEAK_LOOP(__m512, _mm512_setzero_ps(), _mm512_fmadd_ps(a, b, sum[i]));
}

__attribute__((target("avx512f,avx512vnni"))) static void peak_vnni(void)
{
    __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(2);

    PEAK_LOOP(__m512i, _mm512_setzero_si512(), _mm512_dpbusd_epi32(sum[i], a, b));
}

/* `operations` of one instruction. The best round: everything else was disturbed. */
static double peak_of(void (*loop)(void), double operations)
{
    double best = 0.0;

    for (int round = 0; round < PEAK_ROUNDS; round++) {
        int64_t start = clock_monotonic_ns();
        double  rate;
        loop();
        rate = operations * 12.0 * PEAK_STEPS / (double)(clock_monotonic_ns() - start);
        best = rate > best ? rate : best;
    }
    return best;
}
#endif

static struct peaks peaks_measure(void)
{
    struct peaks peaks = {0};

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        peaks.f32_avx2 = peak_of(peak_avx2, 2 * 8);
    if (__builtin_cpu_supports("avx512f"))
        peaks.f32_avx512 = peak_of(peak_avx512, 2 * 16);
    if (__builtin_cpu_supports("avx512vnni"))
        peaks.int8_vnni = peak_of(peak_vnni, 2 * 64);
#endif
    return peaks;
}

#endif
