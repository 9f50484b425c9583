/* storage/event_codec.h: the part of an event's bytes that does not name its counter.
 *
 * Inside the ledger a number stands for (camera, counter) and the time is relative to the event
 * before it; event_encode() is the same body after the two names, relative to 0. */
#ifndef SIGHTLINE_STORAGE_EVENT_CODEC_H
#define SIGHTLINE_STORAGE_EVENT_CODEC_H

#include "storage/event.h"
#include "storage/varint.h"

void event_put_body(struct bytes_writer *out, const struct event *event, int64_t before_ns);
/* Leaves seq and the names as they are. False for anything that event_put_body() does not write. */
bool event_take_body(struct bytes_reader *in, struct event *event, int64_t before_ns);

#endif
