/* server/decoder/slots.h: the arena of one decoder, from the inside of its process: which slots
 * the decoder uses, and pictures laid out in them. One thread. */
#ifndef SIGHTLINE_SERVER_DECODER_SLOTS_H
#define SIGHTLINE_SERVER_DECODER_SLOTS_H

#include <libavcodec/avcodec.h>
#include <libavutil/frame.h>
#include <stdbool.h>
#include <stddef.h>

/* Lives until slots_close and the last buffer in it. */
struct slots;

/* Maps the descriptor, which stays the caller's. NULL: no memory. */
struct slots *slots_open(int fd, size_t slot_bytes, unsigned count);
void          slots_close(struct slots **slots);
/* The server has had its time to mark the pictures that were handed out before this. */
void slots_begin(struct slots *slots);

/* Bytes of a picture of this shape, its lines and the places of its planes; 0: no such shape.
 * `context`: with the alignment that its decoder wants, NULL: any. */
size_t slots_layout(AVCodecContext *context, enum AVPixelFormat format, int width, int height,
                    int line_bytes[4], size_t place[4]);
/* Gives the frame (its format and size are set) a buffer in a free slot. False: none is free, they
 * are too small, or there is no memory. */
bool slots_buffer(struct slots *slots, AVCodecContext *context, AVFrame *frame);
/* Which slot the frame lies in, -1: none of these; and marks it as handed out. */
int    slots_hand_out(struct slots *slots, const AVFrame *frame);
size_t slots_bytes(const struct slots *slots); /* of each */
/* Where that slot begins. */
const uint8_t *slots_base(const struct slots *slots, int slot);

#endif
