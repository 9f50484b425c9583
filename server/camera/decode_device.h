/* server/camera/decode_device.h: a card that decodes, for all cameras of a pool.
 *
 * FFmpeg's decoders have the card do their work (NVDEC), in the context in which the CUDA backend
 * computes: a picture stays in the card's memory and is analysed there (struct frame_device). What
 * FFmpeg and the card's driver then make of a bitstream, which may be hostile, they do in this
 * process: there is no sandbox around it. So a card decodes only where the configuration says so.
 *
 * A card that is not there, or fails, is an answer with its reason; the cameras decode as they do
 * without one. It is tried again after DECODE_DEVICE_RETRY_S, then after twice as long, and so on to
 * DECODE_DEVICE_RETRY_MAX_S. Any thread. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_DEVICE_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_DEVICE_H

#include "config/why.h"
#include "gpu/backend.h"

#include <libavutil/buffer.h>
#include <stdint.h>

#define DECODE_DEVICE_RETRY_S     5
#define DECODE_DEVICE_RETRY_MAX_S 300
/* Pictures of one stream that wait for their analysis or are in it; more are copied into host memory
 * (FRAME_COPY_HELD), so that its decoder always has surfaces to go on with. */
#define DECODE_DEVICE_HELD 8

struct decode_device;

/* Nothing is opened yet. `number`: of the card, as CUDA counts; `backend`: whose devices they are;
 * `retry_ns`: before the next try, 0: DECODE_DEVICE_RETRY_S. NULL: no memory. */
struct decode_device *decode_device_open(int number, const struct backend_ops *backend,
                                         int64_t retry_ns);
/* No more calls; pictures may still be in use. NULL-safe, sets *device = NULL. */
void decode_device_close(struct decode_device **device);

/* One reference on FFmpeg's context of the card. ERR_DEVICE_LOST, with the reason, while there is
 * none. */
int decode_device_take(struct decode_device *device, AVBufferRef **context, struct why *why);
/* A decoder in this context has failed. When the card has, the context is not given out again. */
void decode_device_doubt(struct decode_device *device, const AVBufferRef *context);
/* When the next try is worth it, on the monotonic clock; 0: it is there. */
int64_t decode_device_retry_ns(struct decode_device *device);
/* The same for one stream at which the card has failed though it is there: its packets may be what it
 * failed of, so it waits DECODE_DEVICE_PATIENCE times as long. */
#define DECODE_DEVICE_PATIENCE 12
int64_t decode_device_stream_retry_ns(const struct decode_device *device);

#endif
