/* From the graph to steps, node by node. Where a joined value's parts begin at whole lanes their
 * producers write straight into it; a choice of channels that begins at whole lanes, and every mere
 * change of shape, costs nothing. */
#include "gpu/cuda/cuda_builder.h"

#include "config/err.h"

#include <stdlib.h>
#include <string.h>

/* The kernels are compiled without gpu/graph.h and know these by number. */
_Static_assert(ACTIVATION_RELU == 1 && ACTIVATION_CLIP == 2 && ACTIVATION_SIGMOID == 3 &&
                   ACTIVATION_SILU == 4 && ACTIVATION_HARD_SIGMOID == 5 &&
                   ACTIVATION_HARD_SWISH == 6,
               "activate() of cuda_body.h");
_Static_assert(BINARY_ADD == 0 && BINARY_SUBTRACT == 1 && BINARY_MULTIPLY == 2 &&
                   BINARY_DIVIDE == 3 && BINARY_MINIMUM == 4 && BINARY_POWER == 6 &&
                   BINARY_REMAINDER == 8 && BINARY_EQUAL == 9 && BINARY_XOR == 14,
               "combine() of cuda_body.h");
_Static_assert(UNARY_ABSOLUTE == 0 && UNARY_EXPONENTIAL == 5 && UNARY_SOFTPLUS == 9 &&
                   UNARY_ELU == 13 && UNARY_NOT == 19 && UNARY_COSINE == 21,
               "unary() of cuda_body.h");
_Static_assert(REDUCE_SUM == 0 && REDUCE_PRODUCT == 1 && REDUCE_MAXIMUM == 2 && REDUCE_MINIMUM == 3,
               "body_reduce() of cuda_body_plain.h");
_Static_assert(RESIDUAL_BEFORE_ACTIVATION == 1 && RESIDUAL_AFTER_ACTIVATION == 2,
               "finish_lanes() of cuda_body_pictures.h");
_Static_assert(GRID_ZEROS == 0 && GRID_REFLECTION == 2, "sample_place() of cuda_body_index.h");
_Static_assert(RESIZE_ASYMMETRIC == 0 && RESIZE_ALIGN_CORNERS == 2 && RESIZE_FLOOR == 0 &&
                   RESIZE_CEIL == 1 && RESIZE_PREFER_FLOOR == 2,
               "source_coordinate() of cuda_body_pictures.h");

static const char *const NAMES[CUDA_STEP_KINDS] = {
    [CUDA_STEP_INPUT]         = "input",
    [CUDA_STEP_CONV]          = "convolution",
    [CUDA_STEP_DEPTHWISE]     = "depthwise",
    [CUDA_STEP_GROUPED]       = "grouped convolution",
    [CUDA_STEP_POOL]          = "pool",
    [CUDA_STEP_RESIZE]        = "resize",
    [CUDA_STEP_LANES]         = "lanes",
    [CUDA_STEP_CHANNELS]      = "channels",
    [CUDA_STEP_MEAN]          = "mean",
    [CUDA_STEP_COPY]          = "copy",
    [CUDA_STEP_BINARY]        = "arithmetic",
    [CUDA_STEP_SOFTMAX]       = "softmax",
    [CUDA_STEP_LAYER_NORM]    = "layer norm",
    [CUDA_STEP_REDUCE]        = "reduce",
    [CUDA_STEP_PAD]           = "pad",
    [CUDA_STEP_PIECE]         = "concat",
    [CUDA_STEP_MATMUL]        = "matmul",
    [CUDA_STEP_TAKE]          = "gather",
    [CUDA_STEP_TAKE_ELEMENTS] = "gather elements",
    [CUDA_STEP_TAKE_SLICES]   = "gather slices",
    [CUDA_STEP_TOP_K]         = "top k",
    [CUDA_STEP_GRID_SAMPLE]   = "grid sample",
    [CUDA_STEP_WHERE]         = "where",
};

const char *cuda_step_name(enum cuda_step_kind kind)
{
    return NAMES[kind];
}

static int unsupported(struct cuda_builder *builder)
{
    char text[160];

    graph_describe_node(builder->node, text, sizeof text);
    return why_set(builder->why, ERR_UNSUPPORTED,
                   "%s: the CUDA backend does not have this operator; the cpu backend may", text);
}

static int plan_node(struct cuda_builder *builder)
{
    const struct node *node = builder->node;

    switch (node->kind) {
    case NODE_CONV:
        return plan_conv(builder);
    case NODE_MAX_POOL:
    case NODE_AVERAGE_POOL:
        return plan_pool(builder);
    case NODE_ACTIVATION:
        return plan_activation(builder);
    case NODE_BINARY:
        return plan_binary(builder);
    case NODE_UNARY:
        return plan_activation(builder);
    case NODE_CONCAT:
        return plan_concat(builder);
    case NODE_COPY:
        return plan_copy(builder);
    case NODE_PAD:
        return plan_pad(builder);
    case NODE_RESIZE:
        return plan_resize(builder);
    case NODE_SOFTMAX:
        return plan_softmax(builder);
    case NODE_LAYER_NORM:
        return plan_layer_norm(builder);
    case NODE_MEAN:
        return plan_mean(builder);
    case NODE_REDUCE:
        return plan_reduce(builder);
    case NODE_MATMUL:
        return plan_matmul(builder);
    case NODE_GATHER:
        return plan_take(builder);
    case NODE_GATHER_ELEMENTS:
        return plan_take_elements(builder);
    case NODE_GATHER_ND:
        return plan_take_slices(builder);
    case NODE_TOP_K:
        return plan_top_k(builder);
    case NODE_GRID_SAMPLE:
        return plan_grid_sample(builder);
    case NODE_WHERE:
        return plan_where(builder);
    case NODE_REMOVED:
        return 0;
    default:
        return unsupported(builder);
    }
}

/* ---- parts of joined values ---- */

static bool writes_pictures(enum node_kind kind)
{
    return kind == NODE_CONV || kind == NODE_MAX_POOL || kind == NODE_AVERAGE_POOL ||
           kind == NODE_RESIZE || kind == NODE_CONCAT;
}

/* The value of which `value` is a range of channels, its first in *first; -1 when it is none. */
static int range_of(const struct cuda_builder *builder, int value, int64_t *first)
{
    const struct value *y = &builder->graph->values[value], *x;
    const struct node  *node;
    struct strided      strided;
    int64_t             pixels;

    if (y->producer < 0 || !builder_is_picture(y))
        return -1;
    node = &builder->graph->nodes[y->producer];
    x    = &builder->graph->values[node->input[0]];
    if (node->kind != NODE_COPY || !builder_is_picture(x) || x->dimension[2] != y->dimension[2] ||
        x->dimension[3] != y->dimension[3])
        return -1;
    strided = node->strided;
    graph_strided_simplify(&strided);
    pixels = x->dimension[2] * x->dimension[3];
    *first = strided.offset / pixels;
    return strided.rank == 1 && strided.stride[0] == 1 && strided.offset % pixels == 0
               ? node->input[0]
               : -1;
}

/* Inputs from `index` on that together are all channels of one value, in order: what a split took
 * apart comes together again, so the whole may lie there from the start. */
static void adopt_split(struct cuda_builder *builder, const struct node *node, int index,
                        int64_t begin)
{
    int64_t             first, running = 0;
    int                 whole = range_of(builder, node->input[index], &first);
    const struct value *of;
    struct cuda_place  *place;

    if (whole < 0 || first != 0 || begin % CUDA_LANES != 0)
        return;
    of    = &builder->graph->values[whole];
    place = &builder->places[whole];
    for (int i = index; i < node->input_count && running < of->dimension[1]; i++) {
        if (range_of(builder, node->input[i], &first) != whole || first != running)
            return;
        running += builder->graph->values[node->input[i]].dimension[1];
    }
    if (running != of->dimension[1] || running % CUDA_LANES != 0 || of->producer < 0 ||
        place->parent >= 0 || !writes_pictures(builder->graph->nodes[of->producer].kind))
        return;
    place->parent         = node->output;
    place->parent_channel = begin;
}

static void adopt_parts(struct cuda_builder *builder, const struct node *node)
{
    int64_t begin = 0;

    for (int i = 0; i < node->input_count; i++) {
        const struct value *x     = &builder->graph->values[node->input[i]];
        struct cuda_place  *place = &builder->places[node->input[i]];
        bool                last  = i == node->input_count - 1;

        if (begin % CUDA_LANES == 0 && (last || x->dimension[1] % CUDA_LANES == 0) &&
            x->producer >= 0 && place->parent < 0 &&
            writes_pictures(builder->graph->nodes[x->producer].kind)) {
            place->parent         = node->output;
            place->parent_channel = begin;
        }
        adopt_split(builder, node, i, begin);
        begin += x->dimension[1];
    }
}

/* A concatenation that is certain to be one of pictures. */
static bool joins_pictures(const struct cuda_builder *builder, const struct node *node)
{
    if (node->kind != NODE_CONCAT || node->axis != 1 ||
        !builder_is_picture(&builder->graph->values[node->output]))
        return false;
    for (int i = 0; i < node->input_count; i++) {
        int64_t first;
        int     range    = range_of(builder, node->input[i], &first);
        int     producer = builder->graph->values[range >= 0 ? range : node->input[i]].producer;

        if (producer < 0 || !writes_pictures(builder->graph->nodes[producer].kind))
            return false;
    }
    return true;
}

/* ---- the whole ---- */

static int plan_input(struct cuda_builder *builder)
{
    struct cuda_plan   *plan   = builder->plan;
    int                 number = builder->graph->input;
    const struct value *value  = &builder->graph->values[number];
    struct cuda_tensor *input  = builder_alloc(builder, 1, sizeof *input);
    struct cuda_step   *step;

    if (input == NULL)
        return ERR_MEMORY;
    *input      = (struct cuda_tensor){.elements    = value->elements,
                                       .buffer      = CUDA_BUFFER_INPUT,
                                       .image_bytes = value->elements * (int64_t)sizeof(float)};
    plan->input = input;
    if (!builder_is_picture(value)) {
        builder->places[number].any   = input;
        builder->places[number].plain = input;
        return 0;
    }
    plan->input_picture = builder_new_picture(builder, number);
    if (plan->input_picture == NULL || (step = builder_step(builder, CUDA_STEP_INPUT)) == NULL)
        return ERR_MEMORY;
    step->input[0]     = input;
    step->output       = plan->input_picture;
    step->args.input.y = picture_of(plan->input_picture);
    return 0;
}

/* Plain, in the arena, each in a buffer of its own: what goes back to the host. */
static int plan_outputs(struct cuda_builder *builder)
{
    for (int i = 0; i < builder->graph->output_count; i++) {
        struct cuda_tensor *from = builder_plain(builder, builder->graph->outputs[i]), *to;
        struct cuda_step   *step;

        builder->node = NULL;
        if (from == NULL)
            return ERR_MEMORY;
        if (from->buffer < 0) { /* the input or a constant */
            builder->places[builder->graph->outputs[i]].plain = NULL;
            to = builder_new_plain(builder, builder->graph->outputs[i]);
            if (to == NULL || (step = builder_step(builder, CUDA_STEP_COPY)) == NULL)
                return ERR_MEMORY;
            step->input[0]               = from;
            step->output                 = to;
            step->args.copy.x            = view_of(from);
            step->args.copy.y            = view_of(to);
            step->args.copy.rank         = 1;
            step->args.copy.dimension[0] = (uint32_t)from->elements;
            step->args.copy.stride[0]    = 1;
            from                         = to;
        }
        builder->plan->outputs[i] = from;
    }
    return 0;
}

static int build(struct cuda_builder *builder)
{
    const struct graph *graph = builder->graph;
    int                 rc;

    builder->places = builder_alloc(builder, graph->value_count, sizeof *builder->places);
    if (builder->places == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < graph->value_count; i++)
        builder->places[i].parent = -1;
    for (int i = 0; i < graph->node_count; i++)
        if (joins_pictures(builder, &graph->nodes[i]))
            adopt_parts(builder, &graph->nodes[i]);
    rc = plan_input(builder);
    for (int i = 0; rc == 0 && i < graph->node_count; i++) {
        builder->node = &graph->nodes[i];
        rc            = plan_node(builder);
    }
    if (rc == 0)
        rc = plan_outputs(builder);
    if (rc == 0)
        rc = builder_place_buffers(builder->plan);
    return rc;
}

int cuda_plan_open(struct cuda_plan **out, const struct graph *graph, struct why *why)
{
    struct cuda_plan   *plan    = calloc(1, sizeof *plan);
    struct cuda_builder builder = {.plan = plan, .graph = graph, .why = why};
    int                 rc;

    *out = NULL;
    if (plan == NULL)
        return why_set(why, ERR_MEMORY, "no memory to plan the model");
    plan->graph            = graph;
    plan->memory.max_bytes = CUDA_PLAN_MEMORY_BYTES;
    why_set(why, 0, "the model needs too much memory");
    if ((rc = build(&builder)) != 0) {
        cuda_plan_close(&plan);
        return rc;
    }
    *out = plan;
    return 0;
}

void cuda_plan_close(struct cuda_plan **plan)
{
    if (*plan == NULL)
        return;
    graph_memory_free(&(*plan)->memory);
    free((*plan)->constants);
    free(*plan);
    *plan = NULL;
}
