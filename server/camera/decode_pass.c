/* Packets that go to viewers as they are, and what their times say. */
#include "server/camera/decode_stream_private.h"

#include "config/clock.h"
#include "config/err.h"

#include <libavcodec/avcodec.h>
#include <stdio.h>
#include <string.h>

static int64_t timestamp_of(const AVPacket *packet)
{
    return packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
}

static void put_unit(struct decode_stream *stream, struct camera_unit *unit)
{
    bool wake;

    pthread_mutex_lock(&stream->lock);
    wake = decode_units_put(&stream->units, unit);
    pthread_mutex_unlock(&stream->lock);
    if (wake)
        decode_stream_wake_loop(stream);
}

void decode_stream_unit(struct decode_stream *stream, const AVPacket *packet, int64_t wall_ns)
{
    struct camera_unit *unit;

    if (stream->view == NULL || decode_view_unit(stream->view, packet, &unit) != 0)
        return;
    unit->pts_ns  = decode_clock_map(&stream->clock, timestamp_of(packet));
    unit->wall_ns = wall_ns;
    put_unit(stream, unit);
}

void decode_stream_note_lead(struct decode_stream *stream, const AVPacket *packet, int64_t wall_ns,
                             int64_t arrival_ns)
{
    int64_t pts_ns = decode_clock_map(&stream->clock, timestamp_of(packet));

    pthread_mutex_lock(&stream->lock);
    if (stream->epoch == stream->worker_epoch) {
        decode_lead_note(&stream->wall_lead, wall_ns - pts_ns, arrival_ns);
        decode_lead_note(&stream->arrival_lead, arrival_ns - pts_ns, arrival_ns);
    }
    pthread_mutex_unlock(&stream->lock);
}

/* ---- a stream that nobody decodes ---- */

int decode_stream_begin_passing(struct decode_stream *stream, struct why *why)
{
    const AVCodecParameters *parameters = stream->parameters;
    int                      rc;

    if (parameters->codec_id == AV_CODEC_ID_MJPEG)
        return 0;
    rc = decode_view_open(&stream->view, parameters, stream->time_base);
    if (rc == ERR_UNSUPPORTED)
        return why_set(why, rc, "its video is %s, which is not passed on as it is",
                       avcodec_get_name(parameters->codec_id));
    return rc == 0 ? 0 : why_set(why, rc, "its video cannot be passed on: %s", err_text(rc));
}

/* A packet of a JPEG stream is a whole JPEG. */
static struct camera_unit *jpeg_unit(const struct decode_stream *stream, const AVPacket *packet)
{
    struct camera_unit *unit = camera_unit_alloc((size_t)packet->size);

    if (unit == NULL)
        return NULL;
    unit->video     = CAMERA_VIDEO_JPEG;
    unit->key       = true;
    unit->width_px  = stream->parameters->width;
    unit->height_px = stream->parameters->height;
    snprintf(unit->codec, sizeof unit->codec, "jpeg");
    memcpy(unit->data, packet->data, (size_t)packet->size);
    return unit;
}

/* What the state machine takes for pictures: from the first one on that a viewer can begin with. */
static void note_unit(struct decode_stream *stream, const struct camera_unit *unit)
{
    struct decode_status *status = &stream->status;
    int64_t               now_ns = clock_monotonic_ns();

    pthread_mutex_lock(&stream->lock);
    if (stream->epoch == stream->worker_epoch && (unit->key || status->pictures > 0))
        status->pictures++;
    if (unit->width_px > 0) {
        status->width_px  = unit->width_px;
        status->height_px = unit->height_px;
    }
    status->last_frame_ns = now_ns;
    pthread_mutex_unlock(&stream->lock);
    stream->last_picture_ns = now_ns;
}

void decode_stream_pass(struct decode_stream *stream, const AVPacket *packet, int64_t wall_ns)
{
    struct camera_unit *unit = NULL;
    bool                first;

    /* A timestamp that is none begins a time line anew, before it is used. */
    decode_clock_picture(&stream->clock, timestamp_of(packet));
    if (stream->view == NULL)
        unit = jpeg_unit(stream, packet);
    else if (decode_view_unit(stream->view, packet, &unit) != 0)
        unit = NULL;
    if (unit == NULL) {
        decode_stream_count(stream, &stream->status.packets_dropped);
        return;
    }
    unit->pts_ns  = decode_clock_map(&stream->clock, timestamp_of(packet));
    unit->wall_ns = wall_ns;
    first         = stream->pass_pictures == 0 && unit->key;
    note_unit(stream, unit);
    stream->pass_pictures += unit->key;
    if (unit->video != CAMERA_VIDEO_JPEG) {
        put_unit(stream, unit);
    } else {
        pthread_mutex_lock(&stream->lock);
        camera_unit_unref(&stream->units.jpeg);
        stream->units.jpeg = unit;
        pthread_mutex_unlock(&stream->lock);
        decode_stream_wake_loop(stream);
    }
    if (first)
        decode_stream_wake_loop(stream);
}
