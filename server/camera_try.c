#include "server/camera_try.h"

#include "config/err.h"
#include "server/camera/decode.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRY_MS   20000 /* a camera that shows a key frame every 10 s, and a slow sign-in before it */
#define TRY_SLOT UINT_MAX /* none of the pipeline's: its frames go nowhere */

struct camera_try {
    struct camera_try_events events;
    struct camera           *camera;
    uv_timer_t               timer;
    bool                     over; /* told, or stopped */
};

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void camera_try_stop(struct camera_try **out)
{
    struct camera_try *tried = *out;

    if (tried == NULL)
        return;
    *out        = NULL;
    tried->over = true;
    camera_close(&tried->camera);
    uv_close((uv_handle_t *)&tried->timer, on_timer_closed);
}

static void fail(struct camera_try *tried, const char *text)
{
    const char *next = strstr(text, "; next try"); /* there is none here */
    char        reason[CAMERA_REASON_BYTES];

    snprintf(reason, sizeof reason, "%.*s",
             (int)(next == NULL ? strlen(text) : (size_t)(next - text)), text);
    tried->over = true;
    tried->events.failed(tried->events.arg, reason);
}

/* On a decode worker. */
static void on_frame(void *arg, struct frame *frame)
{
    (void)arg;
    frame_unref(&frame);
}

static void on_changed(void *arg, struct camera *camera)
{
    struct camera_try  *tried = arg;
    struct camera_stats stats;

    if (tried->over)
        return;
    camera_stats(camera, &stats);
    if (stats.state == CAMERA_BACKOFF)
        fail(tried, stats.reason);
    else if (stats.state == CAMERA_ENDED)
        fail(tried, "it came to its end without a picture");
}

static void on_unit(void *arg, struct camera *camera, struct camera_unit *unit)
{
    struct camera_try  *tried = arg;
    struct camera_stats stats;

    if (tried->over || unit->video != CAMERA_VIDEO_JPEG)
        return;
    camera_stats(camera, &stats);
    tried->over = true;
    tried->events.seen(tried->events.arg, &stats, unit->data, unit->bytes);
}

static void on_time(uv_timer_t *timer)
{
    struct camera_try  *tried = timer->data;
    struct camera_stats stats;

    if (tried->over)
        return;
    camera_stats(tried->camera, &stats);
    fail(tried, stats.reason[0] != '\0'           ? stats.reason
                : stats.state == CAMERA_STREAMING ? "the camera is connected but sent no picture"
                                                  : "the camera does not answer");
}

int camera_try_start(struct camera_try **out, struct server *server,
                     const struct settings_camera *settings, const struct camera_try_events *events,
                     struct why *why)
{
    struct camera_sink sink  = {.frame = on_frame, .changed = on_changed, .unit = on_unit};
    struct camera_try *tried = calloc(1, sizeof *tried);
    int                rc;

    *out = NULL;
    if (tried == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    tried->events = *events;
    sink.arg      = tried;
    rc = camera_open(&tried->camera, &server->loop, pipeline_decode_pool(server->pipeline),
                     settings, TRY_SLOT, &sink, why);
    if (rc != 0) {
        free(tried);
        return rc;
    }
    tried->timer.data = tried;
    uv_timer_init(&server->loop, &tried->timer);
    uv_timer_start(&tried->timer, on_time, TRY_MS, 0);
    camera_want_video(tried->camera, 1U << CAMERA_VIDEO_JPEG);
    camera_start(tried->camera, 0);
    *out = tried;
    return 0;
}

void camera_try_write(struct json_writer *json, const struct camera_stats *stats)
{
    json_put_pair(json, "codec", stats->codec);
    json_key(json, "width");
    json_put_int(json, stats->width_px);
    json_key(json, "height");
    json_put_int(json, stats->height_px);
    json_key(json, "fps");
    json_put_fixed(json, stats->source_fps, 2);
}
