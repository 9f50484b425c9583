/* Which values lie as codes, and the 8-bit steps but for convolutions.
 *
 * A convolution runs in 8 bits when the ranges of its input and output are known. Joined, sliced,
 * pooled and enlarged pictures stay codes: each channel keeps the scale that it was born with. */
#include "gpu/cpu/cpu_codes.h"

#include "config/err.h"

#include <math.h>
#include <string.h>

const struct calibrated *cpu_codes_range(const struct plan *plan, int value)
{
    const struct value      *v     = &plan->graph->values[value];
    const struct calibrated *range = calibration_find(plan->runner->calibration, v->name);

    if (range == NULL || v->rank != 4 || v->dimension[0] != 1 || range->channels != v->dimension[1])
        return NULL;
    return range;
}

static bool moves_codes(const struct node *node)
{
    return node->kind == NODE_MAX_POOL ||
           (node->kind == NODE_RESIZE && node->resize.kind == RESIZE_NEAREST);
}

static void want(struct plan *plan, int value)
{
    plan->wants_codes[value] = true;
}

/* False: a convolution that has no form from codes to floats. */
static bool gives_floats(const struct plan *plan, const struct node *node)
{
    return node->input[3] < 0 && node->window.groups == 1 &&
           plan->runner->kernels->block == INT8_BLOCK;
}

static void find_wanted(struct plan *plan, const struct node *node)
{
    if (node->kind == NODE_CONV) {
        const struct calibrated *range = cpu_codes_range(plan, node->output);
        if (!cpu_codes_conv_fits(plan, node) || range == NULL || range->keep_float)
            return;
        if (!cpu_codes_is_stem(plan, node))
            want(plan, node->input[0]);
        if (plan->runner->calibration->eager && !gives_floats(plan, node))
            want(plan, node->output);
        if (node->input[3] >= 0 && plan->wants_codes[node->output])
            want(plan, node->input[3]);
        return;
    }
    if (!plan->wants_codes[node->output])
        return;
    if (moves_codes(node) || (node->kind == NODE_COPY && plan_copies_channels(plan, node)))
        want(plan, node->input[0]);
    else if (plan_joins_pictures(plan, node))
        for (int i = 0; i < node->input_count; i++)
            want(plan, node->input[i]);
}

int cpu_codes_begin(struct plan *plan)
{
    plan->wants_codes = plan_alloc(plan, plan->graph->value_count, sizeof *plan->wants_codes);
    if (plan->wants_codes == NULL)
        return ERR_MEMORY;
    if (plan->runner->int8 == NULL)
        return 0;
    for (int i = plan->graph->node_count - 1; i >= 0; i--)
        if (plan->graph->nodes[i].kind != NODE_REMOVED)
            find_wanted(plan, &plan->graph->nodes[i]);
    return 0;
}

/* True when the value lies as codes, or can be brought there. */
static bool can_be_codes(const struct plan *plan, int value)
{
    const struct channel *channels = plan->channels[value];

    if (plan->runner->tensors[value].codes != NULL)
        return true;
    if (channels == NULL)
        return cpu_codes_range(plan, value) != NULL;
    for (int64_t c = 0; c < plan->graph->values[value].dimension[1]; c++)
        if ((c == 0 || channels[c].value != channels[c - 1].value) &&
            !can_be_codes(plan, channels[c].value))
            return false;
    return true;
}

/* True when the value lies as codes already, whole or in parts. */
static bool lies_as_codes(const struct plan *plan, int value)
{
    const struct channel *channels = plan->channels[value];

    for (int64_t c = 0; channels != NULL && c < plan->graph->values[value].dimension[1]; c++)
        if (plan->runner->tensors[channels[c].value].codes == NULL)
            return false;
    return channels != NULL || plan->runner->tensors[value].codes != NULL;
}

static bool takes_conv(const struct plan *plan, const struct node *node)
{
    const struct calibrated *range = cpu_codes_range(plan, node->output);
    bool                     gives = plan->wants_codes[node->output];

    if (!cpu_codes_conv_fits(plan, node) || range == NULL || range->keep_float)
        return false;
    if (!gives && !gives_floats(plan, node))
        return false;
    if (node->input[3] >= 0 &&
        (!can_be_codes(plan, node->input[3]) || (node->residual == RESIDUAL_BEFORE_ACTIVATION &&
                                                 (node->activation.kind == ACTIVATION_SILU ||
                                                  node->activation.kind == ACTIVATION_HARD_SWISH))))
        return false;
    return cpu_codes_is_stem(plan, node) ? cpu_codes_range(plan, node->input[0]) != NULL
                                         : can_be_codes(plan, node->input[0]);
}

bool cpu_codes_takes(const struct plan *plan, const struct node *node)
{
    if (plan->runner->int8 == NULL)
        return false;
    if (node->kind == NODE_CONV)
        return takes_conv(plan, node);
    return moves_codes(node) && plan->wants_codes[node->output] &&
           lies_as_codes(plan, node->input[0]);
}

struct cpu_scales *cpu_codes_scales(struct plan *plan, int64_t channels)
{
    struct cpu_scales *scales = plan_alloc(plan, 1, sizeof *scales);
    int64_t            lanes  = (channels + INT8_BLOCK - 1) / INT8_BLOCK * INT8_BLOCK;

    if (scales == NULL)
        return NULL;
    scales->scale = plan_alloc(plan, lanes, sizeof *scales->scale);
    scales->zero  = plan_alloc(plan, lanes, sizeof *scales->zero);
    scales->mean  = plan_alloc(plan, lanes, sizeof *scales->mean);
    return scales->scale != NULL && scales->zero != NULL && scales->mean != NULL ? scales : NULL;
}

struct cpu_step *cpu_codes_step(struct plan *plan, const struct node *node, const char *what,
                                int inputs)
{
    struct cpu_codes *codes = plan_alloc(plan, 1, sizeof *codes);
    struct cpu_step  *step  = codes != NULL ? cpu_add_step(plan->runner, node, what, inputs) : NULL;

    if (step == NULL)
        return NULL;
    codes->kernels       = plan->runner->int8;
    step->codes          = codes;
    step->implementation = plan->runner->int8->name;
    return step;
}

/* A pool, or a picture made larger: the codes stay what they are. */
static int plan_move(struct plan *plan, const struct node *node)
{
    struct cpu_tensor *x = cpu_codes_tensor(plan, node->input[0]);
    struct cpu_tensor *y = plan_output(plan, node->output, LAYOUT_CODES);
    struct cpu_step   *step;
    struct int8_pool  *pool;

    if (x == NULL || y == NULL)
        return ERR_MEMORY;
    step = cpu_codes_step(plan, node, node->kind == NODE_MAX_POOL ? "max pool" : "resize", 1);
    if (step == NULL)
        return ERR_MEMORY;
    if (node->kind == NODE_RESIZE && (step->columns = plan_resize_columns(plan, node)) == NULL)
        return ERR_MEMORY;
    y->scales        = x->scales;
    step->input[0]   = x;
    step->output     = y;
    step->run        = node->kind == NODE_MAX_POOL ? cpu_codes_run_pool : cpu_codes_run_resize;
    pool             = &step->codes->pool;
    pool->window     = node->window;
    pool->blocks     = (y->dimension[1] + INT8_BLOCK - 1) / INT8_BLOCK;
    pool->in_height  = x->dimension[2];
    pool->in_width   = x->dimension[3];
    pool->out_height = y->dimension[2];
    pool->out_width  = y->dimension[3];
    return 0;
}

int cpu_codes_node(struct plan *plan, const struct node *node)
{
    return node->kind == NODE_CONV ? cpu_codes_conv(plan, node) : plan_move(plan, node);
}

/* ---- bringing values to codes and back ---- */

/* Scale and zero of the ranges that were measured. */
static struct cpu_scales *scales_of_range(struct plan *plan, const struct calibrated *range)
{
    struct cpu_scales *scales = cpu_codes_scales(plan, range->channels);

    for (int c = 0; scales != NULL && c < range->channels; c++) {
        float span       = range->high[c] - range->low[c];
        scales->scale[c] = span > 0 ? span / 255 : 1.0F / 255;
        scales->zero[c]  = (uint8_t)fminf(rintf(-range->low[c] / scales->scale[c]), 255);
        scales->mean[c]  = range->mean[c];
    }
    return scales;
}

/* The numbers with which a step goes between floats and codes. */
static int scale_step(struct plan *plan, struct cpu_step *step, const struct cpu_tensor *codes,
                      bool to_floats)
{
    int64_t lanes = (codes->dimension[1] + INT8_BLOCK - 1) / INT8_BLOCK * INT8_BLOCK;

    step->codes->scale = plan_alloc(plan, lanes, sizeof(float));
    step->codes->zero  = plan_alloc(plan, lanes, sizeof(float));
    if (step->codes->scale == NULL || step->codes->zero == NULL)
        return ERR_MEMORY;
    for (int64_t c = 0; c < codes->dimension[1]; c++) {
        float scale           = codes->scales->scale[c];
        step->codes->scale[c] = to_floats ? scale : 1 / scale;
        step->codes->zero[c]  = codes->scales->zero[c];
    }
    return 0;
}

static struct cpu_tensor *from_floats(struct plan *plan, int value)
{
    const struct calibrated *range    = cpu_codes_range(plan, value);
    struct cpu_tensor       *x        = plan_tensor(plan, value, LAYOUT_BLOCKED);
    struct cpu_tensor       *y        = plan_output(plan, value, LAYOUT_CODES);
    int                      producer = plan->graph->values[value].producer;
    struct cpu_step         *step;

    if (x == NULL || y == NULL || range == NULL)
        return NULL;
    y->scales = scales_of_range(plan, range);
    step = cpu_codes_step(plan, producer >= 0 ? &plan->graph->nodes[producer] : NULL, "to codes",
                          1);
    if (y->scales == NULL || step == NULL || scale_step(plan, step, y, false) != 0)
        return NULL;
    step->input[0] = x;
    step->output   = y;
    step->run      = cpu_codes_run_from_floats;
    return y;
}

struct cpu_tensor *cpu_codes_to_blocked(struct plan *plan, int value)
{
    struct cpu_tensor *x = plan->runner->tensors[value].codes;
    struct cpu_tensor *y = plan_output(plan, value, LAYOUT_BLOCKED);
    struct cpu_step   *step;
    int                producer = plan->graph->values[value].producer;

    if (y == NULL)
        return NULL;
    step = cpu_codes_step(plan, producer >= 0 ? &plan->graph->nodes[producer] : NULL, "to floats",
                          1);
    if (step == NULL || scale_step(plan, step, x, true) != 0)
        return NULL;
    step->input[0] = x;
    step->output   = y;
    step->run      = cpu_codes_run_to_floats;
    return y;
}

/* A list of channels becomes a tensor of its own. */
static struct cpu_tensor *gather_codes(struct plan *plan, int number)
{
    const struct value   *value    = &plan->graph->values[number];
    const struct channel *channels = plan->channels[number];
    int                   count = (int)value->dimension[1], used = 0;
    int                   blocks  = (count + INT8_BLOCK - 1) / INT8_BLOCK;
    struct cpu_tensor    *y       = plan_output(plan, number, LAYOUT_CODES);
    struct cpu_scales    *scales  = cpu_codes_scales(plan, count);
    struct cpu_gather    *gathers = plan_alloc(plan, blocks, sizeof *gathers);
    struct cpu_step      *step;

    if (y == NULL || scales == NULL || gathers == NULL)
        return NULL;
    /* Sources first: making them may add steps. */
    for (int c = 0; c < count; c++) {
        const struct cpu_tensor *x = cpu_codes_tensor(plan, channels[c].value);
        if (x == NULL)
            return NULL;
        scales->scale[c] = x->scales->scale[channels[c].channel];
        scales->zero[c]  = x->scales->zero[channels[c].channel];
        scales->mean[c]  = x->scales->mean[channels[c].channel];
    }
    y->scales = scales;
    step      = cpu_codes_step(plan, &plan->graph->nodes[value->producer], "gather", count);
    if (step == NULL)
        return NULL;
    for (int c = 0; c < blocks * INT8_BLOCK; c++) {
        /* Lanes without meaning go on in the source, so that a block is copied whole. */
        struct channel     from   = channels[c < count ? c : count - 1];
        struct cpu_gather *gather = &gathers[c / INT8_BLOCK];
        if (c >= count && gather->sources == 1 &&
            from.channel % INT8_BLOCK == (count - 1) % INT8_BLOCK)
            from.channel += c - count + 1;
        plan_gather_lane(step, &used, gather, c % INT8_BLOCK,
                         plan->runner->tensors[from.value].codes, from.channel, INT8_BLOCK);
    }
    step->run          = cpu_codes_run_gather;
    step->gathers      = gathers;
    step->gather_count = blocks;
    step->input_count  = used;
    step->output       = y;
    return y;
}

struct cpu_tensor *cpu_codes_tensor(struct plan *plan, int value)
{
    struct cpu_tensor *codes = plan->runner->tensors[value].codes;

    if (codes != NULL)
        return codes;
    return plan->channels[value] != NULL ? gather_codes(plan, value) : from_floats(plan, value);
}
