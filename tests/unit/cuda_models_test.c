// links: gpu
// The real networks through the CUDA backend's plan and kernels, on the processor: all of a network
// in half precision against float32, a batch against its pictures one by one, and what the plan does
// not move. See tests/cuda_emulated.h for what is the device's and what is not.
#include "gpu/cuda/cuda_plan.h"

#include "gpu/backend.h"
#include "tests/cuda_emulated.h"

/* A picture's numbers, the same on every machine. */
static float *pattern(int64_t count, float scale)
{
    float   *data   = malloc((size_t)count * sizeof *data);
    uint32_t random = 12345;

    if (data == NULL)
        abort();
    for (int64_t i = 0; i < count; i++) {
        random  = random * 1664525U + 1013904223U;
        data[i] = ((float)(random >> 16 & 0xffU) + 64.0F * sinf((float)i * 0.01F)) * scale;
    }
    return data;
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

static int count_steps(const struct cuda_plan *plan, enum cuda_step_kind kind)
{
    int count = 0;

    for (int i = 0; i < plan->step_count; i++)
        count += plan->steps[i].kind == kind;
    return count;
}

/* Two buffers that live at the same time never share a byte, and all lie in the arena. */
static bool places_are_sound(const struct cuda_plan *plan)
{
    for (int i = 0; i < plan->buffer_count; i++) {
        const struct cuda_buffer *a = &plan->buffers[i];

        if (a->offset < 0 || a->offset % CUDA_ALIGN_BYTES != 0 ||
            a->offset + a->bytes > plan->arena_bytes)
            return false;
        for (int k = 0; k < i; k++) {
            const struct cuda_buffer *b = &plan->buffers[k];

            if (a->first_step <= b->last_step && b->first_step <= a->last_step &&
                a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes)
                return false;
        }
    }
    return true;
}

static double worst_error(const float *got, const float *expected, int64_t count)
{
    double worst = 0;

    for (int64_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - (double)expected[i]) / (1 + fabs((double)expected[i]));
        worst        = error <= worst ? worst : error; /* also when it is not a number */
    }
    return worst;
}

/* The greatest error of all outputs against the CPU backend in float32. */
static double against_cpu(const struct emulated *run, const struct model *model, const float *input)
{
    const struct model_info  *info     = model_info(model);
    const struct backend_ops *cpu      = backend_find("cpu", NULL);
    struct runner_settings    settings = {.precision = PRECISION_F32};
    struct runner            *runner;
    struct why                why   = {""};
    double                    worst = 0;

    if (cpu->open(&runner, model, &settings, &why) != 0 || cpu->run(runner, input, 1, &why) != 0) {
        diag("%s", why.text);
        return INFINITY;
    }
    for (int i = 0; i < info->output_count; i++) {
        int64_t count = 1;
        double  error;

        for (int k = 0; k < info->output[i].dimension_count; k++)
            count *= info->output[i].dimension[k];
        error = worst_error(emulated_output(run, i), cpu->output(runner, i), count);
        worst = error <= worst ? worst : error;
    }
    cpu->close(&runner);
    return worst;
}

/* `bound`: of the greatest error of any output number, beside 1 + its size. */
static void test_model(const char *name, float scale, double bound)
{
    char              path[700];
    struct why        why = {""};
    struct model     *model;
    struct cuda_plan *plan;
    struct emulated   one, two;
    int64_t           in, out;
    float            *input;
    double            error;

    snprintf(path, sizeof path, "%s/models/%s", material(), name);
    if (name[0] == '/')
        snprintf(path, sizeof path, "%s", name);
    if (model_load(&model, path, &why) != 0 ||
        cuda_plan_open(&plan, model_graph(model), &why) != 0) {
        ok(false, "%s: %s", name, why.text);
        return;
    }
    in    = plan->input->elements;
    out   = plan->outputs[0]->elements;
    input = pattern(2 * in, scale);
    emulated_open(&one, plan, 1);
    emulated_run(&one, input + in, 0);
    error = against_cpu(&one, model, input + in);
    ok(error <= bound, "%s: half precision against float32: worst error %.1e", name, error);
    emulated_open(&two, plan, 2);
    emulated_run(&two, input, 0);
    ok(memcmp(emulated_output(&two, 0) + out, emulated_output(&one, 0),
              (size_t)out * sizeof(float)) == 0,
       "%s: a picture gives the same bytes alone and in a batch", name);
    ok(places_are_sound(plan), "%s: %d buffers in %.1f MiB for a picture", name, plan->buffer_count,
       (double)plan->arena_bytes / 1048576.0);
    diag("%s: %d steps: %d convolutions, %d depthwise, %d copies, %d channels, %d pieces", name,
         plan->step_count, count_steps(plan, CUDA_STEP_CONV),
         count_steps(plan, CUDA_STEP_DEPTHWISE), count_steps(plan, CUDA_STEP_COPY),
         count_steps(plan, CUDA_STEP_CHANNELS), count_steps(plan, CUDA_STEP_PIECE));
    emulated_close(&one);
    emulated_close(&two);
    cuda_plan_close(&plan);
    model_close(&model);
    free(input);
}

/* YOLOX-nano on a real picture against what another engine gave in float32. */
static void test_yolox(void)
{
    const size_t      in = 3 * 416 * 416, out = 3549 * 85;
    float            *input    = read_floats("ref_bus_input_1x3x416x416_f32.bin", in);
    float            *expected = read_floats("ref_bus_output_1x3549x85_f32.bin", out);
    char              path[700];
    struct why        why = {""};
    struct model     *model;
    struct cuda_plan *plan;
    struct emulated   run;
    double            sides = 0, scores = 0;
    const float      *y;

    snprintf(path, sizeof path, "%s/models/yolox_nano_coco_416.onnx", material());
    if (model_load(&model, path, &why) != 0 ||
        cuda_plan_open(&plan, model_graph(model), &why) != 0) {
        ok(false, "YOLOX-nano: %s", why.text);
        return;
    }
    emulated_open(&run, plan, 1);
    emulated_run(&run, input, 0);
    y = emulated_output(&run, 0);
    for (size_t i = 0; i < out; i++) {
        double *worst = i % 85 < 4 ? &sides : &scores;
        double  error = fabs((double)y[i] - (double)expected[i]);

        /* Boxes matter where something is seen. */
        if (i % 85 < 4 && expected[i / 85 * 85 + 4] < 0.1F)
            continue;
        *worst = error <= *worst ? *worst : error;
    }
    ok(sides <= 0.05 && scores <= 0.05,
       "YOLOX-nano on a real picture: sides within %.4f cells, scores within %.4f", sides, scores);
    ok(count_steps(plan, CUDA_STEP_CHANNELS) <= 9,
       "YOLOX-nano: only the heads' odd parts are copied when channels are joined");
    emulated_close(&run);
    cuda_plan_close(&plan);
    model_close(&model);
    free(input);
    free(expected);
}

/* Arguments: other models, with their whole paths. */
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        test_model(argv[i], 1.0F / 255.0F, 0.10);
    if (argc > 1)
        return done_testing();
    if (material() == NULL)
        skip_all("no ../shared/material");
    test_yolox();
    test_model("FastestDet.onnx", 1.0F / 255.0F, 0.10);
    test_model("nanodet_m.onnx", 0.01F, 0.05);
    return done_testing();
}
