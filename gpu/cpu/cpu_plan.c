/* From the graph to steps: the layout of every value, and what need not be moved at all.
 *
 * Pictures (1×C×H×W) lie in blocks of channels, everything else in plain order. Joining, slicing and
 * shuffling channels costs nothing until somebody needs the result: such a value is only a list of
 * channels of other values (`channels`), and lists of lists are resolved. Where a joined value's parts
 * begin at whole blocks, their producers write straight into it (`parent`). */
#include "gpu/cpu/cpu_runner.h"

#include "config/assert.h"
#include "config/err.h"

#include <limits.h>
#include <string.h>

struct channel {
    int value; /* a computed value, never itself a list */
    int channel;
};

struct plan {
    struct cpu_runner  *runner;
    const struct graph *graph;
    struct channel    **channels;     /* by value; NULL: not a list */
    struct cpu_layouts *homes;        /* by value: where it will lie */
    int                *parent;       /* by value: the joined value that it lies in, or -1 */
    int                *parent_block; /* where in it */
    struct why         *why;
};

static struct cpu_tensor **in_layout(struct cpu_layouts *layouts, enum layout layout)
{
    return layout == LAYOUT_PLAIN ? &layouts->plain : &layouts->blocked;
}

static void *plan_alloc(struct plan *plan, int64_t count, size_t size)
{
    return graph_memory_alloc(&plan->runner->memory, (size_t)count, size);
}

static int grow(struct cpu_runner *runner, void **items, int *room, int count, size_t size)
{
    int   wanted = *room == 0 ? 64 : *room * 2;
    void *larger;

    if (count < *room)
        return 0;
    larger = graph_memory_alloc(&runner->memory, (size_t)wanted, size);
    if (larger == NULL)
        return ERR_MEMORY;
    if (count > 0)
        memcpy(larger, *items, (size_t)count * size);
    *items = larger;
    *room  = wanted;
    return 0;
}

struct cpu_step *cpu_add_step(struct cpu_runner *runner, const struct node *node, const char *what,
                              int input_count)
{
    void            *items = runner->steps;
    struct cpu_step *step;

    if (grow(runner, &items, &runner->step_room, runner->step_count, sizeof *step) != 0)
        return NULL;
    runner->steps = items;
    step          = &runner->steps[runner->step_count];
    memset(step, 0, sizeof *step);
    step->input = graph_memory_alloc(&runner->memory, (size_t)input_count, sizeof *step->input);
    if (step->input == NULL)
        return NULL;
    step->node           = node;
    step->what           = what;
    step->kernels        = runner->kernels;
    step->implementation = runner->kernels->name;
    step->input_count    = input_count;
    runner->step_count++;
    return step;
}

static int add_buffer(struct cpu_runner *runner, int64_t floats)
{
    void *items = runner->buffers;

    if (grow(runner, &items, &runner->buffer_room, runner->buffer_count, sizeof *runner->buffers) !=
        0)
        return ERR_MEMORY;
    runner->buffers                       = items;
    runner->buffers[runner->buffer_count] = (struct cpu_buffer){
        .floats = floats, .first_step = INT_MAX, .last_step = -1};
    return runner->buffer_count++;
}

static struct cpu_tensor *describe_tensor(struct cpu_runner *runner, enum layout layout,
                                          const struct value *value)
{
    struct cpu_tensor *tensor = graph_memory_alloc(&runner->memory, 1, sizeof *tensor);
    int64_t            block  = runner->kernels->block;

    if (tensor == NULL)
        return NULL;
    tensor->layout = layout;
    tensor->rank   = value->rank;
    memcpy(tensor->dimension, value->dimension, sizeof tensor->dimension);
    tensor->buffer = BUFFER_NONE;
    tensor->floats = value->elements;
    if (layout == LAYOUT_BLOCKED)
        tensor->floats = (value->dimension[1] + block - 1) / block * block * value->dimension[2] *
                         value->dimension[3];
    return tensor;
}

struct cpu_tensor *cpu_add_tensor(struct cpu_runner *runner, enum layout layout,
                                  const struct value *value)
{
    struct cpu_tensor *tensor = describe_tensor(runner, layout, value);

    if (tensor == NULL)
        return NULL;
    tensor->buffer = add_buffer(runner, tensor->floats);
    return tensor->buffer >= 0 ? tensor : NULL;
}

static bool is_picture(const struct value *value)
{
    return value->rank == 4 && value->dimension[0] == 1;
}

static bool is_constant(const struct plan *plan, int value)
{
    return plan->graph->values[value].floats != NULL;
}

/* Where a value will lie: in the value that it is joined into, or in a buffer of its own. */
static struct cpu_tensor *home_of(struct plan *plan, int number, enum layout layout)
{
    const struct value *value = &plan->graph->values[number];
    struct cpu_tensor  *parent, **home = in_layout(&plan->homes[number], layout);

    if (*home != NULL)
        return *home;
    if (layout == LAYOUT_PLAIN || plan->parent[number] < 0)
        return *home = cpu_add_tensor(plan->runner, layout, value);
    parent = home_of(plan, plan->parent[number], LAYOUT_BLOCKED);
    if (parent == NULL || (*home = describe_tensor(plan->runner, layout, value)) == NULL)
        return NULL;
    (*home)->buffer = parent->buffer;
    (*home)->offset = parent->offset + plan->parent_block[number] * value->dimension[2] *
                                           value->dimension[3] * plan->runner->kernels->block;
    return *home;
}

/* The tensor that a node's output is computed into, from now on available to others. */
static struct cpu_tensor *output_of(struct plan *plan, int value, enum layout layout)
{
    return *in_layout(&plan->runner->tensors[value], layout) = home_of(plan, value, layout);
}

static bool has_blocked(const struct plan *plan, int value)
{
    return plan->runner->tensors[value].blocked != NULL || plan->channels[value] != NULL;
}

/* The number of the step's input that is `tensor`, which is added if need be. */
static int step_input(struct cpu_step *step, int *used, struct cpu_tensor *tensor)
{
    for (int i = 0; i < *used; i++)
        if (step->input[i] == tensor)
            return i;
    step->input[*used] = tensor;
    return (*used)++;
}

static struct cpu_tensor *tensor_of(struct plan *plan, int value, enum layout layout);

static int gather_channel(struct plan *plan, struct cpu_step *step, int *used,
                          struct cpu_gather *gather, int lane, struct channel from)
{
    int                block = plan->runner->kernels->block, input, k = 0;
    struct cpu_tensor *x = tensor_of(plan, from.value, LAYOUT_BLOCKED);
    int64_t            offset;

    if (x == NULL)
        return ERR_MEMORY;
    offset = from.channel / block * x->dimension[2] * x->dimension[3] * block;
    input  = step_input(step, used, x);
    while (k < gather->sources && (gather->input[k] != input || gather->offset[k] != offset))
        k++;
    if (k == gather->sources)
        gather->sources++;
    gather->input[k]     = input;
    gather->offset[k]    = offset;
    gather->source[lane] = k;
    gather->lane[lane]   = from.channel % block;
    return 0;
}

/* A list of channels becomes a tensor of its own. */
static struct cpu_tensor *gather_blocked(struct plan *plan, int number)
{
    struct cpu_runner    *runner   = plan->runner;
    const struct value   *value    = &plan->graph->values[number];
    const struct channel *channels = plan->channels[number];
    int                   block = runner->kernels->block, used = 0;
    int                   count = (int)value->dimension[1], blocks = (count + block - 1) / block;
    struct cpu_tensor    *y = output_of(plan, number, LAYOUT_BLOCKED);
    struct cpu_step      *step;
    struct cpu_gather    *gathers;

    /* Sources first: making them may add steps. */
    for (int c = 0; c < count; c++)
        if (tensor_of(plan, channels[c].value, LAYOUT_BLOCKED) == NULL)
            return NULL;
    gathers = plan_alloc(plan, blocks, sizeof *gathers);
    step    = cpu_add_step(runner, &plan->graph->nodes[value->producer], "gather", count);
    if (y == NULL || gathers == NULL || step == NULL)
        return NULL;
    for (int c = 0; c < blocks * block; c++) {
        /* Lanes without meaning repeat the last channel: something finite. */
        struct channel     from   = channels[c < count ? c : count - 1];
        struct cpu_gather *gather = &gathers[c / block];
        int                lane   = c % block;
        if (c >= count && gather->sources == 1 && gather->lane[lane - 1] == lane - 1)
            from.channel += c - count +
                            1; /* keeps the block whole where its source has such lanes too */
        if (gather_channel(plan, step, &used, gather, lane, from) != 0)
            return NULL;
    }
    step->run          = cpu_run_gather;
    step->gathers      = gathers;
    step->gather_count = blocks;
    step->input_count  = used;
    step->output       = y;
    return y;
}

/* `count` channels of one source, side by side, into plain order at `y`. */
static int copy_channels(struct plan *plan, const struct node *node, struct channel from, int count,
                         struct cpu_tensor *y)
{
    struct cpu_runner *runner  = plan->runner;
    int                block   = runner->kernels->block;
    struct cpu_tensor *blocked = runner->tensors[from.value].blocked, *x;
    int64_t            pixels  = y->dimension[2] * y->dimension[3];
    struct cpu_step   *step;

    if (runner->tensors[from.value].plain == NULL && blocked != NULL && from.channel % block == 0) {
        x    = graph_memory_alloc(&runner->memory, 1, sizeof *x);
        step = cpu_add_step(runner, node, "to plain", 1);
        if (x == NULL || step == NULL)
            return ERR_MEMORY;
        *x = *blocked;
        x->offset += from.channel * pixels;
        step->run = cpu_run_to_plain;
    } else {
        x    = tensor_of(plan, from.value, LAYOUT_PLAIN);
        step = cpu_add_step(runner, node, "copy", 1);
        if (x == NULL || step == NULL)
            return ERR_MEMORY;
        step->run     = cpu_run_copy;
        step->strided = (struct strided){.rank      = 2,
                                         .dimension = {1, count * pixels},
                                         .stride    = {0, 1},
                                         .offset    = from.channel * pixels};
    }
    step->input[0] = x;
    step->output   = y;
    return 0;
}

static struct cpu_tensor *gather_plain(struct plan *plan, int number)
{
    const struct value   *value    = &plan->graph->values[number];
    const struct node    *node     = &plan->graph->nodes[value->producer];
    const struct channel *channels = plan->channels[number];
    struct cpu_tensor    *y        = output_of(plan, number, LAYOUT_PLAIN), *part;
    int                   count    = (int)value->dimension[1], next;

    if (y == NULL)
        return NULL;
    for (int c = 0; c < count; c = next) {
        for (next = c + 1; next < count; next++)
            if (channels[next].value != channels[c].value ||
                channels[next].channel != channels[next - 1].channel + 1)
                break;
        part = describe_tensor(plan->runner, LAYOUT_PLAIN, value);
        if (part == NULL)
            return NULL;
        part->buffer       = y->buffer;
        part->offset       = y->offset + c * value->dimension[2] * value->dimension[3];
        part->dimension[1] = next - c;
        part->floats       = (next - c) * value->dimension[2] * value->dimension[3];
        if (copy_channels(plan, node, channels[c], next - c, part) != 0)
            return NULL;
    }
    return y;
}

/* One number per channel: both layouts are the same bytes. */
static struct cpu_tensor *same_bytes(struct plan *plan, int number)
{
    struct cpu_tensor *blocked = plan->runner->tensors[number].blocked;
    struct cpu_tensor *plain   = describe_tensor(plan->runner, LAYOUT_PLAIN,
                                                 &plan->graph->values[number]);

    if (plain == NULL)
        return NULL;
    plain->buffer                              = blocked->buffer;
    plain->offset                              = blocked->offset;
    return plan->runner->tensors[number].plain = plain;
}

/* A value in the layout that a step wants; adds the steps that bring it there. NULL: no memory. */
static struct cpu_tensor *tensor_of(struct plan *plan, int number, enum layout layout)
{
    struct cpu_runner  *runner = plan->runner;
    const struct value *value  = &plan->graph->values[number];
    struct cpu_tensor  *x, *y;
    struct cpu_step    *step;

    y = *in_layout(&runner->tensors[number], layout);
    if (y != NULL)
        return y;
    if (layout == LAYOUT_PLAIN && value->floats != NULL) {
        y = describe_tensor(runner, layout, value);
        if (y != NULL)
            memcpy(&y->data, &value->floats, sizeof y->data);
        return runner->tensors[number].plain = y;
    }
    x = layout == LAYOUT_PLAIN ? runner->tensors[number].blocked : runner->tensors[number].plain;
    if (x == NULL && plan->channels[number] != NULL)
        return layout == LAYOUT_BLOCKED ? gather_blocked(plan, number) : gather_plain(plan, number);
    if (x == NULL)
        x = tensor_of(plan, number, LAYOUT_PLAIN); /* a constant */
    if (x == NULL)
        return NULL;
    if (layout == LAYOUT_PLAIN && value->dimension[2] * value->dimension[3] == 1)
        return same_bytes(plan, number);
    y    = output_of(plan, number, layout);
    step = cpu_add_step(runner, value->producer >= 0 ? &plan->graph->nodes[value->producer] : NULL,
                        layout == LAYOUT_PLAIN ? "to plain" : "to blocks", 1);
    if (y == NULL || step == NULL)
        return NULL;
    step->run      = layout == LAYOUT_PLAIN ? cpu_run_to_plain : cpu_run_from_plain;
    step->input[0] = x;
    step->output   = y;
    return y;
}

/* A step with one input and one output in the same layout. */
static struct cpu_step *plan_simple(struct plan *plan, const struct node *node, const char *what,
                                    enum layout layout, void (*run)(const struct cpu_step *))
{
    struct cpu_tensor *x    = tensor_of(plan, node->input[0], layout);
    struct cpu_tensor *y    = output_of(plan, node->output, layout);
    struct cpu_step   *step = x != NULL ? cpu_add_step(plan->runner, node, what, 1) : NULL;

    if (x == NULL || y == NULL || step == NULL)
        return NULL;
    step->input[0] = x;
    step->output   = y;
    step->run      = run;
    return step;
}

static int plan_conv(struct plan *plan, const struct node *node)
{
    enum layout        layout = cpu_conv_layout(plan->runner, node);
    struct cpu_tensor *x = tensor_of(plan, node->input[0], layout), *residual = NULL, *y;

    if (x == NULL)
        return ERR_MEMORY;
    if (node->input[3] >= 0 && (residual = tensor_of(plan, node->input[3], LAYOUT_BLOCKED)) == NULL)
        return ERR_MEMORY;
    y = output_of(plan, node->output, LAYOUT_BLOCKED);
    if (y == NULL)
        return ERR_MEMORY;
    return cpu_plan_conv(plan->runner, node, x, residual, y, plan->why);
}

static int plan_pool(struct plan *plan, const struct node *node)
{
    bool             largest = node->kind == NODE_MAX_POOL;
    struct cpu_step *step    = plan_simple(plan, node, largest ? "max pool" : "average pool",
                                           LAYOUT_BLOCKED,
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
    if (pixels > 1 && (strided.stride[strided.rank - 1] != 1 ||
                       strided.dimension[strided.rank - 1] % pixels != 0))
        return false;
    for (int64_t c = 0; c < y->dimension[1]; c++) {
        int64_t rest = c * pixels, at = strided.offset;
        for (int k = strided.rank - 1; k >= 0; k--) {
            at += rest % strided.dimension[k] * strided.stride[k];
            rest /= strided.dimension[k];
        }
        if (at % pixels != 0)
            return false;
        channels[c] = (struct channel){node->input[0], (int)(at / pixels)};
    }
    return true;
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
    const struct value *x = &plan->graph->values[node->input[0]];
    const struct value *y = &plan->graph->values[node->output];
    struct cpu_tensor  *source, *alias;
    struct cpu_step    *step;

    if (is_picture(y) && has_blocked(plan, node->input[0])) {
        struct channel *channels = plan_alloc(plan, y->dimension[1], sizeof *channels);
        if (channels == NULL)
            return ERR_MEMORY;
        if (copies_channels(plan, node, channels)) {
            resolve_channels(plan, node->output, channels);
            return 0;
        }
    }
    source = tensor_of(plan, node->input[0], LAYOUT_PLAIN);
    if (source == NULL)
        return ERR_MEMORY;
    if (source->buffer != BUFFER_NONE && graph_strided_is_reshape(&node->strided, x->elements)) {
        alias = describe_tensor(plan->runner, LAYOUT_PLAIN, y);
        if (alias == NULL)
            return ERR_MEMORY;
        alias->buffer                             = source->buffer;
        alias->offset                             = source->offset;
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

static bool joins_pictures(const struct plan *plan, const struct node *node)
{
    return node->kind == NODE_CONCAT && node->axis == 1 &&
           is_picture(&plan->graph->values[node->output]);
}

static int plan_concat(struct plan *plan, const struct node *node)
{
    const struct value *y     = &plan->graph->values[node->output];
    int64_t             inner = 1, begin = 0;
    struct cpu_step    *step;
    struct cpu_tensor  *x;

    if (joins_pictures(plan, node)) {
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
        if (tensor_of(plan, node->input[i], LAYOUT_PLAIN) == NULL)
            return ERR_MEMORY;
    for (int k = node->axis + 1; k < y->rank; k++)
        inner *= y->dimension[k];
    step = cpu_add_step(plan->runner, node, "concat", node->input_count);
    if (step == NULL)
        return ERR_MEMORY;
    step->run    = cpu_run_concat;
    step->output = output_of(plan, node->output, LAYOUT_PLAIN);
    step->pieces = plan_alloc(plan, node->input_count, sizeof *step->pieces);
    if (step->output == NULL || step->pieces == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < node->input_count; i++) {
        x                      = plan->runner->tensors[node->input[i]].plain;
        step->input[i]         = x;
        step->pieces[i].begin  = begin;
        step->pieces[i].floats = x->dimension[node->axis] * inner;
        begin += step->pieces[i].floats;
    }
    return 0;
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

    if (is_picture(y) && (has_blocked(plan, node->input[0]) || has_blocked(plan, node->input[1]))) {
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
        if ((x[i] = tensor_of(plan, node->input[i], layout[i])) == NULL)
            return ERR_MEMORY;
    step = cpu_add_step(plan->runner, node, "arithmetic", 2);
    if (step == NULL)
        return ERR_MEMORY;
    step->run      = run;
    step->input[0] = x[swap];
    step->input[1] = x[1 - swap];
    step->output   = output_of(plan, node->output,
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
    struct cpu_tensor *a = tensor_of(plan, node->input[0], LAYOUT_PLAIN);
    struct cpu_tensor *b = tensor_of(plan, node->input[1], LAYOUT_PLAIN);
    struct cpu_tensor *y = output_of(plan, node->output, LAYOUT_PLAIN);

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

static int plan_node(struct plan *plan, const struct node *node)
{
    int         rc;
    enum layout layout = has_blocked(plan, node->input[0]) ? LAYOUT_BLOCKED : LAYOUT_PLAIN;

    switch (node->kind) {
    case NODE_CONV:
        rc = need_picture(plan, node);
        return rc != 0 ? rc : plan_conv(plan, node);
    case NODE_MAX_POOL:
    case NODE_AVERAGE_POOL:
        rc = need_picture(plan, node);
        return rc != 0 ? rc : plan_pool(plan, node);
    case NODE_RESIZE:
        rc = need_picture(plan, node);
        if (rc != 0)
            return rc;
        return plan_simple(plan, node, "resize", LAYOUT_BLOCKED, cpu_run_resize) ? 0 : ERR_MEMORY;
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
    case NODE_REMOVED:
        break;
    }
    return 0;
}

static int start_plan(struct plan *plan)
{
    int64_t count = plan->graph->value_count;

    plan->runner->tensors = plan_alloc(plan, count, sizeof *plan->runner->tensors);
    plan->channels        = plan_alloc(plan, count, sizeof *plan->channels);
    plan->homes           = plan_alloc(plan, count, sizeof *plan->homes);
    plan->parent          = plan_alloc(plan, count, sizeof *plan->parent);
    plan->parent_block    = plan_alloc(plan, count, sizeof *plan->parent_block);
    plan->runner->input   = describe_tensor(plan->runner, LAYOUT_PLAIN,
                                            &plan->graph->values[plan->graph->input]);
    if (plan->runner->tensors == NULL || plan->channels == NULL || plan->homes == NULL ||
        plan->parent == NULL || plan->parent_block == NULL || plan->runner->input == NULL)
        return ERR_MEMORY;
    plan->runner->tensors[plan->graph->input].plain = plan->runner->input;
    for (int64_t i = 0; i < count; i++)
        plan->parent[i] = -1;
    for (int i = 0; i < plan->graph->node_count; i++)
        if (joins_pictures(plan, &plan->graph->nodes[i]))
            adopt_parts(plan, &plan->graph->nodes[i]);
    return 0;
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
        runner->outputs[i] = tensor_of(&plan, plan.graph->outputs[i], LAYOUT_PLAIN);
        if (runner->outputs[i] == NULL)
            rc = ERR_MEMORY;
    }
    if (rc == 0)
        find_lifetimes(runner);
    return rc;
}
