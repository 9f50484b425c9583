/* The steps of a plan that read where other numbers say; indices are float32, in the model's order. */
#include "gpu/cuda/cuda_builder.h"

#include "config/err.h"

static const struct value *value_of(const struct cuda_builder *builder, int input)
{
    return &builder->graph->values[builder->node->input[input]];
}

/* A step of the node's inputs, as they lie, to a plain output. */
static struct cuda_step *step_of(struct cuda_builder *builder, enum cuda_step_kind kind, int inputs)
{
    struct cuda_tensor *from[CUDA_STEP_INPUTS] = {NULL}, *y;
    struct cuda_step   *step;

    for (int i = 0; i < inputs; i++)
        if ((from[i] = builder_any(builder, builder->node->input[i])) == NULL)
            return NULL;
    y = builder_new_plain(builder, builder->node->output);
    if (y == NULL || (step = builder_step(builder, kind)) == NULL)
        return NULL;
    for (int i = 0; i < inputs; i++)
        step->input[i] = from[i];
    step->output = y;
    return step;
}

static uint32_t product(const struct value *value, int from, int to)
{
    uint32_t size = 1;

    for (int k = from; k < to; k++)
        size *= (uint32_t)value->dimension[k];
    return size;
}

int plan_take(struct cuda_builder *builder)
{
    const struct value *x    = value_of(builder, 0);
    int                 axis = builder->node->axis;
    struct cuda_step   *step = step_of(builder, CUDA_STEP_TAKE, 2);

    if (step == NULL)
        return ERR_MEMORY;
    step->args.take = (struct cuda_take){
        .x           = view_of(step->input[0]),
        .indices     = view_of(step->input[1]),
        .y           = view_of(step->output),
        .count       = (uint32_t)x->dimension[axis],
        .inner       = product(x, axis + 1, x->rank),
        .index_count = (uint32_t)value_of(builder, 1)->elements,
    };
    return 0;
}

int plan_take_elements(struct cuda_builder *builder)
{
    const struct value        *x = value_of(builder, 0), *indices = value_of(builder, 1);
    int64_t                    stride[MODEL_MAX_DIMENSIONS];
    struct cuda_step          *step = step_of(builder, CUDA_STEP_TAKE_ELEMENTS, 2);
    struct cuda_take_elements *args;

    if (step == NULL)
        return ERR_MEMORY;
    graph_strides(x->rank, x->dimension, stride);
    args  = &step->args.take_elements;
    *args = (struct cuda_take_elements){
        .x       = view_of(step->input[0]),
        .indices = view_of(step->input[1]),
        .y       = view_of(step->output),
        .rank    = x->rank,
        .axis    = builder->node->axis,
        .count   = (uint32_t)x->dimension[builder->node->axis],
    };
    for (int k = 0; k < x->rank; k++) {
        args->dimension[k] = (uint32_t)indices->dimension[k];
        args->stride[k]    = (uint32_t)stride[k];
    }
    return 0;
}

int plan_take_slices(struct cuda_builder *builder)
{
    const struct value      *x = value_of(builder, 0), *indices = value_of(builder, 1);
    int                      batch   = builder->node->axis;
    uint32_t                 batches = product(x, 0, batch);
    int64_t                  stride[MODEL_MAX_DIMENSIONS];
    int                      depth = (int)indices->dimension[indices->rank - 1];
    struct cuda_step        *step  = step_of(builder, CUDA_STEP_TAKE_SLICES, 2);
    struct cuda_take_slices *args;

    if (step == NULL)
        return ERR_MEMORY;
    graph_strides(x->rank, x->dimension, stride);
    args  = &step->args.take_slices;
    *args = (struct cuda_take_slices){
        .x          = view_of(step->input[0]),
        .indices    = view_of(step->input[1]),
        .y          = view_of(step->output),
        .depth      = (uint32_t)depth,
        .inner      = product(x, batch + depth, x->rank),
        .rows       = (uint32_t)indices->elements / (uint32_t)depth / batches,
        .batch_step = (uint32_t)x->elements / batches,
    };
    for (int d = 0; d < depth; d++) {
        args->dimension[d] = (uint32_t)x->dimension[batch + d];
        args->stride[d]    = (uint32_t)stride[batch + d];
    }
    return 0;
}

int plan_top_k(struct cuda_builder *builder)
{
    const struct value *x     = value_of(builder, 0);
    const struct value *y     = &builder->graph->values[builder->node->output];
    int                 axis  = builder->node->axis;
    uint32_t            inner = product(x, axis + 1, x->rank);
    uint32_t            outer = product(x, 0, axis);
    struct cuda_step   *step;

    if (x->dimension[axis] > CUDA_TOP_K_COMPARISONS / x->elements) {
        char text[160];

        graph_describe_node(builder->node, text, sizeof text);
        return why_set(builder->why, ERR_UNSUPPORTED,
                       "%s: a choice among %lld is slow on a CUDA device; the cpu backend takes it",
                       text, (long long)x->dimension[axis]);
    }
    if ((step = step_of(builder, CUDA_STEP_TOP_K, 1)) == NULL)
        return ERR_MEMORY;
    step->args.top_k = (struct cuda_top_k){
        .x        = view_of(step->input[0]),
        .y        = view_of(step->output),
        .count    = (uint32_t)x->dimension[axis],
        .inner    = inner,
        .best     = (uint32_t)(y->elements / (inner * outer)),
        .smallest = builder->node->topk.smallest,
    };
    return 0;
}

int plan_grid_sample(struct cuda_builder *builder)
{
    const struct value *x    = value_of(builder, 0);
    const struct value *y    = &builder->graph->values[builder->node->output];
    struct cuda_step   *step = step_of(builder, CUDA_STEP_GRID_SAMPLE, 2);

    if (step == NULL)
        return ERR_MEMORY;
    step->args.grid_sample = (struct cuda_grid_sample){
        .x             = view_of(step->input[0]),
        .grid          = view_of(step->input[1]),
        .y             = view_of(step->output),
        .channels      = (uint32_t)x->dimension[1],
        .height        = (uint32_t)x->dimension[2],
        .width         = (uint32_t)x->dimension[3],
        .points        = product(y, 2, 4),
        .nearest       = builder->node->grid.nearest,
        .align_corners = builder->node->grid.align_corners,
        .padding       = (int32_t)builder->node->grid.padding,
    };
    return 0;
}

int plan_where(struct cuda_builder *builder)
{
    const struct value *y    = &builder->graph->values[builder->node->output];
    struct cuda_step   *step = step_of(builder, CUDA_STEP_WHERE, 3);
    struct cuda_where  *args;

    if (step == NULL)
        return ERR_MEMORY;
    args       = &step->args.where;
    args->y    = view_of(step->output);
    args->rank = y->rank;
    for (int i = 0; i < 3; i++) {
        args->from[i] = view_of(step->input[i]);
        builder_spread(value_of(builder, i), y->rank, args->stride[i]);
    }
    for (int k = 0; k < y->rank; k++)
        args->dimension[k] = (uint32_t)y->dimension[k];
    return 0;
}
