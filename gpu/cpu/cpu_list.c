/* 1×1 convolutions that read a list of channels.
 *
 * Networks that shuffle channels give each convolution a choice of the channels of several earlier
 * ones. A 1×1 convolution takes one channel after the other anyway, so that the choice need not be
 * copied together: it is a list of addresses. */
#include "gpu/cpu/cpu_plan.h"

#include "config/err.h"

#include <string.h>

#define CONV_INPUTS 3 /* of a convolution's step: see cpu_plan_conv() */

bool plan_reads_list(const struct plan *plan, const struct node *node)
{
    const struct cpu_runner *runner = plan->runner;
    const int                number = node->input[0], block = runner->kernels->block;
    const struct value      *value    = &plan->graph->values[number];
    const struct channel    *channels = plan->channels[number];

    if (channels == NULL || runner->tensors[number].blocked != NULL || value->uses != 1 ||
        runner->shows_all || !cpu_conv_is_pointwise(&node->window) || cpu_bf16_fits(runner, node))
        return false;
    for (int64_t c = 0; c < value->dimension[1]; c++)
        if (channels[c].channel % block != c % block)
            return true;
    return false; /* whole blocks cost less */
}

int plan_list(struct plan *plan, int number)
{
    for (int64_t c = 0; c < plan->graph->values[number].dimension[1]; c++)
        if (plan_tensor(plan, plan->channels[number][c].value, LAYOUT_BLOCKED) == NULL)
            return ERR_MEMORY;
    return 0;
}

static void run_list(const struct cpu_step *step)
{
    struct kernel_conv conv = step->conv;

    for (int64_t c = 0; c < conv.in_channels; c++)
        step->lane_at[c] = step->input[step->lanes[c].input]->data + step->lanes[c].offset;
    conv.lanes    = step->lane_at;
    conv.residual = step->input[1] != NULL ? step->input[1]->data : NULL;
    conv.y        = step->output->data;
    step->kernels->pointwise(&conv);
}

int plan_read_list(struct plan *plan, const struct node *node)
{
    struct cpu_step      *step   = &plan->runner->steps[plan->runner->step_count - 1];
    const int             number = node->input[0], block = plan->runner->kernels->block;
    const int64_t         count    = plan->graph->values[number].dimension[1];
    const struct channel *channels = plan->channels[number];
    struct cpu_tensor   **inputs   = plan_alloc(plan, CONV_INPUTS + count, sizeof *inputs);
    int                   used     = CONV_INPUTS;

    step->lanes   = plan_alloc(plan, count, sizeof *step->lanes);
    step->lane_at = plan_alloc(plan, count, sizeof *step->lane_at);
    if (inputs == NULL || step->lanes == NULL || step->lane_at == NULL)
        return ERR_MEMORY;
    memcpy(inputs, step->input, CONV_INPUTS * sizeof *inputs);
    inputs[0]   = NULL; /* it lies nowhere */
    step->input = inputs;
    for (int64_t c = 0; c < count; c++) {
        struct cpu_tensor *x      = plan->runner->tensors[channels[c].value].blocked;
        int64_t            pixels = x->dimension[2] * x->dimension[3];
        step->lanes[c].input      = plan_step_input(step, &used, x);
        step->lanes[c].offset     = channels[c].channel / block * pixels * block +
                                channels[c].channel % block;
    }
    step->input_count = used;
    step->run         = run_list;
    return 0;
}
