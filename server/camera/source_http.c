/* server/camera/source_http.c: cameras that send pictures over HTTP(S), by what they answer: a stream of
 * JPEGs (multipart/x-mixed-replace), one JPEG (fetched again at the analysis rate), or an HLS playlist. */
#include "server/camera/http_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "config/clock.h"
#include "config/err.h"

#define RESOLVE_MS     5000
#define CONNECT_MS     2000
#define SILENCE_S      10
#define PICTURES_S_MAX 10 /* single ones; who wants more wants a stream */
#define JPEG_HZ        90000

/* ---- the end ---- */

static void on_tick_closed(uv_handle_t *handle)
{
    struct http_source *http = handle->data;

    http_hls_close(http);
    mjpeg_parts_close(&http->parts);
    av_packet_free(&http->packet);
    free(http->body);
    OPENSSL_cleanse(http, sizeof *http);
    free(http);
}

void http_source_end(struct http_source *http, enum source_end how, const char *reason)
{
    char shown[256];

    if (http->ended)
        return;
    http->ended = true;
    uv_timer_stop(&http->tick);
    camera_http_close(&http->http);
    camera_url_redact_secret(reason, &http->url.password, shown, sizeof shown);
    http->events.ended(http->events.arg, how, shown);
}

static enum source_end end_of(int code)
{
    switch (code) {
    case ERR_UNAUTHORIZED:
    case ERR_DENIED:
    case ERR_UNSUPPORTED:
        return SOURCE_END_REFUSED;
    case ERR_IO:
        return SOURCE_END_UNREACHABLE;
    case ERR_TIMEOUT:
        return SOURCE_END_TIMEOUT;
    case ERR_CLOSED:
        return SOURCE_END_CLOSED;
    default:
        return SOURCE_END_ERROR;
    }
}

/* ---- pictures ---- */

static void tell_stream(struct http_source *http)
{
    AVCodecParameters *parameters = avcodec_parameters_alloc();

    if (parameters == NULL) {
        http_source_end(http, SOURCE_END_ERROR, "out of memory");
        return;
    }
    parameters->codec_type = AVMEDIA_TYPE_VIDEO;
    parameters->codec_id   = AV_CODEC_ID_MJPEG;
    http->streaming        = true;
    http->events.stream(http->events.arg, parameters, (AVRational){1, JPEG_HZ},
                        http->kind == HTTP_JPEG ? av_d2q(1e9 / (double)http->period_ns, 1001)
                                                : (AVRational){0, 1});
    avcodec_parameters_free(&parameters);
}

/* False: closed. */
static bool on_picture(void *arg, const uint8_t *data, size_t bytes)
{
    struct http_source *http = arg;

    if (!http->streaming)
        tell_stream(http);
    if (http->ended)
        return false;
    if (av_new_packet(http->packet, (int)bytes) < 0) {
        http_source_end(http, SOURCE_END_ERROR, "out of memory");
        return false;
    }
    memcpy(http->packet->data, data, bytes);
    http->packet->pts = clock_monotonic_ns() / 1000 * (JPEG_HZ / 1000) / 1000;
    http->packet->flags |= AV_PKT_FLAG_KEY;
    http->counters.packets++;
    http->events.packet(http->events.arg, http->packet, clock_wall_ns());
    av_packet_unref(http->packet);
    return !http->ended;
}

/* Until the next picture is due. */
static void wait_for_turn(struct http_source *http)
{
    int64_t left_ns = http->asked_ns + http->period_ns - clock_monotonic_ns();

    http_source_wait(http, left_ns > 0 ? left_ns : 0);
}

static void on_whole_picture(struct http_source *http)
{
    if (!mjpeg_is_picture(http->body, http->body_bytes)) {
        http_source_end(http, SOURCE_END_ERROR, "what the camera sends is no JPEG picture");
        return;
    }
    if (on_picture(http, http->body, http->body_bytes))
        wait_for_turn(http);
}

/* ---- answers ---- */

static bool starts(const char *text, const char *prefix)
{
    return strncasecmp(text, prefix, strlen(prefix)) == 0;
}

static enum http_kind kind_of(const char *type, const char *path)
{
    const char *end = path + strcspn(path, "?");

    if (starts(type, "multipart/x-mixed-replace") || starts(type, "multipart/mixed"))
        return HTTP_MJPEG;
    if (starts(type, "image/jpeg") || starts(type, "image/jpg"))
        return HTTP_JPEG;
    if (starts(type, "application/vnd.apple.mpegurl") || starts(type, "application/x-mpegurl") ||
        starts(type, "audio/mpegurl") || starts(type, "audio/x-mpegurl") ||
        (end - path > 5 && strncasecmp(end - 5, ".m3u8", 5) == 0))
        return HTTP_HLS;
    return HTTP_UNKNOWN;
}

static void on_head(void *arg, const char *type, const struct camera_url *url)
{
    struct http_source *http = arg;
    char                reason[160];

    http->body_bytes = 0;
    if (http->wait != HTTP_FIRST && http->kind != HTTP_UNKNOWN) {
        if (http->wait == HTTP_PLAYLIST)
            http->from = *url;
        return;
    }
    http->from = *url;
    http->kind = kind_of(type, url->path);
    switch (http->kind) {
    case HTTP_UNKNOWN:
        snprintf(reason, sizeof reason,
                 "the camera sends %.60s: a stream of JPEGs, a JPEG or an HLS playlist is needed",
                 type[0] != '\0' ? type : "something that it does not name");
        http_source_end(http, SOURCE_END_REFUSED, reason);
        break;
    case HTTP_MJPEG:
        if (mjpeg_parts_open(&http->parts, on_picture, http) != 0)
            http_source_end(http, SOURCE_END_ERROR, "out of memory");
        break;
    case HTTP_JPEG:
        break;
    case HTTP_HLS:
        http->wait = HTTP_PLAYLIST;
        break;
    }
    if (!http->ended)
        http->events.progress(http->events.arg, "waiting for the first picture");
}

static size_t body_limit(const struct http_source *http)
{
    if (http->kind == HTTP_JPEG)
        return MJPEG_PICTURE_BYTES;
    return http->wait == HTTP_PLAYLIST ? HLS_PLAYLIST_BYTES : HLS_SEGMENT_BYTES;
}

static bool on_body(void *arg, const uint8_t *data, size_t bytes)
{
    struct http_source *http     = arg;
    size_t              needed   = http->body_bytes + bytes;
    size_t              capacity = http->body_capacity;
    struct why          why      = {""};
    uint8_t            *grown;
    int                 rc;

    http->counters.bytes += bytes;
    if (http->kind == HTTP_MJPEG) {
        rc = mjpeg_parts_feed(http->parts, data, bytes, &why);
        if (rc != 0)
            http_source_end(http, SOURCE_END_ERROR, why.text);
        return !http->ended;
    }
    if (needed > body_limit(http))
        return false;
    while (capacity < needed)
        capacity = capacity == 0 ? 64 << 10 : capacity * 2;
    if (capacity != http->body_capacity) {
        if ((grown = realloc(http->body, capacity)) == NULL)
            return false;
        http->body          = grown;
        http->body_capacity = capacity;
    }
    memcpy(http->body + http->body_bytes, data, bytes);
    http->body_bytes = needed;
    return true;
}

static void on_done(void *arg, int code, const char *reason)
{
    struct http_source *http = arg;

    http->fetching = false;
    if (http->ended)
        return;
    if (code != 0)
        http_source_end(http, end_of(code), reason);
    else if (http->kind == HTTP_JPEG)
        on_whole_picture(http);
    else if (http->kind == HTTP_HLS)
        http_hls_fetched(http);
    else if (http->kind == HTTP_MJPEG)
        http_source_end(http, SOURCE_END_CLOSED, "the camera ended the stream");
    else
        http_source_end(http, SOURCE_END_ERROR, "the camera answers with nothing");
}

void http_source_get(struct http_source *http, const struct camera_url *url, enum http_wait wait)
{
    struct why why = {""};

    http->wait       = wait;
    http->asked_ns   = clock_monotonic_ns();
    http->body_bytes = 0;
    http->fetching   = true;
    if (camera_http_get(http->http, url, &why) != 0)
        http_source_end(http, SOURCE_END_ERROR, why.text);
}

static void on_tick(uv_timer_t *timer)
{
    struct http_source *http = timer->data;

    if (http->kind == HTTP_HLS)
        http_hls_tick(http);
    else
        http_source_get(http, &http->url, HTTP_FIRST);
}

void http_source_wait(struct http_source *http, int64_t ns)
{
    if (!http->ended)
        uv_timer_start(&http->tick, on_tick, (uint64_t)((ns + NS_PER_MS - 1) / NS_PER_MS), 0);
}

/* ---- open, close ---- */

/* Between two requests for a single picture. */
static int64_t period_ns(double fps)
{
    return (int64_t)(1e9 / (fps > 0 && fps < PICTURES_S_MAX ? fps : PICTURES_S_MAX));
}

static int open_http(struct http_source *http, const struct settings_camera *settings,
                     struct why *why)
{
    const struct camera_http_settings http_settings = {
        .reach      = camera_url_settings_reach(settings),
        .resolve_ms = RESOLVE_MS,
        .connect_ms = CONNECT_MS,
        .silence_s  = SILENCE_S,
        .trust = {.unverified = settings->tls_unverified, .fingerprint = settings->tls_fingerprint},
    };
    const struct camera_http_events events = {http, on_head, on_body, on_done};

    http->period_ns = period_ns(settings->detect_fps);
    if (camera_url_parse(&http->url, settings->url, why) != 0)
        return ERR_INVALID;
    if (http->url.scheme != CAMERA_URL_HTTP && http->url.scheme != CAMERA_URL_HTTPS)
        return why_set(why, ERR_UNSUPPORTED, "not an HTTP address");
    if (settings->user[0] != '\0' || settings->password.value[0] != '\0') {
        memcpy(http->url.user, settings->user, sizeof http->url.user);
        http->url.password = settings->password;
    }
    if ((http->packet = av_packet_alloc()) == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    return camera_http_open(&http->http, http->loop, &http_settings, &events, why);
}

static int open_source(struct source **out, uv_loop_t *loop, const struct settings_camera *settings,
                       const struct source_events *events, struct why *why)
{
    struct http_source *http = calloc(1, sizeof *http);
    int                 rc;

    *out = NULL;
    if (http == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    http->base.ops           = &source_http;
    http->events             = *events;
    http->loop               = loop;
    http->hls.next_sequence  = -1;
    http->counters.transport = "http";
    if ((rc = open_http(http, settings, why)) != 0 ||
        (rc = camera_http_get(http->http, &http->url, why)) != 0) {
        camera_http_close(&http->http);
        av_packet_free(&http->packet);
        OPENSSL_cleanse(http, sizeof *http);
        free(http);
        return rc;
    }
    http->fetching = true;
    http->asked_ns = clock_monotonic_ns();
    uv_timer_init(loop, &http->tick);
    http->tick.data = http;
    *out            = &http->base;
    return 0;
}

static void close_source(struct source **source)
{
    struct http_source *http = (struct http_source *)*source;

    if (http == NULL)
        return;
    *source     = NULL;
    http->ended = true;
    camera_http_close(&http->http);
    uv_close((uv_handle_t *)&http->tick, on_tick_closed);
}

static void read_counters(const struct source *source, struct source_counters *counters)
{
    *counters = ((const struct http_source *)source)->counters;
}

static void set_rate(struct source *source, double fps)
{
    struct http_source *http = (struct http_source *)source;

    http->period_ns = period_ns(fps);
    if (http->kind != HTTP_JPEG || !http->streaming || http->ended)
        return;
    tell_stream(http);
    /* It may be waiting for much longer than the new rate wants. */
    if (!http->fetching)
        wait_for_turn(http);
}

const struct source_ops source_http = {
    .name     = "http",
    .open     = open_source,
    .close    = close_source,
    .counters = read_counters,
    .set_rate = set_rate,
};
