/* server/camera/hls_segment.h: the coded pictures of a piece of MPEG-TS or fragmented MP4 in memory.
 *
 * FFmpeg's demultiplexers for these two and no other, over memory alone: nothing here opens a file
 * or a socket, whatever the piece says. Loop thread only; a call takes one packet's time. */
#ifndef SIGHTLINE_SERVER_CAMERA_HLS_SEGMENT_H
#define SIGHTLINE_SERVER_CAMERA_HLS_SEGMENT_H

#include "config/why.h"

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
#include <libavutil/rational.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HLS_SEGMENT_BYTES (32 << 20) /* 10 s of 25 Mbit/s */

struct hls_segment;

/* Takes `data` over (free), also when it fails. ERR_CORRUPT, ERR_UNSUPPORTED (no video in it). */
int  hls_segment_open(struct hls_segment **out, uint8_t *data, size_t bytes, struct why *why);
void hls_segment_close(struct hls_segment **segment); /* NULL-safe */

const AVCodecParameters *hls_segment_parameters(const struct hls_segment *segment);
AVRational               hls_segment_time_base(const struct hls_segment *segment);
AVRational               hls_segment_rate(const struct hls_segment *segment); /* 0/1: not said */
/* The next coded picture; false: it was the last. The caller unrefs it. */
bool hls_segment_next(struct hls_segment *segment, AVPacket *packet);

#endif
