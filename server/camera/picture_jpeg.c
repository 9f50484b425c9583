#include "server/camera/picture_jpeg.h"

#include "config/err.h"
#include "config/limits.h"

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FFmpeg's scale of 2 (best) to 31: street pictures of 640x360 come to about 40 KiB, text stays
 * readable. */
#define QUALITY 4

struct picture_jpeg {
    AVCodecContext    *encoder;
    struct SwsContext *scaler;
    AVFrame           *scaled;
    AVPacket          *packet;
    struct {
        int               width_px, height_px;
        enum frame_format format;
        enum frame_matrix matrix;
        bool              full_range;
    } source; /* what the scaler is set up for */
    /* Chroma of a grey picture: its rows overlap, each one byte after the other. */
    uint8_t no_colour[LIMIT_PICTURE_PX + 64];
};

static enum AVPixelFormat av_format(const struct frame *frame)
{
    switch (frame->format) {
    case FRAME_I420:
        return AV_PIX_FMT_YUV420P;
    case FRAME_I422:
        return AV_PIX_FMT_YUV422P;
    case FRAME_I444:
        return AV_PIX_FMT_YUV444P;
    case FRAME_NV12:
        return AV_PIX_FMT_NV12;
    case FRAME_GRAY8: /* swscale would keep its range: it gets chroma, see scale() */
        return AV_PIX_FMT_YUV420P;
    case FRAME_BGR24:
        return AV_PIX_FMT_BGR24;
    case FRAME_RGB24:
        return AV_PIX_FMT_RGB24;
    }
    return AV_PIX_FMT_NONE;
}

void picture_jpeg_close(struct picture_jpeg **jpeg)
{
    if (*jpeg == NULL)
        return;
    sws_freeContext((*jpeg)->scaler);
    avcodec_free_context(&(*jpeg)->encoder);
    av_frame_free(&(*jpeg)->scaled);
    av_packet_free(&(*jpeg)->packet);
    free(*jpeg);
    *jpeg = NULL;
}

static int open_encoder(struct picture_jpeg *jpeg, int width_px, int height_px)
{
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_MJPEG);

    if (codec == NULL)
        return ERR_UNSUPPORTED;
    jpeg->encoder = avcodec_alloc_context3(codec);
    jpeg->scaled  = av_frame_alloc();
    jpeg->packet  = av_packet_alloc();
    if (jpeg->encoder == NULL || jpeg->scaled == NULL || jpeg->packet == NULL)
        return ERR_MEMORY;
    jpeg->encoder->width        = width_px;
    jpeg->encoder->height       = height_px;
    jpeg->encoder->pix_fmt      = AV_PIX_FMT_YUV420P;
    jpeg->encoder->color_range  = AVCOL_RANGE_JPEG;
    jpeg->encoder->time_base    = (AVRational){1, 1000};
    jpeg->encoder->thread_count = 1;
    jpeg->encoder->flags |= AV_CODEC_FLAG_QSCALE;
    jpeg->encoder->global_quality = QUALITY * FF_QP2LAMBDA;
    jpeg->scaled->width           = width_px;
    jpeg->scaled->height          = height_px;
    jpeg->scaled->format          = AV_PIX_FMT_YUV420P;
    jpeg->scaled->color_range     = AVCOL_RANGE_JPEG;
    jpeg->scaled->quality         = jpeg->encoder->global_quality;
    if (avcodec_open2(jpeg->encoder, codec, NULL) < 0)
        return ERR_UNSUPPORTED;
    return av_frame_get_buffer(jpeg->scaled, 0) < 0 ? ERR_MEMORY : 0;
}

static bool is_set_up_for(const struct picture_jpeg *jpeg, const struct frame *frame)
{
    return jpeg->scaler != NULL && jpeg->source.width_px == frame->width_px &&
           jpeg->source.height_px == frame->height_px && jpeg->source.format == frame->format &&
           jpeg->source.matrix == frame->matrix && jpeg->source.full_range == frame->full_range;
}

/* JPEG is full range BT.601, whatever the camera sends. The ranges are set before the scaler is
 * initialised: after that a picture of the same size would be copied as it is. */
static int open_scaler(struct picture_jpeg *jpeg, const struct frame *frame)
{
    const int *from = sws_getCoefficients(frame->matrix == FRAME_BT709 ? SWS_CS_ITU709
                                                                       : SWS_CS_ITU601);

    if (is_set_up_for(jpeg, frame))
        return 0;
    sws_freeContext(jpeg->scaler);
    jpeg->scaler = sws_alloc_context();
    if (jpeg->scaler == NULL)
        return ERR_MEMORY;
    av_opt_set_int(jpeg->scaler, "srcw", frame->width_px, 0);
    av_opt_set_int(jpeg->scaler, "srch", frame->height_px, 0);
    av_opt_set_int(jpeg->scaler, "src_format", av_format(frame), 0);
    av_opt_set_int(jpeg->scaler, "src_range", frame->full_range ? 1 : 0, 0);
    av_opt_set_int(jpeg->scaler, "dstw", jpeg->scaled->width, 0);
    av_opt_set_int(jpeg->scaler, "dsth", jpeg->scaled->height, 0);
    av_opt_set_int(jpeg->scaler, "dst_format", AV_PIX_FMT_YUV420P, 0);
    av_opt_set_int(jpeg->scaler, "dst_range", 1, 0);
    av_opt_set_int(jpeg->scaler, "sws_flags", SWS_BILINEAR, 0);
    if (sws_init_context(jpeg->scaler, NULL, NULL) < 0)
        return ERR_UNSUPPORTED;
    sws_setColorspaceDetails(jpeg->scaler, from, frame->full_range ? 1 : 0,
                             sws_getCoefficients(SWS_CS_ITU601), 1, 0, 1 << 16, 1 << 16);
    jpeg->source.width_px   = frame->width_px;
    jpeg->source.height_px  = frame->height_px;
    jpeg->source.format     = frame->format;
    jpeg->source.matrix     = frame->matrix;
    jpeg->source.full_range = frame->full_range;
    return 0;
}

static int scale(struct picture_jpeg *jpeg, const struct frame *frame)
{
    const uint8_t *plane[4] = {frame->plane[0], frame->plane[1], frame->plane[2], NULL};
    int stride_bytes[4] = {frame->stride_bytes[0], frame->stride_bytes[1], frame->stride_bytes[2],
                           0};

    if (frame->format == FRAME_GRAY8) {
        memset(jpeg->no_colour, 128, sizeof jpeg->no_colour);
        plane[1] = plane[2] = jpeg->no_colour;
        stride_bytes[1] = stride_bytes[2] = 1;
    }
    if (sws_scale(jpeg->scaler, plane, stride_bytes, 0, frame->height_px, jpeg->scaled->data,
                  jpeg->scaled->linesize) != jpeg->scaled->height)
        return ERR_UNSUPPORTED;
    return 0;
}

static int encode_scaled(struct picture_jpeg *jpeg, struct camera_unit **out)
{
    if (avcodec_send_frame(jpeg->encoder, jpeg->scaled) < 0 ||
        avcodec_receive_packet(jpeg->encoder, jpeg->packet) < 0)
        return ERR_UNSUPPORTED;
    *out = camera_unit_alloc((size_t)jpeg->packet->size);
    if (*out != NULL)
        memcpy((*out)->data, jpeg->packet->data, (size_t)jpeg->packet->size);
    av_packet_unref(jpeg->packet);
    return *out != NULL ? 0 : ERR_MEMORY;
}

int picture_jpeg_encode(struct picture_jpeg **kept, const struct frame *frame, int max_width_px,
                        struct camera_unit **out)
{
    struct picture_jpeg *jpeg      = *kept;
    int                  width_px  = frame->width_px;
    int                  height_px = frame->height_px;
    int                  rc        = 0;

    *out = NULL;
    if (width_px > max_width_px) {
        height_px = (int)((int64_t)height_px * max_width_px / width_px);
        height_px = height_px < 1 ? 1 : height_px;
        width_px  = max_width_px;
    }
    if (jpeg != NULL && (jpeg->scaled->width != width_px || jpeg->scaled->height != height_px))
        picture_jpeg_close(kept);
    if (*kept == NULL) {
        *kept = calloc(1, sizeof **kept);
        rc    = *kept == NULL ? ERR_MEMORY : open_encoder(*kept, width_px, height_px);
    }
    jpeg = *kept;
    if (rc == 0)
        rc = open_scaler(jpeg, frame);
    /* The encoder may still hold the picture before. */
    if (rc == 0 && av_frame_make_writable(jpeg->scaled) < 0)
        rc = ERR_MEMORY;
    if (rc == 0)
        rc = scale(jpeg, frame);
    if (rc == 0)
        rc = encode_scaled(jpeg, out);
    if (rc != 0) {
        picture_jpeg_close(kept);
        return rc;
    }
    (*out)->video     = CAMERA_VIDEO_JPEG;
    (*out)->key       = true;
    (*out)->width_px  = width_px;
    (*out)->height_px = height_px;
    (*out)->pts_ns    = frame->pts_ns;
    (*out)->wall_ns   = frame->wall_ns;
    snprintf((*out)->codec, sizeof(*out)->codec, "jpeg");
    return 0;
}
