/* server/main_stream.h: the main stream of a camera, while somebody looks at the camera large.
 *
 * Connected to when the first one wants it, with the states of any camera (backoff, stall, reasons);
 * its packets are passed on and never decoded; closed MAIN_STREAM_LINGER_MS after the last one has
 * left. All who look share it. It is `shown` while it streams; who wants it while it is not gets the
 * camera's other stream, and the reason.
 *
 * Boxes belong to the other stream, which is analysed. What a unit of this stream must be moved by to
 * be at the same moment in that stream's media time is given with it:
 *  - by the times at which pictures were taken, as both streams tell them: to the millisecond where the
 *    camera sends RTCP sender reports for both, which have one clock behind them;
 *  - by the times of arrival where those are further than MAIN_STREAM_TRUST_MS from the first, as with
 *    reports for one stream alone from a camera whose clock is wrong. Then, and where no reports come,
 *    what is between the two is how much longer one stream takes through encoder and network: some tens
 *    of milliseconds, as only the least delay of some seconds counts.
 * It is looked at every second and changed only when it is more than MAIN_STREAM_STEP_MS off. Loop. */
#ifndef SIGHTLINE_SERVER_MAIN_STREAM_H
#define SIGHTLINE_SERVER_MAIN_STREAM_H

#include "config/settings.h"
#include "config/why.h"
#include "server/camera/camera.h"

#include <uv.h>

#define MAIN_STREAM_LINGER_MS 5000
#define MAIN_STREAM_TRUST_MS  250
#define MAIN_STREAM_STEP_MS   20
#define MAIN_STREAMS_MAX      64 /* of a server at a time: 64 x 8 Mbit/s fill half a gigabit */

struct main_stream;

/* What all main streams of a server have in common. Zero it before the first. */
struct main_streams {
    int      open;    /* connections that are held or tried */
    uint64_t refused; /* times that MAIN_STREAMS_MAX were open already */
};

struct main_stream_settings {
    uv_loop_t                    *loop;
    struct decode_pool           *pool;
    const struct settings_camera *camera;    /* copied; its view is not empty */
    const struct camera          *other;     /* the stream that is analysed; outlives this one */
    struct main_streams          *all;       /* outlives this one */
    unsigned                      linger_ms; /* 0: MAIN_STREAM_LINGER_MS */
    void                         *arg;
    void (*unit)(void *arg, struct camera_unit *unit, int64_t shift_ns);
    /* The state, below, is another one. */
    void (*changed)(void *arg);
};

/* Connects to nothing yet. ERR_MEMORY. */
int main_stream_open(struct main_stream **out, const struct main_stream_settings *settings,
                     struct why *why);
/* Nothing is called after it; memory goes when the loop has closed the handle. NULL-safe. */
void main_stream_close(struct main_stream **main);

void main_stream_want(struct main_stream *main, bool wanted);

struct main_stream_state {
    bool              connected; /* or trying */
    bool              shown;     /* units come */
    enum camera_state state;
    enum camera_video video; /* NONE: not known now */
    char              codec[16];
    int               width_px, height_px;
    char              source[LIMIT_URL_BYTES];     /* redacted */
    char              reason[CAMERA_REASON_BYTES]; /* why it is not shown; no credentials */
};
void main_stream_state(const struct main_stream *main, struct main_stream_state *state);

/* The units since the last key frame, for one who joins. */
void main_stream_replay(struct main_stream *main,
                        void (*unit)(void *arg, struct camera_unit *unit, int64_t shift_ns),
                        void *arg);

#endif
