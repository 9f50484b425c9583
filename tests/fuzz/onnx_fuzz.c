// links: gpu
// libFuzzer: any bytes as a model; what loads and is small is also planned and run. Half of the
// inputs are changed within the structure of the file (tests/onnx_mutate.h).
//
// seeds/onnx_fuzz: one model of each row of tests/unit/operator_test.c (its --seeds writes them),
// and small networks by bench/make_model.py.
#include "gpu/backend.h"
#include "gpu/graph.h"
#include "gpu/model.h"
#include "tests/onnx_mutate.h"

#define WORK_MAX     2000000 /* multiply-adds and numbers written by one run */
#define ELEMENTS_MAX 1000000

int    LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct onnx_bytes out    = {0};
    uint64_t          random = (uint64_t)seed * 0x9e3779b97f4a7c15U + 1;

    if (seed % 2 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    onnx_mutate(data, size, &random, &out);
    if (out.used == 0 || out.used > max_size) {
        free(out.data);
        return LLVMFuzzerMutate(data, size, max_size);
    }
    memcpy(data, out.data, out.used);
    size = out.used;
    free(out.data);
    return size;
}

static int64_t work_of(const struct model *model)
{
    const struct graph *graph = model_graph(model);
    int64_t             work  = model_info(model)->multiply_adds;

    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].kind != NODE_REMOVED)
            for (int k = -1; k < graph->nodes[i].input_count; k++) {
                int value = k < 0 ? graph->nodes[i].output : graph->nodes[i].input[k];
                work += value >= 0 ? graph->values[value].elements : 0;
            }
    return work;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct runner_settings settings = {.precision = PRECISION_F32};
    struct why                   why;
    struct model                *model;
    struct runner               *runner;
    float                       *input;
    int64_t                      elements = 1;

    if (model_load_bytes(&model, data, size, "fuzz", &why) != 0)
        return 0;
    for (int i = 0; i < model_info(model)->input.dimension_count; i++)
        elements *= model_info(model)->input.dimension[i];
    if (elements <= ELEMENTS_MAX && work_of(model) <= WORK_MAX &&
        (input = calloc((size_t)elements, sizeof *input)) != NULL) {
        for (int64_t i = 0; i < elements; i++)
            input[i] = (float)(i % 7) - 3.0F;
        if (backend_find("cpu", NULL)->open(&runner, model, &settings, &why) == 0) {
            backend_find("cpu", NULL)->run(runner, input, 1, &why);
            backend_find("cpu", NULL)->close(&runner);
        }
        free(input);
    }
    model_close(&model);
    return 0;
}
