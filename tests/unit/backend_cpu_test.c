// links: gpu
// Every operator on every instruction set against a plain loop, over random shapes.
//
// How to add an operator (say, Mish):
//   1. gpu/onnx_operators.c: a row {"Mish", 1, 1, lower_mish}.
//   2. gpu/onnx_math.c (or the file of its family): lower_mish() checks the node and adds nodes of
//      the kinds in gpu/graph.h; a new activation is also a case in graph_activate() and in
//      v_activate() of gpu/cpu/kernels_vector.h.
//   3. tests/operator_math.h (or its neighbours): a function case_mish(), which writes a model with
//      random sizes and computes what it must give, and its row in CASES here.
#include "gpu/cpu/backend_cpu.h"

#include "gpu/cpu/kernels.h"
#include "tests/operator_conv.h"
#include "tests/operator_math.h"
#include "tests/operator_move.h"

#define TRIALS 24

static const struct {
    const char *name;
    void (*write)(struct trial *trial);
    double tolerance; /* of each number, beside 1 + its size */
} CASES[] = {
    {"Conv with any window", case_conv_dense, 1e-4},
    {"Conv 3x3", case_conv_square, 2e-4},
    {"Conv of few channels", case_conv_stem, 3e-5},
    {"Conv 1x1", case_conv_pointwise, 3e-5},
    {"Conv by channel", case_conv_depthwise, 1e-5},
    {"Conv in groups", case_conv_grouped, 2e-5},
    {"Conv, activation and residual", case_conv_fused, 1e-4},
    {"activations", case_activation, 1e-6},
    {"BatchNormalization", case_batch_normalization, 1e-5},
    {"Add, Sub, Mul, Div", case_arithmetic, 1e-6},
    {"GlobalAveragePool and a gate", case_gate, 1e-5},
    {"ReduceMean", case_mean, 1e-5},
    {"Softmax", case_softmax, 1e-6},
    {"Gemm", case_gemm, 1e-5},
    {"MatMul", case_matmul, 1e-5},
    {"MaxPool, AveragePool", case_pool, 1e-6},
    {"Resize", case_resize, 1e-5},
    {"Pad", case_pad, 0},
    {"Transpose", case_transpose, 0},
    {"Slice and Concat of channels", case_slice_concat, 0},
    {"Slice between lanes", case_slice_lanes, 0},
    {"Slice with steps", case_slice_steps, 0},
    {"Reshape, Transpose, Split: a shuffle", case_shuffle, 0},
    {"Gather", case_gather, 0},
    {"Shape, Cast, Unsqueeze, Floor", case_shape_arithmetic, 0},
    {"Dropout, Squeeze, Identity, Flatten", case_same_numbers, 0},
    {"Focus", case_focus, 3e-5},
};

/* The greatest error of one trial on one instruction set; negative when it did not run at all. */
static double run_trial(struct trial *t, const struct model *model, const char *kernels)
{
    struct why               why = {""};
    struct runner           *runner;
    const struct model_info *info = model_info(model);
    const float             *y;
    double                   worst = 0;
    struct backend_cpu_step  steps[64];
    int                      count;

    if (backend_cpu_open_with(&runner, model, kernels, PRECISION_F32, &why) != 0) {
        diag("%s", why.text);
        return -1;
    }
    count = backend_cpu_profile(runner, t->x.at, steps, 64);
    for (int i = 0; i < count && i < 64; i++)
        if (strncmp(steps[i].implementation, "ref", 3) == 0) {
            diag("%s %s is oneDNN's %s", steps[i].node, steps[i].what, steps[i].implementation);
            worst = INFINITY;
        }
    y = BACKEND_CPU.output(runner, 0);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        double error = fabs((double)y[i] - (double)t->y.at[i]) / (1 + fabs((double)t->y.at[i]));
        worst        = error <= worst ? worst : error; /* also when it is not a number */
    }
    if (info->output[0].dimension_count != t->y.rank ||
        memcmp(info->output[0].dimension, t->y.size, (size_t)t->y.rank * sizeof(int64_t)) != 0)
        worst = INFINITY;
    BACKEND_CPU.close(&runner);
    return worst;
}

static void test_case(size_t row, const char *kernels)
{
    double worst   = 0;
    int    refused = 0;

    for (int i = 0; i < TRIALS; i++) {
        struct trial   t   = {.random = 0x9e3779b97f4a7c15U + (uint64_t)i * 7919 + row * 104729};
        struct why     why = {""};
        struct model  *model;
        size_t         count;
        const uint8_t *bytes;
        double         error;

        t.onnx.opset = 13;
        for (int k = 0; k < 20; k++)
            pick(&t, 0, 1);
        if (CASES[row].write == case_activation || CASES[row].write == case_conv_fused)
            t.onnx.opset = 10; /* Clip's limits as attributes */
        onnx_output(&t.onnx, "y");
        CASES[row].write(&t);
        bytes = onnx_finish(&t.onnx, &count);
        if (model_load_bytes(&model, bytes, count, "trial", &why) != 0) {
            diag("trial %d: %s", i, why.text);
            refused++;
        } else {
            error = run_trial(&t, model, kernels);
            if (!(error >= 0) || error > CASES[row].tolerance)
                diag("trial %d: error %g", i, error);
            if (!(error >= 0))
                refused++;
            else if (error > worst)
                worst = error;
        }
        model_close(&model);
        onnx_free(&t.onnx);
        free(t.x.at);
        free(t.y.at);
    }
    ok(refused == 0 && worst <= CASES[row].tolerance, "%s: %s: %d shapes, worst error %.1e",
       kernels, CASES[row].name, TRIALS, worst);
}

static float *read_floats(const char *name, size_t count)
{
    char   path[700];
    float *data = malloc(count * sizeof *data);
    FILE  *file;

    snprintf(path, sizeof path, "%s/models/%s", material(), name);
    file = fopen(path, "rb");
    if (file == NULL || data == NULL || fread(data, sizeof *data, count, file) != count)
        abort();
    fclose(file);
    return data;
}

/* The whole of YOLOX-nano against the output that another engine gave for the same picture. */
static void test_yolox(const char *kernels)
{
    const size_t   in = 3 * 416 * 416, out = 3549 * 85;
    float         *input    = read_floats("ref_bus_input_1x3x416x416_f32.bin", in);
    float         *expected = read_floats("ref_bus_output_1x3549x85_f32.bin", out);
    float         *first    = malloc(out * sizeof *first);
    char           path[700];
    struct why     why = {""};
    struct model  *model;
    struct runner *runner;
    double         worst = 0;

    snprintf(path, sizeof path, "%s/models/yolox_nano_coco_416.onnx", material());
    if (model_load(&model, path, &why) != 0 || first == NULL ||
        backend_cpu_open_with(&runner, model, kernels, PRECISION_F32, &why) != 0) {
        ok(false, "%s: YOLOX-nano runs: %s", kernels, why.text);
        return;
    }
    BACKEND_CPU.run(runner, input, 1, &why);
    memcpy(first, BACKEND_CPU.output(runner, 0), out * sizeof *first);
    for (size_t i = 0; i < out; i++) {
        double error = fabs((double)first[i] - (double)expected[i]) /
                       (1 + fabs((double)expected[i]));
        worst = error <= worst ? worst : error;
    }
    ok(worst < 1e-3, "%s: YOLOX-nano gives the reference output, worst error %.1e", kernels, worst);
    BACKEND_CPU.run(runner, input, 1, &why);
    ok(memcmp(first, BACKEND_CPU.output(runner, 0), out * sizeof *first) == 0,
       "%s: the same picture gives the same bytes", kernels);
    ok(backend_cpu_arena_bytes(runner) < 8 << 20, "%s: it runs in %.1f MB", kernels,
       (double)backend_cpu_arena_bytes(runner) / 1e6);
    BACKEND_CPU.close(&runner);
    model_close(&model);
    free(input);
    free(expected);
    free(first);
}

/* For tests/integration/engines.t: all outputs of a model for one input, one after the other in a
 * file; their sizes on standard output. */
static int dump(const char *path, const char *input_path, const char *output_path)
{
    struct why     why = {""};
    struct model  *model;
    struct runner *runner;
    FILE          *input = fopen(input_path, "rb"), *output = fopen(output_path, "wb");
    float         *x;
    size_t         count;

    if (input == NULL || output == NULL || model_load(&model, path, &why) != 0 ||
        backend_cpu_open_with(&runner, model, NULL, PRECISION_F32, &why) != 0) {
        diag("%s", why.text);
        return 1;
    }
    const struct model_info *info = model_info(model);
    count = onnx_elements(info->input.dimension_count, info->input.dimension);
    x     = malloc(count * sizeof *x);
    if (x == NULL || fread(x, sizeof *x, count, input) != count)
        return 1;
    BACKEND_CPU.run(runner, x, 1, &why);
    for (int i = 0; i < info->output_count; i++) {
        count = onnx_elements(info->output[i].dimension_count, info->output[i].dimension);
        fwrite(BACKEND_CPU.output(runner, i), sizeof *x, count, output);
        printf("%zu\n", count);
    }
    BACKEND_CPU.close(&runner);
    model_close(&model);
    free(x);
    fclose(input);
    return fclose(output) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *kernels[] = {"plain", "avx2", "avx512"};

    if (argc == 5 && strcmp(argv[1], "--dump") == 0)
        return dump(argv[2], argv[3], argv[4]);
    for (int k = 0; k < 3; k++) {
        if (kernels_find(kernels[k]) == NULL) {
            skip_one("this machine has no %s", kernels[k]);
            continue;
        }
        for (size_t row = 0; row < sizeof CASES / sizeof CASES[0]; row++)
            test_case(row, kernels[k]);
        if (material() != NULL)
            test_yolox(kernels[k]);
        else
            skip_one("no ../shared/material: no real model");
    }
    return done_testing();
}
