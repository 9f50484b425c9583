/* The inference pool: order, fairness, bounds, loss and the lack of it, with a backend made for the
 * test whose pictures can be held and released one by one, or take random times.
 * links: gpu */
#include "gpu/inference_pool.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "config/clock.h"
#include "config/err.h"
#include "tests/held_backend.h"
#include "tests/tap.h"

/* ---- the tests ---- */

static void check_newest(void)
{
    struct inference_pool      *pool = open_pool(1, 1, 1, 0);
    struct inference_pool_stats stats;

    diag("a newer frame takes the place of one that waits");
    hold(1, true);
    is_int(inference_pool_submit(pool, picture(0, 0, 1)), 0, "the first goes in");
    ok(wait_started(1, 1), "and runs");
    is_int(inference_pool_submit(pool, picture(0, 1, 2)), 0, "the second waits");
    is_int(inference_pool_submit(pool, picture(0, 2, 2)), 1, "the third takes its place");
    is_int(inference_pool_submit(pool, picture(0, 3, 2)), 1, "and the fourth the third's");
    ok(inference_pool_take(pool) == NULL, "nothing is ready");
    hold(1, false);
    expect(pool, 0, 0);
    expect(pool, 0, 3);
    stats = inference_pool_stats(pool);
    ok(stats.submitted == 4 && stats.finished == 2 && stats.dropped == 2 && stats.failed == 0,
       "4 submitted, 2 finished, 2 dropped");
    is_int(stats.latency[INFERENCE_QUEUE].count, 2, "waiting is measured for each");
    is_int(stats.latency[INFERENCE_NETWORK].count, 2, "and the network's time");
    ok(stats.waiting == 0 && stats.running == 0, "nothing waits or runs");
    close_pool(&pool);
}

static void check_fair_order(void)
{
    struct inference_pool *pool = open_pool(1, 8, 1, 0);

    diag("nobody gets a second frame in while another waits for a first");
    hold(1, true);
    inference_pool_submit(pool, picture(0, 0, 1));
    ok(wait_started(1, 1), "camera 0 runs");
    for (uint64_t i = 1; i < 4; i++)
        inference_pool_submit(pool, picture(0, i, 2));
    for (unsigned slot = 1; slot < 4; slot++)
        for (uint64_t i = 0; i < 2; i++)
            inference_pool_submit(pool, picture(slot, i, 2));
    hold(1, false);
    expect(pool, 0, 0);
    for (unsigned slot = 0; slot < 4; slot++)
        expect(pool, slot, slot == 0 ? 1 : 0);
    for (unsigned slot = 0; slot < 4; slot++)
        expect(pool, slot, slot == 0 ? 2 : 1);
    expect(pool, 0, 3);
    close_pool(&pool);
}

static void check_order(void)
{
    struct inference_pool *pool = open_pool(2, 4, 1, 0);

    diag("results of one camera come out in order, whatever worker finishes first");
    hold(1, true);
    inference_pool_submit(pool, picture(7, 0, 1));
    ok(wait_started(1, 1), "one worker holds the first");
    inference_pool_submit(pool, picture(7, 1, 2));
    inference_pool_submit(pool, picture(8, 0, 3));
    ok(wait_started(3, 1), "the other is through with the second");
    expect(pool, 8, 0);
    ok(inference_pool_take(pool) == NULL, "which is kept back");
    hold(1, false);
    expect(pool, 7, 0);
    expect(pool, 7, 1);
    close_pool(&pool);
}

static void check_one_slot_bounded(void)
{
    struct inference_pool      *pool = open_pool(2, 16, 1, 0);
    struct inference_pool_stats stats;

    diag("one slow picture does not let its camera take every result");
    hold(1, true);
    inference_pool_submit(pool, picture(0, 0, 1));
    ok(wait_started(1, 1), "a worker holds the first");
    for (uint64_t i = 1; i <= 10; i++)
        inference_pool_submit(pool, picture(0, i, 2));
    ok(wait_started(2, 2), "the other worker goes ahead");
    /* When a picture of another camera has passed, all that may go ahead has gone. */
    inference_pool_submit(pool, picture(1, 0, 3));
    expect(pool, 1, 0);
    stats = inference_pool_stats(pool);
    ok(stats.running <= 3, "%d of the camera's pictures are out", stats.running);
    ok(stats.waiting >= 8, "%d wait", stats.waiting);
    hold(1, false);
    for (uint64_t i = 0; i <= 10; i++)
        expect(pool, 0, i);
    close_pool(&pool);
}

static void check_batches(void)
{
    struct inference_pool      *pool = open_pool(1, 2, 4, GIVE_UP_S * NS_PER_S);
    struct inference_pool_stats stats;

    diag("batches across cameras");
    for (unsigned slot = 0; slot < 4; slot++)
        inference_pool_submit(pool, picture(slot, 0, 2));
    for (unsigned slot = 0; slot < 4; slot++)
        expect(pool, slot, 0);
    stats = inference_pool_stats(pool);
    is_int(stats.batches, 1, "four frames are one batch, long before the deadline");
    is_int(stats.latency[INFERENCE_NETWORK].count, 1, "measured once");
    close_pool(&pool);
    pool = open_pool(1, 2, 4, 20 * NS_PER_MS);
    inference_pool_submit(pool, picture(0, 0, 2));
    inference_pool_submit(pool, picture(1, 0, 2));
    expect(pool, 0, 0);
    expect(pool, 1, 0);
    stats = inference_pool_stats(pool);
    ok(stats.batches <= 2, "a batch that does not fill goes at the deadline");
    ok(stats.latency[INFERENCE_QUEUE].sum_ns >= 20 * NS_PER_MS, "and not before");
    close_pool(&pool);
    pool      = open_pool(1, 2, 4, GIVE_UP_S * NS_PER_S);
    bad_level = 9;
    for (unsigned slot = 0; slot < 4; slot++)
        inference_pool_submit(pool, picture(slot, 0, slot == 2 ? 9 : 2));
    for (unsigned slot = 0; slot < 4; slot++) {
        struct inference_result *result = take(pool);

        ok(result != NULL && result->frame->slot == slot &&
               result->error == (slot == 2 ? ERR_IO : 0) && result->box_count == 0,
           "camera %u: a bad picture fails alone", slot);
        inference_result_free(&result);
    }
    bad_level = -1;
    is_int(inference_pool_stats(pool).failed, 1, "one failed");
    close_pool(&pool);
}

static void *submit_one(void *arg)
{
    struct inference_pool *pool = arg;

    /* NULL: ERR_CLOSED or dropped; the frame is gone in any case. */
    return inference_pool_submit_or_wait(pool, picture(5, 99, 2)) == 0 ? arg : NULL;
}

static void check_clear(void)
{
    struct inference_pool *pool = open_pool(1, 2, 1, 0);
    pthread_t              thread;
    void                  *answer = NULL;

    diag("clearing a slot");
    hold(1, true);
    inference_pool_submit(pool, picture(5, 0, 1));
    ok(wait_started(1, 1), "the worker is busy");
    inference_pool_submit(pool, picture(5, 1, 2));
    inference_pool_submit(pool, picture(5, 2, 2));
    inference_pool_submit(pool, picture(6, 0, 2));
    pthread_create(&thread, NULL, submit_one, pool);
    inference_pool_clear_slot(pool, 5);
    pthread_join(thread, &answer);
    ok(answer != NULL, "who waited for room gets it");
    inference_pool_clear_slot(pool, 5);
    is_int(inference_pool_submit_or_wait(pool, picture(5, 3, 2)), 0, "there is room");
    is_int(inference_pool_submit_or_wait(pool, picture(5, 4, 2)), 0, "twice");
    is_int(inference_pool_submit_or_wait(pool, picture(5, 5, 2)), 1,
           "and then a frame of the camera that left is dropped, not waited for");
    inference_pool_clear_slot(pool, 5);
    hold(1, false);
    expect(pool, 5, 0);
    expect(pool, 6, 0);
    is_int(inference_pool_stats(pool).dropped, 6, "six were dropped");
    close_pool(&pool);
}

static void check_back_pressure(void)
{
    struct inference_pool      *pool = open_pool(2, 1, 1, 0);
    struct inference_pool_stats stats;
    struct inference_result    *kept;
    uint64_t                    taken = 0;

    diag("a taker that takes nothing");
    stats = inference_pool_stats(pool);
    for (int round = 0; round < 3; round++)
        for (unsigned slot = 0; slot < 64; slot++)
            inference_pool_submit(pool, picture(slot, (uint64_t)round, 2));
    while (inference_pool_stats(pool).finished < (uint64_t)stats.results)
        sched_yield();
    ok(atomic_load(&live_frames) <= stats.results + 64, "holds %d results and one frame a camera",
       stats.results);
    is_int(inference_pool_stats(pool).running, 0, "nothing runs without a result to put it in");
    kept = take(pool);
    for (;;) {
        struct inference_result *result;

        taken += 1;
        stats = inference_pool_stats(pool);
        if (taken == stats.submitted - stats.dropped)
            break;
        result = take(pool);
        if (result == NULL)
            break;
        inference_result_free(&result);
    }
    is_int(taken, stats.submitted - stats.dropped, "all that was not dropped comes out");
    inference_pool_close(&pool);
    detector_close(&detector);
    is_int(atomic_load(&live_frames), 1, "a result outlives the pool");
    ok(kept != NULL && kept->frame->number < 3, "and can be read");
    inference_result_free(&kept);
    is_int(atomic_load(&live_frames), 0, "until it is freed");
}

static void check_close(void)
{
    struct inference_pool *pool = open_pool(1, 1, 1, 0);
    pthread_t              thread;
    void                  *answer = NULL;

    diag("closing with frames inside");
    for (unsigned slot = 0; slot < 10; slot++)
        inference_pool_submit(pool, picture(slot, 0, 2));
    close_pool(&pool);
    pool = open_pool(1, 1, 1, 0);
    hold(1, true);
    inference_pool_submit(pool, picture(5, 0, 1));
    ok(wait_started(1, 1), "the worker is busy");
    inference_pool_submit(pool, picture(5, 1, 2));
    pthread_create(&thread, NULL, submit_one, pool);
    hold(1, false);
    expect(pool, 5, 0);
    pthread_join(thread, &answer);
    ok(answer != NULL, "who waited got in");
    close_pool(&pool);
}

static void check_refused(void)
{
    struct detector_parts          parts         = {.info = &info, .backend = &FAKE};
    struct detector_settings       settings      = {.head = "yolox"};
    struct inference_pool_settings pool_settings = {.workers = 3, .waiting_per_slot = 1};
    struct inference_pool         *pool;
    struct why                     why;

    diag("what cannot be opened");
    is_int(detector_open_with(&detector, &settings, &parts, NULL), 0, "a detector");
    pool_settings.detector = detector;
    fail_open              = ERR_NOT_FOUND;
    is_int(inference_pool_open(&pool, &pool_settings, &why), ERR_NOT_FOUND, "workers: %s",
           why.text);
    ok(pool == NULL, "no pool");
    fail_open                      = 0;
    pool_settings.waiting_per_slot = 0;
    is_int(inference_pool_open(&pool, &pool_settings, &why), ERR_INVALID, "waiting: %s", why.text);
    pool_settings.waiting_per_slot = 1;
    pool_settings.workers          = -1;
    is_int(inference_pool_open(&pool, &pool_settings, &why), ERR_INVALID, "workers: %s", why.text);
    pool_settings.workers = 0;
    is_int(inference_pool_open(&pool, &pool_settings, &why), 0, "one for each processor");
    ok(inference_pool_stats(pool).workers >= 1, "is %d here", inference_pool_stats(pool).workers);
    inference_pool_close(&pool);
    detector_close(&detector);
}

/* ---- many cameras at once, with random times ---- */

#define CAMERAS  6
#define PICTURES 300

struct producer {
    struct inference_pool *pool;
    unsigned               slot;
    bool                   wait;
    int                    dropped;
};

static void *produce(void *arg)
{
    struct producer *producer = arg;

    for (uint64_t i = 0; i < PICTURES; i++) {
        struct frame *frame = picture(producer->slot, i, 2);

        producer->dropped += producer->wait ? inference_pool_submit_or_wait(producer->pool, frame)
                                            : inference_pool_submit(producer->pool, frame);
        if (!producer->wait && i % 7 == 0)
            sched_yield();
    }
    return NULL;
}

static void check_many(int workers, int batch, int waiting, bool wait)
{
    struct inference_pool *pool = open_pool(workers, waiting, batch, batch > 1 ? NS_PER_MS : 0);
    struct producer        producers[CAMERAS];
    pthread_t              threads[CAMERAS];
    int64_t                last[CAMERAS];
    int                    disorder = 0, lost = 0, taken = 0, joined = 0, dropped = 0;
    struct inference_pool_stats stats;

    diag("%d cameras, %d workers, batches of %d, %s", CAMERAS, workers, batch,
         wait ? "waiting" : "dropping");
    random_spins = 200;
    for (unsigned i = 0; i < CAMERAS; i++) {
        last[i]      = -1;
        producers[i] = (struct producer){.pool = pool, .slot = i, .wait = wait};
        pthread_create(&threads[i], NULL, produce, &producers[i]);
    }
    for (;;) {
        struct inference_result *result = NULL;

        if (wait || joined == CAMERAS) {
            if (taken == CAMERAS * PICTURES - dropped || (result = take(pool)) == NULL)
                break;
        } else if ((result = inference_pool_take(pool)) == NULL) {
            /* Dropping producers never wait, so they may be joined while results pile up. */
            pthread_join(threads[joined], NULL);
            dropped += producers[joined++].dropped;
            continue;
        }
        taken++;
        disorder += (int64_t)result->frame->number <= last[result->frame->slot];
        lost += wait && (int64_t)result->frame->number != last[result->frame->slot] + 1;
        last[result->frame->slot] = (int64_t)result->frame->number;
        disorder += result->submitted_ns > result->started_ns ||
                    result->started_ns > result->finished_ns;
        inference_result_free(&result);
    }
    for (; joined < CAMERAS; joined++) {
        pthread_join(threads[joined], NULL);
        dropped += producers[joined].dropped;
    }
    stats = inference_pool_stats(pool);
    is_int(disorder, 0, "each camera's results in its order");
    is_int(lost, 0, "none skipped where the cameras wait");
    is_int(taken, CAMERAS * PICTURES - dropped, "%d taken, %d dropped, none lost", taken, dropped);
    if (wait)
        is_int(dropped, 0, "nothing dropped");
    ok(stats.dropped == (uint64_t)dropped && stats.submitted == CAMERAS * PICTURES &&
           stats.finished == (uint64_t)taken,
       "and the statistics say the same");
    for (int i = 0; i < CAMERAS && !wait; i++)
        ok(last[i] == PICTURES - 1, "  the newest picture of camera %d was seen", i);
    ok(running_most <= workers * batch && batch_most <= batch, "at most %d run at once: %d",
       workers * batch, running_most);
    random_spins = 0;
    close_pool(&pool);
}

/* With one worker and every slot always full, the starts go round and round. */
static void check_fair_share(void)
{
    struct inference_pool *pool = open_pool(1, 4, 1, 0);
    pthread_t              threads[CAMERAS];
    struct producer        producers[CAMERAS];
    int                    counts[CAMERAS] = {0}, least = PICTURES, most = 0;

    diag("equal shares");
    hold(1, true);
    inference_pool_submit(pool, picture(100, 0, 1));
    ok(wait_started(1, 1), "the worker is held until all wait");
    for (unsigned i = 0; i < CAMERAS; i++) {
        producers[i] = (struct producer){.pool = pool, .slot = i, .wait = true};
        pthread_create(&threads[i], NULL, produce, &producers[i]);
    }
    while (inference_pool_stats(pool).waiting < CAMERAS * 4)
        sched_yield();
    hold(1, false);
    expect(pool, 100, 0);
    /* The first four rounds are fixed by what waited. */
    for (int i = 0; i < CAMERAS * 4; i++) {
        struct inference_result *result = take(pool);

        if (result != NULL)
            counts[result->frame->slot]++;
        inference_result_free(&result);
        if (i % CAMERAS == CAMERAS - 1) {
            for (int k = 0; k < CAMERAS; k++) {
                least = counts[k] - i / CAMERAS < least ? counts[k] - i / CAMERAS : least;
                most  = counts[k] - i / CAMERAS > most ? counts[k] - i / CAMERAS : most;
            }
        }
    }
    ok(least == 1 && most == 1, "each round serves each camera once");
    for (int i = CAMERAS * 4; i < CAMERAS * PICTURES; i++) {
        struct inference_result *result = take(pool);

        inference_result_free(&result);
    }
    for (int i = 0; i < CAMERAS; i++)
        pthread_join(threads[i], NULL);
    close_pool(&pool);
}

static void check_latency(void)
{
    struct latency latency = {0};

    latency_add(&latency, -5);
    latency_add(&latency, 50 * NS_PER_US);
    latency_add(&latency, 50 * NS_PER_US + 1);
    latency_add(&latency, INT64_C(3600) * NS_PER_S);
    is_int(latency.bucket[0], 2, "a bound belongs to its bucket");
    is_int(latency.bucket[1], 1, "what is above it to the next");
    is_int(latency.bucket[LATENCY_BOUNDS], 1, "an hour to the last");
    is_int(latency.count, 4, "four in all");
    is_text(inference_stage_name(INFERENCE_NETWORK), "network", "stages have names");
}

int main(void)
{
    check_latency();
    check_newest();
    check_fair_order();
    check_order();
    check_one_slot_bounded();
    check_batches();
    check_clear();
    check_back_pressure();
    check_close();
    check_refused();
    check_fair_share();
    check_many(4, 1, 2, true);
    check_many(4, 1, 1, false);
    check_many(2, 4, 3, true);
    check_many(3, 4, 1, false);
    return done_testing();
}
