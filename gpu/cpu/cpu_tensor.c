/* Where values lie, and the steps that bring them from one layout to the other. */
#include "gpu/cpu/cpu_plan.h"

#include "config/err.h"
#include "gpu/cpu/cpu_codes.h"

#include <limits.h>
#include <string.h>

static struct cpu_tensor **in_layout(struct cpu_layouts *layouts, enum layout layout)
{
    return layout == LAYOUT_PLAIN     ? &layouts->plain
           : layout == LAYOUT_BLOCKED ? &layouts->blocked
                                      : &layouts->codes;
}

void *plan_alloc(struct plan *plan, int64_t count, size_t size)
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

struct cpu_tensor *plan_describe(struct cpu_runner *runner, enum layout layout,
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
    if (layout == LAYOUT_CODES)
        tensor->floats = (value->dimension[1] + INT8_BLOCK - 1) / INT8_BLOCK * INT8_BLOCK *
                         value->dimension[2] * value->dimension[3] / (int64_t)sizeof(float);
    return tensor;
}

struct cpu_tensor *cpu_add_tensor(struct cpu_runner *runner, enum layout layout,
                                  const struct value *value)
{
    struct cpu_tensor *tensor = plan_describe(runner, layout, value);

    if (tensor == NULL)
        return NULL;
    tensor->buffer = add_buffer(runner, tensor->floats);
    return tensor->buffer >= 0 ? tensor : NULL;
}

static bool lies_in_parent(const struct plan *plan, int number, enum layout layout)
{
    int parent = plan->parent[number];

    if (layout == LAYOUT_PLAIN || parent < 0)
        return false;
    return layout == LAYOUT_BLOCKED ||
           (plan->wants_codes[parent] &&
            plan->parent_block[number] * plan->runner->kernels->block % INT8_BLOCK == 0);
}

/* Where a value will lie: in the value that it is joined into, or in a buffer of its own. */
static struct cpu_tensor *home_of(struct plan *plan, int number, enum layout layout)
{
    const struct value *value = &plan->graph->values[number];
    struct cpu_tensor  *parent, **home = in_layout(&plan->homes[number], layout);
    int64_t             offset;

    if (*home != NULL)
        return *home;
    if (!lies_in_parent(plan, number, layout))
        return *home = cpu_add_tensor(plan->runner, layout, value);
    parent = home_of(plan, plan->parent[number], layout);
    if (parent == NULL || (*home = plan_describe(plan->runner, layout, value)) == NULL)
        return NULL;
    (*home)->buffer = parent->buffer;
    offset          = (int64_t)plan->parent_block[number] * plan->runner->kernels->block *
             value->dimension[2] * value->dimension[3];
    (*home)->offset = parent->offset +
                      (layout == LAYOUT_CODES ? offset / (int64_t)sizeof(float) : offset);
    return *home;
}

struct cpu_tensor *plan_output(struct plan *plan, int value, enum layout layout)
{
    return *in_layout(&plan->runner->tensors[value], layout) = home_of(plan, value, layout);
}

bool plan_has_blocked(const struct plan *plan, int value)
{
    return plan->runner->tensors[value].blocked != NULL ||
           plan->runner->tensors[value].codes != NULL || plan->channels[value] != NULL;
}

int plan_step_input(struct cpu_step *step, int *used, struct cpu_tensor *tensor)
{
    for (int i = 0; i < *used; i++)
        if (step->input[i] == tensor)
            return i;
    step->input[*used] = tensor;
    return (*used)++;
}

void plan_gather_lane(struct cpu_step *step, int *used, struct cpu_gather *gather, int lane,
                      struct cpu_tensor *x, int channel, int block)
{
    int64_t offset = channel / block * x->dimension[2] * x->dimension[3] * block;
    int     input = plan_step_input(step, used, x), k = 0;

    while (k < gather->sources && (gather->input[k] != input || gather->offset[k] != offset))
        k++;
    if (k == gather->sources)
        gather->sources++;
    gather->input[k]     = input;
    gather->offset[k]    = offset;
    gather->source[lane] = k;
    gather->lane[lane]   = channel % block;
}

static int gather_channel(struct plan *plan, struct cpu_step *step, int *used,
                          struct cpu_gather *gather, int lane, struct channel from)
{
    struct cpu_tensor *x = plan_tensor(plan, from.value, LAYOUT_BLOCKED);

    if (x == NULL)
        return ERR_MEMORY;
    plan_gather_lane(step, used, gather, lane, x, from.channel, plan->runner->kernels->block);
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
    struct cpu_tensor    *y = plan_output(plan, number, LAYOUT_BLOCKED);
    struct cpu_step      *step;
    struct cpu_gather    *gathers;

    /* Sources first: making them may add steps. */
    for (int c = 0; c < count; c++)
        if (plan_tensor(plan, channels[c].value, LAYOUT_BLOCKED) == NULL)
            return NULL;
    gathers = plan_alloc(plan, blocks, sizeof *gathers);
    step    = cpu_add_step(runner, &plan->graph->nodes[value->producer], "gather", count);
    if (y == NULL || gathers == NULL || step == NULL)
        return NULL;
    for (int c = 0; c < blocks * block; c++) {
        /* Lanes without meaning repeat the last channel: something finite. Where that stands in the
         * same lane of its source, they go on from there, so that the block is copied whole. */
        struct channel     from   = channels[c < count ? c : count - 1];
        struct cpu_gather *gather = &gathers[c / block];
        int                lane   = c % block;
        if (c >= count && gather->sources == 1 && from.channel % block == (count - 1) % block)
            from.channel += c - count + 1;
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
        cpu_step_to_plain(step, x, y);
        return 0;
    }
    x    = plan_tensor(plan, from.value, LAYOUT_PLAIN);
    step = cpu_add_step(runner, node, "copy", 1);
    if (x == NULL || step == NULL)
        return ERR_MEMORY;
    step->run      = cpu_run_copy;
    step->strided  = (struct strided){.rank      = 2,
                                      .dimension = {1, count * pixels},
                                      .stride    = {0, 1},
                                      .offset    = from.channel * pixels};
    step->input[0] = x;
    step->output   = y;
    return 0;
}

static struct cpu_tensor *gather_plain(struct plan *plan, int number)
{
    const struct value   *value    = &plan->graph->values[number];
    const struct node    *node     = &plan->graph->nodes[value->producer];
    const struct channel *channels = plan->channels[number];
    struct cpu_tensor    *y        = plan_output(plan, number, LAYOUT_PLAIN), *part;
    int                   count    = (int)value->dimension[1], next;

    if (y == NULL)
        return NULL;
    for (int c = 0; c < count; c = next) {
        for (next = c + 1; next < count; next++)
            if (channels[next].value != channels[c].value ||
                channels[next].channel != channels[next - 1].channel + 1)
                break;
        part = plan_describe(plan->runner, LAYOUT_PLAIN, value);
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
    struct cpu_tensor *plain   = plan_describe(plan->runner, LAYOUT_PLAIN,
                                               &plan->graph->values[number]);

    if (plain == NULL)
        return NULL;
    plain->buffer                              = blocked->buffer;
    plain->offset                              = blocked->offset;
    return plan->runner->tensors[number].plain = plain;
}

struct cpu_tensor *plan_tensor(struct plan *plan, int number, enum layout layout)
{
    struct cpu_runner  *runner = plan->runner;
    const struct value *value  = &plan->graph->values[number];
    struct cpu_tensor  *x, *y;
    struct cpu_step    *step;

    y = *in_layout(&runner->tensors[number], layout);
    if (y != NULL)
        return y;
    if (layout == LAYOUT_CODES)
        return cpu_codes_tensor(plan, number);
    if (runner->tensors[number].codes != NULL && runner->tensors[number].blocked == NULL &&
        runner->tensors[number].plain == NULL &&
        (cpu_codes_to_blocked(plan, number) == NULL || layout == LAYOUT_BLOCKED))
        return runner->tensors[number].blocked;
    if (layout == LAYOUT_PLAIN && value->floats != NULL) {
        y = plan_describe(runner, layout, value);
        if (y != NULL)
            memcpy(&y->data, &value->floats, sizeof y->data);
        return runner->tensors[number].plain = y;
    }
    x = layout == LAYOUT_PLAIN ? runner->tensors[number].blocked : runner->tensors[number].plain;
    if (x == NULL && plan->channels[number] != NULL)
        return layout == LAYOUT_BLOCKED ? gather_blocked(plan, number) : gather_plain(plan, number);
    if (x == NULL)
        x = plan_tensor(plan, number, LAYOUT_PLAIN); /* a constant */
    if (x == NULL)
        return NULL;
    if (layout == LAYOUT_PLAIN && value->dimension[2] * value->dimension[3] == 1)
        return same_bytes(plan, number);
    y    = plan_output(plan, number, layout);
    step = cpu_add_step(runner, value->producer >= 0 ? &plan->graph->nodes[value->producer] : NULL,
                        layout == LAYOUT_PLAIN ? "to plain" : "to blocks", 1);
    if (y == NULL || step == NULL)
        return NULL;
    if (layout == LAYOUT_PLAIN) {
        cpu_step_to_plain(step, x, y);
        return y;
    }
    step->run      = cpu_run_from_plain;
    step->input[0] = x;
    step->output   = y;
    return y;
}
