/* gpu/cpu/bf16_avx512.h: padding with AVX-512, which machines with AMX use too. */
#ifndef SIGHTLINE_GPU_CPU_BF16_AVX512_H
#define SIGHTLINE_GPU_CPU_BF16_AVX512_H

#include "gpu/cpu/bf16.h"

void bf16_avx512_pad(const struct bf16_pad *pad);

#endif
