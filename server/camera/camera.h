/* server/camera/camera.h: one camera: its source, its state, its decoder.
 *
 *   idle -> connecting -> streaming -> stalled -> backoff (grows, with jitter) -> connecting
 *                                   -> ended (a file that does not loop)
 *
 * The source (file, RTSP) and the state machine live on the loop; a dead camera costs one timer.
 * Demultiplexing of files and all decoding run on the decode workers (decode.h): a camera is an
 * actor there, one worker at a time takes its packets in order; there is no thread per camera.
 * Loop thread only, except where said. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_H

#include "config/settings.h"
#include "config/why.h"
#include "gpu/frame.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct camera;
struct decode_pool; /* decode.h */

enum camera_state {
    CAMERA_IDLE,
    CAMERA_CONNECTING,
    CAMERA_STREAMING,
    CAMERA_STALLED,
    CAMERA_BACKOFF,
    CAMERA_ENDED,
};
const char *camera_state_name(enum camera_state state); /* "idle", "connecting", ... */

/* ---- the video of a camera, for live view ---- */

enum camera_video {
    CAMERA_VIDEO_NONE = 0,
    CAMERA_VIDEO_JPEG = 1, /* a JPEG of an analysed picture, made while somebody wants it */
    CAMERA_VIDEO_H264 = 2, /* the own access units, Annex B, parameter sets before key frames */
    CAMERA_VIDEO_H265 = 3, /* likewise */
};

/* One picture for viewers. Reference-counted; immutable. */
struct camera_unit {
    _Atomic int       references;
    enum camera_video video;
    bool              key;
    int               width_px, height_px;
    int64_t           pts_ns; /* the same clock as frame.pts_ns: boxes and picture can be matched */
    int64_t           wall_ns;
    char              codec[32]; /* WebCodecs codec string: "avc1.64001f"; "jpeg" */
    size_t            bytes;
    uint8_t           data[];
};
/* One reference, `bytes` set, the rest zero; NULL when out of memory or above 16 MiB. Any
 * thread, as the two below. */
struct camera_unit *camera_unit_alloc(size_t bytes);
struct camera_unit *camera_unit_ref(struct camera_unit *unit);
void                camera_unit_unref(struct camera_unit **unit);

/* ---- where a camera's output goes ---- */

struct camera_sink {
    void *arg;
    /* An analysed picture, at most at the wanted rate. Called on a decode worker; the reference
     * passes to the callee. It may block only with PACE_FASTEST (the pool's back-pressure). A
     * frame's generation grows with each connection, each pass of a file that loops and each
     * change of the picture's size, and its number then begins at 0 again; its pts_ns goes on
     * growing for as long as the camera is open, so that boxes and units can be matched. */
    void (*frame)(void *arg, struct frame *frame);
    /* A picture in which nothing moves, taken at this time (UTC), was not given out; so that it
     * can be told from one that was missed. Called on a decode worker. NULL: nobody asks. */
    void (*still)(void *arg, int64_t wall_ns);
    /* State or picture size changed. Loop. */
    void (*changed)(void *arg, struct camera *camera);
    /* A picture for viewers, only of the kinds wanted. Loop. The callee takes its own reference
     * to keep it. */
    void (*unit)(void *arg, struct camera *camera, struct camera_unit *unit);
    /* The snapshot that was asked for. Loop. The callee takes its own reference to keep it. NULL:
     * nobody asks. */
    void (*snapshot)(void *arg, struct camera *camera, struct camera_unit *jpeg);
};

/* Copies the settings. Does not connect yet. `slot` comes back in each frame. */
int camera_open(struct camera **out, uv_loop_t *loop, struct decode_pool *pool,
                const struct settings_camera *settings, unsigned slot,
                const struct camera_sink *sink, struct why *why);
/* A camera whose pictures are only shown: the same states, but its packets are passed on to unit() and
 * never decoded (decode.h, pass_on), so that a picture here is a unit, beginning with a key frame.
 * Its kinds are wanted from the beginning. An address, no file: ERR_UNSUPPORTED. `frame` and `still` of
 * the sink are never called. */
int camera_open_view(struct camera **out, uv_loop_t *loop, struct decode_pool *pool,
                     const struct settings_camera *settings, const struct camera_sink *sink,
                     struct why *why);
/* `delay_ms` staggers the starts of many cameras. */
void camera_start(struct camera *camera, unsigned delay_ms);
/* Stops, sets *camera = NULL; after it returns the sink is never called again. It waits for at
 * most the picture that a worker has in hand: a sink that blocks (PACE_FASTEST) is unblocked
 * first. May be called from within the sink's own changed() and unit(). Memory goes when the
 * loop has closed the handles. */
void camera_close(struct camera **camera);

/* Wanted analysis rate, pictures a second; 0: every picture. Any time. */
void camera_set_rate(struct camera *camera, double fps);
/* Another settings.detect_fps, for a source that asks for its pictures one by one: it asks as often,
 * and the stream goes on. What is analysed is for camera_set_rate(). */
void camera_ask_at(struct camera *camera, double fps);
/* Whether something is followed in the pictures: then those in which nothing moves are given out as
 * well. */
void camera_set_active(struct camera *camera, bool active);
/* What viewers want now. With H264/H265 the units since the last key frame come first, if they are
 * held (at most CAMERA_KEEP_BYTES), else the next key frame does. Bits: 1u << enum camera_video. */
void camera_want_video(struct camera *camera, unsigned kinds);
/* The next picture that is decoded, as a JPEG of at most `width_px`, once, to the sink's snapshot();
 * at most 5 a second are made. It takes the place of one that is asked for already. */
void camera_want_snapshot(struct camera *camera, int width_px);
/* A new viewer joined: send the held units again to this function only. */
void camera_replay_units(struct camera *camera, void (*unit)(void *arg, struct camera_unit *unit),
                         void          *arg);
#define CAMERA_KEEP_BYTES (4 << 20)

/* Why a stream was lost, or did not begin. */
enum camera_loss {
    CAMERA_LOSS_CLOSED,      /* the camera ended it */
    CAMERA_LOSS_ERROR,       /* what it sent cannot be used, or it answered with an error */
    CAMERA_LOSS_REFUSED,     /* user, password, certificate, address: a person must act */
    CAMERA_LOSS_UNREACHABLE, /* no such name, no route, nobody listens */
    CAMERA_LOSS_TIMEOUT,     /* it did not answer */
    CAMERA_LOSS_NO_PICTURE,  /* packets maybe, but no picture */
    CAMERA_LOSS_STALLED,     /* the pictures stopped */
    CAMERA_LOSSES,
};
const char *camera_loss_name(enum camera_loss loss); /* "closed", ... */

#define CAMERA_REASON_BYTES 256

/* What is decoded at all: less than everything is the last resort when the processors cannot keep
 * up. */
enum camera_relief { CAMERA_DECODES_ALL, CAMERA_SKIPS_UNREFERENCED, CAMERA_KEY_FRAMES_ONLY };

/* Where a camera's video is decoded. */
enum camera_decoder {
    CAMERA_DECODER_NONE, /* not yet, or not at all */
    CAMERA_DECODER_PROCESS,
    CAMERA_DECODER_THREAD,
    CAMERA_DECODER_CARD,
};
/* "", "process", "thread", "cuda". */
const char *camera_decoder_name(enum camera_decoder decoder);

struct camera_stats {
    enum camera_state state;
    char reason[CAMERA_REASON_BYTES]; /* why it is in this state, in plain words; no credentials */
    bool cut_short;                   /* ended where the rest of the file cannot be read */
    int64_t             state_since_ns;          /* monotonic */
    char                source[LIMIT_URL_BYTES]; /* redacted */
    char                codec[16];               /* "h264", "" before the first stream */
    enum camera_video   own_video; /* of live view without re-encoding: H264, H265, or JPEG */
    int                 width_px, height_px;       /* 0 before the first picture */
    double              source_fps;                /* as the stream says, 0 if it does not */
    double              duration_s;                /* file: whole length, 0 if unknown */
    double              decoded_fps, analysed_fps; /* over the last seconds */
    uint64_t            connects;                  /* attempts */
    uint64_t            reconnects; /* streams lost and begun again; a file's loop is none */
    uint64_t            packets, bytes;
    uint64_t            frames_decoded, frames_analysed;
    uint64_t            frames_skipped;  /* decoded, not analysed: the wanted rate is lower */
    uint64_t            frames_still;    /* not analysed, as nothing moved */
    uint64_t            packets_dropped; /* the queue was full, or waiting for a key frame */
    uint64_t            decode_errors;
    uint64_t            rtp_lost;              /* packets, RTSP */
    int64_t             last_frame_ns;         /* monotonic; 0: never */
    double              progress;              /* file: 0..1 */
    uint64_t            losses[CAMERA_LOSSES]; /* attempts that failed and streams that were lost */
    char                transport[8];          /* "tcp", "udp", "http"; "" before it is known */
    uint64_t            rtp_received;          /* packets */
    uint64_t            rtp_reordered, rtp_duplicates, rtp_late; /* over UDP */
    double              jitter_ms;
    enum camera_decoder decoder;
    char decoder_note[128]; /* why it is not the card that the configuration names; else empty */
    enum camera_relief relief;
    bool               resting; /* nothing moves: few pictures are analysed */
    /* A live stream: by how much two clocks are ahead of pts_ns, to bring two streams together
     * (decode.h). */
    bool    has_lead;
    int64_t wall_lead_ns, arrival_lead_ns;
};
void        camera_stats(const struct camera *camera, struct camera_stats *stats);
const char *camera_name(const struct camera *camera);

#endif
