#include "gpu/cpu/tiles.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The state of tiles is large: a process must ask for it (Linux 5.16 and later). */
#define REQUEST_PERMISSION 0x1023
#define TILE_DATA          18
#define HAS_TILES          (1U << 24)

bool tiles_permitted(unsigned products)
{
    const unsigned needed = products | HAS_TILES;
    unsigned       a = 0, b = 0, c = 0, d = 0;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & needed) == needed &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#else
bool tiles_permitted(unsigned products)
{
    (void)products;
    return false;
}
#endif
