/* What one picture costs in the network and its head, against ONNX Runtime in the same run.
 * links: gpu
 *
 * inference_bench ONNXRUNTIME.so NAME=MODEL.onnx... : one line of JSON for each measurement; what
 * inference.bench makes a table of. Both sides read the same noise; their outputs are compared before
 * anything is measured. Rounds alternate between all sides; a figure is the median of the rounds, a
 * ratio the median of the ratios within a round. ONNX Runtime's time is that of the network alone,
 * ours has the head's decoding in it. SIGHTLINE_CPU_ISA holds for our side only. */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/onnxruntime.h"
#include "bench/peak.h"
#include "config/clock.h"
#include "gpu/backend.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/graph.h"
#include "gpu/head.h"

#define ROUNDS         9
#define ROUND_NS       INT64_C(40000000) /* of one side */
#define ITERATIONS_MAX 400
#define SIDES_MAX      8
#define F32_ERROR_MAX  1e-3
#define SCALING_NS     INT64_C(1500000000)
#define WORKERS_MAX    2

/* One of those that run by turns. */
struct side {
    const char         *precision; /* of ours */
    struct runner      *runner;    /* NULL: ONNX Runtime */
    struct ort_session *session;
    int                 iterations; /* in a round */
    double              ms[ROUNDS];
    double              error; /* the largest, against ONNX Runtime */
};

struct work {
    const char              *name, *path;
    struct model            *model;
    const struct model_info *info;
    float                   *input;
    bool                     has_head;
    struct head              head;
    struct class_map         classes;
    struct candidates        candidates;
};

static struct peaks peaks;
static struct ort   ort;

static void stop(const char *what, const struct why *why)
{
    fprintf(stderr, "inference_bench: %s: %s\n", what, why->text);
    exit(1);
}

static int64_t tensor_floats(const struct model_tensor *tensor)
{
    int64_t count = 1;

    for (int i = 0; i < tensor->dimension_count; i++)
        count *= tensor->dimension[i];
    return count;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *values, int count)
{
    double sorted[ITERATIONS_MAX];

    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    return sorted[count / 2];
}

static int open_head(struct work *work, struct why *why)
{
    static struct class_names names;
    struct class_map_settings settings = {.count = 0};
    int                       rc       = class_names_read(&names, work->info, NULL, why);

    if (rc == 0)
        rc = head_open(&work->head, NULL, work->info, names.count, why);
    settings.count      = work->head.class_count;
    settings.background = work->head.background;
    return rc == 0 ? class_map_open(&work->classes, &names, &settings, work->info, why) : rc;
}

static void work_open(struct work *work, const char *argument)
{
    const char *equals = strchr(argument, '=');
    struct why  why;
    int64_t     floats;
    uint32_t    state = 1;

    if (equals == NULL) {
        fprintf(stderr, "inference_bench: \"%s\" is not NAME=MODEL.onnx\n", argument);
        exit(2);
    }
    *work = (struct work){.name = strndup(argument, (size_t)(equals - argument)),
                          .path = equals + 1};
    if (model_load(&work->model, work->path, &why) != 0)
        stop(work->path, &why);
    work->info     = model_info(work->model);
    work->has_head = open_head(work, &why) == 0;
    floats         = tensor_floats(&work->info->input);
    work->input    = aligned_alloc(64, ((size_t)floats * sizeof *work->input + 63) / 64 * 64);
    if (work->input == NULL || work->name == NULL)
        exit(1);
    for (int64_t i = 0; i < floats; i++) {
        state          = state * 1664525U + 1013904223U;
        work->input[i] = (float)(state >> 8) / 16777216.0F;
    }
}

static void work_close(struct work *work)
{
    free(work->input);
    free((void *)(uintptr_t)work->name);
    model_close(&work->model);
}

/* The head's part: from the outputs to the candidates that suppression would look at. */
static void decode(struct work *work, struct candidates *candidates, const struct runner *runner)
{
    const float *outputs[MODEL_MAX_OUTPUTS];

    if (!work->has_head)
        return;
    for (int i = 0; i < work->info->output_count; i++)
        outputs[i] = runner->ops->output(runner, i);
    *candidates = (struct candidates){.min_score   = 0.1F,
                                      .x1          = (float)work->info->input.dimension[3],
                                      .y1          = (float)work->info->input.dimension[2],
                                      .side_px_max = 1e6F};
    work->head.ops->decode(&work->head, &work->classes, outputs, candidates);
}

static double run_once_ms(struct work *work, struct side *side)
{
    int64_t    start = clock_monotonic_ns();
    struct why why;

    if (side->session != NULL) {
        ort_session_run(side->session);
    } else {
        if (side->runner->ops->run(side->runner, work->input, 1, &why) != 0)
            stop(work->name, &why);
        decode(work, &work->candidates, side->runner);
    }
    return (double)(clock_monotonic_ns() - start) / 1e6;
}

/* The largest difference from ONNX Runtime's outputs, relative above 1. */
static double error_of(const struct work *work, const struct side *side,
                       const struct ort_session *session)
{
    double worst = 0.0;

    for (int i = 0; i < work->info->output_count; i++) {
        const float *a     = side->runner->ops->output(side->runner, i);
        const float *b     = ort_session_output(session, i);
        int64_t      count = tensor_floats(&work->info->output[i]);
        for (int64_t k = 0; k < count; k++) {
            double error = fabs((double)a[k] - b[k]) / fmax(1.0, fabs((double)b[k]));
            if (!(error <= worst))
                worst = error;
        }
    }
    return worst;
}

static int open_sides(struct work *work, struct ort_session *session, struct side *sides)
{
    static const enum precision precisions[] = {PRECISION_F32, PRECISION_BF16, PRECISION_INT8};
    int                         count        = 0;

    sides[count++] = (struct side){.precision = "f32", .session = session};
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        struct runner_settings settings = {.precision = precisions[i]};
        struct side            side     = {.precision = precision_name(precisions[i])};
        struct why             why;
        if (backend_supports(&BACKEND_CPU, work->model, &settings, &why) != 0)
            continue;
        if (BACKEND_CPU.open(&side.runner, work->model, &settings, &why) != 0)
            stop(work->name, &why);
        sides[count++] = side;
    }
    for (int i = 0; i < count; i++) {
        double ms           = (run_once_ms(work, &sides[i]), run_once_ms(work, &sides[i]));
        sides[i].iterations = (int)((double)ROUND_NS / 1e6 / ms);
        if (sides[i].iterations < 3)
            sides[i].iterations = 3;
        if (sides[i].iterations > ITERATIONS_MAX)
            sides[i].iterations = ITERATIONS_MAX;
        if (i > 0)
            sides[i].error = error_of(work, &sides[i], session);
        if (i > 0 && strcmp(sides[i].precision, "f32") == 0 && !(sides[i].error <= F32_ERROR_MAX)) {
            fprintf(stderr, "inference_bench: %s: differs from ONNX Runtime by %g\n", work->name,
                    sides[i].error);
            exit(1);
        }
    }
    return count;
}

/* What one core could do in this precision with what the side uses. */
static double peak_for(const char *backend, const char *precision)
{
    const char *isa  = getenv(BACKEND_CPU_ISA_VARIABLE);
    bool        avx2 = isa != NULL && strcmp(isa, "avx512") != 0 && strcmp(backend, "cpu") == 0;

    if (strcmp(precision, "int8") == 0 && !avx2)
        return peaks.int8_vnni;
    return avx2 || peaks.f32_avx512 <= 0.0 ? peaks.f32_avx2 : peaks.f32_avx512;
}

static void print_row(const struct work *work, const char *backend, const char *precision,
                      int threads, const char *condition, double ms, double per_s, double ratio,
                      double error)
{
    const char *isa   = getenv(BACKEND_CPU_ISA_VARIABLE);
    double      flops = 2.0 * (double)work->info->multiply_adds * per_s / 1e9;
    double      peak  = peak_for(backend, precision) * threads;

    printf("{\"model\":\"%s\",\"backend\":\"%s\",\"precision\":\"%s\",\"threads\":%d,", work->name,
           backend, precision, threads);
    printf("\"isa\":\"%s\",\"condition\":\"%s\",",
           strcmp(backend, "cpu") == 0 && isa != NULL ? isa : "best", condition);
    printf("\"ms\":%.3f,\"images_per_s\":%.1f,\"gflops\":%.1f,", ms, per_s, flops);
    printf("\"peak_share\":%.3f,\"ratio_to_onnxruntime\":%.2f,\"max_error\":%.2g}\n",
           peak > 0.0 ? flops / peak : 0.0, ratio, error);
    fflush(stdout);
}

static void measure_one_core(struct work *work, struct side *sides, int count)
{
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < count; i++) {
            struct side *side = &sides[(i + round) % count];
            double       ms[ITERATIONS_MAX];
            for (int k = 0; k < side->iterations; k++)
                ms[k] = run_once_ms(work, side);
            side->ms[round] = median(ms, side->iterations);
        }
    for (int i = 0; i < count; i++) {
        double ratios[ROUNDS], ms = median(sides[i].ms, ROUNDS);
        for (int round = 0; round < ROUNDS; round++)
            ratios[round] = sides[0].ms[round] / sides[i].ms[round];
        print_row(work, i == 0 ? "onnxruntime" : "cpu", sides[i].precision, 1, "alone", ms,
                  1e3 / ms, median(ratios, ROUNDS), sides[i].error);
    }
}

/* ---- two workers ---- */

struct worker {
    struct work       *work;
    struct side       *side;
    struct candidates *candidates;
    atomic_bool       *stop;
    int                core; /* -1: wherever the system puts it */
    int64_t            pictures;
};

static void stay_on(int core)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void *work_on(void *argument)
{
    struct worker *worker = argument;
    struct why     why;

    if (worker->core >= 0)
        stay_on(worker->core);
    while (!atomic_load(worker->stop)) {
        if (worker->side->session != NULL) {
            ort_session_run(worker->side->session);
        } else {
            if (BACKEND_CPU.run(worker->side->runner, worker->work->input, 1, &why) != 0)
                stop(worker->work->name, &why);
            decode(worker->work, worker->candidates, worker->side->runner);
        }
        worker->pictures++;
    }
    return NULL;
}

/* Pictures a second of `count` workers. */
static double rate_of(struct work *work, struct side *sides, int count, const int *cores)
{
    static struct candidates candidates[WORKERS_MAX];
    struct worker            workers[WORKERS_MAX];
    pthread_t                threads[WORKERS_MAX];
    atomic_bool              enough = false;
    int64_t                  start = clock_monotonic_ns(), pictures = 0;
    struct timespec          pause = {SCALING_NS / 1000000000, SCALING_NS % 1000000000};

    for (int i = 0; i < count; i++) {
        workers[i] = (struct worker){
            work, &sides[i], &candidates[i], &enough, cores != NULL ? cores[i] : -1, 0};
        if (pthread_create(&threads[i], NULL, work_on, &workers[i]) != 0)
            exit(1);
    }
    nanosleep(&pause, NULL);
    atomic_store(&enough, true);
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        pictures += workers[i].pictures;
    }
    return (double)pictures * 1e9 / (double)(clock_monotonic_ns() - start);
}

static pid_t start_busy_process(int core)
{
    pid_t child = fork();

    if (child == 0) {
        stay_on(core);
        for (volatile uint64_t i = 0;; i++) {
        }
    }
    return child;
}

/* The first two cores that this process may use; false when there is only one. */
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

static void print_rate(const struct work *work, const char *backend, const char *condition,
                       double rate, double alone)
{
    fprintf(stderr, "%-12s %-12s two cores, %-20s %7.1f pictures/s, x%.2f of one core\n",
            work->name, backend, condition, rate, rate / alone);
}

/* One worker against two; and with another process that wants one of the cores. */
static void measure_two_cores(struct work *work, struct ort_session *two_threads)
{
    struct runner_settings settings = {.precision = PRECISION_F32};
    struct side            ours[2]  = {{.precision = "f32"}, {.precision = "f32"}};
    struct side            theirs   = {.session = two_threads};
    int                    cores[2];
    double                 one[3], two[3], busy[3], peer[3], peer_busy[3];
    struct why             why;

    if (!two_cores(cores))
        return;
    for (int i = 0; i < 2; i++)
        if (BACKEND_CPU.open(&ours[i].runner, work->model, &settings, &why) != 0)
            stop(work->name, &why);
    for (int round = 0; round < 3; round++) {
        pid_t busy_process;
        one[round]   = rate_of(work, ours, 1, cores);
        two[round]   = rate_of(work, ours, 2, cores);
        peer[round]  = rate_of(work, &theirs, 1, NULL);
        busy_process = start_busy_process(cores[1]);
        if (busy_process < 0)
            exit(1);
        busy[round]      = rate_of(work, ours, 2, NULL);
        peer_busy[round] = rate_of(work, &theirs, 1, NULL);
        kill(busy_process, SIGKILL);
        waitpid(busy_process, NULL, 0);
    }
    for (int round = 0; round < 3; round++) { /* as shares of one core, within a round */
        two[round] /= one[round];
        busy[round] /= one[round];
        peer[round] /= one[round];
        peer_busy[round] /= one[round];
    }
    double alone   = median(one, 3),
           rates[] = {median(two, 3) * alone, median(busy, 3) * alone, median(peer, 3) * alone,
                      median(peer_busy, 3) * alone};
    static const char *const conditions[] = {"alone", "busy process"};
    for (int i = 0; i < 4; i++) {
        const char *backend = i < 2 ? "cpu" : "onnxruntime";
        print_rate(work, backend, conditions[i % 2], rates[i], alone);
        print_row(work, backend, "f32", 2, conditions[i % 2], 1e3 / rates[i], rates[i],
                  i < 2 ? rates[i] / rates[2 + i % 2] : 1.0, 0.0);
    }
    for (int i = 0; i < 2; i++)
        BACKEND_CPU.close(&ours[i].runner);
}

static void measure(const char *argument, bool two)
{
    struct work        work;
    struct ort_session session, two_threads;
    struct side        sides[SIDES_MAX];
    int                count;

    work_open(&work, argument);
    ort_session_open(&session, &ort, work.info, work.path, work.input, 1);
    count = open_sides(&work, &session, sides);
    measure_one_core(&work, sides, count);
    for (int i = 1; i < count; i++)
        BACKEND_CPU.close(&sides[i].runner);
    if (two) {
        ort_session_open(&two_threads, &ort, work.info, work.path, work.input, 2);
        ort_session_run(&two_threads);
        measure_two_cores(&work, &two_threads);
    }
    work_close(&work);
}

int main(int count, char **arguments)
{
    const char *isa = getenv(BACKEND_CPU_ISA_VARIABLE);
    bool        two = false;
    int         at  = 2;

    if (count > at && strcmp(arguments[at], "--two-cores") == 0) {
        two = true;
        at++;
    }
    if (count <= at) {
        fprintf(stderr, "usage: inference_bench ONNXRUNTIME.so [--two-cores] NAME=MODEL.onnx...\n");
        return 2;
    }
    ort_open(&ort, arguments[1]);
    peaks = peaks_measure();
    fprintf(stderr,
            "one core at most: f32 AVX2 %.0f, AVX-512 %.0f GFLOP/s; int8 VNNI %.0f Gop/s; "
            "ONNX Runtime %s%s%s\n",
            peaks.f32_avx2, peaks.f32_avx512, peaks.int8_vnni, ort.version,
            isa != NULL ? "; ours held to " : "", isa != NULL ? isa : "");
    for (int i = at; i < count; i++)
        measure(arguments[i], two);
    return 0;
}
