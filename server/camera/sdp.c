#include "server/camera/sdp.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "server/camera/rtsp_message.h"

#define LINES 2048 /* of one description; ONVIF ones have 60 */
/* Payload types below it are assigned by RFC 3551, whatever else a camera says of them; one is ours. */
#define STATIC_TYPES 35
#define STATIC_JPEG  26

struct media {
    struct sdp_video *video;
    bool              rtp;         /* an unencrypted video stream over RTP */
    int               formats[16]; /* payload types in the order of preference */
    int               format_count;
    int               chosen; /* index into formats of what rtpmap made us take, -1: none yet */
    char              encoding[32]; /* the first one seen, for the message when none is known */
    char              map[160], parameters[SDP_VIDEO_BYTES - 1024];
};

static bool starts(struct rtsp_text line, const char *prefix, struct rtsp_text *rest)
{
    size_t bytes = strlen(prefix);

    if (line.bytes < bytes || !rtsp_text_is((struct rtsp_text){line.at, bytes}, prefix))
        return false;
    *rest = rtsp_text_trim((struct rtsp_text){line.at + bytes, line.bytes - bytes});
    return true;
}

/* Printable characters alone; 0, or ERR_LIMIT. */
static int keep(struct rtsp_text text, char *out, size_t out_bytes)
{
    if (text.bytes >= out_bytes)
        return ERR_LIMIT;
    rtsp_text_copy(text, out, out_bytes);
    return 0;
}

static bool next_word(struct rtsp_text *rest, struct rtsp_text *word)
{
    *rest = rtsp_text_trim(*rest);
    return rtsp_text_split(rest, ' ', word);
}

/* "video 0 RTP/AVP 96 97" */
static void read_media(struct media *media, struct rtsp_text rest)
{
    struct rtsp_text part;

    media->rtp          = false;
    media->format_count = 0;
    media->chosen       = -1;
    media->map[0] = media->parameters[0] = '\0';
    media->video->control[0]             = '\0';
    media->video->fps                    = 0;
    if (!next_word(&rest, &part) || !rtsp_text_is(part, "video"))
        return;
    next_word(&rest, &part); /* the port, which says nothing over TCP */
    if (!next_word(&rest, &part))
        return;
    media->rtp = rtsp_text_is(part, "RTP/AVP") || rtsp_text_is(part, "RTP/AVPF") ||
                 rtsp_text_is(part, "RTP/AVP/TCP") || rtsp_text_is(part, "RTP/AVP/UDP");
    while (media->format_count < 16 && next_word(&rest, &part)) {
        int64_t type = rtsp_text_number(part, 127);

        /* 64..82 with a marker bit looks like RTCP (RFC 5761): no camera may use them for video. */
        if (type >= 0 && (type < 64 || type > 82))
            media->formats[media->format_count++] = (int)type;
    }
}

static int format_index(const struct media *media, struct rtsp_text *rest)
{
    struct rtsp_text part;
    int64_t          type;

    if (!next_word(rest, &part) || (type = rtsp_text_number(part, 127)) < 0)
        return -1;
    for (int i = 0; i < media->format_count; i++) {
        if (media->formats[i] == type)
            return i;
    }
    return -1;
}

static bool find_codec(struct rtsp_text name, enum sdp_codec *codec)
{
    static const struct {
        const char    *name;
        enum sdp_codec codec;
    } known[] = {{"H264", SDP_H264},
                 {"H265", SDP_H265},
                 {"HEVC", SDP_H265},
                 {"JPEG", SDP_JPEG},
                 {"MP4V-ES", SDP_MPEG4}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (rtsp_text_is(name, known[i].name)) {
            *codec = known[i].codec;
            return true;
        }
    }
    return false;
}

/* "96 H264/90000": taken if it is known and stands before what was taken already. The demultiplexer
 * knows the static types: told what they are, it sets up a second depacketizer and loses the first. */
static void read_map(struct media *media, struct rtsp_text rest)
{
    static const char *const names[] = {"H264", "H265", "JPEG", "MP4V-ES"};
    int                      index   = format_index(media, &rest);
    struct rtsp_text         name;
    enum sdp_codec           codec;
    int64_t                  clock;
    bool                     is_static;

    rest = rtsp_text_trim(rest);
    if (index < 0 || !rtsp_text_split(&rest, '/', &name))
        return;
    if (media->encoding[0] == '\0')
        rtsp_text_copy(name, media->encoding, sizeof media->encoding);
    if (!find_codec(name, &codec) || (media->chosen >= 0 && media->chosen <= index))
        return;
    is_static = media->formats[index] < STATIC_TYPES;
    if (is_static && (media->formats[index] != STATIC_JPEG || codec != SDP_JPEG))
        return;
    rtsp_text_split(&rest, '/', &name);
    clock = rtsp_text_number(name, 10000000);
    if (clock < 1000 || is_static)
        clock = 90000;
    media->chosen              = index;
    media->video->codec        = codec;
    media->video->payload_type = media->formats[index];
    media->video->clock_hz     = (uint32_t)clock;
    media->map[0]              = '\0';
    if (!is_static)
        snprintf(media->map, sizeof media->map, "a=rtpmap:%d %s/%d\r\n", media->formats[index],
                 names[codec], (int)clock);
}

/* "96 packetization-mode=1; ...", which may stand before or after its rtpmap. */
static int read_format(struct media *media, struct rtsp_text rest, struct why *why)
{
    int    index = format_index(media, &rest);
    size_t used  = strlen(media->parameters);
    char  *out   = media->parameters + used;
    int    length;

    if (index < 0)
        return 0;
    length = snprintf(out, sizeof media->parameters - used, "a=fmtp:%d ", media->formats[index]);
    if (length < 0 || used + (size_t)length + 3 >= sizeof media->parameters ||
        keep(rtsp_text_trim(rest), out + length,
             sizeof media->parameters - used - (size_t)length - 2) != 0)
        return why_set(why, ERR_LIMIT,
                       "the camera's description has format lines of more than %zu bytes",
                       sizeof media->parameters);
    used = strlen(media->parameters);
    memcpy(media->parameters + used, "\r\n", 3);
    return 0;
}

/* "25", "29.97" or "25/1". */
static double read_rate(struct rtsp_text rest)
{
    char   text[32];
    char  *after;
    double rate, under = 1;

    rtsp_text_copy(rest, text, sizeof text);
    rate = strtod(text, &after);
    if (*after == '/')
        under = strtod(after + 1, NULL);
    /* Not a number compares false. */
    if (!(under > 0) || !(rate / under > 0) || !(rate / under <= 1000))
        return 0;
    return rate / under;
}

/* Is the description at its video, with all that is needed? */
static bool is_complete(struct media *media)
{
    if (!media->rtp)
        return false;
    for (int i = 0; i < media->format_count && media->chosen < 0; i++) {
        if (media->formats[i] == STATIC_JPEG) {
            media->chosen              = i;
            media->video->codec        = SDP_JPEG;
            media->video->payload_type = STATIC_JPEG;
            media->video->clock_hz     = 90000;
        }
    }
    return media->chosen >= 0;
}

static int read_attribute(struct media *media, bool in_session, struct rtsp_text line,
                          struct why *why)
{
    struct rtsp_text rest;

    if (starts(line, "a=control:", &rest)) {
        if (keep(rest, in_session ? media->video->session_control : media->video->control,
                 LIMIT_URL_BYTES) != 0)
            return why_set(why, ERR_LIMIT,
                           "the camera's description has an address of more than %d bytes",
                           LIMIT_URL_BYTES - 1);
    } else if (in_session || !media->rtp) {
        return 0;
    } else if (starts(line, "a=rtpmap:", &rest)) {
        read_map(media, rest);
    } else if (starts(line, "a=fmtp:", &rest)) {
        return read_format(media, rest, why);
    } else if (starts(line, "a=framerate:", &rest) || starts(line, "a=x-framerate:", &rest)) {
        media->video->fps = read_rate(rest);
    }
    return 0;
}

/* Keeps the parameters of the chosen format only. */
static void write_text(const struct media *media, struct sdp_video *video)
{
    char        prefix[32];
    const char *line   = media->parameters, *end;
    int         length = snprintf(
                video->text, sizeof video->text,
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                        "m=video 0 RTP/AVP %d\r\n%s",
                video->payload_type, media->map);
    size_t used = (size_t)length;

    snprintf(prefix, sizeof prefix, "a=fmtp:%d ", video->payload_type);
    for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        size_t bytes = (size_t)(end - line) + 1;

        if (strncmp(line, prefix, strlen(prefix)) == 0 && used + bytes < sizeof video->text) {
            memcpy(video->text + used, line, bytes);
            used += bytes;
        }
    }
    video->text[used] = '\0';
}

static int fail_without_video(bool any_video, const struct media *media, struct why *why)
{
    if (!any_video)
        return why_set(why, ERR_UNSUPPORTED, "the camera's stream has no video");
    if (media->encoding[0] == '\0')
        return why_set(why, ERR_UNSUPPORTED, "the camera's video is not sent as plain RTP");
    return why_set(why, ERR_UNSUPPORTED, "the camera sends %s: set it to H.264, H.265 or MJPEG",
                   media->encoding);
}

int sdp_read(struct sdp_video *video, const char *text, size_t bytes, struct why *why)
{
    struct media     media      = {.video = video, .chosen = -1};
    struct rtsp_text rest       = {text, bytes}, line, found;
    bool             in_session = true, any_video = false;
    int              rc;

    memset(video, 0, sizeof *video);
    if (bytes < 2 || memchr(text, '\0', bytes) != NULL)
        return why_set(why, ERR_CORRUPT, "the camera's description of its streams is damaged");
    for (int lines = 0; rest.bytes > 0; lines++) {
        const char *feed = memchr(rest.at, '\n', rest.bytes);
        size_t      used = feed != NULL ? (size_t)(feed - rest.at) + 1 : rest.bytes;

        if (lines >= LINES)
            return why_set(why, ERR_LIMIT, "the camera's description has more than %d lines",
                           LINES);
        line = rtsp_text_trim((struct rtsp_text){rest.at, used});
        rest.at += used;
        rest.bytes -= used;
        if (starts(line, "m=", &found)) {
            if (is_complete(&media))
                break;
            in_session = false;
            read_media(&media, found);
            any_video |= starts(found, "video", &found);
        } else if ((rc = read_attribute(&media, in_session, line, why)) != 0) {
            return rc;
        }
    }
    if (!is_complete(&media))
        return fail_without_video(any_video, &media, why);
    write_text(&media, video);
    return 0;
}
