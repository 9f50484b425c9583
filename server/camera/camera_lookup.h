/* server/camera/camera_lookup.h: a camera's name to addresses that it may have, once.
 *
 * Every address found is judged (camera_url_allow); who asked connects to one of them and never looks
 * the name up again. A numeric host needs no look-up, whose threads are few and may hang on a dead
 * name server. Loop thread only. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_LOOKUP_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_LOOKUP_H

#include "config/why.h"

#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#define CAMERA_LOOKUP_ADDRESSES 4 /* of one name that are tried */

struct camera_lookup;

struct camera_lookup_request {
    const char *host;
    uint16_t    port;
    unsigned    reach; /* enum camera_url_reach */
    unsigned    timeout_ms;
    void       *arg;
    /* Once, from the loop later, never from within start; not after cancel. 0 with 1 to
     * CAMERA_LOOKUP_ADDRESSES of them, valid until it returns, or ERR_DENIED (none is allowed),
     * ERR_NOT_FOUND, ERR_TIMEOUT with the reason. The request is over: cancel does no harm, and
     * none is needed. */
    void (*done)(void *arg, int code, const char *reason, const struct sockaddr_storage *addresses,
                 int count);
};

/* Copies the request. `*out` is set to NULL by itself when it is done: it must stay where it is. */
int camera_lookup_start(struct camera_lookup **out, uv_loop_t *loop,
                        const struct camera_lookup_request *request, struct why *why);
/* NULL-safe; sets *lookup = NULL. Memory goes when the loop is done with it. */
void camera_lookup_cancel(struct camera_lookup **lookup);

#endif
