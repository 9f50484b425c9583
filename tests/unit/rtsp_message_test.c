// links: camera
// RTSP messages and frames out of bytes, and what is read from them: descriptions, addresses, sessions, RTP and RTCP
// headers.
#include "tests/tap.h"

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/rtsp_message.h"
#include "server/camera/rtsp_reply.h"
#include "server/camera/rtsp_rtp.h"
#include "server/camera/sdp.h"

static struct rtsp_parser  parser;
static struct rtsp_message message;
static struct why          why;

static void begin(void)
{
    rtsp_parser_fini(&parser);
    if (rtsp_parser_init(&parser) != 0)
        exit(1);
}

static void add(const void *data, size_t bytes)
{
    while (bytes > 0) {
        size_t   room, part;
        uint8_t *out = rtsp_parser_room(&parser, &room);

        part = bytes < room ? bytes : room;
        if (part == 0)
            return;
        memcpy(out, data, part);
        rtsp_parser_added(&parser, part);
        data = (const char *)data + part;
        bytes -= part;
    }
}

/* The first message of a text. */
static int first(const char *text)
{
    begin();
    add(text, strlen(text));
    return rtsp_parser_next(&parser, &message, &why);
}

static const char *text_of(const struct rtsp_text *text)
{
    static char out[512];

    if (text == NULL)
        return "(none)";
    rtsp_text_copy(*text, out, sizeof out);
    return out;
}

static void test_good(void)
{
    is_int(first("RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS, PLAY\r\n\r\n"), 1, "a response");
    is_int(message.kind, RTSP_RESPONSE, "its kind");
    is_int(message.status, 200, "its status");
    is_text(text_of(&message.reason), "OK", "its reason");
    is_int(message.header_count, 2, "its headers");
    is_text(text_of(rtsp_header(&message, "cseq", 0)), "1", "a header, whatever the case");
    ok(rtsp_header(&message, "cseq", 1) == NULL, "no second one");
    is_int(message.body_bytes, 0, "no body");
    is_int(rtsp_parser_next(&parser, &message, &why), 0, "then nothing");

    is_int(first("RTSP/1.0 404 Not Found\nCSeq:7\nContent-length :  4 \n\nbodyRTSP/1.0 200\n\n"), 1,
           "line feeds alone, spaces missing and doubled");
    is_int(message.status, 404, "its status");
    is_text(text_of(&message.reason), "Not Found", "a reason of two words");
    is_int(message.body_bytes, 4, "its body");
    ok(memcmp(message.body, "body", 4) == 0, "the body's bytes");
    is_int(rtsp_parser_next(&parser, &message, &why), 1, "the next without reason or headers");
    is_int(message.status, 200, "its status");
    is_int(message.header_count, 0, "no headers");

    is_int(first("rtsp/1.0  200   ok\r\nSESSION:abc\r\n\r\n"), 1, "lower case, doubled spaces");
    is_text(text_of(rtsp_header(&message, "Session", 0)), "abc", "a value without a space");
    is_int(first("\r\n\r\n\nRTSP/1.0 200 OK\r\n\r\n"), 1, "empty lines before it");
    is_int(first("RTSP/1.0 200 OK\r\nA: b\r\n c\r\n\td\r\nE: f\r\n\r\n"), 1, "folded lines");
    is_text(text_of(rtsp_header(&message, "A", 0)), "b?? c???d", "belong to the value before");
    is_text(text_of(rtsp_header(&message, "E", 0)), "f", "the next header is its own");
    is_int(first("RTSP/1.0 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab"), 1,
           "the same length twice");
    is_int(first("OPTIONS rtsp://x/y RTSP/1.0\r\nCSeq: 3\r\n\r\n"), 1, "a request of the camera");
    is_int(message.kind, RTSP_REQUEST, "its kind");
    is_text(text_of(&message.method), "OPTIONS", "its method");
    is_int(first("SET_PARAMETER * RTSP/1.0\r\n\r\n"), 1, "a method with an underscore");
}

static void test_bad(void)
{
    static const struct {
        const char *text;
        int         code;
    } bad[] = {
        {"hello\r\n\r\n", ERR_CORRUPT},
        {"\x01\x02", ERR_CORRUPT},
        {"xRTSP/1.0 200 OK\r\n\r\n", ERR_CORRUPT},
        {"12RTSP/1.0 200 OK\r\n\r\n", ERR_CORRUPT},
        {"<html>", ERR_CORRUPT},
        {"HTTP/1.1 401 Unauthorized\r\n\r\n", ERR_CORRUPT},
        {"RTSP/1.0\r\n\r\n", ERR_CORRUPT},
        {"RTSP/1.0 OK\r\n\r\n", ERR_CORRUPT},
        {"RTSP/1.0 99 OK\r\n\r\n", ERR_CORRUPT},
        {"RTSP/1.0 600 OK\r\n\r\n", ERR_CORRUPT},
        {"RTSP/1.0 -200 OK\r\n\r\n", ERR_CORRUPT},
        {"RTSP/1.0 20000000000000000000000 OK\r\n\r\n", ERR_CORRUPT},
        {"RTSP/1.0 200 OK\r\nno colon\r\n\r\n", ERR_CORRUPT},
        {"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n", ERR_CORRUPT},
        {"RTSP/1.0 200 OK\r\nContent-Length: x\r\n\r\n", ERR_CORRUPT},
        {"RTSP/1.0 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", ERR_CORRUPT},
        {"RTSP/1.0 200 OK\r\nContent-Length: 65537\r\n\r\n", ERR_LIMIT},
        {"RTSP/1.0 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", ERR_CORRUPT},
        {"PLAY rtsp://x HTTP/1.0\r\n\r\n", ERR_CORRUPT},
        {"PLAY\r\n\r\n", ERR_CORRUPT},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        why.text[0] = '\0';
        is_int(first(bad[i].text), bad[i].code, "bad message %zu", i);
        ok(why.text[0] != '\0', "with a reason: %s", why.text);
    }
    begin();
    add("RTSP/1.0 200 OK\r\nA: \0b\r\n\r\n", 26);
    is_int(rtsp_parser_next(&parser, &message, &why), ERR_CORRUPT, "a zero byte in a header");
}

static void test_bounds(void)
{
    static char text[RTSP_BUFFER_BYTES * 2];
    int         used, rc = 0;

    begin();
    add("RTSP/1.0 200 OK\r\n", 17);
    for (int i = 0; i < 100000 && rc == 0; i++) {
        add("X: y\r\n", 6);
        rc = rtsp_parser_next(&parser, &message, &why);
    }
    is_int(rc, ERR_LIMIT, "headers without end");
    begin();
    for (rc = 0, used = 0; used < 100000 && rc == 0; used++) {
        add("R", 1);
        rc = rtsp_parser_next(&parser, &message, &why);
    }
    ok(rc == ERR_LIMIT && used <= RTSP_HEAD_BYTES, "a line without end");
    used = snprintf(text, sizeof text, "RTSP/1.0 200 OK\r\n");
    for (int i = 0; i < RTSP_HEADERS; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "H%d: v\r\n", i);
    snprintf(text + used, sizeof text - (size_t)used, "\r\n");
    is_int(first(text), 1, "%d headers", RTSP_HEADERS);
    snprintf(text + used, sizeof text - (size_t)used, "X: y\r\n\r\n");
    is_int(first(text), ERR_LIMIT, "one more");

    used = snprintf(text, sizeof text, "RTSP/1.0 200 OK\r\nContent-Length: %d\r\n",
                    RTSP_BODY_BYTES);
    memset(text + used, 'x', RTSP_HEAD_BYTES);
    memcpy(text + used, "X: ", 3);
    memcpy(text + RTSP_HEAD_BYTES - 4, "\r\n\r\n", 4);
    memset(text + RTSP_HEAD_BYTES, 'b', RTSP_BODY_BYTES);
    begin();
    add(text, RTSP_HEAD_BYTES + RTSP_BODY_BYTES - 1);
    is_int(rtsp_parser_next(&parser, &message, &why), 0, "the largest message but a byte");
    add("b", 1);
    is_int(rtsp_parser_next(&parser, &message, &why), 1, "the largest message");
    is_int(message.body_bytes, RTSP_BODY_BYTES, "its body");
}

/* A stream of messages and frames gives the same however it is cut. */
static void test_cuts(void)
{
    static char stream[200000];
    size_t      bytes = 0;
    unsigned    seed  = 1;
    int         wrong = 0;

    for (int i = 0; i < 40; i++) {
        size_t length = (size_t)(i * 397 % 3000);

        if (i == 20)
            length = RTSP_FRAME_BYTES;
        bytes += (size_t)snprintf(stream + bytes, 200,
                                  "RTSP/1.0 200 OK\r\nCSeq: %d\r\nContent-Length: 3\r\n\r\n%03d", i,
                                  i);
        stream[bytes++] = '$';
        stream[bytes++] = (char)i;
        stream[bytes++] = (char)(length >> 8);
        stream[bytes++] = (char)length;
        memset(stream + bytes, i, length);
        bytes += length;
    }
    for (int round = 0; round < 50; round++) {
        size_t at    = 0;
        int    count = 0, rc = 0;

        begin();
        while (at < bytes && rc >= 0) {
            size_t part;

            seed = seed * 1103515245 + 12345;
            part = round == 0 ? 1 : 1 + (seed >> 8) % (round < 25 ? 40 : 8000);
            if (part > bytes - at)
                part = bytes - at;
            add(stream + at, part);
            at += part;
            while ((rc = rtsp_parser_next(&parser, &message, &why)) > 0) {
                int number = count / 2;

                if (count++ % 2 == 0)
                    wrong += message.kind != RTSP_RESPONSE || message.body_bytes != 3 ||
                             rtsp_text_number(*rtsp_header(&message, "CSeq", 0), 100) != number;
                else
                    wrong += message.kind != RTSP_FRAME || message.channel != number ||
                             (message.body_bytes > 0 &&
                              (message.body[0] != number ||
                               message.body[message.body_bytes - 1] != number));
            }
        }
        wrong += rc != 0 || count != 80;
    }
    is_int(wrong, 0, "50 ways to cut a stream of 80 messages and frames");
}

static void test_text(void)
{
    static const char list[] = "a; b=\"x;y\\\";z\" ;;c";
    struct rtsp_text  rest   = {list, sizeof list - 1}, part, value;

    ok(rtsp_text_split(&rest, ';', &part) && rtsp_text_is(part, "A"), "the first part");
    ok(rtsp_text_split(&rest, ';', &part) && rtsp_text_parameter(part, "b", &value), "the second");
    is_text(text_of(&value), "\"x;y\\\";z\"", "separators in quotes do not split");
    ok(rtsp_text_split(&rest, ';', &part) && part.bytes == 0, "an empty part");
    ok(rtsp_text_split(&rest, ';', &part) && rtsp_text_is(part, "c"), "the last");
    ok(!rtsp_text_split(&rest, ';', &part), "no more");
    is_int(rtsp_text_number((struct rtsp_text){" 42 ", 4}, 100), 42, "a number");
    is_int(rtsp_text_number((struct rtsp_text){"101", 3}, 100), -1, "a number over its bound");
    is_int(rtsp_text_number((struct rtsp_text){"", 0}, 100), -1, "no number");
    is_int(rtsp_text_number((struct rtsp_text){"4x", 2}, 100), -1, "not quite a number");
}

/* ---- descriptions ---- */

static struct sdp_video video;

static int describe(const char *text)
{
    why.text[0] = '\0';
    return sdp_read(&video, text, strlen(text), &why);
}

static void test_sdp(void)
{
    is_int(
        describe(
            "v=0\r\no=- 1 1 IN IP4 "
            "192.168.1.10\r\ns=Media\r\na=control:rtsp://192.168.1.10/live\r\n"
            "m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=control:track2\r\n"
            "m=video 0 RTP/AVP 96\r\na=framerate:25\r\na=rtpmap:96 H264/90000\r\n"
            "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0IA,aM4=\r\na=control:track1\r\n"
            "m=application 0 RTP/AVP 107\r\na=control:track3\r\na=rtpmap:107 "
            "vnd.onvif.metadata/90000\r\n"),
        0, "audio, video and metadata");
    is_int(video.codec, SDP_H264, "the codec");
    is_int(video.payload_type, 96, "its payload type");
    is_int(video.clock_hz, 90000, "its clock");
    is_near(video.fps, 25, 0, "its rate");
    is_text(video.control, "track1", "its address");
    is_text(video.session_control, "rtsp://192.168.1.10/live", "the address of all");
    is_text(video.text,
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0IA,aM4=\r\n",
            "the description of the video alone");

    is_int(describe("v=0\nm=video 0 RTP/AVP 97 98 96\na=rtpmap:96 H264/90000\na=fmtp:96 "
                    "a=1\na=fmtp:98 b=2\n"
                    "a=rtpmap:97 VP8/90000\na=rtpmap:98 h265/90000\n"),
           0, "several formats: the first known one in the order of the camera");
    is_int(video.codec, SDP_H265, "it is H.265");
    ok(strstr(video.text, "a=fmtp:98 b=2\r\n") != NULL && strstr(video.text, "fmtp:96") == NULL,
       "with its own parameters, which came before its rtpmap");
    is_int(describe("m=video 0 RTP/AVP 26\n"), 0, "MJPEG without an rtpmap");
    is_int(video.codec, SDP_JPEG, "it is JPEG");
    is_int(describe("v=0\nm=video  0   RTP/AVP  96\na=rtpmap:96   H264\na=framerate:29.97\n"), 0,
           "doubled spaces, no clock");
    is_int(video.clock_hz, 90000, "the usual clock");
    is_near(video.fps, 29.97, 1e-9, "a rate with a fraction");
    describe("m=video 0 RTP/AVP 26\na=framerate:nan\n");
    is_near(video.fps, 0, 0, "a rate that is none");
    is_int(describe("m=video 0 RTP/SAVP 96\na=rtpmap:96 H264/90000\nm=video 0 RTP/AVP 96\n"
                    "a=rtpmap:96 H264/90000\na=control:second\n"),
           0, "an encrypted one and a plain one");
    is_text(video.control, "second", "the plain one is taken");
    is_int(
        describe("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:1\nm=video 0 RTP/AVP 96\n"
                 "a=rtpmap:96 H264/90000\na=control:2\n"),
        0, "two of them");
    is_text(video.control, "1", "the first is taken");
}

static void test_sdp_bad(void)
{
    static char text[RTSP_BODY_BYTES];

    is_int(describe(""), ERR_CORRUPT, "an empty description");
    is_int(describe("v=0\r\n"), ERR_UNSUPPORTED, "one without streams");
    is_text(why.text, "the camera's stream has no video", "says so");
    is_int(describe("m=audio 0 RTP/AVP 8\n"), ERR_UNSUPPORTED, "audio alone");
    is_int(describe("m=video 0 RTP/AVP 96\na=rtpmap:96 AV1/90000\nm=audio 0 RTP/AVP 8\n"),
           ERR_UNSUPPORTED, "an unknown codec");
    ok(strstr(why.text, "AV1") != NULL, "names it: %s", why.text);
    is_int(describe("m=video 0 RTP/SAVP 96\na=rtpmap:96 H264/90000\n"), ERR_UNSUPPORTED,
           "encrypted");
    is_int(describe("m=video 0 RTP/AVP 72\na=rtpmap:72 H264/90000\n"), ERR_UNSUPPORTED,
           "a payload type that is RTCP's");
    is_int(sdp_read(&video, "v=0\0\n", 5, &why), ERR_CORRUPT, "a zero byte");
    snprintf(text, sizeof text, "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:%02000d\n",
             0);
    is_int(describe(text), ERR_LIMIT, "an address that is too long");
    snprintf(text, sizeof text,
             "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 %020000d\n", 0);
    is_int(describe(text), ERR_LIMIT, "parameters that are too long");
    memset(text, '\n', sizeof text - 1);
    is_int(describe(text), ERR_LIMIT, "too many lines");
}

/* ---- replies ---- */

static void test_addresses(void)
{
    static const struct {
        const char *base, *session, *control, *setup, *play;
    } cases[] = {
        {"", "", "track1", "rtsp://cam/live/track1", "rtsp://cam/live"},
        {"", "*", "track1", "rtsp://cam/live/track1", "rtsp://cam/live"},
        {"", "", "", "rtsp://cam/live", "rtsp://cam/live"},
        {"", "*", "*", "rtsp://cam/live", "rtsp://cam/live"},
        {"Content-Base: rtsp://cam/live/\r\n", "*", "track1", "rtsp://cam/live/track1",
         "rtsp://cam/live/"},
        {"Content-Base: rtsp://cam/live\r\n", "*", "/track1", "rtsp://cam/live/track1",
         "rtsp://cam/live"},
        {"Content-Base: rtsp://cam/live/\r\n", "", "/track1", "rtsp://cam/live/track1",
         "rtsp://cam/live/"},
        {"Content-Location: rtsp://cam/other/\r\n", "", "t", "rtsp://cam/other/t",
         "rtsp://cam/other/"},
        {"Content-Base: rtsp://cam/a?ch=1&st=0/\r\n", "", "trackID=0",
         "rtsp://cam/a?ch=1&st=0/trackID=0", "rtsp://cam/a?ch=1&st=0/"},
        {"Content-Base: rtsp://u:p@cam:554/x/\r\n", "", "t", "rtsp://cam/x/t", "rtsp://cam/x/"},
        {"Content-Base: /x/\r\n", "", "t", "rtsp://cam/live/t", "rtsp://cam/live"},
        {"Content-Base: http://evil/\r\n", "", "t", "rtsp://cam/live/t", "rtsp://cam/live"},
        {"Content-Base: rtsp://cam/a b/\r\n", "", "t", "rtsp://cam/live/t", "rtsp://cam/live"},
        {"", "rtsp://10.0.0.1/all", "t", "rtsp://10.0.0.1/all/t", "rtsp://10.0.0.1/all"},
        {"", "", "rtsp://u:p@10.0.0.1:8554/all/t", "rtsp://10.0.0.1:8554/all/t", "rtsp://cam/live"},
        {"", "all", "t", "rtsp://cam/live/t", "rtsp://cam/live/all"},
    };
    char text[1024], setup[RTSP_URL_BYTES], play[RTSP_URL_BYTES];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(text, sizeof text, "RTSP/1.0 200 OK\r\n%s\r\n", cases[i].base);
        first(text);
        snprintf(video.session_control, sizeof video.session_control, "%s", cases[i].session);
        snprintf(video.control, sizeof video.control, "%s", cases[i].control);
        is_int(rtsp_reply_addresses(&message, &video, "rtsp://cam/live", setup, play, &why), 0,
               "addresses %zu", i);
        is_text(setup, cases[i].setup, "the video's");
        is_text(play, cases[i].play, "that of all");
    }
    first("RTSP/1.0 200 OK\r\n\r\n");
    video.session_control[0] = '\0';
    snprintf(video.control, sizeof video.control, "a b");
    is_int(rtsp_reply_addresses(&message, &video, "rtsp://cam/", setup, play, &why), ERR_CORRUPT,
           "a space in an address");
    snprintf(video.control, sizeof video.control, "rtsp://");
    is_int(rtsp_reply_addresses(&message, &video, "rtsp://cam/", setup, play, &why), ERR_CORRUPT,
           "an address without a host");
}

static int set_up(struct rtsp_setup *setup, const char *headers)
{
    char text[1024];

    snprintf(text, sizeof text, "RTSP/1.0 200 OK\r\n%s\r\n", headers);
    first(text);
    return rtsp_reply_setup(&message, false, setup, &why);
}

static void test_setup(void)
{
    struct rtsp_setup setup;

    is_int(set_up(&setup, "Session: 12ab;timeout=30\r\nTransport: "
                          "RTP/AVP/TCP;unicast;interleaved=4-5;ssrc=1\r\n"),
           0, "a session");
    is_text(setup.session, "12ab", "its name");
    is_int(setup.timeout_s, 30, "its time");
    is_int(setup.rtp_channel, 4, "its RTP channel");
    is_int(setup.rtcp_channel, 5, "its RTCP channel");
    is_int(set_up(&setup, ""), 0, "a camera that says nothing");
    ok(setup.session[0] == '\0' && setup.timeout_s == 60 && setup.rtp_channel == 0 &&
           setup.rtcp_channel == 1,
       "the usual values");
    is_int(set_up(&setup, "Session: x ; Timeout = 0\r\nTransport: rtp/avp/tcp; Interleaved=2\r\n"),
           0, "sloppy");
    ok(setup.timeout_s == 60 && setup.rtp_channel == 2 && setup.rtcp_channel == 3, "is understood");
    is_int(set_up(&setup, "Session: x;timeout=99999999999\r\n"), 0, "a time without sense");
    is_int(setup.timeout_s, 60, "is not believed");
    is_int(set_up(&setup, "Transport: RTP/AVP;unicast;client_port=1-2\r\n"), ERR_UNSUPPORTED,
           "UDP");
    is_int(set_up(&setup, "Transport: RTP/AVP/TCP;interleaved=300-301\r\n"), ERR_CORRUPT,
           "no such channel");
    is_int(set_up(&setup, "Transport: RTP/AVP/TCP;interleaved=1-1\r\n"), ERR_CORRUPT,
           "one channel for both");
    is_int(set_up(&setup, "Session: a b\r\n"), ERR_CORRUPT, "a session name with a space");
    first("RTSP/1.0 200 OK\r\nPublic: OPTIONS,DESCRIBE\r\nPublic: get_parameter\r\n\r\n");
    ok(rtsp_reply_allows(&message, "GET_PARAMETER"), "a method that is offered in a second header");
    ok(!rtsp_reply_allows(&message, "PLAY"), "one that is not");
}

/* ---- RTP ---- */

static size_t make_rtp(uint8_t *out, uint16_t sequence, uint32_t timestamp, uint32_t ssrc)
{
    const uint8_t packet[] = {0x80,
                              96,
                              (uint8_t)(sequence >> 8),
                              (uint8_t)sequence,
                              (uint8_t)(timestamp >> 24),
                              (uint8_t)(timestamp >> 16),
                              (uint8_t)(timestamp >> 8),
                              (uint8_t)timestamp,
                              (uint8_t)(ssrc >> 24),
                              (uint8_t)(ssrc >> 16),
                              (uint8_t)(ssrc >> 8),
                              (uint8_t)ssrc,
                              0x41};

    memcpy(out, packet, sizeof packet);
    return sizeof packet;
}

static unsigned receive(struct rtp_receiver *receiver, uint16_t sequence, uint32_t ssrc)
{
    uint8_t           packet[32];
    struct rtp_header header;

    if (!rtp_read(&header, packet, make_rtp(packet, sequence, sequence * 3600U, ssrc)))
        return 999;
    return rtp_receiver_add(receiver, &header, 90000, sequence * 40 * NS_PER_MS);
}

static void test_rtp(void)
{
    struct rtp_receiver receiver = {0};
    struct rtp_header   header;
    uint8_t             packet[64] = {0}, report[RTCP_REPORT_BYTES];
    size_t              bytes      = make_rtp(packet, 65535, 0xfffffff0, 7);

    ok(rtp_read(&header, packet, bytes) && header.payload_type == 96 && !header.marker &&
           header.sequence == 65535 && header.timestamp == 0xfffffff0 && header.ssrc == 7,
       "an RTP header");
    ok(!rtp_read(&header, packet, 12), "no payload");
    packet[0] = 0x8f;
    ok(!rtp_read(&header, packet, bytes), "sources past the end");
    packet[0] = 0x90;
    ok(!rtp_read(&header, packet, bytes), "an extension past the end");
    packet[0] = 0xa0;
    ok(!rtp_read(&header, packet, bytes), "padding past the beginning");
    packet[0] = 0x40;
    ok(!rtp_read(&header, packet, bytes), "another version");

    is_int(rtcp_write(&receiver, 1, 0, report), 0, "nothing to report yet");
    is_int(receive(&receiver, 65533, 7), 0, "the first");
    is_int(receive(&receiver, 65535, 7), 1, "one is missing");
    is_int(receive(&receiver, 0, 7), 0, "over the turn");
    is_int(receive(&receiver, 65534, 7), 0, "a late one");
    is_int(receive(&receiver, 3, 7), 2, "two are missing");
    is_int(receiver.lost, 3, "three in all");
    is_int(rtcp_write(&receiver, 0x01020304, NS_PER_S, report), RTCP_REPORT_BYTES, "a report");
    ok(report[1] == 201 && report[7] == 4 && report[11] == 7, "from us, on the camera");
    is_int(report[13] << 16 | report[14] << 8 | report[15], 2, "two of seven never came");
    is_int(report[12], 2 * 256 / 7, "as a fraction");
    is_int(report[16] << 24 | report[17] << 16 | report[18] << 8 | report[19], 0x10003,
           "the highest");
    is_int(receive(&receiver, 40000, 7), 0, "a jump is a restart");
    is_int(receive(&receiver, 40001, 8), 0, "another sender is a restart");
    is_int(receiver.lost, 3, "and no loss");
}

/* Of packets that come every 40 ms, each second of them so much later. In ms. */
static double jitter_of(int64_t late_ns)
{
    struct rtp_receiver receiver = {0};
    struct rtp_header   header   = {.payload_type = 96, .ssrc = 7};

    for (unsigned i = 0; i < 300; i++) {
        header.sequence  = (uint16_t)(65400 + i);
        header.timestamp = 0xffff0000U + i * 3600U;
        rtp_receiver_add(&receiver, &header, 90000,
                         (int64_t)i * 40 * NS_PER_MS + (i % 2 != 0 ? late_ns : 0));
    }
    return receiver.jitter / 90;
}

static void test_jitter(void)
{
    is_near(jitter_of(0), 0, 0.02,
            "packets in step have no jitter, over the turn of their numbers");
    is_near(jitter_of(20 * NS_PER_MS), 20, 0.2, "every second one 20 ms late: 20 ms");
    is_near(jitter_of(3 * NS_PER_MS), 3, 0.1, "3 ms late: 3 ms");
}

static void write32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void test_rtcp(void)
{
    uint8_t            packet[40] = {0x80, 200, 0, 6};
    struct rtcp_report report;

    write32(packet + 4, 7);
    write32(packet + 8, 0x83aa7e80);
    write32(packet + 12, 0x80000000);
    write32(packet + 16, 1234);
    memcpy(packet + 28, (const uint8_t[]){0x81, 203, 0, 1}, 4);
    ok(rtcp_read(&report, packet, 36) && report.has_sender && report.bye &&
           report.timestamp == 1234 && report.ntp == 0x83aa7e8080000000,
       "a sender report and a goodbye");
    ok(rtcp_read(&report, packet, 28) && !report.bye, "without the goodbye");
    ok(!rtcp_read(&report, packet, 27), "cut");
    ok(!rtcp_read(&report, packet, 30), "cut in the second");
    packet[3] = 1;
    ok(!rtcp_read(&report, packet, 28), "of wrong length");
}

static void test_clock(void)
{
    struct rtp_clock   clock;
    struct rtcp_report report = {.has_sender = true};
    const int64_t      wall   = INT64_C(1800000000) * NS_PER_S;

    rtp_clock_init(&clock, 90000);
    is_int(rtp_clock_pts(&clock, 0xffffff00, 0), 0, "begins at 0");
    is_int(rtp_clock_wall(&clock, 0, wall), wall, "without a report: when it came");
    is_int(rtp_clock_pts(&clock, 0x100, 5 * NS_PER_MS), 512, "goes over the turn");
    is_int(rtp_clock_pts(&clock, 0x80, 6 * NS_PER_MS), 384, "goes back for a picture out of order");
    report.timestamp = 0x80;
    report.ntp       = (uint64_t)(1800000000 + 2208988800) << 32;
    rtp_clock_report(&clock, &report, wall + 200 * NS_PER_MS);
    is_int(rtp_clock_wall(&clock, 384 + 90000, wall + 1200 * NS_PER_MS), wall + NS_PER_S,
           "with a report: when it was taken");
    is_int(rtp_clock_wall(&clock, 384 + 45000, wall + 1200 * NS_PER_MS), wall + NS_PER_S,
           "never back");
    report.ntp = (uint64_t)(1800000060 + 2208988800) << 32;
    rtp_clock_report(&clock, &report, wall + NS_PER_S);
    is_int(rtp_clock_wall(&clock, 384 + 90000, wall + 2 * NS_PER_S), wall + 2 * NS_PER_S,
           "a camera whose clock is a minute off is not believed");
    is_int(rtp_clock_pts(&clock, 0x80 + 90000 * 100, 2 * NS_PER_S), 384 + 90000 * 2 - 540,
           "a jump that no time explains goes on with the time that passed");
    is_int(rtp_clock_pts(&clock, 0x80 + 90000 * 130, 32 * NS_PER_S), 384 + 90000 * 32 - 540,
           "a long pause is one");
}

int main(void)
{
    test_good();
    test_bad();
    test_bounds();
    test_cuts();
    test_text();
    test_sdp();
    test_sdp_bad();
    test_addresses();
    test_setup();
    test_rtp();
    test_jitter();
    test_rtcp();
    test_clock();
    rtsp_parser_fini(&parser);
    return done_testing();
}
