/* server/camera/rtsp_media.h: the video of one RTSP session: its packets over the RTSP connection or
 * over UDP, its access units, its reports and counters. Loop thread only. */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_MEDIA_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_MEDIA_H

#include "config/why.h"
#include "server/camera/rtsp_demux.h"
#include "server/camera/rtsp_reply.h"
#include "server/camera/sdp.h"
#include "server/camera/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>

struct rtsp_media;

struct rtsp_media_events {
    void *arg;
    /* May close the source, not the media: that comes later. */
    rtsp_demux_unit_fn *unit;
    /* ERR_CLOSED: the camera said goodbye; else the video cannot be read. */
    void (*failed)(void *arg, int code);
};

/* ERR_UNSUPPORTED, ERR_CORRUPT, ERR_MEMORY with the reason. */
int rtsp_media_open(struct rtsp_media **out, const struct sdp_video *video,
                    const struct rtsp_media_events *events, struct why *why);
/* NULL-safe; not from within its own events. */
void rtsp_media_close(struct rtsp_media **media);

/* From now on over UDP, beside the connection with these ends; ERR_IO, ERR_MEMORY. */
int rtsp_media_use_udp(struct rtsp_media *media, uv_loop_t *loop,
                       const struct sockaddr_storage *own, const struct sockaddr_storage *peer,
                       struct why *why);
/* Over the connection again. */
void rtsp_media_use_tcp(struct rtsp_media *media);
bool rtsp_media_is_udp(const struct rtsp_media *media);

#define RTSP_TRANSPORT_BYTES 96
/* The header line that asks for it, with its CRLF. */
void rtsp_media_transport(const struct rtsp_media *media, char out[static RTSP_TRANSPORT_BYTES]);
/* What the camera agreed to. */
void rtsp_media_set_up(struct rtsp_media *media, const struct rtsp_setup *setup);
/* It plays: opens the way for UDP packets. */
void rtsp_media_play(struct rtsp_media *media);

/* A frame of the connection; false: of no channel of ours. */
bool rtsp_media_frame(struct rtsp_media *media, const struct rtsp_message *frame,
                      struct rtsp_moment now);

#define RTSP_REPORT_BYTES (4 + RTCP_REPORT_BYTES)
/* The receiver report. Over UDP it is sent, and 0 returned; else the bytes for the connection. */
size_t rtsp_media_report(struct rtsp_media *media, int64_t now_ns,
                         uint8_t out[static RTSP_REPORT_BYTES]);

const AVCodecParameters *rtsp_media_parameters(const struct rtsp_media *media);
int64_t rtsp_media_heard_ns(const struct rtsp_media *media); /* the last packet; 0: none */
void    rtsp_media_counters(const struct rtsp_media *media, struct source_counters *counters);

#endif
