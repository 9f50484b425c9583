/* server/camera/decode_engine.h: the decoder of one stream, wherever it runs: in this process
 * (decode_codec.h), or in a sandboxed one (decode_process.h), where a crash costs pictures and
 * nothing else, or in this process with a card doing the work (decode_device.h). One thread at a
 * time, close excepted: any. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_ENGINE_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_ENGINE_H

#include "config/why.h"
#include "gpu/frame.h"
#include "server/camera/decode_wire.h"

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
#include <stdbool.h>
#include <stdint.h>

struct decode_device;
struct decode_engine;
struct decode_process;

struct decode_picture {
    int     width_px, height_px;
    int64_t timestamp, best_effort; /* in the stream's time base; AV_NOPTS_VALUE: none */
    bool    damaged;
};

/* `process` NULL: here. ERR_AGAIN: the process does not run now; ERR_DEVICE_LOST: it died of these
 * parameters; else as decode_codec_open. */
int decode_engine_open(struct decode_engine **out, struct decode_process *process,
                       const AVCodecParameters *parameters, AVRational time_base, struct why *why);
/* On a card, which is not closed before it. ERR_*: it is not there, or FFmpeg has no decoder of this
 * codec on cards. */
int  decode_engine_open_on(struct decode_engine **out, struct decode_device *card,
                           const AVCodecParameters *parameters, AVRational time_base,
                           struct why *why);
void decode_engine_close(struct decode_engine **engine);

/* Of an engine on a card: NULL, or why it cannot go on there; it then gives nothing more and can only
 * be closed. Looked at after decode_engine_send() and decode_engine_receive(). */
const char *decode_engine_refusal(const struct decode_engine *engine);
/* The card is to blame, not the stream. */
bool decode_engine_card_failed(const struct decode_engine *engine);

/* NULL: nothing more comes, give out what is held back. Call decode_engine_receive until ERR_AGAIN
 * after each. ERR_CORRUPT: the packet could not be decoded. ERR_DEVICE_LOST: the process is gone,
 * and the engine can only be closed. */
int decode_engine_send(struct decode_engine *engine, const AVPacket *packet,
                       enum decode_wire_skip skip);
/* 0 and the next picture; ERR_AGAIN: none without another packet; ERR_CORRUPT: one was lost, go
 * on. */
int decode_engine_receive(struct decode_engine *engine, struct decode_picture *picture);
/* The picture received last as a frame with one reference, once; slot, numbers and times are the
 * caller's to fill in. Who does not want it does not call this. ERR_MEMORY, ERR_UNSUPPORTED,
 * ERR_CORRUPT. */
int decode_engine_frame(struct decode_engine *engine, struct frame **frame);
/* Forget everything but the parameter sets. ERR_DEVICE_LOST as above. */
int decode_engine_flush(struct decode_engine *engine);
/* After ERR_DEVICE_LOST: this stream's packet was in work when the process ended. */
bool decode_engine_was_in_hand(const struct decode_engine *engine);

#endif
