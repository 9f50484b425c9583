/* tests/random_shapes.h: numbers for tests that try kernels on many shapes: the same in every run. */
#ifndef SIGHTLINE_TESTS_RANDOM_SHAPES_H
#define SIGHTLINE_TESTS_RANDOM_SHAPES_H

#include <stdint.h>
#include <stdlib.h>

static uint64_t random_state = 88172645463325252U;

/* From low to high, both possible. */
static int64_t pick(int64_t low, int64_t high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (int64_t)(random_state >> 11) % (high - low + 1);
}

/* Zeroed, with one more behind; the caller frees it. */
static void *room_for(int64_t count, size_t size)
{
    void *room = calloc((size_t)count + 1, size);

    if (room == NULL)
        abort();
    return room;
}

#endif
