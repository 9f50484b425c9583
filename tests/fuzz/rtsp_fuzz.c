// links: camera
// All that a hostile camera can send, without the socket: messages and frames in any cut, descriptions, challenges,
// sessions; RTP and RTCP into the demultiplexer (FFmpeg's depacketizers).
//
// The first byte says how the rest is cut and what description the demultiplexer begins with.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libavutil/log.h>

#include "config/assert.h"
#include "server/camera/rtsp_auth.h"
#include "server/camera/rtsp_demux.h"
#include "server/camera/rtsp_message.h"
#include "server/camera/rtsp_reply.h"
#include "server/camera/sdp.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct camera {
    struct rtsp_demux *demux;
    struct rtsp_moment now;
    uint64_t           units;
};

static const char *const descriptions[] = {
    "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\n",
    "m=video 0 RTP/AVP 26\n",
    "m=video 0 RTP/AVP 96\na=rtpmap:96 MP4V-ES/90000\n",
};

static void on_unit(void *arg, AVPacket *packet, int64_t wall_ns)
{
    struct camera *camera = arg;

    (void)wall_ns;
    camera->units++;
    ASSERT(packet->size > 0 && packet->size <= RTSP_UNIT_BYTES);
}

static void open_demux(struct camera *camera, const char *text, size_t bytes)
{
    static struct sdp_video video;
    struct why              why;

    if (sdp_read(&video, text, bytes, &why) != 0)
        return;
    ASSERT(strlen(video.text) < sizeof video.text);
    rtsp_demux_close(&camera->demux);
    if (rtsp_demux_open(&camera->demux, &video, on_unit, camera, &why) == 0)
        ASSERT(rtsp_demux_parameters(camera->demux)->codec_type == AVMEDIA_TYPE_VIDEO);
}

static void on_reply(struct camera *camera, const struct rtsp_message *reply)
{
    static struct rtsp_auth auth;
    static struct sdp_video video;
    char                    setup_url[RTSP_URL_BYTES], play_url[RTSP_URL_BYTES];
    char                    header[RTSP_AUTH_HEADER_BYTES];
    struct rtsp_setup       setup;
    struct why              why;

    rtsp_reply_allows(reply, "GET_PARAMETER");
    rtsp_reply_setup(reply, true, &setup, &why);
    rtsp_reply_setup(reply, false, &setup, &why);
    if (rtsp_auth_read(&auth, reply, &why) == 0) {
        int length = rtsp_auth_write(&auth, "user", "password", "PLAY", "rtsp://camera/x", header,
                                     sizeof header);

        /* One line, and only at its end a line break. */
        ASSERT(length < 0 || strcspn(header, "\r\n") == (size_t)length - 2);
    }
    if (sdp_read(&video, (const char *)reply->body, reply->body_bytes, &why) == 0 &&
        rtsp_reply_addresses(reply, &video, "rtsp://camera/x", setup_url, play_url, &why) == 0)
        ASSERT(strpbrk(setup_url, " \r\n\t") == NULL && strpbrk(play_url, " \r\n\t") == NULL);
    if (reply->body_bytes > 0)
        open_demux(camera, (const char *)reply->body, reply->body_bytes);
}

static void on_frame(struct camera *camera, const struct rtsp_message *frame)
{
    uint8_t report[RTCP_REPORT_BYTES];

    camera->now.monotonic_ns += 10000000;
    camera->now.wall_ns += 10000000;
    if (camera->demux == NULL)
        return;
    if (frame->channel % 2 == 0) {
        rtsp_demux_rtp(camera->demux, frame->body, frame->body_bytes, camera->now);
    } else {
        rtsp_demux_rtcp(camera->demux, frame->body, frame->body_bytes, camera->now);
        rtsp_demux_report(camera->demux, camera->now.monotonic_ns, report);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    av_log_set_level(AV_LOG_QUIET);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct camera              camera = {.now = {1000000000, 1800000000000000000}};
    struct rtsp_parser         parser;
    struct rtsp_message        message;
    struct rtsp_demux_counters counters;
    struct why                 why;
    size_t                     cut, at = 1;
    int                        rc = 0;

    if (bytes < 1 || rtsp_parser_init(&parser) != 0)
        return 0;
    open_demux(&camera, descriptions[data[0] & 3], strlen(descriptions[data[0] & 3]));
    cut = 1 + (size_t)(data[0] >> 2) * 37;
    while (at < bytes && rc >= 0) {
        size_t   room, part = bytes - at < cut ? bytes - at : cut;
        uint8_t *out = rtsp_parser_room(&parser, &room);

        ASSERT(room > 0);
        if (part > room)
            part = room;
        memcpy(out, data + at, part);
        rtsp_parser_added(&parser, part);
        at += part;
        while ((rc = rtsp_parser_next(&parser, &message, &why)) > 0) {
            if (message.kind == RTSP_FRAME)
                on_frame(&camera, &message);
            else
                on_reply(&camera, &message);
        }
    }
    if (camera.demux != NULL) {
        rtsp_demux_counters(camera.demux, &counters);
        ASSERT(counters.units <= camera.units);
    }
    rtsp_demux_close(&camera.demux);
    rtsp_parser_fini(&parser);
    return 0;
}
