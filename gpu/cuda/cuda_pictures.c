/* The steps of a plan over pictures: convolutions, pools, and what is done channel by channel. */
#include "gpu/cuda/cuda_builder.h"

#include "config/err.h"
#include "gpu/cuda/cuda_body.h"

#include <string.h>

static const struct value *value_of(const struct cuda_builder *builder, int input)
{
    return &builder->graph->values[builder->node->input[input]];
}

static struct cuda_window window_of(const struct window *window)
{
    struct cuda_window out;

    for (int i = 0; i < 2; i++) {
        out.kernel[i]    = window->kernel[i];
        out.stride[i]    = window->stride[i];
        out.dilation[i]  = window->dilation[i];
        out.pad_begin[i] = window->pad_begin[i];
    }
    return out;
}

static int need_picture(struct cuda_builder *builder)
{
    char text[160];

    if (builder_is_picture(value_of(builder, 0)))
        return 0;
    graph_describe_node(builder->node, text, sizeof text);
    return why_set(builder->why, ERR_UNSUPPORTED, "%s: works on batches of one picture only", text);
}

/* ---- convolutions ---- */

/* What a graph of cuDNN can end with (gpu/cuda/cuda_cudnn.c). */
static bool ends_convolution(const struct activation *activation)
{
    return activation->kind != ACTIVATION_HARD_SIGMOID &&
           activation->kind != ACTIVATION_HARD_SWISH &&
           (activation->kind != ACTIVATION_CLIP || activation->a < activation->b);
}

static bool is_depthwise(const struct cuda_builder *builder)
{
    const struct value *w = value_of(builder, 1);

    return builder->node->window.groups > 1 && w->dimension[1] == 1 &&
           w->dimension[0] == builder->node->window.groups;
}

/* Depthwise kh×kw×lanes, else lanes × kh × kw × lanes of a group's inputs (exactly so many where
 * there are several groups). */
static int pack_weights(struct cuda_builder *builder, struct cuda_step *step)
{
    const struct value *w    = value_of(builder, 1);
    int64_t             taps = w->dimension[2] * w->dimension[3], inner = w->dimension[1];
    int64_t             outer = round_lanes(w->dimension[0]);
    int64_t             count;
    half_bits          *to;

    if (step->kind == CUDA_STEP_CONV)
        inner = round_lanes(inner);
    count         = step->kind == CUDA_STEP_DEPTHWISE ? taps * outer : outer * taps * inner;
    step->weights = builder_constant(builder, count * (int64_t)sizeof *to);
    if (step->weights < 0)
        return (int)step->weights;
    to = (half_bits *)(void *)(builder->plan->constants + step->weights);
    for (int64_t m = 0; m < w->dimension[0]; m++)
        for (int64_t c = 0; c < w->dimension[1]; c++)
            for (int64_t t = 0; t < taps; t++) {
                half_bits x = half_store(w->floats[(m * w->dimension[1] + c) * taps + t]);

                if (step->kind == CUDA_STEP_DEPTHWISE)
                    to[t * outer + m] = x;
                else
                    to[(m * taps + t) * inner + c] = x;
            }
    step->args.conv.weight_pitch = (int32_t)(taps * inner);
    step->args.conv.group_in     = (int32_t)inner;
    step->args.conv.group_out    = (int32_t)(step->kind == CUDA_STEP_GROUPED
                                                 ? w->dimension[0] / builder->node->window.groups
                                                 : outer);
    return 0;
}

static int pack_bias(struct cuda_builder *builder, struct cuda_step *step)
{
    int64_t             count = value_of(builder, 1)->dimension[0];
    const struct value *bias  = builder->node->input[2] >= 0 ? value_of(builder, 2) : NULL;

    step->bias = builder_constant(builder, round_lanes(count) * (int64_t)sizeof(float));
    if (step->bias < 0)
        return (int)step->bias;
    if (bias != NULL)
        memcpy(builder->plan->constants + step->bias, bias->floats, (size_t)count * sizeof(float));
    return 0;
}

/* What the convolution could not end with, over its own output. */
static int add_tail(struct cuda_builder *builder, struct cuda_tensor *y,
                    struct cuda_tensor *residual)
{
    struct cuda_step *step = builder_step(builder, CUDA_STEP_LANES);

    if (step == NULL)
        return ERR_MEMORY;
    step->input[0]   = y;
    step->output     = y;
    step->args.lanes = (struct cuda_lanes){.a          = picture_of(y),
                                           .y          = picture_of(y),
                                           .activation = activation_of(&builder->node->activation)};
    if (residual != NULL) {
        step->input[2]            = residual;
        step->args.lanes.r        = picture_of(residual);
        step->args.lanes.residual = RESIDUAL_AFTER_ACTIVATION;
    }
    return 0;
}

static bool is_pointwise(const struct window *window)
{
    return window->kernel[0] == 1 && window->kernel[1] == 1 && window->stride[0] == 1 &&
           window->stride[1] == 1 && window->groups == 1 &&
           (window->pad_begin[0] | window->pad_begin[1] | window->pad_end[0] |
            window->pad_end[1]) == 0;
}

int plan_conv(struct cuda_builder *builder)
{
    const struct node  *node = builder->node;
    struct cuda_tensor *x, *y, *residual = NULL;
    struct cuda_step   *step;
    enum cuda_step_kind kind = is_depthwise(builder)     ? CUDA_STEP_DEPTHWISE
                               : node->window.groups > 1 ? CUDA_STEP_GROUPED
                                                         : CUDA_STEP_CONV;
    bool splits = kind == CUDA_STEP_CONV && !ends_convolution(&node->activation), later;
    int  rc     = need_picture(builder);

    if (rc != 0)
        return rc;
    if (value_of(builder, 1)->floats == NULL ||
        (node->input[2] >= 0 && value_of(builder, 2)->floats == NULL)) {
        char text[160];

        graph_describe_node(node, text, sizeof text);
        return why_set(builder->why, ERR_UNSUPPORTED, "%s: its weights are not constant", text);
    }
    if (is_pointwise(&node->window) && value_of(builder, 1)->dimension[0] < CUDA_LANES &&
        node->input[3] < 0 && !builder_has_picture(builder, node->input[0]))
        return plan_conv_as_matmul(builder);
    if ((x = builder_picture(builder, node->input[0])) == NULL)
        return ERR_MEMORY;
    if (node->input[3] >= 0 && (residual = builder_picture(builder, node->input[3])) == NULL)
        return ERR_MEMORY;
    y = builder_new_picture(builder, node->output);
    if (y == NULL || (step = builder_step(builder, kind)) == NULL)
        return ERR_MEMORY;
    later           = splits && node->residual == RESIDUAL_AFTER_ACTIVATION;
    step->input[0]  = x;
    step->output    = y;
    step->args.conv = (struct cuda_conv){.x      = picture_of(x),
                                         .y      = picture_of(y),
                                         .window = window_of(&node->window),
                                         .groups = node->window.groups};
    if (!splits)
        step->args.conv.activation = activation_of(&node->activation);
    if (residual != NULL && !later) {
        step->input[2]           = residual;
        step->args.conv.r        = picture_of(residual);
        step->args.conv.residual = (int32_t)node->residual;
    }
    if ((rc = pack_weights(builder, step)) != 0 || (rc = pack_bias(builder, step)) != 0)
        return rc;
    return splits ? add_tail(builder, y, later ? residual : NULL) : 0;
}

/* ---- windows ---- */

static struct cuda_step *simple(struct cuda_builder *builder, enum cuda_step_kind kind)
{
    struct cuda_tensor *x = builder_picture(builder, builder->node->input[0]);
    struct cuda_tensor *y = builder_new_picture(builder, builder->node->output);
    struct cuda_step   *step;

    if (x == NULL || y == NULL || (step = builder_step(builder, kind)) == NULL)
        return NULL;
    step->input[0] = x;
    step->output   = y;
    return step;
}

int plan_pool(struct cuda_builder *builder)
{
    const struct window *window = &builder->node->window;
    struct cuda_step    *step;
    int                  rc = need_picture(builder);

    if (rc != 0)
        return rc;
    if ((step = simple(builder, CUDA_STEP_POOL)) == NULL)
        return ERR_MEMORY;
    step->args.pool = (struct cuda_pool){.x             = picture_of(step->input[0]),
                                         .y             = picture_of(step->output),
                                         .window        = window_of(window),
                                         .is_max        = builder->node->kind == NODE_MAX_POOL,
                                         .count_padding = window->count_padding,
                                         .pad_end       = {window->pad_end[0], window->pad_end[1]}};
    return 0;
}

int plan_resize(struct cuda_builder *builder)
{
    const struct node *node = builder->node;
    struct cuda_step  *step;
    int                rc = need_picture(builder);

    if (rc != 0)
        return rc;
    if ((step = simple(builder, CUDA_STEP_RESIZE)) == NULL)
        return ERR_MEMORY;
    step->args.resize = (struct cuda_resize){
        .x           = picture_of(step->input[0]),
        .y           = picture_of(step->output),
        .is_linear   = node->resize.kind == RESIZE_LINEAR,
        .coordinates = (int32_t)node->resize.coordinates,
        .rounding    = (int32_t)node->resize.rounding,
        .scale       = {node->resize.scale[0], node->resize.scale[1]}};
    return 0;
}

int plan_mean(struct cuda_builder *builder)
{
    const struct node *node = builder->node;
    struct cuda_step  *step;

    if (node->axes != 12U || !builder_has_picture(builder, node->input[0]) ||
        !builder_is_picture(&builder->graph->values[node->output]))
        return plan_reduce(builder);
    if ((step = simple(builder, CUDA_STEP_MEAN)) == NULL)
        return ERR_MEMORY;
    step->args.mean = (struct cuda_mean){.x = picture_of(step->input[0]),
                                         .y = picture_of(step->output)};
    return 0;
}

/* ---- activations and arithmetic ---- */

static bool same_shape(const struct value *a, const struct value *b)
{
    return a->rank == b->rank &&
           memcmp(a->dimension, b->dimension, (size_t)a->rank * sizeof *a->dimension) == 0;
}

/* How `operand` stands beside a picture of y's shape, or -1. */
static int operand_kind(const struct cuda_builder *builder, int operand)
{
    const struct value *b  = &builder->graph->values[operand];
    const struct value *y  = &builder->graph->values[builder->node->output];
    int                 at = b->rank - 3;

    if (b->floats != NULL && b->elements == 1)
        return OPERAND_SCALAR;
    if (b->floats != NULL && at >= 0 && at <= 1 && b->dimension[at] == y->dimension[1] &&
        b->elements == y->dimension[1])
        return OPERAND_CONSTANT_CHANNELS;
    if (!builder_has_picture(builder, operand))
        return -1;
    if (same_shape(b, y))
        return OPERAND_SAME;
    if (b->dimension[1] == y->dimension[1] && b->elements == y->dimension[1])
        return OPERAND_PICTURE_CHANNELS;
    return -1;
}

/* Which input is the picture of y's shape, and how the other stands beside it. */
static bool find_operands(const struct cuda_builder *builder, int *picture, int *kind)
{
    const struct node  *node = builder->node;
    const struct value *y    = &builder->graph->values[node->output];

    for (int i = 0; i < 2; i++) {
        if (!same_shape(value_of(builder, i), y) || !builder_has_picture(builder, node->input[i]))
            continue;
        *picture = i;
        *kind    = operand_kind(builder, node->input[1 - i]);
        if (*kind >= 0)
            return true;
    }
    return false;
}

bool lanes_fit(const struct cuda_builder *builder)
{
    int picture, kind;

    if (builder->node->kind != NODE_BINARY)
        return builder_has_picture(builder, builder->node->input[0]);
    return builder_is_picture(&builder->graph->values[builder->node->output]) &&
           find_operands(builder, &picture, &kind);
}

static int bind_operand(struct cuda_builder *builder, struct cuda_step *step, int operand, int kind)
{
    const struct value *b    = &builder->graph->values[operand];
    struct cuda_lanes  *args = &step->args.lanes;

    args->has_b   = 1;
    args->operand = kind;
    args->binary  = (int32_t)builder->node->binary;
    if (kind == OPERAND_SCALAR) {
        args->scalar = b->floats[0];
    } else if (kind == OPERAND_CONSTANT_CHANNELS) {
        step->table = builder_constant(builder, round_lanes(b->elements) * (int64_t)sizeof(float));
        if (step->table < 0)
            return (int)step->table;
        memcpy(builder->plan->constants + step->table, b->floats,
               (size_t)b->elements * sizeof(float));
    } else {
        step->input[1] = builder_picture(builder, operand);
        args->b        = picture_of(step->input[1]);
    }
    return 0;
}

int plan_lanes(struct cuda_builder *builder)
{
    const struct node  *node    = builder->node;
    int                 picture = 0, kind = -1;
    struct cuda_tensor *x, *y;
    struct cuda_step   *step;

    if (node->kind == NODE_BINARY)
        find_operands(builder, &picture, &kind);
    x = builder_picture(builder, node->input[picture]);
    y = builder_new_picture(builder, node->output);
    if (x == NULL || y == NULL || (step = builder_step(builder, CUDA_STEP_LANES)) == NULL)
        return ERR_MEMORY;
    step->input[0]   = x;
    step->output     = y;
    step->args.lanes = (struct cuda_lanes){.a          = picture_of(x),
                                           .y          = picture_of(y),
                                           .swapped    = picture == 1,
                                           .activation = builder_activation(builder)};
    return node->kind == NODE_BINARY ? bind_operand(builder, step, node->input[1 - picture], kind)
                                     : 0;
}

/* ---- channels ---- */

/* `count` channels of x, named in `map`, into the first ones of y; lanes behind them count too. */
static int add_channels(struct cuda_builder *builder, struct cuda_tensor *x, struct cuda_tensor *y,
                        const int32_t *map, int64_t count)
{
    struct cuda_step *step;
    int32_t          *table, from = map[0];
    bool              aligned = from >= 0 && from % CUDA_LANES == 0 &&
                   y->offset % (CUDA_LANES * (int64_t)sizeof(half_bits)) == 0;

    for (int64_t i = 0; i < count && aligned; i++)
        aligned = map[i] == from + i;
    /* Whole lanes are written: what follows must be nobody else's. */
    aligned = aligned && (count % CUDA_LANES == 0);
    if ((step = builder_step(builder, CUDA_STEP_CHANNELS)) == NULL)
        return ERR_MEMORY;
    step->input[0]                   = x;
    step->output                     = y;
    step->args.channels.x            = picture_of(x);
    step->args.channels.y            = picture_of(y);
    step->args.channels.y.channels   = (uint32_t)count;
    step->args.channels.aligned_from = aligned ? from : -1;
    step->table                      = builder_constant(builder, count * (int64_t)sizeof *table);
    if (step->table < 0)
        return (int)step->table;
    memcpy(builder->plan->constants + step->table, map, (size_t)count * sizeof *map);
    return 0;
}

/* Input `index` of a concatenation into its place in y, channels `begin` and on. */
static int join_part(struct cuda_builder *builder, struct cuda_tensor *y, int index, int64_t begin)
{
    struct cuda_tensor *x = builder_picture(builder, builder->node->input[index]), *part;
    int64_t             count, written;
    int32_t            *map;

    if (x == NULL)
        return ERR_MEMORY;
    if (x->buffer == y->buffer && x->offset == y->offset + begin * (int64_t)sizeof(half_bits))
        return 0;
    count = written = x->channels;
    if (index == builder->node->input_count - 1) /* with the lanes behind the last channel */
        written = round_lanes(begin + count) - begin;
    part = builder_alloc(builder, 1, sizeof *part);
    map  = builder_alloc(builder, written, sizeof *map);
    if (part == NULL || map == NULL)
        return ERR_MEMORY;
    *part          = *y;
    part->channels = written;
    part->elements = written * y->height * y->width;
    part->offset   = y->offset + begin * (int64_t)sizeof(half_bits);
    for (int64_t i = 0; i < written; i++)
        map[i] = i < count ? (int32_t)i : -1;
    return add_channels(builder, x, part, map, written);
}

int plan_join(struct cuda_builder *builder)
{
    const struct node  *node  = builder->node;
    struct cuda_tensor *y     = builder_new_picture(builder, node->output);
    int64_t             begin = 0;

    if (y == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < node->input_count; i++) {
        int rc = join_part(builder, y, i, begin);

        if (rc != 0)
            return rc;
        begin += value_of(builder, i)->dimension[1];
    }
    return 0;
}

/* Which channel of x each channel of y is; false when the copy does more than that. */
static bool find_channels(const struct cuda_builder *builder, int32_t *map)
{
    const struct value *x       = value_of(builder, 0);
    const struct value *y       = &builder->graph->values[builder->node->output];
    int64_t             pixels  = y->elements / y->dimension[1];
    struct strided      strided = builder->node->strided;

    graph_strided_simplify(&strided);
    for (int64_t c = 0; c < y->dimension[1]; c++) {
        int64_t from = graph_strided_plane(&strided, pixels, c);

        if (from < 0 || from >= x->dimension[1])
            return false;
        map[c] = (int32_t)from;
    }
    return true;
}

bool plan_channels(struct cuda_builder *builder, int *rc)
{
    const struct node  *node = builder->node;
    const struct value *x    = value_of(builder, 0);
    const struct value *y    = &builder->graph->values[node->output];
    struct cuda_tensor *from, *to;
    int32_t            *map;
    bool                range = true;

    *rc = 0;
    if (!builder_is_picture(y) || !builder_has_picture(builder, node->input[0]) ||
        x->dimension[2] != y->dimension[2] || x->dimension[3] != y->dimension[3])
        return false;
    if ((map = builder_alloc(builder, round_lanes(y->dimension[1]), sizeof *map)) == NULL ||
        (from = builder_picture(builder, node->input[0])) == NULL) {
        *rc = ERR_MEMORY;
        return true;
    }
    if (!find_channels(builder, map))
        return false;
    for (int64_t c = 0; c < y->dimension[1]; c++)
        range = range && map[c] == map[0] + c;
    if (range && map[0] % CUDA_LANES == 0) { /* nothing moves */
        if ((to = builder_alias(builder, node->output, from)) == NULL) {
            *rc = ERR_MEMORY;
            return true;
        }
        to->channels = y->dimension[1];
        to->elements = y->elements;
        to->offset += map[0] * (int64_t)sizeof(half_bits);
        builder->places[node->output].picture = to;
        return true;
    }
    /* Nothing but this writes the lanes behind the last channel: a copy is no part of a joined value. */
    for (int64_t c = y->dimension[1]; c < round_lanes(y->dimension[1]); c++)
        map[c] = -1;
    to  = builder_new_picture(builder, node->output);
    *rc = to != NULL ? add_channels(builder, from, to, map, round_lanes(y->dimension[1]))
                     : ERR_MEMORY;
    return true;
}
