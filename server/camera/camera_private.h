/* server/camera/camera_private.h: one camera from the inside: camera.c, the state machine, and
 * camera_figures.c, what is wished of it and told about it. Loop. */
#ifndef SIGHTLINE_SERVER_CAMERA_CAMERA_PRIVATE_H
#define SIGHTLINE_SERVER_CAMERA_CAMERA_PRIVATE_H

#include "server/camera/camera.h"
#include "server/camera/camera_gate.h"
#include "server/camera/camera_knock.h"
#include "server/camera/camera_tuning.h"
#include "server/camera/camera_url.h"
#include "server/camera/decode.h"

struct camera {
    uv_timer_t               timer;
    uv_async_t               async;
    int                      open_handles;
    bool                     closing;
    struct settings_camera   settings;
    struct camera_tuning     tuning;
    struct camera_sink       sink;
    uv_loop_t               *loop;
    struct decode_stream    *stream;
    const struct source_ops *ops; /* NULL: a file */
    struct source           *source;
    struct source_counters   closed_sources; /* sums over sources that are gone */
    enum camera_state        state;
    struct camera_gate_turn  turn;
    struct camera_url        url;   /* without credentials; no host: a file */
    struct camera_knock     *knock; /* while it waits for its next try */
    uint64_t                 losses[CAMERA_LOSSES];
    uint64_t                 packets_now, keys_now; /* of the source that is open */
    char                     reason[CAMERA_REASON_BYTES];
    char                     told[CAMERA_REASON_BYTES]; /* the last trouble that the log has */
    int64_t                  told_ns;
    char                     log_name[LIMIT_NAME_BYTES + 16];
    bool                     view; /* its packets are passed on, not decoded */
    int64_t                  state_since_ns;
    int64_t                  streaming_since_ns;
    unsigned                 failures;
    bool                     ever_streamed;
    bool                     cut_short;
    uint64_t                 connects, reconnects;
    int                      width_px, height_px; /* as the sink knows them */
};

#endif
