/* A changed configuration file is picked up without dropping a camera that it leaves alone. It is
 * read and checked on a worker; a bad file is refused whole, with its problems in the log and one
 * in health, and what runs goes on running. The folder is watched rather than the file, because editors
 * and orchestrators replace files. */
#include "config/err.h"
#include "config/log.h"
#include "config/plural.h"
#include "server/model_change.h"
#include "server/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An editor writes a file in several steps; the last one counts. */
#define SETTLE_MS 300

struct reload {
    struct server           *server;
    uv_fs_event_t            watch;
    uv_timer_t               settle;
    uv_signal_t              hangup;
    uv_work_t                work;
    bool                     working;
    bool                     again; /* changed once more while a worker was reading */
    bool                     closing;
    int                      handles_open;
    char                     file[LIMIT_PATH_BYTES];
    char                     name[LIMIT_PATH_BYTES]; /* of the file within its folder */
    struct settings         *loaded;
    struct settings_problems problems;
};

static void free_if_done(struct reload *reload)
{
    if (reload->handles_open > 0 || reload->working)
        return;
    settings_free(&reload->loaded);
    free(reload);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct reload *reload = handle->data;

    reload->handles_open--;
    free_if_done(reload);
}

/* On a worker. */
static void read_file(uv_work_t *work)
{
    struct reload *reload = work->data;

    settings_load(&reload->loaded, reload->file, &reload->problems);
}

/* What is built at start and cannot change under a running server. */
static bool needs_restart(const struct settings *a, const struct settings *b)
{
    return strcmp(a->http_listen, b->http_listen) != 0 || a->http_port != b->http_port ||
           strcmp(a->http_token.value, b->http_token.value) != 0 ||
           strcmp(a->http_token_file, b->http_token_file) != 0 || strcmp(a->data, b->data) != 0 ||
           strcmp(a->redis_url.value, b->redis_url.value) != 0 ||
           a->inference_workers != b->inference_workers || a->decode_workers != b->decode_workers ||
           a->decode_isolation != b->decode_isolation || a->decode_device != b->decode_device;
}

static void apply(struct reload *reload)
{
    struct server *server = reload->server;
    struct why     why;
    enum log_level level;

    if (reload->loaded == NULL) {
        for (int i = 0; i < reload->problems.count && i < SETTINGS_MAX_PROBLEMS; i++)
            log_error("configuration", "%s", reload->problems.problem[i].text);
        server->reload_problem = reload->problems.problem[0];
        why_prefix(&server->reload_problem, "the changed file is refused (%d problem%s)",
                   reload->problems.count, plural((uint64_t)reload->problems.count));
        api_health_changed(server->api);
        return;
    }
    server->reload_problem.text[0] = '\0';
    /* Against what was read at start, until a restart: settings that are put back need none. */
    server->restart_needed = needs_restart(server->settings, reload->loaded);
    /* What is only tried goes by the new one, too, even if one of the cameras cannot be opened. */
    server->cameras_allowed   = reload->loaded->cameras_allowed;
    server->uploads_file_mib  = reload->loaded->uploads_file_mib;
    server->uploads_total_mib = reload->loaded->uploads_total_mib;
    model_change_begin(server, &reload->loaded->model);
    if (cameras_apply(server, reload->loaded, &why) != 0) {
        log_error("configuration", "%s", why.text);
        server->reload_problem = why;
    }
    if (log_level_from_text(reload->loaded->log_level, &level))
        log_set_level(level);
    log_info("configuration", "%s is read again: %d camera%s%s", reload->file,
             reload->loaded->camera_count, plural((uint64_t)reload->loaded->camera_count),
             server->restart_needed ? "; some settings take effect at the next start" : "");
    settings_free(&reload->loaded);
    api_health_changed(server->api);
}

static void start_reading(struct reload *reload);

static void on_read(uv_work_t *work, int status)
{
    struct reload *reload = work->data;

    reload->working = false;
    if (reload->closing) {
        free_if_done(reload);
        return;
    }
    if (status == 0)
        apply(reload);
    if (reload->again)
        start_reading(reload);
}

static void start_reading(struct reload *reload)
{
    reload->again = reload->working;
    if (reload->working)
        return;
    reload->work.data = reload;
    reload->working = uv_queue_work(&reload->server->loop, &reload->work, read_file, on_read) == 0;
}

void reload_now(struct server *server)
{
    if (server->reload != NULL)
        start_reading(server->reload);
}

static void on_settled(uv_timer_t *timer)
{
    start_reading(timer->data);
}

static void on_changed(uv_fs_event_t *watch, const char *name, int events, int status)
{
    struct reload *reload = watch->data;

    (void)events;
    if (status != 0 || (name != NULL && strcmp(name, reload->name) != 0))
        return;
    uv_timer_start(&reload->settle, on_settled, SETTLE_MS, 0);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    (void)number;
    start_reading(handle->data);
}

static void add_handle(struct reload *reload, uv_handle_t *handle)
{
    handle->data = reload;
    uv_unref(handle);
    reload->handles_open++;
}

static void split_path(const char *path, char folder[LIMIT_PATH_BYTES], char name[LIMIT_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');

    snprintf(name, LIMIT_PATH_BYTES, "%s", slash == NULL ? path : slash + 1);
    if (slash == NULL)
        memcpy(folder, ".", sizeof ".");
    else
        snprintf(folder, LIMIT_PATH_BYTES, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

int reload_start(struct server *server, struct why *why)
{
    struct reload *reload = calloc(1, sizeof *reload);
    char           folder[LIMIT_PATH_BYTES];

    if (reload == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    server->reload = reload;
    reload->server = server;
    if (strlen(server->settings_file) >= sizeof reload->file) {
        reload_stop(server);
        return why_set(why, ERR_LIMIT, "the path of the configuration is too long");
    }
    memcpy(reload->file, server->settings_file, strlen(server->settings_file));
    split_path(reload->file, folder, reload->name);
    uv_timer_init(&server->loop, &reload->settle);
    add_handle(reload, (uv_handle_t *)&reload->settle);
    uv_signal_init(&server->loop, &reload->hangup);
    uv_signal_start(&reload->hangup, on_hangup, SIGHUP);
    add_handle(reload, (uv_handle_t *)&reload->hangup);
    uv_fs_event_init(&server->loop, &reload->watch);
    add_handle(reload, (uv_handle_t *)&reload->watch);
    /* Without inotify (its limit is reached, or a file system without it) SIGHUP still works. */
    if (uv_fs_event_start(&reload->watch, on_changed, folder, 0) != 0)
        log_warning("configuration", "%s cannot be watched for changes: send SIGHUP after one",
                    folder);
    return 0;
}

void reload_stop(struct server *server)
{
    struct reload *reload = server->reload;

    if (reload == NULL)
        return;
    server->reload  = NULL;
    reload->closing = true;
    if (reload->handles_open == 0) {
        free_if_done(reload);
        return;
    }
    uv_close((uv_handle_t *)&reload->settle, on_handle_closed);
    uv_close((uv_handle_t *)&reload->hangup, on_handle_closed);
    uv_close((uv_handle_t *)&reload->watch, on_handle_closed);
}
