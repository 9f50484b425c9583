#include "server/camera/decode.h"

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/decode_stream_private.h"

#include <libavcodec/avcodec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUARANTINE_NS (600 * NS_PER_S) /* since the last process that a camera has killed */

static int64_t stream_step(struct decode_actor *actor);

/* ---- open and close ---- */

int decode_stream_open(struct decode_stream **out, struct decode_pool *pool,
                       const struct decode_settings *settings, struct why *why)
{
    struct decode_stream *stream = calloc(1, sizeof *stream);

    *out = NULL;
    if (stream == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a camera");
    pthread_mutex_init(&stream->lock, NULL);
    stream->pool     = pool;
    stream->settings = *settings;
    stream->fps      = settings->fps;
    stream->packet   = av_packet_alloc();
    decode_rate_set(&stream->rate, settings->fps);
    if (settings->motion != NULL)
        stream->motion = motion_open(settings->motion);
    stream->settings.motion = NULL; /* it is the caller's */
    if (stream->packet == NULL || (settings->motion != NULL && stream->motion == NULL) ||
        decode_actor_join(pool, &stream->actor, stream_step) != 0) {
        av_packet_free(&stream->packet);
        motion_close(&stream->motion);
        pthread_mutex_destroy(&stream->lock);
        free(stream);
        return why_set(why, ERR_MEMORY, "no memory for a camera");
    }
    *out = stream;
    return 0;
}

void decode_stream_forget(struct decode_stream *stream)
{
    source_file_close(&stream->file);
    decode_engine_close(&stream->engine);
    decode_view_close(&stream->view);
    avcodec_parameters_free(&stream->parameters);
    frame_unref(&stream->pending);
    av_packet_unref(stream->packet);
    stream->packet_held = false;
    stream->lost        = false;
    stream->over        = false;
    stream->rewinds     = false;
    stream->width_px = stream->height_px = 0;
    stream->pass_pictures                = 0;
}

void decode_stream_close(struct decode_stream **out)
{
    struct decode_stream *stream = *out;

    if (stream == NULL)
        return;
    atomic_store(&stream->closing, true);
    atomic_store(&stream->stop, true);
    decode_actor_leave(stream->pool, &stream->actor);
    decode_stream_forget(stream);
    motion_close(&stream->motion);
    picture_jpeg_close(&stream->jpeg);
    av_packet_free(&stream->packet);
    decode_queue_free(&stream->queue);
    decode_units_free(&stream->units);
    camera_unit_unref(&stream->snapshot);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
    *out = NULL;
}

/* ---- from the loop ---- */

static void begin_locked(struct decode_stream *stream)
{
    struct decode_status *status = &stream->status;

    stream->epoch++;
    stream->play = false;
    /* A file that is being read for the epoch before gives up. The worker clears this when it
     * has seen the new epoch. */
    atomic_store(&stream->stop, true);
    decode_queue_clear(&stream->queue);
    decode_units_clear(&stream->units);
    status->ended     = false;
    status->reason[0] = '\0';
    status->pictures  = 0;
    status->due_ns    = 0;
    status->progress  = 0;

    stream->wall_lead.any = stream->arrival_lead.any = false;
}

void decode_stream_begin(struct decode_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    begin_locked(stream);
    pthread_mutex_unlock(&stream->lock);
    decode_actor_wake(stream->pool, &stream->actor);
}

void decode_stream_play(struct decode_stream *stream, const char *path, enum settings_pace pace,
                        bool loop)
{
    pthread_mutex_lock(&stream->lock);
    begin_locked(stream);
    stream->play = true;
    stream->loop = loop;
    stream->pace = pace;
    snprintf(stream->path, sizeof stream->path, "%s", path);
    pthread_mutex_unlock(&stream->lock);
    decode_actor_wake(stream->pool, &stream->actor);
}

int decode_stream_parameters(struct decode_stream *stream, const AVCodecParameters *parameters,
                             AVRational time_base, AVRational frame_rate)
{
    AVCodecParameters *copy = avcodec_parameters_alloc();
    int                rc   = ERR_MEMORY;

    if (copy != NULL && avcodec_parameters_copy(copy, parameters) >= 0) {
        pthread_mutex_lock(&stream->lock);
        rc = decode_queue_put_parameters(&stream->queue, copy, time_base, frame_rate);
        pthread_mutex_unlock(&stream->lock);
    }
    if (rc != 0) {
        avcodec_parameters_free(&copy);
        return rc;
    }
    decode_actor_wake(stream->pool, &stream->actor);
    return 0;
}

void decode_stream_packet(struct decode_stream *stream, AVPacket *packet, int64_t wall_ns)
{
    int64_t now_ns = clock_monotonic_ns();

    pthread_mutex_lock(&stream->lock);
    stream->status.packets++;
    stream->status.bytes += (uint64_t)packet->size;
    decode_queue_put(&stream->queue, packet, wall_ns, now_ns);
    pthread_mutex_unlock(&stream->lock);
    decode_actor_wake(stream->pool, &stream->actor);
}

void decode_stream_set_rate(struct decode_stream *stream, double fps)
{
    pthread_mutex_lock(&stream->lock);
    stream->fps = fps;
    pthread_mutex_unlock(&stream->lock);
}

void decode_stream_set_active(struct decode_stream *stream, bool active)
{
    atomic_store_explicit(&stream->active, active, memory_order_relaxed);
}

void decode_stream_want(struct decode_stream *stream, unsigned kinds)
{
    bool waiting;

    pthread_mutex_lock(&stream->lock);
    stream->wanted = kinds;
    decode_units_want(&stream->units,
                      (kinds & (1U << CAMERA_VIDEO_H264 | 1U << CAMERA_VIDEO_H265)) != 0);
    waiting = stream->units.cursor < stream->units.count;
    pthread_mutex_unlock(&stream->lock);
    if (waiting)
        stream->settings.wake(stream->settings.arg);
}

struct camera_unit *decode_stream_take_unit(struct decode_stream *stream)
{
    struct camera_unit *unit;

    pthread_mutex_lock(&stream->lock);
    unit = decode_units_take(&stream->units);
    pthread_mutex_unlock(&stream->lock);
    return unit;
}

struct camera_unit *decode_stream_replay_unit(struct decode_stream *stream, size_t index)
{
    struct camera_unit *unit;

    pthread_mutex_lock(&stream->lock);
    unit = decode_units_replay(&stream->units, index);
    if (unit != NULL)
        camera_unit_ref(unit);
    pthread_mutex_unlock(&stream->lock);
    return unit;
}

void decode_stream_want_snapshot(struct decode_stream *stream, int width_px)
{
    pthread_mutex_lock(&stream->lock);
    camera_unit_unref(&stream->snapshot);
    stream->snapshot_width_px = width_px;
    pthread_mutex_unlock(&stream->lock);
}

struct camera_unit *decode_stream_take_snapshot(struct decode_stream *stream)
{
    struct camera_unit *unit;

    pthread_mutex_lock(&stream->lock);
    unit             = stream->snapshot;
    stream->snapshot = NULL;
    pthread_mutex_unlock(&stream->lock);
    return unit;
}

void decode_stream_status(struct decode_stream *stream, struct decode_status *status)
{
    int64_t now_ns = clock_monotonic_ns();

    pthread_mutex_lock(&stream->lock);
    *status = stream->status;
    status->packets_dropped += stream->queue.dropped;
    status->decoded_fps  = decode_meter_per_s(&stream->decoded_meter, now_ns);
    status->analysed_fps = decode_meter_per_s(&stream->analysed_meter, now_ns);
    status->has_lead     = stream->wall_lead.any;
    if (status->has_lead) {
        status->wall_lead_ns    = decode_lead_ns(&stream->wall_lead);
        status->arrival_lead_ns = decode_lead_ns(&stream->arrival_lead);
    }
    pthread_mutex_unlock(&stream->lock);
}

/* ---- on a worker ---- */

void decode_stream_wake_loop(struct decode_stream *stream)
{
    stream->settings.wake(stream->settings.arg);
}

bool decode_stream_is_closing(struct decode_stream *stream)
{
    return atomic_load_explicit(&stream->closing, memory_order_relaxed);
}

void decode_stream_count(struct decode_stream *stream, uint64_t *counter)
{
    pthread_mutex_lock(&stream->lock);
    (*counter)++;
    pthread_mutex_unlock(&stream->lock);
}

/* Takes over what the loop has asked for since the last step. */
static void take_orders(struct decode_stream *stream)
{
    double fps;
    bool   begins;

    pthread_mutex_lock(&stream->lock);
    fps    = stream->fps;
    begins = stream->epoch != stream->worker_epoch;
    if (begins) {
        stream->worker_epoch = stream->epoch;
        stream->playing      = stream->play;
        stream->looping      = stream->loop;
        stream->fastest      = stream->play && stream->pace == PACE_FASTEST;
        atomic_store(&stream->stop, false);
        if (atomic_load(&stream->closing)) /* that came in between */
            atomic_store(&stream->stop, true);
    }
    pthread_mutex_unlock(&stream->lock);
    if (begins)
        decode_stream_forget(stream);
    if (begins && stream->actor.quarantine &&
        clock_monotonic_ns() - stream->last_strike_ns > QUARANTINE_NS)
        decode_actor_quarantine(&stream->actor, false);
    decode_rate_set(&stream->rate, fps);
}

static int64_t stream_step(struct decode_actor *actor)
{
    struct decode_stream *stream = (struct decode_stream *)actor;

    for (int turn = 0; turn < DECODE_QUANTUM_PACKETS; turn++) {
        int64_t again;

        take_orders(stream);
        /* What is opened belongs to the process of this worker: first it goes back to the others. */
        if (stream->actor.quarantined && !stream->actor.quarantine)
            return DECODE_STEP_NOW;
        again = stream->playing ? decode_stream_file_turn(stream)
                                : decode_stream_queue_turn(stream);
        if (decode_stream_is_closing(stream))
            return DECODE_STEP_IDLE;
        /* Likewise on the way into the quarantine. */
        if (again != DECODE_STEP_NOW || stream->actor.quarantine != stream->actor.quarantined)
            return again;
    }
    return DECODE_STEP_NOW;
}
