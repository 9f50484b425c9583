/* Packets in: from the queue or from the file, into the decoder. */
#include "server/camera/decode_stream_private.h"

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/decode_process.h"

#include <libavcodec/avcodec.h>
#include <stdio.h>
#include <string.h>

#define MAX_RECEIVE     64 /* pictures out of one packet; a decoder that gives more is mad */
#define LIVE_MAX_GAP_NS (10 * NS_PER_S)
#define FILE_MAX_GAP_NS (3600 * NS_PER_S)

void decode_stream_end(struct decode_stream *stream, enum source_end end, const char *reason)
{
    bool current;

    decode_stream_forget(stream);
    stream->over = true;
    pthread_mutex_lock(&stream->lock);
    current = stream->epoch == stream->worker_epoch;
    if (current) {
        stream->status.ended  = true;
        stream->status.end    = end;
        stream->status.due_ns = 0;
        snprintf(stream->status.reason, sizeof stream->status.reason, "%s", reason);
    }
    pthread_mutex_unlock(&stream->lock);
    if (current)
        decode_stream_wake_loop(stream);
}

void decode_stream_wait_for_key(struct decode_stream *stream, unsigned max_packets)
{
    stream->needs_key       = true;
    stream->without_key     = 0;
    stream->max_without_key = max_packets;
}

static void receive_pictures(struct decode_stream *stream)
{
    for (int i = 0; i < MAX_RECEIVE && !decode_stream_is_closing(stream); i++) {
        int rc = decode_engine_receive(stream->engine, &stream->picture);

        if (rc == ERR_AGAIN)
            return;
        if (rc == 0)
            decode_stream_picture(stream);
        else
            decode_stream_count(stream, &stream->status.decode_errors);
    }
}

static enum decode_wire_skip skip_of(const struct decode_stream *stream)
{
    return stream->relief.level == CAMERA_KEY_FRAMES_ONLY      ? DECODE_WIRE_SKIP_NONKEY
           : stream->relief.level == CAMERA_SKIPS_UNREFERENCED ? DECODE_WIRE_SKIP_NONREF
                                                               : DECODE_WIRE_SKIP_NONE;
}

/* Other than 0: there is no engine to receive from. */
static int send_packet(struct decode_stream *stream, const AVPacket *packet)
{
    int rc = stream->lost ? ERR_DEVICE_LOST
                          : decode_engine_send(stream->engine, packet, skip_of(stream));

    if (!stream->lost && decode_engine_refusal(stream->engine) != NULL)
        rc = decode_stream_leave_card(stream, packet);
    for (int i = 0; i < DECODE_STRIKES && rc == ERR_DEVICE_LOST; i++)
        rc = decode_stream_recover(stream, packet);
    if (rc == ERR_CLOSED || rc == ERR_DEVICE_LOST) {
        decode_stream_count(stream, &stream->status.packets_dropped);
        return rc;
    }
    if (rc != 0) {
        decode_stream_count(stream, &stream->status.decode_errors);
        decode_stream_wait_for_key(stream, DECODE_MAX_AFTER_ERROR);
    }
    return 0;
}

static void decode_packet(struct decode_stream *stream, const AVPacket *packet, int64_t wall_ns,
                          int64_t arrival_ns)
{
    int64_t timestamp = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;

    decode_clock_anchor(&stream->clock, timestamp);
    if (!stream->playing)
        decode_stream_note_lead(stream, packet, wall_ns, arrival_ns);
    if (stream->settings.pass_on) {
        decode_stream_pass(stream, packet, wall_ns);
        return;
    }
    decode_stream_unit(stream, packet, wall_ns);
    if (stream->needs_key) {
        if ((packet->flags & AV_PKT_FLAG_KEY) == 0 &&
            ++stream->without_key <= stream->max_without_key) {
            decode_stream_count(stream, &stream->status.packets_dropped);
            return;
        }
        stream->needs_key = false;
    }
    stream->stamps[stream->next_stamp++ % DECODE_STAMPS] = (struct decode_stamp){
        .timestamp = timestamp, .wall_ns = wall_ns};
    stream->arrival_ns = arrival_ns;
    decode_stream_try_card(stream, packet);
    if (send_packet(stream, packet) == 0)
        receive_pictures(stream);
}

static void publish_stream(struct decode_stream *stream, AVRational frame_rate, double duration_s)
{
    struct decode_status *status = &stream->status;

    pthread_mutex_lock(&stream->lock);
    snprintf(status->codec, sizeof status->codec, "%s",
             avcodec_get_name(stream->parameters->codec_id));
    status->own_video  = stream->view != NULL ? decode_view_video(stream->view) : CAMERA_VIDEO_JPEG;
    status->source_fps = frame_rate.num > 0 && frame_rate.den > 0 ? av_q2d(frame_rate) : 0;
    status->duration_s = duration_s;
    decode_units_clear(&stream->units);
    stream->wall_lead.any = stream->arrival_lead.any = false;
    pthread_mutex_unlock(&stream->lock);
    decode_stream_wake_loop(stream);
}

/* A decoder for what follows. ERR_CLOSED: it crashed too often, and the stream has ended for it. */
static int begin_coding(struct decode_stream *stream, const AVCodecParameters *parameters,
                        AVRational time_base, AVRational frame_rate, struct why *why)
{
    int64_t pause_ns = 0;
    int     rc;

    decode_engine_close(&stream->engine);
    decode_view_close(&stream->view);
    avcodec_parameters_free(&stream->parameters);
    stream->parameters = avcodec_parameters_alloc();
    if (stream->parameters == NULL || avcodec_parameters_copy(stream->parameters, parameters) < 0)
        return why_set(why, ERR_MEMORY, "no memory for a decoder");
    stream->time_base = time_base;
    decode_stream_want_card(stream);
    if (stream->settings.pass_on)
        rc = decode_stream_begin_passing(stream, why);
    else
        rc = decode_stream_open_engine(stream, why);
    /* Its process is about to be started again: the first packet tries again. */
    stream->lost = rc == ERR_AGAIN || rc == ERR_DEVICE_LOST;
    if (rc != 0 && !stream->lost)
        return rc;
    /* It would hang there again: on a worker of its own that costs nobody else. */
    if (rc == ERR_DEVICE_LOST && decode_process_hung(decode_actor_process(&stream->actor)))
        decode_actor_quarantine(&stream->actor, true);
    if (rc == ERR_DEVICE_LOST && !decode_stream_goes_on(stream, true))
        return ERR_CLOSED;
    /* Pictures at the speed of the machine are no video to watch. */
    if (!stream->fastest && !stream->settings.pass_on)
        decode_view_open(&stream->view, parameters, time_base);
    if (stream->last_picture_ns != 0 && !stream->playing)
        pause_ns = clock_monotonic_ns() - stream->last_picture_ns;
    decode_clock_restart(&stream->clock, time_base, frame_rate,
                         stream->playing ? FILE_MAX_GAP_NS : LIVE_MAX_GAP_NS, pause_ns);
    stream->needs_key = false;
    if (!stream->playing)
        decode_stream_wait_for_key(stream, DECODE_MAX_WITHOUT_KEY);
    decode_stream_next_generation(stream);
    return 0;
}

/* ---- a file ---- */

static int64_t open_file(struct decode_stream *stream)
{
    struct why why = {""};
    char       path[LIMIT_PATH_BYTES];
    int        rc;

    pthread_mutex_lock(&stream->lock);
    memcpy(path, stream->path, sizeof path);
    pthread_mutex_unlock(&stream->lock);
    rc = source_file_open(&stream->file, decode_actor_process(&stream->actor), path, &stream->stop,
                          &why);
    if (rc == ERR_AGAIN || rc == ERR_DEVICE_LOST)
        return decode_stream_file_lost(stream, rc == ERR_DEVICE_LOST);
    if (rc == 0)
        rc = begin_coding(stream, source_file_parameters(stream->file),
                          source_file_time_base(stream->file), source_file_frame_rate(stream->file),
                          &why);
    if (rc == ERR_CLOSED)
        return DECODE_STEP_NOW;
    if (rc != 0) {
        decode_stream_end(stream, SOURCE_END_ERROR, why.text);
        return DECODE_STEP_IDLE;
    }
    publish_stream(stream, source_file_frame_rate(stream->file),
                   source_file_duration_s(stream->file));
    return DECODE_STEP_NOW;
}

bool decode_stream_drain(struct decode_stream *stream)
{
    int rc = ERR_DEVICE_LOST;

    stream->arrival_ns = clock_monotonic_ns();
    if (!stream->lost)
        rc = decode_engine_send(stream->engine, NULL, DECODE_WIRE_SKIP_NONE);
    if (rc == 0)
        receive_pictures(stream);
    decode_stream_deliver_pending(stream);
    return rc != ERR_DEVICE_LOST;
}

/* What was decoded before has been drained. */
static int64_t change_coding(struct decode_stream *stream)
{
    AVRational rate = source_file_frame_rate(stream->file);
    struct why why  = {""};
    int        rc;

    if (decode_stream_is_closing(stream))
        return DECODE_STEP_IDLE;
    rc = begin_coding(stream, source_file_parameters(stream->file),
                      source_file_time_base(stream->file), rate, &why);
    if (rc != 0) {
        if (rc != ERR_CLOSED)
            decode_stream_end(stream, SOURCE_END_ERROR, why.text);
        return DECODE_STEP_IDLE;
    }
    publish_stream(stream, rate, stream->status.duration_s);
    return DECODE_STEP_NOW;
}

/* Once more from its beginning. */
static int64_t begin_pass(struct decode_stream *stream, struct why *why)
{
    int rc = source_file_rewind(stream->file, why);

    stream->rewinds = rc == ERR_AGAIN || rc == ERR_DEVICE_LOST;
    if (stream->rewinds)
        return decode_stream_file_lost(stream, rc == ERR_DEVICE_LOST);
    if (rc == ERR_CLOSED)
        return DECODE_STEP_NOW;
    if (rc != 0) {
        decode_stream_end(stream, SOURCE_END_ERROR, why->text);
        return DECODE_STEP_IDLE;
    }
    stream->pass_pictures = 0;
    if (source_file_parameters(stream->file)->codec_id != stream->parameters->codec_id)
        return change_coding(stream);
    if (!stream->lost && decode_engine_flush(stream->engine) != 0)
        stream->lost = true;
    decode_clock_restart(&stream->clock, source_file_time_base(stream->file),
                         source_file_frame_rate(stream->file), FILE_MAX_GAP_NS, 0);
    stream->needs_key = false;
    decode_stream_next_generation(stream);
    return DECODE_STEP_NOW;
}

/* The file was read to its end, or to where it cannot be read any more. */
static int64_t finish_pass(struct decode_stream *stream, int read_rc, struct why *why)
{
    if (!decode_stream_drain(stream) && stream->fastest)
        return decode_stream_file_lost(stream, false);
    if (decode_stream_is_closing(stream) || decode_stream_ends_short(stream))
        return DECODE_STEP_IDLE;
    if (stream->pass_pictures == 0) {
        if (read_rc == ERR_NOT_FOUND)
            why_set(why, ERR_CORRUPT, "not one picture of the file can be decoded");
        decode_stream_end(stream, SOURCE_END_ERROR, why->text);
        return DECODE_STEP_IDLE;
    }
    if (!stream->looping) {
        if (read_rc == ERR_NOT_FOUND)
            decode_stream_end(stream, SOURCE_END_OF_FILE, "the file was played to its end");
        else
            decode_stream_end(stream, SOURCE_END_ERROR, why->text);
        return DECODE_STEP_IDLE;
    }
    return begin_pass(stream, why);
}

static int64_t read_file(struct decode_stream *stream)
{
    struct why why = {""};
    int        rc  = source_file_read(stream->file, stream->packet, &why);
    double     progress;

    if (rc == ERR_CLOSED)
        return DECODE_STEP_NOW;
    if (rc == ERR_AGAIN || rc == ERR_DEVICE_LOST)
        return decode_stream_file_lost(stream, rc == ERR_DEVICE_LOST);
    if (rc == SOURCE_FILE_CHANGED) {
        decode_stream_drain(stream);
        return decode_stream_ends_short(stream) ? DECODE_STEP_IDLE : change_coding(stream);
    }
    if (rc != 0)
        return finish_pass(stream, rc, &why);
    progress              = source_file_progress(stream->file);
    stream->packet_held   = true;
    stream->packet_due_ns = 0;
    if (!stream->fastest)
        stream->packet_due_ns = source_file_due_ns(stream->file, stream->packet,
                                                   clock_monotonic_ns());
    pthread_mutex_lock(&stream->lock);
    stream->status.packets++;
    stream->status.bytes += (uint64_t)stream->packet->size;
    stream->status.progress = progress;
    stream->status.due_ns   = stream->packet_due_ns;
    pthread_mutex_unlock(&stream->lock);
    return DECODE_STEP_NOW;
}

int64_t decode_stream_file_turn(struct decode_stream *stream)
{
    int64_t now_ns;

    if (stream->over)
        return DECODE_STEP_IDLE;
    if (stream->file == NULL)
        return open_file(stream);
    if (stream->rewinds) {
        struct why why = {""};

        return begin_pass(stream, &why);
    }
    if (!stream->packet_held) {
        int64_t again = read_file(stream);

        if (!stream->packet_held)
            return again;
    }
    now_ns = clock_monotonic_ns();
    if (stream->packet_due_ns > now_ns) {
        decode_stream_deliver_pending(stream);
        return stream->packet_due_ns;
    }
    stream->packet_held = false;
    decode_packet(stream, stream->packet, clock_wall_ns(),
                  stream->fastest ? now_ns : stream->packet_due_ns);
    av_packet_unref(stream->packet);
    return DECODE_STEP_NOW;
}

/* ---- a queue ---- */

static bool same_parameters(const AVCodecParameters *a, const AVCodecParameters *b)
{
    return a != NULL && a->codec_id == b->codec_id && a->width == b->width &&
           a->height == b->height && a->extradata_size == b->extradata_size &&
           (a->extradata_size == 0 ||
            memcmp(a->extradata, b->extradata, (size_t)a->extradata_size) == 0);
}

static int64_t take_parameters(struct decode_stream *stream, struct decode_entry *entry)
{
    struct why why = {""};
    int        rc  = 0;

    if (!same_parameters(stream->parameters, entry->parameters)) {
        rc = begin_coding(stream, entry->parameters, entry->time_base, entry->frame_rate, &why);
        if (rc == 0)
            publish_stream(stream, entry->frame_rate, 0);
    } else if (entry->frame_rate.num > 0 && entry->frame_rate.den > 0) {
        pthread_mutex_lock(&stream->lock);
        stream->status.source_fps = av_q2d(entry->frame_rate);
        pthread_mutex_unlock(&stream->lock);
    }
    avcodec_parameters_free(&entry->parameters);
    if (rc == 0)
        return DECODE_STEP_NOW;
    if (rc != ERR_CLOSED)
        decode_stream_end(stream, SOURCE_END_ERROR, why.text);
    return DECODE_STEP_IDLE;
}

int64_t decode_stream_queue_turn(struct decode_stream *stream)
{
    struct decode_entry entry = {.packet = stream->packet};
    bool                got;

    pthread_mutex_lock(&stream->lock);
    got = stream->epoch == stream->worker_epoch && decode_queue_take(&stream->queue, &entry);
    pthread_mutex_unlock(&stream->lock);
    if (!got) {
        decode_stream_deliver_pending(stream);
        return DECODE_STEP_IDLE;
    }
    if (entry.parameters != NULL)
        return take_parameters(stream, &entry);
    if (stream->parameters == NULL) {
        decode_stream_count(stream, &stream->status.packets_dropped);
    } else {
        if (entry.gap && !stream->lost && stream->engine != NULL &&
            decode_engine_flush(stream->engine) != 0)
            stream->lost = true;
        decode_packet(stream, stream->packet, entry.wall_ns, entry.arrival_ns);
    }
    av_packet_unref(stream->packet);
    return DECODE_STEP_NOW;
}
