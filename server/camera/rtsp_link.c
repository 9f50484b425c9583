#include "server/camera/rtsp_link.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "server/camera/camera_url.h"

struct rtsp_link {
    uv_loop_t              *loop;
    uv_tcp_t                tcp;
    uv_timer_t              timer;
    uv_connect_t            connect;
    uv_getaddrinfo_t        resolve;
    struct rtsp_link_events events;
    unsigned                reach, resolve_ms, connect_ms;
    char                    host[CAMERA_URL_HOST_BYTES];
    uint16_t                port;
    struct sockaddr_storage addresses[RTSP_LINK_ADDRESSES];
    int                     address_count, address_index;
    bool                    resolving; /* the request is with libuv */
    bool                    tcp_open;  /* the handle needs closing */
    bool                    timer_open;
    bool                    connected;
    bool                    timed_out;
    bool                    failed; /* told, or closed: no more events */
    bool closed; /* by the owner: goes when nothing of it is with libuv any more */
    char discard[2048];
};

/* ---- the end ---- */

static void free_if_done(struct rtsp_link *link)
{
    if (link->closed && !link->resolving && !link->tcp_open && !link->timer_open)
        free(link);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct rtsp_link *link = handle->data;

    link->timer_open = false;
    free_if_done(link);
}

static void try_next(struct rtsp_link *link);

static void on_tcp_closed(uv_handle_t *handle)
{
    struct rtsp_link *link = handle->data;

    link->tcp_open = false;
    if (!link->failed)
        try_next(link);
    free_if_done(link);
}

static void close_tcp(struct rtsp_link *link)
{
    if (link->tcp_open && !uv_is_closing((uv_handle_t *)&link->tcp))
        uv_close((uv_handle_t *)&link->tcp, on_tcp_closed);
}

/* The owner must not free what an event of ours runs in: it calls rtsp_link_close, which defers. */
static void fail(struct rtsp_link *link, int code, const char *reason)
{
    if (link->failed)
        return;
    link->failed = true;
    uv_timer_stop(&link->timer);
    close_tcp(link);
    link->events.failed(link->events.arg, code, reason);
}

static void close_handles(struct rtsp_link *link)
{
    close_tcp(link);
    if (link->timer_open && !uv_is_closing((uv_handle_t *)&link->timer))
        uv_close((uv_handle_t *)&link->timer, on_timer_closed);
    free_if_done(link);
}

/* ---- reading and writing ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct rtsp_link *link  = handle->data;
    size_t            bytes = 0;

    (void)suggested;
    if (link->closed) {
        *buffer = uv_buf_init(link->discard, sizeof link->discard);
        return;
    }
    buffer->base = (char *)link->events.room(link->events.arg, &bytes);
    buffer->len  = bytes;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct rtsp_link *link = stream->data;
    char              reason[160];

    (void)buffer;
    if (link->closed) {
        if (count < 0)
            close_handles(link);
    } else if (count > 0) {
        link->events.received(link->events.arg, (size_t)count);
    } else if (count == UV_EOF || count == UV_ECONNRESET) {
        fail(link, ERR_CLOSED, "the camera closed the connection");
    } else if (count < 0) {
        snprintf(reason, sizeof reason, "the connection to the camera broke: %s",
                 uv_strerror((int)count));
        fail(link, ERR_IO, reason);
    }
}

struct sending {
    uv_write_t request;
    char       data[];
};

static void on_sent(uv_write_t *request, int status)
{
    /* A broken connection is reported by the read side. */
    (void)status;
    free(request->data);
}

int rtsp_link_send(struct rtsp_link *link, const void *data, size_t bytes)
{
    uv_stream_t    *stream = (uv_stream_t *)&link->tcp;
    uv_buf_t        buffer = uv_buf_init((char *)(uintptr_t)data, (unsigned)bytes);
    struct sending *sending;
    int             sent;

    if (!link->connected || link->failed)
        return ERR_IO;
    sent = uv_try_write(stream, &buffer, 1);
    if (sent == (int)bytes)
        return 0;
    if (sent < 0 && sent != UV_EAGAIN)
        return ERR_IO;
    if (sent < 0)
        sent = 0;
    bytes -= (size_t)sent;
    if (uv_stream_get_write_queue_size(stream) + bytes > RTSP_LINK_QUEUE_BYTES)
        return ERR_FULL;
    if ((sending = malloc(sizeof *sending + bytes)) == NULL)
        return ERR_MEMORY;
    memcpy(sending->data, (const char *)data + sent, bytes);
    sending->request.data = sending;
    buffer                = uv_buf_init(sending->data, (unsigned)bytes);
    if (uv_write(&sending->request, stream, &buffer, 1, on_sent) != 0) {
        free(sending);
        return ERR_IO;
    }
    return 0;
}

/* ---- connecting ---- */

static void on_timeout(uv_timer_t *timer)
{
    struct rtsp_link *link = timer->data;

    link->timed_out = true;
    if (link->closed)
        close_handles(link);
    else if (link->resolving)
        fail(link, ERR_TIMEOUT, "the camera's name could not be looked up in time");
    else
        close_tcp(link);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct rtsp_link *link = request->handle->data;
    char              reason[160];

    if (link->closed || link->failed || (status == UV_ECANCELED && !link->timed_out))
        return;
    uv_timer_stop(&link->timer);
    if (status == 0 && !link->timed_out) {
        link->connected = true;
        uv_tcp_nodelay(&link->tcp, 1);
        /* A camera that lost power says nothing: the kernel notices within a minute in any case. */
        uv_tcp_keepalive(&link->tcp, 1, 30);
        if (uv_read_start((uv_stream_t *)&link->tcp, on_room, on_read) != 0)
            fail(link, ERR_IO, "the connection to the camera cannot be read");
        else
            link->events.connected(link->events.arg);
        return;
    }
    if (link->address_index < link->address_count) {
        close_tcp(link);
        return;
    }
    if (link->timed_out) {
        fail(link, ERR_TIMEOUT, "the camera does not answer at its address");
        return;
    }
    snprintf(reason, sizeof reason, "cannot connect to the camera: %s", uv_strerror(status));
    fail(link, ERR_IO, reason);
}

/* On entry no handle is open; an address that fails at once leads to the next. */
static void try_next(struct rtsp_link *link)
{
    int  rc = UV_EADDRNOTAVAIL;
    char reason[160];

    link->timed_out = false;
    while (link->address_index < link->address_count) {
        struct sockaddr *address = (struct sockaddr *)&link->addresses[link->address_index++];

        if ((rc = uv_tcp_init(link->loop, &link->tcp)) != 0)
            break;
        link->tcp_open = true;
        link->tcp.data = link;
        uv_timer_start(&link->timer, on_timeout, link->connect_ms, 0);
        rc = uv_tcp_connect(&link->connect, &link->tcp, address, on_connected);
        if (rc == 0)
            return;
        uv_timer_stop(&link->timer);
        if (link->address_index < link->address_count) {
            close_tcp(link);
            return;
        }
    }
    snprintf(reason, sizeof reason, "cannot connect to the camera: %s", uv_strerror(rc));
    fail(link, ERR_IO, reason);
}

static void begin_connecting(struct rtsp_link *link, const struct addrinfo *found)
{
    struct why why  = {"the camera's name has no address"};
    int        code = ERR_NOT_FOUND;

    for (; found != NULL && link->address_count < RTSP_LINK_ADDRESSES; found = found->ai_next) {
        int rc;

        if (found->ai_addrlen > sizeof link->addresses[0])
            continue;
        if ((rc = camera_url_allow(found->ai_addr, link->reach, &why)) != 0) {
            code = rc;
            continue;
        }
        memcpy(&link->addresses[link->address_count++], found->ai_addr, found->ai_addrlen);
    }
    if (link->address_count == 0) {
        fail(link, code, why.text);
        return;
    }
    link->events.progress(link->events.arg, "connecting");
    if (!link->closed)
        try_next(link);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct rtsp_link *link = request->data;
    char              reason[160];

    link->resolving = false;
    uv_timer_stop(&link->timer);
    if (!link->closed && !link->failed) {
        if (status == 0) {
            begin_connecting(link, found);
        } else {
            snprintf(reason, sizeof reason, "the camera's name cannot be looked up: %s",
                     uv_strerror(status));
            fail(link, ERR_NOT_FOUND, reason);
        }
    }
    uv_freeaddrinfo(found);
    if (link->closed)
        close_handles(link);
}

/* A numeric address needs no look-up, whose threads are few and may hang on a dead name server. */
static bool take_literal(struct rtsp_link *link)
{
    struct sockaddr_in  ipv4;
    struct sockaddr_in6 ipv6;
    struct addrinfo     found = {.ai_next = NULL};

    if (uv_ip4_addr(link->host, link->port, &ipv4) == 0) {
        found.ai_addr    = (struct sockaddr *)&ipv4;
        found.ai_addrlen = sizeof ipv4;
    } else if (uv_ip6_addr(link->host, link->port, &ipv6) == 0) {
        found.ai_addr    = (struct sockaddr *)&ipv6;
        found.ai_addrlen = sizeof ipv6;
    } else {
        return false;
    }
    begin_connecting(link, &found);
    return true;
}

static void on_begin(uv_timer_t *timer)
{
    struct rtsp_link *link  = timer->data;
    struct addrinfo   hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char              port[8];

    if (take_literal(link))
        return;
    link->events.progress(link->events.arg, "looking up the name");
    if (link->closed)
        return;
    snprintf(port, sizeof port, "%u", (unsigned)link->port);
    link->resolve.data = link;
    if (uv_getaddrinfo(link->loop, &link->resolve, on_resolved, link->host, port, &hints) != 0) {
        fail(link, ERR_NOT_FOUND, "the camera's name cannot be looked up");
        return;
    }
    link->resolving = true;
    uv_timer_start(&link->timer, on_timeout, link->resolve_ms, 0);
}

int rtsp_link_open(struct rtsp_link **out, uv_loop_t *loop,
                   const struct rtsp_link_settings *settings, const struct rtsp_link_events *events,
                   struct why *why)
{
    struct rtsp_link *link = calloc(1, sizeof *link);

    *out = NULL;
    if (link == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    link->loop       = loop;
    link->events     = *events;
    link->reach      = settings->reach;
    link->port       = settings->port;
    link->resolve_ms = settings->resolve_ms;
    link->connect_ms = settings->connect_ms;
    snprintf(link->host, sizeof link->host, "%s", settings->host);
    uv_timer_init(loop, &link->timer);
    link->timer.data = link;
    link->timer_open = true;
    uv_timer_start(&link->timer, on_begin, 0, 0);
    *out = link;
    return 0;
}

void rtsp_link_close(struct rtsp_link **out, unsigned linger_ms)
{
    struct rtsp_link *link = *out;

    if (link == NULL)
        return;
    *out = NULL;
    if (link->resolving)
        uv_cancel((uv_req_t *)&link->resolve);
    if (linger_ms > 0 && link->connected && !link->failed) {
        link->closed = link->failed = true;
        uv_timer_start(&link->timer, on_timeout, linger_ms, 0);
        return;
    }
    link->closed = link->failed = true;
    close_handles(link);
}
