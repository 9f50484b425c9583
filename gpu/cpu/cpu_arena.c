/* Where each buffer lies in the arena: the largest first, each at the lowest place where nothing
 * lies that lives at the same time. Within a few percent of the least possible for such networks.
 */
#include "gpu/cpu/cpu_runner.h"

#include "config/err.h"

#include <stdlib.h>

#define ALIGN_FLOATS 16 /* 64 bytes: a cache line, and the widest vector */

static bool overlap_in_time(const struct cpu_buffer *a, const struct cpu_buffer *b)
{
    return a->first_step <= b->last_step && b->first_step <= a->last_step;
}

/* The lowest free place for `buffer` among those already placed (offset >= 0). */
static int64_t lowest_place(const struct cpu_runner *runner, const struct cpu_buffer *buffer)
{
    int64_t place = 0;
    bool    moved = true;

    while (moved) {
        moved = false;
        for (int i = 0; i < runner->buffer_count; i++) {
            const struct cpu_buffer *other = &runner->buffers[i];
            if (other == buffer || other->offset < 0 || !overlap_in_time(buffer, other))
                continue;
            if (place < other->offset + other->floats && other->offset < place + buffer->floats) {
                place = other->offset + other->floats;
                moved = true;
            }
        }
    }
    return place;
}

int cpu_arena_place(struct cpu_runner *runner)
{
    runner->arena_floats = 0;
    for (int i = 0; i < runner->buffer_count; i++) {
        struct cpu_buffer *buffer = &runner->buffers[i];
        buffer->floats = (buffer->floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
        buffer->offset = -1;
    }
    for (int placed = 0; placed < runner->buffer_count; placed++) {
        struct cpu_buffer *largest = NULL;
        for (int i = 0; i < runner->buffer_count; i++) {
            struct cpu_buffer *buffer = &runner->buffers[i];
            if (buffer->offset < 0 && (largest == NULL || buffer->floats > largest->floats))
                largest = buffer;
        }
        largest->offset = lowest_place(runner, largest);
        if (largest->offset + largest->floats > runner->arena_floats)
            runner->arena_floats = largest->offset + largest->floats;
        if (runner->arena_floats > LIMIT_MODEL_ARENA_BYTES / (int64_t)sizeof(float))
            return ERR_LIMIT;
    }
    return 0;
}
