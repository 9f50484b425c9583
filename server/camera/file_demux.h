/* server/camera/file_demux.h: packets out of a video file that somebody has opened.
 *
 * FFmpeg's demultiplexers, of the containers of one list, over one descriptor: FFmpeg gets bytes from
 * us and no way to open anything by itself. Playlists, concatenations and references to other files or
 * to the network are refused, whatever the file says. What is parsed may be hostile: the server has
 * this done in a sandboxed process (source_file.h). One thread at a time. */
#ifndef SIGHTLINE_SERVER_CAMERA_FILE_DEMUX_H
#define SIGHTLINE_SERVER_CAMERA_FILE_DEMUX_H

#include "config/why.h"

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
#include <stdatomic.h>
#include <stdint.h>

#define FILE_DEMUX_PACKET_BYTES (16 << 20) /* larger ones are damage, and left out */
#define FILE_DEMUX_CHANGED      1

struct file_demux;

/* `fd`: of a regular file; stays the caller's, open until after the close. While *stop is true, reading
 * fails at once with ERR_CLOSED; NULL: never. ERR_UNSUPPORTED (container, or no video in it),
 * ERR_CORRUPT, ERR_IO, ERR_MEMORY. */
int  file_demux_open(struct file_demux **out, int fd, const atomic_bool *stop, struct why *why);
void file_demux_close(struct file_demux **file); /* NULL-safe */

/* Of the video stream; owned by the file. */
const AVCodecParameters *file_demux_parameters(const struct file_demux *file);
AVRational               file_demux_time_base(const struct file_demux *file);
AVRational               file_demux_frame_rate(const struct file_demux *file); /* 0/1: unknown */
double                   file_demux_duration_s(const struct file_demux *file); /* 0: unknown */

/* The next packet of the video stream, reference-counted. FILE_DEMUX_CHANGED: none, but what follows is
 * coded as the parameters now say: a recorder wrote one codec after the other. ERR_NOT_FOUND at the end
 * of the file; ERR_CLOSED; ERR_IO or ERR_CORRUPT when the rest cannot be read, or is cut off. */
int file_demux_read(struct file_demux *file, AVPacket *packet, struct why *why);
/* Where in the file that packet lies, 0..1. */
double file_demux_progress(const struct file_demux *file, const AVPacket *packet);
/* The next packet is the first one again, coded as the parameters now say. */
int file_demux_rewind(struct file_demux *file, struct why *why);
/* The next packet is the key picture at or before that time, or near it. ERR_UNSUPPORTED. */
int file_demux_seek(struct file_demux *file, int64_t dts, struct why *why);

#endif
