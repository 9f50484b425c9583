/* What the modules of `sightline serve` do when they start and stop. The order is main.c's. */
#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "config/plain_file.h"
#include "config/plural.h"
#include "server/camera/ffmpeg_log.h"
#include "server/model_change.h"
#include "server/server.h"
#include "server/snapshots.h"
#include "server/uploads.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- settings ---- */

int settings_start(struct server *server, struct why *why)
{
    static struct settings_problems problems;
    enum log_level                  level;
    int                             rc;

    ffmpeg_log_install();
    rc = settings_load(&server->settings, server->settings_file, &problems);
    if (rc != 0) {
        for (int i = 0; i < problems.count && i < SETTINGS_MAX_PROBLEMS; i++)
            fprintf(stderr, "%s\n", problems.problem[i].text);
        return why_set(why, rc, "%s is refused: %d problem%s", server->settings_file,
                       problems.count, plural((uint64_t)problems.count));
    }
    server->cameras_allowed   = server->settings->cameras_allowed;
    server->uploads_file_mib  = server->settings->uploads_file_mib;
    server->uploads_total_mib = server->settings->uploads_total_mib;
    if (log_level_from_text(server->settings->log_level, &level))
        log_set_level(level);
    return 0;
}

void settings_stop(struct server *server)
{
    settings_free(&server->settings);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *server = handle->data;

    if (server->stopping)
        return;
    server->stopping = true;
    log_info("main", "stopping (%s)", number == SIGTERM ? "SIGTERM" : "SIGINT");
    uv_stop(&server->loop);
}

int signals_start(struct server *server, struct why *why)
{
    static const int NUMBERS[2] = {SIGTERM, SIGINT};

    signal(SIGPIPE, SIG_IGN); /* a client that is gone is an error code, not a signal */
    for (int i = 0; i < 2; i++) {
        if (uv_signal_init(&server->loop, &server->signals[i]) != 0)
            return why_set(why, ERR_IO, "signals cannot be watched");
        server->signals[i].data = server;
        uv_signal_start(&server->signals[i], on_signal, NUMBERS[i]);
        uv_unref((uv_handle_t *)&server->signals[i]);
    }
    return 0;
}

void signals_stop(struct server *server)
{
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&server->signals[i], NULL);
}

/* ---- token ---- */

#define TOKEN_RANDOM_BYTES 24 /* 32 characters */

static int make_token_file(struct server *server, const char *path, struct why *why)
{
    unsigned char random[TOKEN_RANDOM_BYTES];
    int           fd;
    size_t        length;
    bool          written;

    randombytes_buf(random, sizeof random);
    sodium_bin2base64(server->token, sizeof server->token, random, sizeof random,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    length = strlen(server->token);
    fd     = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return why_set(why, ERR_IO, "the token file %s cannot be made: %s", path, strerror(errno));
    written = write(fd, server->token, length) == (ssize_t)length && write(fd, "\n", 1) == 1 &&
              fsync(fd) == 0;
    close(fd);
    if (!written) {
        unlink(path);
        return why_set(why, ERR_IO, "the token file %s cannot be written", path);
    }
    /* The only time that it is shown: to the person at the terminal, not to the log. */
    printf("First start. Sign in to the dashboard with this token (kept in %s):\n\n    %s\n\n",
           path, server->token);
    fflush(stdout);
    return 0;
}

int token_start(struct server *server, struct why *why)
{
    const struct settings *settings = server->settings;
    FILE                  *file;
    int                    rc;

    if (sodium_init() < 0)
        return why_set(why, ERR_IO, "no source of random numbers");
    if (settings->http_token_file[0] == '\0') {
        memcpy(server->token, settings->http_token.value, sizeof server->token);
        return 0;
    }
    rc = plain_file_stream(settings->http_token_file, &file, why);
    if (rc == ERR_NOT_FOUND)
        return make_token_file(server, settings->http_token_file, why);
    if (rc != 0) {
        why_prefix(why, "the token file %s cannot be read", settings->http_token_file);
        return rc;
    }
    if (fgets(server->token, sizeof server->token, file) == NULL)
        server->token[0] = '\0';
    fclose(file);
    server->token[strcspn(server->token, "\r\n")] = '\0';
    /* Never fall back to "no token": that would open the server to everybody. */
    if (strlen(server->token) < 16)
        return why_set(why, ERR_INVALID,
                       "the token file %s holds no token of 16 characters or more",
                       settings->http_token_file);
    return 0;
}

/* ---- ledger ---- */

#define LEDGER_RETRY_MS 1000

static void on_acknowledged(void *arg, const struct event *event)
{
    struct server *server = arg;

    live_apply(server->live, event);
    if (server->api != NULL)
        api_event_committed(server->api, event);
}

static void on_ledger(uv_async_t *handle)
{
    struct server *server = handle->data;

    if (server->live != NULL)
        ledger_dispatch(server->ledger, on_acknowledged, server);
}

/* A read that failed (too many readers, say) is tried again, with or without another commit. */
static void on_ledger_retry(uv_timer_t *timer)
{
    on_ledger(&((struct server *)timer->data)->ledger_wake);
}

/* On the ledger's writer thread. */
static void wake_for_ledger(void *arg)
{
    struct server *server = arg;

    uv_async_send(&server->ledger_wake);
}

int ledger_start(struct server *server, struct why *why)
{
    struct ledger_settings settings = {.wake = wake_for_ledger, .arg = server};
    int                    rc;

    if (uv_async_init(&server->loop, &server->ledger_wake, on_ledger) != 0)
        return why_set(why, ERR_IO, "too few descriptors");
    uv_timer_init(&server->loop, &server->ledger_retry);
    server->ledger_wake.data  = server;
    server->ledger_retry.data = server;
    rc = ledger_open(&server->ledger, server->settings->data, &settings, why);
    if (rc != 0) {
        uv_close((uv_handle_t *)&server->ledger_wake, NULL);
        uv_close((uv_handle_t *)&server->ledger_retry, NULL);
        return rc;
    }
    uv_timer_start(&server->ledger_retry, on_ledger_retry, LEDGER_RETRY_MS, LEDGER_RETRY_MS);
    log_info("ledger", "%llu event%s so far in %s",
             (unsigned long long)ledger_last_seq(server->ledger),
             plural(ledger_last_seq(server->ledger)), server->settings->data);
    return 0;
}

void ledger_stop(struct server *server)
{
    ledger_close(&server->ledger);
    uv_close((uv_handle_t *)&server->ledger_wake, NULL);
    uv_close((uv_handle_t *)&server->ledger_retry, NULL);
}

/* ---- live ---- */

int live_start(struct server *server, struct why *why)
{
    const char          *url      = server->settings->redis_url.value;
    struct live_settings settings = {
        .loop = &server->loop, .redis_url = url[0] == '\0' ? NULL : url, .ledger = server->ledger};

    return live_open(&server->live, &settings, why);
}

void live_stop(struct server *server)
{
    live_close(&server->live);
}

/* ---- pipeline ---- */

static void on_event(void *arg, const struct event *event)
{
    struct server *server = arg;
    int            rc     = ledger_append(server->ledger, event);

    if (rc != 0)
        log_error("ledger", "an event of %s/%s is lost: %s", event->camera, event->counter,
                  err_text(rc));
}

static void on_tracks(void *arg, int index, const struct frame *frame, const struct track *tracks,
                      int count)
{
    struct server *server = arg;

    if (server->api != NULL)
        api_tracks(server->api, index, frame, tracks, count);
}

static void on_occupancy(void *arg, const char *camera, const char *zone,
                         const uint32_t inside[OBJECT_CLASSES])
{
    struct server *server = arg;

    live_set_occupancy(server->live, camera, zone, inside);
    if (server->api != NULL)
        api_counts_changed(server->api);
}

static void on_coverage(void *arg, const char *camera, int64_t time_ns, uint32_t analysed_ms,
                        uint32_t elapsed_ms)
{
    struct server *server = arg;

    ledger_append_coverage(server->ledger, camera, time_ns, analysed_ms, elapsed_ms);
}

static void on_unit(void *arg, int index, struct camera_unit *unit)
{
    struct server *server = arg;

    if (server->api != NULL)
        api_unit(server->api, index, unit);
}

static void on_snapshot(void *arg, int index, struct camera_unit *jpeg)
{
    const struct server *server = arg;

    snapshots_made(server->snapshots, pipeline_camera_settings(server->pipeline, index)->name,
                   jpeg);
}

static void on_main_unit(void *arg, int index, struct camera_unit *unit, int64_t shift_ns)
{
    struct server *server = arg;

    if (server->api != NULL)
        api_main_unit(server->api, index, unit, shift_ns);
}

static void on_main_changed(void *arg, int index)
{
    struct server *server = arg;

    if (server->api != NULL)
        api_main_changed(server->api, index);
}

/* What is noted of an uploaded video is the disk's. */
struct upload_note {
    uv_work_t        work;
    char             data[LIMIT_PATH_BYTES];
    char             name[UPLOAD_NAME_BYTES];
    enum upload_kind kind;
};

static void write_note(uv_work_t *work)
{
    const struct upload_note *note = work->data;

    uploads_mark(note->data, note->name, note->kind);
}

static void on_noted(uv_work_t *work, int status)
{
    (void)status;
    free(work->data);
}

static void note_upload(struct server *server, const struct settings_camera *camera,
                        enum upload_kind kind)
{
    struct upload_note *note = calloc(1, sizeof *note);

    if (note == NULL)
        return;
    note->work.data = note;
    note->kind      = kind;
    memcpy(note->data, server->settings->data, sizeof note->data);
    if (!upload_name_of(camera->url, note->name) ||
        uv_queue_work(&server->loop, &note->work, write_note, on_noted) != 0)
        free(note);
}

static void on_camera_changed(void *arg, int index)
{
    struct server                *server = arg;
    const struct settings_camera *camera = pipeline_camera_settings(server->pipeline, index);
    struct camera_stats           stats;

    if (camera->file[0] != '\0' && !camera->loop && !camera->begun) {
        camera_stats(pipeline_camera(server->pipeline, index), &stats);
        if (stats.state == CAMERA_STREAMING)
            note_upload(server, camera, UPLOAD_BEGUN);
    }
    if (server->api != NULL)
        api_health_changed(server->api);
}

static void on_finished(void *arg, int index)
{
    struct server                *server = arg;
    const struct settings_camera *camera = pipeline_camera_settings(server->pipeline, index);

    log_info(camera->name, "the file has ended");
    if (camera->file[0] != '\0' && !camera->played)
        note_upload(server, camera, UPLOAD_PLAYED);
}

int pipeline_start(struct server *server, struct why *why)
{
    struct pipeline_settings settings = {
        .loop              = &server->loop,
        .detector          = server->detector,
        .decode_workers    = server->settings->decode_workers,
        .isolation         = server->settings->decode_isolation,
        .decode_device     = server->settings->decode_device,
        .inference_workers = server->settings->inference_workers,
        .output            = {.arg            = server,
                              .event          = on_event,
                              .tracks         = on_tracks,
                              .occupancy      = on_occupancy,
                              .coverage       = on_coverage,
                              .unit           = on_unit,
                              .camera_changed = on_camera_changed,
                              .snapshot       = on_snapshot,
                              .main_unit      = on_main_unit,
                              .main_changed   = on_main_changed,
                              .finished       = on_finished},
    };

    return pipeline_open(&server->pipeline, &settings, why);
}

void pipeline_stop(struct server *server)
{
    model_change_wait(server);
    pipeline_close(&server->pipeline);
}

/* ---- api ---- */

int api_start(struct server *server, struct why *why)
{
    struct api_settings settings = {
        .loop   = &server->loop,
        .listen = server->settings->http_listen,
        .port   = server->settings->http_port,
        .token  = server->token[0] == '\0' ? NULL : server->token,
        .ledger = server->ledger,
        .live   = server->live,
        .house  = &server->house,
    };
    int rc;

    house_init(&server->house, server);
    rc = api_open(&server->api, &settings, why);
    if (rc != 0)
        return rc;
    printf("Dashboard: http://%s%s%s:%u/\n", strchr(settings.listen, ':') == NULL ? "" : "[",
           settings.listen, strchr(settings.listen, ':') == NULL ? "" : "]", api_port(server->api));
    fflush(stdout);
    return 0;
}

void api_stop(struct server *server)
{
    api_close(&server->api);
}
