/* tests/unit/rtsp_fake_camera.h: a scripted camera and a client of the RTSP source on one loop. */
#ifndef SIGHTLINE_TESTS_UNIT_RTSP_FAKE_CAMERA_H
#define SIGHTLINE_TESTS_UNIT_RTSP_FAKE_CAMERA_H

#include "tests/tap.h"

#include <arpa/inet.h>
#include <libavcodec/codec_par.h>
#include <uv.h>

#include "config/clock.h"
#include "server/camera/rtsp_timeouts.h"
#include "server/camera/source.h"

#define SILENCE ""
#define CLOSE   "close"

static const char sdp[] =
    "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n";

struct fake;
struct script {
    const char *name;
    const char *method; /* whose reply is another one */
    const char *reply;  /* as sent, "%u" stands for the CSeq; SILENCE, CLOSE */
    int         end;    /* -1: pictures are expected */
    const char *reason; /* a part of it */
    const char *user, *password;
    /* Instead of reply; false: the usual reply follows. */
    bool (*serve)(struct fake *fake, const char *method, const char *request);
    void (*playing)(struct fake *fake); /* after PLAY was answered, instead of pictures */
    const char *close_at;               /* the client closes at this step */
    bool        close_reply;            /* and the camera closes behind its reply */
};

struct fake {
    const struct script *script;
    uv_loop_t            loop;
    uv_tcp_t             listener, peer;
    bool                 peer_open;
    char                 input[8192];
    size_t               input_bytes;
    unsigned             sequence, requests, teardowns, reports, kept_alive, challenges;
    uint16_t             rtp_sequence;
    uint32_t             rtp_timestamp;
    /* the client */
    struct source *source;
    bool           closed;
    int            end, events_after, streams, packets, keys;
    char           reason[256];
    int64_t        last_pts;
    int            wanted;
};

struct write {
    uv_write_t request;
    char       data[];
};

static void on_written(uv_write_t *request, int status)
{
    (void)status;
    free(request->data);
}

static void fake_send(struct fake *fake, const void *data, size_t bytes)
{
    struct write *write = malloc(sizeof *write + bytes);
    uv_buf_t      buffer;

    if (write == NULL || !fake->peer_open) {
        free(write);
        return;
    }
    memcpy(write->data, data, bytes);
    write->request.data = write;
    buffer              = uv_buf_init(write->data, (unsigned)bytes);
    uv_write(&write->request, (uv_stream_t *)&fake->peer, &buffer, 1, on_written);
}

static void fake_say(struct fake *fake, const char *format)
{
    char        text[4096];
    const char *mark = strstr(format, "%u");

    if (mark == NULL)
        snprintf(text, sizeof text, "%s", format);
    else
        snprintf(text, sizeof text, "%.*s%u%s", (int)(mark - format), format, fake->sequence,
                 mark + 2);
    fake_send(fake, text, strlen(text));
}

static void peer_closed(uv_handle_t *handle)
{
    ((struct fake *)handle->data)->input_bytes = 0;
}

static void fake_hang_up(struct fake *fake)
{
    if (fake->peer_open)
        uv_close((uv_handle_t *)&fake->peer, peer_closed);
    fake->peer_open = false;
}

static void fake_frame(struct fake *fake, uint8_t channel, const void *data, size_t bytes)
{
    uint8_t frame[2048] = {'$', channel, (uint8_t)(bytes >> 8), (uint8_t)bytes};

    memcpy(frame + 4, data, bytes);
    fake_send(fake, frame, 4 + bytes);
}

/* One picture of one packet; `type` 5 is a key. */
static void fake_picture(struct fake *fake, uint8_t type)
{
    uint32_t      t        = fake->rtp_timestamp += 3600;
    uint16_t      s        = ++fake->rtp_sequence;
    const uint8_t packet[] = {0x80,
                              0x80 | 96,
                              (uint8_t)(s >> 8),
                              (uint8_t)s,
                              (uint8_t)(t >> 24),
                              (uint8_t)(t >> 16),
                              (uint8_t)(t >> 8),
                              (uint8_t)t,
                              1,
                              2,
                              3,
                              4,
                              0x60 | type,
                              0x88,
                              0x84,
                              0x21};

    fake_frame(fake, 0, packet, sizeof packet);
}

static void fake_reply(struct fake *fake, const char *method)
{
    char text[1024];

    if (strcmp(method, "OPTIONS") == 0)
        fake_say(
            fake,
            "RTSP/1.0 200 OK\r\nCSeq: %u\r\nPublic: DESCRIBE, SETUP, PLAY, GET_PARAMETER\r\n\r\n");
    else if (strcmp(method, "SETUP") == 0)
        fake_say(fake, "RTSP/1.0 200 OK\r\nCSeq: %u\r\nSession: 17;timeout=1\r\n"
                       "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n");
    else if (strcmp(method, "DESCRIBE") == 0) {
        snprintf(text, sizeof text, "RTSP/1.0 200 OK\r\nCSeq: %%u\r\nContent-Length: %zu\r\n\r\n%s",
                 sizeof sdp - 1, sdp);
        fake_say(fake, text);
    } else
        fake_say(fake, "RTSP/1.0 200 OK\r\nCSeq: %u\r\nSession: 17\r\n\r\n");
    if (strcmp(method, "PLAY") != 0)
        return;
    if (fake->script->playing != NULL) {
        fake->script->playing(fake);
        return;
    }
    fake_picture(fake, 5);
    for (int i = 1; i < 10; i++)
        fake_picture(fake, 1);
}

static void fake_request(struct fake *fake, const char *request)
{
    const struct script *script   = fake->script;
    const char          *sequence = strstr(request, "CSeq: ");
    char                 method[32];
    size_t               length = strcspn(request, " ");

    snprintf(method, sizeof method, "%.*s", (int)length, request);
    fake->requests++;
    fake->sequence = sequence != NULL ? (unsigned)strtoul(sequence + 6, NULL, 10) : 0;
    fake->teardowns += strcmp(method, "TEARDOWN") == 0;
    fake->kept_alive += strcmp(method, "GET_PARAMETER") == 0 &&
                        strstr(request, "Session: 17") != NULL;
    if (script->serve != NULL && script->serve(fake, method, request))
        return;
    if (script->method == NULL || strcmp(script->method, method) != 0) {
        fake_reply(fake, method);
    } else if (strcmp(script->reply, CLOSE) == 0) {
        fake_hang_up(fake);
    } else if (script->reply[0] != '\0') {
        fake_say(fake, script->reply);
        if (script->close_reply)
            fake_hang_up(fake);
    }
}

static void peer_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct fake *fake = handle->data;

    (void)suggested;
    *buffer = uv_buf_init(fake->input + fake->input_bytes,
                          (unsigned)(sizeof fake->input - 1 - fake->input_bytes));
}

static void peer_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct fake *fake = stream->data;

    (void)buffer;
    if (count < 0) {
        fake_hang_up(fake);
        return;
    }
    fake->input_bytes += (size_t)count;
    while (fake->input_bytes > 4 && fake->peer_open) {
        size_t used;

        if (fake->input[0] == '$') {
            used = 4 + (size_t)(uint8_t)fake->input[3];
            if (fake->input_bytes < used)
                return;
            fake->reports += fake->input[1] == 1 && (uint8_t)fake->input[5] == 201;
        } else {
            char *end;

            fake->input[fake->input_bytes] = '\0';
            if ((end = strstr(fake->input, "\r\n\r\n")) == NULL)
                return;
            end[2] = '\0';
            used   = (size_t)(end - fake->input) + 4;
            fake_request(fake, fake->input);
        }
        fake->input_bytes -= used;
        memmove(fake->input, fake->input + used, fake->input_bytes);
    }
}

static void on_peer(uv_stream_t *listener, int status)
{
    struct fake *fake = listener->data;

    if (status != 0 || uv_tcp_init(&fake->loop, &fake->peer) != 0)
        return;
    fake->peer.data = fake;
    fake->peer_open = uv_accept(listener, (uv_stream_t *)&fake->peer) == 0;
    uv_read_start((uv_stream_t *)&fake->peer, peer_room, peer_read);
}

static unsigned fake_listen(struct fake *fake)
{
    struct sockaddr_in address;
    int                bytes = sizeof address;

    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(&fake->loop, &fake->listener);
    fake->listener.data = fake;
    uv_tcp_bind(&fake->listener, (struct sockaddr *)&address, 0);
    uv_listen((uv_stream_t *)&fake->listener, 8, on_peer);
    uv_tcp_getsockname(&fake->listener, (struct sockaddr *)&address, &bytes);
    return ntohs(address.sin_port);
}

/* ---- the client of the scripts ---- */

static void client_close(struct fake *fake)
{
    source_rtsp.close(&fake->source);
    fake->closed = true;
    uv_close((uv_handle_t *)&fake->listener, NULL);
}

static void client_event(struct fake *fake, const char *step)
{
    fake->events_after += fake->closed;
    if (!fake->closed && fake->script->close_at != NULL &&
        strcmp(fake->script->close_at, step) == 0)
        client_close(fake);
}

static void client_stream(void *arg, const AVCodecParameters *parameters, AVRational time_base,
                          AVRational frame_rate)
{
    struct fake *fake = arg;

    (void)frame_rate;
    fake->streams += parameters->codec_id == AV_CODEC_ID_H264 && time_base.den == 90000;
    client_event(fake, "stream");
}

static void client_packet(void *arg, AVPacket *packet, int64_t wall_ns)
{
    struct fake *fake = arg;

    (void)wall_ns;
    fake->packets++;
    fake->keys += (packet->flags & AV_PKT_FLAG_KEY) != 0;
    fake->last_pts = packet->pts;
    client_event(fake, "packet");
    if (!fake->closed && fake->wanted > 0 && fake->packets >= fake->wanted)
        client_close(fake);
}

static void client_progress(void *arg, const char *step)
{
    client_event(arg, step);
}

static void client_ended(void *arg, enum source_end end, const char *reason)
{
    struct fake *fake = arg;

    fake->end = (int)end;
    snprintf(fake->reason, sizeof fake->reason, "%s", reason);
    client_event(fake, "ended");
    if (!fake->closed)
        client_close(fake);
}

static const struct rtsp_timeouts short_times = {
    .resolve_ms  = 300,
    .connect_ms  = 200,
    .response_ms = 200,
    .udp_ms      = 200,
    .picture_ms  = 300,
    .silence_ms  = 1500,
    .tick_ms     = 50,
    .linger_ms   = 200,
};

static bool client_open(struct fake *fake, const char *url)
{
    struct settings_camera settings = {.enabled = true};
    struct source_events   events   = {fake, client_stream, client_packet, client_progress,
                                       client_ended};
    struct why             why      = {""};

    snprintf(settings.url, sizeof settings.url, "%s", url);
    if (fake->script->user != NULL) {
        snprintf(settings.user, sizeof settings.user, "%s", fake->script->user);
        snprintf(settings.password.value, sizeof settings.password.value, "%s",
                 fake->script->password);
    }
    return source_rtsp_open(&fake->source, &fake->loop, &settings, &events, &short_times, &why) ==
           0;
}

/* Runs a script to its end; the caller looks at what came. `url` NULL: the fake camera's. */
static void run(struct fake *fake, const struct script *script, const char *url, int wanted)
{
    int64_t started_ns = clock_monotonic_ns();
    char    own[64];

    memset(fake, 0, sizeof *fake);
    fake->script = script;
    fake->end    = -1;
    fake->wanted = wanted;
    uv_loop_init(&fake->loop);
    snprintf(own, sizeof own, "rtsp://127.0.0.1:%u/live", fake_listen(fake));
    ok(client_open(fake, url != NULL ? url : own), "%s: opened", script->name);
    while (uv_run(&fake->loop, UV_RUN_ONCE) != 0 &&
           clock_monotonic_ns() - started_ns < 20 * NS_PER_S)
        ;
    is_int(uv_loop_close(&fake->loop), 0, "%s: nothing is left on the loop", script->name);
    ok(fake->events_after == 0, "%s: no event after close", script->name);
    ok(clock_monotonic_ns() - started_ns < 4 * NS_PER_S, "%s: in bounded time", script->name);
}

#endif
