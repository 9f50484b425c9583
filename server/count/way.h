/* server/count/way.h: the way an object went, in few points: the evidence of an event.
 *
 * Of more points than fit, the one that changes the drawn way least is dropped, never the first or
 * the last: what remains is the shape of the whole way. */
#ifndef SIGHTLINE_SERVER_COUNT_WAY_H
#define SIGHTLINE_SERVER_COUNT_WAY_H

#include "config/limits.h"
#include "server/count/geometry.h"
#include "storage/event.h"

/* All zero: no points. */
struct way {
    int                count;
    struct event_point points[LIMIT_EVENT_PATH_POINTS];
};

void way_add(struct way *way, struct event_point point);

#endif
