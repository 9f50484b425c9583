/* server/camera/decode_arena.h: the memory that one decoder in a process of its own decodes into.
 *
 * A memfd, sealed against any change of size, of equal slots, one picture each. The decoder maps
 * it for writing, the server for reading; nothing is copied on the way to the inference. Pages
 * exist once they are written: an arena costs what its decoder uses.
 *
 * The first page holds one flag for each slot: the server sets it while it holds the picture, and
 * the decoder leaves such a slot alone. The server never reads a flag back. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_ARENA_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_ARENA_H

#include "config/why.h"
#include "gpu/frame.h"
#include "server/camera/decode_wire.h"

#include <stddef.h>

struct decode_arena;

/* Slots of at least so many bytes. *fd is the caller's to send and close. The arena lives until
 * decode_arena_close and the last frame in it. ERR_MEMORY, ERR_LIMIT. */
int      decode_arena_open(struct decode_arena **out, size_t slot_bytes, int *fd, struct why *why);
void     decode_arena_close(struct decode_arena **arena);
unsigned decode_arena_slots(const struct decode_arena *arena);
size_t   decode_arena_slot_bytes(const struct decode_arena *arena);

/* The picture as a frame with one reference; slot, numbers and times are the caller's to fill in.
 * It was checked by decode_wire_check. ERR_CORRUPT: the slot is held already. */
int decode_arena_frame(struct decode_arena *arena, const struct decode_wire_picture *picture,
                       struct frame **out);

#endif
