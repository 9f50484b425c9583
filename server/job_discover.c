/* Looking for cameras: {"do":"discover","at":"ADDRESS"}; what was found so far is shown while it runs. */
#include <stdlib.h>

#include "config/err.h"
#include "server/camera/discovery.h"
#include "server/jobs.h"
#include "server/server.h"

struct look {
    struct discovery       *discovery;
    struct discovery_device devices[DISCOVERY_DEVICES_MAX];
    int                     count, networks, more;
};

static void write_result(struct job *job)
{
    const struct look  *look = job->work;
    struct json_writer *json = &job->result;

    json_reset(json);
    json_begin_object(json);
    json_key(json, "networks");
    json_put_int(json, look->networks);
    json_key(json, "more");
    json_put_int(json, look->more);
    json_key(json, "devices");
    json_begin_array(json);
    for (int i = 0; i < look->count; i++) {
        json_begin_object(json);
        json_put_pair(json, "name", look->devices[i].name);
        json_put_pair(json, "hardware", look->devices[i].hardware);
        json_put_pair(json, "location", look->devices[i].location);
        json_put_pair(json, "host", look->devices[i].host);
        json_put_pair(json, "service", look->devices[i].service);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}

static void on_found(void *arg, const struct discovery_device *device)
{
    struct job  *job  = arg;
    struct look *look = job->work;

    look->devices[look->count++] = *device; /* discovery keeps no more than the array holds */
    write_result(job);
}

static void on_ended(void *arg, int networks, int dropped)
{
    struct job  *job  = arg;
    struct look *look = job->work;

    look->networks = networks;
    look->more     = dropped;
    discovery_stop(&look->discovery);
    write_result(job);
    job_done(job);
}

static int begin(struct job *job, json_t *arguments, struct why *why)
{
    struct discovery_settings settings = {.found = on_found, .ended = on_ended, .arg = job};
    const char               *at       = NULL;
    struct look              *look;

    if (json_unpack_ex(arguments, NULL, JSON_STRICT, "{s?s}", "at", &at) != 0)
        return why_set(why, ERR_INVALID, "discover takes \"at\", an address, and nothing else");
    look = calloc(1, sizeof *look);
    if (look == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    job->work      = look;
    settings.at    = at;
    settings.reach = job->server->cameras_allowed;
    return discovery_start(&look->discovery, &job->server->loop, &settings, why);
}

static double progress(const struct job *job)
{
    const struct look *look = job->work;

    return discovery_progress(look->discovery);
}

static void stop(struct job *job)
{
    struct look *look = job->work;

    if (look != NULL)
        discovery_stop(&look->discovery);
    free(look);
    job->work = NULL;
}

const struct job_kind JOB_DISCOVER = {
    .name = "discover", .begin = begin, .progress = progress, .stop = stop};
