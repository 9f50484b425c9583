/* server/pipeline.h: the way of a picture through the house. The file to read first is pipeline.c. */
#ifndef SIGHTLINE_SERVER_PIPELINE_H
#define SIGHTLINE_SERVER_PIPELINE_H

#include "config/settings.h"
#include "config/why.h"
#include "gpu/detector.h"
#include "gpu/inference_pool.h"
#include "server/camera/camera.h"
#include "server/count/tracker.h"
#include "server/main_stream.h"
#include "storage/event.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct pipeline;

/* Where the pipeline's results go. All called on the loop. */
struct pipeline_output {
    void *arg;
    /* A counted thing; seq is 0. */
    void (*event)(void *arg, const struct event *event);
    /* Every analysed picture: its confirmed tracks, of the classes that the camera counts. */
    void (*tracks)(void *arg, int index, const struct frame *frame, const struct track *tracks,
                   int count);
    /* Objects inside a zone have changed. */
    void (*occupancy)(void *arg, const char *camera, const char *zone,
                      const uint32_t inside[OBJECT_CLASSES]);
    /* What part of some seconds before `time_ns` (UTC) was analysed; all of them lie in one minute. */
    void (*coverage)(void *arg, const char *camera, int64_t time_ns, uint32_t analysed_ms,
                     uint32_t elapsed_ms);
    void (*unit)(void *arg, int index, struct camera_unit *unit);
    void (*camera_changed)(void *arg, int index);
    /* What pipeline_camera() was asked for with camera_want_snapshot(). May be NULL. */
    void (*snapshot)(void *arg, int index, struct camera_unit *jpeg);
    /* Of the camera's main stream, while it is wanted (main_stream.h). Both NULL: nobody looks. */
    void (*main_unit)(void *arg, int index, struct camera_unit *unit, int64_t shift_ns);
    void (*main_changed)(void *arg, int index);
    /* A file camera has ended and its last picture has been counted. */
    void (*finished)(void *arg, int index);
};

struct pipeline_settings {
    uv_loop_t              *loop;
    const struct detector  *detector; /* NULL: cameras run for live view, nothing is counted */
    int                     decode_workers;
    enum settings_isolation isolation;
    int                     decode_device; /* as in struct settings */
    int                     inference_workers;
    bool                    every_frame; /* files as fast as possible: nothing is ever dropped */
    struct pipeline_output  output;
};

int pipeline_open(struct pipeline **out, const struct pipeline_settings *settings, struct why *why);
/* Stops cameras and workers; no output after it. Memory goes when the loop has closed the handles. */
void pipeline_close(struct pipeline **pipeline);

/* Makes the cameras those of the list: new ones start, those that are gone stop, changed ones
 * restart, all others are left alone. A changed rate, line, zone or class restarts nothing: the stream
 * and all other lines and zones go on (counter_change()). Copies. */
int pipeline_apply(struct pipeline *pipeline, const struct settings_camera *cameras, int count,
                   struct why *why);

int                           pipeline_camera_count(const struct pipeline *pipeline);
const struct settings_camera *pipeline_camera_settings(const struct pipeline *pipeline, int index);
/* For a camera that is only tried. */
struct decode_pool *pipeline_decode_pool(const struct pipeline *pipeline);
struct camera      *pipeline_camera(const struct pipeline *pipeline, int index);

/* NULL: the camera has one stream. */
struct main_stream        *pipeline_main_stream(const struct pipeline *pipeline, int index);
const struct main_streams *pipeline_main_streams(const struct pipeline *pipeline);

struct pipeline_camera_stats {
    uint64_t frames_dropped; /* newer ones took their place before they were analysed */
    uint64_t frames_failed;
    uint64_t events;
    double   given_fps;  /* the rate at which it is to be analysed now; 0: every picture */
    double   share;      /* of the wanted rate, 0..1: below 1 the detector cannot keep up */
    double   coverage;   /* of the last full minute, 0..1; negative before it */
    int64_t  latency_ns; /* decode to counted, of the last picture */
    double   loss;       /* of its packets over the last seconds, 0..1 (packet_loss.h) */
};
void pipeline_camera_stats(const struct pipeline *pipeline, int index,
                           struct pipeline_camera_stats *stats);
/* NULL when nothing is analysed. */
struct inference_pool *pipeline_inference_pool(const struct pipeline *pipeline);
/* A pool for a pipeline that began without a detector: made on any thread, while the pipeline is open
 * (a session on a device may take minutes), and given to it on the loop, once; it is then the
 * pipeline's. A pool that is not given is closed before the pipeline. */
int  pipeline_make_pool(struct pipeline *pipeline, const struct detector *detector,
                        struct inference_pool **pool, struct why *why);
void pipeline_give_pool(struct pipeline *pipeline, struct inference_pool *pool);

#endif
