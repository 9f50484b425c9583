/* What one picture costs in the network and its head, against ONNX Runtime in the same run.
 * links: gpu
 *
 * inference_bench ONNXRUNTIME.so NAME=MODEL.onnx... : one line of JSON for each measurement; what
 * inference.bench makes a table of. Both sides read the same noise; their outputs are compared before
 * anything is measured. Rounds alternate between all sides; a figure is the median of the rounds, a
 * ratio the median of the ratios within a round. Times on one core are the thread's own processor time,
 * so that they do not count what others take of a machine that is not idle. ONNX Runtime's time is that of the network alone,
 * ours has the head's decoding in it. SIGHTLINE_CPU_ISA holds for our side only. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "bench/onnxruntime.h"
#include "bench/peak.h"
#include "bench/two_cores.h"
#include "config/clock.h"
#include "gpu/backend.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/graph.h"
#include "gpu/head.h"

#define ROUNDS         21
#define ROUND_NS       INT64_C(40000000) /* of one side */
#define ITERATIONS_MAX 400
#define SIDES_MAX      8
#define F32_ERROR_MAX  1e-3
#define SCALING_ROUNDS 3

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

static double quantile(const double *values, int count, double share)
{
    double sorted[ITERATIONS_MAX];

    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    return sorted[(int)(share * (count - 1) + 0.5)];
}

static double median(const double *values, int count)
{
    return quantile(values, count, 0.5);
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

/* Of this thread alone, which does all the work of either side: other processes' turns do not count. */
static int64_t spent_ns(void)
{
    struct timespec spent;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (int64_t)spent.tv_sec * 1000000000 + spent.tv_nsec;
}

static double run_once_ms(struct work *work, struct side *side)
{
    int64_t    start = spent_ns();
    struct why why;

    if (side->session != NULL) {
        ort_session_run(side->session);
    } else {
        if (side->runner->ops->run(side->runner, work->input, 1, &why) != 0)
            stop(work->name, &why);
        decode(work, &work->candidates, side->runner);
    }
    return (double)(spent_ns() - start) / 1e6;
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

/* The ratios of all rounds: their median counts, and half of them lie from `low` to `high`. */
static void print_row(const struct work *work, const char *backend, const char *precision,
                      double ms, const double *ratios, double error)
{
    const char *isa   = getenv(BACKEND_CPU_ISA_VARIABLE);
    double      flops = 2.0 * (double)work->info->multiply_adds / ms / 1e6;
    double      peak  = peak_for(backend, precision);

    printf("{\"model\":\"%s\",\"backend\":\"%s\",\"precision\":\"%s\",\"threads\":1,", work->name,
           backend, precision);
    printf("\"isa\":\"%s\",\"condition\":\"alone\",",
           strcmp(backend, "cpu") == 0 && isa != NULL ? isa : "best");
    printf("\"ms\":%.3f,\"images_per_s\":%.1f,\"gflops\":%.1f,", ms, 1e3 / ms, flops);
    printf(
        "\"peak_share\":%.3f,\"ratio_to_onnxruntime\":%.2f,\"ratio_low\":%.2f,\"ratio_high\":%.2f,"
        "\"max_error\":%.2g}\n",
        peak > 0.0 ? flops / peak : 0.0, quantile(ratios, ROUNDS, 0.5),
        quantile(ratios, ROUNDS, 0.25), quantile(ratios, ROUNDS, 0.75), error);
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
        print_row(work, i == 0 ? "onnxruntime" : "cpu", sides[i].precision, ms, ratios,
                  sides[i].error);
    }
}

/* ---- two workers ---- */

/* Pictures a second of ONNX Runtime with its own threads, wherever the system puts them. */
static double peer_rate(struct ort_session *session)
{
    int64_t start = clock_monotonic_ns(), now = start, pictures = 0;

    for (; now - start < TWO_CORES_NS; now = clock_monotonic_ns(), pictures++)
        ort_session_run(session);
    return (double)pictures * 1e9 / (double)(now - start);
}

/* What the shares of one processor's rate are of. */
enum scaled { SCALED_POOL, SCALED_LOOP, SCALED_PEER, SCALED_COUNT };

struct scaling {
    double alone[SCALING_ROUNDS]; /* pictures a second of one worker */
    double share[2][SCALED_COUNT][SCALING_ROUNDS];
};

static void measure_scaling(struct scaling *scaling, const struct detector *detector,
                            struct ort_session *peer, const int cores[2], int round)
{
    double one  = pool_rate(detector, cores, 1);
    double loop = loop_rate(cores, 1);

    scaling->alone[round] = one;
    for (int busy = 0; busy < 2; busy++) {
        pid_t  busy_process = busy ? start_busy_process(cores[1]) : 0;
        double rate[SCALED_COUNT];
        if (busy_process < 0)
            exit(1);
        rate[SCALED_POOL] = pool_rate(detector, cores, 2);
        rate[SCALED_LOOP] = loop_rate(cores, 2);
        rate[SCALED_PEER] = peer_rate(peer);
        if (busy)
            stop_busy_process(busy_process);
        for (int i = 0; i < SCALED_COUNT; i++)
            scaling->share[busy][i][round] = i == SCALED_LOOP ? rate[i] / loop : rate[i] / one;
    }
}

/* A line of JSON, and one to read: of the pool with two workers, and beside a busy process. */
static void print_scaling(const struct work *work, const struct scaling *scaling)
{
    static const char *const CONDITIONS[] = {"alone", "busy process"};
    double                   alone        = median(scaling->alone, SCALING_ROUNDS);

    for (int busy = 0; busy < 2; busy++) {
        double share[SCALED_COUNT], of_loop[SCALING_ROUNDS], of_peer[SCALING_ROUNDS], rate, flops;
        for (int i = 0; i < SCALED_COUNT; i++)
            share[i] = median(scaling->share[busy][i], SCALING_ROUNDS);
        for (int round = 0; round < SCALING_ROUNDS; round++) {
            const double pool = scaling->share[busy][SCALED_POOL][round];
            of_loop[round]    = pool / scaling->share[busy][SCALED_LOOP][round];
            of_peer[round]    = pool / scaling->share[busy][SCALED_PEER][round];
        }
        rate  = share[SCALED_POOL] * alone;
        flops = 2.0 * (double)work->info->multiply_adds * rate / 1e9;
        printf("{\"model\":\"%s\",\"backend\":\"cpu pool\",\"precision\":\"f32\",\"threads\":2,"
               "\"isa\":\"best\",\"condition\":\"%s\",\"ms\":%.3f,\"images_per_s\":%.1f,"
               "\"gflops\":%.1f,\"peak_share\":%.3f,"
               "\"ratio_to_onnxruntime\":%.2f,\"of_one_worker\":%.3f,\"loop_of_one_thread\":%.3f,"
               "\"of_loop\":%.3f}\n",
               work->name, CONDITIONS[busy], 1e3 / rate, rate, flops,
               flops / (2.0 * peak_for("cpu", "f32")), median(of_peer, SCALING_ROUNDS),
               share[SCALED_POOL], share[SCALED_LOOP], median(of_loop, SCALING_ROUNDS));
        fprintf(stderr,
                "%s, two workers, %s: %.2f of one worker's rate; a loop of multiply-adds by two "
                "threads: %.2f of one's\n",
                work->name, CONDITIONS[busy], share[SCALED_POOL], share[SCALED_LOOP]);
    }
    fflush(stdout);
}

/* One worker of the real pool against two; and with another process that wants one of the processors. */
static void measure_two_cores(struct work *work, struct ort_session *two_threads)
{
    struct detector_settings settings = {
        .model_path = work->path, .backend = "cpu", .precision = PRECISION_F32};
    struct detector *detector;
    struct scaling   scaling;
    int              cores[2];
    struct why       why;

    if (!two_cores(cores))
        return;
    if (detector_open(&detector, &settings, &why) != 0)
        stop(work->name, &why);
    for (int round = 0; round < SCALING_ROUNDS; round++)
        measure_scaling(&scaling, detector, two_threads, cores, round);
    print_scaling(work, &scaling);
    detector_close(&detector);
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
