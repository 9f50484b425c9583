/* gpu/cpu/tiles.h: whether this machine's tiles (AMX) may be used. */
#ifndef SIGHTLINE_GPU_CPU_TILES_H
#define SIGHTLINE_GPU_CPU_TILES_H

#include <stdbool.h>

/* Bits of CPUID leaf 7, register EDX. */
#define TILES_BF16 (1U << 22)
#define TILES_INT8 (1U << 25)

/* True when the machine has tiles and these products, and the system keeps the tiles of this
 * process's threads: it is asked to. Any thread, any number of times. */
bool tiles_permitted(unsigned products);

#endif
