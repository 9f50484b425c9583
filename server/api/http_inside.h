/* server/api/http_inside.h: what http_server.c (the listening socket, the places, time) and http_connection.c (one
 * connection: reading, asking the handler, answering) share. */
#ifndef SIGHTLINE_SERVER_API_HTTP_INSIDE_H
#define SIGHTLINE_SERVER_API_HTTP_INSIDE_H

#include "server/api/http_server.h"

enum connection_state {
    WAITING, /* for a complete head; in server->waiting */
    BODY,
    ANSWERING, /* somebody makes the answer */
    WRITING,
    LINGERING, /* answered, write side shut; reads what comes and throws it away */
    CLOSING,
};

struct connection {
    struct http_server   *server;
    uv_tcp_t              tcp;
    uv_write_t            write;
    uv_shutdown_t         shutdown;
    struct peer           peer;
    enum connection_state state;
    bool                  counted; /* in the server's and the peer's number */
    bool                  turned_away;
    bool                  keep_alive;
    int64_t               since_ns; /* of the state */
    int64_t               deadline_ns;
    size_t                unsent_bytes; /* at the last look */
    char                 *bytes;
    size_t                used_bytes, room_bytes;
    size_t                scanned_bytes;
    size_t                request_bytes; /* head and body of the request in hand */
    uint64_t              ticket;        /* while ANSWERING */
    bool                  head_only;     /* likewise: it was a HEAD */
    struct reply          reply;
    char                  head[REPLY_HEAD_BYTES];
    struct connection    *next, *previous;                 /* all */
    struct connection    *waiting_next, *waiting_previous; /* oldest first */
};

struct http_server {
    struct http_server_settings settings;
    uv_tcp_t                    listener;
    uv_timer_t                  timer;
    int                         handles;     /* not closed yet */
    int                         turned_away; /* connections without a place */
    bool                        closing;
    uint64_t                    tickets; /* given out */
    uint16_t                    port;
    struct peers               *peers;
    struct connection          *connections;
    struct connection          *waiting_first, *waiting_last;
    struct http_server_stats    stats;
};

/* http_server.c */
void http_handle_closed(struct http_server *server);

/* http_connection.c */
/* Without its socket yet; NULL when out of memory. */
struct connection *connection_new(struct http_server *server);
int                connection_read(struct connection *connection);
void               connection_close(struct connection *connection);
void               connection_refuse(struct connection *connection, enum http_refusal refusal);
void               connection_answer(struct connection *connection, struct reply *reply);
void               connection_check_deadline(struct connection *connection, int64_t now_ns);

#endif
