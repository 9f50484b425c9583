/* server/camera/source_file.h: packets out of a local video file, read on a decode worker.
 *
 * The file is opened here, with open(2), and only if it is a regular file. What is in it may be
 * hostile, so a sandboxed process takes it apart (file_demux.h there): it gets the descriptor, and
 * packets come back. A process that ends is started again, and the file goes on behind the packet
 * that was read last. One thread at a time; with a process, the one that asks it. */
#ifndef SIGHTLINE_SERVER_CAMERA_SOURCE_FILE_H
#define SIGHTLINE_SERVER_CAMERA_SOURCE_FILE_H

#include "config/why.h"

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
#include <stdatomic.h>
#include <stdint.h>

struct decode_process;
struct source_file;

#define SOURCE_FILE_CHANGED 1

/* `process` NULL: it is taken apart here. While *stop is true, reading fails at once with ERR_CLOSED;
 * it outlives the file. ERR_NOT_FOUND, ERR_DENIED, ERR_INVALID (no regular file), ERR_UNSUPPORTED
 * (container, or no video in it), ERR_CORRUPT, ERR_IO. ERR_AGAIN: the process is not there yet;
 * ERR_DEVICE_LOST: it died of this file. */
int  source_file_open(struct source_file **out, struct decode_process *process, const char *path,
                      const atomic_bool *stop, struct why *why);
void source_file_close(struct source_file **file); /* NULL-safe */

/* Of the video stream; owned by the file. */
const AVCodecParameters *source_file_parameters(const struct source_file *file);
AVRational               source_file_time_base(const struct source_file *file);
AVRational               source_file_frame_rate(const struct source_file *file); /* 0/1: unknown */
double                   source_file_duration_s(const struct source_file *file); /* 0: unknown */

/* The next packet of the video stream, reference-counted. SOURCE_FILE_CHANGED: none, but what follows
 * is coded as the parameters now say: a recorder wrote one codec after the other. ERR_NOT_FOUND at the
 * end of the file; ERR_CLOSED; ERR_IO or ERR_CORRUPT when the rest cannot be read. ERR_AGAIN and
 * ERR_DEVICE_LOST as above, or it is still on the way back to where it was; the next call tries to go
 * on. */
int source_file_read(struct source_file *file, AVPacket *packet, struct why *why);
/* When that packet is due, on the monotonic clock, if the file is played in real time. A reader
 * that comes too late moves the whole schedule: nothing is skipped, the file plays slower. */
int64_t source_file_due_ns(struct source_file *file, const AVPacket *packet, int64_t now_ns);
/* Where in the file the packet read last lies, 0..1. */
double source_file_progress(const struct source_file *file);
/* The next packet is the first one again, coded as the parameters now say. The schedule goes on.
 * Errors as of reading. */
int source_file_rewind(struct source_file *file, struct why *why);

#endif
