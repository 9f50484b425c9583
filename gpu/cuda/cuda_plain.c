/* The steps of a plan that address numbers in the model's order, whatever the layout. */
#include "gpu/cuda/cuda_builder.h"

#include "config/err.h"

#include <string.h>

static const struct value *value_of(const struct cuda_builder *builder, int input)
{
    return &builder->graph->values[builder->node->input[input]];
}

static const struct value *output_of(const struct cuda_builder *builder)
{
    return &builder->graph->values[builder->node->output];
}

/* A step from the first input, as it lies, to a plain output. */
static struct cuda_step *simple(struct cuda_builder *builder, enum cuda_step_kind kind)
{
    struct cuda_tensor *x = builder_any(builder, builder->node->input[0]);
    struct cuda_tensor *y = builder_new_plain(builder, builder->node->output);
    struct cuda_step   *step;

    if (x == NULL || y == NULL || (step = builder_step(builder, kind)) == NULL)
        return NULL;
    step->input[0] = x;
    step->output   = y;
    return step;
}

/* Every user of the value works on pictures: then it had better be one from the start. */
static bool wanted_as_picture(const struct cuda_builder *builder, int value)
{
    bool any = false;

    if (!builder_is_picture(&builder->graph->values[value]))
        return false;
    for (int i = 0; i < builder->graph->node_count; i++) {
        const struct node *node = &builder->graph->nodes[i];

        for (int k = 0; node->kind != NODE_REMOVED && k < node->input_count; k++) {
            if (node->input[k] != value)
                continue;
            if (node->kind != NODE_CONV && node->kind != NODE_MAX_POOL &&
                node->kind != NODE_AVERAGE_POOL && node->kind != NODE_RESIZE)
                return false;
            any = true;
        }
    }
    return any;
}

int plan_copy(struct cuda_builder *builder)
{
    const struct node  *node    = builder->node;
    struct strided      strided = node->strided;
    struct cuda_tensor *x, *y;
    struct cuda_step   *step;
    int                 rc;

    if (plan_channels(builder, &rc))
        return rc;
    if ((x = builder_any(builder, node->input[0])) == NULL)
        return ERR_MEMORY;
    if (graph_strided_is_reshape(&node->strided, value_of(builder, 0)->elements))
        return builder_alias(builder, node->output, x) != NULL ? 0 : ERR_MEMORY;
    y = wanted_as_picture(builder, node->output) ? builder_new_picture(builder, node->output)
                                                 : builder_new_plain(builder, node->output);
    if (y == NULL || (step = builder_step(builder, CUDA_STEP_COPY)) == NULL)
        return ERR_MEMORY;
    graph_strided_simplify(&strided);
    step->input[0]         = x;
    step->output           = y;
    step->args.copy.x      = view_of(x);
    step->args.copy.y      = view_of(y);
    step->args.copy.rank   = strided.rank;
    step->args.copy.offset = (int32_t)strided.offset;
    for (int k = 0; k < strided.rank; k++) {
        step->args.copy.dimension[k] = (uint32_t)strided.dimension[k];
        step->args.copy.stride[k]    = (int32_t)strided.stride[k];
    }
    return 0;
}

int plan_activation(struct cuda_builder *builder)
{
    struct cuda_step *step;

    if (lanes_fit(builder))
        return plan_lanes(builder);
    if ((step = simple(builder, CUDA_STEP_COPY)) == NULL)
        return ERR_MEMORY;
    step->args.copy.x            = view_of(step->input[0]);
    step->args.copy.y            = view_of(step->output);
    step->args.copy.rank         = 1;
    step->args.copy.dimension[0] = (uint32_t)step->output->elements;
    step->args.copy.stride[0]    = 1;
    step->args.copy.activation   = builder_activation(builder);
    return 0;
}

void builder_spread(const struct value *value, int rank, uint32_t *stride)
{
    uint32_t step = 1;

    for (int k = rank - 1; k >= 0; k--) {
        int     own  = k - (rank - value->rank);
        int64_t size = own >= 0 ? value->dimension[own] : 1;

        stride[k] = size == 1 ? 0 : step;
        step *= (uint32_t)size;
    }
}

int plan_binary(struct cuda_builder *builder)
{
    const struct value *y = output_of(builder);
    struct cuda_tensor *b;
    struct cuda_step   *step;

    if (lanes_fit(builder))
        return plan_lanes(builder);
    if ((b = builder_any(builder, builder->node->input[1])) == NULL ||
        (step = simple(builder, CUDA_STEP_BINARY)) == NULL)
        return ERR_MEMORY;
    step->input[1]               = b;
    step->args.binary.a          = view_of(step->input[0]);
    step->args.binary.b          = view_of(b);
    step->args.binary.y          = view_of(step->output);
    step->args.binary.rank       = y->rank;
    step->args.binary.binary     = (int32_t)builder->node->binary;
    step->args.binary.activation = activation_of(&builder->node->activation);
    for (int k = 0; k < y->rank; k++)
        step->args.binary.dimension[k] = (uint32_t)y->dimension[k];
    builder_spread(value_of(builder, 0), y->rank, step->args.binary.stride_a);
    builder_spread(value_of(builder, 1), y->rank, step->args.binary.stride_b);
    return 0;
}

int plan_concat(struct cuda_builder *builder)
{
    const struct node  *node     = builder->node;
    const struct value *y        = output_of(builder);
    bool                pictures = node->axis == 1 && builder_is_picture(y);
    int64_t             inner = 1, begin = 0;
    struct cuda_tensor *x, *to;
    struct cuda_step   *step;

    for (int i = 0; pictures && i < node->input_count; i++)
        pictures = builder_has_picture(builder, node->input[i]);
    if (pictures || builder->places[node->output].picture != NULL)
        return plan_join(builder);
    for (int k = node->axis + 1; k < y->rank; k++)
        inner *= y->dimension[k];
    if ((to = builder_new_plain(builder, node->output)) == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < node->input_count; i++) {
        int64_t count = value_of(builder, i)->dimension[node->axis] * inner;

        if ((x = builder_any(builder, node->input[i])) == NULL ||
            (step = builder_step(builder, CUDA_STEP_PIECE)) == NULL)
            return ERR_MEMORY;
        step->input[0]   = x;
        step->output     = to;
        step->args.piece = (struct cuda_piece){
            .x     = view_of(x),
            .y     = view_of(to),
            .count = (uint32_t)count,
            .y_row = (uint32_t)(y->dimension[node->axis] * inner),
            .begin = (uint32_t)begin,
        };
        begin += count;
    }
    return 0;
}

int plan_softmax(struct cuda_builder *builder)
{
    const struct value *y     = output_of(builder);
    struct cuda_step   *step  = simple(builder, CUDA_STEP_SOFTMAX);
    uint32_t            inner = 1;

    if (step == NULL)
        return ERR_MEMORY;
    for (int k = builder->node->axis + 1; k < y->rank; k++)
        inner *= (uint32_t)y->dimension[k];
    step->args.softmax = (struct cuda_softmax){
        .x     = view_of(step->input[0]),
        .y     = view_of(step->output),
        .count = (uint32_t)y->dimension[builder->node->axis],
        .inner = inner,
    };
    return 0;
}

int plan_layer_norm(struct cuda_builder *builder)
{
    const struct node      *node      = builder->node;
    const struct value     *y         = output_of(builder);
    struct cuda_tensor     *beside[2] = {NULL, NULL};
    struct cuda_layer_norm *args;
    struct cuda_step       *step;
    uint32_t                count = 1;

    for (int k = 0; k < 2; k++)
        if (node->input[1 + k] >= 0 &&
            (beside[k] = builder_any(builder, node->input[1 + k])) == NULL)
            return ERR_MEMORY;
    if ((step = simple(builder, CUDA_STEP_LAYER_NORM)) == NULL)
        return ERR_MEMORY;
    for (int k = node->axis; k < y->rank; k++)
        count *= (uint32_t)y->dimension[k];
    args  = &step->args.layer_norm;
    *args = (struct cuda_layer_norm){.x         = view_of(step->input[0]),
                                     .y         = view_of(step->output),
                                     .has_scale = beside[0] != NULL,
                                     .has_shift = beside[1] != NULL,
                                     .count     = count,
                                     .epsilon   = node->epsilon};
    if (beside[0] != NULL)
        args->scale = view_of(beside[0]);
    if (beside[1] != NULL)
        args->shift = view_of(beside[1]);
    step->input[1] = beside[0];
    step->input[2] = beside[1];
    return 0;
}

int plan_reduce(struct cuda_builder *builder)
{
    const struct value *x    = value_of(builder, 0);
    struct cuda_step   *step = simple(builder, CUDA_STEP_REDUCE);

    if (step == NULL)
        return ERR_MEMORY;
    step->args.reduce.x       = view_of(step->input[0]);
    step->args.reduce.y       = view_of(step->output);
    step->args.reduce.rank    = x->rank;
    step->args.reduce.axes    = builder->node->axes;
    step->args.reduce.is_mean = builder->node->kind == NODE_MEAN;
    step->args.reduce.kind    = step->args.reduce.is_mean ? 0 : (int32_t)builder->node->reduce;
    for (int k = 0; k < x->rank; k++)
        step->args.reduce.dimension[k] = (uint32_t)x->dimension[k];
    return 0;
}

int plan_pad(struct cuda_builder *builder)
{
    const struct value *x = value_of(builder, 0), *y = output_of(builder);
    struct cuda_tensor *from, *to;
    struct cuda_step   *step;
    bool                picture = wanted_as_picture(builder, builder->node->output);

    if ((from = builder_any(builder, builder->node->input[0])) == NULL)
        return ERR_MEMORY;
    to = picture ? builder_new_picture(builder, builder->node->output)
                 : builder_new_plain(builder, builder->node->output);
    if (to == NULL || (step = builder_step(builder, CUDA_STEP_PAD)) == NULL)
        return ERR_MEMORY;
    step->input[0]       = from;
    step->output         = to;
    step->args.pad.x     = view_of(from);
    step->args.pad.y     = view_of(to);
    step->args.pad.rank  = y->rank;
    step->args.pad.value = builder->node->pad.value;
    for (int k = 0; k < y->rank; k++) {
        step->args.pad.dimension[k]   = (uint32_t)y->dimension[k];
        step->args.pad.x_dimension[k] = (uint32_t)x->dimension[k];
        step->args.pad.begin[k]       = (int32_t)builder->node->pad.begin[k];
    }
    return 0;
}

/* ---- products of matrices ---- */

/* Rows, columns and the steps of an operand with `rank` dimensions, the outer ones spread over y's. */
struct operand {
    int64_t rows, columns;
    int32_t row, column;
    int32_t outer[3];
};

static bool describe_operand(const struct value *value, const struct value *y, bool transposed,
                             struct operand *out)
{
    int64_t size[MODEL_MAX_DIMENSIONS], stride[MODEL_MAX_DIMENSIONS];
    int     rank = value->rank;

    if (rank < 2 || rank > 5 || y->rank > 5 || rank > y->rank)
        return false;
    memcpy(size, value->dimension, sizeof size);
    graph_strides(rank, size, stride);
    memset(out, 0, sizeof *out);
    out->rows    = size[rank - (transposed ? 1 : 2)];
    out->columns = size[rank - (transposed ? 2 : 1)];
    out->row     = (int32_t)stride[rank - (transposed ? 1 : 2)];
    out->column  = (int32_t)stride[rank - (transposed ? 2 : 1)];
    for (int k = 0; k < rank - 2; k++)
        out->outer[3 - (rank - 2) + k] = size[k] == 1 ? 0 : (int32_t)stride[k];
    return true;
}

static int bind_addend(struct cuda_builder *builder, struct cuda_step *step)
{
    const struct value *c = value_of(builder, 2);
    int64_t             width, height;

    if ((step->input[2] = builder_any(builder, builder->node->input[2])) == NULL)
        return ERR_MEMORY;
    width                      = c->rank > 0 ? c->dimension[c->rank - 1] : 1;
    height                     = c->rank > 1 ? c->dimension[c->rank - 2] : 1;
    step->args.matmul.c        = view_of(step->input[2]);
    step->args.matmul.c_column = width > 1 ? 1 : 0;
    step->args.matmul.c_row    = height > 1 ? (int32_t)width : 0;
    return 0;
}

static int unsupported(struct cuda_builder *builder, const char *what)
{
    char text[160];

    graph_describe_node(builder->node, text, sizeof text);
    return why_set(builder->why, ERR_UNSUPPORTED, "%s: %s", text, what);
}

int plan_matmul(struct cuda_builder *builder)
{
    const struct node  *node = builder->node;
    const struct value *y    = output_of(builder);
    struct operand      a, b;
    struct cuda_tensor *right;
    struct cuda_matmul *args;
    struct cuda_step   *step;
    bool                adds = node->input_count > 2 && node->input[2] >= 0;

    if (!describe_operand(value_of(builder, 0), y, node->matmul.transpose_a, &a) ||
        !describe_operand(value_of(builder, 1), y, node->matmul.transpose_b, &b) ||
        (adds && value_of(builder, 2)->elements > a.rows * b.columns))
        return unsupported(builder, "the CUDA backend multiplies 2 to 5 dimensions only");
    if ((right = builder_any(builder, node->input[1])) == NULL ||
        (step = simple(builder, CUDA_STEP_MATMUL)) == NULL)
        return ERR_MEMORY;
    step->input[1] = right;
    args           = &step->args.matmul;
    *args          = (struct cuda_matmul){.a          = view_of(step->input[0]),
                                          .b          = view_of(right),
                                          .y          = view_of(step->output),
                                          .m          = (uint32_t)a.rows,
                                          .n          = (uint32_t)b.columns,
                                          .k          = (uint32_t)a.columns,
                                          .outer      = {1, 1, 1},
                                          .a_row      = a.row,
                                          .a_column   = a.column,
                                          .b_row      = b.row,
                                          .b_column   = b.column,
                                          .alpha      = node->matmul.alpha,
                                          .beta       = node->matmul.beta,
                                          .activation = activation_of(&node->activation)};
    for (int k = 0; k < y->rank - 2; k++)
        args->outer[3 - (y->rank - 2) + k] = (uint32_t)y->dimension[k];
    memcpy(args->a_outer, a.outer, sizeof a.outer);
    memcpy(args->b_outer, b.outer, sizeof b.outer);
    return adds ? bind_addend(builder, step) : 0;
}

int plan_conv_as_matmul(struct cuda_builder *builder)
{
    const struct node  *node    = builder->node;
    const struct value *w       = value_of(builder, 1);
    struct cuda_tensor *x       = builder_any(builder, node->input[0]);
    struct cuda_tensor *weights = builder_any(builder, node->input[1]), *y;
    struct cuda_tensor *bias    = node->input[2] >= 0 ? builder_any(builder, node->input[2]) : NULL;
    uint32_t            pixels;
    struct cuda_step   *step;

    y = builder_new_plain(builder, node->output);
    if (x == NULL || weights == NULL || y == NULL || (node->input[2] >= 0 && bias == NULL) ||
        (step = builder_step(builder, CUDA_STEP_MATMUL)) == NULL)
        return ERR_MEMORY;
    pixels            = (uint32_t)(y->elements / w->dimension[0]);
    step->input[0]    = weights;
    step->input[1]    = x;
    step->input[2]    = bias;
    step->output      = y;
    step->args.matmul = (struct cuda_matmul){.a          = view_of(weights),
                                             .b          = view_of(x),
                                             .y          = view_of(y),
                                             .m          = (uint32_t)w->dimension[0],
                                             .n          = pixels,
                                             .k          = (uint32_t)w->dimension[1],
                                             .outer      = {1, 1, 1},
                                             .a_row      = (int32_t)w->dimension[1],
                                             .a_column   = 1,
                                             .b_row      = (int32_t)pixels,
                                             .b_column   = 1,
                                             .c_row      = 1,
                                             .alpha      = 1.0F,
                                             .beta       = 1.0F,
                                             .activation = activation_of(&node->activation)};
    if (bias != NULL)
        step->args.matmul.c = view_of(bias);
    return 0;
}
