// links: gpu
// The CPU backend with whole models, on every instruction set. Single operators: operator_test.c.
#include "gpu/cpu/backend_cpu.h"

#include "gpu/cpu/kernels.h"
#include "tests/onnx_writer.h"
#include "tests/tap.h"

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
        if (material() != NULL)
            test_yolox(kernels[k]);
        else
            skip_one("no ../shared/material: no real model");
    }
    return done_testing();
}
