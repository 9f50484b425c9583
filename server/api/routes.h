/* server/api/routes.h: every path of the API in one table, with the rights that it needs. */
#ifndef SIGHTLINE_SERVER_API_ROUTES_H
#define SIGHTLINE_SERVER_API_ROUTES_H

#include "server/api/api_inside.h"
#include "server/api/http_server.h"
#include "server/api/query.h"

/* One request that the table allows. */
struct call {
    struct api           *api;
    struct http_exchange *exchange;
    struct query_value    arguments[QUERY_MAX_RULES]; /* as the row's rules */
    bool                  signed_in; /* has shown credentials, or none are needed */
    uint64_t              session;   /* of its cookie; 0: none */
    struct http_text      segment;   /* of the path, for the row's "*"; not decoded */
    enum http_verdict     verdict;   /* HTTP_ANSWER unless the handler says otherwise */
};

enum route_rights {
    RIGHTS_OPEN,  /* anybody */
    RIGHTS_TOKEN, /* credentials, when the server has a token */
};

/* A row reads from the question to the answer: what padding that costs, it costs once.
 * NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct route {
    enum http_method         method; /* HTTP_GET allows HEAD as well */
    const char              *path;   /* one "*" stands for a segment that is not empty */
    enum route_rights        rights;
    const struct query_rule *rules;          /* NULL: takes no parameters */
    size_t                   max_body_bytes; /* 0: takes no body */
    void (*handle)(struct call *call);
};

extern const struct route ROUTES[];
extern const int          ROUTE_COUNT;

/* Finds the row, checks rights, arguments and body, and calls its handler. */
enum http_verdict routes_dispatch(struct api *api, struct http_exchange *exchange);

/* Handlers in files of their own. */
void handle_live(struct call *call);
void handle_ready(struct call *call);
void handle_version(struct call *call);
void handle_cameras(struct call *call);
void handle_counts(struct call *call);
void handle_history(struct call *call);
void handle_events(struct call *call);
void handle_metrics(struct call *call);
void handle_session_read(struct call *call);
void handle_session_begin(struct call *call);
void handle_session_end(struct call *call);
void handle_job_begin(struct call *call);
void handle_job_read(struct call *call);
void handle_job_cancel(struct call *call);
void handle_job_data(struct call *call);
void handle_job_picture(struct call *call);
void handle_snapshot(struct call *call);
void handle_snapshot_of(struct call *call);
void handle_websocket(struct call *call);

extern const struct query_rule HISTORY_RULES[], EVENTS_RULES[], JOB_RULES[], JOB_DATA_RULES[],
    SNAPSHOT_RULES[], SNAPSHOT_OF_RULES[];

#endif
