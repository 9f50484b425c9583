/* server/camera/decode_view.h: the camera's own packets as units that a browser decodes, and the
 * units of the current group of pictures, kept so that a new viewer sees something at once. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_VIEW_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_VIEW_H

#include "server/camera/camera.h"

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- packets to units; a worker ---- */

struct decode_view;

/* ERR_UNSUPPORTED: browsers get JPEG of this codec. ERR_MEMORY. */
int               decode_view_open(struct decode_view **out, const AVCodecParameters *parameters,
                                   AVRational time_base);
void              decode_view_close(struct decode_view **view);
enum camera_video decode_view_video(const struct decode_view *view);
/* The unit of a packet: Annex B, parameter sets in front of a key frame. Times are the caller's
 * to fill in. ERR_CORRUPT: no unit can be made of it (yet: no parameter sets came). */
int decode_view_unit(struct decode_view *view, const AVPacket *packet, struct camera_unit **out);

/* ---- the units since the last key frame, and which of them the loop has taken; under the
 * stream's lock ---- */

#define DECODE_UNITS 1024 /* 40 s at 25 pictures a second; longer groups are not kept */

struct decode_units {
    struct camera_unit **ring; /* DECODE_UNITS, NULL until the first one */
    size_t               first, count;
    size_t               bytes;  /* of all in the ring */
    size_t               cursor; /* how many of them the loop has taken, from the first on */
    size_t key; /* index of the last key frame from the first on; `count`: none is held */
    bool   wanted;
    bool   waits_for_key;        /* the loop gets none before */
    struct camera_unit *jpeg;    /* the newest, untaken */
    uint64_t            dropped; /* for a loop that does not take them */
};

void decode_units_free(struct decode_units *units);
/* Another stream begins: what is held cannot be joined to it. */
void decode_units_clear(struct decode_units *units);
/* Wanted: the next ones taken are those since the last key frame. */
void decode_units_want(struct decode_units *units, bool wanted);
/* Takes the reference. True when the loop has something to take. */
bool decode_units_put(struct decode_units *units, struct camera_unit *unit);
/* A new reference, or the JPEG's only one; NULL: nothing to take. */
struct camera_unit *decode_units_take(struct decode_units *units);
/* The i-th of those since the last key frame that were taken already; NULL: no more. Not a
 * reference. */
struct camera_unit *decode_units_replay(struct decode_units *units, size_t index);
/* How many are held from the last key frame on, taken or not; and the i-th of them, not a
 * reference. */
size_t              decode_units_since_key(const struct decode_units *units);
struct camera_unit *decode_units_from_key(struct decode_units *units, size_t index);

#endif
