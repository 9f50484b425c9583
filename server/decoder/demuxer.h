/* server/decoder/demuxer.h: a file in a decoder process: what is asked of it, and the answers
 * (decode_wire.h). One thread. */
#ifndef SIGHTLINE_SERVER_DECODER_DEMUXER_H
#define SIGHTLINE_SERVER_DECODER_DEMUXER_H

#include "config/why.h"
#include "server/camera/decode_wire.h"

#include <libavcodec/packet.h>

struct demuxer;

/* Takes the descriptor over, also when it fails; then as file_demux_open. */
int  demuxer_open(struct demuxer **out, int fd, struct why *why);
void demuxer_close(struct demuxer **demuxer); /* NULL-safe */

/* Does what the request says; its result, and in `told` and the area `back` what comes of it.
 * `packet` is room for one. */
int demuxer_handle(struct demuxer *demuxer, const struct decode_wire_request *request,
                   struct decode_wire_file *told, AVPacket *packet, uint8_t *back, struct why *why);

#endif
