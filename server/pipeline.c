/* The way of a picture through the house, from the camera to the counted event:
 *
 *   camera --packets--> decode --frames--> detect --boxes--> track --paths--> count --events--> output
 *   (loop)           (decode workers) (inference pool)   \---------- (loop) ---------/
 *
 *   camera_sink.frame      on_frame()     a decode worker hands a picture to the inference pool
 *   inference pool         wake()         a result waits: the loop is woken
 *   loop                   on_results()   takes results and, for each, in order of its pictures:
 *                            follow_stream()   a new stream or picture size forgets the old tracks
 *                            tracker_update()  boxes become objects with an identity
 *                            counter_update()  paths become events
 *   loop, every second     pipeline_watch.c  coverage: which part of the time was really analysed;
 *                                         under overload, each camera's share of its wanted rate
 *
 * Only the loop touches what is here, except on_frame() and wake(), which run on workers and touch
 * the pool and one atomic number. */
#include "server/pipeline_inside.h"

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "gpu/backend_cuda.h"
#include "server/camera/decode_device.h"

#include <stdlib.h>
#include <string.h>

#define TICK_MS 1000
/* Cameras that start together connect this far apart: the accept queue of small servers holds 5. */
#define START_STAGGER_MS 30
/* Frames in flight for a file that is analysed as fast as possible: enough to keep every worker
 * busy, few enough to bound memory (8 pictures of 1080p are 25 MB). */
#define WAITING_EVERY_FRAME 8
#define WAITING_NEWEST      1

/* ---- from the camera to the inference pool ---- */

/* On a decode worker. */
static void on_frame(void *arg, struct frame *frame)
{
    struct pipeline_camera *camera = arg;
    struct inference_pool  *pool   = camera->pipeline->inference_pool;
    int                     rc;

    if (pool == NULL) {
        frame_unref(&frame);
        return;
    }
    atomic_fetch_add(&camera->submitted, 1);
    if (camera->pipeline->settings.every_frame)
        rc = inference_pool_submit_or_wait(pool, frame);
    else
        rc = inference_pool_submit(pool, frame);
    if (rc != 0)
        atomic_fetch_add(&camera->frames_dropped, 1);
}

static void on_camera_changed(void *arg, struct camera *source);
static void on_unit(void *arg, struct camera *source, struct camera_unit *unit);

/* On an inference worker. */
static void wake(void *arg)
{
    struct pipeline *pipeline = arg;

    uv_async_send(&pipeline->results);
}

/* ---- from boxes to events ---- */

static int index_of(const struct pipeline *pipeline, const struct pipeline_camera *camera)
{
    for (int i = 0; i < pipeline->count; i++) {
        if (pipeline->cameras[i] == camera)
            return i;
    }
    return -1;
}

void pipeline_on_event(void *arg, const struct event *event)
{
    struct pipeline_camera       *camera = arg;
    const struct pipeline_output *output = &camera->pipeline->settings.output;

    camera->events++;
    output->event(output->arg, event);
}

/* A stream that began again or a picture of another size: what was tracked is somewhere else now. */
static int follow_stream(struct pipeline_camera *camera, const struct frame *frame, struct why *why)
{
    if (camera->counter == NULL) {
        int rc = counter_open(&camera->counter, &camera->settings, frame->width_px,
                              frame->height_px, why);
        if (rc != 0)
            return rc;
    } else if (frame->width_px != camera->width_px || frame->height_px != camera->height_px) {
        tracker_reset(camera->tracker);
        counter_resize(camera->counter, frame->width_px, frame->height_px);
    } else if (frame->generation != camera->generation) {
        tracker_reset(camera->tracker);
        counter_reset(camera->counter);
    }
    camera->generation = frame->generation;
    camera->width_px   = frame->width_px;
    camera->height_px  = frame->height_px;
    return 0;
}

void pipeline_tell_occupancy(struct pipeline_camera *camera)
{
    const struct pipeline_output *output = &camera->pipeline->settings.output;
    uint32_t                      inside[OBJECT_CLASSES];

    for (int i = 0; i < camera->settings.zone_count; i++) {
        counter_occupancy(camera->counter, i, inside);
        if (memcmp(inside, camera->occupancy[i], sizeof inside) == 0)
            continue;
        memcpy(camera->occupancy[i], inside, sizeof inside);
        output->occupancy(output->arg, camera->settings.name, camera->settings.zones[i].name,
                          inside);
    }
}

/* Tracks of the classes that the camera counts: what else was seen helped to tell objects apart, but
 * is nobody's business. Returns how many. */
static int wanted_tracks(const struct pipeline_camera *camera, const struct track *tracks,
                         int count, struct track wanted[LIMIT_TRACKS])
{
    int kept = 0;

    for (int i = 0; i < count && kept < LIMIT_TRACKS; i++) {
        if ((camera->settings.classes >> tracks[i].box.object_class & 1U) != 0)
            wanted[kept++] = tracks[i];
    }
    return kept;
}

/* What may be or become an object that is followed: then the motion gate stays open. */
static bool is_active(const struct inference_result *result, int track_count)
{
    float new_score = tracker_settings_default().new_score;

    for (int i = 0; i < result->box_count && track_count == 0; i++) {
        if (result->boxes[i].score >= new_score)
            return true;
    }
    return track_count > 0;
}

/* Offline all pictures are analysed, and those that a live camera's gate would have kept back are
 * put aside here, in their order: the same video gives the same counts. */
static bool is_kept_back(struct pipeline_camera *camera, const struct frame *frame)
{
    return camera->pipeline->settings.every_frame && camera->settings.motion.enabled &&
           !motion_gate_wants(&camera->gate, !frame->still, camera->active, frame->pts_ns);
}

static void count_frame(struct pipeline_camera *camera, const struct inference_result *result)
{
    const struct pipeline_output *output = &camera->pipeline->settings.output;
    const struct frame           *frame  = result->frame;
    struct counter_time           time   = {frame->wall_ns, frame->pts_ns, frame->number};
    const struct track           *tracks;
    struct why                    why;
    int                           count;

    if (is_kept_back(camera, frame))
        return;
    if (follow_stream(camera, frame, &why) != 0) {
        log_error(camera->settings.name, "cannot count: %s", why.text);
        camera->frames_failed++;
        return;
    }
    tracker_update(camera->tracker, result->boxes, result->box_count, frame->pts_ns);
    tracks = tracker_tracks(camera->tracker, &count);
    counter_update(camera->counter, tracks, count, &time, pipeline_on_event, camera);
    camera->last_time = time;
    pipeline_tell_occupancy(camera);
    pipeline_take_still(camera);
    coverage_frame(&camera->coverage, frame->wall_ns);
    camera->active = is_active(result, count);
    camera_set_active(camera->camera, camera->active);
    camera->latency_ns = clock_monotonic_ns() - frame->decoded_ns;
    count              = wanted_tracks(camera, tracks, count, camera->pipeline->wanted);
    output->tracks(output->arg, index_of(camera->pipeline, camera), frame, camera->pipeline->wanted,
                   count);
}

/* The last picture of a file has gone through: visits end, and whoever waits is told. */
static void finish_if_done(struct pipeline_camera *camera)
{
    const struct pipeline_output *output = &camera->pipeline->settings.output;

    if (!camera->ended || camera->finished)
        return;
    if (camera->handled + atomic_load(&camera->frames_dropped) < atomic_load(&camera->submitted))
        return;
    camera->finished = true;
    if (camera->counter != NULL)
        counter_finish(camera->counter, &camera->last_time, pipeline_on_event, camera);
    output->finished(output->arg, index_of(camera->pipeline, camera));
}

static void on_results(uv_async_t *handle)
{
    struct pipeline         *pipeline = handle->data;
    struct inference_result *result;

    while ((result = inference_pool_take(pipeline->inference_pool)) != NULL) {
        struct pipeline_camera *camera = pipeline->slots[result->frame->slot];
        /* A picture of a camera that had this slot before belongs to nobody. */
        if (camera != NULL && result->frame->decoded_ns >= camera->opened_ns) {
            camera->handled++;
            if (result->error != 0)
                camera->frames_failed++;
            else
                count_frame(camera, result);
            finish_if_done(camera);
        }
        inference_result_free(&result);
    }
}

/* ---- the camera's state, video and coverage ---- */

static void on_camera_changed(void *arg, struct camera *source)
{
    struct pipeline_camera       *camera = arg;
    const struct pipeline_output *output = &camera->pipeline->settings.output;
    struct camera_stats           stats;
    int                           index = index_of(camera->pipeline, camera);

    if (index < 0)
        return;
    camera_stats(source, &stats);
    camera->ended = stats.state == CAMERA_ENDED;
    if (!camera->ended)
        camera->finished = false;
    output->camera_changed(output->arg, index);
    finish_if_done(camera);
}

static void on_unit(void *arg, struct camera *source, struct camera_unit *unit)
{
    struct pipeline_camera       *camera = arg;
    const struct pipeline_output *output = &camera->pipeline->settings.output;
    int                           index  = index_of(camera->pipeline, camera);

    (void)source;
    if (index >= 0)
        output->unit(output->arg, index, unit);
}

static void on_snapshot(void *arg, struct camera *source, struct camera_unit *jpeg)
{
    struct pipeline_camera       *camera = arg;
    const struct pipeline_output *output = &camera->pipeline->settings.output;
    int                           index  = index_of(camera->pipeline, camera);

    (void)source;
    if (index >= 0 && output->snapshot != NULL)
        output->snapshot(output->arg, index, jpeg);
}

/* ---- cameras come and go ---- */

static int free_slot(const struct pipeline *pipeline)
{
    for (int slot = 0; slot < LIMIT_CAMERAS; slot++) {
        if (pipeline->slots[slot] == NULL)
            return slot;
    }
    return -1;
}

static void remove_camera(struct pipeline *pipeline, struct pipeline_camera *camera)
{
    int index = index_of(pipeline, camera);

    /* A worker that waits with this camera's picture for room in the pool must be let go first. */
    if (pipeline->inference_pool != NULL)
        inference_pool_clear_slot(pipeline->inference_pool, camera->slot);
    main_stream_close(&camera->main_stream);
    if (camera->camera != NULL)
        camera_close(&camera->camera);
    if (pipeline->inference_pool != NULL)
        inference_pool_clear_slot(pipeline->inference_pool, camera->slot);
    if (camera->counter != NULL) {
        counter_finish(camera->counter, &camera->last_time, pipeline_on_event, camera);
        pipeline_tell_occupancy(camera);
    }
    pipeline_flush_coverage(camera, clock_wall_ns());
    counter_close(&camera->counter);
    tracker_close(&camera->tracker);
    pipeline->slots[camera->slot] = NULL;
    if (index >= 0) {
        pipeline->count--;
        memmove(&pipeline->cameras[index], &pipeline->cameras[index + 1],
                (size_t)(pipeline->count - index) * sizeof pipeline->cameras[0]);
    }
    free(camera);
}

static int add_camera(struct pipeline *pipeline, const struct settings_camera *settings,
                      unsigned delay_ms, struct why *why)
{
    struct pipeline_camera *camera;
    struct tracker_settings tracking = tracker_settings_default();
    struct camera_sink      sink     = {.frame    = on_frame,
                                        .still    = pipeline_on_still,
                                        .changed  = on_camera_changed,
                                        .unit     = on_unit,
                                        .snapshot = on_snapshot};
    int                     slot     = free_slot(pipeline);
    int                     rc;

    if (slot < 0)
        return why_set(why, ERR_LIMIT, "more than %d cameras", LIMIT_CAMERAS);
    camera = calloc(1, sizeof *camera);
    if (camera == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    pipeline->slots[slot] = camera;
    camera->pipeline      = pipeline;
    camera->settings      = *settings;
    camera->slot          = (unsigned)slot;
    camera->opened_ns     = clock_monotonic_ns();
    camera->given_fps     = settings->detect_fps;
    sink.arg              = camera;
    coverage_begin(&camera->coverage, settings->detect_fps, clock_wall_ns());
    rc = tracker_open(&camera->tracker, &tracking);
    if (rc == 0)
        rc = camera_open(&camera->camera, pipeline->settings.loop, pipeline->decode_pool, settings,
                         camera->slot, &sink, why);
    if (rc == 0)
        rc = pipeline_open_main(camera, why);
    if (rc != 0) {
        remove_camera(pipeline, camera);
        return rc;
    }
    pipeline->cameras[pipeline->count++] = camera;
    camera_start(camera->camera, delay_ms);
    return 0;
}

static struct pipeline_camera *find(const struct pipeline *pipeline, const char *name)
{
    for (int i = 0; i < pipeline->count; i++) {
        if (strcmp(pipeline->cameras[i]->settings.name, name) == 0)
            return pipeline->cameras[i];
    }
    return NULL;
}

static bool is_wanted(const struct pipeline_camera *camera, const struct settings_camera *cameras,
                      int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(cameras[i].name, camera->settings.name) == 0)
            return cameras[i].enabled && pipeline_same_stream(&camera->settings, &cameras[i]);
    }
    return false;
}

int pipeline_apply(struct pipeline *pipeline, const struct settings_camera *cameras, int count,
                   struct why *why)
{
    unsigned delay_ms = 0;
    int      rc       = 0;

    for (int i = pipeline->count - 1; i >= 0; i--) {
        if (!is_wanted(pipeline->cameras[i], cameras, count))
            remove_camera(pipeline, pipeline->cameras[i]);
    }
    for (int i = 0; i < count && rc == 0; i++) {
        struct pipeline_camera *camera = find(pipeline, cameras[i].name);
        if (!cameras[i].enabled)
            continue;
        if (camera == NULL) {
            rc = add_camera(pipeline, &cameras[i], delay_ms, why);
            delay_ms += START_STAGGER_MS;
        } else if (!settings_camera_equal(&camera->settings, &cameras[i])) {
            rc = pipeline_change_camera(camera, &cameras[i], why);
        }
    }
    return rc;
}

/* ---- the whole ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct pipeline *pipeline = handle->data;

    if (--pipeline->handles_open == 0)
        free(pipeline);
}

int pipeline_make_pool(struct pipeline *pipeline, const struct detector *detector,
                       struct inference_pool **pool, struct why *why)
{
    bool                           files    = pipeline->settings.every_frame;
    struct inference_pool_settings settings = {
        .detector         = detector,
        .workers          = pipeline->settings.inference_workers,
        .waiting_per_slot = files ? WAITING_EVERY_FRAME : WAITING_NEWEST,
        .wake             = wake,
        .arg              = pipeline,
    };

    return inference_pool_open(pool, &settings, why);
}

void pipeline_give_pool(struct pipeline *pipeline, struct inference_pool *pool)
{
    atomic_store(&pipeline->inference_pool, pool);
}

static int use_card(struct pipeline *pipeline, int number, struct why *why)
{
    struct decode_device *card = decode_device_open(number, &BACKEND_CUDA, 0);

    if (card == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    decode_pool_use_device(pipeline->decode_pool, card);
    return 0;
}

int pipeline_open(struct pipeline **out, const struct pipeline_settings *settings, struct why *why)
{
    struct pipeline       *pipeline = calloc(1, sizeof *pipeline);
    struct inference_pool *pool     = NULL;
    int                    rc;

    *out = NULL;
    if (pipeline == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    pipeline->settings = *settings;
    rc                 = uv_async_init(settings->loop, &pipeline->results, on_results);
    ASSERT(rc == 0); /* fails only without memory or descriptors at start */
    rc = uv_timer_init(settings->loop, &pipeline->tick);
    ASSERT(rc == 0);
    pipeline->results.data = pipeline;
    pipeline->tick.data    = pipeline;
    pipeline->handles_open = 2;
    uv_timer_start(&pipeline->tick, pipeline_on_tick, TICK_MS, TICK_MS);
    rate_share_begin(&pipeline->share);
    rc = decode_pool_open_isolated(&pipeline->decode_pool, settings->decode_workers,
                                   settings->isolation, why);
    if (rc == 0 && settings->decode_device > 0)
        rc = use_card(pipeline, settings->decode_device - 1, why);
    if (rc == 0 && settings->detector != NULL)
        rc = pipeline_make_pool(pipeline, settings->detector, &pool, why);
    if (rc != 0) {
        pipeline_close(&pipeline);
        return rc;
    }
    pipeline_give_pool(pipeline, pool);
    *out = pipeline;
    return 0;
}

void pipeline_close(struct pipeline **out)
{
    struct pipeline       *pipeline = *out;
    struct inference_pool *pool;

    if (pipeline == NULL)
        return;
    *out = NULL;
    pool = pipeline->inference_pool;
    for (int i = pipeline->count - 1; i >= 0; i--)
        remove_camera(pipeline, pipeline->cameras[i]);
    if (pool != NULL)
        inference_pool_close(&pool);
    if (pipeline->decode_pool != NULL)
        decode_pool_close(&pipeline->decode_pool);
    uv_close((uv_handle_t *)&pipeline->results, on_handle_closed);
    uv_close((uv_handle_t *)&pipeline->tick, on_handle_closed);
}

int pipeline_camera_count(const struct pipeline *pipeline)
{
    return pipeline->count;
}

const struct settings_camera *pipeline_camera_settings(const struct pipeline *pipeline, int index)
{
    return &pipeline->cameras[index]->settings;
}

struct decode_pool *pipeline_decode_pool(const struct pipeline *pipeline)
{
    return pipeline->decode_pool;
}

struct camera *pipeline_camera(const struct pipeline *pipeline, int index)
{
    return pipeline->cameras[index]->camera;
}

void pipeline_camera_stats(const struct pipeline *pipeline, int index,
                           struct pipeline_camera_stats *stats)
{
    const struct pipeline_camera *camera = pipeline->cameras[index];

    *stats = (struct pipeline_camera_stats){
        .frames_dropped = atomic_load(&camera->frames_dropped),
        .frames_failed  = camera->frames_failed,
        .events         = camera->events,
        .coverage       = coverage_last_minute(&camera->coverage),
        .given_fps      = camera->given_fps,
        .share          = pipeline->share.share,
        .latency_ns     = camera->latency_ns,
        .loss           = camera->loss.share,
    };
}

struct inference_pool *pipeline_inference_pool(const struct pipeline *pipeline)
{
    return pipeline->inference_pool;
}
