/* Pictures out: their times, the choice at the wanted rate, JPEG, and the sink. */
#include "server/camera/decode_stream_private.h"

#include "config/clock.h"
#include "config/err.h"

#define LATE_NS           (100 * NS_PER_MS) /* by more: the newest picture is worth more than all */
#define JPEG_EVERY_NS     (100 * NS_PER_MS)
#define SNAPSHOT_EVERY_NS (200 * NS_PER_MS) /* a large picture takes 30 ms of the worker */
#define JPEG_EARLY_NS     (20 * NS_PER_MS)  /* a camera of 10 a second loses none to jitter */

/* Grows over all cameras: a slot that gets a new camera never sees an old number again. */
static atomic_uint generations;

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
        decode_stream_wake_loop(stream);
}

/* How far behind the camera the decoder is decides what it leaves out. */
static void note_lateness(struct decode_stream *stream, int64_t now_ns)
{
    enum camera_relief before = stream->relief.level;

    if (stream->fastest)
        return;
    decode_relief_note(&stream->relief, now_ns - stream->arrival_ns, now_ns);
    if (stream->relief.level == before)
        return;
    /* What refers to pictures that were never decoded is no use. */
    if (before == CAMERA_KEY_FRAMES_ONLY)
        decode_stream_wait_for_key(stream, DECODE_MAX_WITHOUT_KEY);
    pthread_mutex_lock(&stream->lock);
    stream->status.relief = stream->relief.level;
    pthread_mutex_unlock(&stream->lock);
}

static int encode_jpeg(struct picture_jpeg **jpeg, struct frame *frame, int max_width_px,
                       struct camera_unit **unit)
{
    const struct frame *picture = frame_in_host(frame, FRAME_COPY_VIEW);

    return picture == NULL ? ERR_IO : picture_jpeg_encode(jpeg, picture, max_width_px, unit);
}

static void make_jpeg(struct decode_stream *stream, struct frame *frame)
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
        encode_jpeg(&stream->jpeg, frame, PICTURE_JPEG_WIDTH_PX, &unit) != 0)
        return;
    stream->next_jpeg_ns += JPEG_EVERY_NS;
    if (stream->next_jpeg_ns < frame->decoded_ns)
        stream->next_jpeg_ns = frame->decoded_ns + JPEG_EVERY_NS;
    pthread_mutex_lock(&stream->lock);
    camera_unit_unref(&stream->units.jpeg);
    stream->units.jpeg = unit;
    pthread_mutex_unlock(&stream->lock);
    decode_stream_wake_loop(stream);
}

/* The width of the snapshot that somebody waits for; 0: nobody, or it is too early for another. */
static int snapshot_width(struct decode_stream *stream, int64_t now_ns)
{
    int width_px;

    pthread_mutex_lock(&stream->lock);
    width_px = stream->snapshot_width_px;
    pthread_mutex_unlock(&stream->lock);
    return now_ns < stream->next_snapshot_ns ? 0 : width_px;
}

/* Of the picture in hand, whether it is to be analysed or not. */
static void make_snapshot(struct decode_stream *stream, struct frame *frame, int width_px)
{
    struct picture_jpeg *jpeg = NULL;
    struct camera_unit  *unit = NULL;
    int                  rc   = encode_jpeg(&jpeg, frame, width_px, &unit);

    picture_jpeg_close(&jpeg);
    stream->next_snapshot_ns = frame->decoded_ns + SNAPSHOT_EVERY_NS;
    if (rc != 0) /* the next picture may do */
        return;
    pthread_mutex_lock(&stream->lock);
    if (stream->snapshot_width_px == width_px) { /* else another one is wanted by now */
        camera_unit_unref(&stream->snapshot);
        stream->snapshot          = unit;
        stream->snapshot_width_px = 0;
        unit                      = NULL;
    }
    pthread_mutex_unlock(&stream->lock);
    camera_unit_unref(&unit);
    decode_stream_wake_loop(stream);
}

/* Offline every picture is given out, marked: what is done with it must not depend on how far the
 * detector happens to be. */
static bool worth_analysing(struct decode_stream *stream, struct frame *frame)
{
    const struct frame *picture;
    bool                wanted;

    if (stream->motion == NULL)
        return true;
    picture      = frame_in_host(frame, FRAME_COPY_MOTION);
    frame->still = picture != NULL && !motion_look(stream->motion, picture);
    if (stream->fastest)
        return true;
    wanted = motion_gate_wants(&stream->gate, !frame->still,
                               atomic_load_explicit(&stream->active, memory_order_relaxed),
                               frame->pts_ns);
    pthread_mutex_lock(&stream->lock);
    stream->status.resting = motion_gate_rests(&stream->gate, frame->pts_ns);
    stream->status.frames_still += wanted ? 0 : 1;
    pthread_mutex_unlock(&stream->lock);
    if (!wanted && stream->settings.still != NULL)
        stream->settings.still(stream->settings.arg, frame->wall_ns);
    return wanted;
}

/* Takes the reference. */
static void deliver(struct decode_stream *stream, struct frame *frame)
{
    int64_t now_ns = clock_monotonic_ns();

    make_jpeg(stream, frame);
    stream->last_delivery_ns = now_ns;
    if (!worth_analysing(stream, frame)) {
        frame_unref(&frame);
        return;
    }
    pthread_mutex_lock(&stream->lock);
    stream->status.frames_analysed++;
    decode_meter_count(&stream->analysed_meter, now_ns);
    pthread_mutex_unlock(&stream->lock);
    stream->settings.frame(stream->settings.arg, frame);
}

static void skip_pending(struct decode_stream *stream)
{
    if (stream->pending == NULL)
        return;
    frame_unref(&stream->pending);
    decode_stream_count(stream, &stream->status.frames_skipped);
}

void decode_stream_deliver_pending(struct decode_stream *stream)
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

static int64_t find_wall_ns(const struct decode_stream *stream, int64_t timestamp)
{
    for (unsigned i = 1; i <= DECODE_STAMPS && timestamp != AV_NOPTS_VALUE; i++) {
        const struct decode_stamp *stamp =
            &stream->stamps[(stream->next_stamp - i) % DECODE_STAMPS];

        if (stamp->timestamp == timestamp)
            return stamp->wall_ns;
    }
    return stream->stamps[(stream->next_stamp - 1) % DECODE_STAMPS].wall_ns;
}

void decode_stream_next_generation(struct decode_stream *stream)
{
    stream->generation = atomic_fetch_add(&generations, 1) + 1;
    stream->number     = 0;
    decode_rate_restart(&stream->rate);
}

void decode_stream_picture(struct decode_stream *stream)
{
    const struct decode_picture *picture = &stream->picture;
    int64_t                      wall_ns = find_wall_ns(stream, picture->timestamp);
    int64_t                      now_ns  = clock_monotonic_ns();
    int64_t       pts_ns = decode_clock_picture(&stream->clock, picture->best_effort);
    uint64_t      number;
    struct frame *frame;
    int           width_px;
    bool          chosen;

    if (stream->width_px != picture->width_px || stream->height_px != picture->height_px) {
        if (stream->width_px != 0)
            decode_stream_next_generation(stream);
        stream->width_px  = picture->width_px;
        stream->height_px = picture->height_px;
    }
    number = stream->number++;
    stream->pass_pictures++;
    stream->last_picture_ns = now_ns;
    note_lateness(stream, now_ns);
    if (picture->damaged)
        decode_stream_count(stream, &stream->status.decode_errors);
    note_picture(stream, now_ns);
    chosen   = decode_rate_chooses(&stream->rate, pts_ns);
    width_px = snapshot_width(stream, now_ns);
    if (!chosen)
        decode_stream_count(stream, &stream->status.frames_skipped);
    if (!chosen && width_px == 0)
        return;
    if (decode_engine_frame(stream->engine, &frame) != 0) {
        decode_stream_count(stream, &stream->status.decode_errors);
        return;
    }
    frame->slot       = stream->settings.slot;
    frame->generation = stream->generation;
    frame->number     = number;
    frame->pts_ns     = pts_ns;
    frame->wall_ns    = wall_ns;
    frame->decoded_ns = now_ns;
    if (width_px > 0)
        make_snapshot(stream, frame, width_px);
    if (chosen)
        choose_and_deliver(stream, frame);
    else
        frame_unref(&frame);
}
