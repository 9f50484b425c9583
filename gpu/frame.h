/* gpu/frame.h: one decoded picture on its way from a decoder to the inference pool.
 *
 * The only reference-counted thing of the program. A frame stays in its decoder's own pixel format
 * and memory; whoever made it gives a release function that runs when the last reference goes, on
 * whatever thread that is. Everything but the reference count is immutable once it is handed on.
 *
 * A picture that a card has decoded may stay in that card's memory (`device`): a backend that reads
 * it there is given it as it is, and whoever needs it in host memory asks frame_in_host(). */
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

struct frame;

/* A card in whose memory pictures lie. Outlives its frames. */
struct frame_device {
    int number; /* as CUDA counts the devices that this process sees */
    /* CUDA's stream on which the pictures are written: who reads one there first waits for what is on
     * it by then, and holds the frame until it has read. NULL: the default stream. */
    void *stream;
    /* The picture in host memory, in the same format, size and colours: a frame of its own with one
     * reference, or NULL when it cannot be had. Any thread. */
    struct frame *(*copy)(const struct frame *frame);
};

struct frame {
    atomic_int                 references;
    enum frame_format          format;
    enum frame_matrix          matrix;
    bool                       full_range; /* luma 0..255 (JPEG) instead of 16..235 */
    int                        width_px;
    int                        height_px;
    const uint8_t             *plane[3];
    int                        stride_bytes[3]; /* may be negative: a picture stored bottom up */
    const struct frame_device *device; /* whose addresses `plane` holds; NULL: the host's */
    unsigned                   slot;   /* the camera's place in the server, 0..LIMIT_CAMERAS-1 */
    unsigned generation; /* grows each time a slot gets a new camera or its stream restarts */
    uint64_t number;     /* of the picture in its stream, in decode order, from 0 */
    int64_t  pts_ns;     /* media time since the start of the stream */
    int64_t  wall_ns;    /* when it was seen, UTC */
    int64_t  decoded_ns; /* monotonic clock, when the decoder gave it out */
    bool     still;      /* nothing moves in it; false as well when nobody has looked */
    void (*release)(struct frame *frame); /* frees the picture and the struct itself */
    void                   *owner;        /* for release */
    _Atomic(struct frame *) in_host;      /* frame_in_host()'s */
};

/* One more holder. Returns the same frame. Any thread. */
struct frame *frame_ref(struct frame *frame);
/* One holder less; NULL-safe, sets *frame = NULL. Any thread. */
void frame_unref(struct frame **frame);

/* Why a picture is copied out of a card's memory. */
enum frame_copy {
    FRAME_COPY_INFERENCE, /* the backend that analyses it does not read it where it is */
    FRAME_COPY_MOTION,    /* the motion gate looks at it */
    FRAME_COPY_VIEW,      /* it becomes a JPEG */
    FRAME_COPY_HELD,      /* so many of its decoder's are in use that it would soon have none */
    FRAME_COPIES,
};
const char *frame_copy_name(enum frame_copy why); /* "inference", ... */

/* The same picture in host memory, valid as long as the frame: itself, or a copy that is made by who
 * asks first, and counted. NULL: it cannot be copied, as its device is lost or memory is short. Any
 * thread. */
struct frame *frame_in_host(struct frame *frame, enum frame_copy why);
/* One more was made elsewhere. Any thread, as the next. */
void     frame_count_copy(enum frame_copy why);
uint64_t frame_copies(enum frame_copy why); /* since the start */

struct frame_plane {
    int row_bytes;
    int rows; /* 0: the format has no such plane */
};
struct frame_plane frame_plane_of(enum frame_format format, int plane, int width_px, int height_px);

/* A frame with its own memory (planes of `format`, undefined content), one reference: for tests,
 * tools and copies. NULL when out of memory or when a side is not in 1..LIMIT_PICTURE_PX. */
struct frame *frame_alloc(enum frame_format format, int width_px, int height_px);

#endif
