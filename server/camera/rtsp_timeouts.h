/* server/camera/rtsp_timeouts.h: how long the RTSP source waits for what. Tests give shorter times. */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_TIMEOUTS_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_TIMEOUTS_H

#include "server/camera/source.h"

struct rtsp_timeouts {
    unsigned resolve_ms;  /* the name */
    unsigned connect_ms;  /* each of the name's addresses */
    unsigned response_ms; /* each request */
    unsigned udp_ms;      /* from PLAY to the first UDP packet; then the connection carries them */
    unsigned picture_ms;  /* from PLAY to the first whole picture */
    unsigned silence_ms;  /* nothing at all came on the video's channels */
    unsigned tick_ms;     /* between receiver reports; sessions that end sooner shorten it */
    unsigned linger_ms;   /* for TEARDOWN to be read, after close */
};
extern const struct rtsp_timeouts rtsp_timeouts_default;

/* As source_rtsp.open, with times of the caller's. */
int source_rtsp_open(struct source **out, uv_loop_t *loop, const struct settings_camera *settings,
                     const struct source_events *events, const struct rtsp_timeouts *timeouts,
                     struct why *why);

#endif
