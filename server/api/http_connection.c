#include "server/api/http_inside.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"

#define FIRST_BYTES    2048 /* a browser's request head has 500 to 1,500 bytes */
#define LINGER_MS      1000 /* so long may a refused sender go on before its bytes cut the answer off */
#define WRITE_TOTAL_MS 60000 /* for a reader that takes an answer byte by byte */

static void process(struct connection *connection);
static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer);
static void bytes_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer);

/* ---- the life of a connection ---- */

static void waiting_remove(struct connection *connection)
{
    struct http_server *server = connection->server;

    if (connection->waiting_previous != NULL)
        connection->waiting_previous->waiting_next = connection->waiting_next;
    else
        server->waiting_first = connection->waiting_next;
    if (connection->waiting_next != NULL)
        connection->waiting_next->waiting_previous = connection->waiting_previous;
    else
        server->waiting_last = connection->waiting_previous;
    connection->waiting_next = connection->waiting_previous = NULL;
}

static void waiting_append(struct connection *connection)
{
    struct http_server *server = connection->server;

    connection->waiting_previous = server->waiting_last;
    if (server->waiting_last != NULL)
        server->waiting_last->waiting_next = connection;
    else
        server->waiting_first = connection;
    server->waiting_last = connection;
}

static void enter(struct connection *connection, enum connection_state state, int timeout_ms)
{
    if (connection->state == WAITING)
        waiting_remove(connection);
    if (state == WAITING)
        waiting_append(connection);
    connection->state       = state;
    connection->since_ns    = clock_monotonic_ns();
    connection->deadline_ns = connection->since_ns + timeout_ms * NS_PER_MS;
}

static void connection_closed(uv_handle_t *handle)
{
    struct connection  *connection = handle->data;
    struct http_server *server     = connection->server;

    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    if (connection->turned_away)
        server->turned_away--;
    reply_free(&connection->reply);
    free(connection->bytes);
    free(connection);
    http_handle_closed(server);
}

void connection_close(struct connection *connection)
{
    if (connection->state == CLOSING)
        return;
    enter(connection, CLOSING, 0);
    if (connection->counted) {
        connection->counted = false;
        http_server_leave(connection->server, &connection->peer);
    }
    uv_close((uv_handle_t *)&connection->tcp, connection_closed);
}

/* ---- answering ---- */

static void shut(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status; /* what cannot be shut is closed by the deadline */
}

static void written(uv_write_t *request, int status)
{
    struct connection *connection = request->data;

    if (connection->state != WRITING)
        return;
    reply_free(&connection->reply);
    if (status != 0) {
        connection_close(connection);
        return;
    }
    /* It may have been stopped while the client was far ahead; "already reading" is as good. */
    (void)uv_read_start((uv_stream_t *)&connection->tcp, give_room, bytes_read);
    if (!connection->keep_alive) {
        enter(connection, LINGERING, LINGER_MS);
        if (uv_shutdown(&connection->shutdown, (uv_stream_t *)&connection->tcp, shut) != 0)
            connection_close(connection);
        return;
    }
    connection->used_bytes -= connection->request_bytes;
    memmove(connection->bytes, connection->bytes + connection->request_bytes,
            connection->used_bytes);
    connection->scanned_bytes = 0;
    enter(connection, WAITING,
          connection->used_bytes > 0 ? connection->server->settings.head_timeout_ms
                                     : connection->server->settings.idle_timeout_ms);
    process(connection);
}

static void answer(struct connection *connection, bool with_body)
{
    struct http_server *server = connection->server;
    struct reply       *reply  = &connection->reply;
    uv_buf_t            parts[2];
    unsigned            count = 1;

    ASSERT(reply->status > 0 && reply->status < HTTP_STATUSES);
    server->stats.responses[reply->status]++;
    if (reply->close)
        connection->keep_alive = false;
    parts[0] = uv_buf_init(connection->head,
                           (unsigned)reply_head(reply, connection->keep_alive, connection->head));
    if (with_body && reply->body_bytes > 0)
        parts[count++] = uv_buf_init((char *)(uintptr_t)reply->body, (unsigned)reply->body_bytes);
    enter(connection, WRITING, server->settings.write_timeout_ms);
    connection->unsent_bytes = 0;
    connection->write.data   = connection;
    if (uv_write(&connection->write, (uv_stream_t *)&connection->tcp, parts, count, written) != 0)
        connection_close(connection);
}

void connection_refuse(struct connection *connection, enum http_refusal refusal)
{
    connection->server->stats.refusals[refusal]++;
    reply_free(&connection->reply);
    reply_init(&connection->reply);
    reply_error(&connection->reply, http_refusal_status(refusal), "%s", http_refusal_text(refusal));
    connection->keep_alive = false;
    answer(connection, true);
}

void connection_answer(struct connection *connection, struct reply *reply)
{
    connection->reply = *reply;
    answer(connection, !connection->head_only);
}

static void hand_over(struct connection *connection, const struct http_exchange *exchange)
{
    struct http_handler handler = connection->server->settings.handler;
    uv_os_fd_t          fd;
    int                 copy = -1;

    if (uv_fileno((uv_handle_t *)&connection->tcp, &fd) == 0)
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) {
        connection_refuse(connection, REFUSE_FULL);
        return;
    }
    connection->counted = false; /* its place goes with the socket */
    handler.upgrade(handler.arg, copy, exchange);
    connection_close(connection);
}

static bool make_room(struct connection *connection, size_t bytes)
{
    size_t room = connection->room_bytes == 0 ? FIRST_BYTES : connection->room_bytes;
    char  *grown;

    while (room < bytes)
        room *= 2;
    if (room == connection->room_bytes)
        return true;
    grown = realloc(connection->bytes, room);
    if (grown == NULL)
        return false;
    connection->bytes      = grown;
    connection->room_bytes = room;
    return true;
}

static void ask_handler(struct connection *connection, const struct http_request *request,
                        size_t head_bytes)
{
    struct http_server  *server   = connection->server;
    struct http_exchange exchange = {
        .request = request, .peer = &connection->peer, .ticket = ++server->tickets};
    enum http_verdict verdict;

    connection->request_bytes = head_bytes + (size_t)request->body_bytes;
    exchange.body_complete    = connection->used_bytes >= connection->request_bytes;
    if (connection->state == BODY && !exchange.body_complete)
        return;
    exchange.body.at    = connection->bytes + head_bytes;
    exchange.body.bytes = exchange.body_complete ? (size_t)request->body_bytes : 0;
    reply_init(&exchange.reply);
    verdict = server->settings.handler.request(server->settings.handler.arg, &exchange);
    if (verdict == HTTP_READ_BODY) {
        ASSERT(!exchange.body_complete);
        reply_free(&exchange.reply);
        enter(connection, BODY, server->settings.body_timeout_ms);
        if (!make_room(connection, connection->request_bytes))
            connection_refuse(connection, REFUSE_FULL);
        return;
    }
    if (verdict == HTTP_LATER) {
        reply_free(&exchange.reply);
        connection->ticket     = exchange.ticket;
        connection->head_only  = request->method == HTTP_HEAD;
        connection->keep_alive = request->keep_alive && exchange.body_complete;
        enter(connection, ANSWERING, server->settings.answer_timeout_ms);
        return;
    }
    if (verdict == HTTP_UPGRADE && connection->used_bytes == connection->request_bytes) {
        reply_free(&exchange.reply);
        hand_over(connection, &exchange);
        return;
    }
    if (verdict ==
        HTTP_UPGRADE) /* it must wait for our answer before it sends frames (RFC 6455, 4.1) */
        reply_error(&exchange.reply, 400, "data came before the upgrade was answered");
    connection->reply      = exchange.reply;
    connection->keep_alive = request->keep_alive && exchange.body_complete &&
                             verdict == HTTP_ANSWER;
    answer(connection, request->method != HTTP_HEAD);
}

/* Looks at what has arrived; does one step at most. */
static void process(struct connection *connection)
{
    enum http_refusal   refusal = REFUSE_NOTHING;
    struct http_request request;
    long                head_bytes;

    if (connection->used_bytes == 0)
        return;
    head_bytes = http_scan(connection->bytes, connection->used_bytes, connection->scanned_bytes,
                           &refusal);
    if (head_bytes == 0) {
        connection->scanned_bytes = connection->used_bytes;
        return;
    }
    if (head_bytes > 0)
        refusal = http_parse(&request, connection->bytes, (size_t)head_bytes);
    ASSERT(head_bytes > 0 || refusal != REFUSE_NOTHING);
    if (refusal != REFUSE_NOTHING) {
        connection_refuse(connection, refusal);
        return;
    }
    ask_handler(connection, &request, (size_t)head_bytes);
}

/* ---- reading ---- */

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    static char        waste[4096]; /* what a lingering client still sends; never read */
    struct connection *connection = handle->data;

    (void)suggested;
    *buffer = uv_buf_init(waste, sizeof waste);
    if (connection->state == LINGERING)
        return;
    /* Pipelined requests wait in the socket once this is full. */
    if (connection->used_bytes == connection->room_bytes &&
        (connection->room_bytes >= LIMIT_HTTP_HEAD_BYTES + LIMIT_HTTP_BODY_BYTES ||
         !make_room(connection, connection->used_bytes + 1))) {
        *buffer = uv_buf_init(NULL, 0);
        return;
    }
    *buffer = uv_buf_init(connection->bytes + connection->used_bytes,
                          (unsigned)(connection->room_bytes - connection->used_bytes));
}

static void bytes_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;

    (void)buffer;
    if (count == 0 || connection->state == CLOSING)
        return;
    if (count < 0) {
        /* A client that shut only its sending side still gets the answer in hand. */
        if (count == UV_EOF && (connection->state == WRITING || connection->state == ANSWERING)) {
            connection->keep_alive = false;
            uv_read_stop(stream);
        } else {
            connection_close(connection);
        }
        return;
    }
    if (connection->state == LINGERING)
        return;
    if (connection->state == WAITING && connection->used_bytes == 0)
        enter(connection, WAITING, connection->server->settings.head_timeout_ms);
    connection->used_bytes += (size_t)count;
    if (connection->state == WAITING || connection->state == BODY)
        process(connection);
    else if (connection->used_bytes >=
             LIMIT_HTTP_HEAD_BYTES) /* far ahead: the rest waits in its socket */
        uv_read_stop(stream);
}

struct connection *connection_new(struct http_server *server)
{
    struct connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL)
        return NULL;
    connection->server = server;
    if (uv_tcp_init(server->settings.loop, &connection->tcp) != 0) {
        free(connection);
        return NULL;
    }
    server->handles++;
    connection->tcp.data = connection;
    connection->next     = server->connections;
    if (server->connections != NULL)
        server->connections->previous = connection;
    server->connections = connection;
    connection->state   = BODY; /* in no list, so that enter() puts it into one */
    enter(connection, WAITING, server->settings.head_timeout_ms);
    return connection;
}

int connection_read(struct connection *connection)
{
    return uv_read_start((uv_stream_t *)&connection->tcp, give_room, bytes_read);
}

void connection_check_deadline(struct connection *connection, int64_t now_ns)
{
    const struct http_server_settings *settings = &connection->server->settings;
    size_t unsent = uv_stream_get_write_queue_size((uv_stream_t *)&connection->tcp);

    if (connection->state == WRITING && unsent != connection->unsent_bytes &&
        now_ns - connection->since_ns < WRITE_TOTAL_MS * NS_PER_MS) {
        connection->unsent_bytes = unsent;
        connection->deadline_ns  = now_ns + settings->write_timeout_ms * NS_PER_MS;
    }
    if (now_ns < connection->deadline_ns)
        return;
    if ((connection->state == WAITING && connection->used_bytes > 0) || connection->state == BODY)
        connection_refuse(connection, REFUSE_SLOW);
    else
        connection_close(connection);
}
