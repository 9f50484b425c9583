#include "server/snapshots.h"

#include "config/clock.h"
#include "config/err.h"
#include "server/server.h"

#include <stdlib.h>
#include <string.h>

#define TICK_MS 100

struct request {
    uint64_t ticket;
    char     camera[LIMIT_NAME_BYTES];
    int      width_px;
    bool     asked; /* the camera works on it */
    int64_t  until_ns;
};

struct snapshots {
    struct server *server;
    uv_timer_t     timer; /* runs while somebody waits */
    int            count;
    uint64_t       refused;
    struct request requests[SNAPSHOTS_MAX];
};

/* NULL: it is gone. */
static struct camera *find_camera(const struct snapshots *snapshots, const char *name)
{
    const struct pipeline *pipeline = snapshots->server->pipeline;

    for (int i = 0; i < pipeline_camera_count(pipeline); i++) {
        if (strcmp(pipeline_camera_settings(pipeline, i)->name, name) == 0)
            return pipeline_camera(pipeline, i);
    }
    return NULL;
}

/* Those who wait for the first one's width are served together; the others when it is done. */
static void ask(struct snapshots *snapshots, const char *name)
{
    struct camera *camera   = find_camera(snapshots, name);
    int            width_px = 0;

    for (int i = 0; i < snapshots->count; i++) {
        struct request *request = &snapshots->requests[i];
        if (strcmp(request->camera, name) != 0)
            continue;
        if (width_px == 0)
            width_px = request->width_px;
        request->asked = request->width_px == width_px;
    }
    if (camera != NULL && width_px > 0)
        camera_want_snapshot(camera, width_px);
}

static void take_out(struct snapshots *snapshots, int index, struct request *request)
{
    *request = snapshots->requests[index];
    snapshots->count--;
    memmove(&snapshots->requests[index], &snapshots->requests[index + 1],
            (size_t)(snapshots->count - index) * sizeof *request);
    if (snapshots->count == 0)
        uv_timer_stop(&snapshots->timer);
}

/* ---- answers ---- */

void snapshots_made(struct snapshots *snapshots, const char *camera, const struct camera_unit *jpeg)
{
    struct request request;

    if (snapshots == NULL) /* the server is stopping */
        return;
    for (int i = snapshots->count - 1; i >= 0; i--) {
        if (!snapshots->requests[i].asked || strcmp(snapshots->requests[i].camera, camera) != 0)
            continue;
        take_out(snapshots, i, &request);
        api_snapshot(snapshots->server->api, request.ticket, jpeg, 0, NULL);
    }
    ask(snapshots, camera);
}

static void give_up(struct snapshots *snapshots, const struct request *request)
{
    struct camera      *camera = find_camera(snapshots, request->camera);
    struct camera_stats stats;
    struct why          why;
    int                 rc;

    if (camera == NULL) {
        rc = why_set(&why, ERR_NOT_FOUND, "camera %s is gone", request->camera);
    } else {
        camera_stats(camera, &stats);
        rc = why_set(&why, ERR_AGAIN, "%s gave no picture in time (%s: %s)", request->camera,
                     camera_state_name(stats.state), stats.reason);
    }
    api_snapshot(snapshots->server->api, request->ticket, NULL, rc, &why);
}

static void on_tick(uv_timer_t *timer)
{
    struct snapshots *snapshots = timer->data;
    int64_t           now_ns    = clock_monotonic_ns();
    struct request    request;

    for (int i = snapshots->count - 1; i >= 0; i--) {
        if (snapshots->requests[i].until_ns > now_ns)
            continue;
        take_out(snapshots, i, &request);
        give_up(snapshots, &request);
        ask(snapshots, request.camera);
    }
}

/* ---- requests ---- */

static int64_t wait_ms(const struct camera_stats *stats)
{
    double slow_ms = stats->source_fps > 0 ? 3000 / stats->source_fps : 0;

    if (slow_ms > SNAPSHOT_SLOW_MS)
        return SNAPSHOT_SLOW_MS;
    return slow_ms > SNAPSHOT_WAIT_MS ? (int64_t)slow_ms : SNAPSHOT_WAIT_MS;
}

int snapshots_begin(struct snapshots *snapshots, int index, int width_px, uint64_t ticket,
                    struct why *why)
{
    const struct pipeline        *pipeline = snapshots->server->pipeline;
    const struct settings_camera *settings = pipeline_camera_settings(pipeline, index);
    struct request               *request;
    struct camera_stats           stats;
    bool                          busy = false;

    camera_stats(pipeline_camera(pipeline, index), &stats);
    if (stats.state != CAMERA_STREAMING)
        return why_set(why, ERR_AGAIN, "%s shows no picture now (%s: %s)", settings->name,
                       camera_state_name(stats.state), stats.reason);
    if (snapshots->count == SNAPSHOTS_MAX) {
        snapshots->refused++;
        return why_set(why, ERR_FULL, "%d pictures are waited for already", SNAPSHOTS_MAX);
    }
    for (int i = 0; i < snapshots->count; i++)
        busy = busy || strcmp(snapshots->requests[i].camera, settings->name) == 0;
    if (snapshots->count == 0)
        uv_timer_start(&snapshots->timer, on_tick, TICK_MS, TICK_MS);
    request           = &snapshots->requests[snapshots->count++];
    *request          = (struct request){.ticket = ticket};
    request->until_ns = clock_monotonic_ns() + wait_ms(&stats) * NS_PER_MS;
    request->width_px = width_px > 0 && width_px < SNAPSHOT_WIDTH_PX ? width_px : SNAPSHOT_WIDTH_PX;
    memcpy(request->camera, settings->name, sizeof request->camera);
    if (!busy)
        ask(snapshots, settings->name);
    return 0;
}

uint64_t snapshots_refused(const struct snapshots *snapshots)
{
    return snapshots->refused;
}

/* ---- start and stop ---- */

int snapshots_start(struct server *server, struct why *why)
{
    struct snapshots *snapshots = calloc(1, sizeof *snapshots);

    if (snapshots == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    if (uv_timer_init(&server->loop, &snapshots->timer) != 0) {
        free(snapshots);
        return why_set(why, ERR_IO, "no timer for pictures that are waited for");
    }
    snapshots->timer.data = snapshots;
    snapshots->server     = server;
    server->snapshots     = snapshots;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* The API is closed before: nobody waits any more. */
void snapshots_stop(struct server *server)
{
    if (server->snapshots == NULL)
        return;
    uv_close((uv_handle_t *)&server->snapshots->timer, on_closed);
    server->snapshots = NULL;
}
