/* Which kernel computes a convolution, and its weights in that kernel's order. */
#include "gpu/cpu/cpu_runner.h"

#include "config/err.h"
#include "gpu/cpu/cpu_shared.h"

#include <string.h>

/* Up to so many channels a picture is read in plain order: it is the model's input. */
#define STEM_CHANNELS 4

bool cpu_conv_is_pointwise(const struct window *window)
{
    return window->groups == 1 && window->kernel[0] == 1 && window->kernel[1] == 1 &&
           window->stride[0] == 1 && window->stride[1] == 1 && window->pad_begin[0] == 0 &&
           window->pad_begin[1] == 0 && window->pad_end[0] == 0 && window->pad_end[1] == 0;
}

static bool is_depthwise(const struct cpu_runner *runner, const struct node *node)
{
    const struct graph *graph = model_graph(runner->base.model);
    int64_t             in    = graph->values[node->input[0]].dimension[1];

    return node->window.groups == in && graph->values[node->output].dimension[1] == in &&
           node->window.groups > 1;
}

static bool is_stem(const struct cpu_runner *runner, const struct node *node)
{
    const struct graph *graph = model_graph(runner->base.model);

    return node->window.groups == 1 && !cpu_conv_is_pointwise(&node->window) &&
           graph->values[node->input[0]].dimension[1] <= STEM_CHANNELS &&
           node->window.dilation[0] == 1 && node->window.dilation[1] == 1;
}

enum layout cpu_conv_layout(const struct cpu_runner *runner, const struct node *node)
{
    return is_stem(runner, node) ? LAYOUT_PLAIN : LAYOUT_BLOCKED;
}

static void bind(const struct cpu_step *step, struct kernel_conv *conv)
{
    *conv          = step->conv;
    conv->x        = step->input[0]->data;
    conv->residual = step->input[1] != NULL ? step->input[1]->data : NULL;
    conv->y        = step->output->data;
}

static void run_pointwise(const struct cpu_step *step)
{
    struct kernel_conv conv;

    bind(step, &conv);
    step->kernels->pointwise(&conv);
}

static void run_depthwise(const struct cpu_step *step)
{
    struct kernel_conv conv;

    bind(step, &conv);
    step->kernels->depthwise(&conv);
}

static void run_stem(const struct cpu_step *step)
{
    struct kernel_conv conv;

    bind(step, &conv);
    step->kernels->stem(&conv);
}

static void run_stem_pool(const struct cpu_step *step)
{
    struct kernel_conv conv;
    struct kernel_pool pool = step->pool;

    bind(step, &conv);
    pool.y = step->output->data;
    step->kernels->stem_pool(&conv, &pool, step->input[2]->data);
}

bool cpu_stem_takes_pool(const struct cpu_runner *runner, const struct node *pool)
{
    const struct graph    *graph  = model_graph(runner->base.model);
    const struct window   *window = &pool->window;
    const struct cpu_step *last;

    if (runner->step_count == 0)
        return false;
    last = &runner->steps[runner->step_count - 1];
    return last->run == run_stem && last->node->output == pool->input[0] &&
           graph->values[pool->input[0]].uses == 1 && last->conv.residual_kind == RESIDUAL_NONE &&
           window->kernel[0] <= STEM_POOL_KERNEL_MAX && window->dilation[0] == 1 &&
           window->dilation[1] == 1 && window->stride[0] <= window->kernel[0];
}

int cpu_stem_take_pool(struct cpu_runner *runner, const struct node *pool, struct cpu_tensor *y)
{
    struct cpu_step   *step = &runner->steps[runner->step_count - 1];
    struct value       size = {.rank = 1};
    struct cpu_tensor *scratch;

    step->pool = (struct kernel_pool){
        .blocks     = (y->dimension[1] + step->kernels->block - 1) / step->kernels->block,
        .in_height  = step->conv.out_height,
        .in_width   = step->conv.out_width,
        .out_height = y->dimension[2],
        .out_width  = y->dimension[3],
        .window     = pool->window,
    };
    size.elements     = step->kernels->stem_pool_scratch(&step->conv, &step->pool);
    size.dimension[0] = size.elements;
    scratch           = cpu_add_tensor(runner, LAYOUT_PLAIN, &size);
    if (scratch == NULL)
        return ERR_MEMORY;
    runner->buffers[step->output->buffer].floats = 0; /* of the stem alone: it lies nowhere now */

    step->what     = "stem and pool";
    step->run      = run_stem_pool;
    step->input[2] = scratch;
    step->output   = y;
    return 0;
}

/* Weights of each output channel, `row` numbers long, as blocks × row × B. */
static void pack_rows(const float *weights, int64_t channels, int64_t row, int64_t block,
                      float *packed)
{
    for (int64_t c = 0; c < channels; c++)
        for (int64_t i = 0; i < row; i++)
            packed[(c / block * row + i) * block + c % block] = weights[c * row + i];
}

/* What a kernel's weights are made of. */
struct packing {
    const struct cpu_runner *runner;
    const struct node       *node;
    bool                     pointwise;
};

static bool fill_weights(void *context, void *to)
{
    const struct packing *packing = context;
    const struct value   *w =
        &model_graph(packing->runner->base.model)->values[packing->node->input[1]];
    int64_t channels = w->dimension[0];

    if (packing->pointwise)
        packing->runner->kernels->pointwise_pack(w->floats, w->dimension[1], channels, to);
    else
        pack_rows(w->floats, channels, w->elements / channels, packing->runner->kernels->block, to);
    return true;
}

static bool fill_bias(void *context, void *to)
{
    const struct packing *packing = context;
    const struct graph   *graph   = model_graph(packing->runner->base.model);
    int64_t               count   = graph->values[packing->node->input[1]].dimension[0];

    memcpy(to, graph->values[packing->node->input[2]].floats, (size_t)count * sizeof(float));
    return true;
}

const float *cpu_conv_bias(struct cpu_runner *runner, const struct node *node)
{
    const struct value   *w       = &model_graph(runner->base.model)->values[node->input[1]];
    struct packing        packing = {.runner = runner, .node = node};
    int64_t               block   = runner->kernels->block;
    size_t                lanes   = (size_t)((w->dimension[0] + block - 1) / block * block);
    struct cpu_shared_key key     = {
            .node = node, .kernels = runner->kernels, .what = "bias", .bytes = lanes * sizeof(float)};

    /* Without a bias zeros, which are no node's own. */
    return node->input[2] >= 0 ? cpu_shared_get(runner, &key, fill_bias, &packing)
                               : graph_memory_alloc(&runner->memory, lanes, sizeof(float));
}

/* Weights and bias of the step, in the kernel's order. */
static int pack(struct cpu_runner *runner, const struct node *node, struct cpu_step *step,
                bool pointwise)
{
    const struct value   *w     = &model_graph(runner->base.model)->values[node->input[1]];
    int64_t               block = runner->kernels->block, channels = w->dimension[0];
    int64_t               lanes   = (channels + block - 1) / block * block;
    int64_t               count   = lanes * (w->elements / channels);
    struct packing        packing = {runner, node, pointwise};
    struct cpu_shared_key key     = {.node = node, .kernels = runner->kernels, .what = "weights"};

    if (pointwise)
        count = runner->kernels->pointwise_weights(w->dimension[1], channels);
    key.bytes          = (size_t)count * sizeof(float);
    step->conv.weights = cpu_shared_get(runner, &key, fill_weights, &packing);
    step->conv.bias    = cpu_conv_bias(runner, node);
    return step->conv.weights != NULL && step->conv.bias != NULL ? 0 : ERR_MEMORY;
}

void cpu_conv_between(struct cpu_step *step, const struct node *node, struct cpu_tensor *x,
                      struct cpu_tensor *residual, struct cpu_tensor *y)
{
    step->input[0] = x;
    step->input[1] = residual;
    step->output   = y;
    step->conv     = (struct kernel_conv){
            .in_channels   = x->dimension[1],
            .in_height     = x->dimension[2],
            .in_width      = x->dimension[3],
            .out_channels  = y->dimension[1],
            .out_height    = y->dimension[2],
            .out_width     = y->dimension[3],
            .window        = node->window,
            .activation    = node->activation,
            .residual_kind = node->residual,
    };
}

int cpu_plan_conv(struct cpu_runner *runner, const struct node *node, struct cpu_tensor *x,
                  struct cpu_tensor *residual, struct cpu_tensor *y, struct why *why)
{
    bool pointwise = cpu_conv_is_pointwise(&node->window), depthwise = is_depthwise(runner, node);
    struct cpu_step *step;

    if (!is_stem(runner, node) && cpu_bf16_fits(runner, node))
        return cpu_plan_bf16(runner, node, x, residual, y);
    if (cpu_winograd_fits(runner, node))
        return cpu_plan_winograd(runner, node, x, residual, y);
    if (!pointwise && !depthwise && !is_stem(runner, node))
        return cpu_dnnl_conv(runner, node, x, residual, y, why);
    step = cpu_add_step(runner, node,
                        pointwise   ? "pointwise"
                        : depthwise ? "depthwise"
                                    : "stem",
                        3); /* the third for a pool's scratch memory */
    if (step == NULL)
        return ERR_MEMORY;
    step->run = pointwise ? run_pointwise : depthwise ? run_depthwise : run_stem;
    cpu_conv_between(step, node, x, residual, y);
    return pack(runner, node, step, pointwise);
}
