// links: camera
// RTP packets to access units: what is put together when, marked how, with which time.
#include "tests/tap.h"

#include <libavutil/log.h>

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/rtsp_demux.h"

struct unit_seen {
    size_t  bytes;
    uint8_t data[4096];
    int64_t pts, wall_ns;
    int     flags;
};

static struct rtsp_demux *demux;
static struct unit_seen   seen[64];
static int                seen_count;
static uint16_t           sequence;
static int64_t            time_ns;

static void on_unit(void *arg, AVPacket *packet, int64_t wall_ns)
{
    struct unit_seen *unit = &seen[seen_count++ % 64];

    (void)arg;
    unit->bytes   = (size_t)packet->size;
    unit->pts     = packet->pts;
    unit->wall_ns = wall_ns;
    unit->flags   = packet->flags;
    memcpy(unit->data, packet->data,
           unit->bytes < sizeof unit->data ? unit->bytes : sizeof unit->data);
}

static void begin(const char *format)
{
    static struct sdp_video video;
    char                    text[512];
    struct why              why = {""};

    rtsp_demux_close(&demux);
    seen_count = 0;
    sequence   = 65530;
    time_ns    = NS_PER_S;
    snprintf(text, sizeof text, "v=0\r\nm=video 0 RTP/AVP 96 26\r\n%s", format);
    if (sdp_read(&video, text, strlen(text), &why) != 0 ||
        rtsp_demux_open(&demux, &video, on_unit, NULL, &why) != 0)
        diag("%s", why.text);
}

static struct rtsp_moment now(void)
{
    return (struct rtsp_moment){time_ns, INT64_C(1800000000) * NS_PER_S + time_ns};
}

static void send_as(uint8_t type, uint32_t timestamp, bool marker, const char *payload,
                    size_t bytes)
{
    static uint8_t packet[70000];
    const uint8_t  header[12] = {0x80,
                                 (uint8_t)((marker ? 0x80 : 0) | type),
                                 (uint8_t)(sequence >> 8),
                                 (uint8_t)sequence,
                                 (uint8_t)(timestamp >> 24),
                                 (uint8_t)(timestamp >> 16),
                                 (uint8_t)(timestamp >> 8),
                                 (uint8_t)timestamp,
                                 0,
                                 0,
                                 0,
                                 9};

    memcpy(packet, header, sizeof header);
    memcpy(packet + sizeof header, payload, bytes);
    sequence++;
    rtsp_demux_rtp(demux, packet, sizeof header + bytes, now());
}

#define SEND(timestamp, marker, payload) \
    send_as(96, timestamp, marker, payload, sizeof(payload) - 1)
#define H264 "a=rtpmap:96 H264/90000\r\n"

static void is_unit(int index, const char *bytes, size_t count, const char *what)
{
    ok(index < seen_count && seen[index].bytes == count &&
           memcmp(seen[index].data, bytes, count) == 0,
       "%s", what);
}
#define IS_UNIT(index, bytes, what) is_unit(index, bytes, sizeof(bytes) - 1, what)

static void test_h264(void)
{
    begin(H264);
    is_int(rtsp_demux_parameters(demux)->codec_id, AV_CODEC_ID_H264, "H.264");
    SEND(1000, false, "\x67sps");
    SEND(1000, false, "\x68pps");
    SEND(1000, false,
         "\x7c\x85"
         "abc");
    SEND(1000, false,
         "\x7c\x05"
         "def");
    is_int(seen_count, 0, "nothing before the marker");
    SEND(1000, true,
         "\x7c\x45"
         "ghi");
    is_int(seen_count, 1, "a unit with the marker, not with the next picture");
    IS_UNIT(0,
            "\0\0\0\1\x67sps\0\0\0\1\x68pps\0\0\0\1\x65"
            "abcdefghi",
            "parameter sets and fragments in one");
    is_int(seen[0].flags, AV_PKT_FLAG_KEY, "it is a key");
    is_int(seen[0].pts, 0, "the first is at 0");
    time_ns += 40 * NS_PER_MS;
    SEND(4600, true, "\x41xyz");
    is_int(seen[1].flags, 0, "no key");
    is_int(seen[1].pts, 3600, "the time of the stream");
    is_int(seen[1].wall_ns, INT64_C(1800000000) * NS_PER_S + time_ns, "when it came");
    SEND(8200, true, "\x78\0\4\6\6\1\x80\0\4\x41xyz");
    is_int(seen[2].flags, AV_PKT_FLAG_KEY, "a recovery point in an aggregate is a key");
    IS_UNIT(2, "\0\0\0\1\6\6\1\x80\0\0\0\1\x41xyz", "the parts of the aggregate");
}

static void test_markers(void)
{
    begin(H264);
    SEND(1, true, "\x67sps");
    SEND(2, true, "\x68pps");
    is_int(seen_count, 0, "parameter sets with markers and times of their own are no unit");
    SEND(3, true, "\x65xyz");
    IS_UNIT(0, "\0\0\0\1\x67sps\0\0\0\1\x68pps\0\0\0\1\x65xyz",
            "they belong to the picture after them");

    begin(H264);
    for (uint32_t i = 0; i < 4; i++) {
        SEND(i * 3600, true, "\x65one");
        SEND(i * 3600, true, "\x65two");
    }
    ok(seen_count == 4 && seen[0].bytes == 8, "a marker on every slice: one picture is cut");
    IS_UNIT(2, "\0\0\0\1\x65one\0\0\0\1\x65two", "then the time stamp decides");

    begin(H264);
    for (uint32_t i = 0; i < 4; i++)
        SEND(i * 3600, false, "\x41xyz");
    is_int(seen_count, 3, "no markers at all: the time stamp decides");
    is_int(seen[2].pts, 7200, "with the time of the picture, not of the next one");
}

static void test_loss(void)
{
    struct rtsp_demux_counters counters;

    begin(H264);
    SEND(0, true, "\x65xyz");
    sequence += 2;
    SEND(3600, true, "\x41xyz");
    SEND(7200, true, "\x41xyz");
    ok(seen[0].flags == AV_PKT_FLAG_KEY && seen[1].flags == AV_PKT_FLAG_CORRUPT &&
           seen[2].flags == 0,
       "a unit with a gap before it says so, the others do not");
    send_as(97, 9000, true, "\x41xyz", 4);
    rtsp_demux_rtp(demux, (const uint8_t *)"junk", 4, now());
    rtsp_demux_rtcp(demux, (const uint8_t *)"junk", 4, now());
    rtsp_demux_counters(demux, &counters);
    is_int(counters.lost, 2, "two packets were lost");
    is_int(counters.packets, 3, "three came");
    is_int(counters.ignored, 3, "three were not for us");
    is_int(counters.units, 3, "three units");
}

static void test_oversize(void)
{
    static char                payload[60000];
    struct rtsp_demux_counters counters;

    begin(H264);
    memset(payload, 'x', sizeof payload);
    memcpy(payload, "\x7c\x85", 2);
    send_as(96, 0, false, payload, sizeof payload);
    payload[1] = 5;
    for (int i = 0; i < 200; i++)
        send_as(96, 0, false, payload, sizeof payload);
    SEND(0, true,
         "\x7c\x45"
         "end");
    is_int(seen_count, 0, "a unit of 12 MB is dropped");
    SEND(3600, true, "\x65xyz");
    rtsp_demux_counters(demux, &counters);
    is_int(counters.oversize, 1, "and counted");
    is_int(seen_count, 1, "the next one comes");
    ok((seen[0].flags & AV_PKT_FLAG_CORRUPT) != 0, "marked");
}

static void test_others(void)
{
    begin("a=rtpmap:96 H265/90000\r\n");
    is_int(rtsp_demux_parameters(demux)->codec_id, AV_CODEC_ID_HEVC, "H.265");
    SEND(0, false, "\x40\1vps");
    SEND(0, false,
         "\x62\1\x93"
         "abc");
    SEND(0, true,
         "\x62\1\x53"
         "def");
    IS_UNIT(0, "\0\0\0\1\x40\1vps\0\0\0\1\x26\1abcdef", "parameter set and fragments");
    is_int(seen[0].flags, AV_PKT_FLAG_KEY, "an IDR picture");
    SEND(3600, true, "\2\1xyz");
    is_int(seen[1].flags, 0, "no key");

    begin("a=rtpmap:96 MP4V-ES/90000\r\n");
    is_int(rtsp_demux_parameters(demux)->codec_id, AV_CODEC_ID_MPEG4, "MPEG-4");
    SEND(0, false,
         "\0\0\1\xb0\1\0\0\1\xb6\x10"
         "abc");
    SEND(0, true, "def");
    IS_UNIT(0,
            "\0\0\1\xb0\1\0\0\1\xb6\x10"
            "abcdef",
            "headers and picture");
    is_int(seen[0].flags, AV_PKT_FLAG_KEY, "an intra picture");
    SEND(3600, true,
         "\0\0\1\xb6\x50"
         "abc");
    is_int(seen[1].flags, 0, "no key");

    begin("");
    is_int(rtsp_demux_parameters(demux)->codec_id, AV_CODEC_ID_MJPEG, "JPEG");
    send_as(26, 0, false,
            "\0\0\0\0\1\x32\x28\x1e"
            "abcdef",
            14);
    send_as(26, 0, true,
            "\0\0\0\6\1\x32\x28\x1e"
            "ghijkl",
            14);
    ok(seen_count == 1 && seen[0].bytes > 600 && seen[0].data[0] == 0xff && seen[0].data[1] == 0xd8,
       "a whole JPEG file");
    is_int(seen[0].flags, AV_PKT_FLAG_KEY, "always a key");

    /* Set up twice, FFmpeg would lose memory with each connection (the address sanitizer tells). */
    begin("a=rtpmap:26 JPEG/90000\r\n");
    is_int(rtsp_demux_parameters(demux)->codec_id, AV_CODEC_ID_MJPEG, "JPEG, with its rtpmap");
    begin("a=rtpmap:26 H264/90000\r\n");
    is_int(rtsp_demux_parameters(demux)->codec_id, AV_CODEC_ID_MJPEG,
           "a type that is JPEG stays so, whatever it is called");
}

static void test_goodbye_and_time(void)
{
    uint8_t       report[28] = {0x80, 200, 0, 6, 0, 0, 0, 9};
    uint8_t       back[RTCP_REPORT_BYTES];
    const int64_t wall_s = 1800000000 + 2208988800;

    begin(H264);
    is_int(rtsp_demux_report(demux, time_ns, back), 0, "nothing to report at first");
    SEND(90000, true, "\x65xyz");
    for (int i = 0; i < 4; i++)
        report[8 + i] = (uint8_t)(wall_s >> (24 - 8 * i));
    report[17] = 1; /* the time stamp 0x00015f90: 90000 */
    report[18] = 0x5f;
    report[19] = 0x90;
    is_int(rtsp_demux_rtcp(demux, report, sizeof report, now()), 0, "a sender report");
    time_ns += 2 * NS_PER_S;
    SEND(180000, true, "\x65xyz");
    is_int(seen[1].wall_ns, INT64_C(1800000001) * NS_PER_S, "the time when it was taken");
    is_int(rtsp_demux_report(demux, time_ns, back), RTCP_REPORT_BYTES, "a report goes back");
    ok(back[24] == (uint8_t)(wall_s >> 8) && back[25] == (uint8_t)wall_s,
       "it names the sender's report");
    is_int(back[28] << 24 | back[29] << 16 | back[30] << 8 | back[31], 2 * 65536,
           "and how long ago it came");
    is_int(rtsp_demux_rtcp(demux, (const uint8_t *)"\x80\xcb\0\0", 4, now()), ERR_CLOSED,
           "goodbye");
}

static void test_sprop(void)
{
    begin(H264 "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0IAHpWoKA9k,aM48gA==\r\n");
    ok(rtsp_demux_parameters(demux)->extradata_size > 10, "parameter sets from the description");
    begin(H264 "a=fmtp:96 sprop-parameter-sets=!!!!,,,;=;x;packetization-mode=99999999999\r\n");
    ok(demux != NULL, "damaged parameters do no harm");
}

int main(void)
{
    av_log_set_level(AV_LOG_QUIET);
    test_h264();
    test_markers();
    test_loss();
    test_oversize();
    test_others();
    test_goodbye_and_time();
    test_sprop();
    rtsp_demux_close(&demux);
    return done_testing();
}
