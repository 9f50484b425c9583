#include "server/api/api.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "config/clock.h"
#include "config/err.h"
#include "server/api/api_inside.h"
#include "server/api/hub.h"
#include "server/api/routes.h"

static enum http_verdict on_request(void *arg, struct http_exchange *exchange)
{
    return routes_dispatch(arg, exchange);
}

static void on_upgrade(void *arg, int fd, const struct http_exchange *exchange)
{
    struct api      *api     = arg;
    uint64_t         session = 0;
    struct http_text key     = http_header(exchange->request, "sec-websocket-key", NULL);

    (void)token_check(api->door, exchange->request, exchange->peer, clock_monotonic_ns(), &session);
    hub_upgrade(api->hub, fd, key, session, exchange->peer);
}

static void on_client_left(void *arg, const struct peer *peer)
{
    struct api *api = arg;

    if (api->server != NULL)
        http_server_leave(api->server, peer);
}

static void on_part_closed(void *arg)
{
    struct api *api = arg;

    if (--api->parts > 0)
        return;
    token_close(&api->door);
    free(api);
}

static int patience(int given_ms, int default_ms)
{
    return given_ms > 0 ? given_ms : default_ms;
}

static int open_server(struct api *api, struct why *why)
{
    const struct api_settings *settings = &api->settings;
    const struct api_patience *waits    = &settings->patience;
    int places = settings->max_clients > 0 ? settings->max_clients : LIMIT_CLIENTS;
    struct http_server_settings server = {
        .loop                        = settings->loop,
        .listen                      = settings->listen,
        .port                        = settings->port,
        .max_connections             = places,
        .max_connections_per_address = places < 4 ? 1 : places / 4,
        .head_timeout_ms             = patience(waits->head_ms, 10000),
        .body_timeout_ms             = patience(waits->body_ms, 10000),
        .write_timeout_ms            = patience(waits->write_ms, 10000),
        .idle_timeout_ms             = patience(waits->idle_ms, 30000),
        .answer_timeout_ms           = 60000, /* those who make answers have bounds of their own */
        .handler                     = {api, on_request, on_upgrade, on_part_closed},
    };

    return http_server_open(&api->server, &server, why);
}

static int open_hub(struct api *api, struct why *why)
{
    const struct api_settings *settings = &api->settings;
    const struct api_patience *waits    = &settings->patience;
    struct hub_settings        hub      = {
                    .loop      = settings->loop,
                    .ledger    = settings->ledger,
                    .live      = settings->live,
                    .house     = &api->house,
                    .ping_ms   = patience(waits->ping_ms, 20000),
                    .silent_ms = patience(waits->silent_ms, 60000),
                    .behind_ms = patience(waits->behind_ms, LIMIT_WS_BEHIND_MS),
                    .arg       = api,
                    .left      = on_client_left,
                    .closed    = on_part_closed,
    };

    return hub_open(&api->hub, &hub, why);
}

int api_open(struct api **out, const struct api_settings *settings, struct why *why)
{
    struct api *api = calloc(1, sizeof *api);
    int         rc;

    *out = NULL;
    if (api == NULL)
        return why_set(why, ERR_MEMORY, "no memory for the API");
    /* A client that leaves while we write is an error code, not a signal. */
    signal(SIGPIPE, SIG_IGN);
    api->settings = *settings;
    api->house    = *settings->house;
    rc            = token_open(&api->door, settings->token);
    if (rc != 0) {
        free(api);
        return why_set(why, rc, "no memory for the API");
    }
    api->parts = 1; /* this function */
    rc         = open_hub(api, why);
    if (rc == 0) {
        api->parts++;
        rc = open_server(api, why);
    }
    if (rc == 0)
        api->parts++;
    api->settings.listen = NULL;
    api->settings.token  = NULL;
    if (rc != 0) {
        hub_close(&api->hub);
        on_part_closed(api);
        return rc;
    }
    api->parts--;
    token_set_port(api->door, http_server_port(api->server));
    *out = api;
    return 0;
}

void api_close(struct api **api)
{
    struct api *closing = *api;

    *api = NULL;
    if (closing == NULL)
        return;
    http_server_close(&closing->server);
    hub_close(&closing->hub);
}

uint16_t api_port(const struct api *api)
{
    return http_server_port(api->server);
}

int api_take_connection(struct api *api, int fd)
{
    return http_server_take(api->server, fd);
}

void api_event_committed(struct api *api, const struct event *event)
{
    hub_event_committed(api->hub, event);
}

void api_counts_changed(struct api *api)
{
    hub_counts_changed(api->hub);
}

void api_tracks(struct api *api, int camera_index, const struct frame *frame,
                const struct track *tracks, int count)
{
    hub_tracks(api->hub, camera_index, frame, tracks, count);
}

void api_unit(struct api *api, int camera_index, struct camera_unit *unit)
{
    hub_unit(api->hub, camera_index, unit);
}

void api_main_unit(struct api *api, int camera_index, struct camera_unit *unit, int64_t shift_ns)
{
    hub_main_unit(api->hub, camera_index, unit, shift_ns);
}

void api_main_changed(struct api *api, int camera_index)
{
    hub_main_changed(api->hub, camera_index);
}

void api_snapshot(struct api *api, uint64_t ticket, const struct camera_unit *jpeg, int rc,
                  const struct why *why)
{
    struct reply reply;

    if (api->server == NULL)
        return;
    reply_init(&reply);
    if (jpeg == NULL)
        reply_failure(&reply, rc, why);
    else
        reply_copy(&reply, 200, "image/jpeg", jpeg->data, jpeg->bytes);
    http_server_answer(api->server, ticket, &reply);
}

void api_health_changed(struct api *api)
{
    hub_health_changed(api->hub);
}

void api_cameras_changed(struct api *api)
{
    hub_cameras_changed(api->hub);
}
