#include "server/model_change.h"

#include "config/err.h"
#include "config/log.h"
#include "server/model_place.h"
#include "server/model_settings.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Which file it was, when it was loaded: a new one in its place is another model. */
struct stamp {
    ino_t           number;
    off_t           bytes;
    struct timespec changed;
};

struct model_change {
    struct server         *server;
    uv_work_t              work;
    pthread_mutex_t        lock;
    pthread_cond_t         idle;
    bool                   working; /* under the lock; the worker's end of it */
    bool                   pending; /* its end on the loop has not come */
    bool                   again;   /* changed once more meanwhile: `next` */
    bool                   stopped; /* the server is: the end frees this */
    struct settings_model  model;   /* that runs, was refused, or is being loaded */
    struct settings_model  next;
    struct stamp           stamp;
    struct inference_pool *pool; /* that runs; NULL: there was no model yet */
    /* The worker's result. */
    struct detector       *loaded;
    struct inference_pool *made; /* of a first model */
    char                   text[MODEL_TEXT_BYTES];
    int                    rc;
    struct why             why;
    bool                   refused;
};

static void stamp_of(const struct settings_model *model, struct stamp *stamp)
{
    char        path[LIMIT_PATH_BYTES];
    struct stat status;
    struct why  ignored;

    memset(stamp, 0, sizeof *stamp);
    if (model_place(model->file, path, &ignored) != 0 || stat(path, &status) != 0)
        return;
    stamp->number  = status.st_ino;
    stamp->bytes   = status.st_size;
    stamp->changed = status.st_mtim;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b)
{
    return a->number == b->number && a->bytes == b->bytes &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

int detector_start(struct server *server, struct why *why)
{
    struct model_change *change = calloc(1, sizeof *change);
    int                  rc;

    if (change == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    pthread_mutex_init(&change->lock, NULL);
    pthread_cond_init(&change->idle, NULL);
    server->model_change = change;
    change->server       = server;
    change->model        = server->settings->model;
    stamp_of(&change->model, &change->stamp);
    rc = model_settings_open(&server->detector, &change->model, server->model_text, why);
    if (rc == ERR_NOT_FOUND && change->model.file[0] == '\0') {
        /* A server without a model still shows its cameras, and tells how to get one. */
        log_warning("detector", "%s", why->text);
        snprintf(server->model_text, sizeof server->model_text, "%s", why->text);
        return 0;
    }
    if (rc != 0) {
        detector_stop(server);
        return rc;
    }
    log_info("detector", "%s", server->model_text);
    return 0;
}

static void free_change(struct model_change *change)
{
    detector_close(&change->loaded);
    pthread_cond_destroy(&change->idle);
    pthread_mutex_destroy(&change->lock);
    free(change);
}

void detector_stop(struct server *server)
{
    struct model_change *change = server->model_change;

    detector_close(&server->detector);
    server->model_change = NULL;
    if (change == NULL)
        return;
    change->stopped = true;
    if (!change->pending)
        free_change(change);
}

/* On a worker. */
static void load_and_swap(uv_work_t *work)
{
    struct model_change *change = work->data;

    change->rc = model_settings_open(&change->loaded, &change->model, change->text, &change->why);
    if (change->rc == 0 && change->pool == NULL)
        change->rc = pipeline_make_pool(change->server->pipeline, change->loaded, &change->made,
                                        &change->why);
    else if (change->rc == 0)
        change->rc = inference_pool_swap(change->pool, change->loaded, &change->why);
    pthread_mutex_lock(&change->lock);
    change->working = false;
    pthread_cond_broadcast(&change->idle);
    pthread_mutex_unlock(&change->lock);
}

static void start_loading(struct model_change *change);

static void take_loaded(struct model_change *change)
{
    struct server *server = change->server;

    if (change->made != NULL)
        pipeline_give_pool(server->pipeline, change->made);
    change->made = NULL;
    detector_close(&server->detector);
    server->detector = change->loaded;
    change->loaded   = NULL;
    memcpy(server->model_text, change->text, sizeof server->model_text);
    log_info("detector", "from now on %s", server->model_text);
}

static void refuse_loaded(struct model_change *change)
{
    const struct server *server = change->server;

    detector_close(&change->loaded);
    if (server->detector != NULL)
        log_error("detector", "the new model is refused, %s runs on: %s", server->model_text,
                  change->why.text);
    else
        log_error("detector", "the model is refused, nothing is counted: %s", change->why.text);
}

static void on_loaded(uv_work_t *work, int status)
{
    struct model_change *change = work->data;
    struct server       *server = change->server;

    change->pending = false;
    if (change->stopped) {
        free_change(change);
        return;
    }
    change->refused = status != 0 || change->rc != 0;
    if (change->refused)
        refuse_loaded(change);
    else
        take_loaded(change);
    if (server->api != NULL)
        api_health_changed(server->api);
    if (change->again) {
        change->again = false;
        change->model = change->next;
        start_loading(change);
    }
}

static void start_loading(struct model_change *change)
{
    stamp_of(&change->model, &change->stamp);
    change->pool      = pipeline_inference_pool(change->server->pipeline);
    change->working   = true;
    change->pending   = true;
    change->work.data = change;
    if (uv_queue_work(&change->server->loop, &change->work, load_and_swap, on_loaded) == 0)
        return;
    change->working = false;
    change->pending = false;
    change->refused = true;
    why_set(&change->why, ERR_MEMORY, "the new model cannot be loaded: out of memory");
}

void model_change_begin(struct server *server, const struct settings_model *model)
{
    struct model_change *change = server->model_change;
    struct stamp         stamp;

    stamp_of(model, &stamp);
    if (!change->pending && settings_model_equal(&change->model, model) &&
        same_stamp(&change->stamp, &stamp))
        return;
    if (change->pending) {
        change->again = true;
        change->next  = *model;
        return;
    }
    change->model = *model;
    start_loading(change);
}

const char *model_change_problem(const struct server *server)
{
    const struct model_change *change = server->model_change;

    return change != NULL && change->refused && !change->pending ? change->why.text : NULL;
}

void model_change_wait(struct server *server)
{
    struct model_change *change = server->model_change;

    if (change == NULL || !change->pending)
        return;
    /* Not even begun: its end comes without its work. */
    if (uv_cancel((uv_req_t *)&change->work) == 0)
        return;
    pthread_mutex_lock(&change->lock);
    while (change->working)
        pthread_cond_wait(&change->idle, &change->lock);
    pthread_mutex_unlock(&change->lock);
    if (change->made != NULL)
        inference_pool_close(&change->made);
}
