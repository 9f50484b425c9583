#include "config/heap.h"

#include <malloc.h>

void heap_settle(void)
{
    mallopt(M_MMAP_THRESHOLD, HEAP_MAPPED_BYTES);
    mallopt(M_TRIM_THRESHOLD, HEAP_MAPPED_BYTES);
}
