/* `sightline model bench FILE`: the time of the network alone, in one run after the other on as many
 * threads as asked for. What a picture costs beside it (preparation, boxes) is in the server's
 * metrics. */
#include "config/clock.h"
#include "config/err.h"
#include "config/plural.h"
#include "server/model_tools.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define WARM_RUNS   3
#define RUNS_MAX    100000 /* of one thread that are kept */
#define ALIGN_BYTES 64

struct bench {
    const struct model       *model;
    const struct backend_ops *backend;
    int                       batch;
    atomic_int                failed;
    pthread_barrier_t         start; /* all threads have warmed up */
    double                    seconds;
};

struct bench_thread {
    struct bench  *bench;
    pthread_t      thread;
    struct runner *runner;
    float         *input;
    float         *ms; /* of each run */
    int            runs;
    int64_t        first_ns, last_ns;
    struct why     why;
};

static int run_once(struct bench_thread *thread)
{
    return thread->bench->backend->run(thread->runner, thread->input, thread->bench->batch,
                                       &thread->why);
}

static void *bench_thread_main(void *arg)
{
    struct bench_thread *thread = arg;
    struct bench        *bench  = thread->bench;
    int64_t              until_ns;

    for (int i = 0; i < WARM_RUNS; i++)
        if (run_once(thread) != 0)
            atomic_store(&bench->failed, 1);
    pthread_barrier_wait(&bench->start);
    thread->first_ns = clock_monotonic_ns();
    until_ns         = thread->first_ns + (int64_t)(bench->seconds * (double)NS_PER_S);
    while (atomic_load(&bench->failed) == 0 && thread->runs < RUNS_MAX) {
        int64_t start_ns = clock_monotonic_ns();

        if (run_once(thread) != 0)
            atomic_store(&bench->failed, 1);
        thread->last_ns            = clock_monotonic_ns();
        thread->ms[thread->runs++] = (float)(thread->last_ns - start_ns) / 1e6F;
        if (thread->last_ns >= until_ns)
            break;
    }
    return NULL;
}

static int open_thread(struct bench_thread *thread, struct bench *bench,
                       const struct model_arguments *options)
{
    const struct model_info *info     = model_info(bench->model);
    struct runner_settings   settings = {.precision = options->detector.precision};
    size_t                   floats   = (size_t)bench->batch;
    uint32_t                 state    = 1;

    for (int i = 0; i < info->input.dimension_count; i++)
        floats *= (size_t)info->input.dimension[i];
    thread->bench = bench;
    thread->ms    = calloc(RUNS_MAX, sizeof *thread->ms);
    thread->input = aligned_alloc(ALIGN_BYTES, (floats * sizeof(float) + ALIGN_BYTES - 1) /
                                                   ALIGN_BYTES * ALIGN_BYTES);
    if (thread->ms == NULL || thread->input == NULL)
        return why_set(&thread->why, ERR_MEMORY, "out of memory");
    /* Noise in 0..1: zeros would be a kinder picture than any camera's. */
    for (size_t i = 0; i < floats; i++) {
        state            = state * 1664525U + 1013904223U;
        thread->input[i] = (float)(state >> 8) / 16777216.0F;
    }
    return bench->backend->open(&thread->runner, bench->model, &settings, &thread->why);
}

static void close_thread(struct bench_thread *thread)
{
    if (thread->runner != NULL)
        thread->bench->backend->close(&thread->runner);
    free(thread->input);
    free(thread->ms);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* All threads' runs in one row, sorted; NULL without memory. */
static float *all_runs(const struct bench_thread *threads, int count, int *runs)
{
    float *all;

    *runs = 0;
    for (int i = 0; i < count; i++)
        *runs += threads[i].runs;
    all = calloc((size_t)*runs + 1, sizeof *all);
    for (int i = 0, used = 0; all != NULL && i < count; i++)
        for (int k = 0; k < threads[i].runs; k++)
            all[used++] = threads[i].ms[k];
    if (all != NULL)
        qsort(all, (size_t)*runs, sizeof *all, by_size);
    return all;
}

static int print_result(const struct bench *bench, const struct bench_thread *threads,
                        const struct model_arguments *options)
{
    int                runs;
    float             *all       = all_runs(threads, options->threads, &runs);
    double             rate      = 0;
    const char        *precision = precision_name(runner_precision(threads[0].runner));
    double             gflop     = 2e-9 * (double)model_info(bench->model)->multiply_adds;
    double             part[3];
    static const int   PERCENT[3] = {50, 5, 95};
    struct json_writer json;

    if (all == NULL || runs == 0) {
        free(all);
        return model_fail(&(struct why){.text = "no run came to its end"});
    }
    for (int i = 0; i < 3; i++)
        part[i] = (double)all[(size_t)(runs - 1) * (size_t)PERCENT[i] / 100];
    for (int i = 0; i < options->threads; i++)
        rate += (double)threads[i].runs * bench->batch * 1e9 /
                (double)(threads[i].last_ns - threads[i].first_ns);
    free(all);
    if (!options->json) {
        printf("%s on %s %s, batch %d, %d thread%s, %d run%s\n"
               "  %.3f ms for a run (5 %%: %.3f, 95 %%: %.3f)\n"
               "  %.1f pictures a second, %.1f GFLOP/s\n",
               options->detector.model_path, bench->backend->name, precision, bench->batch,
               options->threads, plural((uint64_t)options->threads), runs, plural((uint64_t)runs),
               part[0], part[1], part[2], rate, rate * gflop);
        return 0;
    }
    json_init(&json, MODEL_JSON_MAX_BYTES);
    json_begin_object(&json);
    json_key(&json, "model");
    json_put_string(&json, options->detector.model_path);
    json_key(&json, "backend");
    json_put_string(&json, bench->backend->name);
    json_key(&json, "precision");
    json_put_string(&json, precision);
    json_key(&json, "batch");
    json_put_int(&json, bench->batch);
    json_key(&json, "threads");
    json_put_int(&json, options->threads);
    json_key(&json, "runs");
    json_put_int(&json, runs);
    json_key(&json, "ms");
    json_put_fixed(&json, part[0], 4);
    json_key(&json, "ms_p5");
    json_put_fixed(&json, part[1], 4);
    json_key(&json, "ms_p95");
    json_put_fixed(&json, part[2], 4);
    json_key(&json, "images_per_s");
    json_put_fixed(&json, rate, 2);
    json_key(&json, "gflops");
    json_put_fixed(&json, rate * gflop, 2);
    json_end_object(&json);
    return model_print_json(&json);
}

static int run_threads(struct bench *bench, struct bench_thread *threads,
                       const struct model_arguments *options, struct why *why)
{
    int rc = 0, started = 0;

    for (int i = 0; i < options->threads && rc == 0; i++) {
        rc = open_thread(&threads[i], bench, options);
        if (rc != 0)
            *why = threads[i].why;
    }
    if (rc != 0)
        return rc;
    pthread_barrier_init(&bench->start, NULL, (unsigned)options->threads);
    for (; started < options->threads; started++)
        if (pthread_create(&threads[started].thread, NULL, bench_thread_main, &threads[started]) !=
            0) {
            fputs("sightline model: too few threads\n", stderr);
            exit(1); /* those that wait at the barrier wait for ever */
        }
    for (int i = 0; i < started; i++)
        pthread_join(threads[i].thread, NULL);
    pthread_barrier_destroy(&bench->start);
    for (int i = 0; i < started && atomic_load(&bench->failed) != 0; i++)
        if (threads[i].why.text[0] != '\0')
            *why = threads[i].why;
    return atomic_load(&bench->failed) != 0 ? ERR_IO : 0;
}

int model_bench(const struct model_arguments *options)
{
    struct bench         bench   = {.seconds = options->seconds};
    struct bench_thread *threads = calloc((size_t)options->threads, sizeof *threads);
    struct model        *model   = NULL;
    struct why           why     = {"out of memory"};
    int                  rc = threads != NULL ? 0 : ERR_MEMORY, code = 1;

    if (rc == 0)
        rc = model_load(&model, options->detector.model_path, &why);
    bench.model = model;
    if (rc == 0 && (bench.backend = backend_find(options->detector.backend, &why)) == NULL)
        rc = ERR_UNSUPPORTED;
    if (rc == 0) {
        int best    = bench.backend->best_batch(model);
        bench.batch = options->batch > 0 ? options->batch : best;
        if (bench.batch > best)
            rc = why_set(&why, ERR_LIMIT,
                         "the backend %s takes at most %d picture%s in one run: --threads N makes "
                         "N runs at the same time",
                         bench.backend->name, best, plural((uint64_t)best));
    }
    if (rc == 0)
        rc = run_threads(&bench, threads, options, &why);
    code = rc == 0 ? print_result(&bench, threads, options) : model_fail(&why);
    for (int i = 0; threads != NULL && i < options->threads; i++)
        if (threads[i].bench != NULL)
            close_thread(&threads[i]);
    free(threads);
    model_close(&model);
    return code;
}
