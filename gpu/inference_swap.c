/* The two ways in which a worker comes to another session: a model that takes the place of the one
 * that runs, and a device that is lost or back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "gpu/frame.h"
#include "gpu/head.h"
#include "gpu/inference_pool_internal.h"

/* What a new model is tried on: any picture will do, but in the model's own size it asks for no
 * other size of input. */
#define TRIAL_GREY 114

/* ---- another model ---- */

static int try_session(struct detector_session *session, const struct detector *detector,
                       struct why *why)
{
    const struct prepare_settings *input = &detector_head(detector)->input;
    struct frame *frame             = frame_alloc(FRAME_GRAY8, input->width_px, input->height_px);
    struct box(*boxes)[LIMIT_BOXES] = calloc(1, sizeof *boxes);
    struct detector_timing timing;
    int                    count, rc = ERR_MEMORY;

    if (frame == NULL || boxes == NULL) {
        why_set(why, rc, "no memory to try the model");
    } else {
        for (int y = 0; y < input->height_px; y++)
            memset((uint8_t *)(uintptr_t)frame->plane[0] + (ptrdiff_t)y * frame->stride_bytes[0],
                   TRIAL_GREY, (size_t)input->width_px);
        rc = detector_session_run(session, &frame, 1, boxes, &count, &timing, why);
    }
    frame_unref(&frame);
    free(boxes);
    return rc;
}

static bool is_closing(struct inference_pool *pool)
{
    bool closing;

    pthread_mutex_lock(&pool->lock);
    closing = pool->closing;
    pthread_mutex_unlock(&pool->lock);
    return closing;
}

static int open_sessions(struct inference_pool *pool, const struct detector *detector,
                         struct detector_session **sessions, struct why *why)
{
    int rc = 0;

    for (int i = 0; i < pool->worker_count && rc == 0; i++) {
        if (is_closing(pool))
            return why_set(why, ERR_CLOSED, "the pool is closed");
        rc = detector_session_open(&sessions[i], detector, why);
        if (rc == 0 && i == 0)
            rc = try_session(sessions[0], detector, why);
    }
    return rc;
}

/* Hands them over and waits until all are taken; a pool that closes drops them the same way. */
static int hand_over(struct inference_pool *pool, const struct detector *detector,
                     struct detector_session **sessions, struct why *why)
{
    int rc = 0;

    pthread_mutex_lock(&pool->lock);
    if (pool->closing) {
        rc = why_set(why, ERR_CLOSED, "the pool is closed");
    } else {
        for (int i = 0; i < pool->worker_count; i++) {
            pool->workers[i].next_detector = detector;
            pool->workers[i].next          = sessions[i];
            sessions[i]                    = NULL;
        }
        pool->changing = pool->worker_count;
        pthread_cond_broadcast(&pool->work);
        while (pool->changing > 0)
            pthread_cond_wait(&pool->room, &pool->lock);
        /* Taken or not, the workers of a closing pool have nothing of either model soon: the caller
         * may free both when the pool is closed. */
        if (pool->closing)
            rc = why_set(why, ERR_CLOSED, "the pool is closed");
        else
            pool->stats.swaps++;
    }
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

int inference_pool_swap(struct inference_pool *pool, const struct detector *detector,
                        struct why *why)
{
    struct detector_session **sessions;
    bool                      busy;
    int                       rc = ERR_MEMORY;

    pthread_mutex_lock(&pool->lock);
    busy           = pool->swapping;
    pool->swapping = true;
    pthread_mutex_unlock(&pool->lock);
    if (busy)
        return why_set(why, ERR_AGAIN, "another model is just being loaded");
    sessions = calloc((size_t)pool->worker_count, sizeof *sessions);
    if (sessions == NULL)
        why_set(why, rc, "no memory for %d inference workers", pool->worker_count);
    else
        rc = open_sessions(pool, detector, sessions, why);
    if (rc == 0)
        rc = hand_over(pool, detector, sessions, why);
    for (int i = 0; sessions != NULL && i < pool->worker_count; i++)
        detector_session_close(&sessions[i]);
    free(sessions);
    pthread_mutex_lock(&pool->lock);
    pool->swapping = false;
    pthread_cond_broadcast(&pool->room);
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

void worker_take_next(struct worker *worker)
{
    struct inference_pool   *pool = worker->pool;
    struct detector_session *next;

    pthread_mutex_lock(&pool->lock);
    next         = worker->next;
    worker->next = NULL;
    if (next != NULL && worker->lost)
        pool->stats.fallback_workers--;
    if (pool->stats.fallback_workers == 0)
        pool->stats.device_problem[0] = '\0';
    pthread_mutex_unlock(&pool->lock);
    if (next == NULL)
        return;
    detector_session_close(&worker->session);
    worker->session  = next;
    worker->detector = worker->next_detector;
    worker->lost     = false;
    pthread_mutex_lock(&pool->lock);
    pool->changing--;
    pthread_cond_broadcast(&pool->room);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- a lost device ---- */

static void wait_longer(struct worker *worker)
{
    int64_t most_ns = INFERENCE_RETRY_MAX_S * NS_PER_S;

    worker->retry_at_ns = clock_monotonic_ns() + worker->retry_after_ns;
    worker->retry_after_ns *= 2;
    if (worker->retry_after_ns > most_ns)
        worker->retry_after_ns = most_ns;
}

static void note_loss(struct worker *worker, const struct why *reason)
{
    struct inference_pool *pool = worker->pool;

    pthread_mutex_lock(&pool->lock);
    pool->stats.device_losses++;
    if (!worker->lost)
        pool->stats.fallback_workers++;
    snprintf(pool->stats.device_problem, sizeof pool->stats.device_problem, "%s", reason->text);
    pthread_mutex_unlock(&pool->lock);
    if (!worker->lost)
        worker->retry_after_ns = pool->settings.retry_ns;
    worker->lost = true;
    wait_longer(worker);
}

bool worker_lose_device(struct worker *worker, const struct why *reason)
{
    const struct backend_ops *fallback = worker->pool->settings.fallback;
    bool                      again    = worker->lost;
    struct why                why;

    note_loss(worker, reason);
    detector_session_close(&worker->session);
    /* The fallback was lost too: nothing else is there until the device is tried again. */
    if (again || fallback == NULL ||
        detector_session_open_on(&worker->session, worker->detector, fallback, PRECISION_AUTO,
                                 &why) != 0) {
        log_error("inference", "worker %d: %s, and nothing can take over; tried again soon",
                  worker->number, reason->text);
        return false;
    }
    log_error("inference", "worker %d: %s; it goes on with %s and tries again soon", worker->number,
              reason->text, fallback->name);
    return true;
}

void worker_try_device(struct worker *worker)
{
    struct inference_pool   *pool    = worker->pool;
    struct detector_session *session = NULL;
    struct why               why;

    if (clock_monotonic_ns() < worker->retry_at_ns)
        return;
    if (detector_session_open(&session, worker->detector, &why) != 0 ||
        try_session(session, worker->detector, &why) != 0) {
        detector_session_close(&session);
        wait_longer(worker);
        return;
    }
    detector_session_close(&worker->session);
    worker->session = session;
    worker->lost    = false;
    pthread_mutex_lock(&pool->lock);
    if (--pool->stats.fallback_workers == 0)
        pool->stats.device_problem[0] = '\0';
    pthread_mutex_unlock(&pool->lock);
    log_info("inference", "worker %d has its device again: %s", worker->number,
             detector_backend_name(worker->detector));
}
