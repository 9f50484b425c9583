#include "server/camera/camera.h"

#include <stdlib.h>

/* A key frame of an 8K camera; anything larger is not for a browser. */
#define MAX_UNIT_BYTES (16U << 20)

struct camera_unit *camera_unit_alloc(size_t bytes)
{
    struct camera_unit *unit;

    if (bytes > MAX_UNIT_BYTES)
        return NULL;
    unit = calloc(1, sizeof *unit + bytes);
    if (unit == NULL)
        return NULL;
    unit->references = 1;
    unit->bytes      = bytes;
    return unit;
}

struct camera_unit *camera_unit_ref(struct camera_unit *unit)
{
    atomic_fetch_add_explicit(&unit->references, 1, memory_order_relaxed);
    return unit;
}

void camera_unit_unref(struct camera_unit **unit)
{
    if (*unit == NULL)
        return;
    if (atomic_fetch_sub_explicit(&(*unit)->references, 1, memory_order_acq_rel) == 1)
        free(*unit);
    *unit = NULL;
}
