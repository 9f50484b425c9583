#include "server/camera/decode_arena.h"

#include "config/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Room for as many pictures as a stream of 1080p can ask for; larger pictures get fewer slots. */
#define ARENA_BYTES ((size_t)256 << 20)

struct arena_frame {
    struct frame         frame; /* first */
    struct decode_arena *arena;
    atomic_bool          out; /* handed on and not yet given back */
};

struct decode_arena {
    atomic_uint        references;
    size_t             slot_bytes, bytes;
    unsigned           slots;
    _Atomic uint32_t  *held;   /* the first page, for writing */
    const uint8_t     *memory; /* all of it, for reading */
    struct arena_frame frames[DECODE_WIRE_SLOTS];
};

static void release(struct decode_arena *arena)
{
    if (atomic_fetch_sub_explicit(&arena->references, 1, memory_order_acq_rel) != 1)
        return;
    if (arena->held != NULL)
        munmap((void *)arena->held, DECODE_WIRE_PAGE_BYTES);
    if (arena->memory != NULL)
        munmap((void *)arena->memory, arena->bytes);
    free(arena);
}

/* On whatever thread: the last holder of the picture. */
static void give_back(struct frame *frame)
{
    struct arena_frame  *held  = (struct arena_frame *)frame;
    struct decode_arena *arena = held->arena;
    size_t               slot  = (size_t)(held - arena->frames);

    atomic_store_explicit(&held->out, false, memory_order_release);
    atomic_store_explicit(&arena->held[slot], 0, memory_order_release);
    release(arena);
}

static int make_memory(size_t bytes)
{
    int fd = memfd_create("sightline-pictures", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && (ftruncate(fd, (off_t)bytes) != 0 ||
                    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int decode_arena_open(struct decode_arena **out, size_t slot_bytes, int *fd, struct why *why)
{
    struct decode_arena *arena;
    void                *memory, *held;

    *out = NULL;
    *fd  = -1;
    if (slot_bytes == 0 || slot_bytes > DECODE_WIRE_SLOT_BYTES)
        return why_set(why, ERR_LIMIT, "pictures of %zu bytes are too large", slot_bytes);
    if ((arena = calloc(1, sizeof *arena)) == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a decoder's pictures");
    atomic_init(&arena->references, 1);
    arena->slot_bytes = (slot_bytes + DECODE_WIRE_PAGE_BYTES - 1) / DECODE_WIRE_PAGE_BYTES *
                        DECODE_WIRE_PAGE_BYTES;
    arena->slots = (unsigned)(ARENA_BYTES / arena->slot_bytes);
    if (arena->slots > DECODE_WIRE_SLOTS)
        arena->slots = DECODE_WIRE_SLOTS;
    if (arena->slots < DECODE_WIRE_SLOTS_MIN)
        arena->slots = DECODE_WIRE_SLOTS_MIN;
    /* A page behind the last slot: kernels read whole vectors past a row's end. */
    arena->bytes = arena->slots * arena->slot_bytes + 2 * DECODE_WIRE_PAGE_BYTES;
    if ((*fd = make_memory(arena->bytes)) < 0)
        goto fail;
    held = mmap(NULL, DECODE_WIRE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (held == MAP_FAILED)
        goto fail;
    arena->held = held;
    memory      = mmap(NULL, arena->bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, *fd, 0);
    if (memory == MAP_FAILED)
        goto fail;
    arena->memory = memory;
    *out          = arena;
    return 0;

fail:
    why_set(why, ERR_MEMORY, "no memory for a decoder's pictures: %s", strerror(errno));
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    release(arena);
    return ERR_MEMORY;
}

void decode_arena_close(struct decode_arena **arena)
{
    if (*arena != NULL)
        release(*arena);
    *arena = NULL;
}

unsigned decode_arena_slots(const struct decode_arena *arena)
{
    return arena->slots;
}

size_t decode_arena_slot_bytes(const struct decode_arena *arena)
{
    return arena->slot_bytes;
}

int decode_arena_frame(struct decode_arena *arena, const struct decode_wire_picture *picture,
                       struct frame **out)
{
    struct arena_frame *held = &arena->frames[picture->slot];
    const uint8_t      *slot = arena->memory + DECODE_WIRE_PAGE_BYTES +
                          (size_t)picture->slot * arena->slot_bytes;

    *out = NULL;
    if (atomic_exchange_explicit(&held->out, true, memory_order_acq_rel))
        return ERR_CORRUPT;
    atomic_fetch_add_explicit(&arena->references, 1, memory_order_relaxed);
    atomic_store_explicit(&arena->held[picture->slot], 1, memory_order_release);
    held->arena = arena;
    held->frame = (struct frame){
        .references = 1,
        .format     = (enum frame_format)picture->format,
        .matrix     = (picture->flags & DECODE_WIRE_BT709) != 0 ? FRAME_BT709 : FRAME_BT601,
        .full_range = (picture->flags & DECODE_WIRE_FULL_RANGE) != 0,
        .width_px   = (int)picture->width_px,
        .height_px  = (int)picture->height_px,
        .release    = give_back,
        .owner      = held,
    };
    for (int i = 0; i < 3; i++) {
        uint32_t row_bytes, rows;

        decode_wire_plane(held->frame.format, i, picture->width_px, picture->height_px, &row_bytes,
                          &rows);
        if (rows == 0)
            continue;
        held->frame.plane[i]        = slot + picture->offset[i];
        held->frame.stride_bytes[i] = (int)picture->stride_bytes[i];
    }
    *out = &held->frame;
    return 0;
}
