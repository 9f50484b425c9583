/* Convolutions in bfloat16: which ones, their weights, steps and memory. What is between them stays
 * float32 (bf16.h). */
#include "gpu/cpu/bf16.h"

#include "config/err.h"
#include "gpu/cpu/cpu_runner.h"

#include <string.h>

/* With fewer channels much of a step of 32 would be zeros. */
#define CHANNELS_MIN 16
/* Errors of many products even out in their sum, those of few do not: layers with fewer stay float32.
 * They are little work; FastestDet and YOLOX-nano lose half as many boxes as with all from 32 on. */
#define PRODUCTS_MIN 64

/* The kernel's arguments but for the addresses in the arena. */
struct cpu_bf16 {
    const struct bf16_kernels *kernels;
    struct bf16_pad            pad;
    struct bf16_conv           conv;
};

/* Height and width of the padded input; a width of whole strides. */
static void padded_size(const struct window *window, const struct value *y, int64_t size[2])
{
    for (int i = 0; i < 2; i++)
        size[i] = (y->dimension[2 + i] - 1) * window->stride[i] +
                  (int64_t)(window->kernel[i] - 1) * window->dilation[i] + 1;
    size[1] = (size[1] + window->stride[1] - 1) / window->stride[1] * window->stride[1];
}

static int64_t blocks_of(int64_t channels, int64_t block)
{
    return (channels + block - 1) / block;
}

/* What a network says in the end are numbers of a convolution without an activation, or with one that
 * makes scores of them: these stay float32. They are little work and decide about boxes. */
static bool is_last(const struct node *node)
{
    return node->residual == RESIDUAL_NONE && (node->activation.kind == ACTIVATION_NONE ||
                                               node->activation.kind == ACTIVATION_SIGMOID);
}

bool cpu_bf16_fits(const struct cpu_runner *runner, const struct node *node)
{
    const struct graph  *graph  = model_graph(runner->base.model);
    const struct window *window = &node->window;
    const struct value  *w      = &graph->values[node->input[1]];
    const struct value  *y      = &graph->values[node->output];
    int64_t              size[2], bytes;

    if (runner->bf16 == NULL || runner->kernels->block != BF16_OUT || window->groups != 1 ||
        w->floats == NULL || w->dimension[1] < CHANNELS_MIN ||
        w->elements / w->dimension[0] < PRODUCTS_MIN || is_last(node))
        return false;
    for (int i = 0; i < 2; i++)
        if (window->pad_begin[i] > (window->kernel[i] - 1) * window->dilation[i])
            return false;
    padded_size(window, y, size);
    bytes = blocks_of(w->dimension[1], BF16_BLOCK) * size[0] * size[1] * BF16_PIXEL_BYTES;
    return bytes <= INT32_MAX; /* offsets of steps */
}

static void run_bf16(const struct cpu_step *step)
{
    struct bf16_pad  pad  = step->bf16->pad;
    struct bf16_conv conv = step->bf16->conv;

    pad.x         = step->input[0]->data;
    pad.y         = (uint16_t *)(void *)step->input[2]->data;
    conv.x        = pad.y;
    conv.residual = step->input[1] != NULL ? step->input[1]->data : NULL;
    conv.y        = step->output->data;
    step->bf16->kernels->pad(&pad);
    step->bf16->kernels->conv(&conv);
}

/* The place of each tap and each 32 channels in the padded input. */
static int plan_steps(struct cpu_runner *runner, const struct window *window, struct cpu_bf16 *made,
                      int64_t in_blocks)
{
    const struct bf16_pad *pad  = &made->pad;
    const int              taps = window->kernel[0] * window->kernel[1];
    const int64_t          each = pad->out_width / pad->stride;
    int32_t *steps = graph_memory_alloc(&runner->memory, (size_t)(in_blocks * taps), sizeof *steps);

    made->conv.steps      = steps;
    made->conv.step_count = (int)in_blocks * taps;
    if (steps == NULL)
        return ERR_MEMORY;
    for (int64_t block = 0; block < in_blocks; block++)
        for (int tap = 0; tap < taps; tap++) {
            int64_t ky = (int64_t)(tap / window->kernel[1]) * window->dilation[0];
            int64_t kx = (int64_t)(tap % window->kernel[1]) * window->dilation[1];
            int64_t at = (block * pad->out_height + ky) * pad->out_width + kx % pad->stride * each +
                         kx / pad->stride;
            *steps++ = (int32_t)(at * BF16_PIXEL_BYTES);
        }
    return 0;
}

static int pack(struct cpu_runner *runner, const struct node *node, struct bf16_conv *conv)
{
    const struct graph *graph  = model_graph(runner->base.model);
    const struct value *w      = &graph->values[node->input[1]];
    const int64_t       taps   = (int64_t)node->window.kernel[0] * node->window.kernel[1];
    const size_t        blocks = (size_t)conv->out_blocks;
    uint16_t           *to     = graph_memory_alloc(&runner->memory,
                                                    blocks * (size_t)conv->step_count * BF16_STEP, sizeof *to);
    float              *bias = graph_memory_alloc(&runner->memory, blocks * BF16_OUT, sizeof *bias);

    conv->weights = to;
    conv->bias    = bias;
    if (to == NULL || bias == NULL)
        return ERR_MEMORY;
    for (int64_t block = 0; block < conv->out_blocks; block++)
        for (int k = 0; k < conv->step_count; k++)
            for (int i = 0; i < BF16_STEP; i++, to++) {
                int64_t out = block * BF16_OUT + i / 2 % BF16_OUT;
                int64_t in  = k / taps * BF16_BLOCK + i / (2 * BF16_OUT) * 2 + i % 2;
                if (out < w->dimension[0] && in < w->dimension[1])
                    *to = bf16_round(w->floats[(out * w->dimension[1] + in) * taps + k % taps]);
            }
    if (node->input[2] >= 0)
        memcpy(bias, graph->values[node->input[2]].floats, (size_t)w->dimension[0] * sizeof *bias);
    return 0;
}

/* The geometry; a 1×1 window without a stride makes of the picture one long row. */
static void describe(struct cpu_bf16 *made, const struct cpu_runner *runner,
                     const struct node *node, const struct cpu_tensor *x)
{
    const struct window *window = &node->window;
    const struct value  *y      = &model_graph(runner->base.model)->values[node->output];
    int64_t              size[2];
    bool                 flat = window->pad_end[0] == 0 && window->pad_end[1] == 0;

    for (int i = 0; i < 2; i++)
        flat = flat && window->kernel[i] == 1 && window->stride[i] == 1;
    padded_size(window, y, size);
    made->kernels = runner->bf16;
    made->pad     = (struct bf16_pad){.in_blocks  = blocks_of(x->dimension[1], BF16_OUT),
                                      .in_height  = x->dimension[2],
                                      .in_width   = x->dimension[3],
                                      .out_height = size[0],
                                      .out_width  = size[1],
                                      .top        = window->pad_begin[0],
                                      .left       = window->pad_begin[1],
                                      .stride     = window->stride[1]};
    made->conv    = (struct bf16_conv){.out_blocks    = blocks_of(y->dimension[1], BF16_OUT),
                                       .rows          = y->dimension[2],
                                       .columns       = y->dimension[3],
                                       .row_bytes     = size[1] * window->stride[0] * BF16_PIXEL_BYTES,
                                       .activation    = &node->activation,
                                       .residual_kind = node->residual,
                                       .kernels       = runner->kernels};
    if (!flat)
        return;
    made->pad.in_height = made->pad.out_height = made->conv.rows = 1;
    made->pad.in_width = made->pad.out_width = made->conv.columns = size[0] * size[1];
    made->conv.row_bytes = made->conv.columns * BF16_PIXEL_BYTES;
}

int cpu_plan_bf16(struct cpu_runner *runner, const struct node *node, struct cpu_tensor *x,
                  struct cpu_tensor *residual, struct cpu_tensor *y)
{
    struct cpu_step   *step      = cpu_add_step(runner, node, "bf16 convolution", 3);
    struct cpu_bf16   *made      = graph_memory_alloc(&runner->memory, 1, sizeof *made);
    const int64_t      in_blocks = blocks_of(x->dimension[1], BF16_BLOCK);
    struct value       size      = {.rank = 1};
    struct cpu_tensor *scratch;
    int                rc;

    if (step == NULL || made == NULL)
        return ERR_MEMORY;
    describe(made, runner, node, x);
    step->run            = run_bf16;
    step->implementation = runner->bf16->name;
    step->bf16           = made;
    step->input[0]       = x;
    step->input[1]       = residual;
    step->output         = y;
    size.elements        = in_blocks * made->pad.out_height * made->pad.out_width * BF16_BLOCK / 2;
    size.dimension[0]    = size.elements;
    scratch              = cpu_add_tensor(runner, LAYOUT_PLAIN, &size);
    if (scratch == NULL)
        return ERR_MEMORY;
    step->input[2] = scratch; /* alive for this step only */
    rc             = plan_steps(runner, &node->window, made, in_blocks);
    return rc != 0 ? rc : pack(runner, node, &made->conv);
}
