#include "gpu/inference_pool.h"

#include <sched.h>
#include <stdlib.h>

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/inference_pool_internal.h"

/* Results beyond those that the workers hold: the taker's turn to breathe, 16 cameras' worth. */
#define SPARE_RESULTS 16
/* A driver that resets a device takes about as long. */
#define RETRY_NS_DEFAULT NS_PER_S

static int  allocate(struct inference_pool *pool);
static int  start_workers(struct inference_pool *pool, struct why *why);
static void free_memory(struct inference_pool *pool);

const char *inference_stage_name(enum inference_stage stage)
{
    static const char *const names[INFERENCE_STAGES] = {"queue", "prepare", "network", "decode"};

    return (unsigned)stage < INFERENCE_STAGES ? names[stage] : "unknown";
}

/* ---- open and close ---- */

static int usable_processors(void)
{
    cpu_set_t set;
    int       count = 1;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        count = CPU_COUNT(&set);
    return count < INFERENCE_WORKERS_MAX ? count : INFERENCE_WORKERS_MAX;
}

static int workers_of(const struct backend_ops *backend)
{
    int count = backend->best_workers != NULL ? backend->best_workers() : usable_processors();

    return count < INFERENCE_WORKERS_MAX ? count : INFERENCE_WORKERS_MAX;
}

int inference_pool_open(struct inference_pool **out, const struct inference_pool_settings *settings,
                        struct why *why)
{
    struct inference_pool *pool;
    pthread_condattr_t     monotonic;
    int                    rc;

    *out = NULL;
    if (settings->workers < 0 || settings->workers > INFERENCE_WORKERS_MAX)
        return why_set(why, ERR_INVALID, "inference workers must be 0..%d", INFERENCE_WORKERS_MAX);
    if (settings->waiting_per_slot < 1 || settings->waiting_per_slot > INFERENCE_WAITING_MAX ||
        settings->deadline_ns < 0)
        return why_set(why, ERR_INVALID, "frames waiting per camera must be 1..%d",
                       INFERENCE_WAITING_MAX);
    if ((pool = calloc(1, sizeof *pool)) == NULL)
        return why_set(why, ERR_MEMORY, "no memory for the inference pool");
    pool->settings     = *settings;
    pool->worker_count = settings->workers > 0 ? settings->workers
                                               : workers_of(detector_backend(settings->detector));
    if (pool->settings.retry_ns == 0)
        pool->settings.retry_ns = RETRY_NS_DEFAULT;
    if (pool->settings.fallback == NULL && detector_backend(settings->detector) != &BACKEND_CPU)
        pool->settings.fallback = &BACKEND_CPU;
    pthread_mutex_init(&pool->opening, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->work, &monotonic);
    pthread_cond_init(&pool->room, NULL);
    pthread_condattr_destroy(&monotonic);
    pool->best_batch = detector_best_batch(settings->detector);
    /* One slot alone can keep every worker busy and one batch ahead of a slow one. */
    pool->running_per_slot_max = (pool->worker_count + 1) * pool->best_batch;
    if ((rc = allocate(pool)) != 0)
        why_set(why, rc, "no memory for %d inference workers", pool->worker_count);
    else
        rc = start_workers(pool, why);
    if (rc != 0) {
        inference_pool_close(&pool);
        return rc;
    }
    *out = pool;
    return 0;
}

void inference_pool_close(struct inference_pool **out)
{
    struct inference_pool *pool = *out;
    struct job            *job;
    bool                   last;

    *out = NULL;
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->work);
    pthread_cond_broadcast(&pool->room);
    while (pool->waiters > 0)
        pthread_cond_wait(&pool->room, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->worker_count && pool->workers != NULL; i++)
        if (pool->workers[i].pool != NULL)
            pthread_join(pool->workers[i].thread, NULL);
    pthread_mutex_lock(&pool->lock);
    while (pool->swapping)
        pthread_cond_wait(&pool->room, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned slot = 0; slot < LIMIT_CAMERAS && pool->slots != NULL; slot++)
        inference_pool_clear_slot(pool, slot);
    pthread_mutex_lock(&pool->lock);
    while ((job = job_list_take(&pool->ready)) != NULL)
        frame_unref(&job->result.frame);
    last         = pool->taken == 0;
    pool->closed = true; /* the end: the last result that is freed frees the memory */
    pthread_mutex_unlock(&pool->lock);
    if (last)
        free_memory(pool);
}

static int allocate(struct inference_pool *pool)
{
    int results = (pool->running_per_slot_max + pool->worker_count * pool->best_batch) * 2 +
                  SPARE_RESULTS;
    int waiting = pool->settings.waiting_per_slot;

    pool->workers        = calloc((size_t)pool->worker_count, sizeof *pool->workers);
    pool->slots          = calloc(LIMIT_CAMERAS, sizeof *pool->slots);
    pool->waiting_memory = calloc((size_t)LIMIT_CAMERAS * (size_t)waiting,
                                  sizeof *pool->waiting_memory);
    pool->jobs           = calloc((size_t)results, sizeof *pool->jobs);
    if (pool->workers == NULL || pool->slots == NULL || pool->waiting_memory == NULL ||
        pool->jobs == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < LIMIT_CAMERAS; i++)
        pool->slots[i].waiting = pool->waiting_memory + (ptrdiff_t)i * waiting;
    for (int i = 0; i < results; i++) {
        pool->jobs[i].pool = pool;
        job_list_append(&pool->free_jobs, &pool->jobs[i]);
    }
    pool->stats.results = results;
    pool->stats.workers = pool->worker_count;
    return 0;
}

static int start_workers(struct inference_pool *pool, struct why *why)
{
    int rc;

    for (int i = 0; i < pool->worker_count; i++) {
        struct worker *worker = &pool->workers[i];

        *worker = (struct worker){.pool = pool, .number = i, .detector = pool->settings.detector};
        if (pthread_create(&worker->thread, NULL, inference_worker_main, worker) != 0) {
            worker->pool = NULL;
            return why_set(why, ERR_LIMIT, "cannot start inference worker %d of %d", i + 1,
                           pool->worker_count);
        }
    }
    pthread_mutex_lock(&pool->lock);
    while (pool->opened < pool->worker_count)
        pthread_cond_wait(&pool->room, &pool->lock);
    rc = pool->open_error;
    if (rc != 0)
        why_set(why, rc, "%s", pool->open_why.text);
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

static void free_memory(struct inference_pool *pool)
{
    pthread_cond_destroy(&pool->room);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->opening);
    free(pool->jobs);
    free(pool->waiting_memory);
    free(pool->slots);
    free(pool->workers);
    free(pool);
}

/* ---- in and out ---- */

int inference_pool_submit(struct inference_pool *pool, struct frame *frame)
{
    struct slot  *slot;
    struct frame *dropped = NULL;
    int           rc      = 0;

    ASSERT(frame->slot < LIMIT_CAMERAS);
    pthread_mutex_lock(&pool->lock);
    slot = &pool->slots[frame->slot];
    if (pool->closing) {
        dropped = frame;
        rc      = ERR_CLOSED;
    } else {
        slot_set_generation(slot, frame);
        if (slot_is_full(pool, slot)) {
            dropped = slot_take_oldest(pool, slot, NULL);
            pool->stats.dropped++;
            rc = 1;
        }
        slot_put(pool, slot, frame);
    }
    pthread_mutex_unlock(&pool->lock);
    frame_unref(&dropped);
    return rc;
}

int inference_pool_submit_or_wait(struct inference_pool *pool, struct frame *frame)
{
    struct slot *slot;
    int          rc = 0;

    ASSERT(frame->slot < LIMIT_CAMERAS);
    pthread_mutex_lock(&pool->lock);
    slot = &pool->slots[frame->slot];
    slot_set_generation(slot, frame);
    pool->waiters++;
    while (!pool->closing && !slot->cleared && slot_is_full(pool, slot))
        pthread_cond_wait(&pool->room, &pool->lock);
    pool->waiters--;
    if (pool->closing) {
        rc = ERR_CLOSED;
        pthread_cond_broadcast(&pool->room);
    } else if (slot_is_full(pool, slot)) {
        pool->stats.submitted++;
        pool->stats.dropped++;
        rc = 1;
    } else {
        slot_put(pool, slot, frame);
    }
    pthread_mutex_unlock(&pool->lock);
    if (rc != 0)
        frame_unref(&frame);
    return rc;
}

struct inference_result *inference_pool_take(struct inference_pool *pool)
{
    struct job *job;

    pthread_mutex_lock(&pool->lock);
    job = job_list_take(&pool->ready);
    if (job != NULL)
        pool->taken++;
    pthread_mutex_unlock(&pool->lock);
    return job != NULL ? &job->result : NULL;
}

void inference_result_free(struct inference_result **result)
{
    struct job            *job = (struct job *)(void *)*result;
    struct inference_pool *pool;
    bool                   last;

    *result = NULL;
    if (job == NULL)
        return;
    frame_unref(&job->result.frame);
    pool = job->pool;
    pthread_mutex_lock(&pool->lock);
    job_list_append(&pool->free_jobs, job);
    pool->taken--;
    last = pool->closed && pool->taken == 0;
    if (!last)
        pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    if (last)
        free_memory(pool);
}

void inference_pool_clear_slot(struct inference_pool *pool, unsigned number)
{
    struct slot  *slot = &pool->slots[number];
    struct frame *dropped[INFERENCE_WAITING_MAX];
    int           count = 0;

    ASSERT(number < LIMIT_CAMERAS);
    pthread_mutex_lock(&pool->lock);
    slot->cleared = true;
    while (slot->waiting_count > 0)
        dropped[count++] = slot_take_oldest(pool, slot, NULL);
    pool->stats.dropped += (uint64_t)count;
    pthread_cond_broadcast(&pool->room);
    pthread_mutex_unlock(&pool->lock);
    /* Outside the lock: a frame's release is somebody else's code. */
    for (int i = 0; i < count; i++)
        frame_unref(&dropped[i]);
}

struct inference_pool_stats inference_pool_stats(struct inference_pool *pool)
{
    struct inference_pool_stats stats;

    pthread_mutex_lock(&pool->lock);
    stats = pool->stats;
    pthread_mutex_unlock(&pool->lock);
    return stats;
}
