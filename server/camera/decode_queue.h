/* server/camera/decode_queue.h: the bounded queue of one live camera's packets, with the policy
 * that decode.h states. No lock of its own: the stream's lock guards it. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_QUEUE_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_QUEUE_H

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct decode_entry {
    AVPacket          *packet;     /* the content of a packet ... */
    AVCodecParameters *parameters; /* ... or, if not NULL, what the next ones are coded in */
    AVRational         time_base, frame_rate;
    int64_t            wall_ns, arrival_ns;
    bool               gap; /* packets before this one were dropped; it is a key frame */
};

struct decode_queue {
    struct decode_entry *ring; /* NULL until the first put; room for packets and a few parameters */
    size_t               first, count;
    size_t               packets, bytes; /* that wait */
    bool                 skipping;       /* full: nothing is taken until a key frame comes */
    unsigned             skipped;        /* in this skip */
    uint64_t             dropped;        /* ever */
};

void decode_queue_free(struct decode_queue *queue);
/* Forgets what waits, and counts nothing. */
void decode_queue_clear(struct decode_queue *queue);
/* Takes the packet's content, or drops it and counts it. ERR_MEMORY: dropped too. */
int decode_queue_put(struct decode_queue *queue, AVPacket *packet, int64_t wall_ns,
                     int64_t arrival_ns);
/* Takes the parameters. ERR_MEMORY, ERR_FULL: they stay the caller's. */
int decode_queue_put_parameters(struct decode_queue *queue, AVCodecParameters *parameters,
                                AVRational time_base, AVRational frame_rate);
/* The oldest entry: a packet's content moves into the entry's own packet, which the caller
 * gives, and parameters are the caller's to free. False when empty. */
bool decode_queue_take(struct decode_queue *queue, struct decode_entry *entry);

#endif
