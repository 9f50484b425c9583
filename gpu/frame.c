#include "gpu/frame.h"

#include <stddef.h>
#include <stdlib.h>

#include "config/assert.h"
#include "config/limits.h"

/* One cache line and the widest vector register: rows begin where both like it. */
#define ROW_ALIGNMENT_BYTES 64

static void release_own_memory(struct frame *frame);

struct frame *frame_ref(struct frame *frame)
{
    int before = atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed);

    ASSERT(before > 0);
    return frame;
}

void frame_unref(struct frame **frame)
{
    struct frame *held = *frame;
    int           before;

    *frame = NULL;
    if (held == NULL)
        return;
    before = atomic_fetch_sub_explicit(&held->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1) {
        struct frame *copy = atomic_load_explicit(&held->in_host, memory_order_acquire);

        frame_unref(&copy);
        if (held->release != NULL)
            held->release(held);
    }
}

/* ---- out of a card's memory ---- */

static _Atomic uint64_t copies[FRAME_COPIES];

const char *frame_copy_name(enum frame_copy why)
{
    static const char *const NAMES[FRAME_COPIES] = {"inference", "motion", "view", "held"};

    ASSERT((unsigned)why < FRAME_COPIES);
    return NAMES[why];
}

void frame_count_copy(enum frame_copy why)
{
    atomic_fetch_add_explicit(&copies[why], 1, memory_order_relaxed);
}

uint64_t frame_copies(enum frame_copy why)
{
    return atomic_load_explicit(&copies[why], memory_order_relaxed);
}

struct frame *frame_in_host(struct frame *frame, enum frame_copy why)
{
    struct frame *copy, *first = NULL;

    if (frame->device == NULL)
        return frame;
    copy = atomic_load_explicit(&frame->in_host, memory_order_acquire);
    if (copy != NULL)
        return copy;
    copy = frame->device->copy(frame);
    if (copy == NULL)
        return NULL;
    ASSERT(copy->device == NULL && copy->format == frame->format &&
           copy->width_px == frame->width_px && copy->height_px == frame->height_px);
    copy->slot       = frame->slot;
    copy->generation = frame->generation;
    copy->number     = frame->number;
    copy->pts_ns     = frame->pts_ns;
    copy->wall_ns    = frame->wall_ns;
    copy->decoded_ns = frame->decoded_ns;
    frame_count_copy(why);
    if (atomic_compare_exchange_strong(&frame->in_host, &first, copy))
        return copy;
    frame_unref(&copy); /* another thread was faster */
    return first;
}

struct frame *frame_alloc(enum frame_format format, int width_px, int height_px)
{
    struct frame *frame;
    uint8_t      *memory;
    size_t offset = (sizeof *frame + ROW_ALIGNMENT_BYTES - 1) & ~(size_t)(ROW_ALIGNMENT_BYTES - 1);
    size_t total  = offset;
    int    stride_bytes[3] = {0};

    if (width_px < 1 || width_px > LIMIT_PICTURE_PX || height_px < 1 ||
        height_px > LIMIT_PICTURE_PX)
        return NULL;
    for (int plane = 0; plane < 3; plane++) {
        struct frame_plane size = frame_plane_of(format, plane, width_px, height_px);

        stride_bytes[plane] = (size.row_bytes + ROW_ALIGNMENT_BYTES - 1) &
                              ~(ROW_ALIGNMENT_BYTES - 1);
        total += (size_t)stride_bytes[plane] * (size_t)size.rows;
    }
    memory = aligned_alloc(ROW_ALIGNMENT_BYTES, total);
    if (memory == NULL)
        return NULL;
    frame  = (struct frame *)(void *)memory;
    *frame = (struct frame){.format    = format,
                            .width_px  = width_px,
                            .height_px = height_px,
                            .release   = release_own_memory};
    atomic_init(&frame->references, 1);
    for (int plane = 0; plane < 3; plane++) {
        struct frame_plane size = frame_plane_of(format, plane, width_px, height_px);

        if (size.rows == 0)
            continue;
        frame->plane[plane]        = memory + offset;
        frame->stride_bytes[plane] = stride_bytes[plane];
        offset += (size_t)stride_bytes[plane] * (size_t)size.rows;
    }
    return frame;
}

struct frame_plane frame_plane_of(enum frame_format format, int plane, int width_px, int height_px)
{
    int half_width = (width_px + 1) / 2, half_height = (height_px + 1) / 2;

    if (plane == 0 && (format == FRAME_BGR24 || format == FRAME_RGB24))
        return (struct frame_plane){3 * width_px, height_px};
    if (plane == 0)
        return (struct frame_plane){width_px, height_px};
    switch (format) {
    case FRAME_I420:
        return (struct frame_plane){half_width, half_height};
    case FRAME_I422:
        return (struct frame_plane){half_width, height_px};
    case FRAME_I444:
        return (struct frame_plane){width_px, height_px};
    case FRAME_NV12:
        return plane == 1 ? (struct frame_plane){2 * half_width, half_height}
                          : (struct frame_plane){0, 0};
    case FRAME_GRAY8:
    case FRAME_BGR24:
    case FRAME_RGB24:
        break;
    }
    return (struct frame_plane){0, 0};
}

static void release_own_memory(struct frame *frame)
{
    free(frame);
}
