/* storage/event.h: one counted thing, as it is kept for ever.
 *
 * Names, not numbers, tie an event to its camera and counter, so that a history outlives every
 * change of the configuration. Positions are relative to the picture (0..1), so that they outlive a
 * change of the camera's resolution. */
#ifndef SIGHTLINE_STORAGE_EVENT_H
#define SIGHTLINE_STORAGE_EVENT_H

#include "config/limits.h"
#include "config/object_class.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are stored: never reorder, only append. */
enum event_kind {
    EVENT_LINE_CROSSING = 1,
    EVENT_ZONE_ENTRY    = 2,
    EVENT_ZONE_EXIT     = 3,
};

/* Side A is on the left hand of someone who walks on the picture from the line's first point to
 * its second. */
enum event_direction {
    DIRECTION_NONE   = 0, /* zones */
    DIRECTION_A_TO_B = 1,
    DIRECTION_B_TO_A = 2,
};

struct event_point {
    float x, y; /* relative to the picture, 0..1 */
};

struct event {
    uint64_t        seq;     /* place in the ledger, from 1, without holes; 0 before the commit */
    int64_t         time_ns; /* UTC, when it happened: the crossing itself, not its detection */
    enum event_kind kind;
    enum event_direction direction;
    char                 camera[LIMIT_NAME_BYTES];
    char                 counter[LIMIT_NAME_BYTES]; /* name of the line or zone */
    enum object_class    object_class;
    float                confidence;  /* mean score of the track's boxes, 0..1 */
    float                class_share; /* votes for object_class of all class votes, 0..1 */
    uint64_t             track;       /* identity of the object within its camera and run */
    uint64_t             frame;       /* number of the frame that decided it */
    int64_t              pts_ns;      /* media time of that frame */
    uint32_t             dwell_ms;    /* zone exits: how long the object was inside */
    uint32_t rule; /* digest of the line's or zone's geometry and rule: same number, same rule */
    int      path_count;
    struct event_point path[LIMIT_EVENT_PATH_POINTS]; /* the track's last way, oldest first */
};

/* "line_crossing", "zone_entry", "zone_exit"; "a_to_b", "b_to_a", "none". */
const char *event_kind_name(enum event_kind kind);
const char *event_direction_name(enum event_direction direction);

/* What the ledger takes: known kind, the direction that belongs to it, known class, both names,
 * a time since 1970. Numbers that are not finite or out of range are not refused; they are kept
 * as the nearest value that can be. */
bool event_valid(const struct event *event);

#define EVENT_ENCODED_MAX_BYTES 512

/* Compact, versioned bytes of a valid event. Returns how many, never more than
 * EVENT_ENCODED_MAX_BYTES. Shares are kept to 1/10000, path points to 1/2048 of the picture,
 * everything else exactly; encoding what was decoded gives the same bytes. */
size_t event_encode(const struct event *event, uint8_t bytes[static EVENT_ENCODED_MAX_BYTES]);
/* Reads what event_encode() of this or an older version wrote; ERR_CORRUPT for anything else. `seq`
 * is not part of the bytes. Asserts nothing about them. */
int event_decode(struct event *event, const uint8_t *bytes, size_t count);

struct json_writer;
/* One JSON object with all fields, times as ISO 8601 text: the shape of the API, the WebSocket, the
 * export and Redis (server/api/protocol.md). */
void event_write_json(const struct event *event, struct json_writer *json);

#endif
