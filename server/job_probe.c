/* Trying an address: {"do":"probe","address":"rtsp://...","user":"...","password":"..."} opens the
 * camera as the pipeline would, and ends with its first picture, or with what is wrong. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "config/url_credentials.h"
#include "server/camera/decode.h"
#include "server/jobs.h"
#include "server/server.h"

#define PROBE_MS \
    20000 /* a camera that shows a key frame every 10 s, and a slow sign-in before it */
#define PROBE_SLOT UINT_MAX /* none of the pipeline's: its frames go nowhere */

struct probe {
    struct job    *job; /* NULL: it is over */
    struct camera *camera;
    uv_timer_t     timer;
};

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void stop(struct job *job)
{
    struct probe *probe = job->work;

    if (probe == NULL)
        return;
    job->work  = NULL;
    probe->job = NULL;
    camera_close(&probe->camera);
    uv_close((uv_handle_t *)&probe->timer, on_timer_closed);
}

static void put(struct json_writer *json, const char *key, const char *text)
{
    json_key(json, key);
    json_put_string(json, text);
}

static void write_result(struct job *job, const struct camera_stats *stats)
{
    struct json_writer *json = &job->result;

    json_reset(json);
    json_begin_object(json);
    put(json, "codec", stats->codec);
    json_key(json, "width");
    json_put_int(json, stats->width_px);
    json_key(json, "height");
    json_put_int(json, stats->height_px);
    json_key(json, "fps");
    json_put_fixed(json, stats->source_fps, 2);
    put(json, "live_view",
        stats->own_video == CAMERA_VIDEO_JPEG ? "jpeg" : "own stream, not encoded again");
    json_end_object(json);
}

static void fail(struct job *job, const char *text)
{
    const char *next = strstr(text, "; next try"); /* there is none here */
    struct why  why;

    why_set(&why, ERR_IO, "%.*s", (int)(next == NULL ? strlen(text) : (size_t)(next - text)), text);
    job_failed(job, &why);
    stop(job);
}

/* On a decode worker. */
static void on_frame(void *arg, struct frame *frame)
{
    (void)arg;
    frame_unref(&frame);
}

static void on_changed(void *arg, struct camera *camera)
{
    struct probe       *probe = arg;
    struct camera_stats stats;

    if (probe->job == NULL)
        return;
    camera_stats(camera, &stats);
    if (stats.state == CAMERA_BACKOFF)
        fail(probe->job, stats.reason);
}

static void on_unit(void *arg, struct camera *camera, struct camera_unit *unit)
{
    struct job         *job = ((struct probe *)arg)->job;
    struct camera_stats stats;

    if (job == NULL || unit->video != CAMERA_VIDEO_JPEG || unit->bytes > JOB_PICTURE_BYTES)
        return;
    job->picture = malloc(unit->bytes);
    if (job->picture == NULL) {
        fail(job, "out of memory");
        return;
    }
    memcpy(job->picture, unit->data, unit->bytes);
    job->picture_bytes = unit->bytes;
    camera_stats(camera, &stats);
    write_result(job, &stats);
    job_done(job);
    stop(job);
}

static void on_time(uv_timer_t *timer)
{
    struct probe       *probe = timer->data;
    struct camera_stats stats;

    camera_stats(probe->camera, &stats);
    fail(probe->job, stats.reason[0] != '\0' ? stats.reason
                     : stats.state == CAMERA_STREAMING
                         ? "the camera is connected but sent no picture"
                         : "the camera does not answer");
}

/* What the address and the credentials make of a camera that nobody has named yet. */
static int read_settings(struct settings_camera *settings, json_t *arguments, struct why *why)
{
    const char *address  = NULL;
    const char *user     = "";
    const char *password = "";
    int         rc;

    settings_camera_default(settings);
    memcpy(settings->name, "probe", sizeof "probe");
    if (json_unpack_ex(arguments, NULL, JSON_STRICT, "{s:s,s?s,s?s}", "address", &address, "user",
                       &user, "password", &password) != 0)
        return why_set(why, ERR_INVALID, "probe takes \"address\", \"user\" and \"password\"");
    /* A path would let the API look for files of this machine. */
    if (!url_has_scheme(address))
        return why_set(why, ERR_INVALID, "an address begins with rtsp:// or another scheme");
    rc = url_split_credentials(address, settings->url, settings->user, &settings->password, why);
    if (rc != 0)
        return rc;
    if (strlen(user) >= sizeof settings->user ||
        strlen(password) >= sizeof settings->password.value)
        return why_set(why, ERR_LIMIT, "user or password is too long");
    if (user[0] != '\0') {
        memset(settings->user, 0, sizeof settings->user);
        memcpy(settings->user, user, strlen(user));
        memset(&settings->password, 0, sizeof settings->password);
        memcpy(settings->password.value, password, strlen(password));
    }
    return 0;
}

static int begin(struct job *job, json_t *arguments, struct why *why)
{
    struct camera_sink     sink = {.frame = on_frame, .changed = on_changed, .unit = on_unit};
    struct settings_camera settings;
    struct probe          *probe;
    int                    rc = read_settings(&settings, arguments, why);

    if (rc != 0)
        return rc;
    settings.reach = job->server->cameras_allowed;
    probe          = calloc(1, sizeof *probe);
    if (probe == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    probe->job = job;
    sink.arg   = probe;
    rc         = camera_open(&probe->camera, &job->server->loop,
                             pipeline_decode_pool(job->server->pipeline), &settings, PROBE_SLOT, &sink,
                             why);
    if (rc != 0) {
        free(probe);
        return rc;
    }
    job->work         = probe;
    probe->timer.data = probe;
    uv_timer_init(&job->server->loop, &probe->timer);
    uv_timer_start(&probe->timer, on_time, PROBE_MS, 0);
    camera_want_video(probe->camera, 1U << CAMERA_VIDEO_JPEG);
    camera_start(probe->camera, 0);
    return 0;
}

/* Most of the time goes by in waiting for a key frame: how much is not known. */
const struct job_kind JOB_PROBE = {"probe", begin, NULL, stop};
