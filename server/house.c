/* What the API may ask of the rest of the server: answers, from the loop, out of what is there. */
#include "config/clock.h"
#include "config/plural.h"
#include "server/jobs.h"
#include "server/model_change.h"
#include "server/packet_loss.h"
#include "server/server.h"
#include "server/snapshots.h"

#include <stdio.h>
#include <string.h>

static int house_camera_count(void *arg)
{
    const struct server *server = arg;

    return server->pipeline == NULL ? 0 : pipeline_camera_count(server->pipeline);
}

static bool house_camera(void *arg, int index, struct api_camera *camera)
{
    struct server               *server = arg;
    struct pipeline_camera_stats stats;

    if (index < 0 || index >= house_camera_count(arg))
        return false;
    pipeline_camera_stats(server->pipeline, index, &stats);
    camera->settings = pipeline_camera_settings(server->pipeline, index);
    camera_stats(pipeline_camera(server->pipeline, index), &camera->stats);
    camera->frames_dropped = stats.frames_dropped;
    camera->frames_failed  = stats.frames_failed;
    camera->packet_loss    = stats.loss;
    camera->coverage       = stats.coverage;
    camera->given_fps      = stats.given_fps;
    camera->share          = stats.share;
    return true;
}

static int house_camera_index(void *arg, const char *name)
{
    struct server *server = arg;

    for (int i = 0; i < house_camera_count(arg); i++) {
        if (strcmp(pipeline_camera_settings(server->pipeline, i)->name, name) == 0)
            return i;
    }
    return -1;
}

static void house_want_video(void *arg, int index, unsigned kinds)
{
    struct server *server = arg;

    if (index >= 0 && index < house_camera_count(arg))
        camera_want_video(pipeline_camera(server->pipeline, index), kinds);
}

static void house_replay_units(void *arg, int index,
                               void (*unit)(void *unit_arg, struct camera_unit *unit),
                               void *unit_arg)
{
    struct server *server = arg;

    if (index >= 0 && index < house_camera_count(arg))
        camera_replay_units(pipeline_camera(server->pipeline, index), unit, unit_arg);
}

/* NULL: none, or no such camera any more. */
static struct main_stream *main_stream_of(void *arg, int index)
{
    const struct server *server = arg;

    if (index < 0 || index >= house_camera_count(arg))
        return NULL;
    return pipeline_main_stream(server->pipeline, index);
}

static bool house_main(void *arg, int index, struct api_main *state)
{
    struct main_stream      *main = main_stream_of(arg, index);
    struct main_stream_state seen;

    if (main == NULL)
        return false;
    main_stream_state(main, &seen);
    *state = (struct api_main){.connected = seen.connected,
                               .shown     = seen.shown,
                               .state     = seen.state,
                               .video     = seen.video,
                               .width_px  = seen.width_px,
                               .height_px = seen.height_px};
    memcpy(state->codec, seen.codec, sizeof state->codec);
    memcpy(state->source, seen.source, sizeof state->source);
    memcpy(state->reason, seen.reason, sizeof state->reason);
    return true;
}

static void house_want_main(void *arg, int index, bool wanted)
{
    struct main_stream *main = main_stream_of(arg, index);

    if (main != NULL)
        main_stream_want(main, wanted);
}

static void house_replay_main(void *arg, int index,
                              void (*unit)(void *unit_arg, struct camera_unit *unit,
                                           int64_t shift_ns),
                              void *unit_arg)
{
    struct main_stream *main = main_stream_of(arg, index);

    if (main != NULL)
        main_stream_replay(main, unit, unit_arg);
}

static int house_snapshot(void *arg, int index, int width_px, uint64_t ticket, struct why *why)
{
    const struct server *server = arg;

    return snapshots_begin(server->snapshots, index, width_px, ticket, why);
}

static const char *house_model_text(void *arg)
{
    const struct server *server = arg;

    return server->model_text;
}

static const char *house_backend_name(void *arg)
{
    const struct server *server = arg;

    return server->detector == NULL ? NULL : detector_backend_name(server->detector);
}

/* ---- problems ---- */

struct problem_list {
    struct api_problem *problems;
    int                 capacity;
    int                 count;
};

static void add_problem(struct problem_list *list, const char *what, bool not_ready,
                        const char *text)
{
    struct api_problem *problem;

    if (list->count == list->capacity)
        return;
    problem            = &list->problems[list->count++];
    problem->not_ready = not_ready;
    snprintf(problem->what, sizeof problem->what, "%s", what);
    snprintf(problem->text, sizeof problem->text, "%s", text);
}

static void ledger_problems(const struct server *server, struct problem_list *list)
{
    struct ledger_health health = ledger_health(server->ledger);
    char                 text[256];

    /* Events still fit into memory for a while: degraded. Half full: take no more responsibility. */
    if (!health.writable)
        add_problem(list, "ledger", health.waiting > LIMIT_LEDGER_QUEUE / 2, health.problem);
    if (health.disk_bytes > 0 && health.disk_free_bytes < LIMIT_DISK_LOW_BYTES &&
        health.disk_free_bytes < health.disk_bytes / 10) {
        snprintf(text, sizeof text, "%llu MiB are free where the ledger lies",
                 (unsigned long long)(health.disk_free_bytes >> 20));
        add_problem(list, "disk", false, text);
    }
    if (health.lost > 0) {
        snprintf(text, sizeof text, "the ledger could not keep up: %llu event%s lost",
                 (unsigned long long)health.lost, plural(health.lost));
        add_problem(list, "ledger", false, text);
    }
}

static void loss_problem(struct server *server, int index, const struct camera_stats *camera,
                         struct problem_list *list)
{
    struct pipeline_camera_stats stats;
    char                         text[256];

    pipeline_camera_stats(server->pipeline, index, &stats);
    if (stats.loss <= PACKET_LOSS_TOLD)
        return;
    snprintf(text, sizeof text,
             "%s: %.0f %% of its packets are lost on the way, and its pictures damaged%s",
             pipeline_camera_settings(server->pipeline, index)->name, stats.loss * 100,
             strcmp(camera->transport, "udp") == 0 ? "; transport: tcp would lose none" : "");
    add_problem(list, "camera", false, text);
}

static void camera_problems(struct server *server, struct problem_list *list)
{
    for (int i = 0; i < pipeline_camera_count(server->pipeline); i++) {
        struct camera_stats stats;
        char                text[256];
        camera_stats(pipeline_camera(server->pipeline, i), &stats);
        loss_problem(server, i, &stats, list);
        if (stats.state != CAMERA_STALLED && stats.state != CAMERA_BACKOFF)
            continue;
        snprintf(text, sizeof text, "%s: %s", pipeline_camera_settings(server->pipeline, i)->name,
                 stats.reason);
        add_problem(list, "camera", false, text);
    }
}

static void model_problems(const struct server *server, struct problem_list *list)
{
    struct inference_pool      *pool    = pipeline_inference_pool(server->pipeline);
    const char                 *refused = model_change_problem(server);
    struct inference_pool_stats stats;
    char                        text[256];

    if (server->detector == NULL)
        add_problem(list, "model", false, server->model_text);
    if (refused != NULL)
        add_problem(list, "model", false, refused);
    for (int i = 0; server->detector != NULL && i < detector_shape_stats(server->detector).failed;
         i++) {
        struct why why;

        detector_shape_problem(server->detector, i, &why);
        add_problem(list, "model", false, why.text);
    }
    if (pool == NULL)
        return;
    stats = inference_pool_stats(pool);
    if (stats.fallback_workers == 0)
        return;
    snprintf(text, sizeof text,
             "%d of %d inference workers are without their device and go on with "
             "cpu: %s",
             stats.fallback_workers, stats.workers, stats.device_problem);
    add_problem(list, "model", false, text);
}

/* Nothing is broken, and yet less is seen than was asked for. */
static void load_problems(const struct server *server, struct problem_list *list)
{
    struct pipeline_camera_stats shares;
    struct camera_stats          stats;
    char                         text[256];
    int                          count = pipeline_camera_count(server->pipeline), relieved = 0;

    for (int i = 0; i < count; i++) {
        camera_stats(pipeline_camera(server->pipeline, i), &stats);
        relieved += stats.relief != CAMERA_DECODES_ALL;
    }
    if (relieved > 0) {
        snprintf(text, sizeof text,
                 "the processors cannot keep up with %d camera%s: not all pictures are decoded",
                 relieved, plural((uint64_t)relieved));
        add_problem(list, "load", false, text);
    }
    if (count == 0)
        return;
    pipeline_camera_stats(server->pipeline, 0, &shares);
    if (shares.share >= 1)
        return;
    snprintf(text, sizeof text,
             "the detector cannot keep up: every camera is analysed at %.0f %% of its wanted rate",
             shares.share * 100);
    add_problem(list, "load", false, text);
}

static int house_problems(void *arg, struct api_problem *problems, int capacity)
{
    struct server      *server = arg;
    struct problem_list list   = {problems, capacity, 0};
    struct live_health  live   = live_health(server->live);

    ledger_problems(server, &list);
    if (live.redis == LIVE_REDIS_CONNECTING)
        add_problem(&list, "redis", false, live.reason);
    model_problems(server, &list);
    load_problems(server, &list);
    if (server->reload_problem.text[0] != '\0')
        add_problem(&list, "configuration", false, server->reload_problem.text);
    if (server->restart_needed)
        add_problem(&list, "configuration", false,
                    "a changed setting outside of cameras takes effect at the next start");
    camera_problems(server, &list);
    return list.count;
}

static void house_metrics(void *arg, void (*write)(void *write_arg, const char *text, size_t bytes),
                          void *write_arg)
{
    pipeline_metrics(arg, write, write_arg);
}

static int64_t house_job_begin(void *arg, const char *body, size_t bytes, struct why *why)
{
    const struct server *server = arg;

    return jobs_begin(server->jobs, body, bytes, why);
}

static bool house_job_write(void *arg, int64_t id, struct json_writer *json)
{
    const struct server *server = arg;

    return jobs_write(server->jobs, id, json);
}

static bool house_job_cancel(void *arg, int64_t id)
{
    const struct server *server = arg;

    return jobs_cancel(server->jobs, id);
}

static int house_job_data(void *arg, int64_t id, uint64_t at, const char *bytes, size_t count,
                          struct why *why)
{
    const struct server *server = arg;

    return jobs_data(server->jobs, id, at, bytes, count, why);
}

static const uint8_t *house_job_picture(void *arg, int64_t id, size_t *bytes)
{
    const struct server *server = arg;

    return jobs_picture(server->jobs, id, bytes);
}

void house_init(struct api_house *house, struct server *server)
{
    *house = (struct api_house){
        .arg          = server,
        .camera_count = house_camera_count,
        .camera       = house_camera,
        .camera_index = house_camera_index,
        .want_video   = house_want_video,
        .replay_units = house_replay_units,
        .main         = house_main,
        .want_main    = house_want_main,
        .replay_main  = house_replay_main,
        .problems     = house_problems,
        .metrics      = house_metrics,
        .job_begin    = house_job_begin,
        .job_write    = house_job_write,
        .job_cancel   = house_job_cancel,
        .job_data     = house_job_data,
        .job_picture  = house_job_picture,
        .snapshot     = house_snapshot,
        .model_text   = house_model_text,
        .backend_name = house_backend_name,
    };
}
