#include "server/camera/decode_engine.h"

#include "config/err.h"
#include "server/camera/decode.h"
#include "server/camera/decode_arena.h"
#include "server/camera/decode_codec.h"
#include "server/camera/decode_device.h"
#include "server/camera/decode_process.h"
#include "server/camera/decode_wire_av.h"
#include "server/camera/frame_av.h"

#include <stdlib.h>
#include <string.h>

struct decode_engine {
    /* Here ... */
    struct decode_codec       *codec;
    struct frame_av_converter *converter;
    AVFrame                   *picture;
    /* Here, on a card. */
    struct decode_device *card;
    AVBufferRef          *context;
    AVBufferRef          *held; /* nothing but references: each picture outside has one */
    /* ... or there. */
    struct decode_process     *process;
    uint64_t                   life;
    int                        decoder;
    struct decode_arena       *arena;
    bool                       in_hand;
    uint32_t                   next; /* picture of the answer */
    struct decode_wire_answer *answer;
};

/* ---- here ---- */

static int open_here(struct decode_engine *engine, const AVCodecParameters *parameters,
                     AVRational time_base, struct why *why)
{
    engine->picture = av_frame_alloc();
    if (engine->picture == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a decoder");
    return decode_codec_open(&engine->codec, parameters, time_base, why);
}

static int send_here(struct decode_engine *engine, const AVPacket *packet,
                     enum decode_wire_skip skip)
{
    decode_codec_skip(engine->codec, skip == DECODE_WIRE_SKIP_NONKEY   ? AVDISCARD_NONKEY
                                     : skip == DECODE_WIRE_SKIP_NONREF ? AVDISCARD_NONREF
                                                                       : AVDISCARD_DEFAULT);
    return decode_codec_send(engine->codec, packet);
}

static int receive_here(struct decode_engine *engine, struct decode_picture *out)
{
    AVFrame *picture = engine->picture;
    int      rc      = decode_codec_receive(engine->codec, picture);

    if (rc != 0)
        return rc == ERR_NOT_FOUND ? ERR_AGAIN : rc;
    *out = (struct decode_picture){
        .width_px    = picture->width,
        .height_px   = picture->height,
        .timestamp   = picture->pts != AV_NOPTS_VALUE ? picture->pts : picture->pkt_dts,
        .best_effort = picture->best_effort_timestamp,
        .damaged     = (picture->flags & AV_FRAME_FLAG_CORRUPT) != 0 ||
                   picture->decode_error_flags != 0,
    };
    return 0;
}

/* ---- here, on a card ---- */

static int open_on_card(struct decode_engine *engine, const AVCodecParameters *parameters,
                        AVRational time_base, struct why *why)
{
    int rc = decode_device_take(engine->card, &engine->context, why);

    if (rc != 0)
        return rc;
    engine->held    = av_buffer_alloc(1);
    engine->picture = av_frame_alloc();
    if (engine->held == NULL || engine->picture == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a decoder");
    /* One more than may be kept outside: the picture in hand. */
    return decode_codec_open_on(&engine->codec, parameters, time_base, engine->context,
                                DECODE_DEVICE_HELD + 1, why);
}

/* The picture as it lies in the card's memory; or a copy, when so many of this stream are outside that
 * its decoder would soon have no surface. */
static int frame_on_card(struct decode_engine *engine, struct frame **out)
{
    struct frame *frame = NULL;
    bool          full  = av_buffer_get_ref_count(engine->held) > DECODE_DEVICE_HELD;
    int           rc;

    *out = NULL;
    /* The frame's own, given back with it: so they are counted. */
    av_buffer_unref(&engine->picture->opaque_ref);
    if (!full && (engine->picture->opaque_ref = av_buffer_ref(engine->held)) == NULL)
        return ERR_MEMORY;
    if ((rc = frame_av_wrap(&frame, engine->picture, &engine->converter)) != 0)
        return rc;
    if (!full) {
        *out = frame;
        return 0;
    }
    if ((*out = frame->device->copy(frame)) != NULL)
        frame_count_copy(FRAME_COPY_HELD);
    frame_unref(&frame);
    return *out != NULL ? 0 : ERR_IO;
}

const char *decode_engine_refusal(const struct decode_engine *engine)
{
    return engine->card != NULL ? decode_codec_refusal(engine->codec) : NULL;
}

bool decode_engine_card_failed(const struct decode_engine *engine)
{
    return engine->card != NULL && decode_codec_card_failed(engine->codec);
}

/* ---- there ---- */

static int want_arena(void *arg, struct decode_process_call *call, size_t bytes, int *fd)
{
    struct decode_engine *engine = arg;

    decode_arena_close(&engine->arena);
    if (decode_arena_open(&engine->arena, bytes, fd, NULL) != 0) {
        call->slot_bytes = 0;
        call->slots      = 0;
        return ERR_MEMORY;
    }
    call->slot_bytes = decode_arena_slot_bytes(engine->arena);
    call->slots      = decode_arena_slots(engine->arena);
    return 0;
}

static int ask(struct decode_engine *engine, struct decode_process_call *call)
{
    int rc;

    engine->next               = 0;
    engine->in_hand            = false;
    engine->answer->head.count = engine->answer->head.bytes = 0;
    if (decode_process_life(engine->process) != engine->life)
        return ERR_DEVICE_LOST;
    call->request.decoder = (uint32_t)engine->decoder;
    call->answer          = engine->answer;
    call->want            = want_arena;
    call->arg             = engine;
    if (engine->arena != NULL) {
        call->slot_bytes = decode_arena_slot_bytes(engine->arena);
        call->slots      = decode_arena_slots(engine->arena);
    }
    rc = decode_process_ask(engine->process, call);
    if (rc != 0)
        engine->answer->head.count = engine->answer->head.bytes = 0;
    engine->in_hand = call->in_hand;
    return rc;
}

static int describe_coding(struct decode_engine *engine, const AVCodecParameters *from,
                           AVRational time_base, struct decode_process_call *call)
{
    uint8_t                  *area = decode_process_area(engine->process);
    struct decode_wire_coding coding;
    int rc = decode_wire_write_coding(area + sizeof coding, DECODE_PACKET_BYTES, from, time_base,
                                      &coding);

    memcpy(area, &coding, sizeof coding);
    call->request.kind = DECODE_WIRE_OPEN;
    return rc;
}

static int open_there(struct decode_engine *engine, const AVCodecParameters *parameters,
                      AVRational time_base, struct why *why)
{
    struct decode_process_call call = {.slots = 0};
    int                        rc   = decode_process_ready(engine->process, why);

    if (rc != 0)
        return rc;
    if (parameters->codec_type != AVMEDIA_TYPE_VIDEO ||
        describe_coding(engine, parameters, time_base, &call) != 0)
        return why_set(why, ERR_CORRUPT, "the stream's parameters are damaged");
    engine->answer = malloc(sizeof *engine->answer);
    if (engine->answer == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a decoder");
    engine->decoder = decode_process_take_decoder(engine->process);
    if (engine->decoder < 0)
        return why_set(why, ERR_FULL, "a decoder process has no room for another camera");
    engine->life = decode_process_life(engine->process);
    rc           = ask(engine, &call);
    if (rc != 0)
        return why_set(why, engine->in_hand ? ERR_DEVICE_LOST : ERR_AGAIN, "the decoder %s",
                       decode_process_end(engine->process));
    rc = engine->answer->head.rc;
    return rc == 0 ? 0 : why_set(why, rc, "%s", engine->answer->head.text);
}

static int send_there(struct decode_engine *engine, const AVPacket *packet,
                      enum decode_wire_skip skip)
{
    struct decode_process_call call = {.request = {.kind = DECODE_WIRE_DRAIN, .skip = skip}};
    int                        rc;

    if (packet != NULL) {
        if (packet->size < 0 || packet->size > DECODE_PACKET_BYTES)
            return ERR_CORRUPT;
        call.request.kind = DECODE_WIRE_DECODE;
        decode_wire_write_packet(decode_process_area(engine->process), packet,
                                 &call.request.packet);
    }
    rc = ask(engine, &call);
    return rc != 0 ? rc : engine->answer->head.rc;
}

static int receive_there(struct decode_engine *engine, struct decode_picture *out)
{
    struct decode_wire_answer        *answer = engine->answer;
    const struct decode_wire_picture *picture;

    if (engine->next == answer->head.count) {
        /* Pictures that were lost come last: which one they were nobody knows. */
        if (answer->head.bytes == 0)
            return ERR_AGAIN;
        answer->head.bytes--;
        return ERR_CORRUPT;
    }
    picture = &answer->picture[engine->next++];
    *out    = (struct decode_picture){
           .width_px    = (int)picture->width_px,
           .height_px   = (int)picture->height_px,
           .timestamp   = picture->timestamp,
           .best_effort = picture->best_effort,
           .damaged     = (picture->flags & DECODE_WIRE_DAMAGED) != 0,
    };
    return 0;
}

static int frame_there(struct decode_engine *engine, struct frame **frame)
{
    const struct decode_wire_picture *picture = &engine->answer->picture[engine->next - 1];

    *frame = NULL;
    if (engine->arena == NULL || (picture->flags & DECODE_WIRE_LOST) != 0)
        return ERR_MEMORY;
    return decode_arena_frame(engine->arena, picture, frame);
}

/* ---- wherever ---- */

static int open_any(struct decode_engine **out, struct decode_process *process,
                    struct decode_device *card, const AVCodecParameters *parameters,
                    AVRational time_base, struct why *why)
{
    struct decode_engine *engine = calloc(1, sizeof *engine);
    int                   rc;

    *out = NULL;
    if (engine == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a decoder");
    engine->process = process;
    engine->card    = card;
    engine->decoder = -1;
    if (card != NULL)
        rc = open_on_card(engine, parameters, time_base, why);
    else
        rc = process == NULL ? open_here(engine, parameters, time_base, why)
                             : open_there(engine, parameters, time_base, why);
    if (rc != 0)
        decode_engine_close(&engine);
    *out = engine;
    return rc;
}

int decode_engine_open(struct decode_engine **out, struct decode_process *process,
                       const AVCodecParameters *parameters, AVRational time_base, struct why *why)
{
    return open_any(out, process, NULL, parameters, time_base, why);
}

int decode_engine_open_on(struct decode_engine **out, struct decode_device *card,
                          const AVCodecParameters *parameters, AVRational time_base,
                          struct why *why)
{
    return open_any(out, NULL, card, parameters, time_base, why);
}

void decode_engine_close(struct decode_engine **out)
{
    struct decode_engine *engine = *out;

    if (engine == NULL)
        return;
    /* While the context is held: the card may then be found to be lost. */
    if (engine->codec != NULL && decode_engine_card_failed(engine))
        decode_device_doubt(engine->card, engine->context);
    decode_codec_close(&engine->codec);
    av_buffer_unref(&engine->context);
    av_buffer_unref(&engine->held);
    frame_av_converter_close(&engine->converter);
    av_frame_free(&engine->picture);
    if (engine->decoder >= 0)
        decode_process_close_decoder(engine->process, engine->decoder, engine->life);
    decode_arena_close(&engine->arena);
    free(engine->answer);
    free(engine);
    *out = NULL;
}

int decode_engine_send(struct decode_engine *engine, const AVPacket *packet,
                       enum decode_wire_skip skip)
{
    return engine->process == NULL ? send_here(engine, packet, skip)
                                   : send_there(engine, packet, skip);
}

int decode_engine_receive(struct decode_engine *engine, struct decode_picture *picture)
{
    return engine->process == NULL ? receive_here(engine, picture) : receive_there(engine, picture);
}

int decode_engine_frame(struct decode_engine *engine, struct frame **frame)
{
    if (engine->card != NULL)
        return frame_on_card(engine, frame);
    return engine->process == NULL ? frame_av_wrap(frame, engine->picture, &engine->converter)
                                   : frame_there(engine, frame);
}

int decode_engine_flush(struct decode_engine *engine)
{
    struct decode_process_call call = {.request = {.kind = DECODE_WIRE_FLUSH}};

    if (engine->process != NULL)
        return ask(engine, &call);
    decode_codec_flush(engine->codec);
    return 0;
}

bool decode_engine_was_in_hand(const struct decode_engine *engine)
{
    return engine->in_hand;
}
