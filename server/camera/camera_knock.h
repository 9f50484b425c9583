/* server/camera/camera_knock.h: notices within a second that a camera that was gone is back.
 *
 * The backoff of a camera that is gone for long is long; but whether it answers again costs one packet to
 * ask. While a camera waits, its port is knocked at (a TCP connection that is closed at once) every
 * CAMERA_KNOCK_MS. Once it answers after it did not, `answered` is called, and the waiting is over. A
 * camera that answers from the first knock on was never gone: then nothing is called, and the
 * backoff alone decides. Loop thread only. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_KNOCK_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_KNOCK_H

#include "server/camera/camera_url.h"

#include <stdbool.h>
#include <uv.h>

#define CAMERA_KNOCK_MS 1000

struct camera_knock;

struct camera_knock_request {
    const struct camera_url *url; /* host and port */
    unsigned                 reach;
    bool                     gone;     /* it did not answer already */
    unsigned                 after_ms; /* until the first knock */
    void                    *arg;
    void (*answered)(void *arg); /* once, later; the knocking is over then */
};

/* NULL at *out: out of memory, or an address that is not for TCP; nothing will be called. *out becomes
 * NULL by itself when it has answered: it must stay where it is. */
void camera_knock_start(struct camera_knock **out, uv_loop_t *loop,
                        const struct camera_knock_request *request);
void camera_knock_stop(struct camera_knock **knock); /* NULL-safe */

#endif
