/* The scheduler of the decode workers: one lock; for each group of workers one FIFO of runnable
 * actors and one heap of times.
 *
 * The lock is taken twice for each step, and a step is milliseconds of decoding: a thousand cameras
 * at 25 pictures a second take it 50,000 times a second for a few hundred nanoseconds. */
#include "server/camera/decode.h"

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "server/camera/decode_actor.h"
#include "server/camera/decode_device.h"
#include "server/camera/decode_process.h"
#include "server/camera/ffmpeg_log.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORKERS  256
#define FIRST_ACTORS 16 /* room for their times; doubled when there are more */

struct decode_group {
    struct decode_pool    *pool;
    struct decode_process *process; /* NULL: decodes by itself; of its one worker */
    pthread_cond_t         work;    /* something is runnable, or stop */
    pthread_cond_t        time; /* the timekeeper's: an earlier time, something runnable, or stop */
    bool                  timekeeper;   /* a worker sleeps until the heap's first time */
    int                   sleeping;     /* workers that wait on `work` */
    struct decode_actor  *first, *last; /* run queue */
    struct decode_actor **heap;         /* by due_ns */
    size_t                heap_count;
    size_t                actors;
    int                   workers;
    pthread_t            *threads;
};

struct decode_pool {
    pthread_mutex_t         lock;
    pthread_cond_t          stepped; /* a step of an actor that leaves has returned */
    bool                    stop;    /* under lock, as all below and all of the groups */
    size_t                  actors, heap_room;
    int                     quarantined;
    enum settings_isolation isolation; /* immutable, as normal_groups, and the next from the first
                                        * camera on */
    struct decode_device   *device;    /* NULL: none */
    int                     normal_groups, groups;
    struct decode_group    *group[MAX_WORKERS + DECODE_QUARANTINE];
};

/* ---- the heap of times ---- */

static void heap_place(struct decode_group *group, size_t index, struct decode_actor *actor)
{
    group->heap[index] = actor;
    actor->heap_index  = index;
}

static void heap_up(struct decode_group *group, size_t index)
{
    struct decode_actor *actor = group->heap[index];

    while (index > 0 && group->heap[(index - 1) / 2]->due_ns > actor->due_ns) {
        heap_place(group, index, group->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    heap_place(group, index, actor);
}

static void heap_down(struct decode_group *group, size_t index)
{
    struct decode_actor *actor = group->heap[index];

    for (;;) {
        size_t child = index * 2 + 1;

        if (child >= group->heap_count)
            break;
        if (child + 1 < group->heap_count &&
            group->heap[child + 1]->due_ns < group->heap[child]->due_ns)
            child++;
        if (group->heap[child]->due_ns >= actor->due_ns)
            break;
        heap_place(group, index, group->heap[child]);
        index = child;
    }
    heap_place(group, index, actor);
}

static void heap_add(struct decode_group *group, struct decode_actor *actor)
{
    ASSERT(group->heap_count < group->pool->heap_room);
    heap_place(group, group->heap_count++, actor);
    heap_up(group, actor->heap_index);
}

static void heap_remove(struct decode_group *group, struct decode_actor *actor)
{
    size_t               index = actor->heap_index;
    struct decode_actor *moved = group->heap[--group->heap_count];

    if (moved == actor)
        return;
    heap_place(group, index, moved);
    heap_up(group, index);
    heap_down(group, moved->heap_index);
}

/* ---- the run queue ---- */

/* The timekeeper is a sleeper too, woken only when there is no other. */
static void wake_one(struct decode_group *group)
{
    if (group->sleeping > 0)
        pthread_cond_signal(&group->work);
    else if (group->timekeeper)
        pthread_cond_signal(&group->time);
}

static void queue_add(struct decode_group *group, struct decode_actor *actor)
{
    actor->state = DECODE_ACTOR_QUEUED;
    actor->next  = NULL;
    if (group->last != NULL)
        group->last->next = actor;
    else
        group->first = actor;
    group->last = actor;
    wake_one(group);
}

static void queue_remove(struct decode_group *group, struct decode_actor *actor)
{
    struct decode_actor *before = NULL;

    for (struct decode_actor *at = group->first; at != NULL && at != actor; at = at->next)
        before = at;
    if (before != NULL)
        before->next = actor->next;
    else
        group->first = actor->next;
    if (group->last == actor)
        group->last = before;
}

static void make_due_runnable(struct decode_group *group)
{
    int64_t now_ns;

    if (group->heap_count == 0)
        return;
    now_ns = clock_monotonic_ns();
    while (group->heap_count > 0 && group->heap[0]->due_ns <= now_ns) {
        struct decode_actor *actor = group->heap[0];

        heap_remove(group, actor);
        queue_add(group, actor);
    }
}

/* ---- the workers ---- */

static void sleep_for_work(struct decode_group *group)
{
    if (group->heap_count > 0 && !group->timekeeper) {
        struct timespec until = {.tv_sec  = (time_t)(group->heap[0]->due_ns / NS_PER_S),
                                 .tv_nsec = (long)(group->heap[0]->due_ns % NS_PER_S)};

        group->timekeeper = true;
        pthread_cond_timedwait(&group->time, &group->pool->lock, &until);
        group->timekeeper = false;
        return;
    }
    group->sleeping++;
    pthread_cond_wait(&group->work, &group->pool->lock);
    group->sleeping--;
}

/* This worker goes away into a step: somebody else takes the next actor, or keeps the time. */
static void hand_on(struct decode_group *group)
{
    if (group->first != NULL)
        wake_one(group);
    else if (group->heap_count > 0 && !group->timekeeper && group->sleeping > 0)
        pthread_cond_signal(&group->work);
}

static void move_actor(struct decode_actor *actor);

static void after_step(struct decode_actor *actor, int64_t again_ns)
{
    struct decode_group *group;

    if (actor->quarantine != actor->quarantined && !actor->leaving)
        move_actor(actor);
    group = actor->group;
    if (actor->leaving) {
        actor->state = DECODE_ACTOR_IDLE;
        pthread_cond_broadcast(&group->pool->stepped);
    } else if (actor->woken || again_ns == DECODE_STEP_NOW) {
        queue_add(group, actor);
    } else if (again_ns == DECODE_STEP_IDLE) {
        actor->state = DECODE_ACTOR_IDLE;
    } else {
        actor->state  = DECODE_ACTOR_WAITING;
        actor->due_ns = again_ns;
        heap_add(group, actor);
        if (group->timekeeper && group->heap[0] == actor)
            pthread_cond_signal(&group->time);
    }
}

static void *worker_main(void *arg)
{
    struct decode_group *group = arg;

    pthread_setname_np(pthread_self(), "decode");
    pthread_mutex_lock(&group->pool->lock);
    for (;;) {
        struct decode_actor *actor;
        int64_t              again_ns;

        make_due_runnable(group);
        actor = group->first;
        if (actor == NULL) {
            if (group->pool->stop)
                break;
            sleep_for_work(group);
            continue;
        }
        queue_remove(group, actor);
        actor->state = DECODE_ACTOR_RUNNING;
        actor->woken = false;
        hand_on(group);
        pthread_mutex_unlock(&group->pool->lock);
        again_ns = actor->step(actor);
        pthread_mutex_lock(&group->pool->lock);
        after_step(actor, again_ns);
    }
    pthread_mutex_unlock(&group->pool->lock);
    return NULL;
}

/* ---- groups ---- */

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* Its threads have ended. */
static void free_group(struct decode_group *group)
{
    decode_process_close(&group->process);
    pthread_cond_destroy(&group->work);
    pthread_cond_destroy(&group->time);
    free(group->heap);
    free(group->threads);
    free(group);
}

/* Started, and not yet one of the pool's. */
static int open_group(struct decode_pool *pool, int workers, struct decode_group **out,
                      struct why *why)
{
    struct decode_group *group = calloc(1, sizeof *group);
    int                  rc    = ERR_MEMORY;

    *out = NULL;
    if (group == NULL)
        return why_set(why, rc, "no memory for %d decode workers", workers);
    group->pool = pool;
    init_condition(&group->work);
    init_condition(&group->time);
    group->threads = calloc((size_t)workers, sizeof group->threads[0]);
    group->heap    = calloc(pool->heap_room, sizeof(struct decode_actor *));
    if (group->threads == NULL || group->heap == NULL)
        why_set(why, rc, "no memory for %d decode workers", workers);
    else
        rc = pool->isolation == ISOLATION_PROCESS ? decode_process_open(&group->process, why) : 0;
    if (rc != 0) {
        free_group(group);
        return rc;
    }
    *out = group;
    return 0;
}

static int start_threads(struct decode_group *group, int workers, struct why *why)
{
    for (; group->workers < workers; group->workers++) {
        if (pthread_create(&group->threads[group->workers], NULL, worker_main, group) != 0)
            return why_set(why, ERR_MEMORY, "the system refuses to start %d decode workers",
                           workers);
    }
    return 0;
}

/* Another group of the pool. Under the lock when others use the pool already: that happens for the
 * quarantine alone, and the 20 ms that a process takes to start are the price of a hostile
 * camera. */
static int add_group(struct decode_pool *pool, int workers, struct why *why)
{
    struct decode_group *group;
    int                  rc = open_group(pool, workers, &group, why);

    if (rc != 0)
        return rc;
    ASSERT(group != NULL);
    rc = start_threads(group, workers, why);
    if (rc != 0 && group->workers == 0) {
        free_group(group);
        return rc;
    }
    pool->group[pool->groups++] = group;
    return rc;
}

static struct decode_group *least_busy(struct decode_pool *pool, int from, int to)
{
    struct decode_group *best = pool->group[from];

    for (int i = from; i < to; i++) {
        if (pool->group[i]->actors < best->actors)
            best = pool->group[i];
    }
    return best;
}

/* Into the quarantine, or back from it. Where no more workers can be had it stays where it is. */
static void move_actor(struct decode_actor *actor)
{
    struct decode_pool  *pool = actor->group->pool;
    struct decode_group *to;

    if (actor->quarantine && pool->groups - pool->normal_groups < DECODE_QUARANTINE &&
        (pool->groups == pool->normal_groups ||
         least_busy(pool, pool->normal_groups, pool->groups)->actors > 0))
        add_group(pool, 1, NULL);
    if (actor->quarantine && pool->groups == pool->normal_groups)
        return;
    to = actor->quarantine ? least_busy(pool, pool->normal_groups, pool->groups)
                           : least_busy(pool, 0, pool->normal_groups);
    actor->group->actors--;
    actor->group = to;
    to->actors++;
    actor->quarantined = actor->quarantine;
    pool->quarantined += actor->quarantine ? 1 : -1;
}

/* ---- actors come and go ---- */

static int make_room(struct decode_pool *pool)
{
    size_t room = pool->heap_room * 2;

    if (pool->actors < pool->heap_room)
        return 0;
    for (int i = 0; i < pool->groups; i++) {
        struct decode_actor **heap = realloc(pool->group[i]->heap,
                                             room * sizeof(struct decode_actor *));

        if (heap == NULL)
            return ERR_MEMORY;
        pool->group[i]->heap = heap;
    }
    pool->heap_room = room;
    return 0;
}

int decode_actor_join(struct decode_pool *pool, struct decode_actor *actor,
                      int64_t (*step)(struct decode_actor *actor))
{
    int rc;

    *actor = (struct decode_actor){.step = step};
    pthread_mutex_lock(&pool->lock);
    rc = make_room(pool);
    if (rc == 0) {
        pool->actors++;
        actor->group = least_busy(pool, 0, pool->normal_groups);
        actor->group->actors++;
    }
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

void decode_actor_leave(struct decode_pool *pool, struct decode_actor *actor)
{
    pthread_mutex_lock(&pool->lock);
    actor->leaving = true;
    if (actor->state == DECODE_ACTOR_WAITING)
        heap_remove(actor->group, actor);
    else if (actor->state == DECODE_ACTOR_QUEUED)
        queue_remove(actor->group, actor);
    while (actor->state == DECODE_ACTOR_RUNNING)
        pthread_cond_wait(&pool->stepped, &pool->lock);
    actor->state = DECODE_ACTOR_IDLE;
    actor->group->actors--;
    pool->actors--;
    if (actor->quarantined)
        pool->quarantined--;
    pthread_mutex_unlock(&pool->lock);
}

void decode_actor_wake(struct decode_pool *pool, struct decode_actor *actor)
{
    pthread_mutex_lock(&pool->lock);
    if (actor->state == DECODE_ACTOR_WAITING)
        heap_remove(actor->group, actor);
    if (actor->state == DECODE_ACTOR_RUNNING)
        actor->woken = true;
    else if (actor->state != DECODE_ACTOR_QUEUED && !actor->leaving)
        queue_add(actor->group, actor);
    pthread_mutex_unlock(&pool->lock);
}

struct decode_process *decode_actor_process(const struct decode_actor *actor)
{
    return actor->group->process;
}

struct decode_device *decode_actor_device(const struct decode_actor *actor)
{
    return actor->group->pool->device;
}

void decode_actor_quarantine(struct decode_actor *actor, bool wanted)
{
    actor->quarantine = wanted && actor->group->process != NULL;
}

/* ---- the pool ---- */

int decode_pool_open_isolated(struct decode_pool **out, int workers,
                              enum settings_isolation isolation, struct why *why)
{
    struct decode_pool *pool       = calloc(1, sizeof *pool);
    long                processors = sysconf(_SC_NPROCESSORS_ONLN);
    int                 rc         = 0;

    *out = NULL;
    ffmpeg_log_install();
    if (workers <= 0)
        workers = processors > 0 ? (int)processors : 1;
    if (workers > MAX_WORKERS)
        workers = MAX_WORKERS;
    if (pool == NULL)
        return why_set(why, ERR_MEMORY, "no memory for %d decode workers", workers);
    pthread_mutex_init(&pool->lock, NULL);
    init_condition(&pool->stepped);
    pool->isolation = isolation;
    pool->heap_room = FIRST_ACTORS;
    if (isolation == ISOLATION_THREAD)
        rc = add_group(pool, workers, why);
    for (int i = 0; isolation == ISOLATION_PROCESS && i < workers && rc == 0; i++)
        rc = add_group(pool, 1, why);
    pool->normal_groups = pool->groups;
    if (rc != 0) {
        decode_pool_close(&pool);
        return rc;
    }
    *out = pool;
    return 0;
}

int decode_pool_open(struct decode_pool **out, int workers, struct why *why)
{
    return decode_pool_open_isolated(out, workers, ISOLATION_THREAD, why);
}

void decode_pool_use_device(struct decode_pool *pool, struct decode_device *device)
{
    ASSERT(pool->actors == 0 && pool->device == NULL);
    pool->device = device;
}

void decode_pool_close(struct decode_pool **out)
{
    struct decode_pool *pool = *out;

    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    ASSERT(pool->actors == 0);
    pool->stop = true;
    for (int i = 0; i < pool->groups; i++) {
        pthread_cond_broadcast(&pool->group[i]->work);
        pthread_cond_broadcast(&pool->group[i]->time);
    }
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->groups; i++) {
        for (int j = 0; j < pool->group[i]->workers; j++)
            pthread_join(pool->group[i]->threads[j], NULL);
        free_group(pool->group[i]);
    }
    decode_device_close(&pool->device);
    pthread_cond_destroy(&pool->stepped);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    *out = NULL;
}

void decode_pool_stats(struct decode_pool *pool, struct decode_pool_stats *stats)
{
    *stats = (struct decode_pool_stats){.isolation = pool->isolation};
    pthread_mutex_lock(&pool->lock);
    stats->quarantined = pool->quarantined;
    for (int i = 0; i < pool->groups; i++) {
        stats->workers += pool->group[i]->workers;
        if (pool->group[i]->process != NULL)
            stats->restarts += decode_process_restarts(pool->group[i]->process);
    }
    pthread_mutex_unlock(&pool->lock);
}

int decode_pool_pids(struct decode_pool *pool, int *pids, int room)
{
    int count = 0;

    pthread_mutex_lock(&pool->lock);
    for (int i = 0; i < pool->groups && count < room; i++) {
        if (pool->group[i]->process != NULL &&
            (pids[count] = decode_process_pid(pool->group[i]->process)) > 0)
            count++;
    }
    pthread_mutex_unlock(&pool->lock);
    return count;
}
