/* 3×3 convolutions by the kernels' Winograd transform: which ones, and their weights and memory. */
#include "gpu/cpu/cpu_runner.h"

#include "config/err.h"
#include "gpu/cpu/cpu_shared.h"

#include <stdlib.h>

/* With fewer channels the transforms cost more than the multiplications that they save. */
#define CHANNELS_MIN 16
/* The model's weights grow fourfold. */
#define WEIGHTS_MAX (INT64_C(1) << 21)

bool cpu_winograd_fits(const struct cpu_runner *runner, const struct node *node)
{
    const struct graph  *graph  = model_graph(runner->base.model);
    const struct window *window = &node->window;
    const struct value  *w      = &graph->values[node->input[1]];
    const struct value  *y      = &graph->values[node->output];

    for (int i = 0; i < 2; i++)
        if (window->kernel[i] != 3 || window->stride[i] != 1 || window->dilation[i] != 1 ||
            y->dimension[2 + i] < 4)
            return false;
    return window->groups == 1 && w->dimension[0] >= CHANNELS_MIN &&
           w->dimension[1] >= CHANNELS_MIN && w->elements <= WEIGHTS_MAX;
}

static void run_winograd(const struct cpu_step *step)
{
    struct kernel_conv conv = step->conv;

    conv.x        = step->input[0]->data;
    conv.residual = step->input[1] != NULL ? step->input[1]->data : NULL;
    conv.y        = step->output->data;
    step->kernels->winograd(&conv, step->input[2]->data);
}

struct packing {
    const struct cpu_runner *runner;
    const struct value      *weights;
};

static bool fill_weights(void *context, void *to)
{
    const struct packing *packing = context;
    const struct value   *w       = packing->weights;
    float                *room = malloc((size_t)(w->dimension[0] * w->dimension[1]) * sizeof *room);

    if (room == NULL)
        return false;
    packing->runner->kernels->winograd_pack(w->floats, w->dimension[1], w->dimension[0], room, to);
    free(room);
    return true;
}

static int pack(struct cpu_runner *runner, const struct node *node, struct kernel_conv *conv)
{
    const struct value   *w       = &model_graph(runner->base.model)->values[node->input[1]];
    struct packing        packing = {runner, w};
    struct cpu_shared_key key     = {.node = node, .kernels = runner->kernels, .what = "winograd"};

    key.bytes = (size_t)runner->kernels->winograd_weights(w->dimension[1], w->dimension[0]) *
                sizeof(float);
    conv->weights = cpu_shared_get(runner, &key, fill_weights, &packing);
    conv->bias    = cpu_conv_bias(runner, node);
    return conv->weights != NULL && conv->bias != NULL ? 0 : ERR_MEMORY;
}

int cpu_plan_winograd(struct cpu_runner *runner, const struct node *node, struct cpu_tensor *x,
                      struct cpu_tensor *residual, struct cpu_tensor *y)
{
    struct cpu_step   *step = cpu_add_step(runner, node, "winograd", 3);
    struct value       size = {.rank = 1};
    struct cpu_tensor *scratch;

    if (step == NULL)
        return ERR_MEMORY;
    step->run = run_winograd;
    cpu_conv_between(step, node, x, residual, y);
    size.elements     = runner->kernels->winograd_scratch(&step->conv);
    size.dimension[0] = size.elements;
    scratch           = cpu_add_tensor(runner, LAYOUT_PLAIN, &size);
    if (scratch == NULL)
        return ERR_MEMORY;
    step->input[2] = scratch; /* alive for this step only */
    return pack(runner, node, &step->conv);
}
