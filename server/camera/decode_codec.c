#include "server/camera/decode_codec.h"

#include "config/err.h"
#include "config/limits.h"

#include <libavcodec/avcodec.h>
#include <libavutil/pixdesc.h>
#include <stdio.h>
#include <stdlib.h>

/* 8192 x 4608 holds 8K in every usual shape; a hostile stream that claims more costs no memory. */
#define MAX_PIXELS (INT64_C(8192) * 4608)

/* What cameras and recordings are coded in. The other few hundred decoders of libavcodec are attack
 * surface. */
static const enum AVCodecID CODECS[] = {
    AV_CODEC_ID_H264,      AV_CODEC_ID_HEVC,      AV_CODEC_ID_MJPEG,      AV_CODEC_ID_MPEG4,
    AV_CODEC_ID_MSMPEG4V1, AV_CODEC_ID_MSMPEG4V2, AV_CODEC_ID_MSMPEG4V3,  AV_CODEC_ID_MPEG1VIDEO,
    AV_CODEC_ID_H263,      AV_CODEC_ID_FLV1,      AV_CODEC_ID_MPEG2VIDEO, AV_CODEC_ID_VP8,
    AV_CODEC_ID_VP9,       AV_CODEC_ID_AV1,       AV_CODEC_ID_THEORA,     AV_CODEC_ID_WMV1,
    AV_CODEC_ID_WMV2,      AV_CODEC_ID_WMV3,      AV_CODEC_ID_VC1,        AV_CODEC_ID_RAWVIDEO,
};

struct decode_codec {
    AVCodecContext *context;
    bool            on_card, card_failed;
    char            refusal[128]; /* empty: none */
};

static bool known_codec(enum AVCodecID id)
{
    for (size_t i = 0; i < sizeof CODECS / sizeof CODECS[0]; i++) {
        if (CODECS[i] == id)
            return true;
    }
    return false;
}

/* ---- on a card ---- */

static bool is_decoded_on_cards(const AVCodec *decoder)
{
    const AVCodecHWConfig *config;

    for (int i = 0; (config = avcodec_get_hw_config(decoder, i)) != NULL; i++) {
        if (config->device_type == AV_HWDEVICE_TYPE_CUDA &&
            (config->methods & AV_CODEC_HW_CONFIG_METHOD_HW_DEVICE_CTX) != 0)
            return true;
    }
    return false;
}

/* FFmpeg asks as soon as it knows the pictures, and a second time, without the card among the choices,
 * when the card does not take them. Never is the choice to decode such a stream here: what takes over
 * is the usual decoder, in its sandbox. */
static enum AVPixelFormat choose_card(AVCodecContext *context, const enum AVPixelFormat *formats)
{
    struct decode_codec *codec = context->opaque;
    const char          *name  = av_get_pix_fmt_name(context->sw_pix_fmt);
    bool                 plain = context->sw_pix_fmt == AV_PIX_FMT_YUV420P ||
                 context->sw_pix_fmt == AV_PIX_FMT_YUVJ420P;

    for (; plain && *formats != AV_PIX_FMT_NONE; formats++) {
        if (*formats == AV_PIX_FMT_CUDA)
            return AV_PIX_FMT_CUDA;
    }
    if (plain)
        snprintf(codec->refusal, sizeof codec->refusal, "the card does not decode %s of %dx%d",
                 avcodec_get_name(context->codec_id), context->coded_width, context->coded_height);
    else
        snprintf(codec->refusal, sizeof codec->refusal,
                 "%s in %s is not decoded on a card: 8-bit 4:2:0 is",
                 avcodec_get_name(context->codec_id), name != NULL ? name : "another format");
    return AV_PIX_FMT_NONE;
}

/* Errors of CUDA are AVERROR_EXTERNAL, surfaces that have run out are ENOMEM; a damaged stream is
 * neither. */
static void note_failure(struct decode_codec *codec, int av_code)
{
    if (!codec->on_card || codec->refusal[0] != '\0' ||
        (av_code != AVERROR_EXTERNAL && av_code != AVERROR_UNKNOWN && av_code != AVERROR(ENOMEM)))
        return;
    codec->card_failed = true;
    snprintf(codec->refusal, sizeof codec->refusal, "the card failed: %s", av_err2str(av_code));
}

const char *decode_codec_refusal(const struct decode_codec *codec)
{
    return codec->refusal[0] != '\0' ? codec->refusal : NULL;
}

bool decode_codec_card_failed(const struct decode_codec *codec)
{
    return codec->card_failed;
}

/* ---- open and close ---- */

static int check_parameters(const AVCodecParameters *parameters, const AVCodec **decoder,
                            struct why *why)
{
    *decoder = NULL;
    if (parameters->codec_type == AVMEDIA_TYPE_VIDEO && known_codec(parameters->codec_id))
        *decoder = avcodec_find_decoder(parameters->codec_id);
    if (*decoder == NULL)
        return why_set(why, ERR_UNSUPPORTED, "video coded as %s cannot be decoded",
                       avcodec_get_name(parameters->codec_id));
    if (parameters->width > LIMIT_PICTURE_PX || parameters->height > LIMIT_PICTURE_PX ||
        (int64_t)parameters->width * parameters->height > MAX_PIXELS)
        return why_set(why, ERR_LIMIT, "pictures of %dx%d are larger than %dx%d", parameters->width,
                       parameters->height, LIMIT_PICTURE_PX, (int)(MAX_PIXELS / LIMIT_PICTURE_PX));
    return 0;
}

static int set_card(struct decode_codec *codec, AVBufferRef *card, int held, struct why *why)
{
    if (!is_decoded_on_cards(codec->context->codec))
        return why_set(why, ERR_UNSUPPORTED, "%s is not decoded on a card",
                       avcodec_get_name(codec->context->codec_id));
    codec->on_card                  = true;
    codec->context->opaque          = codec;
    codec->context->get_format      = choose_card;
    codec->context->extra_hw_frames = held;
    codec->context->hw_device_ctx   = av_buffer_ref(card);
    return codec->context->hw_device_ctx != NULL
               ? 0
               : why_set(why, ERR_MEMORY, "no memory for a decoder");
}

int decode_codec_open(struct decode_codec **out, const AVCodecParameters *parameters,
                      AVRational time_base, struct why *why)
{
    return decode_codec_open_on(out, parameters, time_base, NULL, 0, why);
}

int decode_codec_open_on(struct decode_codec **out, const AVCodecParameters *parameters,
                         AVRational time_base, AVBufferRef *card, int held, struct why *why)
{
    const AVCodec       *decoder;
    struct decode_codec *codec;
    int                  rc = check_parameters(parameters, &decoder, why);

    *out = NULL;
    if (rc != 0)
        return rc;
    rc    = ERR_MEMORY;
    codec = calloc(1, sizeof *codec);
    if (codec == NULL || (codec->context = avcodec_alloc_context3(decoder)) == NULL) {
        why_set(why, rc, "no memory for a decoder");
        goto fail;
    }
    if (avcodec_parameters_to_context(codec->context, parameters) < 0) {
        rc = why_set(why, ERR_CORRUPT, "the stream's parameters are damaged");
        goto fail;
    }
    codec->context->thread_count = 1;
    codec->context->max_pixels   = MAX_PIXELS;
    codec->context->pkt_timebase = time_base;
    if (card != NULL && (rc = set_card(codec, card, held, why)) != 0)
        goto fail;
    if (avcodec_open2(codec->context, decoder, NULL) < 0) {
        rc = why_set(why, ERR_CORRUPT, "the %s decoder refuses the stream's parameters",
                     decoder->name);
        goto fail;
    }
    *out = codec;
    return 0;

fail:
    decode_codec_close(&codec);
    return rc;
}

void decode_codec_close(struct decode_codec **codec)
{
    if (*codec == NULL)
        return;
    avcodec_free_context(&(*codec)->context);
    free(*codec);
    *codec = NULL;
}

int decode_codec_send(struct decode_codec *codec, const AVPacket *packet)
{
    int av_code = avcodec_send_packet(codec->context, packet);

    note_failure(codec, av_code);
    if (av_code == AVERROR(ENOMEM))
        return ERR_MEMORY;
    /* AVERROR_EOF: a flush of a decoder that was flushed already. */
    return av_code < 0 && av_code != AVERROR_EOF ? ERR_CORRUPT : 0;
}

int decode_codec_receive(struct decode_codec *codec, AVFrame *picture)
{
    int av_code = avcodec_receive_frame(codec->context, picture);

    note_failure(codec, av_code);
    if (av_code == AVERROR(EAGAIN))
        return ERR_AGAIN;
    if (av_code == AVERROR_EOF)
        return ERR_NOT_FOUND;
    if (av_code < 0)
        return ERR_CORRUPT;
    if (picture->width < 1 || picture->height < 1 || picture->width > LIMIT_PICTURE_PX ||
        picture->height > LIMIT_PICTURE_PX) {
        av_frame_unref(picture);
        return ERR_CORRUPT;
    }
    return 0;
}

void decode_codec_flush(struct decode_codec *codec)
{
    avcodec_flush_buffers(codec->context);
}

void decode_codec_buffers(struct decode_codec *codec,
                          int (*get)(AVCodecContext *context, AVFrame *frame, int flags),
                          void *opaque)
{
    codec->context->get_buffer2 = get;
    codec->context->opaque      = opaque;
}

void decode_codec_skip(struct decode_codec *codec, enum AVDiscard what)
{
    codec->context->skip_frame = what;
}
