#include "server/camera/decode_device.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "gpu/frame.h"

#include <libavutil/hwcontext.h>
#include <pthread.h>
#include <stdlib.h>

/* FFmpeg's header wants CUDA's own, of which it needs two names; the product builds without. */
#define CUDA_VERSION 0
typedef void *CUcontext;
typedef void *CUstream;
#include <libavutil/hwcontext_cuda.h>

struct decode_device {
    int                       number; /* immutable, as the next two */
    const struct backend_ops *backend;
    int64_t                   retry_ns;
    pthread_mutex_t           lock;
    AVBufferRef              *context; /* under lock, as all below; NULL: there is none */
    int64_t                   retry_at_ns, retry_after_ns;
    struct why                reason; /* why there is none */
};

/* Lives as long as FFmpeg's context, which each picture in it holds. */
struct held_device {
    struct frame_device       frames;
    const struct backend_ops *backend;
};

/* Into memory of its own, each time: a picture that stays on the card needs none, and who asks for
 * every one (the motion gate) waits for the bus anyway. */
static struct frame *copy_out(const struct frame *frame)
{
    const struct held_device *held = (const struct held_device *)(const void *)frame->device;
    struct frame             *copy = frame_alloc(frame->format, frame->width_px, frame->height_px);
    struct why                why  = {""};

    if (copy == NULL)
        return NULL;
    copy->matrix     = frame->matrix;
    copy->full_range = frame->full_range;
    if (held->backend->copy_out(frame, copy, &why) != 0)
        frame_unref(&copy);
    return copy;
}

static void let_go(AVHWDeviceContext *context)
{
    struct held_device *held = context->user_opaque;

    held->backend->let_go(held->frames.number);
    free(held);
}

/* FFmpeg would make the card's primary context by itself, but not once the CUDA backend has, which
 * asks for no flags of its own: it is given the backend's. */
static int make_context(const struct decode_device *device, AVBufferRef **out, struct why *why)
{
    struct held_device  *held = calloc(1, sizeof *held);
    AVHWDeviceContext   *made;
    AVCUDADeviceContext *cuda;
    AVBufferRef         *context = NULL;
    void                *primary = NULL;
    int                  rc      = ERR_MEMORY;

    if (held == NULL || (context = av_hwdevice_ctx_alloc(AV_HWDEVICE_TYPE_CUDA)) == NULL) {
        why_set(why, rc, "FFmpeg was built without CUDA, or memory is short");
        goto fail;
    }
    if ((rc = device->backend->hold(device->number, &primary, why)) != 0)
        goto fail;
    *held             = (struct held_device){{device->number, NULL, copy_out}, device->backend};
    made              = (AVHWDeviceContext *)(void *)context->data;
    made->user_opaque = held;
    made->free        = let_go;
    held              = NULL; /* the context's */
    cuda              = made->hwctx;
    cuda->cuda_ctx    = primary;
    cuda->stream      = NULL; /* the default stream, as the frames say */
    if (av_hwdevice_ctx_init(context) < 0) {
        rc = why_set(why, ERR_UNSUPPORTED, "FFmpeg cannot use the CUDA driver");
        goto fail;
    }
    *out = context;
    return 0;

fail:
    av_buffer_unref(&context);
    free(held);
    return rc;
}

/* Under the lock. */
static void wait_longer(struct decode_device *device)
{
    int64_t most_ns = DECODE_DEVICE_RETRY_MAX_S * NS_PER_S;

    if (device->retry_after_ns == 0)
        device->retry_after_ns = device->retry_ns;
    device->retry_at_ns = clock_monotonic_ns() + device->retry_after_ns;
    device->retry_after_ns *= 2;
    if (device->retry_after_ns > most_ns)
        device->retry_after_ns = most_ns;
}

struct decode_device *decode_device_open(int number, const struct backend_ops *backend,
                                         int64_t retry_ns)
{
    struct decode_device *device = calloc(1, sizeof *device);

    if (device == NULL)
        return NULL;
    device->number   = number;
    device->backend  = backend;
    device->retry_ns = retry_ns > 0 ? retry_ns : DECODE_DEVICE_RETRY_S * NS_PER_S;
    pthread_mutex_init(&device->lock, NULL);
    return device;
}

void decode_device_close(struct decode_device **device)
{
    struct decode_device *old = *device;

    *device = NULL;
    if (old == NULL)
        return;
    av_buffer_unref(&old->context);
    pthread_mutex_destroy(&old->lock);
    free(old);
}

int decode_device_take(struct decode_device *device, AVBufferRef **context, struct why *why)
{
    int rc = 0;

    *context = NULL;
    pthread_mutex_lock(&device->lock);
    if (device->context == NULL && clock_monotonic_ns() >= device->retry_at_ns) {
        rc = make_context(device, &device->context, &device->reason);
        if (rc == 0) {
            log_info("decoder", "CUDA device %d decodes", device->number);
            device->retry_after_ns = 0;
        } else {
            log_warning("decoder", "CUDA device %d does not decode: %s", device->number,
                        device->reason.text);
            wait_longer(device);
        }
    }
    if (device->context == NULL)
        rc = why_set(why, ERR_DEVICE_LOST, "%s", device->reason.text);
    else if ((*context = av_buffer_ref(device->context)) == NULL)
        rc = why_set(why, ERR_MEMORY, "no memory for a decoder");
    pthread_mutex_unlock(&device->lock);
    return rc;
}

void decode_device_doubt(struct decode_device *device, const AVBufferRef *context)
{
    void      *primary = NULL;
    struct why reason  = {""};

    pthread_mutex_lock(&device->lock);
    if (device->context != NULL && device->context->data == context->data) {
        if (device->backend->hold(device->number, &primary, &reason) == 0) {
            device->backend->let_go(device->number);
        } else {
            log_error("decoder", "CUDA device %d was lost: %s", device->number, reason.text);
            device->reason = reason;
            av_buffer_unref(&device->context); /* goes with the last decoder and picture in it */
            wait_longer(device);
        }
    }
    pthread_mutex_unlock(&device->lock);
}

int64_t decode_device_retry_ns(struct decode_device *device)
{
    int64_t retry_ns;

    pthread_mutex_lock(&device->lock);
    retry_ns = device->context != NULL ? 0 : device->retry_at_ns;
    pthread_mutex_unlock(&device->lock);
    return retry_ns;
}

int64_t decode_device_stream_retry_ns(const struct decode_device *device)
{
    return clock_monotonic_ns() + DECODE_DEVICE_PATIENCE * device->retry_ns;
}
