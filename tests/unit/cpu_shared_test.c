// links: gpu
// Weights that all runners of a model share: there once however many runners there are, the same
// numbers out of each, gone with the last of them; also when threads open and close them at once.
#include "gpu/cpu/cpu_shared.h"

#include "gpu/cpu/kernels.h"
#include "tests/onnx_writer.h"
#include "tests/tap.h"

#include <pthread.h>

#define SIDE    24
#define RUNNERS 6
#define THREADS 4
#define ROUNDS  8

static const int64_t PICTURE[] = {1, 3, SIDE, SIDE};

static void weights(struct onnx_writer *onnx, const char *name, int rank, const int64_t *size)
{
    size_t count   = onnx_elements(rank, size);
    float *numbers = malloc(count * sizeof *numbers);

    if (numbers == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        numbers[i] = (float)((i * 7919 + (size_t)name[0] * 31) % 201) / 1000.0F - 0.1F;
    onnx_floats(onnx, name, rank, size, numbers);
    free(numbers);
}

/* A stem, a convolution for Winograd's transform, one by channel, one of a pixel, one for oneDNN and
 * a product with an addend. */
static struct model *write_model(void)
{
    struct onnx_writer onnx = {.opset = 13};
    struct why         why  = {""};
    struct model      *model;
    size_t             count;

    onnx_input(&onnx, "x", 4, PICTURE);
    onnx_output(&onnx, "y");
    weights(&onnx, "a", 4, (int64_t[]){32, 3, 3, 3});
    weights(&onnx, "b", 1, (int64_t[]){32});
    weights(&onnx, "c", 4, (int64_t[]){32, 32, 3, 3});
    weights(&onnx, "d", 4, (int64_t[]){32, 1, 3, 3});
    weights(&onnx, "e", 4, (int64_t[]){32, 32, 1, 1});
    weights(&onnx, "f", 4, (int64_t[]){32, 32, 5, 5});
    weights(&onnx, "g", 2, (int64_t[]){32, 40});
    weights(&onnx, "h", 1, (int64_t[]){40});
    onnx_node(&onnx, "Conv", "x,a,b", "s", "pads:is=1,1,1,1");
    onnx_node(&onnx, "Conv", "s,c,b", "t", "pads:is=1,1,1,1");
    onnx_node(&onnx, "Conv", "t,d,b", "u", "group:i=32 pads:is=1,1,1,1");
    onnx_node(&onnx, "Conv", "u,e,b", "v", "");
    onnx_node(&onnx, "Conv", "v,f,b", "w", "strides:is=2,2 pads:is=2,2,2,2");
    onnx_node(&onnx, "GlobalAveragePool", "w", "p", "");
    onnx_node(&onnx, "Flatten", "p", "q", "");
    onnx_node(&onnx, "Gemm", "q,g,h", "y", "");
    const uint8_t *bytes = onnx_finish(&onnx, &count);
    if (model_load_bytes(&model, bytes, count, "shared", &why) != 0)
        diag("%s", why.text);
    onnx_free(&onnx);
    return model;
}

static float picture[3 * SIDE * SIDE];

static struct runner *open_runner(const struct model *model, const char *kernels)
{
    struct why     why    = {""};
    struct runner *runner = NULL;

    if (backend_cpu_open_with(&runner, model, kernels, PRECISION_F32, &why) != 0)
        diag("%s", why.text);
    return runner;
}

static bool gives(struct runner *runner, const float *expected)
{
    struct why why;

    return BACKEND_CPU.run(runner, picture, 1, &why) == 0 &&
           memcmp(BACKEND_CPU.output(runner, 0), expected, 40 * sizeof *expected) == 0;
}

static void test_once(const struct model *model, const char *kernels)
{
    struct runner *runner[RUNNERS];
    struct why     why;
    float          expected[40];
    int64_t        one, more;
    int            same = 0;

    runner[0] = open_runner(model, kernels);
    if (runner[0] == NULL || BACKEND_CPU.run(runner[0], picture, 1, &why) != 0) {
        ok(false, "%s: a runner runs", kernels);
        return;
    }
    memcpy(expected, BACKEND_CPU.output(runner[0], 0), sizeof expected);
    one = cpu_shared_total_bytes();
    is_int(backend_cpu_shared_bytes(runner[0]), one, "%s: what one runner shares is all", kernels);
    ok(one > 32 * 32 * 25 * 4, "%s: its %lld bytes hold the weights", kernels, (long long)one);
    for (int i = 1; i < RUNNERS; i++)
        runner[i] = open_runner(model, kernels);
    more = cpu_shared_total_bytes();
    is_int(more, one, "%s: %d runners need no more", kernels, RUNNERS);
    ok(backend_cpu_table_bytes(runner[1]) < 64 << 10, "%s: a runner's own tables take %lld bytes",
       kernels, (long long)backend_cpu_table_bytes(runner[1]));
    for (int i = 1; i < RUNNERS; i++)
        same += gives(runner[i], expected);
    is_int(same, RUNNERS - 1, "%s: each gives the same bytes", kernels);
    BACKEND_CPU.close(&runner[0]);
    is_int(cpu_shared_total_bytes(), one, "%s: they outlive the one that made them", kernels);
    ok(gives(runner[RUNNERS - 1], expected), "%s: and the others run on", kernels);
    for (int i = 1; i < RUNNERS; i++)
        BACKEND_CPU.close(&runner[i]);
    is_int(cpu_shared_total_bytes(), 0, "%s: they go with the last one", kernels);
}

static void test_two_models(const struct model *model)
{
    struct model  *other = write_model();
    struct runner *a = open_runner(model, NULL), *b = open_runner(other, NULL);
    struct runner *c = open_runner(model, "plain");

    ok(a != NULL && b != NULL && c != NULL &&
           cpu_shared_total_bytes() == backend_cpu_shared_bytes(a) + backend_cpu_shared_bytes(b) +
                                           backend_cpu_shared_bytes(c),
       "another model and other kernels share nothing with it");
    BACKEND_CPU.close(&a);
    BACKEND_CPU.close(&b);
    BACKEND_CPU.close(&c);
    model_close(&other);
}

struct worker {
    const struct model *model;
    const float        *expected;
    int                 right;
};

static void *work(void *context)
{
    struct worker *worker = context;

    for (int i = 0; i < ROUNDS; i++) {
        struct runner *runner = open_runner(worker->model, NULL);
        worker->right += runner != NULL && gives(runner, worker->expected);
        BACKEND_CPU.close(&runner);
    }
    return NULL;
}

static void test_threads(const struct model *model)
{
    struct runner *runner = open_runner(model, NULL);
    struct worker  worker[THREADS];
    pthread_t      thread[THREADS];
    struct why     why;
    float          expected[40];
    int            right = 0;

    BACKEND_CPU.run(runner, picture, 1, &why);
    memcpy(expected, BACKEND_CPU.output(runner, 0), sizeof expected);
    BACKEND_CPU.close(&runner);
    for (int i = 0; i < THREADS; i++) {
        worker[i] = (struct worker){.model = model, .expected = expected};
        if (pthread_create(&thread[i], NULL, work, &worker[i]) != 0)
            abort();
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        right += worker[i].right;
    }
    is_int(right, THREADS * ROUNDS, "threads that open and close at once all get them right");
    is_int(cpu_shared_total_bytes(), 0, "and leave nothing");
}

int main(void)
{
    const char   *kernels[] = {"plain", "avx2", "avx512", "neon"};
    struct model *model     = write_model();

    for (int i = 0; i < 3 * SIDE * SIDE; i++)
        picture[i] = (float)(i % 97) / 97.0F;
    if (model == NULL)
        return 1;
    for (int i = 0; i < 4; i++)
        if (kernels_find(kernels[i]) != NULL)
            test_once(model, kernels[i]);
    test_two_models(model);
    test_threads(model);
    model_close(&model);
    return done_testing();
}
