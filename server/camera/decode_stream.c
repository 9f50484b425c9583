/* One camera on the decode workers: packets come out of its queue or its file, go through the decoder, and the
 * pictures at the wanted rate go to the sink.
 *
 * Two halves: what the loop and a worker share is under `lock` (a leaf lock, held for a copy at most); what
 * only the worker touches, which holds the camera, needs none. `epoch` ties them together: the
 * loop's begin and play raise it, and the worker that sees it forgets all of the stream before. */
#include "server/camera/decode.h"

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "server/camera/decode_actor.h"
#include "server/camera/decode_clock.h"
#include "server/camera/decode_codec.h"
#include "server/camera/decode_queue.h"
#include "server/camera/decode_view.h"
#include "server/camera/ffmpeg_log.h"
#include "server/camera/frame_av.h"
#include "server/camera/picture_jpeg.h"
#include "server/camera/source_file.h"

#include <libavcodec/avcodec.h>
#include <libavutil/frame.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAMPS          32  /* packets in the decoder; H.264 and H.265 hold back 16 at most */
#define MAX_WITHOUT_KEY 250 /* packets: a stream that marks no key frames is decoded regardless */
#define MAX_AFTER_ERROR \
    50 /* packets: after 2 s without a key frame concealment is better than nothing */
#define MAX_RECEIVE     64 /* pictures out of one packet; a decoder that gives more is mad */
#define LATE_NS         (100 * NS_PER_MS) /* behind by more: the newest picture is worth more than all */
#define LIVE_MAX_GAP_NS (10 * NS_PER_S)
#define FILE_MAX_GAP_NS (3600 * NS_PER_S)
#define JPEG_EVERY_NS   (100 * NS_PER_MS)
#define JPEG_EARLY_NS   (20 * NS_PER_MS) /* a camera of 10 a second loses none to jitter */

/* When a packet was captured, found again by its timestamp when its picture comes out. */
struct stamp {
    int64_t timestamp;
    int64_t wall_ns;
};

struct decode_stream {
    struct decode_actor    actor; /* first */
    struct decode_pool    *pool;
    struct decode_settings settings; /* immutable */
    atomic_bool            closing;
    atomic_bool            stop; /* the file's reads fail: closing, or another epoch */

    pthread_mutex_t      lock;
    uint64_t             epoch; /* under lock, as all below */
    struct decode_queue  queue;
    bool                 play; /* a file, not packets */
    bool                 loop;
    enum settings_pace   pace;
    char                 path[LIMIT_PATH_BYTES];
    double               fps;
    unsigned             wanted;
    struct decode_units  units;
    struct decode_status status;
    struct decode_meter  decoded_meter, analysed_meter;

    /* The worker's own, of this epoch. */
    uint64_t                   worker_epoch;
    bool                       playing, looping, fastest;
    bool                       over; /* the file ended */
    struct source_file        *file;
    AVPacket                  *packet;
    bool                       packet_held; /* `packet` waits for its time */
    int64_t                    packet_due_ns;
    struct decode_codec       *codec;
    AVCodecParameters         *parameters; /* that the codec was opened with */
    AVFrame                   *picture;
    struct frame_av_converter *converter;
    struct decode_view        *view;
    struct picture_jpeg       *jpeg;
    int64_t                    next_jpeg_ns;
    struct decode_clock        clock;
    struct decode_rate         rate;
    struct stamp               stamps[STAMPS];
    unsigned                   next_stamp;
    int64_t       arrival_ns; /* of the packet in hand, monotonic; or when it was due */
    bool          needs_key;
    unsigned      without_key, max_without_key;
    unsigned      generation;
    uint64_t      number;
    uint64_t      pass_pictures; /* of this pass through the file */
    int           width_px, height_px;
    struct frame *pending; /* chosen while late: a newer one replaces it */
    int64_t       last_delivery_ns;
    int64_t       last_picture_ns;
};

/* Grows over all cameras: a slot that gets a new camera never sees an old number again. */
static atomic_uint generations;

static int64_t stream_step(struct decode_actor *actor);

/* ---- open and close ---- */

int decode_stream_open(struct decode_stream **out, struct decode_pool *pool,
                       const struct decode_settings *settings, struct why *why)
{
    struct decode_stream *stream = calloc(1, sizeof *stream);

    *out = NULL;
    ffmpeg_log_install();
    if (stream == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a camera");
    pthread_mutex_init(&stream->lock, NULL);
    stream->pool     = pool;
    stream->settings = *settings;
    stream->fps      = settings->fps;
    stream->packet   = av_packet_alloc();
    stream->picture  = av_frame_alloc();
    decode_rate_set(&stream->rate, settings->fps);
    if (stream->packet == NULL || stream->picture == NULL ||
        decode_actor_join(pool, &stream->actor, stream_step) != 0) {
        av_packet_free(&stream->packet);
        av_frame_free(&stream->picture);
        pthread_mutex_destroy(&stream->lock);
        free(stream);
        return why_set(why, ERR_MEMORY, "no memory for a camera");
    }
    *out = stream;
    return 0;
}

/* All of the worker's that belongs to one epoch. */
static void forget_stream(struct decode_stream *stream)
{
    source_file_close(&stream->file);
    decode_codec_close(&stream->codec);
    decode_view_close(&stream->view);
    avcodec_parameters_free(&stream->parameters);
    frame_unref(&stream->pending);
    av_packet_unref(stream->packet);
    av_frame_unref(stream->picture);
    stream->packet_held = false;
    stream->over        = false;
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
    forget_stream(stream);
    frame_av_converter_close(&stream->converter);
    picture_jpeg_close(&stream->jpeg);
    av_packet_free(&stream->packet);
    av_frame_free(&stream->picture);
    decode_queue_free(&stream->queue);
    decode_units_free(&stream->units);
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
    /* A file that is being read for the epoch before gives up. The worker clears this when it has seen the new epoch. */
    atomic_store(&stream->stop, true);
    decode_queue_clear(&stream->queue);
    decode_units_clear(&stream->units);
    status->ended     = false;
    status->reason[0] = '\0';
    status->pictures  = 0;
    status->due_ns    = 0;
    status->progress  = 0;
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

void decode_stream_status(struct decode_stream *stream, struct decode_status *status)
{
    int64_t now_ns = clock_monotonic_ns();

    pthread_mutex_lock(&stream->lock);
    *status = stream->status;
    status->packets_dropped += stream->queue.dropped;
    status->decoded_fps  = decode_meter_per_s(&stream->decoded_meter, now_ns);
    status->analysed_fps = decode_meter_per_s(&stream->analysed_meter, now_ns);
    pthread_mutex_unlock(&stream->lock);
}

/* ---- on a worker: what the loop is told ---- */

static void wake_loop(struct decode_stream *stream)
{
    stream->settings.wake(stream->settings.arg);
}

static void end_stream(struct decode_stream *stream, enum source_end end, const char *reason)
{
    bool current;

    forget_stream(stream);
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
        wake_loop(stream);
}

static void count_error(struct decode_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->status.decode_errors++;
    pthread_mutex_unlock(&stream->lock);
}

static void count_dropped(struct decode_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->status.packets_dropped++;
    pthread_mutex_unlock(&stream->lock);
}

static void note_picture(struct decode_stream *stream, int64_t now_ns)
{
    struct decode_status *status = &stream->status;
    bool                  news;

    pthread_mutex_lock(&stream->lock);
    news = status->width_px != stream->width_px || status->height_px != stream->height_px;
    if (stream->epoch == stream->worker_epoch)
        news = status->pictures++ == 0 || news;
    status->width_px  = stream->width_px;
    status->height_px = stream->height_px;
    status->frames_decoded++;
    status->last_frame_ns = now_ns;
    decode_meter_count(&stream->decoded_meter, now_ns);
    pthread_mutex_unlock(&stream->lock);
    if (news)
        wake_loop(stream);
}

/* ---- on a worker: pictures out ---- */

static void make_jpeg(struct decode_stream *stream, const struct frame *frame)
{
    struct camera_unit *unit = NULL;
    unsigned            wanted;

    pthread_mutex_lock(&stream->lock);
    wanted = stream->wanted;
    pthread_mutex_unlock(&stream->lock);
    if ((wanted & 1U << CAMERA_VIDEO_JPEG) == 0) {
        picture_jpeg_close(&stream->jpeg);
        return;
    }
    if (frame->decoded_ns + JPEG_EARLY_NS < stream->next_jpeg_ns ||
        picture_jpeg_encode(&stream->jpeg, frame, &unit) != 0)
        return;
    stream->next_jpeg_ns += JPEG_EVERY_NS;
    if (stream->next_jpeg_ns < frame->decoded_ns)
        stream->next_jpeg_ns = frame->decoded_ns + JPEG_EVERY_NS;
    pthread_mutex_lock(&stream->lock);
    camera_unit_unref(&stream->units.jpeg);
    stream->units.jpeg = unit;
    pthread_mutex_unlock(&stream->lock);
    wake_loop(stream);
}

/* Takes the reference. */
static void deliver(struct decode_stream *stream, struct frame *frame)
{
    int64_t now_ns = clock_monotonic_ns();

    make_jpeg(stream, frame);
    pthread_mutex_lock(&stream->lock);
    stream->status.frames_analysed++;
    decode_meter_count(&stream->analysed_meter, now_ns);
    pthread_mutex_unlock(&stream->lock);
    stream->last_delivery_ns = now_ns;
    stream->settings.frame(stream->settings.arg, frame);
}

static void skip_pending(struct decode_stream *stream)
{
    if (stream->pending == NULL)
        return;
    frame_unref(&stream->pending);
    pthread_mutex_lock(&stream->lock);
    stream->status.frames_skipped++;
    pthread_mutex_unlock(&stream->lock);
}

/* Nothing waits behind it any more. */
static void deliver_pending(struct decode_stream *stream)
{
    struct frame *frame = stream->pending;

    stream->pending = NULL;
    if (frame != NULL)
        deliver(stream, frame);
}

/* In real time a worker that is behind gives out the newest picture of each interval of the
 * clock on the wall, not all the old ones that it is catching up with. */
static void choose_and_deliver(struct decode_stream *stream, struct frame *frame)
{
    int64_t now_ns   = frame->decoded_ns;
    int64_t late_ns  = now_ns - stream->arrival_ns;
    int64_t every_ns = decode_rate_interval_ns(&stream->rate);

    if (every_ns < LATE_NS)
        every_ns = LATE_NS;
    skip_pending(stream);
    if (stream->fastest || late_ns <= every_ns || now_ns - stream->last_delivery_ns >= every_ns)
        deliver(stream, frame);
    else
        stream->pending = frame;
}

static int64_t find_wall_ns(const struct decode_stream *stream, const AVFrame *picture)
{
    int64_t timestamp = picture->pts != AV_NOPTS_VALUE ? picture->pts : picture->pkt_dts;

    for (unsigned i = 1; i <= STAMPS && timestamp != AV_NOPTS_VALUE; i++) {
        const struct stamp *stamp = &stream->stamps[(stream->next_stamp - i) % STAMPS];

        if (stamp->timestamp == timestamp)
            return stamp->wall_ns;
    }
    return stream->stamps[(stream->next_stamp - 1) % STAMPS].wall_ns;
}

/* The tracker begins anew: another stream, another pass of a file, another size of picture. */
static void next_generation(struct decode_stream *stream)
{
    stream->generation = atomic_fetch_add(&generations, 1) + 1;
    stream->number     = 0;
    decode_rate_restart(&stream->rate);
}

static void on_picture(struct decode_stream *stream)
{
    AVFrame      *picture = stream->picture;
    int64_t       wall_ns = find_wall_ns(stream, picture);
    int64_t       now_ns  = clock_monotonic_ns();
    int64_t       pts_ns  = decode_clock_picture(&stream->clock, picture->best_effort_timestamp);
    uint64_t      number;
    struct frame *frame;

    if (stream->width_px != picture->width || stream->height_px != picture->height) {
        if (stream->width_px != 0)
            next_generation(stream);
        stream->width_px  = picture->width;
        stream->height_px = picture->height;
    }
    number = stream->number++;
    stream->pass_pictures++;
    stream->last_picture_ns = now_ns;
    if ((picture->flags & AV_FRAME_FLAG_CORRUPT) != 0 || picture->decode_error_flags != 0)
        count_error(stream);
    note_picture(stream, now_ns);
    if (!decode_rate_chooses(&stream->rate, pts_ns)) {
        av_frame_unref(picture);
        pthread_mutex_lock(&stream->lock);
        stream->status.frames_skipped++;
        pthread_mutex_unlock(&stream->lock);
        return;
    }
    if (frame_av_wrap(&frame, picture, &stream->converter) != 0) {
        count_error(stream);
        return;
    }
    frame->slot       = stream->settings.slot;
    frame->generation = stream->generation;
    frame->number     = number;
    frame->pts_ns     = pts_ns;
    frame->wall_ns    = wall_ns;
    frame->decoded_ns = now_ns;
    choose_and_deliver(stream, frame);
}

/* ---- on a worker: packets in ---- */

static bool is_closing(struct decode_stream *stream)
{
    return atomic_load_explicit(&stream->closing, memory_order_relaxed);
}

static void wait_for_key(struct decode_stream *stream, unsigned max_packets)
{
    stream->needs_key       = true;
    stream->without_key     = 0;
    stream->max_without_key = max_packets;
}

static void receive_pictures(struct decode_stream *stream)
{
    for (int i = 0; i < MAX_RECEIVE && !is_closing(stream); i++) {
        int rc = decode_codec_receive(stream->codec, stream->picture);

        if (rc == ERR_AGAIN || rc == ERR_NOT_FOUND)
            return;
        if (rc == 0)
            on_picture(stream);
        else
            count_error(stream);
    }
}

static void publish_unit(struct decode_stream *stream, const AVPacket *packet, int64_t wall_ns)
{
    struct camera_unit *unit;
    bool                wake;

    if (stream->view == NULL || decode_view_unit(stream->view, packet, &unit) != 0)
        return;
    unit->pts_ns  = decode_clock_map(&stream->clock,
                                    packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts);
    unit->wall_ns = wall_ns;
    pthread_mutex_lock(&stream->lock);
    wake = decode_units_put(&stream->units, unit);
    pthread_mutex_unlock(&stream->lock);
    if (wake)
        wake_loop(stream);
}

static void decode_packet(struct decode_stream *stream, const AVPacket *packet, int64_t wall_ns,
                          int64_t arrival_ns)
{
    int64_t timestamp = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;

    decode_clock_anchor(&stream->clock, timestamp);
    publish_unit(stream, packet, wall_ns);
    if (stream->needs_key) {
        if ((packet->flags & AV_PKT_FLAG_KEY) == 0 &&
            ++stream->without_key <= stream->max_without_key) {
            count_dropped(stream);
            return;
        }
        stream->needs_key = false;
    }
    stream->stamps[stream->next_stamp++ % STAMPS] = (struct stamp){.timestamp = timestamp,
                                                                   .wall_ns   = wall_ns};
    stream->arrival_ns                            = arrival_ns;
    if (decode_codec_send(stream->codec, packet) != 0) {
        count_error(stream);
        wait_for_key(stream, MAX_AFTER_ERROR);
    }
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
    pthread_mutex_unlock(&stream->lock);
    wake_loop(stream);
}

/* A decoder for what follows. */
static int begin_coding(struct decode_stream *stream, const AVCodecParameters *parameters,
                        AVRational time_base, AVRational frame_rate, struct why *why)
{
    int64_t pause_ns = 0;
    int     rc;

    decode_codec_close(&stream->codec);
    decode_view_close(&stream->view);
    avcodec_parameters_free(&stream->parameters);
    stream->parameters = avcodec_parameters_alloc();
    if (stream->parameters == NULL || avcodec_parameters_copy(stream->parameters, parameters) < 0)
        return why_set(why, ERR_MEMORY, "no memory for a decoder");
    rc = decode_codec_open(&stream->codec, parameters, time_base, why);
    if (rc != 0)
        return rc;
    /* Pictures at the speed of the machine are no video to watch. */
    if (!stream->fastest)
        decode_view_open(&stream->view, parameters, time_base);
    if (stream->last_picture_ns != 0 && !stream->playing)
        pause_ns = clock_monotonic_ns() - stream->last_picture_ns;
    decode_clock_restart(&stream->clock, time_base, frame_rate,
                         stream->playing ? FILE_MAX_GAP_NS : LIVE_MAX_GAP_NS, pause_ns);
    stream->needs_key = false;
    if (!stream->playing)
        wait_for_key(stream, MAX_WITHOUT_KEY);
    next_generation(stream);
    return 0;
}

/* ---- on a worker: a file ---- */

static int64_t open_file(struct decode_stream *stream)
{
    struct why why = {""};
    char       path[LIMIT_PATH_BYTES];
    int        rc;

    pthread_mutex_lock(&stream->lock);
    memcpy(path, stream->path, sizeof path);
    pthread_mutex_unlock(&stream->lock);
    rc = source_file_open(&stream->file, path, &stream->stop, &why);
    if (rc == 0)
        rc = begin_coding(stream, source_file_parameters(stream->file),
                          source_file_time_base(stream->file), source_file_frame_rate(stream->file),
                          &why);
    if (rc == ERR_CLOSED)
        return DECODE_STEP_NOW;
    if (rc != 0) {
        end_stream(stream, SOURCE_END_ERROR, why.text);
        return DECODE_STEP_IDLE;
    }
    publish_stream(stream, source_file_frame_rate(stream->file),
                   source_file_duration_s(stream->file));
    return DECODE_STEP_NOW;
}

static void drain_decoder(struct decode_stream *stream)
{
    stream->arrival_ns = clock_monotonic_ns();
    if (decode_codec_send(stream->codec, NULL) == 0)
        receive_pictures(stream);
    deliver_pending(stream);
}

/* The file was read to its end, or to where it cannot be read any more. */
static int64_t finish_pass(struct decode_stream *stream, int read_rc, struct why *why)
{
    drain_decoder(stream);
    if (is_closing(stream))
        return DECODE_STEP_IDLE;
    if (stream->pass_pictures == 0) {
        if (read_rc == ERR_NOT_FOUND)
            why_set(why, ERR_CORRUPT, "not one picture of the file can be decoded");
        end_stream(stream, SOURCE_END_ERROR, why->text);
        return DECODE_STEP_IDLE;
    }
    if (!stream->looping) {
        end_stream(stream, SOURCE_END_OF_FILE,
                   read_rc == ERR_NOT_FOUND ? "the file was played to its end" : why->text);
        return DECODE_STEP_IDLE;
    }
    stream->pass_pictures = 0;
    if (source_file_rewind(stream->file, why) != 0) {
        end_stream(stream, SOURCE_END_ERROR, why->text);
        return DECODE_STEP_IDLE;
    }
    decode_codec_flush(stream->codec);
    decode_clock_restart(&stream->clock, source_file_time_base(stream->file),
                         source_file_frame_rate(stream->file), FILE_MAX_GAP_NS, 0);
    stream->needs_key = false;
    next_generation(stream);
    return DECODE_STEP_NOW;
}

static int64_t read_file(struct decode_stream *stream)
{
    struct why why = {""};
    int        rc  = source_file_read(stream->file, stream->packet, &why);
    double     progress;

    if (rc == ERR_CLOSED)
        return DECODE_STEP_NOW;
    if (rc != 0)
        return finish_pass(stream, rc, &why);
    progress              = source_file_progress(stream->file, stream->packet);
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

static int64_t file_turn(struct decode_stream *stream)
{
    int64_t now_ns;

    if (stream->over)
        return DECODE_STEP_IDLE;
    if (stream->file == NULL)
        return open_file(stream);
    if (!stream->packet_held) {
        int64_t again = read_file(stream);

        if (!stream->packet_held)
            return again;
    }
    now_ns = clock_monotonic_ns();
    if (stream->packet_due_ns > now_ns) {
        deliver_pending(stream);
        return stream->packet_due_ns;
    }
    stream->packet_held = false;
    decode_packet(stream, stream->packet, clock_wall_ns(),
                  stream->fastest ? now_ns : stream->packet_due_ns);
    av_packet_unref(stream->packet);
    return DECODE_STEP_NOW;
}

/* ---- on a worker: a queue ---- */

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
    }
    avcodec_parameters_free(&entry->parameters);
    if (rc == 0)
        return DECODE_STEP_NOW;
    end_stream(stream, SOURCE_END_ERROR, why.text);
    return DECODE_STEP_IDLE;
}

static int64_t queue_turn(struct decode_stream *stream)
{
    struct decode_entry entry = {.packet = stream->packet};
    bool                got;

    pthread_mutex_lock(&stream->lock);
    got = stream->epoch == stream->worker_epoch && decode_queue_take(&stream->queue, &entry);
    pthread_mutex_unlock(&stream->lock);
    if (!got) {
        deliver_pending(stream);
        return DECODE_STEP_IDLE;
    }
    if (entry.parameters != NULL)
        return take_parameters(stream, &entry);
    if (stream->codec == NULL) {
        count_dropped(stream);
    } else {
        if (entry.gap)
            decode_codec_flush(stream->codec);
        decode_packet(stream, stream->packet, entry.wall_ns, entry.arrival_ns);
    }
    av_packet_unref(stream->packet);
    return DECODE_STEP_NOW;
}

/* ---- the step ---- */

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
        forget_stream(stream);
    decode_rate_set(&stream->rate, fps);
}

static int64_t stream_step(struct decode_actor *actor)
{
    struct decode_stream *stream = (struct decode_stream *)actor;

    for (int turn = 0; turn < DECODE_QUANTUM_PACKETS; turn++) {
        int64_t again;

        take_orders(stream);
        again = stream->playing ? file_turn(stream) : queue_turn(stream);
        if (is_closing(stream))
            return DECODE_STEP_IDLE;
        if (again != DECODE_STEP_NOW)
            return again;
    }
    return DECODE_STEP_NOW;
}
