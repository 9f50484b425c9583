/* server/api/http_server.h: the listening socket and every connection's HTTP/1.1, on the loop.
 *
 * Each request goes through the strict door (http_door.h) before anybody sees it; requests of one connection are
 * answered one after the other. A connection that does not finish its head or its body in time, that
 * does not take its answer, or that idles, is closed. When all places are taken, the connection that has
 * waited longest without a complete request makes room: a crowd of half-open requests pushes out itself, not the
 * users. An accepted upgrade leaves with its socket; its place stays counted until http_server_leave().
 * Loop thread only. */
#ifndef SIGHTLINE_SERVER_API_HTTP_SERVER_H
#define SIGHTLINE_SERVER_API_HTTP_SERVER_H

#include "config/why.h"
#include "server/api/http_door.h"
#include "server/api/peers.h"
#include "server/api/reply.h"

#include <stdint.h>
#include <uv.h>

struct http_server;

/* One request on its way through the handler. */
struct http_exchange {
    const struct http_request *request;
    const struct peer         *peer;
    struct http_text           body;          /* complete when body_complete */
    bool                       body_complete; /* true at once when there is none */
    struct reply               reply;         /* initialised; what HTTP_ANSWER sends */
    uint64_t                   ticket;        /* of this request, for HTTP_LATER; never 0 */
};

enum http_verdict {
    HTTP_ANSWER,    /* send exchange->reply; an unread body ends the connection */
    HTTP_READ_BODY, /* ask again when the body is there; only while !body_complete */
    HTTP_UPGRADE,   /* hand the socket to `upgrade` */
    HTTP_LATER,     /* http_server_answer() comes with the ticket, within answer_timeout_ms */
};

struct http_handler {
    void *arg;
    enum http_verdict (*request)(void *arg, struct http_exchange *exchange);
    /* The callee owns the socket (non-blocking) from now on. */
    void (*upgrade)(void *arg, int fd, const struct http_exchange *exchange);
    /* After http_server_close() (not after a failed open): the last handle is closed, the server is freed. */
    void (*closed)(void *arg);
};

struct http_server_settings {
    uv_loop_t          *loop;
    const char         *listen; /* an IPv4 or IPv6 address */
    uint16_t            port;   /* 0: any */
    int                 max_connections, max_connections_per_address;
    int                 head_timeout_ms, body_timeout_ms, write_timeout_ms, idle_timeout_ms;
    int                 answer_timeout_ms; /* for HTTP_LATER; then the connection is closed */
    struct http_handler handler;
};

int      http_server_open(struct http_server **out, const struct http_server_settings *settings,
                          struct why *why);
void     http_server_close(struct http_server **server);
uint16_t http_server_port(const struct http_server *server);

/* Serves a socket that somebody else accepted; owns it from now on, whatever comes back. */
int http_server_take(struct http_server *server, int fd);

/* Sends what a request waits for; takes the reply over. A client that has left in the meantime gets
 * nothing. Never from within the handler. */
void http_server_answer(struct http_server *server, uint64_t ticket, struct reply *reply);

/* An upgraded connection is gone. */
void http_server_leave(struct http_server *server, const struct peer *peer);

#define HTTP_STATUSES 600
struct http_server_stats {
    uint64_t accepted;
    uint64_t evicted; /* waited too long while others came */
    int      connections;
    uint64_t refusals[HTTP_REFUSALS];
    uint64_t responses[HTTP_STATUSES]; /* by status */
};
const struct http_server_stats *http_server_stats(const struct http_server *server);

#endif
