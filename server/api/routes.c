#include "server/api/routes.h"

#include <string.h>

#include "config/clock.h"
#include "server/api/assets.h"

#define SESSION_BODY_BYTES \
    1024 /* {"token":"..."}: 256 bytes of token, every one of them escaped at worst */

#define JOB_BODY_BYTES \
    (64 << 10) /* a camera with every line and zone that it may have, in pretty JSON */

/* A row that is missing here does not exist for anybody. The dashboard's files (assets.h) come after the
 * table and are open: they hold nothing but the program that asks for the token. */
const struct route ROUTES[] = {
    {HTTP_GET, "/api/v1/live", RIGHTS_OPEN, NULL, 0, handle_live},
    {HTTP_GET, "/api/v1/ready", RIGHTS_OPEN, NULL, 0, handle_ready},
    {HTTP_GET, "/api/v1/session", RIGHTS_OPEN, NULL, 0, handle_session_read},
    {HTTP_POST, "/api/v1/session", RIGHTS_OPEN, NULL, SESSION_BODY_BYTES, handle_session_begin},
    {HTTP_DELETE, "/api/v1/session", RIGHTS_OPEN, NULL, 0, handle_session_end},
    {HTTP_GET, "/api/v1/version", RIGHTS_TOKEN, NULL, 0, handle_version},
    {HTTP_GET, "/api/v1/cameras", RIGHTS_TOKEN, NULL, 0, handle_cameras},
    {HTTP_GET, "/api/v1/cameras/*/snapshot", RIGHTS_TOKEN, SNAPSHOT_RULES, 0, handle_snapshot},
    {HTTP_GET, "/api/v1/snapshot", RIGHTS_TOKEN, SNAPSHOT_OF_RULES, 0, handle_snapshot_of},
    {HTTP_GET, "/api/v1/counts", RIGHTS_TOKEN, NULL, 0, handle_counts},
    {HTTP_GET, "/api/v1/history", RIGHTS_TOKEN, HISTORY_RULES, 0, handle_history},
    {HTTP_GET, "/api/v1/events", RIGHTS_TOKEN, EVENTS_RULES, 0, handle_events},
    {HTTP_POST, "/api/v1/jobs", RIGHTS_TOKEN, NULL, JOB_BODY_BYTES, handle_job_begin},
    {HTTP_GET, "/api/v1/jobs", RIGHTS_TOKEN, JOB_RULES, 0, handle_job_read},
    {HTTP_DELETE, "/api/v1/jobs", RIGHTS_TOKEN, JOB_RULES, 0, handle_job_cancel},
    {HTTP_POST, "/api/v1/jobs/data", RIGHTS_TOKEN, JOB_DATA_RULES, LIMIT_HTTP_BODY_BYTES,
     handle_job_data},
    {HTTP_GET, "/api/v1/jobs/picture", RIGHTS_TOKEN, JOB_RULES, 0, handle_job_picture},
    {HTTP_GET, "/metrics", RIGHTS_TOKEN, NULL, 0, handle_metrics},
    {HTTP_GET, "/api/v1/ws", RIGHTS_TOKEN, NULL, 0, handle_websocket},
};
const int ROUTE_COUNT = sizeof ROUTES / sizeof ROUTES[0];

/* Sets *segment to what stands for the "*". */
static bool path_is(struct http_text path, const char *other, struct http_text *segment)
{
    const char *star = strchr(other, '*');
    size_t      head = star == NULL ? strlen(other) : (size_t)(star - other);
    size_t      tail = star == NULL ? 0 : strlen(star + 1);

    if (star == NULL)
        return head == path.bytes && memcmp(path.at, other, head) == 0;
    if (path.bytes <= head + tail || memcmp(path.at, other, head) != 0 ||
        memcmp(path.at + path.bytes - tail, star + 1, tail) != 0)
        return false;
    *segment = (struct http_text){path.at + head, path.bytes - head - tail};
    return memchr(segment->at, '/', segment->bytes) == NULL;
}

/* The row, or NULL with *known set when the path exists for another method. */
static const struct route *find_route(const struct http_request *request, bool *known,
                                      struct http_text *segment)
{
    enum http_method method = request->method == HTTP_HEAD ? HTTP_GET : request->method;

    *known = false;
    for (int i = 0; i < ROUTE_COUNT; i++) {
        if (!path_is(request->path, ROUTES[i].path, segment))
            continue;
        *known = true;
        if (ROUTES[i].method == method)
            return &ROUTES[i];
    }
    return NULL;
}

static void answer_wrong_method(struct http_exchange *exchange)
{
    const struct http_request *request     = exchange->request;
    char                       allowed[64] = "";
    size_t                     used        = 0;
    struct http_text           segment;

    for (int i = 0; i < ROUTE_COUNT; i++) {
        static const char *const names[] = {"GET, HEAD", "HEAD", "POST", "DELETE"};
        const char              *name    = names[ROUTES[i].method];
        if (!path_is(request->path, ROUTES[i].path, &segment) ||
            used + strlen(name) + 3 > sizeof allowed)
            continue;
        if (used > 0) {
            memcpy(allowed + used, ", ", 3);
            used += 2;
        }
        memcpy(allowed + used, name, strlen(name) + 1);
        used += strlen(name);
    }
    reply_header(&exchange->reply, "Allow: %s", used > 0 ? allowed : "GET, HEAD");
    reply_error(&exchange->reply, 405, "this method is not allowed here");
}

/* ---- who asks ---- */

/* The host in "host:port" or "[v6]:port". */
static struct http_text host_name(struct http_text authority)
{
    const char *bracket = authority.bytes > 0 && authority.at[0] == '['
                              ? memchr(authority.at, ']', authority.bytes)
                              : NULL;
    const char *colon;

    if (bracket != NULL)
        return (struct http_text){authority.at, (size_t)(bracket - authority.at) + 1};
    colon = authority.at == NULL ? NULL : memchr(authority.at, ':', authority.bytes);
    if (colon != NULL)
        authority.bytes = (size_t)(colon - authority.at);
    return authority;
}

/* An address, or localhost: names that no stranger's DNS can point at us. */
static bool host_is_ours(struct http_text authority)
{
    struct http_text name = host_name(authority);

    if (name.at == NULL || http_text_is(name, "localhost") || name.at[0] == '[')
        return true;
    for (size_t i = 0; i < name.bytes; i++) {
        if ((name.at[i] < '0' || name.at[i] > '9') && name.at[i] != '.')
            return false;
    }
    return true;
}

/* True if there is no Origin, or it is this server as the client names it in Host. */
static bool origin_is_own(const struct http_request *request)
{
    struct http_text origin = http_header(request, "origin", NULL);
    size_t           scheme = 0;
    char             host[256];

    if (origin.at == NULL)
        return true;
    if (origin.bytes > 7 && http_text_is((struct http_text){origin.at, 7}, "http://"))
        scheme = 7;
    else if (origin.bytes > 8 && http_text_is((struct http_text){origin.at, 8}, "https://"))
        scheme = 8;
    if (scheme == 0 || request->host.at == NULL || request->host.bytes >= sizeof host)
        return false;
    memcpy(host, request->host.at, request->host.bytes);
    host[request->host.bytes] = '\0';
    return http_text_is((struct http_text){origin.at + scheme, origin.bytes - scheme}, host);
}

static void answer_denied(struct http_exchange *exchange, enum token_answer answer)
{
    if (answer == TOKEN_LIMITED) {
        reply_header(&exchange->reply, "Retry-After: 60");
        reply_error(&exchange->reply, 429, "too many failed attempts; wait a minute");
        return;
    }
    reply_header(&exchange->reply, "WWW-Authenticate: Bearer realm=\"sightline\"");
    reply_error(&exchange->reply, 401, "%s",
                answer == TOKEN_MISSING ? "this needs the server's token" : "the token is wrong");
}

/* False when the reply already says no. */
static bool may_enter(struct call *call, const struct route *route)
{
    struct http_exchange      *exchange = call->exchange;
    const struct http_request *request  = exchange->request;
    bool                       open     = route == NULL || route->rights == RIGHTS_OPEN;
    bool              changes = request->method == HTTP_POST || request->method == HTTP_DELETE;
    bool              upgrade = route != NULL && route->handle == handle_websocket;
    enum token_answer answer;

    /* Without a token a page of another site could reach a server on the user's own machine by pointing its own name at
     * 127.0.0.1; the name in Host gives that away. */
    if (!token_needed(call->api->door) && !host_is_ours(request->host)) {
        reply_error(&exchange->reply, 421,
                    "without a token this server answers only to its "
                    "address or \"localhost\"");
        return false;
    }
    if ((changes || upgrade) && !origin_is_own(request)) {
        reply_error(&exchange->reply, 403, "the request comes from a page of another site");
        return false;
    }
    /* An open row asks nobody's credentials unless it tells more to those who have them; a
     * wrong token there is a failed attempt like any other. */
    if (route == NULL ||
        (open && route->handle != handle_ready && route->handle != handle_session_read))
        return true;
    answer          = token_check(call->api->door, request, exchange->peer, clock_monotonic_ns(),
                                  &call->session);
    call->signed_in = answer == TOKEN_OK;
    if (answer == TOKEN_OK || open) /* a probe with an old token is still a probe */
        return true;
    answer_denied(exchange, answer);
    return false;
}

/* ---- the dashboard ---- */

static void answer_asset(struct http_exchange *exchange, const struct asset *asset)
{
    const struct http_request *request = exchange->request;
    struct http_text           accept  = http_header(request, "accept-encoding", NULL);
    struct http_text           known   = http_header(request, "if-none-match", NULL);
    struct reply              *reply   = &exchange->reply;

    reply->cache = asset->immutable ? "public, max-age=31536000, immutable" : "no-cache";
    reply_header(reply, "ETag: %s", asset->etag);
    reply_header(reply, "Vary: Accept-Encoding");
    if (asset_matches(asset, known.at, known.bytes)) {
        reply_static(reply, 304, NULL, NULL, 0);
        return;
    }
    switch (asset_choose(asset, accept.at, accept.bytes)) {
    case ASSET_BROTLI:
        reply_header(reply, "Content-Encoding: br");
        reply_static(reply, 200, asset->mime, asset->brotli, asset->brotli_bytes);
        return;
    case ASSET_GZIP:
        reply_header(reply, "Content-Encoding: gzip");
        reply_static(reply, 200, asset->mime, asset->gzip, asset->gzip_bytes);
        return;
    case ASSET_PLAIN:
        break;
    }
    reply_static(reply, 200, asset->mime, asset->plain, asset->plain_bytes);
}

static void dispatch_asset(struct call *call)
{
    struct http_exchange      *exchange = call->exchange;
    const struct http_request *request  = exchange->request;
    const struct asset        *asset    = asset_find(request->path.at, request->path.bytes);

    if (!may_enter(call, NULL))
        return;
    if (asset == NULL)
        reply_error(&exchange->reply, 404, "there is nothing at this path");
    else if (request->method != HTTP_GET && request->method != HTTP_HEAD)
        answer_wrong_method(exchange);
    else if (request->body_bytes > 0)
        reply_error(&exchange->reply, 413, "no body is expected here");
    else
        answer_asset(exchange, asset);
}

/* ---- dispatch ---- */

enum http_verdict routes_dispatch(struct api *api, struct http_exchange *exchange)
{
    const struct http_request *request = exchange->request;
    struct call                call    = {.api = api, .exchange = exchange, .verdict = HTTP_ANSWER};
    struct why                 why     = {0};
    bool                       known;
    const struct route        *route = find_route(request, &known, &call.segment);

    if (route == NULL && !known) {
        dispatch_asset(&call);
        return HTTP_ANSWER;
    }
    if (route == NULL) {
        answer_wrong_method(exchange);
        return HTTP_ANSWER;
    }
    if (!may_enter(&call, route))
        return HTTP_ANSWER;
    if (query_parse(request->query, route->rules, call.arguments, &why) != 0) {
        reply_error(&exchange->reply, 400, "%s", why.text);
        return HTTP_ANSWER;
    }
    if (request->body_bytes > route->max_body_bytes) {
        reply_error(&exchange->reply, 413, "the body may have %zu bytes here",
                    route->max_body_bytes);
        return HTTP_ANSWER;
    }
    if (!exchange->body_complete)
        return HTTP_READ_BODY;
    route->handle(&call);
    return call.verdict;
}
