#include "server/camera/camera_lookup.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "server/camera/camera_url.h"

struct camera_lookup {
    struct camera_lookup       **owner; /* NULL: cancelled, or told */
    struct camera_lookup_request request;
    char                         host[CAMERA_URL_HOST_BYTES];
    uv_loop_t                   *loop;
    uv_getaddrinfo_t             resolve;
    uv_timer_t                   timer;
    bool                         resolving, timer_open;
};

static void free_if_done(struct camera_lookup *lookup)
{
    if (lookup->owner == NULL && !lookup->resolving && !lookup->timer_open)
        free(lookup);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct camera_lookup *lookup = handle->data;

    lookup->timer_open = false;
    free_if_done(lookup);
}

static void let_go(struct camera_lookup *lookup)
{
    *lookup->owner = NULL;
    lookup->owner  = NULL;
    if (lookup->resolving)
        uv_cancel((uv_req_t *)&lookup->resolve);
    uv_close((uv_handle_t *)&lookup->timer, on_timer_closed);
}

static void tell(struct camera_lookup *lookup, int code, const char *reason,
                 const struct sockaddr_storage *addresses, int count)
{
    let_go(lookup);
    lookup->request.done(lookup->request.arg, code, reason, addresses, count);
}

static void judge(struct camera_lookup *lookup, const struct addrinfo *found)
{
    struct sockaddr_storage addresses[CAMERA_LOOKUP_ADDRESSES] = {0};
    struct why              why   = {"the camera's name has no address"};
    int                     code  = ERR_NOT_FOUND;
    int                     count = 0;

    for (; found != NULL && count < CAMERA_LOOKUP_ADDRESSES; found = found->ai_next) {
        int rc;

        if (found->ai_addrlen > sizeof addresses[0])
            continue;
        if ((rc = camera_url_allow(found->ai_addr, lookup->request.reach, &why)) != 0)
            code = rc;
        else
            memcpy(&addresses[count++], found->ai_addr, found->ai_addrlen);
    }
    if (count > 0)
        tell(lookup, 0, "", addresses, count);
    else
        tell(lookup, code, why.text, NULL, 0);
}

static bool take_literal(struct camera_lookup *lookup)
{
    struct sockaddr_in  ipv4;
    struct sockaddr_in6 ipv6;
    struct addrinfo     found = {.ai_next = NULL};

    if (uv_ip4_addr(lookup->host, lookup->request.port, &ipv4) == 0) {
        found.ai_addr    = (struct sockaddr *)&ipv4;
        found.ai_addrlen = sizeof ipv4;
    } else if (uv_ip6_addr(lookup->host, lookup->request.port, &ipv6) == 0) {
        found.ai_addr    = (struct sockaddr *)&ipv6;
        found.ai_addrlen = sizeof ipv6;
    } else {
        return false;
    }
    judge(lookup, &found);
    return true;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct camera_lookup *lookup = request->data;
    char                  reason[160];

    lookup->resolving = false;
    if (lookup->owner != NULL && status == 0) {
        judge(lookup, found);
    } else if (lookup->owner != NULL) {
        snprintf(reason, sizeof reason, "the camera's name cannot be looked up: %s",
                 uv_strerror(status));
        tell(lookup, ERR_NOT_FOUND, reason, NULL, 0);
    }
    uv_freeaddrinfo(found);
    free_if_done(lookup);
}

static void on_timeout(uv_timer_t *timer)
{
    tell(timer->data, ERR_TIMEOUT, "the camera's name could not be looked up in time", NULL, 0);
}

static void on_begin(uv_timer_t *timer)
{
    struct camera_lookup *lookup = timer->data;
    struct addrinfo       hints  = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    char                  port[8];

    if (take_literal(lookup))
        return;
    snprintf(port, sizeof port, "%u", (unsigned)lookup->request.port);
    lookup->resolve.data = lookup;
    if (uv_getaddrinfo(lookup->loop, &lookup->resolve, on_resolved, lookup->host, port, &hints) !=
        0) {
        tell(lookup, ERR_NOT_FOUND, "the camera's name cannot be looked up", NULL, 0);
        return;
    }
    lookup->resolving = true;
    uv_timer_start(timer, on_timeout, lookup->request.timeout_ms, 0);
}

int camera_lookup_start(struct camera_lookup **out, uv_loop_t *loop,
                        const struct camera_lookup_request *request, struct why *why)
{
    struct camera_lookup *lookup = calloc(1, sizeof *lookup);

    *out = NULL;
    if (lookup == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    lookup->owner   = out;
    lookup->loop    = loop;
    lookup->request = *request;
    snprintf(lookup->host, sizeof lookup->host, "%s", request->host);
    lookup->request.host = lookup->host;
    uv_timer_init(loop, &lookup->timer);
    lookup->timer.data = lookup;
    lookup->timer_open = true;
    uv_timer_start(&lookup->timer, on_begin, 0, 0);
    *out = lookup;
    return 0;
}

void camera_lookup_cancel(struct camera_lookup **lookup)
{
    if (*lookup != NULL)
        let_go(*lookup);
}
