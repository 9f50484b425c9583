/* tests/count_allocations.h: how often this process has asked for memory, whoever in it did: for tests
 * of what allocates nothing. Include it in one file of a program. Under sanitizers, which have an
 * allocator of their own, CAN_COUNT_ALLOCATIONS is false and the number stays 0. */
#ifndef SIGHTLINE_TESTS_COUNT_ALLOCATIONS_H
#define SIGHTLINE_TESTS_COUNT_ALLOCATIONS_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define CAN_COUNT_ALLOCATIONS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_COUNT_ALLOCATIONS false
#endif
#endif

static atomic_ullong allocations;
static atomic_llong  allocations_kept; /* those that were not given back */

#ifndef CAN_COUNT_ALLOCATIONS
#define CAN_COUNT_ALLOCATIONS true

/* glibc's own, under the names that it keeps for this. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
extern void  __libc_free(void *memory);

static void count_one(void)
{
    atomic_fetch_add(&allocations, 1);
    atomic_fetch_add(&allocations_kept, 1);
}

void free(void *memory)
{
    if (memory != NULL)
        atomic_fetch_sub(&allocations_kept, 1);
    __libc_free(memory);
}

void *malloc(size_t bytes)
{
    count_one();
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    count_one();
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    if (old == NULL)
        atomic_fetch_add(&allocations_kept, 1);
    atomic_fetch_add(&allocations, 1);
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count_one();
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes)
{
    count_one();
    *memory = __libc_memalign(alignment, bytes);
    return *memory != NULL || bytes == 0 ? 0 : ENOMEM;
}
#endif

#endif
