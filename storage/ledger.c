#include "storage/ledger.h"

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "config/plural.h"
#include "storage/ledger_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUEUE_FIRST_ROOM 256
#define CLOSE_WITHIN_NS  (10 * NS_PER_S)
/* What ledger_append_coverage() may be told about one minute. */
#define MINUTE_MS 60000

static void init_locks(struct ledger *ledger)
{
    pthread_condattr_t attributes;

    pthread_rwlock_init(&ledger->env_lock, NULL);
    pthread_mutex_init(&ledger->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&ledger->work, &attributes);
    pthread_cond_init(&ledger->written, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void destroy(struct ledger *ledger)
{
    store_close(&ledger->store);
    pthread_cond_destroy(&ledger->work);
    pthread_cond_destroy(&ledger->written);
    pthread_mutex_destroy(&ledger->lock);
    pthread_rwlock_destroy(&ledger->env_lock);
    free(ledger->queue);
    free(ledger->coverage);
    free(ledger->dispatching);
    free(ledger);
}

int ledger_open(struct ledger **out, const char *path, const struct ledger_settings *settings,
                struct why *why)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);
    int            rc;

    *out = NULL;
    if (ledger == NULL)
        return why_set(why, ERR_MEMORY, "out of memory for the ledger in %s", path);
    init_locks(ledger);
    ledger->settings        = *settings;
    ledger->store.folder_fd = -1;
    ledger->store.lock_fd   = -1;
    ledger->dispatching     = calloc(LIMIT_LEDGER_GROUP, sizeof *ledger->dispatching);
    if (ledger->dispatching == NULL)
        rc = why_set(why, ERR_MEMORY, "out of memory for the ledger in %s", path);
    else
        rc = store_open(&ledger->store, path, settings->read_only, settings->map_bytes, why);
    if (rc == 0)
        rc = store_read_tail(&ledger->store, &ledger->tail, why);
    if (rc == 0) {
        ledger->last_seq        = ledger->tail.seq;
        ledger->dispatched_seq  = ledger->tail.seq;
        ledger->health.writable = !settings->read_only;
        ledger->health.commits  = 0;
        if (!settings->read_only && (rc = ledger_writer_start(ledger)) != 0)
            why_set(why, rc, "the ledger's thread did not start: %s", err_text(rc));
    }
    if (rc != 0) {
        destroy(ledger);
        return rc;
    }
    *out = ledger;
    return 0;
}

void ledger_close(struct ledger **ledger)
{
    if (*ledger == NULL)
        return;
    if ((*ledger)->writer_runs) {
        pthread_mutex_lock(&(*ledger)->lock);
        (*ledger)->stopping = true;
        (*ledger)->stop_ns  = clock_monotonic_ns() + CLOSE_WITHIN_NS;
        pthread_cond_broadcast(&(*ledger)->work);
        pthread_mutex_unlock(&(*ledger)->lock);
        ledger_writer_stop(*ledger);
        if ((*ledger)->queue_count > 0)
            log_error("ledger", "%zu event%s could not be stored before the end: %s",
                      (*ledger)->queue_count, plural((*ledger)->queue_count),
                      (*ledger)->health.problem);
    }
    destroy(*ledger);
    *ledger = NULL;
}

/* ---- putting ---- */

static int grow_queue(struct ledger *ledger)
{
    size_t room = ledger->queue_room == 0 ? QUEUE_FIRST_ROOM : ledger->queue_room * 2;
    struct ledger_queued *queue = malloc(room * sizeof *queue);

    if (queue == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < ledger->queue_count; i++)
        queue[i] = ledger->queue[(ledger->queue_first + i) % ledger->queue_room];
    free(ledger->queue);
    ledger->queue       = queue;
    ledger->queue_room  = room;
    ledger->queue_first = 0;
    return 0;
}

static int put_event(struct ledger *ledger, const struct event *event, uint32_t id)
{
    struct ledger_queued *place;
    int                   rc;

    if (ledger->stopping)
        return ERR_CLOSED;
    if (ledger->queue_count == LIMIT_LEDGER_QUEUE) {
        ledger->health.lost++;
        return ERR_FULL;
    }
    if (ledger->queue_count == ledger->queue_room && (rc = grow_queue(ledger)) != 0) {
        ledger->health.lost++;
        return rc;
    }
    place        = &ledger->queue[(ledger->queue_first + ledger->queue_count) % ledger->queue_room];
    place->event = *event;
    place->event.seq = 0;
    place->id        = id;
    ledger->queue_count++;
    ledger->queue_put++;
    pthread_cond_signal(&ledger->work);
    return 0;
}

int ledger_append(struct ledger *ledger, const struct event *event)
{
    uint32_t id;
    int      rc;

    if (ledger->settings.read_only)
        return ERR_DENIED;
    if (!event_valid(event))
        return ERR_INVALID;
    if ((rc = names_intern(ledger->store.names, event->camera, event->counter, &id)) != 0)
        return rc;
    pthread_mutex_lock(&ledger->lock);
    rc = put_event(ledger, event, id);
    pthread_mutex_unlock(&ledger->lock);
    return rc;
}

static bool name_fits(const char *name)
{
    size_t bytes = strnlen(name, LIMIT_NAME_BYTES);

    return bytes > 0 && bytes < LIMIT_NAME_BYTES;
}

int ledger_register(struct ledger *ledger, const char *camera, const char *counter)
{
    uint32_t id;

    if (ledger->settings.read_only)
        return ERR_DENIED;
    if (!name_fits(camera) || !name_fits(counter))
        return ERR_INVALID;
    return names_intern(ledger->store.names, camera, counter, &id);
}

static int grow_coverage(struct ledger *ledger)
{
    size_t                 room = ledger->coverage_room == 0 ? 64 : ledger->coverage_room * 2;
    struct store_coverage *list = realloc(ledger->coverage, room * sizeof *list);

    if (list == NULL)
        return ERR_MEMORY;
    ledger->coverage      = list;
    ledger->coverage_room = room;
    return 0;
}

static int put_coverage(struct ledger *ledger, const struct store_coverage *more)
{
    int rc;

    if (ledger->stopping)
        return ERR_CLOSED;
    /* What waits for the same minute takes it along. */
    for (size_t i = ledger->coverage_busy; i < ledger->coverage_count; i++) {
        struct store_coverage *waiting = &ledger->coverage[i];

        if (waiting->minute == more->minute && strcmp(waiting->camera, more->camera) == 0) {
            waiting->analysed_ms += more->analysed_ms;
            waiting->elapsed_ms += more->elapsed_ms;
            return 0;
        }
    }
    if (ledger->coverage_count == LEDGER_COVERAGE_QUEUE) {
        ledger->health.coverage_lost++;
        return ERR_FULL;
    }
    if (ledger->coverage_count == ledger->coverage_room && (rc = grow_coverage(ledger)) != 0) {
        ledger->health.coverage_lost++;
        return rc;
    }
    if (ledger->coverage_count == ledger->coverage_busy)
        ledger->coverage_since_ns = clock_monotonic_ns();
    ledger->coverage[ledger->coverage_count++] = *more;
    ledger->coverage_put++;
    pthread_cond_signal(&ledger->work);
    return 0;
}

int ledger_append_coverage(struct ledger *ledger, const char *camera, int64_t time_ns,
                           uint32_t analysed_ms, uint32_t elapsed_ms)
{
    struct store_coverage more = {
        .minute      = time_ns / (60 * NS_PER_S),
        .analysed_ms = analysed_ms,
        .elapsed_ms  = elapsed_ms,
    };
    uint32_t ids[NAMES_OF_CAMERA_MAX];
    int      rc;

    if (ledger->settings.read_only)
        return ERR_DENIED;
    if (!name_fits(camera) || time_ns < 0 || analysed_ms > MINUTE_MS || elapsed_ms > MINUTE_MS)
        return ERR_INVALID;
    /* A camera without counters has no roll-ups that could be covered. */
    if (elapsed_ms == 0 || names_of_camera(ledger->store.names, camera, ids) == 0)
        return 0;
    memcpy(more.camera, camera, strlen(camera));
    pthread_mutex_lock(&ledger->lock);
    rc = put_coverage(ledger, &more);
    pthread_mutex_unlock(&ledger->lock);
    return rc;
}

int ledger_flush(struct ledger *ledger, int timeout_ms)
{
    int64_t         until_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
    struct timespec until    = {.tv_sec  = (time_t)(until_ns / NS_PER_S),
                                .tv_nsec = (long)(until_ns % NS_PER_S)};
    uint64_t        events, coverage;
    int             rc = 0;

    if (ledger->settings.read_only)
        return 0;
    pthread_mutex_lock(&ledger->lock);
    events   = ledger->queue_put;
    coverage = ledger->coverage_put;
    ledger->flushing++;
    pthread_cond_broadcast(&ledger->work);
    while (rc == 0 && (ledger->queue_done < events || ledger->coverage_done < coverage))
        rc = pthread_cond_timedwait(&ledger->written, &ledger->lock, &until);
    ledger->flushing--;
    pthread_mutex_unlock(&ledger->lock);
    return rc == 0 ? 0 : ERR_TIMEOUT;
}

struct ledger_health ledger_health(struct ledger *ledger)
{
    struct ledger_health health;

    pthread_mutex_lock(&ledger->lock);
    health         = ledger->health;
    health.waiting = ledger->queue_count;
    pthread_mutex_unlock(&ledger->lock);
    return health;
}

/* ---- handing out ---- */

void ledger_dispatch(struct ledger *ledger, ledger_acknowledged_fn *acknowledged, void *arg)
{
    while (ledger->dispatched_seq < ledger->last_seq) {
        int count = ledger_read_events(ledger, ledger->dispatched_seq, ledger->dispatching,
                                       LIMIT_LEDGER_GROUP);

        if (count <= 0) {
            /* Nothing is lost: the next call begins at the same event. */
            if (!ledger->dispatch_failed)
                log_warning("ledger", "committed events cannot be read back now: %s",
                            err_text(count));
            ledger->dispatch_failed = true;
            return;
        }
        ledger->dispatch_failed = false;
        for (int i = 0; i < count; i++) {
            ledger->dispatched_seq = ledger->dispatching[i].seq;
            acknowledged(arg, &ledger->dispatching[i]);
        }
    }
}
