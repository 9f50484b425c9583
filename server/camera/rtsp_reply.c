#include "server/camera/rtsp_reply.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/err.h"
#include "server/camera/camera_url.h"

#define SESSION_TIMEOUT_S     60 /* RFC 2326, 12.37 */
#define SESSION_TIMEOUT_S_MAX 3600

bool rtsp_reply_allows(const struct rtsp_message *reply, const char *method)
{
    const struct rtsp_text *header;

    for (int i = 0; (header = rtsp_header(reply, "Public", i)) != NULL; i++) {
        struct rtsp_text rest = *header, part;

        while (rtsp_text_split(&rest, ',', &part)) {
            if (rtsp_text_is(part, method))
                return true;
        }
    }
    return false;
}

const char *rtsp_reply_meaning(int status, bool *lasting)
{
    static const struct {
        int         status;
        bool        lasting;
        const char *meaning;
    } known[] = {
        {403, true, "the camera forbids this user to see the stream"},
        {404, false, "the camera has no such stream: check the path of its url"},
        {406, false, "the camera cannot describe its stream (as SDP)"},
        {453, false, "the camera has not enough bandwidth: too many viewers?"},
        {454, false, "the camera does not know our session any more"},
        {461, true, "the camera does not send RTP the way that transport asks for"},
        {503, false, "the camera is busy: too many viewers?"},
    };

    *lasting = false;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].status == status) {
            *lasting = known[i].lasting;
            return known[i].meaning;
        }
    }
    return NULL;
}

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f || *text == '"' ||
            *text == '\\')
            return false;
    }
    return true;
}

static bool is_absolute(const char *text)
{
    return strncasecmp(text, "rtsp://", 7) == 0 || strncasecmp(text, "rtsps://", 8) == 0;
}

/* An absolute address in its normal form, without credentials. */
static bool take_absolute(const char *text, char *out)
{
    struct camera_url url;

    if (!is_absolute(text) || camera_url_parse(&url, text, NULL) != 0)
        return false;
    camera_url_format(&url, out);
    return true;
}

static void find_base(const struct rtsp_message *reply, const char *request_url,
                      char base[static LIMIT_URL_BYTES])
{
    static const char *const names[] = {"Content-Base", "Content-Location"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct rtsp_text *header = rtsp_header(reply, names[i], 0);
        char                    text[LIMIT_URL_BYTES];

        if (header == NULL || header->bytes >= sizeof text)
            continue;
        rtsp_text_copy(*header, text, sizeof text);
        if (take_absolute(text, base))
            return;
    }
    snprintf(base, LIMIT_URL_BYTES, "%s", request_url);
}

/* Cameras do not follow the rules for relative addresses (a query in the base would be cut off):
 * what works with them is the base, one '/', and the control address behind it. */
static int resolve(const char *base, const char *control, char out[static RTSP_URL_BYTES],
                   struct why *why)
{
    size_t base_bytes = strlen(base);

    if (!is_plain(control))
        return why_set(why, ERR_CORRUPT, "the camera's description has a damaged control address");
    if (control[0] == '\0' || strcmp(control, "*") == 0) {
        snprintf(out, RTSP_URL_BYTES, "%s", base);
        return 0;
    }
    if (is_absolute(control)) {
        if (!take_absolute(control, out))
            return why_set(why, ERR_CORRUPT,
                           "the camera's description has a damaged control address");
        return 0;
    }
    if (base_bytes > 0 && base[base_bytes - 1] == '/')
        base_bytes--;
    if (control[0] == '/')
        control++;
    if ((size_t)snprintf(out, RTSP_URL_BYTES, "%.*s/%s", (int)base_bytes, base, control) >=
        RTSP_URL_BYTES)
        return why_set(why, ERR_LIMIT, "the camera's control address is too long");
    return 0;
}

int rtsp_reply_addresses(const struct rtsp_message *reply, const struct sdp_video *video,
                         const char *request_url, char setup[static RTSP_URL_BYTES],
                         char play[static RTSP_URL_BYTES], struct why *why)
{
    char base[LIMIT_URL_BYTES];
    int  rc;

    find_base(reply, request_url, base);
    if ((rc = resolve(base, video->session_control, play, why)) != 0)
        return rc;
    return resolve(is_absolute(video->session_control) ? play : base,
                   video->control[0] != '\0' ? video->control : play, setup, why);
}

/* "12345678;timeout=60" */
static int read_session(const struct rtsp_message *reply, struct rtsp_setup *setup, struct why *why)
{
    const struct rtsp_text *header = rtsp_header(reply, "Session", 0);
    struct rtsp_text        rest, part, value;

    setup->timeout_s  = SESSION_TIMEOUT_S;
    setup->session[0] = '\0';
    if (header == NULL)
        return 0;
    rest = *header;
    if (!rtsp_text_split(&rest, ';', &part))
        return 0;
    if (part.bytes >= sizeof setup->session)
        return why_set(why, ERR_CORRUPT, "the camera's session name is longer than %d bytes",
                       RTSP_SESSION_BYTES - 1);
    rtsp_text_copy(part, setup->session, sizeof setup->session);
    if (!is_plain(setup->session))
        return why_set(why, ERR_CORRUPT, "the camera's session name is damaged");
    while (rtsp_text_split(&rest, ';', &part)) {
        if (rtsp_text_parameter(part, "timeout", &value)) {
            int64_t timeout = rtsp_text_number(value, SESSION_TIMEOUT_S_MAX);

            if (timeout > 0)
                setup->timeout_s = (unsigned)timeout;
        }
    }
    return 0;
}

/* "0-1", or "0" from some cameras */
static bool read_channels(struct rtsp_text value, struct rtsp_setup *setup)
{
    struct rtsp_text first;
    int64_t          rtp = -1, rtcp;

    if (rtsp_text_split(&value, '-', &first))
        rtp = rtsp_text_number(first, 255);
    rtcp = value.bytes > 0 ? rtsp_text_number(value, 255) : (rtp + 1) % 256;
    if (rtp < 0 || rtcp < 0 || rtp == rtcp)
        return false;
    setup->rtp_channel  = (uint8_t)rtp;
    setup->rtcp_channel = (uint8_t)rtcp;
    return true;
}

/* "6970-6971", or "6970" */
static bool read_ports(struct rtsp_text value, struct rtsp_setup *setup)
{
    struct rtsp_text first;
    int64_t          rtp = -1, rtcp;

    if (rtsp_text_split(&value, '-', &first))
        rtp = rtsp_text_number(first, 65535);
    rtcp = value.bytes > 0 ? rtsp_text_number(value, 65535) : rtp + 1;
    /* A camera that says port 0 or one of the system's (DNS, NTP) is not answered there: what we send
     * must not be of use against others. */
    if (rtp < 0 || rtcp < 0 || rtcp > 65535)
        return false;
    setup->rtp_port  = rtp >= 1024 ? (uint16_t)rtp : 0;
    setup->rtcp_port = rtcp >= 1024 ? (uint16_t)rtcp : 0;
    return true;
}

static bool is_transport(struct rtsp_text part, bool udp)
{
    bool is_tcp = rtsp_text_is(part, "RTP/AVP/TCP") || rtsp_text_is(part, "RTP/AVPF/TCP");
    bool is_udp = rtsp_text_is(part, "RTP/AVP") || rtsp_text_is(part, "RTP/AVPF") ||
                  rtsp_text_is(part, "RTP/AVP/UDP") || rtsp_text_is(part, "RTP/AVPF/UDP");

    return udp ? is_udp : is_tcp;
}

int rtsp_reply_setup(const struct rtsp_message *reply, bool udp, struct rtsp_setup *setup,
                     struct why *why)
{
    const struct rtsp_text *header = rtsp_header(reply, "Transport", 0);
    struct rtsp_text        rest, part, value;
    int                     rc = read_session(reply, setup, why);

    setup->rtp_channel  = 0;
    setup->rtcp_channel = 1;
    setup->rtp_port = setup->rtcp_port = 0;
    if (rc != 0 || header == NULL)
        return rc;
    rest = *header;
    if (rtsp_text_split(&rest, ';', &part) && !is_transport(part, udp))
        return why_set(why, ERR_UNSUPPORTED,
                       udp ? "the camera does not send over UDP, as it was asked to"
                           : "the camera does not send over the RTSP connection (RTP over TCP)");
    while (rtsp_text_split(&rest, ';', &part)) {
        if (!udp && rtsp_text_parameter(part, "interleaved", &value) &&
            !read_channels(value, setup))
            return why_set(why, ERR_CORRUPT, "the camera's channel numbers are damaged");
        if (udp && rtsp_text_parameter(part, "server_port", &value) && !read_ports(value, setup))
            return why_set(why, ERR_CORRUPT, "the camera's port numbers are damaged");
    }
    return 0;
}
