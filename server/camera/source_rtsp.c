/* server/camera/source_rtsp.c: a camera that speaks RTSP 1.0 (RFC 2326), plain or over TLS.
 *
 *   connect -> OPTIONS -> DESCRIBE -> SETUP (the video alone) -> PLAY -> playing
 *
 * The video comes over the same connection; over UDP when the camera refuses that (461) or the
 * settings ask for it, and over the connection again when no UDP packet arrives (rtsp_media.h).
 * A redirect, and the way back from UDP, begin a new connection within the same source.
 *
 * One request is under way at a time, each has a time limit, and a 401 is answered once. While it plays, a tick sends
 * the receiver report, keeps the session alive, and notices silence. TEARDOWN goes out at the rtsp_source_end, best effort.
 * The only text that leaves here about a failure is rtsp_source_end()'s, without credentials. */
#include "server/camera/source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/rtsp_session.h"

/* ---- the end ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct rtsp_source *rtsp = handle->data;

    if (--rtsp->timers_open > 0)
        return;
    rtsp_media_close(&rtsp->media);
    rtsp_parser_fini(&rtsp->parser);
    OPENSSL_cleanse(rtsp, sizeof *rtsp);
    free(rtsp);
}

static void hang_up(struct rtsp_source *rtsp)
{
    unsigned linger_ms = 0;

    uv_timer_stop(&rtsp->deadline);
    uv_timer_stop(&rtsp->tick);
    if (rtsp->link != NULL && rtsp->in_session &&
        rtsp_session_send(rtsp, "TEARDOWN", rtsp->play_url, "") == 0)
        linger_ms = rtsp->timeouts.linger_ms;
    rtsp->in_session = false;
    rtsp_link_close(&rtsp->link, linger_ms);
}

__attribute__((format(printf, 3, 4))) void
rtsp_source_end(struct rtsp_source *rtsp, enum source_end how, const char *format, ...)
{
    char    text[512], reason[200];
    va_list arguments;

    if (rtsp->ended)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    camera_url_redact_secret(text, &rtsp->url.password, reason, sizeof reason);
    rtsp->ended = true;
    hang_up(rtsp);
    rtsp->events.ended(rtsp->events.arg, how, reason);
}

void rtsp_source_progress(void *arg, const char *step)
{
    struct rtsp_source *rtsp = arg;

    if (!rtsp->ended)
        rtsp->events.progress(rtsp->events.arg, step);
}

/* ---- requests ---- */

static int open_link(struct rtsp_source *rtsp, struct why *why);

void rtsp_source_start_over(struct rtsp_source *rtsp)
{
    struct why why = {""};

    hang_up(rtsp);
    rtsp_media_close(&rtsp->media); /* who calls us is none of its events */
    rtsp_parser_reset(&rtsp->parser);
    memset(&rtsp->auth, 0, sizeof rtsp->auth);
    memset(&rtsp->setup, 0, sizeof rtsp->setup);
    rtsp->auth_sent = rtsp->auth_accepted = rtsp->get_parameter = false;
    rtsp->step                                                  = STEP_CONNECT;
    rtsp->method                                                = NULL;
    camera_url_format(&rtsp->url, rtsp->request_url);
    if (open_link(rtsp, &why) != 0)
        rtsp_source_end(rtsp, SOURCE_END_ERROR, "%s", why.text);
}

static bool falls_back_to_tcp(struct rtsp_source *rtsp)
{
    struct source_counters counters;

    if (!rtsp_media_is_udp(rtsp->media))
        return false;
    rtsp_media_counters(rtsp->media, &counters);
    return counters.rtp_received == 0;
}

void rtsp_source_on_deadline(uv_timer_t *timer)
{
    struct rtsp_source *rtsp = timer->data;

    if (rtsp->step != STEP_PLAYING) {
        rtsp_source_end(rtsp, SOURCE_END_TIMEOUT, "the camera did not answer %s within %u s",
                        rtsp->method != NULL ? rtsp->method : "",
                        rtsp->timeouts.response_ms / 1000);
    } else if (falls_back_to_tcp(rtsp) && !rtsp->tcp_refused) {
        rtsp->udp_useless = true;
        rtsp_source_start_over(rtsp);
    } else if (falls_back_to_tcp(rtsp)) {
        rtsp_source_end(
            rtsp, SOURCE_END_TIMEOUT,
            "the camera sends over UDP alone, and no packet arrives: is a firewall between?");
    } else if (rtsp_media_is_udp(rtsp->media) &&
               clock_monotonic_ns() - rtsp->playing_ns + 50 * NS_PER_MS <
                   rtsp->timeouts.picture_ms * NS_PER_MS) {
        uv_timer_start(timer, rtsp_source_on_deadline,
                       rtsp->timeouts.picture_ms - rtsp->timeouts.udp_ms, 0);
    } else {
        rtsp_source_end(rtsp, SOURCE_END_TIMEOUT, "the camera sent no picture within %u s of PLAY",
                        rtsp->timeouts.picture_ms / 1000);
    }
}

/* ---- pictures ---- */

void rtsp_source_on_unit(void *arg, AVPacket *packet, int64_t wall_ns)
{
    struct rtsp_source *rtsp = arg;

    if (rtsp->ended)
        return;
    if (!rtsp->streaming) {
        rtsp->streaming = true;
        if (rtsp->step == STEP_PLAYING)
            uv_timer_stop(&rtsp->deadline);
        rtsp->events.stream(rtsp->events.arg, rtsp_media_parameters(rtsp->media),
                            (AVRational){1, (int)rtsp->video.clock_hz},
                            rtsp->video.fps > 0 ? av_d2q(rtsp->video.fps, 1001)
                                                : (AVRational){0, 1});
    }
    if (!rtsp->ended)
        rtsp->events.packet(rtsp->events.arg, packet, wall_ns);
}

void rtsp_source_on_media_failed(void *arg, int code)
{
    struct rtsp_source *rtsp = arg;

    if (code == ERR_CLOSED)
        rtsp_source_end(rtsp, SOURCE_END_CLOSED, "the camera ended the stream");
    else
        rtsp_source_end(rtsp, SOURCE_END_ERROR, "the video could not be read: %s", err_text(code));
}

static void send_report(struct rtsp_source *rtsp, int64_t now_ns)
{
    uint8_t frame[RTSP_REPORT_BYTES];
    size_t  bytes = rtsp_media_report(rtsp->media, now_ns, frame);

    if (bytes > 0 && rtsp_link_send(rtsp->link, frame, bytes) != 0)
        rtsp_source_end(rtsp, SOURCE_END_ERROR, "the camera does not take what it is sent");
}

static int64_t heard_ns(const struct rtsp_source *rtsp)
{
    int64_t heard = rtsp_media_heard_ns(rtsp->media);

    return heard > rtsp->playing_ns ? heard : rtsp->playing_ns;
}

void rtsp_source_on_tick(uv_timer_t *timer)
{
    struct rtsp_source *rtsp   = timer->data;
    int64_t             now_ns = clock_monotonic_ns();

    if (now_ns - heard_ns(rtsp) > rtsp->timeouts.silence_ms * NS_PER_MS) {
        rtsp_source_end(rtsp, SOURCE_END_TIMEOUT, "the camera sent nothing for %u s",
                        rtsp->timeouts.silence_ms / 1000);
        return;
    }
    send_report(rtsp, now_ns);
    /* Timers are not exact: a tick that comes a little early is not put off to the next. */
    if (rtsp->ended || now_ns - rtsp->kept_alive_ns + 100 * NS_PER_MS <
                           rtsp_session_keep_alive_ms(rtsp) * NS_PER_MS)
        return;
    rtsp->kept_alive_ns = now_ns;
    rtsp->auth_retried  = false;
    rtsp_session_request(rtsp);
}

/* ---- the connection ---- */

static void on_connected(void *arg)
{
    rtsp_session_go(arg, STEP_OPTIONS);
}

static uint8_t *on_room(void *arg, size_t *bytes)
{
    struct rtsp_source *rtsp = arg;

    return rtsp_parser_room(&rtsp->parser, bytes);
}

static void on_received(void *arg, size_t bytes)
{
    struct rtsp_source *rtsp = arg;
    struct rtsp_message message;
    struct why          why  = {""};
    struct rtsp_link   *link = rtsp->link;
    int                 rc   = 0;

    rtsp->now = (struct rtsp_moment){clock_monotonic_ns(), clock_wall_ns()};
    rtsp_parser_added(&rtsp->parser, bytes);
    /* Another link: it was started over, and what this one sent is of no interest any more. */
    while (!rtsp->ended && rtsp->link == link &&
           (rc = rtsp_parser_next(&rtsp->parser, &message, &why)) > 0) {
        if (message.kind == RTSP_FRAME && rtsp->media != NULL)
            rtsp_media_frame(rtsp->media, &message, rtsp->now);
        else if (message.kind == RTSP_FRAME)
            continue;
        else if (message.kind == RTSP_RESPONSE)
            rtsp_session_response(rtsp, &message);
        else
            rtsp_session_asked(rtsp, &message);
    }
    if (rc < 0)
        rtsp_source_end(rtsp, SOURCE_END_ERROR, "%s", why.text);
}

static void on_failed(void *arg, int code, const char *reason)
{
    struct rtsp_source *rtsp = arg;
    enum source_end     how  = SOURCE_END_ERROR;

    if (code == ERR_CLOSED)
        how = SOURCE_END_CLOSED;
    else if (code == ERR_DENIED)
        how = SOURCE_END_REFUSED;
    else if (rtsp->step == STEP_CONNECT &&
             (code == ERR_IO || code == ERR_NOT_FOUND || code == ERR_TIMEOUT))
        how = SOURCE_END_UNREACHABLE;
    rtsp->in_session = false;
    if (rtsp->method != NULL && rtsp->step != STEP_PLAYING)
        rtsp_source_end(rtsp, how, "%s (during %s)", reason, rtsp->method);
    else
        rtsp_source_end(rtsp, how, "%s", reason);
}

static int open_link(struct rtsp_source *rtsp, struct why *why)
{
    const struct rtsp_link_settings settings = {
        .host       = rtsp->url.host,
        .port       = rtsp->url.port,
        .reach      = rtsp->reach,
        .tls        = camera_url_is_tls(&rtsp->url),
        .trust      = {.unverified = rtsp->tls_unverified, .fingerprint = rtsp->tls_fingerprint},
        .resolve_ms = rtsp->timeouts.resolve_ms,
        .connect_ms = rtsp->timeouts.connect_ms,
    };
    const struct rtsp_link_events events = {
        .arg       = rtsp,
        .progress  = rtsp_source_progress,
        .connected = on_connected,
        .room      = on_room,
        .received  = on_received,
        .failed    = on_failed,
    };

    return rtsp_link_open(&rtsp->link, rtsp->loop, &settings, &events, why);
}

int source_rtsp_open(struct source **out, uv_loop_t *loop, const struct settings_camera *settings,
                     const struct source_events *events, const struct rtsp_timeouts *timeouts,
                     struct why *why)
{
    struct rtsp_source *rtsp = calloc(1, sizeof *rtsp);
    int                 rc;

    *out = NULL;
    if (rtsp == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    rtsp->base.ops       = &source_rtsp;
    rtsp->events         = *events;
    rtsp->timeouts       = *timeouts;
    rtsp->loop           = loop;
    rtsp->reach          = camera_url_settings_reach(settings);
    rtsp->transport      = settings->transport;
    rtsp->tls_unverified = settings->tls_unverified;
    memcpy(rtsp->tls_fingerprint, settings->tls_fingerprint, sizeof rtsp->tls_fingerprint);
    if ((rc = camera_url_parse(&rtsp->url, settings->url, why)) != 0)
        goto fail;
    if (rtsp->url.scheme != CAMERA_URL_RTSP && rtsp->url.scheme != CAMERA_URL_RTSPS) {
        rc = why_set(why, ERR_UNSUPPORTED, "not an RTSP address");
        goto fail;
    }
    camera_url_format(&rtsp->url, rtsp->request_url);
    if (settings->user[0] != '\0' || settings->password.value[0] != '\0') {
        memcpy(rtsp->url.user, settings->user, sizeof rtsp->url.user);
        rtsp->url.password = settings->password;
    }
    if ((rc = rtsp_parser_init(&rtsp->parser)) != 0) {
        why_set(why, rc, "out of memory");
        goto fail;
    }
    if ((rc = open_link(rtsp, why)) != 0)
        goto fail;
    uv_timer_init(loop, &rtsp->deadline);
    uv_timer_init(loop, &rtsp->tick);
    rtsp->deadline.data = rtsp->tick.data = rtsp;
    rtsp->timers_open                     = 2;
    *out                                  = &rtsp->base;
    return 0;

fail:
    rtsp_parser_fini(&rtsp->parser);
    OPENSSL_cleanse(rtsp, sizeof *rtsp);
    free(rtsp);
    return rc;
}

static int open_with_defaults(struct source **out, uv_loop_t *loop,
                              const struct settings_camera *settings,
                              const struct source_events *events, struct why *why)
{
    return source_rtsp_open(out, loop, settings, events, &rtsp_timeouts_default, why);
}

static void close_source(struct source **source)
{
    struct rtsp_source *rtsp = (struct rtsp_source *)*source;

    if (rtsp == NULL)
        return;
    *source     = NULL;
    rtsp->ended = true;
    hang_up(rtsp);
    uv_close((uv_handle_t *)&rtsp->deadline, on_timer_closed);
    uv_close((uv_handle_t *)&rtsp->tick, on_timer_closed);
}

static void read_counters(const struct source *source, struct source_counters *counters)
{
    const struct rtsp_source *rtsp = (const struct rtsp_source *)source;

    memset(counters, 0, sizeof *counters);
    if (rtsp->media != NULL)
        rtsp_media_counters(rtsp->media, counters);
}

const struct source_ops source_rtsp = {
    .name     = "rtsp",
    .open     = open_with_defaults,
    .close    = close_source,
    .counters = read_counters,
};
