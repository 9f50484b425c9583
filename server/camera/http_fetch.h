/* server/camera/http_fetch.h: one HTTP(S) request to a camera, on the loop: ONVIF, snapshots.
 *
 * libcurl speaks HTTP, TLS and the sign-in (Digest, and Basic over what the camera offers); the sockets
 * and the time are the loop's. The policy of addresses (camera_url.h) is applied where a socket is
 * opened, to the address that is connected to: a name that changes its answer gains nothing.
 * Redirects are not followed, nothing but http and https is spoken, no proxy is asked, and the answer,
 * its headers and the time are bounded. Names are looked up on a thread of libcurl's.
 * Loop thread only. */
#ifndef SIGHTLINE_SERVER_CAMERA_HTTP_FETCH_H
#define SIGHTLINE_SERVER_CAMERA_HTTP_FETCH_H

#include "config/settings.h"
#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define HTTP_FETCH_TIMEOUT_MS         10000 /* of the whole exchange */
#define HTTP_FETCH_CONNECT_TIMEOUT_MS 4000
#define HTTP_FETCH_MAX_BYTES          (1 << 20)
#define HTTP_FETCH_HEAD_BYTES         (32 << 10)

struct http_fetch;

struct http_fetch_settings {
    const char          *url;  /* without credentials */
    const char          *user; /* "" or NULL: none */
    const struct secret *password;
    const char          *content_type; /* of `body` */
    const char          *body;         /* NULL: GET, else POST; copied, as all of this */
    size_t               body_bytes;
    unsigned             reach;          /* see camera_url.h; 0: the default */
    bool                 tls_unverified; /* take any certificate */
    size_t               max_bytes;      /* of the answer's body; 0: HTTP_FETCH_MAX_BYTES */
    int                  timeout_ms;     /* 0: HTTP_FETCH_TIMEOUT_MS */
    /* Once, from the loop, never from within http_fetch_start(); not after http_fetch_stop().
     * rc 0: `status` and the body (valid during the call, not NUL-terminated). Otherwise ERR_TIMEOUT,
     * ERR_DENIED (policy), ERR_LIMIT, ERR_IO with words for the user. May call http_fetch_stop(). */
    void (*done)(void *arg, int rc, int status, const char *body, size_t bytes,
                 const struct why *why);
    void *arg;
};

/* ERR_INVALID, ERR_MEMORY; *out is NULL then. */
int http_fetch_start(struct http_fetch **out, uv_loop_t *loop,
                     const struct http_fetch_settings *settings, struct why *why);
/* At any time, also after done(); NULL-safe. */
void http_fetch_stop(struct http_fetch **fetch);

#endif
