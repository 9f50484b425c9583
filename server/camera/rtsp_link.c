#include "server/camera/rtsp_link.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "server/camera/camera_lookup.h"
#include "server/camera/camera_url.h"

#define CIPHER_BYTES (18 << 10) /* one record of TLS */

struct rtsp_link {
    uv_loop_t              *loop;
    uv_tcp_t                tcp;
    uv_timer_t              timer;
    uv_connect_t            connect;
    struct camera_lookup   *lookup;
    struct rtsp_link_events events;
    unsigned                connect_ms;
    struct camera_tls      *tls;    /* NULL: plain */
    uint8_t                *cipher; /* CIPHER_BYTES, with tls */
    struct sockaddr_storage addresses[CAMERA_LOOKUP_ADDRESSES];
    int                     address_count, address_index;
    bool                    tcp_open; /* the handle needs closing */
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
    if (!link->closed || link->tcp_open || link->timer_open)
        return;
    camera_tls_close(&link->tls);
    free(link->cipher);
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
    if (link->tls != NULL) {
        *buffer = uv_buf_init((char *)link->cipher, CIPHER_BYTES);
        return;
    }
    buffer->base = (char *)link->events.room(link->events.arg, &bytes);
    buffer->len  = bytes;
}

static void on_cipher(struct rtsp_link *link, size_t bytes);

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct rtsp_link *link = stream->data;
    char              reason[160];

    (void)buffer;
    if (link->closed) {
        if (count < 0)
            close_handles(link);
    } else if (count > 0 && link->tls != NULL) {
        on_cipher(link, (size_t)count);
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

static int send_raw(struct rtsp_link *link, const void *data, size_t bytes)
{
    uv_stream_t    *stream = (uv_stream_t *)&link->tcp;
    uv_buf_t        buffer = uv_buf_init((char *)(uintptr_t)data, (unsigned)bytes);
    struct sending *sending;
    int             sent;

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

/* ---- TLS ---- */

/* Sends what the encryption has ready. */
static int flush_tls(struct rtsp_link *link)
{
    uint8_t out[4096];
    size_t  bytes;
    int     rc = 0;

    while (rc == 0 && (bytes = camera_tls_take(link->tls, out, sizeof out)) > 0)
        rc = send_raw(link, out, bytes);
    return rc;
}

int rtsp_link_send(struct rtsp_link *link, const void *data, size_t bytes)
{
    int rc;

    if (!link->connected || link->failed)
        return ERR_IO;
    if (link->tls == NULL)
        return send_raw(link, data, bytes);
    rc = camera_tls_write(link->tls, data, bytes);
    return rc != 0 ? rc : flush_tls(link);
}

static void shake_hands(struct rtsp_link *link)
{
    struct why why = {""};
    int        rc  = camera_tls_handshake(link->tls, &why);

    if (rc < 0) {
        fail(link, rc, why.text);
    } else if (flush_tls(link) != 0) {
        fail(link, ERR_IO, "the connection to the camera broke while TLS began");
    } else if (rc == 1) {
        uv_timer_stop(&link->timer);
        link->connected = true;
        link->events.connected(link->events.arg);
    }
}

static void read_plain(struct rtsp_link *link)
{
    while (!link->closed && !link->failed) {
        size_t   room = 0;
        uint8_t *out  = link->events.room(link->events.arg, &room);
        int      rc   = room == 0 ? ERR_LIMIT : camera_tls_read(link->tls, out, room);

        if (rc == 0)
            return;
        if (rc > 0)
            link->events.received(link->events.arg, (size_t)rc);
        else if (rc == ERR_CLOSED)
            fail(link, ERR_CLOSED, "the camera closed the connection");
        else
            fail(link, ERR_IO, "the encrypted connection to the camera is damaged");
    }
}

static void on_cipher(struct rtsp_link *link, size_t bytes)
{
    if (camera_tls_feed(link->tls, link->cipher, bytes) != 0) {
        fail(link, ERR_IO, "out of memory");
        return;
    }
    if (!link->connected)
        shake_hands(link);
    if (link->connected)
        read_plain(link);
    if (!link->closed && !link->failed)
        flush_tls(link);
}

/* ---- connecting ---- */

static void on_timeout(uv_timer_t *timer)
{
    struct rtsp_link *link = timer->data;

    link->timed_out = true;
    if (link->closed)
        close_handles(link);
    else if (link->tls != NULL && uv_is_readable((uv_stream_t *)&link->tcp))
        fail(link, ERR_TIMEOUT, "the camera does not answer in TLS");
    else
        close_tcp(link);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct rtsp_link *link = request->handle->data;
    char              reason[160];

    if (link->closed || link->failed || (status == UV_ECANCELED && !link->timed_out))
        return;
    if (link->tls == NULL || status != 0)
        uv_timer_stop(&link->timer);
    if (status == 0 && !link->timed_out) {
        link->connected = link->tls == NULL;
        uv_tcp_nodelay(&link->tcp, 1);
        /* A camera that lost power says nothing: the kernel notices within a minute in any case. */
        uv_tcp_keepalive(&link->tcp, 1, 30);
        if (uv_read_start((uv_stream_t *)&link->tcp, on_room, on_read) != 0)
            fail(link, ERR_IO, "the connection to the camera cannot be read");
        else if (link->tls != NULL)
            shake_hands(link);
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

static void on_looked_up(void *arg, int code, const char *reason,
                         const struct sockaddr_storage *addresses, int count)
{
    struct rtsp_link *link = arg;

    if (code != 0) {
        fail(link, code, reason);
        return;
    }
    memcpy(link->addresses, addresses, (size_t)count * sizeof *addresses);
    link->address_count = count;
    link->events.progress(link->events.arg, "connecting");
    if (!link->closed)
        try_next(link);
}

/* The timer is free for the time limit of a connection: nothing else waits on the link. */
static int begin(struct rtsp_link *link, const struct rtsp_link_settings *settings, struct why *why)
{
    const struct camera_lookup_request request = {
        .host       = settings->host,
        .port       = settings->port,
        .reach      = settings->reach,
        .timeout_ms = settings->resolve_ms,
        .arg        = link,
        .done       = on_looked_up,
    };
    struct camera_tls_trust trust = settings->trust;

    trust.host = settings->host;
    if (settings->tls && camera_tls_open(&link->tls, &trust, why) != 0)
        return ERR_MEMORY;
    if (settings->tls && (link->cipher = malloc(CIPHER_BYTES)) == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    return camera_lookup_start(&link->lookup, link->loop, &request, why);
}

int rtsp_link_open(struct rtsp_link **out, uv_loop_t *loop,
                   const struct rtsp_link_settings *settings, const struct rtsp_link_events *events,
                   struct why *why)
{
    struct rtsp_link *link = calloc(1, sizeof *link);
    int               rc;

    *out = NULL;
    if (link == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    link->loop       = loop;
    link->events     = *events;
    link->connect_ms = settings->connect_ms;
    if ((rc = begin(link, settings, why)) != 0) {
        link->closed = true;
        free_if_done(link);
        return rc;
    }
    uv_timer_init(loop, &link->timer);
    link->timer.data = link;
    link->timer_open = true;
    *out             = link;
    return 0;
}

int rtsp_link_ends(const struct rtsp_link *link, struct sockaddr_storage *own,
                   struct sockaddr_storage *peer)
{
    int own_bytes = sizeof *own, peer_bytes = sizeof *peer;

    memset(own, 0, sizeof *own);
    memset(peer, 0, sizeof *peer);
    return link->connected &&
                   uv_tcp_getsockname(&link->tcp, (struct sockaddr *)own, &own_bytes) == 0 &&
                   uv_tcp_getpeername(&link->tcp, (struct sockaddr *)peer, &peer_bytes) == 0
               ? 0
               : ERR_IO;
}

void rtsp_link_close(struct rtsp_link **out, unsigned linger_ms)
{
    struct rtsp_link *link = *out;

    if (link == NULL)
        return;
    *out = NULL;
    camera_lookup_cancel(&link->lookup);
    if (linger_ms > 0 && link->connected && !link->failed) {
        link->closed = link->failed = true;
        uv_timer_start(&link->timer, on_timeout, linger_ms, 0);
        return;
    }
    link->closed = link->failed = true;
    close_handles(link);
}
