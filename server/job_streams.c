/* Asking an ONVIF camera for its streams:
 * {"do":"streams","service":"http://192.0.2.7/onvif/device_service","user":"...","password":"..."}. */
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "server/camera/onvif_client.h"
#include "server/jobs.h"
#include "server/server.h"

static void write_stream(struct json_writer *json, const struct onvif_camera *camera, int index)
{
    const struct onvif_stream *stream = &camera->streams[index];

    json_begin_object(json);
    json_put_pair(json, "name", stream->profile.name);
    json_put_pair(json, "address", stream->address);
    json_put_pair(json, "codec", stream->profile.codec);
    json_key(json, "width");
    json_put_int(json, stream->profile.width);
    json_key(json, "height");
    json_put_int(json, stream->profile.height);
    json_key(json, "fps");
    json_put_fixed(json, stream->profile.fps, 2);
    json_put_pair(json, "role",
                  index == camera->detect ? "detect"
                  : index == camera->view ? "view"
                                          : "");
    json_end_object(json);
}

static void on_done(void *arg, int rc, const struct onvif_camera *camera, const struct why *why)
{
    struct job         *job  = arg;
    struct json_writer *json = &job->result;

    if (rc != 0) {
        job_failed(job, why);
        return;
    }
    json_begin_object(json);
    json_put_pair(json, "maker", camera->information.maker);
    json_put_pair(json, "model", camera->information.model);
    json_put_pair(json, "firmware", camera->information.firmware);
    json_put_pair(json, "snapshot", camera->snapshot);
    json_key(json, "streams");
    json_begin_array(json);
    for (int i = 0; i < camera->stream_count; i++)
        write_stream(json, camera, i);
    json_end_array(json);
    json_end_object(json);
    job_done(job);
}

static int begin(struct job *job, json_t *arguments, struct why *why)
{
    struct onvif_client_settings settings = {.user = "", .done = on_done, .arg = job};
    struct onvif_client         *client;
    struct secret                password = {""};
    const char                  *given    = "";
    int                          rc;

    if (json_unpack_ex(arguments, NULL, JSON_STRICT, "{s:s,s?s,s?s}", "service", &settings.service,
                       "user", &settings.user, "password", &given) != 0)
        return why_set(why, ERR_INVALID, "streams takes \"service\", \"user\" and \"password\"");
    if (strlen(given) >= sizeof password.value)
        return why_set(why, ERR_LIMIT, "the password is too long");
    memcpy(password.value, given, strlen(given));
    settings.password = &password;
    settings.reach    = job->server->cameras_allowed;
    rc                = onvif_client_start(&client, &job->server->loop, &settings, why);
    job->work         = client;
    return rc;
}

static double progress(const struct job *job)
{
    return onvif_client_progress(job->work);
}

static void stop(struct job *job)
{
    struct onvif_client *client = job->work;

    onvif_client_stop(&client);
    job->work = NULL;
}

const struct job_kind JOB_STREAMS = {
    .name = "streams", .begin = begin, .progress = progress, .stop = stop};
