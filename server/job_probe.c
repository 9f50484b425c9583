/* Trying an address: {"do":"probe","address":"rtsp://...","user":"...","password":"..."} opens the
 * camera as the pipeline would, and ends with its first picture, or with what is wrong. */
#include <string.h>

#include "config/err.h"
#include "config/url_credentials.h"
#include "server/camera_try.h"
#include "server/jobs.h"
#include "server/server.h"

static void stop(struct job *job)
{
    struct camera_try *tried = job->work;

    job->work = NULL;
    camera_try_stop(&tried);
}

static void write_result(struct job *job, const struct camera_stats *stats)
{
    struct json_writer *json = &job->result;

    json_reset(json);
    json_begin_object(json);
    camera_try_write(json, stats);
    json_put_pair(json, "live_view",
                  stats->own_video == CAMERA_VIDEO_JPEG ? "jpeg" : "own stream, not encoded again");
    json_end_object(json);
}

static void on_failed(void *arg, const char *reason)
{
    struct job *job = arg;
    struct why  why;

    why_set(&why, ERR_IO, "%s", reason);
    job_failed(job, &why);
    stop(job);
}

static void on_seen(void *arg, const struct camera_stats *stats, const uint8_t *picture,
                    size_t bytes)
{
    struct job *job = arg;

    if (!job_keep_picture(job, picture, bytes)) {
        on_failed(job, "its picture is too large");
        return;
    }
    write_result(job, stats);
    job_done(job);
    stop(job);
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
    struct camera_try_events events = {.arg = job, .seen = on_seen, .failed = on_failed};
    struct settings_camera   settings;
    struct camera_try       *tried;
    int                      rc = read_settings(&settings, arguments, why);

    if (rc != 0)
        return rc;
    settings.reach = job->server->cameras_allowed;
    rc             = camera_try_start(&tried, job->server, &settings, &events, why);
    job->work      = tried;
    return rc;
}

/* Most of the time goes by in waiting for a key frame: how much is not known. */
const struct job_kind JOB_PROBE = {.name = "probe", .begin = begin, .stop = stop};
