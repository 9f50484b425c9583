#include "server/camera/camera_knock.h"

#include <stdlib.h>
#include <string.h>

#include "server/camera/camera_lookup.h"

#define LOOKUP_MS 5000

struct camera_knock {
    struct camera_knock       **owner; /* NULL: stopped */
    struct camera_knock_request request;
    uv_loop_t                  *loop;
    struct camera_lookup       *lookup;
    struct sockaddr_storage     address;
    bool                        known; /* the address */
    uv_timer_t                  timer;
    uv_tcp_t                    tcp;
    uv_connect_t                connect;
    bool                        timer_open, tcp_open;
};

static void free_if_done(struct camera_knock *knock)
{
    if (knock->owner == NULL && !knock->timer_open && !knock->tcp_open)
        free(knock);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct camera_knock *knock = handle->data;

    knock->timer_open = false;
    free_if_done(knock);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct camera_knock *knock = handle->data;

    knock->tcp_open = false;
    free_if_done(knock);
}

static void close_tcp(struct camera_knock *knock)
{
    if (knock->tcp_open && !uv_is_closing((uv_handle_t *)&knock->tcp))
        uv_close((uv_handle_t *)&knock->tcp, on_tcp_closed);
}

void camera_knock_stop(struct camera_knock **out)
{
    struct camera_knock *knock = *out;

    if (knock == NULL)
        return;
    *knock->owner = NULL;
    knock->owner  = NULL;
    camera_lookup_cancel(&knock->lookup);
    close_tcp(knock);
    uv_close((uv_handle_t *)&knock->timer, on_timer_closed);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct camera_knock *knock = request->handle->data;
    bool                 tell  = knock->request.gone;

    if (knock->owner == NULL || status == UV_ECANCELED)
        return;
    close_tcp(knock);
    if (status != 0) {
        knock->request.gone = true;
        return;
    }
    camera_knock_stop(knock->owner);
    if (tell)
        knock->request.answered(knock->request.arg);
}

static void on_tick(uv_timer_t *timer);

static void on_looked_up(void *arg, int code, const char *reason,
                         const struct sockaddr_storage *addresses, int count)
{
    struct camera_knock *knock = arg;

    (void)reason;
    (void)count;
    /* A name server that is gone is as good a sign as a camera that is. */
    if (code != 0) {
        knock->request.gone = true;
        return;
    }
    knock->address = addresses[0];
    knock->known   = true;
    uv_timer_start(&knock->timer, on_tick, 0, CAMERA_KNOCK_MS);
}

static void on_tick(uv_timer_t *timer)
{
    struct camera_knock               *knock   = timer->data;
    const struct camera_lookup_request request = {.host       = knock->request.url->host,
                                                  .port       = knock->request.url->port,
                                                  .reach      = knock->request.reach,
                                                  .timeout_ms = LOOKUP_MS,
                                                  .arg        = knock,
                                                  .done       = on_looked_up};

    if (!knock->known) {
        if (knock->lookup == NULL)
            camera_lookup_start(&knock->lookup, knock->loop, &request, NULL);
        return;
    }
    if (knock->tcp_open) {
        knock->request.gone = true; /* the last knock has no answer yet */
        close_tcp(knock);
        uv_timer_start(timer, on_tick, 1, CAMERA_KNOCK_MS);
        return;
    }
    if (uv_tcp_init(knock->loop, &knock->tcp) != 0)
        return;
    knock->tcp.data = knock;
    knock->tcp_open = true;
    if (uv_tcp_connect(&knock->connect, &knock->tcp, (struct sockaddr *)&knock->address,
                       on_connected) != 0) {
        knock->request.gone = true;
        close_tcp(knock);
    }
}

void camera_knock_start(struct camera_knock **out, uv_loop_t *loop,
                        const struct camera_knock_request *request)
{
    struct camera_knock *knock;

    *out = NULL;
    if (request->url->host[0] == '\0' || request->url->scheme == CAMERA_URL_SRT ||
        (knock = calloc(1, sizeof *knock)) == NULL)
        return;
    knock->owner   = out;
    knock->request = *request;
    knock->loop    = loop;
    uv_timer_init(loop, &knock->timer);
    knock->timer.data = knock;
    knock->timer_open = true;
    uv_timer_start(&knock->timer, on_tick, request->after_ms, CAMERA_KNOCK_MS);
    *out = knock;
}
