/* server/camera/decode_codec.h: one libavcodec decoder, bounded: one thread, known codecs,
 * pictures of at most LIMIT_PICTURE_PX a side. One thread at a time. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_CODEC_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_CODEC_H

#include "config/why.h"

#include <libavcodec/avcodec.h>
#include <libavutil/frame.h>
#include <stdbool.h>

struct decode_codec;

/* ERR_UNSUPPORTED: a codec that is not decoded; ERR_LIMIT: pictures too large; ERR_MEMORY;
 * ERR_CORRUPT. */
int  decode_codec_open(struct decode_codec **out, const AVCodecParameters *parameters,
                       AVRational time_base, struct why *why);
void decode_codec_close(struct decode_codec **codec);

/* The same with a card doing the work: `card` is FFmpeg's context of it, of which a reference is
 * taken; pictures are AV_PIX_FMT_CUDA, NV12 in its memory, of which `held` may be kept besides those
 * that the decoder needs. ERR_UNSUPPORTED as well: FFmpeg has no such decoder of this codec. */
int decode_codec_open_on(struct decode_codec **out, const AVCodecParameters *parameters,
                         AVRational time_base, AVBufferRef *card, int held, struct why *why);
/* Of a codec on a card: NULL, or why it cannot go on there. The stream is none that is decoded there
 * (found out from its first packet, or a later one that changes it), or the card has failed. */
const char *decode_codec_refusal(const struct decode_codec *codec);
/* The card has failed, and not for what the stream is. */
bool decode_codec_card_failed(const struct decode_codec *codec);

/* NULL: nothing more comes, give out what is held back. Call decode_codec_receive until
 * ERR_AGAIN after each. ERR_CORRUPT: the packet could not be decoded. */
int decode_codec_send(struct decode_codec *codec, const AVPacket *packet);
/* 0 and a picture in `picture`; ERR_AGAIN: none without another packet; ERR_NOT_FOUND: none at
 * all any more; ERR_CORRUPT: one was lost, go on. */
int decode_codec_receive(struct decode_codec *codec, AVFrame *picture);
/* Forget everything but the parameter sets: what comes next does not follow what came. */
void decode_codec_flush(struct decode_codec *codec);
/* From now on pictures lie where `get` puts them; `opaque` is the context's. */
void decode_codec_buffers(struct decode_codec *codec,
                          int (*get)(AVCodecContext *context, AVFrame *frame, int flags),
                          void *opaque);
/* What is not decoded at all: AVDISCARD_DEFAULT, AVDISCARD_NONREF or AVDISCARD_NONKEY. */
void decode_codec_skip(struct decode_codec *codec, enum AVDiscard what);

#endif
