/* The state machine of one camera. One timer serves whatever the state waits for; the decode
 * workers wake the loop through one async handle. A sink may close the camera from within any
 * callback: what runs after a callback looks at `closing`; the memory goes only when the loop
 * has closed both handles. */
#include "server/camera/camera_private.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "config/plural.h"
#include "server/camera/camera_backoff.h"
#include "server/camera/camera_names.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNITS_PER_WAKE 64 /* then others of the loop have their turn */

const struct camera_tuning camera_tuning_default = {
    .connect_ms     = 10000, /* an RTSP camera with 8 s between key frames still makes it */
    .stall_ms       = 4000,
    .stall_grace_ms = 1000,
    .backoff_min_ms = 500,
    .backoff_max_ms = 30000,
    .good_ms        = 10000,
};

static void on_timer(uv_timer_t *timer);
static void on_wake(uv_async_t *async);
static void connect_source(struct camera *camera);

/* ---- open, start, close ---- */

static void wake_loop(void *arg)
{
    struct camera *camera = arg;

    uv_async_send(&camera->async);
}

static void wake_for_turn(void *arg)
{
    struct camera *camera = arg;

    uv_timer_start(&camera->timer, on_timer, 0, 0);
}

static void sink_frame(void *arg, struct frame *frame)
{
    struct camera *camera = arg;

    camera->sink.frame(camera->sink.arg, frame);
}

static void sink_still(void *arg, int64_t wall_ns)
{
    struct camera *camera = arg;

    camera->sink.still(camera->sink.arg, wall_ns);
}

static void on_closed(uv_handle_t *handle)
{
    struct camera *camera = handle->data;

    if (--camera->open_handles == 0)
        free(camera);
}

static int open_handles(struct camera *camera)
{
    if (uv_timer_init(camera->loop, &camera->timer) != 0)
        return ERR_IO;
    camera->timer.data = camera;
    camera->open_handles++;
    if (uv_async_init(camera->loop, &camera->async, on_wake) != 0)
        return ERR_IO;
    camera->async.data = camera;
    camera->open_handles++;
    return 0;
}

static void set_up_turn(struct camera *camera)
{
    camera->turn.arg  = camera;
    camera->turn.wake = wake_for_turn;
    if (camera_url_parse(&camera->url, camera->settings.url, NULL) == 0)
        camera->turn.host = camera_gate_host(camera->url.host, camera->url.port);
    memset(camera->url.user, 0, sizeof camera->url.user);
    memset(&camera->url.password, 0, sizeof camera->url.password);
}

/* The settings of the decoding are as the kind of camera needs them. */
static int open_camera(struct camera **out, uv_loop_t *loop, struct decode_pool *pool,
                       const struct settings_camera *settings, struct decode_settings decode,
                       const struct camera_sink *sink, struct why *why)
{
    struct camera *camera;
    int            rc;

    *out   = NULL;
    camera = calloc(1, sizeof *camera);
    if (camera == NULL)
        return why_set(why, ERR_MEMORY, "no memory for camera \"%s\"", settings->name);
    camera->view           = decode.pass_on;
    camera->loop           = loop;
    camera->settings       = *settings;
    camera->sink           = *sink;
    camera->tuning         = camera_tuning_default;
    camera->tuning.seed    = (uint64_t)clock_monotonic_ns() + decode.slot;
    camera->state_since_ns = clock_monotonic_ns();
    snprintf(camera->reason, sizeof camera->reason, "not started");
    snprintf(camera->log_name, sizeof camera->log_name, "camera/%s%s", settings->name,
             camera->view ? " (main)" : "");
    decode.arg   = camera;
    decode.frame = sink_frame;
    decode.still = sink->still != NULL ? sink_still : NULL;
    decode.wake  = wake_loop;
    set_up_turn(camera);
    rc = source_choose(&camera->ops, settings->url, why);
    if (rc == 0 && camera->view && camera->ops == NULL)
        rc = why_set(why, ERR_UNSUPPORTED, "a file has one stream");
    if (rc == 0 && (rc = open_handles(camera)) != 0)
        why_set(why, rc, "no handles for camera \"%s\"", settings->name);
    if (rc == 0)
        rc = decode_stream_open(&camera->stream, pool, &decode, why);
    if (rc == 0)
        *out = camera;
    else
        camera_close(&camera);
    return rc;
}

int camera_open(struct camera **out, uv_loop_t *loop, struct decode_pool *pool,
                const struct settings_camera *settings, unsigned slot,
                const struct camera_sink *sink, struct why *why)
{
    const struct decode_settings decode = {.slot   = slot,
                                           .fps    = settings->detect_fps,
                                           .motion = settings->motion.enabled ? &settings->motion
                                                                              : NULL};

    return open_camera(out, loop, pool, settings, decode, sink, why);
}

int camera_open_view(struct camera **out, uv_loop_t *loop, struct decode_pool *pool,
                     const struct settings_camera *settings, const struct camera_sink *sink,
                     struct why *why)
{
    const struct decode_settings decode = {.pass_on = true};
    int                          rc     = open_camera(out, loop, pool, settings, decode, sink, why);

    if (rc == 0)
        camera_want_video(*out, 1U << CAMERA_VIDEO_H264 | 1U << CAMERA_VIDEO_H265);
    return rc;
}

void camera_tune(struct camera *camera, const struct camera_tuning *tuning)
{
    camera->tuning = *tuning;
    if (tuning->source != NULL)
        camera->ops = tuning->source;
}

void camera_start(struct camera *camera, unsigned delay_ms)
{
    snprintf(camera->reason, sizeof camera->reason, "about to start");
    uv_timer_start(&camera->timer, on_timer, delay_ms, 0);
}

static void close_source(struct camera *camera)
{
    struct source_counters counters = {0};

    camera_gate_leave(&camera->turn);
    if (camera->source == NULL)
        return;
    camera->ops->counters(camera->source, &counters);
    camera->closed_sources.rtp_received += counters.rtp_received;
    camera->closed_sources.rtp_lost += counters.rtp_lost;
    camera->closed_sources.rtp_reordered += counters.rtp_reordered;
    camera->closed_sources.rtp_duplicates += counters.rtp_duplicates;
    camera->closed_sources.rtp_late += counters.rtp_late;
    camera->ops->close(&camera->source);
}

void camera_close(struct camera **out)
{
    struct camera *camera = *out;

    if (camera == NULL)
        return;
    *out            = NULL;
    camera->closing = true;
    camera_knock_stop(&camera->knock);
    close_source(camera);
    /* First the workers, which use the async handle; then the handles. */
    decode_stream_close(&camera->stream);
    if (camera->open_handles == 0)
        free(camera);
    else if (camera->open_handles == 1)
        uv_close((uv_handle_t *)&camera->timer, on_closed);
    else {
        uv_close((uv_handle_t *)&camera->timer, on_closed);
        uv_close((uv_handle_t *)&camera->async, on_closed);
    }
}

/* ---- states ---- */

#define TELL_AGAIN_NS (600 * NS_PER_S)

/* A camera that is gone for a week fails every half minute: the log has it once for each reason, and
 * again every so often. */
static enum log_level level_of(struct camera *camera)
{
    const char *next   = strstr(camera->reason, "; next try");
    size_t      bytes  = next == NULL ? strlen(camera->reason) : (size_t)(next - camera->reason);
    int64_t     now_ns = clock_monotonic_ns();

    if (camera->state == CAMERA_STREAMING)
        camera->told[0] = '\0';
    if (camera->state != CAMERA_BACKOFF && camera->state != CAMERA_STALLED)
        return camera->state == CAMERA_CONNECTING ? LOG_DEBUG : LOG_INFO;
    if (strlen(camera->told) == bytes && memcmp(camera->told, camera->reason, bytes) == 0 &&
        now_ns - camera->told_ns < TELL_AGAIN_NS)
        return LOG_DEBUG;
    memcpy(camera->told, camera->reason, bytes);
    camera->told[bytes] = '\0';
    camera->told_ns     = now_ns;
    return LOG_WARNING;
}

__attribute__((format(printf, 3, 4))) static void
set_state(struct camera *camera, enum camera_state state, const char *format, ...)
{
    char    reason[sizeof camera->reason * 2];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    camera_url_redact(reason, camera->reason, sizeof camera->reason);
    if (camera->state != state)
        camera->state_since_ns = clock_monotonic_ns();
    camera->state = state;
    log_write(level_of(camera), camera->log_name, "%s: %s", camera_state_name(state),
              camera->reason);
    camera->sink.changed(camera->sink.arg, camera);
}

static void wait_ms(struct camera *camera, uint64_t ms)
{
    uv_timer_start(&camera->timer, on_timer, ms, 0);
}

static void on_answered(void *arg)
{
    struct camera *camera = arg;

    if (camera->state == CAMERA_BACKOFF)
        wait_ms(camera, 0);
}

/* A camera that is gone is asked whether it is back; not one that answered with an error. */
static void knock(struct camera *camera, enum camera_loss loss)
{
    const struct camera_knock_request request = {
        .url   = &camera->url,
        .reach = camera_url_settings_reach(&camera->settings),
        .gone  = loss == CAMERA_LOSS_UNREACHABLE,
        /* It has just spoken to us: it need not be asked at once. */
        .after_ms = loss == CAMERA_LOSS_CLOSED ? CAMERA_KNOCK_MS : 0,
        .arg      = camera,
        .answered = on_answered,
    };

    if (camera->ops == NULL || camera->tuning.source != NULL)
        return;
    if (loss == CAMERA_LOSS_UNREACHABLE || loss == CAMERA_LOSS_TIMEOUT ||
        loss == CAMERA_LOSS_STALLED || loss == CAMERA_LOSS_CLOSED)
        camera_knock_start(&camera->knock, camera->loop, &request);
}

/* The stream is gone or never came. */
static void fail(struct camera *camera, enum camera_loss loss, const char *reason)
{
    unsigned delay_ms;

    camera->losses[loss]++;
    if (camera->streaming_since_ns != 0 && clock_monotonic_ns() - camera->streaming_since_ns >=
                                               (int64_t)camera->tuning.good_ms * NS_PER_MS)
        camera->failures = 0;
    camera->streaming_since_ns = 0;
    delay_ms = camera_backoff_ms(camera->failures++, camera->tuning.backoff_min_ms,
                                 camera->tuning.backoff_max_ms, &camera->tuning.seed);
    /* Cameras lock an account after a few wrong passwords. */
    if (loss == CAMERA_LOSS_REFUSED)
        delay_ms = camera->tuning.backoff_max_ms;
    close_source(camera);
    decode_stream_begin(camera->stream);
    wait_ms(camera, delay_ms);
    knock(camera, loss);
    set_state(camera, CAMERA_BACKOFF, "%.220s; next try in %.1f s", reason, delay_ms / 1000.0);
}

static void on_end(struct camera *camera, enum source_end end, const char *reason)
{
    /* What a file has given out was counted: tried again, it would be counted twice. */
    bool is_over = end == SOURCE_END_OF_FILE ||
                   (!camera->settings.loop && camera->state != CAMERA_CONNECTING);

    if (camera->ops == NULL && is_over) {
        camera->cut_short = end != SOURCE_END_OF_FILE;
        uv_timer_stop(&camera->timer);
        set_state(camera, CAMERA_ENDED, "%s", reason);
        return;
    }
    fail(camera, camera_loss_of(end), reason);
}

static void on_first_picture(struct camera *camera, const struct decode_status *status)
{
    if (camera->state == CAMERA_CONNECTING) {
        if (camera->ever_streamed)
            camera->reconnects++;
        camera->ever_streamed      = true;
        camera->streaming_since_ns = clock_monotonic_ns();
    }
    wait_ms(camera, camera->tuning.stall_ms);
    camera->width_px  = status->width_px;
    camera->height_px = status->height_px;
    set_state(camera, CAMERA_STREAMING, "%s %dx%d", status->codec, status->width_px,
              status->height_px);
}

/* A file is local: when its disk hangs, opening it again would only hang the next worker. */
static bool may_give_up(const struct camera *camera)
{
    return camera->ops != NULL;
}

/* A camera that says of itself that it is slow may be. */
static int64_t stall_ns(const struct camera *camera, const struct decode_status *status)
{
    int64_t ns = (int64_t)camera->tuning.stall_ms * NS_PER_MS;

    if (status->source_fps > 0.01 && 3 / status->source_fps * NS_PER_S > (double)ns)
        ns = (int64_t)(3 / status->source_fps * NS_PER_S);
    return ns;
}

static void check_stall(struct camera *camera)
{
    struct decode_status status;
    int64_t              last_ns;
    int64_t              left_ns;

    decode_stream_status(camera->stream, &status);
    last_ns = status.last_frame_ns > status.due_ns ? status.last_frame_ns : status.due_ns;
    left_ns = last_ns + stall_ns(camera, &status) - clock_monotonic_ns();
    if (left_ns > 0 && camera->state == CAMERA_STALLED) {
        on_first_picture(camera, &status);
    } else if (left_ns > 0) {
        wait_ms(camera, (uint64_t)(left_ns / NS_PER_MS) + 1);
    } else if (camera->ops == NULL && camera->settings.pace == PACE_FASTEST) {
        wait_ms(camera,
                camera->tuning.stall_ms); /* its sink may make it wait for as long as it likes */
    } else if (camera->state == CAMERA_STREAMING) {
        wait_ms(camera, camera->tuning.stall_grace_ms);
        camera->packets_now = 0;
        set_state(camera, CAMERA_STALLED, "no picture for %.1f s",
                  (double)stall_ns(camera, &status) / 1e9);
    } else if (may_give_up(camera)) {
        fail(camera, CAMERA_LOSS_STALLED,
             camera->packets_now > 0 ? "the pictures stopped, though packets still come"
                                     : "the pictures stopped");
    } else {
        wait_ms(camera, camera->tuning.stall_grace_ms);
    }
}

static void fail_without_picture(struct camera *camera)
{
    double               within_s = camera->tuning.connect_ms / 1000.0;
    char                 reason[CAMERA_REASON_BYTES];
    struct decode_status status;

    decode_stream_status(camera->stream, &status);
    if (camera->packets_now > 0 && camera->keys_now == 0)
        snprintf(reason, sizeof reason, "no key frame for %.0f s, though %llu packet%s came",
                 within_s, (unsigned long long)camera->packets_now, plural(camera->packets_now));
    else if (camera->packets_now > 0 && camera->view)
        snprintf(reason, sizeof reason, "no picture that a viewer can begin with for %.0f s",
                 within_s);
    else if (camera->packets_now > 0)
        snprintf(reason, sizeof reason,
                 "decoder: no picture for %.0f s out of %llu packet%s (%llu error%s in all)",
                 within_s, (unsigned long long)camera->packets_now, plural(camera->packets_now),
                 (unsigned long long)status.decode_errors, plural(status.decode_errors));
    else
        snprintf(reason, sizeof reason, "no picture within %.0f s (%.100s)", within_s,
                 camera->reason);
    fail(camera, CAMERA_LOSS_NO_PICTURE, reason);
}

static void on_timer(uv_timer_t *timer)
{
    struct camera *camera = timer->data;

    switch (camera->state) {
    case CAMERA_IDLE:
    case CAMERA_BACKOFF:
        connect_source(camera);
        break;
    case CAMERA_CONNECTING:
        if (camera->turn.state == CAMERA_GATE_WAITING)
            connect_source(camera);
        else
            fail_without_picture(camera);
        break;
    case CAMERA_STREAMING:
    case CAMERA_STALLED:
        check_stall(camera);
        break;
    case CAMERA_ENDED:
        break;
    }
}

static void give_snapshot(struct camera *camera)
{
    struct camera_unit *jpeg = decode_stream_take_snapshot(camera->stream);

    if (jpeg == NULL)
        return;
    if (camera->sink.snapshot != NULL)
        camera->sink.snapshot(camera->sink.arg, camera, jpeg);
    camera_unit_unref(&jpeg);
}

static void on_wake(uv_async_t *async)
{
    struct camera       *camera = async->data;
    struct decode_status status;
    struct camera_unit  *unit;

    for (int i = 0; !camera->closing; i++) {
        if (i == UNITS_PER_WAKE) {
            uv_async_send(async);
            break;
        }
        unit = decode_stream_take_unit(camera->stream);
        if (unit == NULL)
            break;
        camera->sink.unit(camera->sink.arg, camera, unit);
        camera_unit_unref(&unit);
    }
    if (!camera->closing)
        give_snapshot(camera);
    if (camera->closing)
        return;
    decode_stream_status(camera->stream, &status);
    if (camera->state == CAMERA_CONNECTING && status.pictures > 0) {
        on_first_picture(camera, &status);
    } else if (camera->state == CAMERA_STREAMING &&
               (camera->width_px != status.width_px || camera->height_px != status.height_px)) {
        camera->width_px  = status.width_px;
        camera->height_px = status.height_px;
        set_state(camera, CAMERA_STREAMING, "%s %dx%d", status.codec, status.width_px,
                  status.height_px);
    }
    if (status.ended && !camera->closing && camera->state != CAMERA_BACKOFF &&
        camera->state != CAMERA_ENDED)
        on_end(camera, status.end, status.reason);
}

/* ---- the source ---- */

static void source_stream(void *arg, const AVCodecParameters *parameters, AVRational time_base,
                          AVRational frame_rate)
{
    struct camera *camera = arg;

    if (decode_stream_parameters(camera->stream, parameters, time_base, frame_rate) != 0)
        log_warning(camera->log_name, "the stream changes its coding faster than it is decoded");
}

static void source_packet(void *arg, AVPacket *packet, int64_t wall_ns)
{
    struct camera *camera = arg;

    if (camera->packets_now++ == 0)
        camera_gate_leave(&camera->turn);
    camera->keys_now += (packet->flags & AV_PKT_FLAG_KEY) != 0;
    decode_stream_packet(camera->stream, packet, wall_ns);
}

static void source_progress(void *arg, const char *step)
{
    struct camera *camera = arg;

    if (camera->state == CAMERA_CONNECTING)
        set_state(camera, CAMERA_CONNECTING, "%s", step);
}

static void source_ended(void *arg, enum source_end end, const char *reason)
{
    struct camera *camera = arg;

    if (!camera->closing)
        fail(camera, camera_loss_of(end), reason);
}

static void connect_source(struct camera *camera)
{
    struct source_events events = {.arg      = camera,
                                   .stream   = source_stream,
                                   .packet   = source_packet,
                                   .progress = source_progress,
                                   .ended    = source_ended};
    struct why           why    = {""};
    unsigned             turn_ms;

    camera_knock_stop(&camera->knock);
    if (camera->ops != NULL && !camera_gate_enter(&camera->turn, clock_monotonic_ns(), &turn_ms)) {
        wait_ms(camera, turn_ms);
        if (camera->state != CAMERA_CONNECTING)
            set_state(camera, CAMERA_CONNECTING, "waiting for its turn: others connect now");
        return;
    }
    camera->connects++;
    camera->packets_now = camera->keys_now = 0;
    wait_ms(camera, camera->tuning.connect_ms);
    if (camera->ops == NULL) {
        if (camera->settings.played && !camera->settings.loop) {
            uv_timer_stop(&camera->timer);
            set_state(camera, CAMERA_ENDED, "the video was played to its end");
            return;
        }
        if (camera->settings.begun && !camera->settings.loop && camera->connects == 1)
            log_warning(camera->log_name,
                        "the video was interrupted before its end: it is played again from its "
                        "beginning, and what was counted of it then is counted again");
        decode_stream_play(camera->stream,
                           camera->settings.file[0] != '\0' ? camera->settings.file
                                                            : camera->settings.url,
                           camera->settings.pace, camera->settings.loop);
        set_state(camera, CAMERA_CONNECTING, "opening the file");
        return;
    }
    decode_stream_begin(camera->stream);
    if (camera->ops->open(&camera->source, camera->loop, &camera->settings, &events, &why) != 0)
        fail(camera, CAMERA_LOSS_ERROR, why.text);
    else
        set_state(camera, CAMERA_CONNECTING, "connecting");
}
