/* The CUDA backend on a card, at batches of 1, 8, 32 and 64; medians of rounds that take turns. Two
 * ways: tensors in host memory to outputs in host memory ("cuda"), and, for models whose head is
 * decoded on the device, pictures of 1920x1080 (NV12) in host memory to boxes ("cuda, boxes").
 * links: gpu
 *
 *   cuda_bench MODEL.onnx... prints TSV: model, backend, precision, batch, ms, images_per_s, gflops.
 * Says so and succeeds where there is no card. It has not been seen on one yet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/clock.h"
#include "config/err.h"
#include "gpu/backend.h"
#include "gpu/detector.h"

#define ROUNDS 15
#define RUNS   10 /* of one round */

static const int BATCHES[] = {1, 8, 32, 64};
#define BATCH_COUNT 4
#define BATCH_MAX   64

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

/* What is measured: a run of one batch, 0 or a negative code. */
struct way {
    const char              *name;
    const struct model_info *info;
    int (*run)(struct way *way, int batch, struct why *why);
    const struct backend_ops *cuda;
    struct runner            *runner;
    float                    *input;
    struct detector_session  *session;
    struct frame             *frames[BATCH_MAX];
};

static int run_tensors(struct way *way, int batch, struct why *why)
{
    return way->cuda->run(way->runner, way->input, batch, why);
}

static int run_boxes(struct way *way, int batch, struct why *why)
{
    static struct box      boxes[BATCH_MAX][LIMIT_BOXES];
    int                    counts[BATCH_MAX];
    struct detector_timing timing;

    return detector_session_run(way->session, way->frames, batch, boxes, counts, &timing, why);
}

static int measure(struct way *way, struct why *why)
{
    static double ms[BATCH_COUNT][ROUNDS];
    int           rc = 0;

    for (int b = 0; rc == 0 && b < BATCH_COUNT; b++) /* once unmeasured */
        rc = way->run(way, BATCHES[b], why);
    for (int round = 0; rc == 0 && round < ROUNDS; round++)
        for (int b = 0; rc == 0 && b < BATCH_COUNT; b++) {
            int64_t started_ns = clock_monotonic_ns();

            for (int i = 0; rc == 0 && i < RUNS; i++)
                rc = way->run(way, BATCHES[b], why);
            ms[b][round] = (double)(clock_monotonic_ns() - started_ns) / 1e6 / RUNS;
        }
    for (int b = 0; rc == 0 && b < BATCH_COUNT; b++) {
        double median, per_s;

        qsort(ms[b], ROUNDS, sizeof ms[b][0], compare);
        median = ms[b][ROUNDS / 2];
        per_s  = BATCHES[b] * 1000.0 / median;
        printf("%s\t%s\tf16\t%d\t%.3f\t%.0f\t%.0f\n", way->info->path, way->name, BATCHES[b],
               median, per_s, per_s * 2.0 * (double)way->info->multiply_adds / 1e9);
        fflush(stdout);
    }
    return rc;
}

static int bench_tensors(const struct backend_ops *cuda, const char *path, struct why *why)
{
    struct runner_settings settings = {.precision = PRECISION_F16};
    struct way             way      = {.name = "cuda", .run = run_tensors, .cuda = cuda};
    struct model          *model;
    size_t                 count = 1;
    int                    rc    = model_load(&model, path, why);

    if (rc != 0)
        return rc;
    way.info = model_info(model);
    for (int i = 0; i < way.info->input.dimension_count; i++)
        count *= (size_t)way.info->input.dimension[i];
    way.input = calloc(count * BATCH_MAX, sizeof *way.input);
    if (way.input == NULL)
        rc = why_set(why, ERR_MEMORY, "no memory for pictures");
    else if ((rc = cuda->open(&way.runner, model, &settings, why)) == 0)
        rc = measure(&way, why);
    if (way.runner != NULL)
        cuda->close(&way.runner);
    model_close(&model);
    free(way.input);
    return rc;
}

static int bench_boxes(const char *path, struct why *why)
{
    struct detector_settings settings = {.model_path = path, .backend = "cuda"};
    struct way               way      = {.name = "cuda, boxes", .run = run_boxes};
    struct detector         *detector;
    int                      rc = detector_open(&detector, &settings, why);

    if (rc != 0)
        return rc;
    way.info = detector_model(detector);
    for (int i = 0; rc == 0 && i < BATCH_MAX; i++)
        if ((way.frames[i] = frame_alloc(FRAME_NV12, 1920, 1080)) == NULL)
            rc = why_set(why, ERR_MEMORY, "no memory for pictures");
        else
            for (int k = 0; k < 2; k++)
                memset((uint8_t *)(uintptr_t)way.frames[i]->plane[k], 100 + i,
                       (size_t)way.frames[i]->stride_bytes[k] * (k == 0 ? 1080 : 540));
    if (rc == 0 && (rc = detector_session_open(&way.session, detector, why)) == 0)
        rc = measure(&way, why);
    detector_session_close(&way.session);
    for (int i = 0; i < BATCH_MAX; i++)
        frame_unref(&way.frames[i]);
    detector_close(&detector);
    return rc;
}

int main(int argc, char **argv)
{
    const struct backend_ops *cuda;
    struct why                why = {""};
    int                       rc  = 0;

    setenv("SIGHTLINE_CUDA_BATCH", "64", 0);
    if ((cuda = backend_find("cuda", &why)) == NULL) {
        fprintf(stderr, "skipped: %s\n", why.text);
        return 0;
    }
    printf("model\tbackend\tprecision\tbatch\tms\timages_per_s\tgflops\n");
    for (int i = 1; rc == 0 && i < argc; i++)
        if ((rc = bench_tensors(cuda, argv[i], &why)) == 0)
            rc = bench_boxes(argv[i], &why);
    if (rc != 0)
        fprintf(stderr, "%s\n", why.text);
    return rc == 0 ? 0 : 1;
}
