/* Another decoder when the process that it ran in is gone, or the card does not go on.
 *
 * The units since the last key frame, which are kept for viewers, bring the new decoder to where
 * the old one was: a camera whose key frames are 10 s apart is back in the time that it takes to
 * decode them. Without such (codecs that browsers do not play, groups longer than what is kept) it
 * goes on at the next key frame.
 *
 * A process that dies while it works on our packet may have died of it. Once may be chance: the
 * packet is tried again. The second time it is left out, and concealment does what it can; the
 * third time the camera is put among its like. One that hung has cost enough time: its packet is
 * left out at once. */
#include "server/camera/decode_stream_private.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "server/camera/decode_annexb.h"
#include "server/camera/decode_process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLAY_MAX_NS   (3 * NS_PER_S / 2) /* a key frame comes sooner */
#define FILE_AGAIN_NS   (20 * NS_PER_MS)   /* as long as a process takes to start */
#define FILE_RETRY_NS   (250 * NS_PER_MS)  /* of one that it died of: the others come first */
#define REPLAY_PICTURES 64                 /* out of one packet; as many as are received at most */
#define LENGTH_BYTES    4                  /* before each part of a packet in an MP4 file */

/* ---- units back into packets ---- */

static bool is_length_prefixed(const AVCodecParameters *parameters)
{
    return parameters->extradata_size > 0 &&
           !annexb_is(parameters->extradata, (size_t)parameters->extradata_size);
}

/* Only the usual length is written; 21 and 4 are where the two formats keep it. */
static bool has_usual_lengths(const AVCodecParameters *parameters)
{
    int at = parameters->codec_id == AV_CODEC_ID_HEVC ? 21 : 4;

    return parameters->extradata_size > at && (parameters->extradata[at] & 3) == LENGTH_BYTES - 1;
}

/* The decoder of an MP4 file's stream wants lengths where the unit has start codes. */
static int fill_prefixed(AVPacket *packet, const struct camera_unit *unit, bool hevc)
{
    struct annexb_nal nal;
    size_t            at = 0, bytes = 0;

    while (annexb_next(unit->data, unit->bytes, hevc, &at, &nal))
        bytes += LENGTH_BYTES + nal.bytes;
    if (bytes == 0 || bytes > DECODE_PACKET_BYTES || av_new_packet(packet, (int)bytes) < 0)
        return ERR_MEMORY;
    at = bytes = 0;
    while (annexb_next(unit->data, unit->bytes, hevc, &at, &nal)) {
        for (int i = 0; i < LENGTH_BYTES; i++)
            packet->data[bytes++] = (uint8_t)(nal.bytes >> (8 * (LENGTH_BYTES - 1 - i)));
        memcpy(packet->data + bytes, nal.data, nal.bytes);
        bytes += nal.bytes;
    }
    return 0;
}

static int fill_packet(struct decode_stream *stream, AVPacket *packet,
                       const struct camera_unit *unit)
{
    if (is_length_prefixed(stream->parameters))
        return fill_prefixed(packet, unit, stream->parameters->codec_id == AV_CODEC_ID_HEVC);
    if (unit->bytes > DECODE_PACKET_BYTES || av_new_packet(packet, (int)unit->bytes) < 0)
        return ERR_MEMORY;
    memcpy(packet->data, unit->data, unit->bytes);
    return 0;
}

/* ---- the group of pictures once more ---- */

static struct camera_unit *take_unit(struct decode_stream *stream, size_t index, bool *last)
{
    struct camera_unit *unit;

    pthread_mutex_lock(&stream->lock);
    unit = decode_units_from_key(&stream->units, index);
    if (unit != NULL)
        camera_unit_ref(unit);
    *last = index + 1 >= decode_units_since_key(&stream->units);
    pthread_mutex_unlock(&stream->lock);
    return unit;
}

/* A decoder here takes nothing more until it is rid of them. */
static void drop_pictures(struct decode_engine *engine)
{
    struct decode_picture picture;

    for (int i = 0; i < REPLAY_PICTURES && decode_engine_receive(engine, &picture) != ERR_AGAIN;
         i++)
        continue;
}

/* All but the last unit, which is the packet in hand. ERR_NOT_FOUND: nothing is kept, or it takes
 * too long. What is decoded was given out before. */
static int replay(struct decode_stream *stream)
{
    int64_t             until_ns = clock_monotonic_ns() + REPLAY_MAX_NS;
    AVPacket           *packet   = av_packet_alloc();
    struct camera_unit *unit;
    bool                last = false;
    int                 rc   = packet == NULL ? ERR_MEMORY : 0;

    if (stream->view == NULL ||
        (is_length_prefixed(stream->parameters) && !has_usual_lengths(stream->parameters)))
        rc = ERR_NOT_FOUND;
    for (size_t i = 0; rc == 0; i++) {
        unit = take_unit(stream, i, &last);
        if (unit == NULL || last || clock_monotonic_ns() > until_ns ||
            decode_stream_is_closing(stream)) {
            rc = unit != NULL && last ? 0 : ERR_NOT_FOUND;
            camera_unit_unref(&unit);
            break;
        }
        rc = fill_packet(stream, packet, unit);
        if (rc == 0)
            rc = decode_engine_send(stream->engine, packet, DECODE_WIRE_SKIP_NONE);
        if (rc == ERR_CORRUPT) /* it was damaged the first time, too */
            rc = 0;
        if (rc == 0)
            drop_pictures(stream->engine);
        av_packet_unref(packet);
        camera_unit_unref(&unit);
    }
    av_packet_free(&packet);
    return rc;
}

/* ---- who is to blame ---- */

static void count_strike(struct decode_stream *stream, bool hung)
{
    int64_t now_ns = clock_monotonic_ns();

    if (now_ns - stream->last_strike_ns > DECODE_STRIKES_S * NS_PER_S)
        stream->strikes = 0;
    stream->last_strike_ns = now_ns;
    stream->strikes += hung && stream->strikes == 0 ? 2 : 1;
}

static void end_with_reason(struct decode_stream *stream)
{
    const struct decode_process *process = decode_actor_process(&stream->actor);
    char                         reason[160];

    if (stream->strikes > 1)
        snprintf(reason, sizeof reason, "decoder: %s (%u times within %d s)",
                 decode_process_end(process), stream->strikes, DECODE_STRIKES_S);
    else
        snprintf(reason, sizeof reason, "decoder: %s", decode_process_end(process));
    decode_stream_end(stream, SOURCE_END_ERROR, reason);
}

bool decode_stream_goes_on(struct decode_stream *stream, bool ours)
{
    decode_stream_count(stream, &stream->status.decode_errors);
    if (ours)
        count_strike(stream, decode_process_hung(decode_actor_process(&stream->actor)));
    /* A file that is counted offline is counted whole or not at all. */
    if (!stream->fastest &&
        (!ours || (stream->strikes < DECODE_STRIKES && !stream->actor.quarantine)))
        return true;
    decode_actor_quarantine(&stream->actor,
                            stream->strikes >= DECODE_STRIKES || stream->actor.quarantine);
    end_with_reason(stream);
    return false;
}

int64_t decode_stream_file_lost(struct decode_stream *stream, bool of_it)
{
    /* It would hang there again, and nothing was played yet: on a worker of its own that costs nobody
     * else. */
    if (of_it && stream->file == NULL && decode_process_hung(decode_actor_process(&stream->actor)))
        decode_actor_quarantine(&stream->actor, true);
    /* Of what else it died the decoder's next packet finds out; but a file that is counted offline may
     * have none. */
    if ((of_it || stream->fastest) && !decode_stream_goes_on(stream, of_it))
        return DECODE_STEP_IDLE;
    return clock_monotonic_ns() + (of_it ? FILE_RETRY_NS * stream->strikes : FILE_AGAIN_NS);
}

int decode_stream_begin_again(struct decode_stream *stream, const AVPacket *packet, bool to_blame)
{
    struct why why = {""};
    int        rc;

    stream->lost = true;
    decode_engine_close(&stream->engine);
    rc = decode_stream_open_engine(stream, &why);
    if (rc == ERR_AGAIN || rc == ERR_DEVICE_LOST) {
        if (rc == ERR_DEVICE_LOST)
            decode_stream_goes_on(stream, true);
        return ERR_CLOSED;
    }
    if (rc != 0) {
        decode_stream_end(stream, SOURCE_END_ERROR, why.text);
        return ERR_CLOSED;
    }
    stream->lost = false;
    rc           = replay(stream);
    if (rc == ERR_DEVICE_LOST)
        return rc;
    if (to_blame && stream->strikes > 1) {
        if (rc != 0)
            decode_stream_wait_for_key(stream, DECODE_MAX_AFTER_ERROR);
        return ERR_CLOSED;
    }
    if (rc != 0 && (packet->flags & AV_PKT_FLAG_KEY) == 0) {
        decode_stream_wait_for_key(stream, DECODE_MAX_AFTER_ERROR);
        return ERR_CLOSED;
    }
    return decode_engine_send(stream->engine, packet, DECODE_WIRE_SKIP_NONE);
}

int decode_stream_recover(struct decode_stream *stream, const AVPacket *packet)
{
    bool found = !stream->lost;
    bool ours  = found && decode_engine_was_in_hand(stream->engine);

    stream->lost = true;
    if (found && !decode_stream_goes_on(stream, ours))
        return ERR_CLOSED;
    return decode_stream_begin_again(stream, packet, ours);
}
