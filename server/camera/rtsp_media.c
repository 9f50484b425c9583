#include "server/camera/rtsp_media.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/rtsp_udp.h"

struct rtsp_media {
    struct rtsp_demux       *demux;
    struct rtsp_udp         *udp; /* NULL: over the connection */
    struct rtsp_media_events events;
    struct rtsp_setup        setup;
    int64_t                  heard_ns;
};

int rtsp_media_open(struct rtsp_media **out, const struct sdp_video *video,
                    const struct rtsp_media_events *events, struct why *why)
{
    struct rtsp_media *media = calloc(1, sizeof *media);
    int                rc;

    *out = NULL;
    if (media == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    media->events = *events;
    if ((rc = rtsp_demux_open(&media->demux, video, events->unit, events->arg, why)) != 0) {
        free(media);
        return rc;
    }
    *out = media;
    return 0;
}

void rtsp_media_close(struct rtsp_media **media)
{
    if (*media == NULL)
        return;
    rtsp_udp_close(&(*media)->udp);
    rtsp_demux_close(&(*media)->demux);
    free(*media);
    *media = NULL;
}

static void on_result(struct rtsp_media *media, int rc)
{
    if (rc != 0)
        media->events.failed(media->events.arg, rc);
}

static void on_rtp(void *arg, const uint8_t *packet, size_t bytes)
{
    struct rtsp_media *media = arg;
    struct rtsp_moment now   = {clock_monotonic_ns(), clock_wall_ns()};

    media->heard_ns = now.monotonic_ns;
    on_result(media, rtsp_demux_rtp(media->demux, packet, bytes, now));
}

static void on_rtcp(void *arg, const uint8_t *packet, size_t bytes)
{
    struct rtsp_media *media = arg;
    struct rtsp_moment now   = {clock_monotonic_ns(), clock_wall_ns()};

    on_result(media, rtsp_demux_rtcp(media->demux, packet, bytes, now));
}

int rtsp_media_use_udp(struct rtsp_media *media, uv_loop_t *loop,
                       const struct sockaddr_storage *own, const struct sockaddr_storage *peer,
                       struct why *why)
{
    const struct rtsp_udp_events events = {.arg = media, .rtp = on_rtp, .rtcp = on_rtcp};

    return rtsp_udp_open(&media->udp, loop, own, peer, &events, why);
}

void rtsp_media_use_tcp(struct rtsp_media *media)
{
    rtsp_udp_close(&media->udp);
}

bool rtsp_media_is_udp(const struct rtsp_media *media)
{
    return media->udp != NULL;
}

void rtsp_media_transport(const struct rtsp_media *media, char out[static RTSP_TRANSPORT_BYTES])
{
    unsigned port;

    if (media->udp == NULL) {
        snprintf(out, RTSP_TRANSPORT_BYTES, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
        return;
    }
    port = rtsp_udp_port(media->udp);
    snprintf(out, RTSP_TRANSPORT_BYTES, "Transport: RTP/AVP;unicast;client_port=%u-%u\r\n", port,
             port + 1);
}

void rtsp_media_set_up(struct rtsp_media *media, const struct rtsp_setup *setup)
{
    media->setup = *setup;
}

void rtsp_media_play(struct rtsp_media *media)
{
    if (media->udp != NULL)
        rtsp_udp_open_way(media->udp, media->setup.rtp_port, media->setup.rtcp_port);
}

bool rtsp_media_frame(struct rtsp_media *media, const struct rtsp_message *frame,
                      struct rtsp_moment now)
{
    int rc;

    if (frame->channel == media->setup.rtp_channel)
        rc = rtsp_demux_rtp(media->demux, frame->body, frame->body_bytes, now);
    else if (frame->channel == media->setup.rtcp_channel)
        rc = rtsp_demux_rtcp(media->demux, frame->body, frame->body_bytes, now);
    else
        return false;
    media->heard_ns = now.monotonic_ns;
    on_result(media, rc);
    return true;
}

size_t rtsp_media_report(struct rtsp_media *media, int64_t now_ns,
                         uint8_t out[static RTSP_REPORT_BYTES])
{
    size_t bytes = rtsp_demux_report(media->demux, now_ns, out + 4);

    if (bytes == 0)
        return 0;
    if (media->udp != NULL) {
        rtsp_udp_send_rtcp(media->udp, out + 4, bytes);
        return 0;
    }
    out[0] = '$';
    out[1] = media->setup.rtcp_channel;
    out[2] = 0;
    out[3] = (uint8_t)bytes;
    return 4 + bytes;
}

const AVCodecParameters *rtsp_media_parameters(const struct rtsp_media *media)
{
    return rtsp_demux_parameters(media->demux);
}

int64_t rtsp_media_heard_ns(const struct rtsp_media *media)
{
    return media->heard_ns;
}

void rtsp_media_counters(const struct rtsp_media *media, struct source_counters *counters)
{
    struct rtsp_demux_counters demux;
    struct rtsp_udp_counters   udp = {0};

    rtsp_demux_counters(media->demux, &demux);
    if (media->udp != NULL)
        rtsp_udp_counters(media->udp, &udp);
    *counters = (struct source_counters){
        .bytes          = demux.bytes,
        .packets        = demux.packets,
        .rtp_received   = demux.packets,
        .rtp_lost       = demux.lost,
        .rtp_reordered  = udp.reorder.reordered,
        .rtp_duplicates = udp.reorder.duplicates,
        .rtp_late       = udp.reorder.late,
        .jitter_ms      = demux.jitter_ms,
        .transport      = media->udp != NULL ? "udp" : "tcp",
    };
}
