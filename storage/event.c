#include "storage/event.h"

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "config/json_writer.h"
#include "storage/event_codec.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* First byte of event_encode(). Names and a body follow. */
#define EVENT_VERSION 1

/* Second byte of a body. */
#define SCALE_BITS 0x03 /* pts in ns, us or ms, whichever loses nothing */
#define HAS_DWELL  0x04
#define FLAG_BITS  (SCALE_BITS | HAS_DWELL)

/* A share is kept to 4 decimals: finer than any score means. */
#define SHARE_STEPS 10000
/* A point is kept to 1/2048 of the picture: a pixel of a Full HD frame. */
#define POINT_STEPS 2048
/* A box may reach past the picture's edge, but not by more than this many pictures. */
#define POINT_REACH 8

static const int64_t SCALE_NS[] = {1, NS_PER_US, NS_PER_MS};

const char *event_kind_name(enum event_kind kind)
{
    switch (kind) {
    case EVENT_LINE_CROSSING:
        return "line_crossing";
    case EVENT_ZONE_ENTRY:
        return "zone_entry";
    case EVENT_ZONE_EXIT:
        return "zone_exit";
    }
    return "unknown";
}

const char *event_direction_name(enum event_direction direction)
{
    switch (direction) {
    case DIRECTION_NONE:
        return "none";
    case DIRECTION_A_TO_B:
        return "a_to_b";
    case DIRECTION_B_TO_A:
        return "b_to_a";
    }
    return "unknown";
}

static bool name_valid(const char name[static LIMIT_NAME_BYTES])
{
    return name[0] != '\0' && memchr(name, '\0', LIMIT_NAME_BYTES) != NULL;
}

bool event_valid(const struct event *event)
{
    bool crossing = event->kind == EVENT_LINE_CROSSING;

    if (!crossing && event->kind != EVENT_ZONE_ENTRY && event->kind != EVENT_ZONE_EXIT)
        return false;
    if (crossing ? event->direction != DIRECTION_A_TO_B && event->direction != DIRECTION_B_TO_A
                 : event->direction != DIRECTION_NONE)
        return false;
    if ((unsigned)event->object_class >= OBJECT_CLASSES || event->time_ns < 0)
        return false;
    if (event->path_count < 0 || event->path_count > LIMIT_EVENT_PATH_POINTS)
        return false;
    return name_valid(event->camera) && name_valid(event->counter);
}

static uint64_t share_steps(float share)
{
    if (!(share > 0))
        return 0;
    return share >= 1 ? SHARE_STEPS : (uint64_t)lroundf(share * SHARE_STEPS);
}

static int64_t point_steps(float value)
{
    if (!isfinite(value))
        return 0;
    if (value > POINT_REACH)
        return (int64_t)POINT_REACH * POINT_STEPS;
    if (value < -POINT_REACH)
        return (int64_t)-POINT_REACH * POINT_STEPS;
    return lroundf(value * POINT_STEPS);
}

static unsigned scale_of(int64_t value_ns)
{
    if (value_ns % NS_PER_MS == 0)
        return 2;
    return value_ns % NS_PER_US == 0 ? 1 : 0;
}

static void put_path(struct bytes_writer *out, const struct event *event)
{
    int64_t x = 0, y = 0;

    byte_put(out, (uint8_t)event->path_count);
    for (int i = 0; i < event->path_count; i++) {
        int64_t next_x = point_steps(event->path[i].x);
        int64_t next_y = point_steps(event->path[i].y);

        signed_put(out, next_x - x);
        signed_put(out, next_y - y);
        x = next_x;
        y = next_y;
    }
}

void event_put_body(struct bytes_writer *out, const struct event *event, int64_t before_ns)
{
    unsigned scale   = scale_of(event->pts_ns);
    uint8_t  rule[4] = {(uint8_t)event->rule, (uint8_t)(event->rule >> 8),
                        (uint8_t)(event->rule >> 16), (uint8_t)(event->rule >> 24)};

    ASSERT(event_valid(event));
    byte_put(out, (uint8_t)((unsigned)event->kind << 4 | (unsigned)event->direction));
    byte_put(out, (uint8_t)(scale | (event->dwell_ms != 0 ? HAS_DWELL : 0)));
    byte_put(out, (uint8_t)event->object_class);
    signed_put(out, wrapping_difference(event->time_ns, before_ns));
    varint_put(out, share_steps(event->confidence));
    varint_put(out, share_steps(event->class_share));
    varint_put(out, event->track);
    varint_put(out, event->frame);
    signed_put(out, event->pts_ns / SCALE_NS[scale]);
    if (event->dwell_ms != 0)
        varint_put(out, event->dwell_ms);
    bytes_put(out, rule, sizeof rule);
    put_path(out, event);
}

static bool take_share(struct bytes_reader *in, float *share)
{
    uint64_t steps = varint_take(in);

    if (steps > SHARE_STEPS)
        return false;
    *share = (float)steps / SHARE_STEPS;
    return true;
}

static bool take_coordinate(struct bytes_reader *in, int64_t *steps, float *value)
{
    *steps = wrapping_sum(*steps, signed_take(in));
    if (*steps < (int64_t)-POINT_REACH * POINT_STEPS || *steps > (int64_t)POINT_REACH * POINT_STEPS)
        return false;
    *value = (float)*steps / POINT_STEPS;
    return true;
}

static bool take_path(struct bytes_reader *in, struct event *event)
{
    int64_t x = 0, y = 0;

    event->path_count = byte_take(in);
    if (event->path_count > LIMIT_EVENT_PATH_POINTS)
        return false;
    for (int i = 0; i < event->path_count; i++) {
        if (!take_coordinate(in, &x, &event->path[i].x) ||
            !take_coordinate(in, &y, &event->path[i].y))
            return false;
    }
    return true;
}

static bool take_numbers(struct bytes_reader *in, struct event *event, uint8_t flags)
{
    int64_t        scale_ns = SCALE_NS[flags & SCALE_BITS];
    int64_t        pts;
    uint64_t       dwell_ms;
    const uint8_t *rule;

    if (!take_share(in, &event->confidence) || !take_share(in, &event->class_share))
        return false;
    event->track = varint_take(in);
    event->frame = varint_take(in);
    pts          = signed_take(in);
    if (pts > INT64_MAX / scale_ns || pts < INT64_MIN / scale_ns)
        return false;
    event->pts_ns = pts * scale_ns;
    dwell_ms      = (flags & HAS_DWELL) != 0 ? varint_take(in) : 0;
    if (dwell_ms > UINT32_MAX)
        return false;
    event->dwell_ms = (uint32_t)dwell_ms;
    rule            = bytes_take(in, 4);
    if (rule == NULL)
        return false;
    event->rule = (uint32_t)rule[0] | (uint32_t)rule[1] << 8 | (uint32_t)rule[2] << 16 |
                  (uint32_t)rule[3] << 24;
    return true;
}

bool event_take_body(struct bytes_reader *in, struct event *event, int64_t before_ns)
{
    uint8_t head  = byte_take(in);
    uint8_t flags = byte_take(in);

    event->kind         = (enum event_kind)(head >> 4);
    event->direction    = (enum event_direction)(head & 0x0f);
    event->object_class = (enum object_class)byte_take(in);
    event->time_ns      = wrapping_sum(before_ns, signed_take(in));
    event->path_count   = 0;
    if (in->failed || flags > FLAG_BITS || (flags & SCALE_BITS) > 2)
        return false;
    return take_numbers(in, event, flags) && take_path(in, event) && !in->failed;
}

static void put_name(struct bytes_writer *out, const char *name)
{
    size_t bytes = strlen(name);

    byte_put(out, (uint8_t)bytes);
    bytes_put(out, name, bytes);
}

static void take_name(struct bytes_reader *in, char name[static LIMIT_NAME_BYTES])
{
    size_t         bytes = byte_take(in);
    const uint8_t *text  = bytes < LIMIT_NAME_BYTES ? bytes_take(in, bytes) : NULL;

    memset(name, 0, LIMIT_NAME_BYTES);
    if (text == NULL || memchr(text, '\0', bytes) != NULL)
        in->failed = true;
    else
        memcpy(name, text, bytes);
}

size_t event_encode(const struct event *event, uint8_t bytes[static EVENT_ENCODED_MAX_BYTES])
{
    struct bytes_writer out = {.at = bytes, .end = bytes + EVENT_ENCODED_MAX_BYTES};

    ASSERT(event_valid(event));
    byte_put(&out, EVENT_VERSION);
    put_name(&out, event->camera);
    put_name(&out, event->counter);
    event_put_body(&out, event, 0);
    ASSERT(!out.failed);
    return (size_t)(out.at - bytes);
}

int event_decode(struct event *event, const uint8_t *bytes, size_t count)
{
    struct bytes_reader in = {.at = bytes, .end = bytes + count};

    memset(event, 0, sizeof *event);
    if (byte_take(&in) != EVENT_VERSION)
        return ERR_CORRUPT;
    take_name(&in, event->camera);
    take_name(&in, event->counter);
    if (in.failed || !event_take_body(&in, event, 0) || in.at != in.end || !event_valid(event))
        return ERR_CORRUPT;
    return 0;
}

void event_write_json(const struct event *event, struct json_writer *json)
{
    char time[32];
    char rule[16];

    clock_format_utc(event->time_ns, time);
    snprintf(rule, sizeof rule, "%08x", (unsigned)event->rule);
    json_begin_object(json);
    json_key(json, "seq"), json_put_uint(json, event->seq);
    json_key(json, "time"), json_put_string(json, time);
    json_key(json, "kind"), json_put_string(json, event_kind_name(event->kind));
    json_key(json, "camera"), json_put_string(json, event->camera);
    json_key(json, "counter"), json_put_string(json, event->counter);
    json_key(json, "direction"), json_put_string(json, event_direction_name(event->direction));
    json_key(json, "class"), json_put_string(json, object_class_name(event->object_class));
    json_key(json, "confidence"), json_put_fixed(json, (double)event->confidence, 4);
    json_key(json, "class_share"), json_put_fixed(json, (double)event->class_share, 4);
    json_key(json, "track"), json_put_uint(json, event->track);
    json_key(json, "frame"), json_put_uint(json, event->frame);
    json_key(json, "pts_ms"), json_put_int(json, event->pts_ns / NS_PER_MS);
    json_key(json, "dwell_ms"), json_put_uint(json, event->dwell_ms);
    json_key(json, "rule"), json_put_string(json, rule);
    json_key(json, "path"), json_begin_array(json);
    for (int i = 0; i < event->path_count; i++) {
        json_begin_array(json);
        json_put_fixed(json, (double)event->path[i].x, 4);
        json_put_fixed(json, (double)event->path[i].y, 4);
        json_end_array(json);
    }
    json_end_array(json);
    json_end_object(json);
}
