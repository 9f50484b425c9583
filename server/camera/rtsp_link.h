/* server/camera/rtsp_link.h: one TCP connection to a camera on the loop: name, address, bytes in and
 * out, plain or encrypted.
 *
 * Looks the name up once (camera_lookup.h) and connects to an address that was allowed; with TLS
 * (camera_tls.h) `connected` comes after the certificate was judged. Loop thread only. The process ignores SIGPIPE: a camera may be gone when it is written to. */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_LINK_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_LINK_H

#include "config/why.h"
#include "server/camera/camera_tls.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

#define RTSP_LINK_QUEUE_BYTES \
    (64 << 10) /* that the camera has not taken yet; past it the link fails */

struct rtsp_link;

struct rtsp_link_events {
    void *arg;
    void (*progress)(void *arg, const char *step);
    void (*connected)(void *arg);
    /* Where received bytes go; 0 bytes: the link fails. */
    uint8_t *(*room)(void *arg, size_t *bytes);
    void (*received)(void *arg, size_t bytes);
    /* Once, and nothing after it. ERR_DENIED (policy), ERR_CLOSED (the camera closed), ERR_TIMEOUT, ERR_NOT_FOUND (the name),
     * ERR_IO. */
    void (*failed)(void *arg, int code, const char *reason);
};

struct rtsp_link_settings {
    const char *host;
    uint16_t    port;
    unsigned    reach; /* enum camera_url_reach */
    unsigned    resolve_ms;
    unsigned    connect_ms; /* of one address, with the handshake of TLS */
    bool        tls;
    /* With tls: who is trusted; its host is not looked at. */
    struct camera_tls_trust trust;
};

/* Events come from the loop later, never from within. */
int rtsp_link_open(struct rtsp_link **out, uv_loop_t *loop,
                   const struct rtsp_link_settings *settings, const struct rtsp_link_events *events,
                   struct why *why);

/* Both ends of a connected link: where UDP goes beside it. 0 or ERR_IO. */
int rtsp_link_ends(const struct rtsp_link *link, struct sockaddr_storage *own,
                   struct sockaddr_storage *peer);

/* Sends a copy. 0, or ERR_FULL / ERR_IO / ERR_MEMORY; the caller then gives the link up. */
int rtsp_link_send(struct rtsp_link *link, const void *data, size_t bytes);

/* No event after this; sets *link = NULL. With `linger_ms` a connected link goes on reading into nothing
 * until the camera closes or the time is over: closing with unread data would reset the connection, and
 * the camera would drop the TEARDOWN that was sent before. */
void rtsp_link_close(struct rtsp_link **link, unsigned linger_ms);

#endif
