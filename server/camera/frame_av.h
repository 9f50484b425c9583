/* server/camera/frame_av.h: a decoder's picture as a struct frame, without a copy.
 *
 * The frame holds the AVFrame's reference and gives it back to the decoder's pool when the last
 * holder lets go, on whatever thread. The structs themselves come from a free list of the
 * process (at most FRAME_AV_KEEP wait in it), so that the steady state allocates none.
 *
 * 8-bit planar YUV (4:2:0, 4:2:2, 4:4:4), NV12, grey, BGR24 and RGB24 pass as they are.
 * So does a picture in a card's memory, when it is NV12 there and its context is one of
 * decode_device.h's. Everything else (10 and 12 bits, alpha, palettes, 4:1:1) is converted to 8-bit 4:2:0 by
 * swscale: a copy of every picture, one for each camera that sends such. */
#ifndef SIGHTLINE_SERVER_CAMERA_FRAME_AV_H
#define SIGHTLINE_SERVER_CAMERA_FRAME_AV_H

#include "gpu/frame.h"

#include <libavutil/frame.h>

#define FRAME_AV_KEEP 256

/* What the conversion keeps from picture to picture; NULL until one is needed. One thread at a
 * time. */
struct frame_av_converter;
void frame_av_converter_close(struct frame_av_converter **converter);

/* Moves the picture into a new frame with one reference; the picture is empty afterwards, also
 * on failure. Slot, numbers and times are the caller's to fill in. ERR_MEMORY, ERR_UNSUPPORTED
 * (a format that not even swscale reads). */
int frame_av_wrap(struct frame **out, AVFrame *picture, struct frame_av_converter **converter);

/* ---- the parts of it, for who keeps the pictures elsewhere ---- */

/* Whether pictures of this AVPixelFormat pass as they are. */
bool frame_av_is_direct(int av_format);
/* What a picture of such a format is to a struct frame. */
void frame_av_describe(const AVFrame *picture, enum frame_format *format, enum frame_matrix *matrix,
                       bool *full_range);
/* A picture of any other format into `converted`: 8-bit 4:2:0 of the same size, with memory. */
int frame_av_scale(struct frame_av_converter **converter, const AVFrame *picture,
                   AVFrame *converted);

#endif
