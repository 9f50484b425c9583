#include "server/api/http_inside.h"

#include <stdlib.h>
#include <unistd.h>

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"

#define BACKLOG         511
#define TICK_MS         250 /* how late a deadline may be noticed */
#define EVICTION_AGE_MS 200 /* a request that is just arriving is left in peace */
#define MAX_TURNED_AWAY 256 /* connections without a place that are told so at one time */

/* ---- places ---- */

/* No place: says so, unless too many are being told. */
static void turn_away(struct connection *connection, enum http_refusal refusal)
{
    struct http_server *server = connection->server;

    connection->turned_away = true;
    if (++server->turned_away <= MAX_TURNED_AWAY) {
        connection_refuse(connection, refusal);
        return;
    }
    server->stats.refusals[refusal]++;
    connection_close(connection);
}

static void connection_start(struct connection *connection)
{
    struct http_server     *server  = connection->server;
    struct sockaddr_storage address = {0};
    int                     bytes   = sizeof address;
    int                     share   = server->settings.max_connections;

    if (uv_tcp_getpeername(&connection->tcp, (struct sockaddr *)&address, &bytes) != 0)
        address.ss_family = AF_UNIX;
    peer_from_address(&connection->peer, (struct sockaddr *)&address);
    server->stats.accepted++;
    uv_tcp_nodelay(&connection->tcp, 1);
    if (!connection->peer.loopback)
        share = server->settings.max_connections_per_address;
    if (server->stats.connections >= server->settings.max_connections) {
        struct connection *oldest = server->waiting_first;
        if (oldest == NULL || oldest == connection ||
            clock_monotonic_ns() - oldest->since_ns < EVICTION_AGE_MS * NS_PER_MS) {
            turn_away(connection, REFUSE_FULL);
            return;
        }
        server->stats.evicted++;
        connection_close(oldest);
    }
    if (!peers_enter(server->peers, &connection->peer, share)) {
        turn_away(connection, REFUSE_ADDRESS_FULL);
        return;
    }
    connection->counted = true;
    server->stats.connections++;
}

static int connection_begin(struct connection *connection, int rc)
{
    if (rc == 0) {
        connection_start(connection);
        if (connection->state == CLOSING)
            return ERR_IO;
        rc = connection_read(connection);
    }
    if (rc != 0)
        connection_close(connection);
    return rc == 0 ? 0 : ERR_IO;
}

static void knocked(uv_stream_t *listener, int status)
{
    struct http_server *server = listener->data;
    struct connection  *connection;

    if (status != 0) {
        log_warning("http", "cannot accept a connection: %s", uv_strerror(status));
        return;
    }
    /* Without memory the connection stays in the backlog; libuv asks again. */
    connection = connection_new(server);
    if (connection != NULL)
        connection_begin(connection, uv_accept(listener, (uv_stream_t *)&connection->tcp));
}

int http_server_take(struct http_server *server, int fd)
{
    struct connection *connection = connection_new(server);
    int                rc;

    if (connection == NULL) {
        close(fd);
        return ERR_MEMORY;
    }
    rc = uv_tcp_open(&connection->tcp, fd);
    if (rc != 0)
        close(fd);
    return connection_begin(connection, rc);
}

void http_server_answer(struct http_server *server, uint64_t ticket, struct reply *reply)
{
    struct connection *connection = server->connections;

    while (connection != NULL && (connection->state != ANSWERING || connection->ticket != ticket))
        connection = connection->next;
    if (connection == NULL)
        reply_free(reply);
    else
        connection_answer(connection, reply);
}

void http_server_leave(struct http_server *server, const struct peer *peer)
{
    ASSERT(server->stats.connections > 0);
    server->stats.connections--;
    peers_leave(server->peers, peer);
}

/* ---- time ---- */

static void tick(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    int64_t             now_ns = clock_monotonic_ns();
    struct connection  *next;

    for (struct connection *connection = server->connections; connection != NULL;
         connection                    = next) {
        next = connection->next;
        if (connection->state != CLOSING)
            connection_check_deadline(connection, now_ns);
    }
}

/* ---- the server ---- */

void http_handle_closed(struct http_server *server)
{
    if (--server->handles > 0 || !server->closing)
        return;
    struct http_handler handler = server->settings.handler;
    peers_close(&server->peers);
    free(server);
    if (handler.closed != NULL)
        handler.closed(handler.arg);
}

static int bind_listener(struct http_server *server, struct why *why)
{
    const struct http_server_settings *settings = &server->settings;
    struct sockaddr_storage            address  = {0};
    int                                bytes    = sizeof address;
    int                                rc;

    if (uv_ip4_addr(settings->listen, settings->port, (struct sockaddr_in *)&address) != 0 &&
        uv_ip6_addr(settings->listen, settings->port, (struct sockaddr_in6 *)&address) != 0)
        return why_set(why, ERR_INVALID, "\"%s\" is not an address to listen on; 127.0.0.1 is one",
                       settings->listen);
    rc = uv_tcp_bind(&server->listener, (struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&server->listener, BACKLOG, knocked);
    if (rc == 0)
        rc = uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &bytes);
    if (rc != 0)
        return why_set(why, ERR_IO, "cannot listen on %s port %u: %s", settings->listen,
                       settings->port, uv_strerror(rc));
    server->port = ntohs(address.ss_family == AF_INET
                             ? ((struct sockaddr_in *)&address)->sin_port
                             : ((struct sockaddr_in6 *)&address)->sin6_port);
    return 0;
}

int http_server_open(struct http_server **out, const struct http_server_settings *settings,
                     struct why *why)
{
    struct http_server *server = calloc(1, sizeof *server);
    int                 rc;

    *out = NULL;
    if (server == NULL)
        return why_set(why, ERR_MEMORY, "no memory for the HTTP server");
    server->settings = *settings;
    rc               = peers_open(&server->peers, settings->max_connections + 1);
    if (rc != 0) {
        free(server);
        return why_set(why, rc, "no memory for the HTTP server");
    }
    uv_timer_init(settings->loop, &server->timer);
    uv_tcp_init(settings->loop, &server->listener);
    server->handles       = 2;
    server->timer.data    = server;
    server->listener.data = server;
    rc                    = bind_listener(server, why);
    if (rc == 0)
        rc = uv_timer_start(&server->timer, tick, TICK_MS, TICK_MS);
    if (rc != 0) {
        server->settings.handler.closed = NULL; /* nobody waits for what never opened */
        http_server_close(&server);
        return rc;
    }
    *out = server;
    return 0;
}

static void server_handle_closed(uv_handle_t *handle)
{
    http_handle_closed(handle->data);
}

void http_server_close(struct http_server **server)
{
    struct http_server *closing = *server;
    struct connection  *next;

    *server = NULL;
    if (closing == NULL)
        return;
    closing->closing = true;
    for (struct connection *connection = closing->connections; connection != NULL;
         connection                    = next) {
        next = connection->next;
        connection_close(connection);
    }
    uv_close((uv_handle_t *)&closing->timer, server_handle_closed);
    uv_close((uv_handle_t *)&closing->listener, server_handle_closed);
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

const struct http_server_stats *http_server_stats(const struct http_server *server)
{
    return &server->stats;
}
