#include "server/camera/frame_av.h"

#include "config/err.h"

#include <libavutil/buffer.h>
#include <libavutil/hwcontext.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <pthread.h>
#include <stdlib.h>

/* swscale's bilinear kernels read whole vectors past a row's end. */
#define ROW_ALIGN 64

struct frame_av {
    struct frame     frame; /* first: a struct frame * is a struct frame_av * */
    AVFrame         *picture;
    struct frame_av *next; /* in the free list */
};

struct frame_av_converter {
    struct SwsContext *scaler;
    AVBufferPool      *buffers;
    size_t             buffer_bytes;
};

static pthread_mutex_t  free_lock = PTHREAD_MUTEX_INITIALIZER;
static struct frame_av *free_first; /* under free_lock */
static unsigned         free_count; /* under free_lock */

static const struct {
    enum AVPixelFormat av;
    enum frame_format  format;
    bool               full_range;
} FORMATS[] = {
    {AV_PIX_FMT_YUV420P, FRAME_I420, false}, {AV_PIX_FMT_YUVJ420P, FRAME_I420, true},
    {AV_PIX_FMT_YUV422P, FRAME_I422, false}, {AV_PIX_FMT_YUVJ422P, FRAME_I422, true},
    {AV_PIX_FMT_YUV444P, FRAME_I444, false}, {AV_PIX_FMT_YUVJ444P, FRAME_I444, true},
    {AV_PIX_FMT_NV12, FRAME_NV12, false},    {AV_PIX_FMT_GRAY8, FRAME_GRAY8, false},
    {AV_PIX_FMT_BGR24, FRAME_BGR24, true},   {AV_PIX_FMT_RGB24, FRAME_RGB24, true},
    {AV_PIX_FMT_CUDA, FRAME_NV12, false},
};

static struct frame_av *take_free(void)
{
    struct frame_av *held;

    pthread_mutex_lock(&free_lock);
    held = free_first;
    if (held != NULL) {
        free_first = held->next;
        free_count--;
    }
    pthread_mutex_unlock(&free_lock);
    if (held != NULL)
        return held;
    held = calloc(1, sizeof *held);
    if (held != NULL && (held->picture = av_frame_alloc()) == NULL) {
        free(held);
        held = NULL;
    }
    return held;
}

static void give_back(struct frame *frame)
{
    struct frame_av *held = frame->owner;
    bool             kept;

    av_frame_unref(held->picture);
    pthread_mutex_lock(&free_lock);
    kept = free_count < FRAME_AV_KEEP;
    if (kept) {
        held->next = free_first;
        free_first = held;
        free_count++;
    }
    pthread_mutex_unlock(&free_lock);
    if (!kept) {
        av_frame_free(&held->picture);
        free(held);
    }
}

static int format_index(int av_format)
{
    for (int i = 0; i < (int)(sizeof FORMATS / sizeof FORMATS[0]); i++) {
        if ((int)FORMATS[i].av == av_format)
            return i;
    }
    return -1;
}

/* Streams that do not say it: high definition is BT.709, all else BT.601, as every player
 * guesses. */
static enum frame_matrix matrix_of(const AVFrame *picture)
{
    switch (picture->colorspace) {
    case AVCOL_SPC_BT709:
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
        return FRAME_BT709;
    case AVCOL_SPC_UNSPECIFIED:
    case AVCOL_SPC_RESERVED:
        return picture->width >= 1280 || picture->height > 576 ? FRAME_BT709 : FRAME_BT601;
    default:
        return FRAME_BT601;
    }
}

void frame_av_converter_close(struct frame_av_converter **converter)
{
    if (*converter == NULL)
        return;
    sws_freeContext((*converter)->scaler);
    av_buffer_pool_uninit(&(*converter)->buffers);
    free(*converter);
    *converter = NULL;
}

/* Room for one I420 picture, from a pool that lives until its last buffer is back. */
static int converted_alloc(struct frame_av_converter *converter, AVFrame *picture)
{
    int    row_bytes = (picture->width + ROW_ALIGN - 1) / ROW_ALIGN * ROW_ALIGN;
    int    bytes = av_image_get_buffer_size(AV_PIX_FMT_YUV420P, row_bytes, picture->height + 1, 1);
    size_t need  = bytes < 0 ? 0 : (size_t)bytes + ROW_ALIGN;

    if (need == 0)
        return ERR_UNSUPPORTED;
    if (need != converter->buffer_bytes) {
        av_buffer_pool_uninit(&converter->buffers);
        converter->buffers      = av_buffer_pool_init(need, NULL);
        converter->buffer_bytes = need;
    }
    if (converter->buffers == NULL ||
        (picture->buf[0] = av_buffer_pool_get(converter->buffers)) == NULL) {
        converter->buffer_bytes = 0;
        return ERR_MEMORY;
    }
    picture->linesize[0] = row_bytes;
    picture->linesize[1] = picture->linesize[2] = row_bytes / 2;
    picture->data[0]                            = picture->buf[0]->data;
    picture->data[1] = picture->data[0] + (ptrdiff_t)row_bytes * picture->height;
    picture->data[2] = picture->data[1] +
                       (ptrdiff_t)picture->linesize[1] * ((picture->height + 1) / 2);
    return 0;
}

static bool converter_ready(struct frame_av_converter **converter)
{
    if (*converter == NULL)
        *converter = calloc(1, sizeof **converter);
    return *converter != NULL;
}

int frame_av_scale(struct frame_av_converter **kept, const AVFrame *picture, AVFrame *converted)
{
    struct frame_av_converter *converter;
    bool                       rgb;

    if (!converter_ready(kept))
        return ERR_MEMORY;
    converter         = *kept;
    converter->scaler = sws_getCachedContext(
        converter->scaler, picture->width, picture->height, (enum AVPixelFormat)picture->format,
        picture->width, picture->height, AV_PIX_FMT_YUV420P, SWS_BILINEAR, NULL, NULL, NULL);
    if (converter->scaler == NULL ||
        sws_scale(converter->scaler, (const uint8_t *const *)picture->data, picture->linesize, 0,
                  picture->height, converted->data, converted->linesize) != picture->height)
        return ERR_UNSUPPORTED;
    /* swscale makes studio range BT.601 of RGB, and leaves what is YUV in its own range and
     * matrix. */
    rgb                    = (av_pix_fmt_desc_get((enum AVPixelFormat)picture->format)->flags &
           (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0;
    converted->colorspace  = rgb ? AVCOL_SPC_SMPTE170M : picture->colorspace;
    converted->color_range = rgb ? AVCOL_RANGE_MPEG : picture->color_range;
    return 0;
}

/* Replaces the picture by the same in I420. */
static int convert(struct frame_av_converter **kept, AVFrame *picture)
{
    AVFrame *converted = av_frame_alloc();
    int      rc        = ERR_MEMORY;

    if (converted == NULL || !converter_ready(kept))
        goto done;
    converted->format = AV_PIX_FMT_YUV420P;
    converted->width  = picture->width;
    converted->height = picture->height;
    rc                = converted_alloc(*kept, converted);
    if (rc == 0)
        rc = frame_av_scale(kept, picture, converted);
    if (rc != 0)
        goto done;
    av_frame_unref(picture);
    av_frame_move_ref(picture, converted);

done:
    av_frame_free(&converted);
    return rc;
}

bool frame_av_is_direct(int av_format)
{
    return format_index(av_format) >= 0;
}

void frame_av_describe(const AVFrame *picture, enum frame_format *format, enum frame_matrix *matrix,
                       bool *full_range)
{
    int index = format_index(picture->format);

    *format     = FORMATS[index].format;
    *matrix     = matrix_of(picture);
    *full_range = FORMATS[index].full_range || picture->color_range == AVCOL_RANGE_JPEG;
}

/* NULL: none that can be read by others than FFmpeg. */
static const struct frame_device *device_of(const AVFrame *picture)
{
    const AVHWFramesContext *pool;

    if (picture->hw_frames_ctx == NULL)
        return NULL;
    pool = (const AVHWFramesContext *)(const void *)picture->hw_frames_ctx->data;
    return pool->sw_format == AV_PIX_FMT_NV12 ? pool->device_ctx->user_opaque : NULL;
}

int frame_av_wrap(struct frame **out, AVFrame *picture, struct frame_av_converter **converter)
{
    const struct frame_device *device = device_of(picture);
    struct frame_av           *held   = NULL;
    int                        rc     = ERR_MEMORY;

    *out = NULL;
    if (picture->format == AV_PIX_FMT_CUDA && device == NULL) {
        rc = ERR_UNSUPPORTED;
        goto fail;
    }
    if (!frame_av_is_direct(picture->format)) {
        rc = convert(converter, picture);
        if (rc != 0)
            goto fail;
    }
    held = take_free();
    if (held == NULL) {
        rc = ERR_MEMORY;
        goto fail;
    }
    av_frame_move_ref(held->picture, picture);
    held->frame = (struct frame){
        .references = 1,
        .width_px   = held->picture->width,
        .height_px  = held->picture->height,
        .device     = device,
        .release    = give_back,
        .owner      = held,
    };
    frame_av_describe(held->picture, &held->frame.format, &held->frame.matrix,
                      &held->frame.full_range);
    for (int i = 0; i < 3; i++) {
        held->frame.plane[i]        = held->picture->data[i];
        held->frame.stride_bytes[i] = held->picture->linesize[i];
    }
    *out = &held->frame;
    return 0;

fail:
    av_frame_unref(picture);
    return rc;
}
