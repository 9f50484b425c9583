// links: gpu
// The CUDA backend without a device: every operator and the real models through the plan and the
// kernels' own text, on the processor, against plain loops and another engine's outputs. What is
// not seen here is cuDNN and the device itself: tests/gpu/run.
#include "gpu/cuda/cuda_plan.h"

#include "config/err.h"
#include "gpu/backend.h"
#include "tests/cuda_cases.h"
#include "tests/cuda_emulated.h"

static double run_emulated(struct trial *t, const struct model *model)
{
    struct why        why = {""};
    struct cuda_plan *plan;
    struct emulated   run;
    float            *input;
    double            worst;

    if (cuda_plan_open(&plan, model_graph(model), &why) != 0) {
        diag("%s", why.text);
        return -1;
    }
    input = repeat_input(t);
    emulated_open(&run, plan, BATCH);
    emulated_run(&run, input, 0);
    worst = worst_of(t, emulated_output(&run, 0));
    emulated_close(&run);
    cuda_plan_close(&plan);
    free(input);
    return worst;
}

/* A choice among so many: the code of the plan. */
static int plan_choice(int64_t count, struct why *why)
{
    struct onnx_writer onnx = {.opset = 13};
    struct cuda_plan  *plan = NULL;
    struct model      *model;
    const uint8_t     *bytes;
    size_t             size;
    int                rc;

    onnx_input(&onnx, "x", 2, (int64_t[]){1, count});
    onnx_ints(&onnx, "k", 1, (int64_t[]){5});
    onnx_node(&onnx, "TopK", "x,k", "best,places", "axis:i=1");
    onnx_output(&onnx, "best");
    bytes = onnx_finish(&onnx, &size);
    if (model_load_bytes(&model, bytes, size, "choice", why) != 0) {
        diag("%s", why->text);
        abort();
    }
    rc = cuda_plan_open(&plan, model_graph(model), why);
    cuda_plan_close(&plan);
    model_close(&model);
    onnx_free(&onnx);
    return rc;
}

int main(void)
{
    struct why why = {""};

    test_cases(run_emulated);
    is_int(plan_choice(100000, &why), 0, "the best of 100,000 are chosen on the device");
    is_int(plan_choice(200000, &why), ERR_UNSUPPORTED, "of 200,000 not: %s", why.text);
    return done_testing();
}
