#include "server/camera/rtsp_session.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "config/err.h"
#include "server/camera/rtsp_request.h"

#define KEEP_ALIVE_S_MAX    30 /* routers between forget a connection that is quiet for longer */
#define STRAY_RESPONSES_MAX 16

/* ---- requests ---- */

int rtsp_session_send(struct rtsp_source *rtsp, const char *method, const char *url,
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

/* What the request of a step looks like. */
static int send_step(struct rtsp_source *rtsp)
{
    char transport[RTSP_TRANSPORT_BYTES];

    switch (rtsp->step) {
    case STEP_OPTIONS:
        return rtsp_session_send(rtsp, "OPTIONS", rtsp->request_url, "");
    case STEP_DESCRIBE:
        return rtsp_session_send(rtsp, "DESCRIBE", rtsp->request_url,
                                 "Accept: application/sdp\r\n");
    case STEP_SETUP:
        rtsp_media_transport(rtsp->media, transport);
        return rtsp_session_send(rtsp, "SETUP", rtsp->setup_url, transport);
    case STEP_PLAY:
        return rtsp_session_send(rtsp, "PLAY", rtsp->play_url, "Range: npt=0.000-\r\n");
    case STEP_CONNECT:
    case STEP_PLAYING:
        break;
    }
    return rtsp_session_send(rtsp, rtsp->get_parameter ? "GET_PARAMETER" : "OPTIONS",
                             rtsp->play_url, "");
}

void rtsp_session_request(struct rtsp_source *rtsp)
{
    int rc = send_step(rtsp);

    if (rc != 0)
        rtsp_source_end(rtsp, SOURCE_END_ERROR, "%s could not be sent to the camera: %s",
                        rtsp->method, err_text(rc));
    else if (rtsp->step != STEP_PLAYING)
        uv_timer_start(&rtsp->deadline, rtsp_source_on_deadline, rtsp->timeouts.response_ms, 0);
}

void rtsp_session_go(struct rtsp_source *rtsp, enum step step)
{
    rtsp->step         = step;
    rtsp->auth_retried = false;
    rtsp_session_request(rtsp);
    if (!rtsp->ended)
        rtsp_source_progress(rtsp, rtsp->method);
}

/* ---- replies ---- */

static void redirect(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    const struct rtsp_text *header                    = rtsp_header(reply, "Location", 0);
    char                    location[LIMIT_URL_BYTES] = "";
    struct why              why                       = {""};
    int                     kind                      = 0;
    struct sockaddr_storage own, peer;

    if (header != NULL && header->bytes < sizeof location)
        rtsp_text_copy(*header, location, sizeof location);
    if (++rtsp->redirects > CAMERA_URL_REDIRECTS) {
        rtsp_source_end(rtsp, SOURCE_END_REFUSED, "the camera redirects more than %d times",
                        CAMERA_URL_REDIRECTS);
        return;
    }
    if (rtsp_link_ends(rtsp->link, &own, &peer) == 0)
        kind = camera_url_reach((struct sockaddr *)&peer, NULL);
    if (camera_url_redirect(&rtsp->url, location, &why) != 0) {
        rtsp_source_end(rtsp, SOURCE_END_REFUSED, "%s; it is not followed", why.text);
        return;
    }
    rtsp->reach = camera_url_redirect_reach(rtsp->reach, kind > 0 ? (unsigned)kind : 0);
    rtsp_source_progress(rtsp, "following a redirect");
    if (!rtsp->ended)
        rtsp_source_start_over(rtsp);
}

static void end_by_status(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    bool        lasting;
    const char *meaning = rtsp_reply_meaning(reply->status, &lasting);
    char        phrase[64];

    rtsp_text_copy(reply->reason, phrase, sizeof phrase);
    if (reply->status >= 300 && reply->status < 400)
        redirect(rtsp, reply);
    else if (meaning != NULL)
        rtsp_source_end(rtsp, lasting ? SOURCE_END_REFUSED : SOURCE_END_ERROR, "%s (%s: %d)",
                        meaning, rtsp->method, reply->status);
    else
        rtsp_source_end(rtsp, SOURCE_END_ERROR, "the camera refuses %s: %d %s", rtsp->method,
                        reply->status, phrase);
}

/* Answers a 401 once. A second time only when the camera says that its nonce was old, or has taken our
 * password on this connection before. */
static void on_unauthorized(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    struct rtsp_auth fresh;
    struct why       why = {"the camera refuses the user name or the password (401)"};
    int              rc  = rtsp_auth_read(&fresh, reply, &why);

    if (rc == 0 && rtsp->auth_sent &&
        (rtsp->auth_retried || strcmp(rtsp->auth.nonce, fresh.nonce) == 0 ||
         !(fresh.stale || rtsp->auth_accepted)))
        rc = ERR_DENIED;
    if (rtsp->url.user[0] == '\0' && rtsp->url.password.value[0] == '\0')
        rc = why_set(&why, ERR_DENIED, "the camera asks for a user name and a password (401)");
    if (rc == 0) {
        rtsp->auth_retried = rtsp->auth_sent;
        rtsp->auth         = fresh;
        rtsp_session_request(rtsp);
    } else if (rtsp->step == STEP_PLAYING) {
        /* The pictures still come: a camera that refuses keep-alives alone goes on as long as it will. */
        rtsp->method = NULL;
    } else {
        rtsp_source_end(rtsp, SOURCE_END_REFUSED, "%s", why.text);
    }
}

static bool use_udp(struct rtsp_source *rtsp)
{
    struct sockaddr_storage own, peer;

    return rtsp_link_ends(rtsp->link, &own, &peer) == 0 &&
           rtsp_media_use_udp(rtsp->media, rtsp->loop, &own, &peer, NULL) == 0;
}

static int open_media(struct rtsp_source *rtsp, struct why *why)
{
    const struct rtsp_media_events events = {rtsp, rtsp_source_on_unit,
                                             rtsp_source_on_media_failed};
    int                            rc = rtsp_media_open(&rtsp->media, &rtsp->video, &events, why);

    if (rc == 0 && rtsp->transport == TRANSPORT_UDP && !rtsp->udp_useless && !use_udp(rtsp))
        rtsp->udp_useless = true;
    return rc;
}

static void on_described(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    struct why why = {""};
    int        rc  = sdp_read(&rtsp->video, (const char *)reply->body, reply->body_bytes, &why);

    if (rc == 0)
        rc = rtsp_reply_addresses(reply, &rtsp->video, rtsp->request_url, rtsp->setup_url,
                                  rtsp->play_url, &why);
    if (rc == 0)
        rc = open_media(rtsp, &why);
    if (rc != 0)
        rtsp_source_end(rtsp, rc == ERR_UNSUPPORTED ? SOURCE_END_REFUSED : SOURCE_END_ERROR, "%s",
                        why.text);
    else
        rtsp_session_go(rtsp, STEP_SETUP);
}

/* The other transport, once each: 461 is the camera's word, silence over UDP the network's. */
static bool changes_transport(struct rtsp_source *rtsp)
{
    if (rtsp_media_is_udp(rtsp->media)) {
        rtsp->udp_useless = true;
        rtsp_media_use_tcp(rtsp->media);
        return !rtsp->tcp_refused;
    }
    rtsp->tcp_refused = true;
    return rtsp->transport != TRANSPORT_TCP && !rtsp->udp_useless && use_udp(rtsp);
}

static void on_set_up(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    struct why why = {""};
    int        rc  = rtsp_reply_setup(reply, rtsp_media_is_udp(rtsp->media), &rtsp->setup, &why);

    rtsp->in_session = true;
    rtsp_media_set_up(rtsp->media, &rtsp->setup);
    if (rc != 0)
        rtsp_source_end(rtsp, rc == ERR_UNSUPPORTED ? SOURCE_END_REFUSED : SOURCE_END_ERROR, "%s",
                        why.text);
    else
        rtsp_session_go(rtsp, STEP_PLAY);
}

unsigned rtsp_session_keep_alive_ms(const struct rtsp_source *rtsp)
{
    unsigned half_ms = rtsp->setup.timeout_s * 1000 / 2;

    return half_ms < KEEP_ALIVE_S_MAX * 1000 ? half_ms : KEEP_ALIVE_S_MAX * 1000;
}

static void on_playing(struct rtsp_source *rtsp)
{
    unsigned tick_ms = rtsp_session_keep_alive_ms(rtsp);

    if (tick_ms > rtsp->timeouts.tick_ms)
        tick_ms = rtsp->timeouts.tick_ms;
    rtsp->step       = STEP_PLAYING;
    rtsp->method     = NULL;
    rtsp->playing_ns = rtsp->kept_alive_ns = rtsp->now.monotonic_ns;
    rtsp_media_play(rtsp->media);
    uv_timer_stop(&rtsp->deadline);
    uv_timer_start(&rtsp->tick, rtsp_source_on_tick, tick_ms, tick_ms);
    if (!rtsp->streaming) {
        uv_timer_start(
            &rtsp->deadline, rtsp_source_on_deadline,
            rtsp_media_is_udp(rtsp->media) ? rtsp->timeouts.udp_ms : rtsp->timeouts.picture_ms, 0);
        rtsp_source_progress(rtsp, "waiting for the first picture");
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
            redirect(rtsp, reply);
        else
            rtsp_session_go(rtsp, STEP_DESCRIBE);
    } else if (reply->status == 461 && rtsp->step == STEP_SETUP && changes_transport(rtsp)) {
        rtsp_session_request(rtsp);
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

void rtsp_session_response(struct rtsp_source *rtsp, const struct rtsp_message *reply)
{
    const struct rtsp_text *sequence = rtsp_header(reply, "CSeq", 0);

    if (reply->status < 200)
        return;
    if (rtsp->method == NULL ||
        (sequence != NULL && rtsp_text_number(*sequence, UINT32_MAX) != rtsp->sequence)) {
        if (++rtsp->strays > STRAY_RESPONSES_MAX)
            rtsp_source_end(rtsp, SOURCE_END_ERROR, "the camera answers what was not asked");
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
void rtsp_session_asked(struct rtsp_source *rtsp, const struct rtsp_message *request)
{
    const struct rtsp_text *header   = rtsp_header(request, "CSeq", 0);
    int64_t                 sequence = header != NULL ? rtsp_text_number(*header, UINT32_MAX) : -1;
    char                    reply[128];
    int                     length;

    if (rtsp_text_is(request->method, "REDIRECT")) {
        redirect(rtsp, request);
        return;
    }
    if (rtsp_text_is(request->method, "TEARDOWN")) {
        rtsp_source_end(rtsp, SOURCE_END_CLOSED, "the camera ended the stream");
        return;
    }
    length = snprintf(reply, sizeof reply, "RTSP/1.0 200 OK\r\nCSeq: %lld\r\n\r\n",
                      (long long)(sequence < 0 ? 0 : sequence));
    if (rtsp_link_send(rtsp->link, reply, (size_t)length) != 0)
        rtsp_source_end(rtsp, SOURCE_END_ERROR, "the camera asks without taking answers");
}
