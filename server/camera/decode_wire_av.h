/* server/camera/decode_wire_av.h: FFmpeg's packets and parameters as decode_wire.h has them, written
 * by one side into an area and read by the other. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_WIRE_AV_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_WIRE_AV_H

#include "server/camera/decode_wire.h"

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>

/* The packet, at most DECODE_WIRE_AREA_BYTES, and of its side data what there is room for. */
void decode_wire_write_packet(uint8_t *area, const AVPacket *packet,
                              struct decode_wire_packet *described);
/* A new packet with a copy of it all. ERR_CORRUPT: it would lie outside the area; ERR_MEMORY. */
int decode_wire_read_packet(AVPacket *packet, const uint8_t *area,
                            const struct decode_wire_packet *described);

/* The extradata goes to `at`, where there is room for `room` bytes. ERR_LIMIT. */
int decode_wire_write_coding(uint8_t *at, size_t room, const AVCodecParameters *parameters,
                             AVRational time_base, struct decode_wire_coding *coding);
/* The caller frees them. `at`: of its extradata, all of which is there. NULL: no memory. */
AVCodecParameters *decode_wire_read_coding(const struct decode_wire_coding *coding,
                                           const uint8_t                   *at);

#endif
