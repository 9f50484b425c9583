/* The threads of the inference pool: collect a batch, run it, give its results out in order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "gpu/inference_pool_internal.h"

/* Of libgomp, with which oneDNN may be built: see gpu/cpu/backend_cpu.c. */
extern void omp_set_num_threads(int count) __attribute__((weak));

/* One worker's place for a batch; the fields are arrays of best_batch. */
struct batch {
    struct job   **job;
    struct frame **frame;
    struct box (*boxes)[LIMIT_BOXES];
    int *box_count;
    int  count;
};

/* Waits until there is a batch to start or a session to take, or the end: false. Under the lock. */
static bool wait_for_batch(struct inference_pool *pool, const struct worker *worker)
{
    while (!pool->closing) {
        int64_t         until_ns;
        struct timespec until;

        if (worker->next != NULL)
            return true;
        if (pool->round_frames == 0 || pool->free_jobs.first == NULL) {
            pthread_cond_wait(&pool->work, &pool->lock);
            continue;
        }
        if (pool->round_frames >= pool->best_batch || pool->settings.deadline_ns == 0)
            return true;
        until_ns = round_oldest_ns(pool) + pool->settings.deadline_ns;
        if (clock_monotonic_ns() >= until_ns)
            return true;
        until = (struct timespec){.tv_sec  = (time_t)(until_ns / NS_PER_S),
                                  .tv_nsec = (long)(until_ns % NS_PER_S)};
        pthread_cond_timedwait(&pool->work, &pool->lock, &until);
    }
    return false;
}

/* Round robin: the slot at the head gives one frame and goes to the end. Under the lock. */
static void collect(struct inference_pool *pool, struct batch *batch)
{
    int64_t now_ns = clock_monotonic_ns();

    batch->count = 0;
    while (batch->count < pool->best_batch && pool->round_first != NULL &&
           pool->free_jobs.first != NULL) {
        struct slot *slot = pool->round_first;
        struct job  *job  = job_list_take(&pool->free_jobs);

        job->done              = false;
        job->result.box_count  = 0;
        job->result.error      = 0;
        job->result.timing     = (struct detector_timing){0};
        job->result.frame      = slot_take_oldest(pool, slot, &job->result.submitted_ns);
        job->result.started_ns = now_ns;
        job_list_append(&slot->running, job);
        slot->running_count++;
        if (slot->queued)
            round_leave(pool, slot);
        round_enter(pool, slot);
        latency_add(&pool->stats.latency[INFERENCE_QUEUE], now_ns - job->result.submitted_ns);
        batch->frame[batch->count] = job->result.frame;
        batch->job[batch->count++] = job;
    }
    ASSERT(batch->count > 0); /* wait_for_batch() saw a frame and a place for it */
    pool->stats.running += batch->count;
    /* What is left is another worker's. */
    if (pool->round_frames > 0 && pool->free_jobs.first != NULL)
        pthread_cond_signal(&pool->work);
    pthread_cond_broadcast(&pool->room);
}

/* Runs `count` pictures from `first` on; the results stay the worker's until they are given out.
 * ERR_AGAIN: the device was lost, and the worker has another session for them. */
static int run_pictures(struct worker *worker, struct batch *batch, int first, int count)
{
    struct detector_timing timing = {0};
    struct why             why    = {"there is no device to run it on"};
    int                    rc     = ERR_DEVICE_LOST;

    if (worker->session != NULL) {
        rc = detector_session_run(worker->session, batch->frame + first, count,
                                  batch->boxes + first, batch->box_count + first, &timing, &why);
        if (rc == ERR_DEVICE_LOST && worker_lose_device(worker, &why))
            return ERR_AGAIN;
    }
    for (int i = first; i < first + count; i++) {
        struct inference_result *result = &batch->job[i]->result;

        result->timing    = timing;
        result->error     = rc;
        result->box_count = rc == 0 ? batch->box_count[i] : 0;
        memcpy(result->boxes, batch->boxes[i], (size_t)result->box_count * sizeof *result->boxes);
        result->finished_ns = clock_monotonic_ns();
    }
    if (rc != 0 && count == 1)
        log_warning("inference", "a picture of camera slot %u could not be analysed: %s",
                    batch->frame[first]->slot, why.text);
    return rc;
}

/* As many at once as the session takes: another model or the fallback may take fewer than the pool
 * collects. */
static void run_batch(struct worker *worker, struct batch *batch)
{
    for (int first = 0, count; first < batch->count; first += count) {
        int left = batch->count - first;
        int most = worker->session != NULL ? detector_session_best_batch(worker->session) : 1;
        int rc;

        count = left < most ? left : most;
        rc    = run_pictures(worker, batch, first, count);
        if (rc == ERR_AGAIN) {
            count = 0;
            continue;
        }
        /* One picture may be to blame for all: each gets its own chance. */
        for (int i = first; rc != 0 && count > 1 && i < first + count; i++)
            while (run_pictures(worker, batch, i, 1) == ERR_AGAIN)
                ;
    }
}

/* Gives out what is at the head of its slot's running frames. Under the lock; true: wake the taker. */
static bool give_out(struct inference_pool *pool, const struct batch *batch)
{
    const struct detector_timing *timing = &batch->job[0]->result.timing;
    bool                          given  = false;

    for (int i = 0; i < batch->count; i++)
        batch->job[i]->done = true;
    for (int i = 0; i < batch->count; i++) {
        struct slot *slot = &pool->slots[batch->frame[i]->slot];

        while (slot->running.first != NULL && slot->running.first->done) {
            struct job *job = job_list_take(&slot->running);

            slot->running_count--;
            pool->stats.running--;
            pool->stats.finished++;
            pool->stats.failed += job->result.error != 0;
            job_list_append(&pool->ready, job);
            given = true;
        }
        round_enter(pool, slot);
    }
    pool->stats.batches++;
    latency_add(&pool->stats.latency[INFERENCE_PREPARE], timing->prepare_ns);
    latency_add(&pool->stats.latency[INFERENCE_NETWORK], timing->network_ns);
    latency_add(&pool->stats.latency[INFERENCE_DECODE], timing->decode_ns);
    return given;
}

static void close_batch(struct batch *batch)
{
    free(batch->job);
    free(batch->frame);
    free(batch->boxes);
    free(batch->box_count);
}

static int open_batch(struct batch *batch, int best_batch)
{
    size_t count = (size_t)best_batch;

    *batch = (struct batch){.job       = calloc(count, sizeof(void *)),
                            .frame     = calloc(count, sizeof(void *)),
                            .boxes     = calloc(count, sizeof *batch->boxes),
                            .box_count = calloc(count, sizeof *batch->box_count)};
    if (batch->job == NULL || batch->frame == NULL || batch->boxes == NULL ||
        batch->box_count == NULL)
        return ERR_MEMORY;
    return 0;
}

/* Tells inference_pool_open() how it went. */
static int open_worker(struct worker *worker, struct batch *batch)
{
    struct inference_pool *pool = worker->pool;
    struct why             why  = {"no memory for an inference worker"};
    int                    rc   = open_batch(batch, pool->best_batch);

    pthread_mutex_lock(&pool->opening);
    if (rc == 0)
        rc = detector_session_open(&worker->session, worker->detector, &why);
    pthread_mutex_unlock(&pool->opening);
    pthread_mutex_lock(&pool->lock);
    pool->opened++;
    if (rc != 0 && pool->open_error == 0) {
        pool->open_error = rc;
        pool->open_why   = why;
    }
    pthread_cond_broadcast(&pool->room);
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

/* Under the lock, which it gives away while it works. */
static void do_batch(struct worker *worker, struct batch *batch)
{
    struct inference_pool *pool = worker->pool;
    bool                   wake;

    collect(pool, batch);
    pthread_mutex_unlock(&pool->lock);
    if (worker->lost)
        worker_try_device(worker);
    run_batch(worker, batch);
    pthread_mutex_lock(&pool->lock);
    wake = give_out(pool, batch);
    if (wake && pool->settings.wake != NULL) {
        pthread_mutex_unlock(&pool->lock);
        pool->settings.wake(pool->settings.arg);
        pthread_mutex_lock(&pool->lock);
    }
}

void *inference_worker_main(void *arg)
{
    struct worker         *worker = arg;
    struct inference_pool *pool   = worker->pool;
    struct batch           batch;
    char                   name[16];

    snprintf(name, sizeof name, "infer-%d", worker->number % 1000);
    pthread_setname_np(pthread_self(), name);
    /* A session that another thread opens for this one must find it so too. */
    if (omp_set_num_threads != NULL)
        omp_set_num_threads(1);
    if (open_worker(worker, &batch) == 0) {
        pthread_mutex_lock(&pool->lock);
        while (wait_for_batch(pool, worker)) {
            if (worker->next == NULL) {
                do_batch(worker, &batch);
                continue;
            }
            pthread_mutex_unlock(&pool->lock);
            worker_take_next(worker);
            pthread_mutex_lock(&pool->lock);
        }
        pthread_mutex_unlock(&pool->lock);
    }
    worker_take_next(worker);
    detector_session_close(&worker->session);
    close_batch(&batch);
    return NULL;
}
