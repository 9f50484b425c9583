/* gpu/frame.h: one decoded picture on its way from a decoder to the inference pool.
 *
 * The only reference-counted thing of the program. A frame stays in its decoder's own pixel format
 * and memory; whoever made it gives a release function that runs when the last reference goes, on
 * whatever thread that is. Everything but the reference count is immutable once it is handed on. */
#ifndef SIGHTLINE_GPU_FRAME_H
#define SIGHTLINE_GPU_FRAME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum frame_format {
    FRAME_I420,  /* 8-bit planar Y, U, V; chroma halved in both directions */
    FRAME_I422,  /* chroma halved horizontally */
    FRAME_I444,  /* chroma in full */
    FRAME_NV12,  /* Y, then interleaved UV; chroma halved in both directions */
    FRAME_GRAY8, /* Y alone */
    FRAME_BGR24, /* packed, one plane */
    FRAME_RGB24, /* packed, one plane */
};

enum frame_matrix { FRAME_BT601, FRAME_BT709 };

struct frame {
    atomic_int        references;
    enum frame_format format;
    enum frame_matrix matrix;
    bool              full_range; /* luma 0..255 (JPEG) instead of 16..235 */
    int               width_px;
    int               height_px;
    const uint8_t    *plane[3];
    int               stride_bytes[3]; /* may be negative: a picture stored bottom up */
    unsigned          slot;            /* the camera's place in the server, 0..LIMIT_CAMERAS-1 */
    unsigned generation; /* grows each time a slot gets a new camera or its stream restarts */
    uint64_t number;     /* of the picture in its stream, in decode order, from 0 */
    int64_t  pts_ns;     /* media time since the start of the stream */
    int64_t  wall_ns;    /* when it was seen, UTC */
    int64_t  decoded_ns; /* monotonic clock, when the decoder gave it out */
    bool     still;      /* nothing moves in it; false as well when nobody has looked */
    void (*release)(struct frame *frame); /* frees the picture and the struct itself */
    void *owner;                          /* for release */
};

/* One more holder. Returns the same frame. Any thread. */
struct frame *frame_ref(struct frame *frame);
/* One holder less; NULL-safe, sets *frame = NULL. Any thread. */
void frame_unref(struct frame **frame);

struct frame_plane {
    int row_bytes;
    int rows; /* 0: the format has no such plane */
};
struct frame_plane frame_plane_of(enum frame_format format, int plane, int width_px, int height_px);

/* A frame with its own memory (planes of `format`, undefined content), one reference: for tests,
 * tools and copies. NULL when out of memory or when a side is not in 1..LIMIT_PICTURE_PX. */
struct frame *frame_alloc(enum frame_format format, int width_px, int height_px);

#endif
