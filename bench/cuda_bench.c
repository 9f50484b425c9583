/* The CUDA backend on a card: whole runs of a model, pictures in host memory to outputs in host
 * memory, at batches of 1, 8, 32 and 64; medians of rounds that take turns.
 * links: gpu
 *
 *   cuda_bench MODEL.onnx... prints TSV: model, backend, precision, batch, ms, images_per_s, gflops.
 * Says so and succeeds where there is no card. It has not been seen on one yet. */
#include <stdio.h>
#include <stdlib.h>

#include "config/clock.h"
#include "gpu/backend.h"

#define ROUNDS 15
#define RUNS   10 /* of one round */

static const int BATCHES[] = {1, 8, 32, 64};
#define BATCH_COUNT 4

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static int bench(const struct backend_ops *cuda, const char *path)
{
    static double            ms[BATCH_COUNT][ROUNDS];
    struct runner_settings   settings = {.precision = PRECISION_F16};
    struct why               why      = {""};
    struct model            *model;
    const struct model_info *info;
    struct runner           *runner = NULL;
    size_t                   count  = 1;
    float                   *input  = NULL;
    int                      rc     = model_load(&model, path, &why);

    if (rc != 0)
        goto done;
    info = model_info(model);
    for (int i = 0; i < info->input.dimension_count; i++)
        count *= (size_t)info->input.dimension[i];
    input = calloc(count * 64, sizeof *input);
    if (input == NULL || (rc = cuda->open(&runner, model, &settings, &why)) != 0)
        goto done;
    for (int round = 0; rc == 0 && round < ROUNDS; round++)
        for (int b = 0; rc == 0 && b < BATCH_COUNT; b++) {
            int64_t started_ns = clock_monotonic_ns();

            for (int i = 0; rc == 0 && i < RUNS; i++)
                rc = cuda->run(runner, input, BATCHES[b], &why);
            ms[b][round] = (double)(clock_monotonic_ns() - started_ns) / 1e6 / RUNS;
        }
    for (int b = 0; rc == 0 && b < BATCH_COUNT; b++) {
        double median, per_s;

        qsort(ms[b], ROUNDS, sizeof ms[b][0], compare);
        median = ms[b][ROUNDS / 2];
        per_s  = BATCHES[b] * 1000.0 / median;
        printf("%s\tcuda\tf16\t%d\t%.3f\t%.0f\t%.0f\n", path, BATCHES[b], median, per_s,
               per_s * 2.0 * (double)info->multiply_adds / 1e9);
    }

done:
    if (rc != 0)
        fprintf(stderr, "%s\n", why.text);
    if (runner != NULL)
        cuda->close(&runner);
    if (model != NULL)
        model_close(&model);
    free(input);
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
        rc = bench(cuda, argv[i]);
    return rc == 0 ? 0 : 1;
}
