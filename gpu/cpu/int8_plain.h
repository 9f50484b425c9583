/* gpu/cpu/int8_plain.h: those plain 8-bit kernels that others use where speed does not matter. */
#ifndef SIGHTLINE_GPU_CPU_INT8_PLAIN_H
#define SIGHTLINE_GPU_CPU_INT8_PLAIN_H

#include "gpu/cpu/int8.h"

uint8_t int8_finish_code(const struct int8_finish *finish, int32_t sum, int64_t channel,
                         const uint8_t *residual);
void    int8_plain_pad(const struct int8_pad *pad);
void    int8_plain_max_pool(const struct int8_pool *pool);
void    int8_plain_gather(const struct int8_gather *gather);

#endif
