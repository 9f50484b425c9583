/* server/camera/onvif_client.h: asks one ONVIF camera for its streams.
 *
 * Its clock first (a token of another time is refused, and many cameras have the wrong one), then the
 * media service, what it is, its profiles, the address of each, and that of a snapshot. Both ways to
 * sign in are offered: the WS-Security token in the message and HTTP's digest. Addresses are placed at the
 * host that was asked (onvif_message.h). Loop thread only. */
#ifndef SIGHTLINE_SERVER_CAMERA_ONVIF_CLIENT_H
#define SIGHTLINE_SERVER_CAMERA_ONVIF_CLIENT_H

#include "config/limits.h"
#include "config/settings.h"
#include "config/why.h"
#include "server/camera/onvif_message.h"

#include <uv.h>

/* The pictures across that counting is happy with: more costs decoding and gains nothing. */
#define ONVIF_DETECT_WIDTH 600

struct onvif_stream {
    struct onvif_profile profile;
    char                 address[LIMIT_URL_BYTES]; /* rtsp://, at the host that was asked */
};

struct onvif_camera {
    struct onvif_information information;
    int                      stream_count;
    struct onvif_stream      streams[ONVIF_PROFILES_MAX];
    int                      view, detect; /* which stream is for which; may be the same */
    char                     snapshot[LIMIT_URL_BYTES]; /* http://, "" when it has none */
};

struct onvif_client;

struct onvif_client_settings {
    const char          *service; /* http://host[:port]/onvif/device_service */
    const char          *user;    /* "" or NULL: none; copied, as all of this */
    const struct secret *password;
    unsigned             reach; /* see camera_url.h; 0: the default */
    /* Once, from the loop, never from within onvif_client_start(); not after onvif_client_stop().
     * May call it. rc 0 and the camera, or a negative code with words for the user. */
    void (*done)(void *arg, int rc, const struct onvif_camera *camera, const struct why *why);
    void *arg;
};

/* ERR_INVALID (no such address), ERR_MEMORY; *out is NULL then. */
int onvif_client_start(struct onvif_client **out, uv_loop_t *loop,
                       const struct onvif_client_settings *settings, struct why *why);
/* At any time, also after done(); NULL-safe. */
void onvif_client_stop(struct onvif_client **client);
/* 0 to 1. */
double onvif_client_progress(const struct onvif_client *client);

#endif
