#include "gpu/graph_memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct graph_memory_block {
    struct graph_memory_block *next;
};

#define HEADER_BYTES 64 /* keeps what follows aligned for every vector width */

void *graph_memory_alloc(struct graph_memory *memory, size_t count, size_t size)
{
    size_t                     bytes;
    struct graph_memory_block *block;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = HEADER_BYTES + (bytes + 63) / 64 * 64;
    if (bytes > memory->max_bytes - memory->used_bytes)
        return NULL;
    block = aligned_alloc(64, bytes);
    if (block == NULL)
        return NULL;
    memset(block, 0, bytes);
    block->next    = memory->blocks;
    memory->blocks = block;
    memory->used_bytes += bytes;
    return (char *)block + HEADER_BYTES;
}

const char *graph_memory_text(struct graph_memory *memory, const char *text)
{
    size_t bytes = text != NULL ? strlen(text) + 1 : 1;
    char  *copy  = graph_memory_alloc(memory, bytes, 1);

    if (copy != NULL && text != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

void graph_memory_free(struct graph_memory *memory)
{
    while (memory->blocks != NULL) {
        struct graph_memory_block *block = memory->blocks;
        memory->blocks                   = block->next;
        free(block);
    }
    memory->used_bytes = 0;
}
