/* server/camera/camera_http.h: HTTP of a camera: one request after another, on the loop.
 *
 * libcurl does HTTP, sign-in (digest, basic) and TLS over sockets that the loop watches; where it
 * may connect is decided here: names are looked up and judged by camera_lookup.h, libcurl gets the
 * addresses and asks no name server, no proxy and no file. Redirects follow the policy of
 * camera_url.h. The password goes to libcurl apart from the address. Loop thread only. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_HTTP_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_HTTP_H

#include "config/why.h"
#include "server/camera/camera_tls.h"
#include "server/camera/camera_url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct camera_http;

struct camera_http_settings {
    unsigned reach;
    unsigned resolve_ms, connect_ms;
    unsigned silence_s; /* nothing came for so long: ERR_TIMEOUT */
    unsigned whole_ms;  /* the whole request may take; 0: for ever */
    bool any_status; /* the body of an error is an answer too: head(), body() and done() with 0 */
    struct camera_tls_trust trust; /* its host is not looked at; the text is copied */
};

struct camera_http_events {
    void *arg;
    /* The answer begins: it is a good one (2xx; any but 401 and 404 with any_status). `url`: where it came from, after redirects. */
    void (*head)(void *arg, const char *content_type, const struct camera_url *url);
    /* A part of its body. False: enough, the request ends with ERR_LIMIT. */
    bool (*body)(void *arg, const uint8_t *data, size_t bytes);
    /* The request is over: 0 (the whole answer came), or ERR_NOT_FOUND (name, 404), ERR_IO (not
     * reached), ERR_TIMEOUT, ERR_UNAUTHORIZED (user or password), ERR_DENIED (policy,
     * certificate, 403), ERR_CLOSED (broke off), ERR_LIMIT, ERR_CORRUPT with the reason, which
     * holds no credentials. The next may be begun from within. */
    void (*done)(void *arg, int code, const char *reason);
};

int camera_http_open(struct camera_http **out, uv_loop_t *loop,
                     const struct camera_http_settings *settings,
                     const struct camera_http_events *events, struct why *why);
/* Begins a request; the one before is over. Events come later. 0 or ERR_MEMORY. The connection to
 * the same host is used again. */
int camera_http_get(struct camera_http *http, const struct camera_url *url, struct why *why);
/* As above, with a body, which is copied. A redirect of it is followed within its host alone: what is
 * told may sign in. */
int camera_http_post(struct camera_http *http, const struct camera_url *url,
                     const char *content_type, const char *body, size_t bytes, struct why *why);
/* After an answer that names what is fetched next (a playlist): from now on requests lead no further
 * than a redirect from there might. */
void camera_http_narrow(struct camera_http *http);
/* What `reference`, relative or not, means in a document from *base; the policy is a redirect's.
 * ERR_DENIED with the reason. */
int camera_http_resolve(const struct camera_url *base, const char *reference,
                        struct camera_url *url, struct why *why);
/* No event after it, which it may be called from; sets *http = NULL. Memory goes later. */
void camera_http_close(struct camera_http **http);

#endif
