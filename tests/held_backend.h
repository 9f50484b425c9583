/* tests/held_backend.h: an inference pool over a backend whose time is the test's: pictures of a grey
 * can be held and released one by one, or take random times, and what was started in which order is
 * remembered. Frames are counted until they are released. State of the file that includes it, under
 * `lock`. */
#ifndef SIGHTLINE_TESTS_HELD_BACKEND_H
#define SIGHTLINE_TESTS_HELD_BACKEND_H

#include "gpu/inference_pool.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "config/clock.h"
#include "config/err.h"
#include "gpu/detector_internal.h"
#include "tests/fake_network.h"
#include "tests/tap.h"

#define NUMBERS   6
#define LEVELS    256
#define GIVE_UP_S 60 /* a test that waits so long has failed */

/* ---- a backend whose time is the test's ---- */

static pthread_mutex_t lock    = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  changed = PTHREAD_COND_INITIALIZER;
static bool            held[LEVELS]; /* pictures of this grey do not finish */
static int             started[LEVELS];
static int             start_order[4096], start_count;
static int             running_now, running_most, batch_most;
static int             wakes;
static int             best_batch   = 1;
static int             random_spins = 0;
static int             fail_open    = 0;
static int             bad_level    = -1; /* run() fails when one of these is in the batch */
static atomic_int      live_frames;

static int pool_best_batch(const struct model *model)
{
    (void)model;
    return best_batch;
}

static int pool_open(struct runner **out, const struct model *model,
                     const struct runner_settings *settings, struct why *why)
{
    (void)model;
    (void)settings;
    *out = NULL;
    if (fail_open != 0)
        return why_set(why, fail_open, "no such device");
    *out = calloc(1, sizeof **out + (size_t)best_batch * CELLS * NUMBERS * sizeof(float));
    return *out != NULL ? 0 : ERR_MEMORY;
}

static int pool_run(struct runner *runner, const float *input, int batch, struct why *why)
{
    static atomic_uint seed;
    unsigned           state = atomic_fetch_add(&seed, 1) * 2654435761U;
    int                rc    = 0;

    (void)runner;
    pthread_mutex_lock(&lock);
    running_now += batch;
    running_most = running_now > running_most ? running_now : running_most;
    batch_most   = batch > batch_most ? batch : batch_most;
    for (int i = 0; i < batch; i++) {
        int level = (int)(input[(ptrdiff_t)i * 3 * SIDE_PX * SIDE_PX] + 0.5F);

        started[level]++;
        if (start_count < (int)(sizeof start_order / sizeof *start_order))
            start_order[start_count++] = level;
        pthread_cond_broadcast(&changed);
        while (held[level])
            pthread_cond_wait(&changed, &lock);
        if (level == bad_level)
            rc = why_set(why, ERR_IO, "bad picture");
    }
    pthread_mutex_unlock(&lock);
    for (unsigned i = 0; random_spins > 0 && i < (state >> 16) % (unsigned)random_spins; i++)
        sched_yield();
    pthread_mutex_lock(&lock);
    running_now -= batch;
    pthread_mutex_unlock(&lock);
    return rc;
}

static const float *pool_output(const struct runner *runner, int index)
{
    (void)index;
    return (const float *)(const void *)(runner + 1);
}

static void pool_close(struct runner **runner)
{
    free(*runner);
    *runner = NULL;
}

static const struct backend_ops FAKE = {.name       = "fake",
                                        .best_batch = pool_best_batch,
                                        .open       = pool_open,
                                        .run        = pool_run,
                                        .output     = pool_output,
                                        .close      = pool_close};

static struct model_info info = FAKE_NETWORK(NUMBERS, "person");

/* ---- frames that are counted, and waiting for events ---- */

static void release_counted(struct frame *frame)
{
    free((void *)(uintptr_t)frame->plane[0]);
    free(frame);
    atomic_fetch_sub(&live_frames, 1);
}

static struct frame *picture(unsigned slot, uint64_t number, int level)
{
    struct frame *frame  = calloc(1, sizeof *frame);
    uint8_t      *pixels = malloc(64);

    memset(pixels, level, 64);
    *frame = (struct frame){.format       = FRAME_GRAY8,
                            .full_range   = true,
                            .width_px     = 8,
                            .height_px    = 8,
                            .plane        = {pixels},
                            .stride_bytes = {8},
                            .slot         = slot,
                            .number       = number,
                            .release      = release_counted};
    atomic_init(&frame->references, 1);
    atomic_fetch_add(&live_frames, 1);
    return frame;
}

static void on_wake(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    wakes++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static struct timespec give_up_time(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += GIVE_UP_S;
    return until;
}

static void hold(int level, bool on)
{
    pthread_mutex_lock(&lock);
    held[level] = on;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Until `times` pictures of this grey have been started. */
static bool wait_started(int level, int times)
{
    struct timespec until = give_up_time();
    bool            seen;

    pthread_mutex_lock(&lock);
    while (started[level] < times && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        ;
    seen = started[level] >= times;
    pthread_mutex_unlock(&lock);
    return seen;
}

/* The next result, when it comes. */
static struct inference_result *take(struct inference_pool *pool)
{
    struct timespec          until = give_up_time();
    struct inference_result *result;
    int                      waited = 0;

    while ((result = inference_pool_take(pool)) == NULL && waited == 0) {
        static int seen;

        pthread_mutex_lock(&lock);
        while (wakes == seen && waited == 0)
            waited = pthread_cond_timedwait(&changed, &lock, &until);
        seen = wakes;
        pthread_mutex_unlock(&lock);
    }
    return result;
}

static struct detector *detector;

static struct inference_pool *open_pool(int workers, int waiting, int batch, int64_t deadline_ns)
{
    struct detector_parts          parts    = {.info = &info, .backend = &FAKE};
    struct detector_settings       settings = {.head = "yolox"};
    struct inference_pool_settings pool_settings;
    struct inference_pool         *pool;
    struct why                     why;

    memset(held, 0, sizeof held);
    memset(started, 0, sizeof started);
    start_count = running_most = batch_most = 0;
    best_batch                              = batch;
    pool_settings                           = (struct inference_pool_settings){.workers          = workers,
                                                                               .waiting_per_slot = waiting,
                                                                               .deadline_ns      = deadline_ns,
                                                                               .wake             = on_wake};
    if (detector_open_with(&detector, &settings, &parts, &why) != 0) {
        diag("%s", why.text);
        exit(1);
    }
    pool_settings.detector = detector;
    if (inference_pool_open(&pool, &pool_settings, &why) != 0) {
        diag("%s", why.text);
        exit(1);
    }
    return pool;
}

static void close_pool(struct inference_pool **pool)
{
    inference_pool_close(pool);
    detector_close(&detector);
    is_int(atomic_load(&live_frames), 0, "  every frame is released");
}

/* Takes one and checks whose it is. */
static void expect(struct inference_pool *pool, unsigned slot, uint64_t number)
{
    struct inference_result *result = take(pool);

    ok(result != NULL && result->frame->slot == slot && result->frame->number == number &&
           result->error == 0,
       "  result is picture %d of camera %u", (int)number, slot);
    if (result != NULL && (result->frame->slot != slot || result->frame->number != number))
        diag("got %d of %u", (int)result->frame->number, result->frame->slot);
    inference_result_free(&result);
}

#endif
