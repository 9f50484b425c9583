/* server/camera/source.h: where a camera's packets come from. One table of kinds (source.c).
 *
 * A source runs on the loop and never blocks it. It reports through source_events: first
 * stream(), then packets, and finally ended() exactly once, unless it was closed before. After
 * ended() the camera closes it and decides about the retry: a source knows nothing of backoff. */
#ifndef SIGHTLINE_SERVER_CAMERA_SOURCE_H
#define SIGHTLINE_SERVER_CAMERA_SOURCE_H

#include "config/settings.h"
#include "config/why.h"

#include <libavcodec/codec_par.h>
#include <libavcodec/packet.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct source;

enum source_end {
    SOURCE_END_OF_FILE,     /* the whole file was played */
    SOURCE_END_CLOSED,      /* the other side ended the stream */
    SOURCE_END_ERROR,       /* anything else; the text says what */
    SOURCE_END_REFUSED,     /* credentials or address refused: trying again soon is of no use */
    SOURCE_END_UNREACHABLE, /* no such name, no route, nobody listens */
    SOURCE_END_TIMEOUT,     /* something that was awaited did not come */
    SOURCE_ENDS,
};

struct source_events {
    void *arg;
    /* What follows is coded like this. May come again when the stream changes. */
    void (*stream)(void *arg, const AVCodecParameters *parameters, AVRational time_base,
                   AVRational frame_rate);
    /* One access unit. The callee takes the packet's content (av_packet_move_ref) or leaves it.
     * `wall_ns`: when it was captured (RTCP sender report) or received. */
    void (*packet)(void *arg, AVPacket *packet, int64_t wall_ns);
    /* For the camera's reason text while connecting: "DESCRIBE", "waiting for the first
     * picture". */
    void (*progress)(void *arg, const char *step);
    /* `reason` holds no credentials. */
    void (*ended)(void *arg, enum source_end end, const char *reason);
};

struct source_counters {
    uint64_t    bytes, packets;
    uint64_t    rtp_received, rtp_lost;
    uint64_t    rtp_reordered, rtp_duplicates, rtp_late; /* over UDP */
    double      jitter_ms;
    const char *transport; /* "tcp", "udp", "http", ...; NULL: not known yet; static */
};

struct source_ops {
    const char *name; /* "rtsp" */
    /* Begins at once; events come from the loop later, never from within open. */
    int (*open)(struct source **out, uv_loop_t *loop, const struct settings_camera *settings,
                const struct source_events *events, struct why *why);
    /* No event after this. Memory goes when the loop has closed the handles. Sets *source =
     * NULL. */
    void (*close)(struct source **source);
    void (*counters)(const struct source *source, struct source_counters *counters);
    /* Another settings.detect_fps, while it runs. NULL: nothing that the source does depends on it. */
    void (*set_rate)(struct source *source, double fps);
};

struct source {
    const struct source_ops *ops;
};

extern const struct source_ops source_rtsp;
extern const struct source_ops source_http; /* MJPEG, JPEG, HLS */
extern const struct source_ops source_v4l2; /* a camera at this machine's own port */
extern const struct source_ops source_av;   /* RTMP, SRT: a thread for each camera */

/* The kind of source for an address, by its scheme: an entry of the table, or NULL for a file's
 * path, which the decode workers read by themselves (source_file.h); /dev/video0 is a device. No other scheme is ever
 * opened: ERR_UNSUPPORTED; ERR_INVALID: empty. */
int source_choose(const struct source_ops **ops, const char *url, struct why *why);

/* Whether source_choose() and the source that it names take the address, before anything is opened. It is
 * without credentials. */
int source_check(const char *url, struct why *why);

/* ---- source_av.c ---- */

struct camera_url;
/* ERR_UNSUPPORTED: an option of SRT that could make it listen or send. */
int source_av_check(const struct camera_url *url, struct why *why);

#endif
