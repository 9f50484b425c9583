/* server/camera/decode.h: the workers that demultiplex files and decode packets.
 *
 * As many workers as processors. A camera is an actor: it is runnable when its queue holds
 * packets (or its file has a picture due), and at most one worker holds it. Runnable cameras
 * wait in a FIFO and give their worker back after DECODE_QUANTUM_PACKETS packets, so that
 * nobody starves.
 *
 * With ISOLATION_PROCESS the bitstreams, which may be hostile, are decoded in sandboxed
 * processes: each worker thread has one of its own and a FIFO of its own, and a camera stays with
 * its worker. A process that crashes, or that works on one packet for 1.5 s, is started again; its
 * cameras go on from the pictures since their last key frame, which are decoded once more, and no
 * other camera loses anything. A camera at whose packets processes died DECODE_STRIKES times
 * within DECODE_STRIKES_S is moved to a worker for such cameras alone, its stream ends with the
 * reason, and each further crash ends it again: its source's backoff sets the pace.
 *
 * With a card (decode_device.h) the bitstreams that it decodes are not isolated, whatever the rest is:
 * FFmpeg and the card's driver read them in the worker's thread, and pictures stay in the card's
 * memory. A stream that it does not decode goes the usual way, and status.decoder_note says why.
 *
 * When a worker cannot keep up with a live stream, its queue fills to DECODE_QUEUE_PACKETS or
 * DECODE_QUEUE_BYTES; then what comes is dropped up to the next key frame, and that key frame
 * throws out what still waited: old pictures are worth less than new ones. Every drop is
 * counted. Files at PACE_FASTEST drop nothing: the sink may block, and that is the
 * back-pressure. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_H

#include "config/settings.h"
#include "config/why.h"
#include "gpu/frame.h"
#include "server/camera/camera.h"
#include "server/camera/source.h"

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
#include <stdbool.h>
#include <stdint.h>

struct decode_device;
struct decode_pool;

/* workers 0: one for each processor. Threads that decode by themselves. */
int decode_pool_open(struct decode_pool **out, int workers, struct why *why);
/* ERR_NOT_FOUND, ERR_UNSUPPORTED, ERR_IO: processes cannot be started, and `why` says what to do
 * about it. It never falls back to threads by itself. */
int decode_pool_open_isolated(struct decode_pool **out, int workers,
                              enum settings_isolation isolation, struct why *why);
/* Before the first camera: this card (decode_device.h), which passes to the pool, decodes what it can.
 * Whether it is there is found out by the cameras. */
void decode_pool_use_device(struct decode_pool *pool, struct decode_device *device);
/* All cameras are closed before. Joins the workers. */
void decode_pool_close(struct decode_pool **pool);

#define DECODE_STRIKES    3
#define DECODE_STRIKES_S  60
#define DECODE_QUARANTINE 4 /* workers for cameras whose streams kill processes */

struct decode_pool_stats {
    enum settings_isolation isolation;
    int                     workers;     /* threads, those of the quarantine among them */
    int                     quarantined; /* cameras */
    uint64_t                restarts;    /* of processes */
};
/* Any thread. */
void decode_pool_stats(struct decode_pool *pool, struct decode_pool_stats *stats);
/* The processes that run now, at most `room`; returns how many. Any thread. */
int decode_pool_pids(struct decode_pool *pool, int *pids, int room);

#define DECODE_QUEUE_PACKETS   128        /* 5 s at 25 pictures a second */
#define DECODE_QUEUE_BYTES     (4 << 20)  /* 8 s of 4 Mbit/s; overshot by one packet at most */
#define DECODE_PACKET_BYTES    (16 << 20) /* one access unit; a lossless 8K key frame is less */
#define DECODE_QUANTUM_PACKETS 4          /* a camera's turn: 15 ms of 1080p H.264 on one core */

/* ---- one camera's actor ---- */

struct decode_stream;

struct decode_settings {
    unsigned slot;
    double   fps; /* wanted analysis rate, 0: every picture */
    /* Pictures in which nothing moves are not given out (PACE_FASTEST: marked only); copied. NULL:
     * nobody looks. */
    const struct settings_motion *motion;
    void                         *arg;
    /* The packets become units for viewers and are never decoded: no frame, no engine. Of a JPEG
     * stream the newest is a unit; other codecs than it, H.264 and H.265 end the stream. */
    bool pass_on;
    /* An analysed picture; on a worker; the reference passes. */
    void (*frame)(void *arg, struct frame *frame);
    /* One was not given out, as nothing moves; on a worker; may be NULL. */
    void (*still)(void *arg, int64_t wall_ns);
    /* The status changed in a way that the loop must see, or a unit waits. Any thread; may only
     * unblock somebody. */
    void (*wake)(void *arg);
};

/* What the loop may know. A copy, consistent in itself. */
struct decode_status {
    /* of the stream that runs now; zero at each decode_stream_begin/play */
    bool            ended; /* a file came to its end, or cannot be played: see end, reason */
    enum source_end end;
    char            reason[160];
    uint64_t        pictures; /* decoded since the begin; over all loops of a file. Passed on: units
                               * from the first key frame on */
    int64_t         due_ns;   /* monotonic; a paced file waits until then */
    /* of the camera */
    char                codec[16];
    enum camera_video   own_video;
    int                 width_px, height_px;
    double              source_fps, duration_s, progress;
    double              decoded_fps, analysed_fps;
    uint64_t            packets, bytes;
    uint64_t            frames_decoded, frames_analysed, frames_skipped;
    uint64_t            frames_still;
    uint64_t            packets_dropped, decode_errors;
    enum camera_decoder decoder;
    char                decoder_note[128];
    enum camera_relief  relief;
    bool                resting;
    int64_t             last_frame_ns; /* monotonic */
    /* Of the stream that runs now, in live packets: by how much the time at which pictures were
     * taken (UTC) and the time at which they arrived (monotonic) are ahead of their pts_ns. */
    bool    has_lead;
    int64_t wall_lead_ns, arrival_lead_ns;
};

int decode_stream_open(struct decode_stream **out, struct decode_pool *pool,
                       const struct decode_settings *settings, struct why *why);
/* Waits until the worker that holds the camera has given it back: at most the picture in hand.
 * Where the sink can block (PACE_FASTEST), unblock it first. NULL-safe, sets *stream = NULL.
 * Loop. */
void decode_stream_close(struct decode_stream **stream);

/* What was queued or played before is forgotten. Then either packets come ... */
void decode_stream_begin(struct decode_stream *stream);
/* ... coded as these parameters say (copied), from this packet on. ERR_MEMORY. */
int decode_stream_parameters(struct decode_stream *stream, const AVCodecParameters *parameters,
                             AVRational time_base, AVRational frame_rate);
/* Takes the packet's content. `wall_ns`: when it was captured. Drops it, counted, when the queue
 * is full. */
void decode_stream_packet(struct decode_stream *stream, AVPacket *packet, int64_t wall_ns);
/* ... or the workers play a file by themselves. */
void decode_stream_play(struct decode_stream *stream, const char *path, enum settings_pace pace,
                        bool loop);

/* Any thread, as all below. */
void decode_stream_set_rate(struct decode_stream *stream, double fps);
/* Something is followed: every picture of the wanted rate is given out, moving or not. */
void decode_stream_set_active(struct decode_stream *stream, bool active);
/* Bits: 1u << enum camera_video. */
void decode_stream_want(struct decode_stream *stream, unsigned kinds);
/* The oldest unit that waits, or NULL. The reference passes to the caller. */
struct camera_unit *decode_stream_take_unit(struct decode_stream *stream);
/* The index-th of the units since the last key frame that were taken already, or NULL; a
 * reference for the caller. */
struct camera_unit *decode_stream_replay_unit(struct decode_stream *stream, size_t index);
/* The next picture that is decoded as a JPEG at most so wide, once; 0: never mind. What was made
 * before and not taken is gone. */
void decode_stream_want_snapshot(struct decode_stream *stream, int width_px);
/* A reference for the caller, or NULL: it is not made yet. The stream wakes when it is. */
struct camera_unit *decode_stream_take_snapshot(struct decode_stream *stream);
void decode_stream_status(struct decode_stream *stream, struct decode_status *status);

#endif
