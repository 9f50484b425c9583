/* server/pipeline_inside.h: what the parts of the pipeline share: pipeline.c, the way of a picture,
 * pipeline_change.c, what changes meanwhile, and pipeline_watch.c, what is looked after every second.
 * Nobody else includes it. */
#ifndef SIGHTLINE_SERVER_PIPELINE_INSIDE_H
#define SIGHTLINE_SERVER_PIPELINE_INSIDE_H

#include "server/camera/decode.h"
#include "server/camera/motion.h"
#include "server/count/counter.h"
#include "server/coverage.h"
#include "server/main_stream.h"
#include "server/packet_loss.h"
#include "server/pipeline.h"
#include "server/rate_share.h"

#include <stdatomic.h>

struct pipeline_camera {
    struct pipeline       *pipeline;
    struct settings_camera settings;
    struct camera         *camera;
    struct main_stream    *main_stream; /* NULL: it has one stream */
    struct tracker        *tracker;
    struct counter        *counter; /* NULL before the first picture */
    struct coverage        coverage;
    unsigned               slot;
    int64_t                opened_ns;
    unsigned               generation;
    int                    width_px, height_px;
    atomic_uint_fast64_t   submitted; /* grows on a decode worker */
    uint64_t               handled;   /* results seen here */
    bool                   ended;
    bool                   finished;
    uint64_t               frames_failed;
    atomic_uint_fast64_t   frames_dropped; /* grows on a decode worker */
    uint64_t               events;
    int64_t                latency_ns;
    struct packet_loss     loss;
    struct counter_time    last_time; /* of the last counted picture */
    double                 given_fps;
    struct motion_gate     gate;   /* offline: which pictures a live camera would have analysed */
    bool                   active; /* something is followed */
    /* Pictures in which nothing moves, one after the other, taken from then to then (UTC). A decode
     * worker writes; the loop reads them the other way round. */
    _Atomic int64_t still_since_ns, still_until_ns;
    uint32_t        occupancy[LIMIT_ZONES][OBJECT_CLASSES];
};

struct pipeline {
    struct pipeline_settings         settings;
    struct decode_pool              *decode_pool;
    _Atomic(struct inference_pool *) inference_pool; /* comes once, on the loop; workers read it */
    uv_async_t                       results;
    uv_timer_t                       tick;
    int                              handles_open;
    int                              count;
    struct pipeline_camera          *cameras[LIMIT_CAMERAS];
    struct pipeline_camera          *slots[LIMIT_CAMERAS]; /* by frame.slot; NULL: free */
    struct track                     wanted[LIMIT_TRACKS]; /* scratch of one picture */
    struct rate_share                share;
    struct main_streams              main_streams;
    uint64_t                         submitted, dropped; /* by the pool until the last tick */
    int64_t busy_ns, ticked_ns; /* its workers' time until then, and when that was */
};

/* ---- pipeline.c ---- */

/* counter_event_fn; arg: the camera. */
void pipeline_on_event(void *arg, const struct event *event);
/* Tells of each zone in which others are than was told last. There is a counter. */
void pipeline_tell_occupancy(struct pipeline_camera *camera);

/* ---- pipeline_change.c ---- */

/* Do only the lines, zones, classes, the rate or the main stream differ, so that it can go on? */
bool pipeline_same_stream(const struct settings_camera *a, const struct settings_camera *b);
/* To such settings. On an error what could not be changed is as it was. */
int pipeline_change_camera(struct pipeline_camera *camera, const struct settings_camera *settings,
                           struct why *why);

/* ---- pipeline_main.c ---- */

/* After the camera is opened, if it has a second stream. */
int pipeline_open_main(struct pipeline_camera *camera, struct why *why);

/* ---- pipeline_watch.c ---- */

/* Of a camera's sink; on a decode worker. */
void pipeline_on_still(void *arg, int64_t wall_ns);
/* The rate at which it is analysed now: its own, or under overload its share of that. */
void pipeline_give_rate(struct pipeline_camera *camera);
/* What the motion gate kept back was watched: into the coverage. */
void pipeline_take_still(struct pipeline_camera *camera);
void pipeline_flush_coverage(struct pipeline_camera *camera, int64_t now_ns);
/* Every second: under overload, each camera's share of its wanted rate; and the coverage. */
void pipeline_on_tick(uv_timer_t *timer);

#endif
