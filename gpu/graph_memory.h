/* gpu/graph_memory.h: the memory of one model: blocks that live and die together, with a budget.
 *
 * A hostile file may ask for anything; what it gets is bounded by the budget that model_load() sets
 * from the file's size. Nothing is given back before the end. One thread at a time. */
#ifndef SIGHTLINE_GPU_GRAPH_MEMORY_H
#define SIGHTLINE_GPU_GRAPH_MEMORY_H

#include <stddef.h>

struct graph_memory {
    struct graph_memory_block *blocks;
    size_t                     used_bytes;
    size_t                     max_bytes;
};

/* Zeroed, aligned to 64 bytes; NULL when the budget or the machine has no more. `size` may be 0. */
void *graph_memory_alloc(struct graph_memory *memory, size_t count, size_t size);
/* A copy of the text (NULL counts as ""); NULL as above. */
const char *graph_memory_text(struct graph_memory *memory, const char *text);
void        graph_memory_free(struct graph_memory *memory);

#endif
