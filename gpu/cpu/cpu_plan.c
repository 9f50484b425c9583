/* From the graph to steps: the layout of every value, and what need not be moved at all.
 *
 * Pictures (1×C×H×W) lie in blocks of channels, everything else in plain order. Joining, slicing
 * and shuffling channels costs nothing until somebody needs the result: such a value is only a
 * list of channels of other values (`channels`), and lists of lists are resolved. Where a joined
 * value's parts begin at whole blocks, their producers write straight into it (`parent`). */
#include "gpu/cpu/cpu_plan.h"

#include "config/err.h"
#include "gpu/cpu/cpu_codes.h"

#include <limits.h>
#include <string.h>

static bool is_picture(const struct value *value)
{
    return value->rank == 4 && value->dimension[0] == 1;
}

static bool is_constant(const struct plan *plan, int value)
{
    return plan->graph->values[value].floats != NULL;
}

/* A step with one input and one output in the same layout. */
static struct cpu_step *plan_simple(struct plan *plan, const struct node *node, const char *what,
                                    enum layout layout, void (*run)(const struct cpu_step *))
{
    struct cpu_tensor *x    = plan_tensor(plan, node->input[0], layout);
    struct cpu_tensor *y    = plan_output(plan, node->output, layout);
    struct cpu_step   *step = x != NULL ? cpu_add_step(plan->runner, node, what, 1) : NULL;

    if (x == NULL || y == NULL || step == NULL)
        return NULL;
    step->input[0] = x;
    step->output   = y;
    step->run      = run;
    return step;
}

bool plan_is_expectation(const struct plan *plan, const struct node *node)
{
    const struct value *x = &plan->graph->values[node->input[0]];
    const struct value *w = &plan->graph->values[node->input[1]];

    return x->producer >= 0 && plan->graph->nodes[x->producer].kind == NODE_SOFTMAX &&
           w->floats != NULL && w->dimension[0] == 1 && cpu_conv_is_pointwise(&node->window) &&
           node->input[3] < 0 && node->activation.kind == ACTIVATION_NONE;
}

static int plan_expectation(struct plan *plan, const struct node *node)
{
    struct cpu_step *step = plan_simple(plan, node, "expectation", LAYOUT_PLAIN,
                                        cpu_run_expectation);

    if (step == NULL)
        return ERR_MEMORY;
    step->conv.weights = plan->graph->values[node->input[1]].floats;
    step->conv.bias    = cpu_conv_bias(plan->runner, node);
    return step->conv.bias != NULL ? 0 : ERR_MEMORY;
}

static int plan_conv(struct plan *plan, const struct node *node)
{
    bool               list     = plan_reads_list(plan, node);
    struct cpu_tensor *x        = list ? plan_describe(plan->runner, LAYOUT_BLOCKED,
                                                       &plan->graph->values[node->input[0]])
                                       : plan_tensor(plan, node->input[0],
                                                     cpu_conv_layout(plan->runner, node));
    struct cpu_tensor *residual = NULL, *y;
    int                rc;

    if (x == NULL || (list && plan_list(plan, node->input[0]) != 0))
        return ERR_MEMORY;
    if (node->input[3] >= 0 &&
        (residual = plan_tensor(plan, node->input[3], LAYOUT_BLOCKED)) == NULL)
        return ERR_MEMORY;
    y = plan_output(plan, node->output, LAYOUT_BLOCKED);
    if (y == NULL)
        return ERR_MEMORY;
    rc = cpu_plan_conv(plan->runner, node, x, residual, y, plan->why);
    return rc == 0 && list ? plan_read_list(plan, node) : rc;
}

static int plan_pool(struct plan *plan, const struct node *node)
{
    bool               largest = node->kind == NODE_MAX_POOL;
    struct cpu_tensor *y;
    struct cpu_step   *step;

    if (largest && !plan->runner->shows_all && cpu_stem_takes_pool(plan->runner, node)) {
        y = plan_output(plan, node->output, LAYOUT_BLOCKED);
        return y != NULL ? cpu_stem_take_pool(plan->runner, node, y) : ERR_MEMORY;
    }
    step = plan_simple(plan, node, largest ? "max pool" : "average pool", LAYOUT_BLOCKED,
                       largest ? cpu_run_max_pool : cpu_run_average_pool);
    if (step == NULL)
        return ERR_MEMORY;
    step->pool.window = node->window;
    step->pool.blocks = (step->output->dimension[1] + step->kernels->block - 1) /
                        step->kernels->block;
    step->pool.in_height  = step->input[0]->dimension[2];
    step->pool.in_width   = step->input[0]->dimension[3];
    step->pool.out_height = step->output->dimension[2];
    step->pool.out_width  = step->output->dimension[3];
    return 0;
}

const int32_t *plan_resize_columns(struct plan *plan, const struct node *node)
{
    int64_t  in      = plan->graph->values[node->input[0]].dimension[3];
    int64_t  out     = plan->graph->values[node->output].dimension[3];
    int32_t *columns = plan_alloc(plan, out, sizeof *columns);

    for (int64_t i = 0; columns != NULL && i < out; i++)
        columns[i] = (int32_t)cpu_resize_nearest(node, 1, i, in, out);
    return columns;
}

static int plan_resize(struct plan *plan, const struct node *node)
{
    struct cpu_step *step = plan_simple(plan, node, "resize", LAYOUT_BLOCKED, cpu_run_resize);

    if (step == NULL)
        return ERR_MEMORY;
    if (node->resize.kind == RESIZE_NEAREST)
        step->columns = plan_resize_columns(plan, node);
    return node->resize.kind != RESIZE_NEAREST || step->columns != NULL ? 0 : ERR_MEMORY;
}

/* True when an output channel is one input channel; which one then stands in `channels`. */
static bool copies_channels(const struct plan *plan, const struct node *node,
                            struct channel *channels)
{
    const struct value *x       = &plan->graph->values[node->input[0]];
    const struct value *y       = &plan->graph->values[node->output];
    int64_t             pixels  = y->elements / y->dimension[1];
    struct strided      strided = node->strided;

    if (!is_picture(x) || !is_picture(y) || x->dimension[2] != y->dimension[2] ||
        x->dimension[3] != y->dimension[3])
        return false;
    graph_strided_simplify(&strided);
    for (int64_t c = 0; c < y->dimension[1]; c++) {
        int64_t from = graph_strided_plane(&strided, pixels, c);
        if (from < 0 || from >= x->dimension[1])
            return false;
        channels[c] = (struct channel){node->input[0], (int)from};
    }
    return true;
}

bool plan_copies_channels(struct plan *plan, const struct node *node)
{
    const struct value *y        = &plan->graph->values[node->output];
    struct channel     *channels = NULL;

    if (is_picture(y))
        channels = plan_alloc(plan, y->dimension[1], sizeof *channels);
    return channels != NULL && copies_channels(plan, node, channels);
}

/* Channels of lists become channels of what those name. */
static void resolve_channels(struct plan *plan, int number, struct channel *channels)
{
    for (int64_t c = 0; c < plan->graph->values[number].dimension[1]; c++)
        while (plan->channels[channels[c].value] != NULL)
            channels[c] = plan->channels[channels[c].value][channels[c].channel];
    plan->channels[number] = channels;
}

static int plan_copy(struct plan *plan, const struct node *node)
{
    const struct value *y = &plan->graph->values[node->output];
    struct cpu_tensor  *source, *alias;
    struct cpu_step    *step;

    if (is_picture(y) && plan_has_blocked(plan, node->input[0])) {
        struct channel *channels = plan_alloc(plan, y->dimension[1], sizeof *channels);
        if (channels == NULL)
            return ERR_MEMORY;
        if (copies_channels(plan, node, channels)) {
            resolve_channels(plan, node->output, channels);
            return 0;
        }
    }
    source = plan_tensor(plan, node->input[0], LAYOUT_PLAIN);
    if (source == NULL)
        return ERR_MEMORY;
    if (source->buffer != BUFFER_NONE && graph_strided_is_run(&node->strided)) {
        alias = plan_describe(plan->runner, LAYOUT_PLAIN, y);
        if (alias == NULL)
            return ERR_MEMORY;
        alias->buffer                             = source->buffer;
        alias->offset                             = source->offset + node->strided.offset;
        plan->runner->tensors[node->output].plain = alias;
        return 0;
    }
    step = plan_simple(plan, node, "copy", LAYOUT_PLAIN, cpu_run_copy);
    if (step == NULL)
        return ERR_MEMORY;
    step->strided = node->strided;
    graph_strided_simplify(&step->strided);
    if (step->strided.rank == 1) {
        step->strided.rank         = 2;
        step->strided.dimension[1] = step->strided.dimension[0];
        step->strided.stride[1]    = step->strided.stride[0];
        step->strided.dimension[0] = 1;
    }
    return 0;
}

/* Parts of a joined picture that begin at whole blocks lie inside it from the start. */
static void adopt_parts(struct plan *plan, const struct node *node)
{
    int     block = plan->runner->kernels->block;
    int64_t begin = 0;

    for (int i = 0; i < node->input_count; i++) {
        const struct value *x    = &plan->graph->values[node->input[i]];
        bool                last = i == node->input_count - 1;
        if (begin % block == 0 && (last || x->dimension[1] % block == 0) && x->producer >= 0 &&
            plan->parent[node->input[i]] < 0 && node->input[i] != node->output) {
            plan->parent[node->input[i]]       = node->output;
            plan->parent_block[node->input[i]] = (int)(begin / block);
        }
        begin += x->dimension[1];
    }
}

bool plan_joins_pictures(const struct plan *plan, const struct node *node)
{
    return node->kind == NODE_CONCAT && node->axis == 1 &&
           is_picture(&plan->graph->values[node->output]);
}

static int plan_concat(struct plan *plan, const struct node *node)
{
    const struct value *y     = &plan->graph->values[node->output];
    int64_t             begin = 0;
    struct cpu_tensor  *output;

    if (plan_joins_pictures(plan, node)) {
        struct channel *channels = plan_alloc(plan, y->dimension[1], sizeof *channels);
        if (channels == NULL)
            return ERR_MEMORY;
        for (int i = 0; i < node->input_count; i++)
            for (int c = 0; c < plan->graph->values[node->input[i]].dimension[1]; c++)
                channels[begin++] = (struct channel){node->input[i], c};
        resolve_channels(plan, node->output, channels);
        return 0;
    }
    for (int i = 0; i < node->input_count; i++)
        if (plan_tensor(plan, node->input[i], LAYOUT_PLAIN) == NULL)
            return ERR_MEMORY;
    output = plan_output(plan, node->output, LAYOUT_PLAIN);
    return output != NULL ? cpu_join(plan, node, output) : ERR_MEMORY;
}

static bool same_shape(const struct value *a, const struct value *b)
{
    return a->rank == b->rank &&
           memcmp(a->dimension, b->dimension, (size_t)a->rank * sizeof *a->dimension) == 0;
}

/* A picture with one number per channel. */
static bool per_channel(const struct value *b, const struct value *y)
{
    return is_picture(b) && b->dimension[1] == y->dimension[1] && b->elements == y->dimension[1];
}

static int plan_binary(struct plan *plan, const struct node *node)
{
    const struct value *a                = &plan->graph->values[node->input[0]];
    const struct value *b                = &plan->graph->values[node->input[1]];
    const struct value *y                = &plan->graph->values[node->output];
    enum layout         layout[2]        = {LAYOUT_PLAIN, LAYOUT_PLAIN};
    void (*run)(const struct cpu_step *) = cpu_run_binary;
    struct cpu_tensor *x[2];
    struct cpu_step   *step;
    int                swap = 0;

    if (is_picture(y) &&
        (plan_has_blocked(plan, node->input[0]) || plan_has_blocked(plan, node->input[1]))) {
        bool commutes = node->binary == BINARY_ADD || node->binary == BINARY_MULTIPLY;
        if (same_shape(a, y) && same_shape(b, y)) {
            layout[0] = layout[1] = LAYOUT_BLOCKED;
            run                   = cpu_run_blocked_binary;
        } else if (same_shape(a, y) && is_constant(plan, node->input[1]) && b->elements == 1) {
            layout[0] = LAYOUT_BLOCKED;
            run       = cpu_run_blocked_binary;
        } else if (same_shape(b, y) && is_constant(plan, node->input[0]) && a->elements == 1) {
            layout[1] = LAYOUT_BLOCKED;
            run       = cpu_run_blocked_binary;
        } else if ((same_shape(a, y) && per_channel(b, y)) ||
                   (commutes && same_shape(b, y) && per_channel(a, y))) {
            layout[0] = layout[1] = LAYOUT_BLOCKED;
            run                   = cpu_run_channel_binary;
            swap                  = same_shape(a, y) ? 0 : 1;
        }
    }
    for (int i = 0; i < 2; i++)
        if ((x[i] = plan_tensor(plan, node->input[i], layout[i])) == NULL)
            return ERR_MEMORY;
    step = cpu_add_step(plan->runner, node, "arithmetic", 2);
    if (step == NULL)
        return ERR_MEMORY;
    step->run      = run;
    step->input[0] = x[swap];
    step->input[1] = x[1 - swap];
    step->output   = plan_output(plan, node->output,
                               run == cpu_run_binary ? LAYOUT_PLAIN : LAYOUT_BLOCKED);
    return step->output != NULL ? 0 : ERR_MEMORY;
}

static int plan_mean(struct plan *plan, const struct node *node)
{
    const struct value *x = &plan->graph->values[node->input[0]];
    const struct value *y = &plan->graph->values[node->output];
    struct cpu_step    *step;

    if (!is_picture(x) || !is_picture(y) || node->axes != 12U)
        return plan_simple(plan, node, "mean", LAYOUT_PLAIN, cpu_run_mean) != NULL ? 0 : ERR_MEMORY;
    step = plan_simple(plan, node, "mean", LAYOUT_BLOCKED, cpu_run_blocked_mean);
    return step != NULL ? 0 : ERR_MEMORY;
}

static int plan_matmul(struct plan *plan, const struct node *node)
{
    struct cpu_tensor *a = plan_tensor(plan, node->input[0], LAYOUT_PLAIN);
    struct cpu_tensor *b = plan_tensor(plan, node->input[1], LAYOUT_PLAIN);
    struct cpu_tensor *y = plan_output(plan, node->output, LAYOUT_PLAIN);

    if (a == NULL || b == NULL || y == NULL)
        return ERR_MEMORY;
    return cpu_dnnl_matmul(plan->runner, node, a, b, y, plan->why);
}

static int need_picture(struct plan *plan, const struct node *node)
{
    char text[160];

    if (is_picture(&plan->graph->values[node->input[0]]))
        return 0;
    graph_describe_node(node, text, sizeof text);
    return why_set(plan->why, ERR_UNSUPPORTED, "%s: works on batches of one picture only", text);
}

/* A step in plain layout with as many inputs as the node has. */
static int plan_plain(struct plan *plan, const struct node *node, const char *what,
                      void (*run)(const struct cpu_step *))
{
    struct cpu_tensor *y;
    struct cpu_step   *step;

    for (int i = 0; i < node->input_count; i++)
        if (node->input[i] >= 0 && plan_tensor(plan, node->input[i], LAYOUT_PLAIN) == NULL)
            return ERR_MEMORY;
    y    = plan_output(plan, node->output, LAYOUT_PLAIN);
    step = y != NULL ? cpu_add_step(plan->runner, node, what, node->input_count) : NULL;
    if (step == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < node->input_count; i++)
        step->input[i] = node->input[i] >= 0 ? plan->runner->tensors[node->input[i]].plain : NULL;
    step->output = y;
    step->run    = run;
    return 0;
}

static int plan_rare(struct plan *plan, const struct node *node)
{
    static const struct {
        enum node_kind kind;
        const char    *what;
        void (*run)(const struct cpu_step *);
    } rare[] = {
        {NODE_WHERE, "where", cpu_run_where},
        {NODE_REDUCE, "reduce", cpu_run_reduce},
        {NODE_LAYER_NORM, "layer norm", cpu_run_layer_norm},
        {NODE_GATHER, "take", cpu_run_take},
        {NODE_GATHER_ELEMENTS, "take elements", cpu_run_take_elements},
        {NODE_GATHER_ND, "take slices", cpu_run_take_slices},
        {NODE_SCATTER_ELEMENTS, "put elements", cpu_run_put_elements},
        {NODE_SCATTER_ND, "put slices", cpu_run_put_slices},
        {NODE_TOP_K, "best", cpu_run_top_k},
        {NODE_CUM_SUM, "running sum", cpu_run_cum_sum},
        {NODE_GRID_SAMPLE, "grid sample", cpu_run_grid_sample},
    };

    for (size_t i = 0; i < sizeof rare / sizeof rare[0]; i++)
        if (rare[i].kind == node->kind)
            return plan_plain(plan, node, rare[i].what, rare[i].run);
    return why_set(plan->why, ERR_UNSUPPORTED, "%s: not known to the CPU", node->op);
}

static int plan_node(struct plan *plan, const struct node *node)
{
    int         rc;
    enum layout layout = plan_has_blocked(plan, node->input[0]) ? LAYOUT_BLOCKED : LAYOUT_PLAIN;

    if (cpu_codes_takes(plan, node))
        return cpu_codes_node(plan, node);
    switch (node->kind) {
    case NODE_CONV:
        rc = need_picture(plan, node);
        if (rc != 0)
            return rc;
        return plan_is_expectation(plan, node) ? plan_expectation(plan, node)
                                               : plan_conv(plan, node);
    case NODE_MAX_POOL:
    case NODE_AVERAGE_POOL:
        rc = need_picture(plan, node);
        return rc != 0 ? rc : plan_pool(plan, node);
    case NODE_RESIZE:
        rc = need_picture(plan, node);
        return rc != 0 ? rc : plan_resize(plan, node);
    case NODE_ACTIVATION:
        return plan_simple(plan, node, "activation", layout, cpu_run_activation) ? 0 : ERR_MEMORY;
    case NODE_SOFTMAX:
        return plan_simple(plan, node, "softmax", LAYOUT_PLAIN, cpu_run_softmax) ? 0 : ERR_MEMORY;
    case NODE_PAD:
        return plan_simple(plan, node, "pad", LAYOUT_PLAIN, cpu_run_pad) ? 0 : ERR_MEMORY;
    case NODE_MEAN:
        return plan_mean(plan, node);
    case NODE_BINARY:
        return plan_binary(plan, node);
    case NODE_CONCAT:
        return plan_concat(plan, node);
    case NODE_COPY:
        return plan_copy(plan, node);
    case NODE_MATMUL:
        return plan_matmul(plan, node);
    case NODE_UNARY:
        return plan_simple(plan, node, "function", layout, cpu_run_unary) ? 0 : ERR_MEMORY;
    case NODE_REMOVED:
        return 0;
    default:
        return plan_rare(plan, node);
    }
}

static int start_plan(struct plan *plan)
{
    int64_t count = plan->graph->value_count;

    plan->runner->tensors = plan_alloc(plan, count, sizeof *plan->runner->tensors);
    plan->channels        = plan_alloc(plan, count, sizeof *plan->channels);
    plan->homes           = plan_alloc(plan, count, sizeof *plan->homes);
    plan->parent          = plan_alloc(plan, count, sizeof *plan->parent);
    plan->parent_block    = plan_alloc(plan, count, sizeof *plan->parent_block);
    plan->runner->input   = plan_describe(plan->runner, LAYOUT_PLAIN,
                                          &plan->graph->values[plan->graph->input]);
    if (plan->runner->tensors == NULL || plan->channels == NULL || plan->homes == NULL ||
        plan->parent == NULL || plan->parent_block == NULL || plan->runner->input == NULL)
        return ERR_MEMORY;
    plan->runner->tensors[plan->graph->input].plain = plan->runner->input;
    for (int64_t i = 0; i < count; i++)
        plan->parent[i] = -1;
    for (int i = 0; i < plan->graph->node_count; i++)
        if (plan_joins_pictures(plan, &plan->graph->nodes[i]))
            adopt_parts(plan, &plan->graph->nodes[i]);
    return cpu_codes_begin(plan);
}

static void use_buffer(struct cpu_runner *runner, const struct cpu_tensor *tensor, int step)
{
    struct cpu_buffer *buffer;

    if (tensor == NULL || tensor->buffer == BUFFER_NONE)
        return;
    buffer = &runner->buffers[tensor->buffer];
    if (step < buffer->first_step)
        buffer->first_step = step;
    if (step > buffer->last_step)
        buffer->last_step = step;
}

static void find_lifetimes(struct cpu_runner *runner)
{
    for (int i = 0; i < runner->step_count; i++) {
        const struct cpu_step *step = &runner->steps[i];
        use_buffer(runner, step->output, i);
        for (int k = 0; k < step->input_count; k++)
            use_buffer(runner, step->input[k], i);
    }
    for (int i = 0; i < model_graph(runner->base.model)->output_count; i++)
        use_buffer(runner, runner->outputs[i], INT_MAX);
}

int cpu_plan(struct cpu_runner *runner, struct why *why)
{
    struct plan plan = {.runner = runner, .graph = model_graph(runner->base.model), .why = why};
    int         rc   = start_plan(&plan);

    for (int i = 0; rc == 0 && i < plan.graph->node_count; i++)
        if (plan.graph->nodes[i].kind != NODE_REMOVED)
            rc = plan_node(&plan, &plan.graph->nodes[i]);
    for (int i = 0; rc == 0 && i < plan.graph->output_count; i++) {
        runner->outputs[i] = plan_tensor(&plan, plan.graph->outputs[i], LAYOUT_PLAIN);
        if (runner->outputs[i] == NULL)
            rc = ERR_MEMORY;
    }
    if (rc == 0)
        find_lifetimes(runner);
    return rc;
}
