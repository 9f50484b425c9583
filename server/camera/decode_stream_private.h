/* server/camera/decode_stream_private.h: one camera on the decode workers, from the inside.
 *
 *   decode_stream.c    what the loop calls, and the step of the actor
 *   decode_packets.c   packets in: from the queue or from the file, into the decoder
 *   decode_recover.c   another decoder when the process that it ran in is gone
 *   decode_card.c      on the card or not
 *   decode_pass.c      packets that are passed on to viewers, and what their times say
 *   decode_pictures.c  pictures out: times, the wanted rate, JPEG, the sink
 *
 * Two halves: what the loop and a worker share is under `lock` (a leaf lock, held for a copy at
 * most); what only the worker touches, which holds the camera, needs none. `epoch` ties them
 * together: the loop's begin and play raise it, and the worker that sees it forgets all of the
 * stream before. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_STREAM_PRIVATE_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_STREAM_PRIVATE_H

#include "config/limits.h"
#include "server/camera/decode.h"
#include "server/camera/decode_actor.h"
#include "server/camera/decode_clock.h"
#include "server/camera/decode_engine.h"
#include "server/camera/decode_queue.h"
#include "server/camera/decode_relief.h"
#include "server/camera/decode_view.h"
#include "server/camera/motion.h"
#include "server/camera/picture_jpeg.h"
#include "server/camera/source_file.h"

#include <pthread.h>
#include <stdatomic.h>

#define DECODE_STAMPS 32 /* packets in the decoder; H.264 and H.265 hold back 16 at most */

/* When a packet was captured, found again by its timestamp when its picture comes out. */
struct decode_stamp {
    int64_t timestamp;
    int64_t wall_ns;
};

struct decode_stream {
    struct decode_actor    actor; /* first */
    struct decode_pool    *pool;
    struct decode_settings settings; /* immutable */
    atomic_bool            closing;
    atomic_bool            stop;   /* the file's reads fail: closing, or another epoch */
    atomic_bool            active; /* something is followed */

    pthread_mutex_t      lock;
    uint64_t             epoch; /* under lock, as all below */
    struct decode_queue  queue;
    bool                 play; /* a file, not packets */
    bool                 loop;
    enum settings_pace   pace;
    char                 path[LIMIT_PATH_BYTES];
    double               fps;
    unsigned             wanted;
    struct decode_units  units;
    int                  snapshot_width_px; /* wanted; 0: none */
    struct camera_unit  *snapshot;          /* made, untaken */
    struct decode_status status;
    struct decode_meter  decoded_meter, analysed_meter;
    struct decode_lead   wall_lead, arrival_lead;

    /* The worker's own, of this epoch. */
    uint64_t              worker_epoch;
    bool                  playing, looping, fastest;
    bool                  over;        /* the file ended */
    bool                  rewinds;     /* it plays again, as soon as its process is back */
    bool                  lost;        /* the engine's process is gone */
    bool                  packet_held; /* `packet` waits for its time */
    bool                  needs_key;
    bool                  off_card;      /* there is none, or it does not decode this stream */
    int64_t               card_retry_ns; /* off the card: when it is tried again; 0: not */
    struct source_file   *file;
    AVPacket             *packet;
    int64_t               packet_due_ns;
    struct decode_engine *engine;
    AVCodecParameters    *parameters; /* that the engine was opened with */
    AVRational            time_base;
    struct decode_picture picture; /* received last */
    int64_t               last_strike_ns;
    struct decode_view   *view;
    struct picture_jpeg  *jpeg;
    int64_t               next_jpeg_ns;
    int64_t               next_snapshot_ns;
    struct decode_clock   clock;
    struct decode_rate    rate;
    struct motion        *motion; /* NULL: nobody looks */
    struct motion_gate    gate;
    struct decode_relief  relief;
    struct decode_stamp   stamps[DECODE_STAMPS];
    unsigned              next_stamp;
    int64_t               arrival_ns; /* of the packet in hand, monotonic; or when it was due */
    unsigned              without_key, max_without_key;
    unsigned              generation;
    unsigned              strikes; /* processes that died of our packets, lately */
    uint64_t              number;
    uint64_t              pass_pictures; /* of this pass through the file */
    int                   width_px, height_px;
    struct frame         *pending; /* chosen while late: a newer one replaces it */
    int64_t               last_delivery_ns;
    int64_t               last_picture_ns;
};

/* ---- decode_packets.c; on the worker that holds the stream ---- */

/* One packet, or whatever else there is to do; says when to step again. */
int64_t decode_stream_file_turn(struct decode_stream *stream);
int64_t decode_stream_queue_turn(struct decode_stream *stream);

/* The stream cannot go on; the loop decides what follows. */
void decode_stream_end(struct decode_stream *stream, enum source_end end, const char *reason);
/* Packets that follow nothing are dropped, until a key frame or so many of them. */
void decode_stream_wait_for_key(struct decode_stream *stream, unsigned max_packets);
#define DECODE_MAX_WITHOUT_KEY 250 /* a stream that marks no key frames is decoded regardless */
#define DECODE_MAX_AFTER_ERROR 50 /* packets: after 2 s without a key frame concealment is better */

/* The decoder gives out what it holds back. False: the process is gone with it. */
bool decode_stream_drain(struct decode_stream *stream);

/* ---- decode_card.c; likewise ---- */

/* For another coding: the card is asked anew, where the pool has one. */
void decode_stream_want_card(struct decode_stream *stream);
/* `stream->engine` for its parameters: on the card, or as decode_engine_open(). */
int decode_stream_open_engine(struct decode_stream *stream, struct why *why);
/* The card does not go on, with this packet sent to it: the usual decoder takes over.
 * As decode_stream_begin_again(). */
int decode_stream_leave_card(struct decode_stream *stream, const AVPacket *packet);
/* The decoder has been drained. True: the card kept back pictures of a file of which all are wanted, and
 * the stream has ended for it. */
bool decode_stream_ends_short(struct decode_stream *stream);
/* Before a packet is sent: back to the card when it is time, and the packet a key frame. */
void decode_stream_try_card(struct decode_stream *stream, const AVPacket *packet);

/* ---- decode_pass.c; likewise ---- */

/* The unit of a packet, for whoever looks. */
void decode_stream_unit(struct decode_stream *stream, const AVPacket *packet, int64_t wall_ns);
/* All that is done with a packet of a stream that is passed on. */
void decode_stream_pass(struct decode_stream *stream, const AVPacket *packet, int64_t wall_ns);
/* ERR_UNSUPPORTED with the reason: viewers cannot be given this codec as it is. */
int  decode_stream_begin_passing(struct decode_stream *stream, struct why *why);
void decode_stream_note_lead(struct decode_stream *stream, const AVPacket *packet, int64_t wall_ns,
                             int64_t arrival_ns);

/* ---- decode_recover.c; likewise ---- */

/* The packet was sent, and the process died, or was found dead. A new engine, which has seen what
 * came before this packet where that is kept, and the packet sent to it. 0, or what
 * decode_engine_send says: ERR_DEVICE_LOST as well, then call again; ERR_CLOSED: this packet is
 * not decoded. */
int decode_stream_recover(struct decode_stream *stream, const AVPacket *packet);

/* The rest of it: another engine in the place of one that is no use any more. `to_blame`: what was sent
 * may have been the cause. */
int decode_stream_begin_again(struct decode_stream *stream, const AVPacket *packet, bool to_blame);

/* A process was found to be gone, at work on our packet, parameters or file, or not. False: the stream
 * has ended for it. */
bool decode_stream_goes_on(struct decode_stream *stream, bool ours);

/* The process that takes the file apart is gone, of this file or of something else; says when to read
 * on, if the stream has not ended for it. */
int64_t decode_stream_file_lost(struct decode_stream *stream, bool of_it);

/* ---- decode_pictures.c; likewise ---- */

/* The picture that the decoder gave, which is `stream->picture`. */
void decode_stream_picture(struct decode_stream *stream);
/* Nothing waits behind the picture that is held back: give it out. */
void decode_stream_deliver_pending(struct decode_stream *stream);
/* The tracker begins anew: another stream, another pass of a file, another size of picture. */
void decode_stream_next_generation(struct decode_stream *stream);

/* ---- decode_stream.c; likewise ---- */

/* All of the worker's that belongs to one epoch goes. */
void decode_stream_forget(struct decode_stream *stream);
/* What the packet that is worked on was: counted under the lock. */
void decode_stream_count(struct decode_stream *stream, uint64_t *counter);
bool decode_stream_is_closing(struct decode_stream *stream);
void decode_stream_wake_loop(struct decode_stream *stream);

#endif
