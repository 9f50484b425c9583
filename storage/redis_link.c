#include "storage/redis_link.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "storage/redis_url.h"
#include "storage/redis_uv.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pauses between attempts: doubled from the first to the last, each cut by up to half by chance. */
#define PAUSE_FIRST_MS 100
#define PAUSE_LAST_MS  4000
/* How often deadlines are looked at, and after what silence a question is asked. */
#define TICK_MS 250
#define IDLE_MS 1000
/* No answer to what we ask is longer. */
#define ANSWER_BYTES (1 << 20)

enum state { WAITING, RESOLVING, CONNECTING, SIGNING_IN, UP, CLOSED };

/* Requests of the link itself; those of its user are 0 and more. */
enum request { REQUEST_AUTH = -1, REQUEST_SELECT = -2, REQUEST_PING = -3 };

struct redis_link {
    uv_loop_t               *loop;
    struct redis_link_events events;
    struct redis_url         url;
    enum state               state;
    uv_timer_t               timer; /* the pause, then the tick */
    uv_getaddrinfo_t         resolve;
    bool                     resolving; /* also after the attempt was given up */
    redisAsyncContext       *context;
    int64_t                  progress_ns; /* start of the attempt, or the last answer */
    int                      commands;    /* sent and not answered */
    size_t                   bytes;       /* of them */
    size_t                   sizes[REDIS_LINK_COMMANDS + 3];
    int                      sizes_first;
    int                      pause_ms;
    uint64_t                 connects;
    bool                     timer_closed;
    char                     reason[256];
};

static void attempt(struct redis_link *link);
static void drop(struct redis_link *link, const char *reason);

static void free_if_closed(struct redis_link *link)
{
    if (!link->timer_closed || link->resolving)
        return;
    sodium_memzero(&link->url, sizeof link->url);
    free(link);
}

/* ---- sending and answers ---- */

static void on_reply(redisAsyncContext *context, void *reply, void *request);

static bool send_parts(struct redis_link *link, int request, int count, const char *const *parts,
                       const size_t *bytes)
{
    size_t sum  = 0;
    int    room = (int)(sizeof link->sizes / sizeof link->sizes[0]);

    for (int i = 0; i < count; i++)
        sum += bytes[i];
    if (link->commands == room ||
        redisAsyncCommandArgv(link->context, on_reply, (void *)(intptr_t)request, count,
                              (const char **)(uintptr_t)parts, bytes) != REDIS_OK)
        return false;
    if (link->commands == 0)
        link->progress_ns = clock_monotonic_ns();
    link->sizes[(link->sizes_first + link->commands) % room] = sum;
    link->commands++;
    link->bytes += sum;
    return true;
}

bool redis_link_send(struct redis_link *link, int request, int count, const char *const *parts,
                     const size_t *bytes)
{
    if (link->state != UP || link->commands >= REDIS_LINK_COMMANDS ||
        link->bytes >= REDIS_LINK_BYTES)
        return false;
    return send_parts(link, request, count, parts, bytes);
}

static void answered(struct redis_link *link)
{
    int room = (int)(sizeof link->sizes / sizeof link->sizes[0]);

    link->bytes -= link->sizes[link->sizes_first];
    link->sizes_first = (link->sizes_first + 1) % room;
    link->commands--;
    link->progress_ns = clock_monotonic_ns();
}

static void now_up(struct redis_link *link)
{
    link->state     = UP;
    link->reason[0] = '\0';
    link->connects++;
    log_info("redis", "connected to %s:%s", link->url.host, link->url.port);
    link->events.up(link->events.arg);
}

/* Redis repeats the words of a command that it does not know, and ours may be a password. */
static void sign_in_answered(struct redis_link *link, int request, const redisReply *reply)
{
    bool error = reply->type == REDIS_REPLY_ERROR;

    if (request == REQUEST_AUTH && error)
        drop(link, "Redis refuses the user or password");
    else if (request == REQUEST_SELECT && error)
        drop(link, strncmp(reply->str, "NOAUTH", 6) == 0 ? "Redis needs a password"
                                                         : "Redis has no such database");
    else if (request == REQUEST_PING && error && strncmp(reply->str, "NOAUTH", 6) == 0)
        drop(link, "Redis needs a password");
    else if (request == REQUEST_PING && error && strncmp(reply->str, "LOADING", 7) == 0)
        drop(link, "Redis is still reading its data");
    else if (request == REQUEST_PING && error)
        drop(link, "Redis refuses the connection");
    else if (request == REQUEST_PING && link->state == SIGNING_IN)
        now_up(link);
}

static void on_reply(redisAsyncContext *context, void *reply, void *request)
{
    struct redis_link *link   = context->data;
    int                number = (int)(intptr_t)request;

    /* Without an answer the connection is ending, and what belongs to it was forgotten. */
    if (link == NULL || link->context != context || reply == NULL)
        return;
    answered(link);
    if (number < 0)
        sign_in_answered(link, number, reply);
    else if (link->state == UP)
        link->events.reply(link->events.arg, number, reply);
    if (link->context == context && context->c.reader->len > ANSWER_BYTES)
        drop(link, "Redis sends more than was asked for");
}

/* ---- one attempt ---- */

static void on_tick(uv_timer_t *timer)
{
    struct redis_link *link      = timer->data;
    int64_t            now_ns    = clock_monotonic_ns();
    int64_t            silent_ns = now_ns - link->progress_ns;

    if (link->state == WAITING) {
        attempt(link);
    } else if (silent_ns > REDIS_LINK_TIMEOUT_MS * NS_PER_MS &&
               (link->commands > 0 || link->state != UP)) {
        drop(link, "Redis does not answer");
    } else if (link->state == UP && link->commands == 0 && silent_ns > IDLE_MS * NS_PER_MS) {
        const char  *ping  = "PING";
        const size_t bytes = 4;

        if (!send_parts(link, REQUEST_PING, 1, &ping, &bytes))
            drop(link, "out of memory");
    }
}

static void wait_and_retry(struct redis_link *link)
{
    uint32_t half = (uint32_t)link->pause_ms / 2;

    link->state = WAITING;
    uv_timer_start(&link->timer, on_tick, (uint64_t)link->pause_ms - randombytes_uniform(half + 1),
                   TICK_MS);
    link->pause_ms = link->pause_ms * 2 > PAUSE_LAST_MS ? PAUSE_LAST_MS : link->pause_ms * 2;
}

/* Ends the attempt or the connection. Also from inside hiredis' calls: it frees the context
 * afterwards. */
static void drop(struct redis_link *link, const char *reason)
{
    redisAsyncContext *context = link->context;
    bool               was_up  = link->state == UP;

    if (link->state == WAITING || link->state == CLOSED)
        return;
    if (reason != NULL) {
        char said[sizeof link->reason];
        snprintf(said, sizeof said, "%s:%s: %s", link->url.host, link->url.port, reason);
        if (strcmp(link->reason, said) != 0)
            log_warning("redis", "%s", said);
        memcpy(link->reason, said, sizeof said);
    }
    link->context     = NULL;
    link->commands    = 0;
    link->bytes       = 0;
    link->sizes_first = 0;
    if (context != NULL) {
        context->data = NULL;
        redisAsyncFree(context);
    }
    wait_and_retry(link);
    if (was_up)
        link->events.down(link->events.arg);
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
    struct redis_link *link = context->data;

    if (link == NULL || link->context != context)
        return;
    link->context = NULL; /* hiredis frees it after this call */
    drop(link, status == REDIS_OK ? "the connection was closed" : context->errstr);
}

static bool sign_in(struct redis_link *link)
{
    const char *auth[3]   = {"AUTH", link->url.user, link->url.password};
    const char *select[2] = {"SELECT", link->url.database};
    const char *ping      = "PING";
    size_t      bytes[3]  = {4, strlen(link->url.user), strlen(link->url.password)};

    link->state = SIGNING_IN;
    if (auth[1][0] == '\0') {
        auth[1]  = auth[2];
        bytes[1] = bytes[2];
    }
    if (link->url.password[0] != '\0' &&
        !send_parts(link, REQUEST_AUTH, link->url.user[0] != '\0' ? 3 : 2, auth, bytes))
        return false;
    bytes[0] = 6;
    bytes[1] = strlen(link->url.database);
    if (link->url.database[0] != '\0' && !send_parts(link, REQUEST_SELECT, 2, select, bytes))
        return false;
    /* Answered when all before it is done, and not while Redis still reads its data. */
    bytes[0] = 4;
    return send_parts(link, REQUEST_PING, 1, &ping, bytes);
}

static void on_connect(const redisAsyncContext *context, int status)
{
    struct redis_link *link = context->data;

    if (link == NULL || link->context != context)
        return;
    if (status != REDIS_OK) {
        link->context = NULL; /* it is going already */
        drop(link, context->errstr[0] != '\0' ? context->errstr : "Redis cannot be reached");
        return;
    }
    link->progress_ns = clock_monotonic_ns();
    /* The context must outlive this call: an attempt that cannot begin is ended by its deadline. */
    if (!sign_in(link))
        log_warning("redis", "out of memory");
}

static void connect_to(struct redis_link *link, const char *address)
{
    int port = (int)strtol(link->url.port, NULL, 10);

    link->state   = CONNECTING;
    link->context = redisAsyncConnect(address, port);
    if (link->context == NULL) {
        drop(link, "out of memory");
        return;
    }
    link->context->data = link;
    if (link->context->err != 0) {
        drop(link, link->context->errstr);
        return;
    }
    if (redis_uv_attach(link->context, link->loop) != 0) {
        drop(link, "out of memory");
        return;
    }
    redisAsyncSetDisconnectCallback(link->context, on_disconnect);
    /* Starts to wait for the connection. */
    redisAsyncSetConnectCallback(link->context, on_connect);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct redis_link *link = request->data;
    char               address[64];
    int                rc = status;

    link->resolving = false;
    if (link->state == CLOSED) {
        uv_freeaddrinfo(found);
        free_if_closed(link);
        return;
    }
    if (rc == 0 && found->ai_family == AF_INET)
        rc = uv_ip4_name((struct sockaddr_in *)(void *)found->ai_addr, address, sizeof address);
    else if (rc == 0)
        rc = uv_ip6_name((struct sockaddr_in6 *)(void *)found->ai_addr, address, sizeof address);
    uv_freeaddrinfo(found);
    /* The attempt may be over: a slow name service. */
    if (link->state != RESOLVING)
        return;
    if (rc != 0)
        drop(link, "the name of the Redis host is not known");
    else
        connect_to(link, address);
}

static void attempt(struct redis_link *link)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};

    if (link->resolving)
        return;
    link->state        = RESOLVING;
    link->progress_ns  = clock_monotonic_ns();
    link->resolve.data = link;
    uv_timer_start(&link->timer, on_tick, TICK_MS, TICK_MS);
    /* hiredis would resolve on the loop and stop it while a name server is slow. */
    if (uv_getaddrinfo(link->loop, &link->resolve, on_resolved, link->url.host, link->url.port,
                       &hints) == 0)
        link->resolving = true;
    else
        drop(link, "out of memory");
}

/* ---- the life of a link ---- */

int redis_link_open(struct redis_link **out, uv_loop_t *loop, const char *url,
                    const struct redis_link_events *events, struct why *why)
{
    struct redis_link *link = calloc(1, sizeof *link);
    struct sigaction   pipe_action;
    int                rc;

    *out = NULL;
    if (link == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    if ((rc = redis_url_parse(&link->url, url, why)) != 0) {
        free(link);
        return rc;
    }
    /* hiredis writes without MSG_NOSIGNAL: a Redis that goes away would end the program. */
    if (sigaction(SIGPIPE, NULL, &pipe_action) == 0 && pipe_action.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
    link->loop       = loop;
    link->events     = *events;
    link->pause_ms   = PAUSE_FIRST_MS;
    link->timer.data = link;
    snprintf(link->reason, sizeof link->reason, "not connected yet");
    uv_timer_init(loop, &link->timer);
    uv_timer_start(&link->timer, on_tick, 0, TICK_MS);
    *out = link;
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct redis_link *link = handle->data;

    link->timer_closed = true;
    free_if_closed(link);
}

void redis_link_close(struct redis_link **out)
{
    struct redis_link *link = *out;
    redisAsyncContext *context;

    *out = NULL;
    if (link == NULL)
        return;
    link->state   = CLOSED;
    context       = link->context;
    link->context = NULL;
    if (context != NULL) {
        context->data = NULL;
        redisAsyncFree(context);
    }
    if (link->resolving)
        uv_cancel((uv_req_t *)&link->resolve);
    uv_close((uv_handle_t *)&link->timer, on_timer_closed);
}

void redis_link_fail(struct redis_link *link, const char *reason)
{
    drop(link, reason);
}

void redis_link_settled(struct redis_link *link)
{
    link->pause_ms = PAUSE_FIRST_MS;
}

bool redis_link_is_up(const struct redis_link *link)
{
    return link->state == UP;
}

const char *redis_link_reason(const struct redis_link *link)
{
    return link->reason;
}

uint64_t redis_link_reconnects(const struct redis_link *link)
{
    return link->connects > 0 ? link->connects - 1 : 0;
}
