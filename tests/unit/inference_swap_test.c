/* The pool under change: models swapped while cameras send, models that are refused, devices that
 * are lost and come back; nothing is lost, and nothing of an old model is used after its swap.
 * links: gpu */
#include "gpu/inference_pool.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "gpu/detector_internal.h"
#include "tests/fake_network.h"
#include "tests/tap.h"

#define NUMBERS   7 /* two classes: car is model A, bus is model B */
#define CAMERAS   4
#define PICTURES  250
#define SWAPS     25
#define WORKERS   3
#define GIVE_UP_S 60

/* ---- a device that can be taken away ---- */

struct fake_runner {
    struct runner runner;
    int           model; /* 0: A, 1: B */
    float         output[2][CELLS * NUMBERS];
};

static char        tags[2];
static atomic_int  open_runners[2], open_on_fallback;
static atomic_int  fail_open, fail_run_of; /* code; model + 1 */
static atomic_bool lost, hold_open;
static atomic_int  opens_held;
static int         batch_of[2] = {2, 2};

static int fake_best_batch(const struct model *model)
{
    return batch_of[(const char *)(const void *)model - tags];
}

static int fake_open(struct runner **out, const struct model *model,
                     const struct runner_settings *settings, struct why *why)
{
    struct fake_runner *runner;

    (void)settings;
    *out = NULL;
    atomic_fetch_add(&opens_held, atomic_load(&hold_open) ? 1 : 0);
    while (atomic_load(&hold_open))
        sched_yield();
    if (atomic_load(&fail_open) != 0)
        return why_set(why, atomic_load(&fail_open), "no memory on the device");
    if (atomic_load(&lost))
        return why_set(why, ERR_DEVICE_LOST, "there is no device");
    runner        = calloc(1, sizeof *runner);
    runner->model = (int)((const char *)(const void *)model - tags);
    atomic_fetch_add(&open_runners[runner->model], 1);
    *out = &runner->runner;
    return 0;
}

static int see(struct fake_runner *runner, int batch)
{
    for (int i = 0; i < batch; i++) {
        float *cell = runner->output[i];

        memset(cell, 0, sizeof runner->output[i]);
        cell[0] = cell[1]       = 0.5F;
        cell[4]                 = 0.9F;
        cell[5 + runner->model] = 1.0F;
    }
    return 0;
}

static int fake_run(struct runner *runner, const float *input, int batch, struct why *why)
{
    struct fake_runner *fake = (struct fake_runner *)(void *)runner;

    (void)input;
    if (atomic_load(&lost))
        return why_set(why, ERR_DEVICE_LOST, "the device has fallen off the bus");
    if (atomic_load(&fail_run_of) == fake->model + 1)
        return why_set(why, ERR_IO, "wrong results");
    return see(fake, batch);
}

static const float *fake_output(const struct runner *runner, int index)
{
    (void)index;
    return ((const struct fake_runner *)(const void *)runner)->output[0];
}

static void fake_close(struct runner **runner)
{
    if (*runner != NULL)
        atomic_fetch_sub(&open_runners[((struct fake_runner *)(void *)*runner)->model], 1);
    free(*runner);
    *runner = NULL;
}

static const struct backend_ops FAKE = {.name       = "fake",
                                        .best_batch = fake_best_batch,
                                        .open       = fake_open,
                                        .run        = fake_run,
                                        .output     = fake_output,
                                        .close      = fake_close};

/* ---- what takes over: one picture at once, always there ---- */

static int second_best_batch(const struct model *model)
{
    (void)model;
    return 1;
}

static int second_open(struct runner **out, const struct model *model,
                       const struct runner_settings *settings, struct why *why)
{
    struct fake_runner *runner = calloc(1, sizeof *runner);

    (void)settings;
    (void)why;
    runner->model = (int)((const char *)(const void *)model - tags);
    atomic_fetch_add(&open_on_fallback, 1);
    *out = &runner->runner;
    return 0;
}

static int second_run(struct runner *runner, const float *input, int batch, struct why *why)
{
    (void)input;
    (void)why;
    return batch == 1 ? see((struct fake_runner *)(void *)runner, 1) : ERR_INVALID;
}

static void second_close(struct runner **runner)
{
    atomic_fetch_sub(&open_on_fallback, *runner != NULL);
    free(*runner);
    *runner = NULL;
}

static const struct backend_ops SECOND = {.name       = "second",
                                          .best_batch = second_best_batch,
                                          .open       = second_open,
                                          .run        = second_run,
                                          .output     = fake_output,
                                          .close      = second_close};

static const struct model_info info = FAKE_NETWORK(NUMBERS, "car, bus");

/* ---- ---- */

static struct detector *open_detector(int model)
{
    struct detector_parts parts = {
        .info = &info, .model = (const struct model *)(const void *)&tags[model], .backend = &FAKE};
    struct detector_settings settings = {.head = "yolox"};
    struct detector         *detector = NULL;

    if (detector_open_with(&detector, &settings, &parts, NULL) != 0)
        ok(false, "a detector");
    return detector;
}

static struct inference_pool *open_pool(const struct detector    *detector,
                                        const struct backend_ops *fallback)
{
    struct inference_pool_settings settings = {.detector         = detector,
                                               .fallback         = fallback,
                                               .retry_ns         = 1,
                                               .workers          = WORKERS,
                                               .waiting_per_slot = 3};
    struct inference_pool         *pool     = NULL;
    struct why                     why      = {""};

    if (inference_pool_open(&pool, &settings, &why) != 0)
        ok(false, "a pool: %s", why.text);
    return pool;
}

static struct frame *picture(unsigned slot, uint64_t number)
{
    struct frame *frame = frame_alloc(FRAME_GRAY8, 8, 8);

    memset((uint8_t *)(uintptr_t)frame->plane[0], 50, (size_t)8 * (size_t)frame->stride_bytes[0]);
    frame->slot   = slot;
    frame->number = number;
    return frame;
}

/* The next result, or NULL when none comes for a minute. */
static struct inference_result *take(struct inference_pool *pool)
{
    int64_t until_ns = clock_monotonic_ns() + GIVE_UP_S * NS_PER_S;

    while (clock_monotonic_ns() < until_ns) {
        struct inference_result *result = inference_pool_take(pool);

        if (result != NULL)
            return result;
        sched_yield();
    }
    return NULL;
}

/* One picture through the pool: its class, -1 without a box, or the negative code. */
static int one(struct inference_pool *pool, uint64_t number)
{
    struct inference_result *result;
    int                      answer = -1;

    inference_pool_submit(pool, picture(0, number));
    result = take(pool);
    if (result != NULL && result->error != 0)
        answer = result->error;
    else if (result != NULL && result->box_count == 1)
        answer = (int)result->boxes[0].object_class;
    inference_result_free(&result);
    return answer;
}

struct producer {
    struct inference_pool *pool;
    unsigned               slot;
};

static void *produce(void *arg)
{
    struct producer *producer = arg;

    for (uint64_t i = 0; i < PICTURES; i++)
        inference_pool_submit_or_wait(producer->pool, picture(producer->slot, i));
    return NULL;
}

struct swapper {
    struct inference_pool *pool;
    struct detector       *detector; /* the one that runs */
    int                    model;
    int                    failed, used_after;
};

static void *swap_and_swap(void *arg)
{
    struct swapper *swapper = arg;

    for (int i = 0; i < SWAPS; i++) {
        struct detector *next = open_detector(1 - swapper->model);
        struct why       why;

        if (inference_pool_swap(swapper->pool, next, &why) != 0) {
            swapper->failed++;
            detector_close(&next);
            continue;
        }
        swapper->used_after += atomic_load(&open_runners[swapper->model]) != 0;
        detector_close(&swapper->detector);
        swapper->detector = next;
        swapper->model    = 1 - swapper->model;
    }
    return NULL;
}

static void check_under_load(int batch_b)
{
    struct swapper  swapper = {.detector = open_detector(0)};
    struct producer producers[CAMERAS];
    pthread_t       threads[CAMERAS], swaps;
    int64_t         last[CAMERAS];
    int             taken = 0, wrong = 0, seen[2] = {0, 0};

    diag("swapped %d times under load; the other model takes %d at once", SWAPS, batch_b);
    batch_of[1]  = batch_b;
    swapper.pool = open_pool(swapper.detector, NULL);
    for (unsigned i = 0; i < CAMERAS; i++) {
        last[i]      = -1;
        producers[i] = (struct producer){swapper.pool, i};
        pthread_create(&threads[i], NULL, produce, &producers[i]);
    }
    pthread_create(&swaps, NULL, swap_and_swap, &swapper);
    while (taken < CAMERAS * PICTURES) {
        struct inference_result *result = take(swapper.pool);

        if (result == NULL)
            break;
        taken++;
        wrong += result->error != 0 || result->box_count != 1 ||
                 (int64_t)result->frame->number != last[result->frame->slot] + 1;
        last[result->frame->slot] = (int64_t)result->frame->number;
        if (result->box_count == 1)
            seen[result->boxes[0].object_class == OBJECT_BUS]++;
        inference_result_free(&result);
    }
    for (int i = 0; i < CAMERAS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(swaps, NULL);
    is_int(taken, CAMERAS * PICTURES, "every picture comes out (%d by A, %d by B)", seen[0],
           seen[1]);
    is_int(wrong, 0, "in its order, with its box");
    is_int(swapper.failed, 0, "every swap is done");
    is_int(swapper.used_after, 0, "and the old model has no runner then");
    is_int(one(swapper.pool, PICTURES), swapper.model == 1 ? OBJECT_BUS : OBJECT_CAR,
           "the last model runs");
    is_int(inference_pool_stats(swapper.pool).swaps, SWAPS, "the statistics know");
    inference_pool_close(&swapper.pool);
    detector_close(&swapper.detector);
    is_int(atomic_load(&open_runners[0]) + atomic_load(&open_runners[1]), 0, "all is closed");
    batch_of[1] = 2;
}

static void check_refused(void)
{
    struct detector       *a = open_detector(0), *b = open_detector(1);
    struct inference_pool *pool = open_pool(a, NULL);
    struct why             why;

    diag("a model that does not work is refused");
    atomic_store(&fail_open, ERR_MEMORY);
    is_int(inference_pool_swap(pool, b, &why), ERR_MEMORY, "it cannot be opened: %s", why.text);
    atomic_store(&fail_open, 0);
    is_int(one(pool, 0), OBJECT_CAR, "the old one runs on");
    atomic_store(&fail_run_of, 2);
    is_int(inference_pool_swap(pool, b, &why), ERR_IO, "it cannot be run: %s", why.text);
    atomic_store(&fail_run_of, 0);
    is_int(one(pool, 1), OBJECT_CAR, "the old one runs on");
    is_int(atomic_load(&open_runners[1]), 0, "nothing of the refused is left");
    is_int(inference_pool_swap(pool, b, &why), 0, "the same model when it works");
    is_int(one(pool, 2), OBJECT_BUS, "runs");
    inference_pool_close(&pool);
    detector_close(&a);
    detector_close(&b);
}

static void check_lost(void)
{
    struct detector            *a = open_detector(0), *b = open_detector(1);
    struct inference_pool      *pool = open_pool(a, &SECOND);
    struct inference_pool_stats stats;
    int                         wrong = 0;
    struct why                  why;

    diag("a device is lost");
    is_int(one(pool, 0), OBJECT_CAR, "all is well");
    atomic_store(&lost, true);
    for (uint64_t i = 1; i <= 20; i++)
        wrong += one(pool, i) != OBJECT_CAR;
    is_int(wrong, 0, "every picture is seen, that of the loss too");
    stats = inference_pool_stats(pool);
    ok(stats.fallback_workers >= 1 && stats.device_losses >= 1 && stats.failed == 0,
       "%d workers on the fallback, %d losses", stats.fallback_workers, (int)stats.device_losses);
    is_text(stats.device_problem, "the device has fallen off the bus", "the reason is told");
    is_int(inference_pool_swap(pool, b, &why), ERR_DEVICE_LOST, "a new model is refused now: %s",
           why.text);
    atomic_store(&lost, false);
    for (uint64_t i = 21; i <= 20000 && inference_pool_stats(pool).fallback_workers > 0; i++)
        wrong += one(pool, i) != OBJECT_CAR;
    stats = inference_pool_stats(pool);
    is_int(stats.fallback_workers, 0, "every worker has the device again");
    is_int(wrong, 0, "and no picture was missed");
    is_text(stats.device_problem, "", "there is nothing to tell");
    atomic_store(&lost, true);
    is_int(one(pool, 30000), OBJECT_CAR, "lost once more");
    atomic_store(&lost, false);
    is_int(inference_pool_swap(pool, b, &why), 0, "a new model brings the device back");
    is_int(inference_pool_stats(pool).fallback_workers, 0, "for all");
    is_int(one(pool, 30001), OBJECT_BUS, "and runs");
    inference_pool_close(&pool);
    is_int(atomic_load(&open_on_fallback), 0, "the fallback's runners are closed");
    detector_close(&a);
    detector_close(&b);
}

/* A batch of two on a device that is lost is done one by one by what takes over. */
static void check_lost_in_batch(void)
{
    struct detector       *a    = open_detector(0);
    struct inference_pool *pool = open_pool(a, &SECOND);
    int                    seen = 0;

    diag("a device is lost with many pictures on their way");
    atomic_store(&lost, true);
    for (unsigned slot = 0; slot < 40; slot++)
        inference_pool_submit(pool, picture(slot, 0));
    for (unsigned slot = 0; slot < 40; slot++) {
        struct inference_result *result = take(pool);

        seen += result != NULL && result->error == 0 && result->box_count == 1;
        inference_result_free(&result);
    }
    is_int(seen, 40, "every picture is seen");
    atomic_store(&lost, false);
    inference_pool_close(&pool);
    detector_close(&a);
}

/* What should take over is lost with the device. */
static void check_lost_alone(void)
{
    static struct backend_ops none;
    struct detector          *a = open_detector(0);
    struct inference_pool    *pool;
    int                       answer;

    diag("nothing can take over");
    none      = FAKE; /* opens as little as the device itself */
    none.name = "none";
    pool      = open_pool(a, &none);
    atomic_store(&lost, true);
    is_int(one(pool, 0), ERR_DEVICE_LOST, "the picture fails");
    is_int(one(pool, 1), ERR_DEVICE_LOST, "and the next");
    atomic_store(&lost, false);
    answer = -1;
    for (uint64_t i = 2; i <= 20000 && answer != OBJECT_CAR; i++)
        answer = one(pool, i);
    is_int(answer, OBJECT_CAR, "until the device is back");
    inference_pool_close(&pool);
    detector_close(&a);
}

static void *swap_once(void *arg)
{
    struct swapper *swapper = arg;
    struct why      why;

    swapper->failed = inference_pool_swap(swapper->pool, swapper->detector, &why);
    return NULL;
}

static void check_closed(void)
{
    struct detector *a = open_detector(0), *b = open_detector(1);
    struct swapper   swapper = {.pool = open_pool(a, NULL), .detector = b};
    pthread_t        thread;
    struct why       why;

    diag("the pool is closed while a model is loaded");
    atomic_store(&opens_held, 0);
    atomic_store(&hold_open, true);
    pthread_create(&thread, NULL, swap_once, &swapper);
    while (atomic_load(&opens_held) == 0)
        sched_yield();
    is_int(inference_pool_swap(swapper.pool, b, &why), ERR_AGAIN, "one at a time: %s", why.text);
    atomic_store(&hold_open, false);
    inference_pool_close(&swapper.pool);
    pthread_join(thread, NULL);
    ok(swapper.failed == ERR_CLOSED || swapper.failed == 0, "the swap ends: %d", swapper.failed);
    is_int(atomic_load(&open_runners[0]) + atomic_load(&open_runners[1]), 0, "all is closed");
    detector_close(&a);
    detector_close(&b);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    check_under_load(2);
    check_under_load(1);
    check_refused();
    check_lost();
    check_lost_in_batch();
    check_lost_alone();
    check_closed();
    return done_testing();
}
