/* The scheduler of the decode workers: one lock, one FIFO of runnable actors, one heap of times.
 *
 * The lock is taken twice for each step, and a step is milliseconds of decoding: a thousand cameras
 * at 25 pictures a second take it 50,000 times a second for a few hundred nanoseconds. */
#include "server/camera/decode.h"

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "server/camera/decode_actor.h"
#include "server/camera/ffmpeg_log.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORKERS 256

struct decode_pool {
    pthread_mutex_t       lock;
    pthread_cond_t        work; /* something is runnable, or stop */
    pthread_cond_t        time; /* the timekeeper's: an earlier time, something runnable, or stop */
    pthread_cond_t        stepped;      /* a step of an actor that leaves has returned */
    bool                  stop;         /* under lock, as all below */
    bool                  timekeeper;   /* a worker sleeps until the heap's first time */
    int                   sleeping;     /* workers that wait on `work` */
    struct decode_actor  *first, *last; /* run queue */
    struct decode_actor **heap;         /* by due_ns */
    size_t                heap_count, heap_room;
    size_t                actors;
    int                   workers;
    pthread_t             threads[];
};

/* ---- the heap of times ---- */

static void heap_place(struct decode_pool *pool, size_t index, struct decode_actor *actor)
{
    pool->heap[index] = actor;
    actor->heap_index = index;
}

static void heap_up(struct decode_pool *pool, size_t index)
{
    struct decode_actor *actor = pool->heap[index];

    while (index > 0 && pool->heap[(index - 1) / 2]->due_ns > actor->due_ns) {
        heap_place(pool, index, pool->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    heap_place(pool, index, actor);
}

static void heap_down(struct decode_pool *pool, size_t index)
{
    struct decode_actor *actor = pool->heap[index];

    for (;;) {
        size_t child = index * 2 + 1;

        if (child >= pool->heap_count)
            break;
        if (child + 1 < pool->heap_count &&
            pool->heap[child + 1]->due_ns < pool->heap[child]->due_ns)
            child++;
        if (pool->heap[child]->due_ns >= actor->due_ns)
            break;
        heap_place(pool, index, pool->heap[child]);
        index = child;
    }
    heap_place(pool, index, actor);
}

static void heap_add(struct decode_pool *pool, struct decode_actor *actor)
{
    ASSERT(pool->heap_count < pool->heap_room);
    heap_place(pool, pool->heap_count++, actor);
    heap_up(pool, actor->heap_index);
}

static void heap_remove(struct decode_pool *pool, struct decode_actor *actor)
{
    size_t               index = actor->heap_index;
    struct decode_actor *moved = pool->heap[--pool->heap_count];

    if (moved == actor)
        return;
    heap_place(pool, index, moved);
    heap_up(pool, index);
    heap_down(pool, moved->heap_index);
}

/* ---- the run queue ---- */

/* The timekeeper is a sleeper too, woken only when there is no other. */
static void wake_one(struct decode_pool *pool)
{
    if (pool->sleeping > 0)
        pthread_cond_signal(&pool->work);
    else if (pool->timekeeper)
        pthread_cond_signal(&pool->time);
}

static void queue_add(struct decode_pool *pool, struct decode_actor *actor)
{
    actor->state = DECODE_ACTOR_QUEUED;
    actor->next  = NULL;
    if (pool->last != NULL)
        pool->last->next = actor;
    else
        pool->first = actor;
    pool->last = actor;
    wake_one(pool);
}

static void queue_remove(struct decode_pool *pool, struct decode_actor *actor)
{
    struct decode_actor *before = NULL;

    for (struct decode_actor *at = pool->first; at != NULL && at != actor; at = at->next)
        before = at;
    if (before != NULL)
        before->next = actor->next;
    else
        pool->first = actor->next;
    if (pool->last == actor)
        pool->last = before;
}

static void make_due_runnable(struct decode_pool *pool)
{
    int64_t now_ns;

    if (pool->heap_count == 0)
        return;
    now_ns = clock_monotonic_ns();
    while (pool->heap_count > 0 && pool->heap[0]->due_ns <= now_ns) {
        struct decode_actor *actor = pool->heap[0];

        heap_remove(pool, actor);
        queue_add(pool, actor);
    }
}

/* ---- the workers ---- */

static void sleep_for_work(struct decode_pool *pool)
{
    if (pool->heap_count > 0 && !pool->timekeeper) {
        struct timespec until = {.tv_sec  = (time_t)(pool->heap[0]->due_ns / NS_PER_S),
                                 .tv_nsec = (long)(pool->heap[0]->due_ns % NS_PER_S)};

        pool->timekeeper = true;
        pthread_cond_timedwait(&pool->time, &pool->lock, &until);
        pool->timekeeper = false;
        return;
    }
    pool->sleeping++;
    pthread_cond_wait(&pool->work, &pool->lock);
    pool->sleeping--;
}

/* This worker goes away into a step: somebody else takes the next actor, or keeps the time. */
static void hand_on(struct decode_pool *pool)
{
    if (pool->first != NULL)
        wake_one(pool);
    else if (pool->heap_count > 0 && !pool->timekeeper && pool->sleeping > 0)
        pthread_cond_signal(&pool->work);
}

static void after_step(struct decode_pool *pool, struct decode_actor *actor, int64_t again_ns)
{
    if (actor->leaving) {
        actor->state = DECODE_ACTOR_IDLE;
        pthread_cond_broadcast(&pool->stepped);
    } else if (actor->woken || again_ns == DECODE_STEP_NOW) {
        queue_add(pool, actor);
    } else if (again_ns == DECODE_STEP_IDLE) {
        actor->state = DECODE_ACTOR_IDLE;
    } else {
        actor->state  = DECODE_ACTOR_WAITING;
        actor->due_ns = again_ns;
        heap_add(pool, actor);
        if (pool->timekeeper && pool->heap[0] == actor)
            pthread_cond_signal(&pool->time);
    }
}

static void *worker_main(void *arg)
{
    struct decode_pool *pool = arg;

    pthread_setname_np(pthread_self(), "decode");
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct decode_actor *actor;
        int64_t              again_ns;

        make_due_runnable(pool);
        actor = pool->first;
        if (actor == NULL) {
            if (pool->stop)
                break;
            sleep_for_work(pool);
            continue;
        }
        queue_remove(pool, actor);
        actor->state = DECODE_ACTOR_RUNNING;
        actor->woken = false;
        hand_on(pool);
        pthread_mutex_unlock(&pool->lock);
        again_ns = actor->step(actor);
        pthread_mutex_lock(&pool->lock);
        after_step(pool, actor, again_ns);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- actors come and go ---- */

int decode_actor_join(struct decode_pool *pool, struct decode_actor *actor,
                      int64_t (*step)(struct decode_actor *actor))
{
    int rc = 0;

    *actor = (struct decode_actor){.step = step};
    pthread_mutex_lock(&pool->lock);
    if (pool->actors == pool->heap_room) {
        size_t                room = pool->heap_room * 2 + 16;
        struct decode_actor **heap = realloc(pool->heap, room * sizeof(struct decode_actor *));

        if (heap == NULL) {
            rc = ERR_MEMORY;
        } else {
            pool->heap      = heap;
            pool->heap_room = room;
        }
    }
    if (rc == 0)
        pool->actors++;
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

void decode_actor_leave(struct decode_pool *pool, struct decode_actor *actor)
{
    pthread_mutex_lock(&pool->lock);
    actor->leaving = true;
    if (actor->state == DECODE_ACTOR_WAITING)
        heap_remove(pool, actor);
    else if (actor->state == DECODE_ACTOR_QUEUED)
        queue_remove(pool, actor);
    while (actor->state == DECODE_ACTOR_RUNNING)
        pthread_cond_wait(&pool->stepped, &pool->lock);
    actor->state = DECODE_ACTOR_IDLE;
    pool->actors--;
    pthread_mutex_unlock(&pool->lock);
}

void decode_actor_wake(struct decode_pool *pool, struct decode_actor *actor)
{
    pthread_mutex_lock(&pool->lock);
    if (actor->state == DECODE_ACTOR_WAITING)
        heap_remove(pool, actor);
    if (actor->state == DECODE_ACTOR_RUNNING)
        actor->woken = true;
    else if (actor->state != DECODE_ACTOR_QUEUED && !actor->leaving)
        queue_add(pool, actor);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- the pool ---- */

static void init_conditions(struct decode_pool *pool)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->work, &attributes);
    pthread_cond_init(&pool->time, &attributes);
    pthread_cond_init(&pool->stepped, &attributes);
    pthread_condattr_destroy(&attributes);
}

int decode_pool_open(struct decode_pool **out, int workers, struct why *why)
{
    struct decode_pool *pool;
    long                processors = sysconf(_SC_NPROCESSORS_ONLN);

    *out = NULL;
    ffmpeg_log_install();
    if (workers <= 0)
        workers = processors > 0 ? (int)processors : 1;
    if (workers > MAX_WORKERS)
        workers = MAX_WORKERS;
    pool = calloc(1, sizeof *pool + (size_t)workers * sizeof pool->threads[0]);
    if (pool == NULL)
        return why_set(why, ERR_MEMORY, "no memory for %d decode workers", workers);
    init_conditions(pool);
    for (pool->workers = 0; pool->workers < workers; pool->workers++) {
        if (pthread_create(&pool->threads[pool->workers], NULL, worker_main, pool) != 0) {
            decode_pool_close(&pool);
            return why_set(why, ERR_MEMORY, "the system refuses to start %d decode workers",
                           workers);
        }
    }
    *out = pool;
    return 0;
}

void decode_pool_close(struct decode_pool **out)
{
    struct decode_pool *pool = *out;

    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    ASSERT(pool->actors == 0);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_cond_broadcast(&pool->time);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->workers; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->stepped);
    pthread_cond_destroy(&pool->time);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->heap);
    free(pool);
    *out = NULL;
}
