/* bench/two_cores.h: what the real inference pool gets out of two processors, and beside it what a loop of
 * multiply-adds that touches no memory gets from two threads: processors that are two threads of one core
 * cannot give the pool more than they give that loop. */
#ifndef SIGHTLINE_BENCH_TWO_CORES_H
#define SIGHTLINE_BENCH_TWO_CORES_H

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/peak.h"
#include "config/clock.h"
#include "gpu/inference_pool.h"

#define TWO_CORES_NS    INT64_C(1000000000) /* of one measurement */
#define TWO_CORES_WARM  8                   /* pictures before it */
#define TWO_CORES_SLOTS 4
#define TWO_CORES_SIDE  640

/* The first two processors that this process may use; false when there is only one. */
static bool two_cores(int cores[2])
{
    cpu_set_t set;
    int       found = 0;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return false;
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
        if (CPU_ISSET((size_t)i, &set))
            cores[found++] = i;
    return found == 2;
}

/* This thread, and those that it starts from now on. */
static void stay_on(const int *cores, int count)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (int i = 0; i < count; i++)
        CPU_SET((size_t)cores[i], &set);
    sched_setaffinity(0, sizeof set, &set);
}

static pid_t start_busy_process(int core)
{
    pid_t child = fork();

    if (child == 0) {
        stay_on(&core, 1);
        for (volatile uint64_t i = 0;; i++) {
        }
    }
    return child;
}

static void stop_busy_process(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* ---- the pool ---- */

struct pool_feed {
    struct inference_pool *pool;
    struct frame          *frames[TWO_CORES_SLOTS];
    sem_t                  ready; /* something to take, or the feeder has ended */
    atomic_bool            enough, ended;
};

static void pool_wakes(void *arg)
{
    sem_post(&((struct pool_feed *)arg)->ready);
}

static void *feed_pool(void *arg)
{
    struct pool_feed *feed = arg;

    for (unsigned i = 0; !atomic_load(&feed->enough); i++)
        inference_pool_submit_or_wait(feed->pool, frame_ref(feed->frames[i % TWO_CORES_SLOTS]));
    atomic_store(&feed->ended, true);
    sem_post(&feed->ready);
    return NULL;
}

static int take_from(struct pool_feed *feed)
{
    struct inference_result *result;
    int                      taken = 0;

    while ((result = inference_pool_take(feed->pool)) != NULL) {
        taken += result->error == 0;
        inference_result_free(&result);
    }
    return taken;
}

/* Four cameras' pictures, of noise. */
static bool make_frames(struct pool_feed *feed)
{
    uint32_t state = 1;

    for (unsigned i = 0; i < TWO_CORES_SLOTS; i++) {
        struct frame *frame = frame_alloc(FRAME_BGR24, TWO_CORES_SIDE, TWO_CORES_SIDE);
        if (frame == NULL)
            return false;
        frame->slot    = i;
        uint8_t *bytes = (uint8_t *)(uintptr_t)frame->plane[0];
        for (int k = 0; k < frame->stride_bytes[0] * TWO_CORES_SIDE; k++) {
            state    = state * 1664525U + 1013904223U;
            bytes[k] = (uint8_t)(state >> 24);
        }
        feed->frames[i] = frame;
    }
    return true;
}

/* Results a second, after the first ones. */
static double rate_of_feed(struct pool_feed *feed)
{
    int64_t start, now;
    int     taken = 0;

    while (taken < TWO_CORES_WARM) {
        sem_wait(&feed->ready);
        taken += take_from(feed);
    }
    start = now = clock_monotonic_ns();
    for (taken = 0; now - start < TWO_CORES_NS; now = clock_monotonic_ns()) {
        sem_wait(&feed->ready);
        taken += take_from(feed);
    }
    return (double)taken * 1e9 / (double)(now - start);
}

/* Pictures a second from frame to boxes with as many workers as processors; 0: failed. */
static double pool_rate(const struct detector *detector, const int *cores, int count)
{
    struct pool_feed               feed     = {.pool = NULL};
    struct inference_pool_settings settings = {.detector         = detector,
                                               .workers          = count,
                                               .waiting_per_slot = 32,
                                               .wake             = pool_wakes,
                                               .arg              = &feed};
    struct why                     why;
    pthread_t                      feeder;
    cpu_set_t                      before;
    double                         rate = 0;

    sched_getaffinity(0, sizeof before, &before);
    stay_on(cores, count);
    sem_init(&feed.ready, 0, 0);
    if (make_frames(&feed) && inference_pool_open(&feed.pool, &settings, &why) == 0 &&
        pthread_create(&feeder, NULL, feed_pool, &feed) == 0) {
        rate = rate_of_feed(&feed);
        atomic_store(&feed.enough, true);
        while (!atomic_load(&feed.ended)) { /* it may wait for room */
            sem_wait(&feed.ready);
            take_from(&feed);
        }
        pthread_join(feeder, NULL);
    }
    inference_pool_close(&feed.pool);
    for (int i = 0; i < TWO_CORES_SLOTS; i++)
        frame_unref(&feed.frames[i]);
    sem_destroy(&feed.ready);
    sched_setaffinity(0, sizeof before, &before);
    return rate;
}

/* ---- multiply-adds ---- */

struct loop_thread {
    void (*loop)(void);
    int64_t turns;
};

static void *turn_loop(void *arg)
{
    struct loop_thread *thread = arg;
    int64_t             start  = clock_monotonic_ns();

    do {
        thread->loop();
        thread->turns++;
    } while (clock_monotonic_ns() - start < TWO_CORES_NS / 2);
    return NULL;
}

/* Turns of the loop in one time by as many threads as processors; 0: this machine has no such loop. */
static double loop_rate(const int *cores, int count)
{
    struct loop_thread threads[2] = {{NULL, 0}, {NULL, 0}};
    pthread_t          other;
    cpu_set_t          before;
    bool               started;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        threads[0].loop = threads[1].loop = peak_avx512;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        threads[0].loop = threads[1].loop = peak_avx2;
#endif
    if (threads[0].loop == NULL)
        return 0;
    sched_getaffinity(0, sizeof before, &before);
    stay_on(cores, count);
    started = count > 1 && pthread_create(&other, NULL, turn_loop, &threads[1]) == 0;
    turn_loop(&threads[0]);
    if (started)
        pthread_join(other, NULL);
    sched_setaffinity(0, sizeof before, &before);
    return (double)(threads[0].turns + threads[1].turns);
}

#endif
