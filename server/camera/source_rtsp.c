/* server/camera/source_rtsp.c: a camera that speaks RTSP 1.0 (RFC 2326), its video over the same connection.
 *
 *   connect -> OPTIONS -> DESCRIBE -> SETUP (the video alone) -> PLAY -> playing
 *
 * One request is under way at a time, each has a time limit, and a 401 is answered once. While it plays, a tick sends
 * the receiver report, keeps the session alive, and notices silence. TEARDOWN goes out at the end, best effort.
 * The only text that leaves here about a failure is end()'s, without credentials. */
#include "server/camera/source.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/camera_url.h"
#include "server/camera/rtsp_auth.h"
#include "server/camera/rtsp_demux.h"
#include "server/camera/rtsp_link.h"
#include "server/camera/rtsp_message.h"
#include "server/camera/rtsp_reply.h"
#include "server/camera/rtsp_request.h"
#include "server/camera/rtsp_timeouts.h"
#include "server/camera/sdp.h"

#define KEEP_ALIVE_S_MAX    30 /* routers between forget a connection that is quiet for longer */
#define STRAY_RESPONSES_MAX 16

enum step { STEP_CONNECT, STEP_OPTIONS, STEP_DESCRIBE, STEP_SETUP, STEP_PLAY, STEP_PLAYING };

struct rtsp_source {
    struct source        base;
    struct source_events events;
    struct rtsp_timeouts timeouts;
    struct camera_url    url; /* with user and password */
    char                 request_url[LIMIT_URL_BYTES];
    char                 setup_url[RTSP_URL_BYTES], play_url[RTSP_URL_BYTES];
    struct rtsp_link    *link;
    struct rtsp_parser   parser;
    uv_timer_t           deadline, tick;
    int                  timers_open;
    bool                 ended; /* told, or closed: no more events */
    enum step            step;
    const char          *method; /* of the request under way; NULL: none */
    unsigned             sequence;
    unsigned             strays;
    struct rtsp_auth     auth;
    bool                 auth_sent;     /* the request under way had an Authorization */
    bool                 auth_retried;  /* and it was sent twice */
    bool                 auth_accepted; /* some request of this connection was */
    bool                 get_parameter; /* the camera knows GET_PARAMETER */
    struct rtsp_setup    setup;
    bool                 in_session;
    struct sdp_video     video;
    struct rtsp_demux   *demux;
    struct rtsp_moment   now;       /* of the bytes in hand */
    bool                 streaming; /* stream() was told */
    int64_t              heard_ns, kept_alive_ns;
};

/* ---- the end ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct rtsp_source *rtsp = handle->data;

    if (--rtsp->timers_open > 0)
        return;
    rtsp_demux_close(&rtsp->demux);
    rtsp_parser_fini(&rtsp->parser);
    OPENSSL_cleanse(rtsp, sizeof *rtsp);
    free(rtsp);
}

static int send_request(struct rtsp_source *rtsp, const char *method, const char *url,
                        const char *headers)
{
    const struct rtsp_request request = {method, url, ++rtsp->sequence, rtsp->setup.session,
                                         headers};
    char                      text[RTSP_REQUEST_BYTES];
    int                       rc = rtsp_request_write(&request, &rtsp->auth, &rtsp->url, text);

    rtsp->method    = method;
    rtsp->auth_sent = rtsp->auth.scheme != RTSP_AUTH_NONE;
    if (rc > 0)
        rc = rtsp_link_send(rtsp->link, text, (size_t)rc);
    OPENSSL_cleanse(text, sizeof text);
    return rc;
}

static void hang_up(struct rtsp_source *rtsp)
{
    unsigned linger_ms = 0;

    uv_timer_stop(&rtsp->deadline);
    uv_timer_stop(&rtsp->tick);
    if (rtsp->link != NULL && rtsp->in_session &&
        send_request(rtsp, "TEARDOWN", rtsp->play_url, "") == 0)
        linger_ms = rtsp->timeouts.linger_ms;
    rtsp->in_session = false;
    rtsp_link_close(&rtsp->link, linger_ms);
}

__attribute__((format(printf, 3, 4))) static void end(struct rtsp_source *rtsp, enum source_end how,
                                                      const char *format, ...)
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

static void progress(void *arg, const char *step)
{
    struct rtsp_source *rtsp = arg;

    if (!rtsp->ended)
        rtsp->events.progress(rtsp->events.arg, step);
}

/* ---- requests ---- */

static void on_deadline(uv_timer_t *timer)
{
    struct rtsp_source *rtsp = timer->data;

    if (rtsp->step == STEP_PLAYING)
        end(rtsp, SOURCE_END_ERROR, "the camera sent no picture within %u s of PLAY",
            rtsp->timeouts.picture_ms / 1000);
    else
        end(rtsp, SOURCE_END_ERROR, "the camera did not answer %s within %u s",
            rtsp->method != NULL ? rtsp->method : "", rtsp->timeouts.response_ms / 1000);
}

/* What the request of a step looks like. */
static int send_step(struct rtsp_source *rtsp)
{
    switch (rtsp->step) {
    case STEP_OPTIONS:
        return send_request(rtsp, "OPTIONS", rtsp->request_url, "");
    case STEP_DESCRIBE:
        return send_request(rtsp, "DESCRIBE", rtsp->request_url, "Accept: application/sdp\r\n");
    case STEP_SETUP:
        return send_request(rtsp, "SETUP", rtsp->setup_url,
                            "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n");
    case STEP_PLAY:
        return send_request(rtsp, "PLAY", rtsp->play_url, "Range: npt=0.000-\r\n");
    case STEP_CONNECT:
    case STEP_PLAYING:
        break;
    }
    return send_request(rtsp, rtsp->get_parameter ? "GET_PARAMETER" : "OPTIONS", rtsp->play_url,
                        "");
}

static void request_or_end(struct rtsp_source *rtsp)
{
    int rc = send_step(rtsp);

    if (rc != 0)
        end(rtsp, SOURCE_END_ERROR, "%s could not be sent to the camera: %s", rtsp->method,
            err_text(rc));
    else if (rtsp->step != STEP_PLAYING)
        uv_timer_start(&rtsp->deadline, on_deadline, rtsp->timeouts.response_ms, 0);
}

static void go(struct rtsp_source *rtsp, enum step step)
{
    rtsp->step         = step;
    rtsp->auth_retried = false;
    request_or_end(rtsp);
    if (!rtsp->ended)
        progress(rtsp, rtsp->method);
}

/* ---- replies ---- */

static void end_by_redirect(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    const struct rtsp_text *header                    = rtsp_header(reply, "Location", 0);
    char                    location[LIMIT_URL_BYTES] = "an address that it does not say";

    if (header != NULL)
        rtsp_text_copy(*header, location, sizeof location);
    end(rtsp, SOURCE_END_REFUSED,
        "the camera redirects (%d); it is not followed: set its url to %s", reply->status,
        location);
}

static void end_by_status(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    bool        lasting;
    const char *meaning = rtsp_reply_meaning(reply->status, &lasting);
    char        phrase[64];

    rtsp_text_copy(reply->reason, phrase, sizeof phrase);
    if (reply->status >= 300 && reply->status < 400)
        end_by_redirect(rtsp, reply);
    else if (meaning != NULL)
        end(rtsp, lasting ? SOURCE_END_REFUSED : SOURCE_END_ERROR, "%s (%s: %d)", meaning,
            rtsp->method, reply->status);
    else
        end(rtsp, SOURCE_END_ERROR, "the camera refuses %s: %d %s", rtsp->method, reply->status,
            phrase);
}

/* Answers a 401 once. A second time only when the camera says that its nonce was old, or has taken our
 * password on this connection before. */
static void on_unauthorized(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    struct rtsp_auth fresh;
    struct why       why = {"the camera refuses the user name or the password"};
    int              rc  = rtsp_auth_read(&fresh, reply, &why);

    if (rc == 0 && rtsp->auth_sent &&
        (rtsp->auth_retried || strcmp(rtsp->auth.nonce, fresh.nonce) == 0 ||
         !(fresh.stale || rtsp->auth_accepted)))
        rc = ERR_DENIED;
    if (rtsp->url.user[0] == '\0' && rtsp->url.password.value[0] == '\0')
        rc = why_set(&why, ERR_DENIED, "the camera asks for a user name and a password");
    if (rc == 0) {
        rtsp->auth_retried = rtsp->auth_sent;
        rtsp->auth         = fresh;
        request_or_end(rtsp);
    } else if (rtsp->step == STEP_PLAYING) {
        /* The pictures still come: a camera that refuses keep-alives alone goes on as long as it will. */
        rtsp->method = NULL;
    } else {
        end(rtsp, SOURCE_END_REFUSED, "%s", why.text);
    }
}

static void on_described(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    struct why why = {""};
    int        rc  = sdp_read(&rtsp->video, (const char *)reply->body, reply->body_bytes, &why);

    if (rc == 0)
        rc = rtsp_reply_addresses(reply, &rtsp->video, rtsp->request_url, rtsp->setup_url,
                                  rtsp->play_url, &why);
    if (rc != 0)
        end(rtsp, SOURCE_END_ERROR, "%s", why.text);
    else
        go(rtsp, STEP_SETUP);
}

static void on_unit(void *arg, AVPacket *packet, int64_t wall_ns);

static void on_set_up(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    struct why why = {""};
    int        rc  = rtsp_reply_setup(reply, &rtsp->setup, &why);

    rtsp->in_session = true;
    if (rc == 0)
        rc = rtsp_demux_open(&rtsp->demux, &rtsp->video, on_unit, rtsp, &why);
    if (rc != 0)
        end(rtsp, rc == ERR_UNSUPPORTED ? SOURCE_END_REFUSED : SOURCE_END_ERROR, "%s", why.text);
    else
        go(rtsp, STEP_PLAY);
}

static void on_tick(uv_timer_t *timer);

static unsigned keep_alive_ms(const struct rtsp_source *rtsp)
{
    unsigned half_ms = rtsp->setup.timeout_s * 1000 / 2;

    return half_ms < KEEP_ALIVE_S_MAX * 1000 ? half_ms : KEEP_ALIVE_S_MAX * 1000;
}

static void on_playing(struct rtsp_source *rtsp)
{
    unsigned tick_ms = keep_alive_ms(rtsp);

    if (tick_ms > rtsp->timeouts.tick_ms)
        tick_ms = rtsp->timeouts.tick_ms;
    rtsp->step     = STEP_PLAYING;
    rtsp->method   = NULL;
    rtsp->heard_ns = rtsp->kept_alive_ns = rtsp->now.monotonic_ns;
    uv_timer_stop(&rtsp->deadline);
    uv_timer_start(&rtsp->tick, on_tick, tick_ms, tick_ms);
    if (!rtsp->streaming) {
        uv_timer_start(&rtsp->deadline, on_deadline, rtsp->timeouts.picture_ms, 0);
        progress(rtsp, "waiting for the first picture");
    }
}

/* The reply to a keep-alive. A camera that does not know the request is still alive. */
static void on_kept_alive(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    if (reply->status == 454) {
        end_by_status(rtsp, reply);
        return;
    }
    if (reply->status >= 300)
        rtsp->get_parameter = false;
    rtsp->method = NULL;
}

static void on_step_reply(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    bool good = reply->status >= 200 && reply->status < 300;

    if (rtsp->step == STEP_PLAYING) {
        on_kept_alive(rtsp, reply);
    } else if (rtsp->step == STEP_OPTIONS) {
        /* A camera without OPTIONS goes on without. */
        rtsp->get_parameter = good && rtsp_reply_allows(reply, "GET_PARAMETER");
        if (reply->status >= 300 && reply->status < 400)
            end_by_redirect(rtsp, reply);
        else
            go(rtsp, STEP_DESCRIBE);
    } else if (!good) {
        end_by_status(rtsp, reply);
    } else if (rtsp->step == STEP_DESCRIBE) {
        on_described(rtsp, reply);
    } else if (rtsp->step == STEP_SETUP) {
        on_set_up(rtsp, reply);
    } else if (rtsp->step == STEP_PLAY) {
        on_playing(rtsp);
    }
}

static void on_response(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    const struct rtsp_text *sequence = rtsp_header(reply, "CSeq", 0);

    if (reply->status < 200)
        return;
    if (rtsp->method == NULL ||
        (sequence != NULL && rtsp_text_number(*sequence, UINT32_MAX) != rtsp->sequence)) {
        if (++rtsp->strays > STRAY_RESPONSES_MAX)
            end(rtsp, SOURCE_END_ERROR, "the camera answers what was not asked");
        return;
    }
    if (reply->status == 401) {
        on_unauthorized(rtsp, reply);
        return;
    }
    rtsp->strays = 0;
    rtsp->auth_accepted |= rtsp->auth_sent;
    on_step_reply(rtsp, reply);
}

/* A camera may ask, too: whatever it is, it hears that it was understood. */
static void on_request(struct rtsp_source *rtsp, const struct rtsp_message *request)
{
    const struct rtsp_text *header   = rtsp_header(request, "CSeq", 0);
    int64_t                 sequence = header != NULL ? rtsp_text_number(*header, UINT32_MAX) : -1;
    char                    reply[128];
    int                     length;

    if (rtsp_text_is(request->method, "REDIRECT")) {
        end_by_redirect(rtsp, request);
        return;
    }
    if (rtsp_text_is(request->method, "TEARDOWN")) {
        end(rtsp, SOURCE_END_CLOSED, "the camera ended the stream");
        return;
    }
    length = snprintf(reply, sizeof reply, "RTSP/1.0 200 OK\r\nCSeq: %lld\r\n\r\n",
                      (long long)(sequence < 0 ? 0 : sequence));
    if (rtsp_link_send(rtsp->link, reply, (size_t)length) != 0)
        end(rtsp, SOURCE_END_ERROR, "the camera asks without taking answers");
}

/* ---- pictures ---- */

static void on_unit(void *arg, AVPacket *packet, int64_t wall_ns)
{
    struct rtsp_source *rtsp = arg;

    if (rtsp->ended)
        return;
    if (!rtsp->streaming) {
        rtsp->streaming = true;
        if (rtsp->step == STEP_PLAYING)
            uv_timer_stop(&rtsp->deadline);
        rtsp->events.stream(rtsp->events.arg, rtsp_demux_parameters(rtsp->demux),
                            (AVRational){1, (int)rtsp->video.clock_hz},
                            rtsp->video.fps > 0 ? av_d2q(rtsp->video.fps, 1001)
                                                : (AVRational){0, 1});
    }
    if (!rtsp->ended)
        rtsp->events.packet(rtsp->events.arg, packet, wall_ns);
}

static void on_frame(struct rtsp_source *rtsp, const struct rtsp_message *frame)
{
    int rc;

    if (rtsp->demux == NULL)
        return;
    if (frame->channel == rtsp->setup.rtp_channel)
        rc = rtsp_demux_rtp(rtsp->demux, frame->body, frame->body_bytes, rtsp->now);
    else if (frame->channel == rtsp->setup.rtcp_channel)
        rc = rtsp_demux_rtcp(rtsp->demux, frame->body, frame->body_bytes, rtsp->now);
    else
        return;
    rtsp->heard_ns = rtsp->now.monotonic_ns;
    if (rc == ERR_CLOSED)
        end(rtsp, SOURCE_END_CLOSED, "the camera ended the stream");
    else if (rc != 0)
        end(rtsp, SOURCE_END_ERROR, "the video could not be read: %s", err_text(rc));
}

static void send_report(struct rtsp_source *rtsp, int64_t now_ns)
{
    uint8_t frame[4 + RTCP_REPORT_BYTES] = {'$', rtsp->setup.rtcp_channel};
    size_t  bytes                        = rtsp_demux_report(rtsp->demux, now_ns, frame + 4);

    frame[3] = (uint8_t)bytes;
    if (bytes > 0 && rtsp_link_send(rtsp->link, frame, 4 + bytes) != 0)
        end(rtsp, SOURCE_END_ERROR, "the camera does not take what it is sent");
}

static void on_tick(uv_timer_t *timer)
{
    struct rtsp_source *rtsp   = timer->data;
    int64_t             now_ns = clock_monotonic_ns();

    if (now_ns - rtsp->heard_ns > rtsp->timeouts.silence_ms * NS_PER_MS) {
        end(rtsp, SOURCE_END_ERROR, "the camera sent nothing for %u s",
            rtsp->timeouts.silence_ms / 1000);
        return;
    }
    send_report(rtsp, now_ns);
    /* Timers are not exact: a tick that comes a little early is not put off to the next. */
    if (rtsp->ended ||
        now_ns - rtsp->kept_alive_ns + 100 * NS_PER_MS < keep_alive_ms(rtsp) * NS_PER_MS)
        return;
    rtsp->kept_alive_ns = now_ns;
    rtsp->auth_retried  = false;
    request_or_end(rtsp);
}

/* ---- the connection ---- */

static void on_connected(void *arg)
{
    go(arg, STEP_OPTIONS);
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
    struct why          why = {""};
    int                 rc  = 0;

    rtsp->now = (struct rtsp_moment){clock_monotonic_ns(), clock_wall_ns()};
    rtsp_parser_added(&rtsp->parser, bytes);
    while (!rtsp->ended && (rc = rtsp_parser_next(&rtsp->parser, &message, &why)) > 0) {
        if (message.kind == RTSP_FRAME)
            on_frame(rtsp, &message);
        else if (message.kind == RTSP_RESPONSE)
            on_response(rtsp, &message);
        else
            on_request(rtsp, &message);
    }
    if (rc < 0)
        end(rtsp, SOURCE_END_ERROR, "%s", why.text);
}

static void on_failed(void *arg, int code, const char *reason)
{
    struct rtsp_source *rtsp = arg;
    enum source_end     how  = code == ERR_CLOSED ? SOURCE_END_CLOSED : SOURCE_END_ERROR;

    if (code == ERR_DENIED)
        how = SOURCE_END_REFUSED;
    rtsp->in_session = false;
    if (rtsp->method != NULL && rtsp->step != STEP_PLAYING)
        end(rtsp, how, "%s (during %s)", reason, rtsp->method);
    else
        end(rtsp, how, "%s", reason);
}

static int open_link(struct rtsp_source *rtsp, uv_loop_t *loop, struct why *why)
{
    const struct rtsp_link_settings settings = {
        .host = rtsp->url.host,
        .port = rtsp->url.port,
        /* The operator's own file names the camera: it may be anywhere. */
        .reach      = CAMERA_URL_ANYWHERE,
        .resolve_ms = rtsp->timeouts.resolve_ms,
        .connect_ms = rtsp->timeouts.connect_ms,
    };
    const struct rtsp_link_events events = {
        .arg       = rtsp,
        .progress  = progress,
        .connected = on_connected,
        .room      = on_room,
        .received  = on_received,
        .failed    = on_failed,
    };

    return rtsp_link_open(&rtsp->link, loop, &settings, &events, why);
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
    rtsp->base.ops = &source_rtsp;
    rtsp->events   = *events;
    rtsp->timeouts = *timeouts;
    if ((rc = camera_url_parse(&rtsp->url, settings->url, why)) != 0)
        goto fail;
    camera_url_format(&rtsp->url, rtsp->request_url);
    if (settings->user[0] != '\0' || settings->password.value[0] != '\0') {
        memcpy(rtsp->url.user, settings->user, sizeof rtsp->url.user);
        rtsp->url.password = settings->password;
    }
    if ((rc = rtsp_parser_init(&rtsp->parser)) != 0) {
        why_set(why, rc, "out of memory");
        goto fail;
    }
    if ((rc = open_link(rtsp, loop, why)) != 0)
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
    const struct rtsp_source  *rtsp = (const struct rtsp_source *)source;
    struct rtsp_demux_counters demux;

    memset(counters, 0, sizeof *counters);
    if (rtsp->demux == NULL)
        return;
    rtsp_demux_counters(rtsp->demux, &demux);
    *counters = (struct source_counters){demux.bytes, demux.packets, demux.lost, demux.jitter_ms};
}

const struct source_ops source_rtsp = {
    .name     = "rtsp",
    .open     = open_with_defaults,
    .close    = close_source,
    .counters = read_counters,
};
