/* server/api/api.h: HTTP, WebSocket and the bundled dashboard, on the loop.
 *
 * HTTP is read and answered here (http_server.h behind http_door.h); a WebSocket, once its upgrade is checked and
 * authorised, goes to libwebsockets with a request line that we wrote ourselves: nothing that a stranger sent
 * reaches its HTTP parser.
 * The API reads state (ledger, live counts, the cameras through api_house) and never
 * changes any: commands go through the house's functions. What is sent is in protocol.md.
 * A route is a row in one table (routes.c) with its rights; a request that no row allows never reaches a handler.
 * Loop thread only. */
#ifndef SIGHTLINE_SERVER_API_API_H
#define SIGHTLINE_SERVER_API_API_H

#include "config/json_writer.h"
#include "config/settings.h"
#include "config/why.h"
#include "server/camera/camera.h"
#include "server/count/tracker.h"
#include "storage/ledger.h"
#include "storage/live.h"

#include <uv.h>

struct api;

/* What the API may ask of the rest of the house; implemented by server/house.c. */
struct api_camera {
    const struct settings_camera *settings; /* name, lines, zones */
    struct camera_stats           stats;
    uint64_t frames_dropped; /* given up by the inference pool for newer ones */
    uint64_t frames_failed;  /* could not be analysed */
    double   coverage;       /* of the last full minute, 0..1; negative before it */
    double   given_fps;      /* at which it is to be analysed now; 0: every picture */
    double   share;          /* of the wanted rate, 0..1; below 1 under overload */
    double   packet_loss;    /* over the last seconds, 0..1 */
};
/* A camera's main stream, which is connected to only while somebody looks (server/main_stream.h). */
struct api_main {
    bool              connected; /* or trying */
    bool              shown;     /* its units come */
    enum camera_state state;     /* while connected */
    enum camera_video video;     /* NONE: not known now */
    int               width_px, height_px;
    char              codec[16];
    char              source[LIMIT_URL_BYTES];     /* redacted */
    char              reason[CAMERA_REASON_BYTES]; /* why it is not shown */
};
/* A problem that an operator should know: shown by ready, health and the dashboard. */
struct api_problem {
    char what[32]; /* "ledger", "disk", "redis", "camera", "model", "load", "configuration" */
    char text[256];
    bool not_ready; /* ready answers 503 while it lasts */
};
struct api_house {
    void *arg;
    int (*camera_count)(void *arg);
    /* False when there is no such index any more. */
    bool (*camera)(void *arg, int index, struct api_camera *camera);
    /* -1 when there is none. */
    int (*camera_index)(void *arg, const char *name);
    /* The kinds of video that viewers of this camera want now: bits 1u << enum camera_video. */
    void (*want_video)(void *arg, int index, unsigned kinds);
    /* Units since the last key frame, for a viewer that joins. */
    void (*replay_units)(void *arg, int                                                index,
                         void (*unit)(void *unit_arg, struct camera_unit *unit), void *unit_arg);
    /* False when the camera has one stream. NULL, all three: no camera here has two. */
    bool (*main)(void *arg, int index, struct api_main *state);
    void (*want_main)(void *arg, int index, bool wanted);
    void (*replay_main)(void *arg, int index,
                        void (*unit)(void *unit_arg, struct camera_unit *unit, int64_t shift_ns),
                        void *unit_arg);
    int (*problems)(void *arg, struct api_problem *problems, int capacity);
    /* Writes further OpenMetrics families (frames, inference, batches); text is appended with `write`. */
    void (*metrics)(void *arg, void (*write)(void *write_arg, const char *text, size_t bytes),
                    void *write_arg);
    /* What takes its time: see server/jobs.h. NULL, all of them: none is done here. The job's number or a negative code. */
    int64_t (*job_begin)(void *arg, const char *body, size_t bytes, struct why *why);
    bool (*job_write)(void *arg, int64_t id, struct json_writer *json);
    bool (*job_cancel)(void *arg, int64_t id);
    int (*job_data)(void *arg, int64_t id, uint64_t at, const char *bytes, size_t count,
                    struct why *why);
    const uint8_t *(*job_picture)(void *arg, int64_t id, size_t *bytes);
    /* Begins to make a JPEG, at most `width_px` wide (0: as wide as the picture is); api_snapshot()
     * comes with the ticket, later. A negative code: it does not. NULL: none are made. */
    int (*snapshot)(void *arg, int index, int width_px, uint64_t ticket, struct why *why);
    const char *(*model_text)(
        void *arg); /* "yolox_nano_coco_416 (yolox, cpu)", or why there is none */
    /* "cpu", "cuda"; may be NULL, as may its answer. */
    const char *(*backend_name)(void *arg);
};

/* How long the API waits; 0 means the default. Tests shorten it. */
struct api_patience {
    int head_ms;   /* for a complete request head: 10 s */
    int body_ms;   /* for a request body: 10 s */
    int write_ms;  /* for a client that takes nothing of its answer: 10 s */
    int idle_ms;   /* for the next request of a connection: 30 s */
    int ping_ms;   /* between pings of a WebSocket: 20 s */
    int silent_ms; /* for any answer to them: 60 s */
    int behind_ms; /* for a WebSocket client that takes nothing: LIMIT_WS_BEHIND_MS */
};

struct api_settings {
    uv_loop_t              *loop;
    const char             *listen; /* address */
    uint16_t                port;   /* 0: any */
    const char             *token;  /* NULL: none needed; only on loopback */
    struct ledger          *ledger;
    struct live            *live;
    const struct api_house *house;
    struct api_patience     patience;
    int                     max_clients; /* 0: LIMIT_CLIENTS */
};

int api_open(struct api **out, const struct api_settings *settings, struct why *why);
/* Closes clients; memory goes when the loop has closed the handles. Sets *api = NULL. */
void     api_close(struct api **api);
uint16_t api_port(const struct api *api); /* the one that it listens on */
/* Serves a connected stream socket that somebody else accepted (socket activation, tests); owns it from now on. */
int api_take_connection(struct api *api, int fd);

/* ---- what has happened: told to the subscribers ---- */
void api_event_committed(struct api *api, const struct event *event); /* after live_apply() */
void api_counts_changed(struct api *api);                             /* occupancy, new counters */
void api_tracks(struct api *api, int camera_index, const struct frame *frame,
                const struct track *tracks, int count);
void api_unit(struct api *api, int camera_index, struct camera_unit *unit);
/* Of its main stream: a unit, and what is added to its time to be in the clock of the tracks; and
 * another state. */
void api_main_unit(struct api *api, int camera_index, struct camera_unit *unit, int64_t shift_ns);
void api_main_changed(struct api *api, int camera_index);
/* What a request waits for: the JPEG, or (NULL) why there is none. */
void api_snapshot(struct api *api, uint64_t ticket, const struct camera_unit *jpeg, int rc,
                  const struct why *why);
void api_health_changed(struct api *api);
void api_cameras_changed(struct api *api); /* configuration: clients ask for the list again */

#endif
