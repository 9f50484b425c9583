/* Where a stream is decoded: on the card that the pool has, if it is there and takes the stream, else
 * as usual. Which, and why not there, is told. */
#include "server/camera/decode_stream_private.h"

#include "config/clock.h"
#include "config/err.h"
#include "server/camera/decode_device.h"

#include <stdio.h>

static void tell(struct decode_stream *stream, enum camera_decoder where, const char *note)
{
    pthread_mutex_lock(&stream->lock);
    stream->status.decoder = where;
    snprintf(stream->status.decoder_note, sizeof stream->status.decoder_note, "%s", note);
    pthread_mutex_unlock(&stream->lock);
}

static void leave(struct decode_stream *stream, int64_t retry_ns, const char *note)
{
    stream->off_card      = true;
    stream->card_retry_ns = retry_ns;
    tell(stream,
         decode_actor_process(&stream->actor) != NULL ? CAMERA_DECODER_PROCESS
                                                      : CAMERA_DECODER_THREAD,
         note);
}

/* When a stream that could not be opened on the card is tried again; 0: never, the card does not take
 * it. Another stream may have found the device to be there since. */
static int64_t retry_ns_after(struct decode_device *card, int rc)
{
    int64_t device_ns = decode_device_retry_ns(card);

    if (rc != ERR_DEVICE_LOST)
        return 0;
    return device_ns != 0 ? device_ns : clock_monotonic_ns();
}

/* What has killed sandboxed decoders is not read in this process. */
void decode_stream_want_card(struct decode_stream *stream)
{
    bool any = decode_actor_device(&stream->actor) != NULL;

    stream->off_card      = !any || stream->actor.quarantine;
    stream->card_retry_ns = 0;
    if (stream->off_card)
        leave(stream, 0, any ? "its video has killed decoder processes" : "");
}

int decode_stream_open_engine(struct decode_stream *stream, struct why *why)
{
    struct decode_device *card   = decode_actor_device(&stream->actor);
    struct why            reason = {""};
    int                   rc;

    if (!stream->off_card) {
        if ((rc = decode_engine_open_on(&stream->engine, card, stream->parameters,
                                        stream->time_base, &reason)) == 0) {
            tell(stream, CAMERA_DECODER_CARD, "");
            return 0;
        }
        leave(stream, retry_ns_after(card, rc), reason.text);
    }
    return decode_engine_open(&stream->engine, decode_actor_process(&stream->actor),
                              stream->parameters, stream->time_base, why);
}

/* A file that is counted offline is counted whole or not at all. */
static void end_for_card(struct decode_stream *stream)
{
    char reason[160];

    snprintf(reason, sizeof reason, "decoder: %s", decode_engine_refusal(stream->engine));
    decode_stream_end(stream, SOURCE_END_ERROR, reason);
}

int decode_stream_leave_card(struct decode_stream *stream, const AVPacket *packet)
{
    bool failed = decode_engine_card_failed(stream->engine);

    leave(stream, failed ? decode_device_stream_retry_ns(decode_actor_device(&stream->actor)) : 0,
          decode_engine_refusal(stream->engine));
    if (stream->fastest && stream->pass_pictures > 0) {
        end_for_card(stream);
        return ERR_CLOSED;
    }
    return decode_stream_begin_again(stream, packet, false);
}

bool decode_stream_ends_short(struct decode_stream *stream)
{
    if (!stream->fastest || stream->lost || decode_engine_refusal(stream->engine) == NULL)
        return false;
    end_for_card(stream);
    return true;
}

void decode_stream_try_card(struct decode_stream *stream, const AVPacket *packet)
{
    struct decode_device *card   = decode_actor_device(&stream->actor);
    struct decode_engine *engine = NULL;
    struct why            reason = {""};
    int                   rc;

    if (stream->card_retry_ns == 0 || stream->fastest || stream->actor.quarantine ||
        (packet->flags & AV_PKT_FLAG_KEY) == 0 || clock_monotonic_ns() < stream->card_retry_ns)
        return;
    if ((rc = decode_engine_open_on(&engine, card, stream->parameters, stream->time_base,
                                    &reason)) != 0) {
        leave(stream, retry_ns_after(card, rc), reason.text);
        return;
    }
    decode_stream_drain(stream);
    decode_engine_close(&stream->engine);
    stream->engine        = engine;
    stream->lost          = false;
    stream->off_card      = false;
    stream->card_retry_ns = 0;
    tell(stream, CAMERA_DECODER_CARD, "");
}
