#include "gpu/cpu/kernels.h"

#include "gpu/cpu/int8.h"

#include <stddef.h>
#include <string.h>

const struct kernels *kernels_find(const char *name)
{
    if (strcmp(name, "plain") == 0)
        return &KERNELS_PLAIN;
#if defined(__aarch64__)
    if (strcmp(name, "neon") == 0) /* every such machine has it */
        return &KERNELS_NEON;
#elif defined(__x86_64__)
    if (strcmp(name, "avx512_amx") == 0)
        return int8_find("amx_int8") != NULL ? &KERNELS_AVX512 : NULL;
    if (strcmp(name, "avx2_vnni") == 0) /* the same floats: only 8 bits differ */
        return int8_find(name) != NULL ? &KERNELS_AVX2 : NULL;
    if (strcmp(name, "avx2") == 0 && __builtin_cpu_supports("avx2") &&
        __builtin_cpu_supports("fma"))
        return &KERNELS_AVX2;
    if (strcmp(name, "avx512") == 0 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq"))
        return &KERNELS_AVX512;
#endif
    return NULL;
}

const struct kernels *kernels_best(void)
{
    const struct kernels *best = kernels_find("avx512");

    if (best == NULL)
        best = kernels_find("avx2");
    if (best == NULL)
        best = kernels_find("neon");
    return best != NULL ? best : &KERNELS_PLAIN;
}
