// links: gpu
// The CUDA backend without a device: every operator and the real models through the plan and the
// kernels' own text, on the processor, against plain loops and another engine's outputs. What is
// not seen here is cuDNN and the device itself: tests/gpu/run.
#include "gpu/cuda/cuda_plan.h"

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

int main(void)
{
    test_cases(run_emulated);
    return done_testing();
}
