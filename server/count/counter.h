/* server/count/counter.h: the lines and zones of one camera; tracks in, events out.
 *
 * An object is where its box meets the ground: the middle of its lower edge. Only observations
 * count (and the place beside a companion who covers it), never predictions.
 *
 * A line is counted by the way from observation to observation, so that a fast object cannot jump
 * over it, on named sides, with hysteresis: jitter, a stop on the line and a turn back count
 * exactly zero; an object may cross again after it has properly returned (server/count/line.h). A
 * zone is a polygon: entry and exit with inertia, so that a detection that blinks at the edge is
 * one visit; dwell; occupancy now (server/count/zone.h).
 *
 * Who is lost inside a zone and found again near by as a new track (hidden, standing still) goes on
 * with the visit: no exit, no entry. A visit that nobody takes over within 5 s ends when its object
 * was last seen.
 *
 * Pure and deterministic. One thread (the loop). No allocation after open. */
#ifndef SIGHTLINE_SERVER_COUNT_COUNTER_H
#define SIGHTLINE_SERVER_COUNT_COUNTER_H

#include "config/settings.h"
#include "config/why.h"
#include "server/count/tracker.h"
#include "storage/event.h"

struct counter;

/* `camera`: its lines and zones are copied. width/height: the picture's size in px; when it
 * changes, counter_resize() keeps the counts and forgets where the tracks were. */
int  counter_open(struct counter **out, const struct settings_camera *camera, int width_px,
                  int height_px, struct why *why);
void counter_close(struct counter **counter);
void counter_resize(struct counter *counter, int width_px, int height_px);
/* All tracks are gone (stream restarted): their lives ended when they were last seen. What that
 * decides is emitted by the next counter_update() or counter_finish(). */
void counter_reset(struct counter *counter);

struct counter_time {
    int64_t  wall_ns; /* of the frame */
    int64_t  pts_ns;
    uint64_t frame;
};

/* One analysed picture: every track that tracker_tracks() gave. Calls `emit` for each event, in a
 * deterministic order, before it returns; seq is 0. event.time_ns is interpolated to the crossing
 * itself. */
typedef void counter_event_fn(void *arg, const struct event *event);
void         counter_update(struct counter *counter, const struct track *tracks, int count,
                            const struct counter_time *time, counter_event_fn *emit, void *arg);

/* The camera is removed or its file is at its end: every life and every visit ends where it was
 * last seen. `time` is that of the last picture. */
void counter_finish(struct counter *counter, const struct counter_time *time,
                    counter_event_fn *emit, void *arg);

/* The camera of the same name has other lines, zones or classes from the next picture on. A line or
 * zone of which nothing changed but its place in the list or the names of its directions goes on as
 * if nothing had happened: ways half over it, visits, dwell. One that is gone, renamed or drawn anew
 * ends for everybody as in counter_finish(), and begins with what the next picture shows. When the
 * camera's classes change, only visits of the classes that it counts no longer end, and who is of a
 * new class enters now. `camera` is copied; ERR_MEMORY: nothing has changed. */
int counter_change(struct counter *counter, const struct settings_camera *camera,
                   counter_event_fn *emit, void *arg, struct why *why);

/* Objects inside a zone now, by class. `index` as in settings_camera.zones. */
void counter_occupancy(const struct counter *counter, int index, uint32_t inside[OBJECT_CLASSES]);

#endif
