// links: camera
// RTP and RTCP as they come over UDP: lost, doubled, in any order and changed; then through the demultiplexer.
//
// The first byte chooses the codec; then records: kind and time, length, packet. Kind bits 0 and 1: as it is, with
// the next sequence number, RTCP, a description that is read.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <libavutil/log.h>

#include "config/assert.h"
#include "server/camera/rtsp_demux.h"
#include "server/camera/rtsp_reorder.h"
#include "server/camera/sdp.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct camera {
    struct rtsp_demux *demux;
    struct rtsp_moment now;
    uint64_t           passed;
};

static const char *const descriptions[] = {
    "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "m=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\n",
    "m=video 0 RTP/AVP 26\n",
    "m=video 0 RTP/AVP 96\na=rtpmap:96 MP4V-ES/90000\n",
};

static void on_unit(void *arg, AVPacket *packet, int64_t wall_ns)
{
    (void)arg;
    (void)wall_ns;
    ASSERT(packet->size > 0 && packet->size <= RTSP_UNIT_BYTES);
}

static void on_ordered(void *arg, const uint8_t *packet, size_t bytes)
{
    struct camera *camera = arg;

    camera->passed++;
    rtsp_demux_rtp(camera->demux, packet, bytes, camera->now);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    av_log_set_level(AV_LOG_QUIET);
    return 0;
}

static void feed(struct camera *camera, struct rtsp_reorder *reorder, const uint8_t *data,
                 size_t bytes)
{
    static struct sdp_video video;
    uint8_t                 packet[300];
    uint8_t                 report[RTCP_REPORT_BYTES];
    uint16_t                sequence = 65500;
    struct why              why;

    while (bytes >= 2) {
        uint8_t kind   = data[0];
        size_t  length = data[1];

        if (length > bytes - 2)
            length = bytes - 2;
        memcpy(packet, data + 2, length);
        camera->now.monotonic_ns += (kind >> 2) * INT64_C(3000000);
        camera->now.wall_ns += (kind >> 2) * INT64_C(3000000);
        if ((kind & 3) == 1 && length >= 12) {
            packet[0] = 0x80;
            packet[2] = (uint8_t)(++sequence >> 8);
            packet[3] = (uint8_t)sequence;
        }
        if ((kind & 3) == 2)
            rtsp_demux_rtcp(camera->demux, packet, length, camera->now);
        else if ((kind & 3) == 3)
            sdp_read(&video, (const char *)packet, length, &why);
        else
            rtsp_reorder_add(reorder, packet, length, camera->now.monotonic_ns);
        rtsp_demux_report(camera->demux, camera->now.monotonic_ns, report);
        data += 2 + length;
        bytes -= 2 + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct sdp_video      video;
    struct camera                camera = {.now = {1000000000, 1800000000000000000}};
    struct rtsp_reorder         *reorder;
    struct rtsp_reorder_counters counters;
    struct why                   why;
    const char                  *text;

    if (bytes < 1)
        return 0;
    text = descriptions[data[0] & 3];
    if (sdp_read(&video, text, strlen(text), &why) != 0 ||
        rtsp_demux_open(&camera.demux, &video, on_unit, &camera, &why) != 0)
        abort();
    if (rtsp_reorder_open(&reorder, on_ordered, &camera) == 0) {
        feed(&camera, reorder, data + 1, bytes - 1);
        ASSERT(rtsp_reorder_tick(reorder, camera.now.monotonic_ns + RTSP_REORDER_NS) == -1);
        rtsp_reorder_counters(reorder, &counters);
        rtsp_reorder_close(&reorder);
    }
    rtsp_demux_close(&camera.demux);
    return 0;
}
