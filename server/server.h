/* server/server.h: the running server, and the modules that main.c starts in order and stops in
 * reverse. Each start either succeeds or leaves nothing half-open and says why; each stop copes
 * with a module that never started. All on the loop thread. */
#ifndef SIGHTLINE_SERVER_SERVER_H
#define SIGHTLINE_SERVER_SERVER_H

#include "config/settings.h"
#include "config/why.h"
#include "gpu/detector.h"
#include "server/api/api.h"
#include "server/pipeline.h"
#include "storage/ledger.h"
#include "storage/live.h"

#include <stdbool.h>
#include <uv.h>

struct camera_edit;  /* job_cameras.c */
struct jobs;         /* jobs.h */
struct model_change; /* model_change.h */
struct reload;       /* reload.c */
struct snapshots;    /* snapshots.h */

struct server {
    uv_loop_t            loop;
    const char          *settings_file;
    struct settings     *settings;
    unsigned             cameras_allowed; /* as of the file that was read last */
    int                  uploads_file_mib, uploads_total_mib; /* likewise */
    char                 token[LIMIT_SECRET_BYTES];           /* empty: none needed */
    struct ledger       *ledger;
    uv_async_t           ledger_wake;
    uv_timer_t           ledger_retry;
    struct live         *live;
    struct detector     *detector; /* NULL: no model, cameras run for live view alone */
    char                 model_text[512];
    struct model_change *model_change;
    struct pipeline     *pipeline;
    struct api          *api;
    struct api_house     house;
    struct reload       *reload;
    struct jobs         *jobs;
    struct snapshots    *snapshots;
    struct camera_edit  *camera_edit; /* the change that is being saved */
    uv_signal_t          signals[2];  /* SIGTERM, SIGINT */
    bool                 stopping;
    bool                 restart_needed; /* a changed setting takes effect only at the next start */
    struct why reload_problem; /* why the file on disk is not what runs; empty text: it is */
};

struct server_module {
    const char *name;
    int (*start)(struct server *server, struct why *why);
    void (*stop)(struct server *server);
};

/* serve.c */
int  settings_start(struct server *server, struct why *why);
void settings_stop(struct server *server);
int  token_start(struct server *server, struct why *why);
int  ledger_start(struct server *server, struct why *why);
void ledger_stop(struct server *server);
int  live_start(struct server *server, struct why *why);
void live_stop(struct server *server);
int  pipeline_start(struct server *server, struct why *why);
void pipeline_stop(struct server *server);
int  api_start(struct server *server, struct why *why);
void api_stop(struct server *server);
int  signals_start(struct server *server, struct why *why);
void signals_stop(struct server *server);
/* jobs.c */
int  jobs_start(struct server *server, struct why *why);
void jobs_stop(struct server *server);
/* snapshots.c */
int  snapshots_start(struct server *server, struct why *why);
void snapshots_stop(struct server *server);
/* model_change.c */
int  detector_start(struct server *server, struct why *why);
void detector_stop(struct server *server);
/* reload.c: notices a changed file (or SIGHUP), reads it on a worker, applies it whole or not at all. */
int  reload_start(struct server *server, struct why *why);
void reload_stop(struct server *server);
/* The files have changed: read them, without waiting for the file system to say so. */
void reload_now(struct server *server);
/* cameras.c: makes the pipeline's cameras and the registered counters those of the settings. */
int cameras_start(struct server *server, struct why *why);
int cameras_apply(struct server *server, const struct settings *settings, struct why *why);

/* house.c: what the API may ask of the rest of the server. */
void house_init(struct api_house *house, struct server *server);
/* Pipeline and inference metrics in OpenMetrics text (pipeline_metrics.c). */
void pipeline_metrics(const struct server *server,
                      void (*write)(void *write_arg, const char *text, size_t bytes),
                      void *write_arg);

#endif
