/* What oneDNN computes: dense and grouped convolutions with windows larger than 1×1, and matrix
 * products. Weights are brought into the primitive's own order once, at open. */
#include "gpu/cpu/cpu_runner.h"

#include "config/assert.h"
#include "config/err.h"
#include "gpu/cpu/cpu_shared.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ARGUMENTS 6

struct cpu_dnnl {
    struct cpu_runner *runner;
    dnnl_primitive_t   primitive;
    dnnl_stream_t      stream;
    int                count;
    dnnl_exec_arg_t    arguments[MAX_ARGUMENTS];
    struct cpu_tensor *tensors[MAX_ARGUMENTS]; /* NULL: the memory owns its numbers */
    float             *bound[MAX_ARGUMENTS];   /* what the memory points to */
};

/* All that is needed while a primitive is made. */
struct builder {
    struct cpu_runner    *runner;
    const struct node    *node;
    struct cpu_dnnl      *dnnl;
    dnnl_primitive_attr_t attributes;
    dnnl_post_ops_t       post_ops;
    dnnl_primitive_desc_t primitive;
    bool                  tail;        /* residual and activation follow in steps of their own */
    int                   residual_at; /* post-op that adds the residual; -1: none */
};

void cpu_dnnl_close(struct cpu_dnnl *dnnl)
{
    if (dnnl == NULL)
        return;
    for (int i = 0; i < dnnl->count; i++)
        dnnl_memory_destroy(dnnl->arguments[i].memory);
    if (dnnl->primitive != NULL)
        dnnl_primitive_destroy(dnnl->primitive);
    free(dnnl);
}

static void run_dnnl(const struct cpu_step *step)
{
    struct cpu_dnnl *dnnl = step->dnnl;

    for (int i = 0; i < dnnl->count; i++) {
        struct cpu_tensor *tensor = dnnl->tensors[i];
        if (tensor == NULL || tensor->data == dnnl->bound[i])
            continue;
        dnnl_memory_set_data_handle(dnnl->arguments[i].memory, tensor->data);
        dnnl->bound[i] = tensor->data;
    }
    if (dnnl_primitive_execute(dnnl->primitive, dnnl->stream, dnnl->count, dnnl->arguments) !=
            dnnl_success ||
        dnnl_stream_wait(dnnl->stream) != dnnl_success)
        dnnl->runner->failed = true;
}

/* What follows a convolution that oneDNN cannot do itself, in place. */
static void run_tail(const struct cpu_step *step)
{
    static const struct activation none = {.kind = ACTIVATION_NONE};
    struct cpu_tensor             *y    = step->output;
    const struct node             *node = step->node;

    if (node->residual == RESIDUAL_BEFORE_ACTIVATION)
        step->kernels->binary(BINARY_ADD, &node->activation, y->data, 1, step->input[1]->data, 1,
                              y->data, y->floats);
    else
        step->kernels->activate(&node->activation, y->data, y->data, y->floats);
    if (node->residual == RESIDUAL_AFTER_ACTIVATION)
        step->kernels->binary(BINARY_ADD, &none, y->data, 1, step->input[1]->data, 1, y->data,
                              y->floats);
}

static dnnl_format_tag_t tag_of(const struct cpu_runner *runner, enum layout layout)
{
    if (layout == LAYOUT_PLAIN)
        return dnnl_nchw;
    return runner->kernels->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
}

static int describe_picture(const struct cpu_runner *runner, const struct cpu_tensor *tensor,
                            dnnl_memory_desc_t *description)
{
    dnnl_dims_t size = {tensor->dimension[0], tensor->dimension[1], tensor->dimension[2],
                        tensor->dimension[3]};

    return dnnl_memory_desc_init_by_tag(description, 4, size, dnnl_f32,
                                        tag_of(runner, tensor->layout)) == dnnl_success
               ? 0
               : ERR_UNSUPPORTED;
}

static bool append_activation(dnnl_post_ops_t post_ops, const struct activation *activation)
{
    dnnl_alg_kind_t kind = dnnl_alg_kind_undef;
    float           a = 0.0F, b = 0.0F;

    switch (activation->kind) {
    case ACTIVATION_NONE:
        return true;
    case ACTIVATION_RELU:
        kind = dnnl_eltwise_relu;
        a    = activation->a;
        break;
    case ACTIVATION_CLIP:
        kind = dnnl_eltwise_clip;
        a    = activation->a;
        b    = activation->b;
        break;
    case ACTIVATION_SIGMOID:
        kind = dnnl_eltwise_logistic;
        break;
    case ACTIVATION_SILU:
        kind = dnnl_eltwise_swish;
        a    = 1.0F;
        break;
    default:
        return false;
    }
    return dnnl_post_ops_append_eltwise(post_ops, 1.0F, kind, a, b) == dnnl_success;
}

/* Attributes and post-ops, empty. Scratch memory is the runner's: oneDNN's own belongs to the thread
 * that makes a primitive, and a runner may be run by another. */
static bool open_attributes(struct builder *builder)
{
    return dnnl_primitive_attr_create(&builder->attributes) == dnnl_success &&
           dnnl_primitive_attr_set_scratchpad_mode(builder->attributes,
                                                   dnnl_scratchpad_mode_user) == dnnl_success &&
           dnnl_post_ops_create(&builder->post_ops) == dnnl_success;
}

/* The node's residual and activation as post-ops; `tail` is set when that is not possible. */
static int build_post_ops(struct builder *builder, const dnnl_memory_desc_t *y)
{
    const struct node *node = builder->node;
    bool               good = true;

    builder->residual_at = -1;
    builder->tail        = node->activation.kind == ACTIVATION_HARD_SIGMOID ||
                    node->activation.kind == ACTIVATION_HARD_SWISH;
    if (!open_attributes(builder))
        return ERR_MEMORY;
    if (builder->tail)
        return 0;
    if (node->residual == RESIDUAL_BEFORE_ACTIVATION) {
        builder->residual_at = 0;
        good = dnnl_post_ops_append_binary(builder->post_ops, dnnl_binary_add, y) == dnnl_success;
    }
    good = good && append_activation(builder->post_ops, &node->activation);
    if (node->residual == RESIDUAL_AFTER_ACTIVATION) {
        builder->residual_at = node->activation.kind == ACTIVATION_NONE ? 0 : 1;
        good                 = good &&
               dnnl_post_ops_append_binary(builder->post_ops, dnnl_binary_add, y) == dnnl_success;
    }
    return good && dnnl_primitive_attr_set_post_ops(builder->attributes, builder->post_ops) ==
                       dnnl_success
               ? 0
               : ERR_UNSUPPORTED;
}

static void builder_close(struct builder *builder)
{
    if (builder->primitive != NULL)
        dnnl_primitive_desc_destroy(builder->primitive);
    if (builder->post_ops != NULL)
        dnnl_post_ops_destroy(builder->post_ops);
    if (builder->attributes != NULL)
        dnnl_primitive_attr_destroy(builder->attributes);
    cpu_dnnl_close(builder->dnnl);
    builder->primitive  = NULL;
    builder->post_ops   = NULL;
    builder->attributes = NULL;
    builder->dnnl       = NULL;
}

static const char *implementation_of(dnnl_primitive_desc_t primitive)
{
    const char *name = "";

    dnnl_primitive_desc_query(primitive, dnnl_query_impl_info_str, 0, (void *)&name);
    return name;
}

/* The reference implementations are hundreds of times slower than the others. */
static bool is_reference(const char *implementation)
{
    return strncmp(implementation, "ref", 3) == 0;
}

/* Numbers that are to be brought into another order. */
struct reordering {
    struct cpu_runner        *runner;
    const dnnl_memory_desc_t *given, *wanted;
    const float              *numbers;
};

static bool fill_reordered(void *context, void *to)
{
    const struct reordering *from   = context;
    dnnl_engine_t            engine = from->runner->engine;
    dnnl_stream_t            stream = from->runner->stream;
    dnnl_memory_t            source = NULL, target = NULL;
    dnnl_primitive_desc_t    reorder = NULL;
    dnnl_primitive_t         copy    = NULL;
    void                    *handle  = NULL;
    bool                     good;

    memcpy(&handle, &from->numbers, sizeof handle); /* it is only read */
    good = dnnl_memory_create(&source, from->given, engine, handle) == dnnl_success &&
           dnnl_memory_create(&target, from->wanted, engine, to) == dnnl_success &&
           dnnl_reorder_primitive_desc_create(&reorder, from->given, engine, from->wanted, engine,
                                              NULL) == dnnl_success &&
           dnnl_primitive_create(&copy, reorder) == dnnl_success;
    if (good) {
        dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}};
        good = dnnl_primitive_execute(copy, stream, 2, arguments) == dnnl_success &&
               dnnl_stream_wait(stream) == dnnl_success;
    }
    if (copy != NULL)
        dnnl_primitive_destroy(copy);
    if (reorder != NULL)
        dnnl_primitive_desc_destroy(reorder);
    if (target != NULL)
        dnnl_memory_destroy(target);
    if (source != NULL)
        dnnl_memory_destroy(source);
    return good;
}

/* One more argument: the numbers of `tensor`, or, if that is NULL, `numbers`, which are copied into
 * the order that the primitive wants, once for all runners; `what` tells those of a node apart. */
static int add_argument(struct builder *builder, int argument, const char *what,
                        const dnnl_memory_desc_t *wanted, struct cpu_tensor *tensor,
                        const dnnl_memory_desc_t *given, const float *numbers)
{
    struct cpu_dnnl *dnnl   = builder->dnnl;
    void            *handle = DNNL_MEMORY_NONE;
    dnnl_memory_t    memory;

    if (tensor == NULL) {
        struct reordering     from = {builder->runner, given, wanted, numbers};
        struct cpu_shared_key key  = {.node    = builder->node,
                                      .kernels = builder->runner->kernels,
                                      .what    = what,
                                      .bytes   = dnnl_memory_desc_get_size(wanted),
                                      .order   = wanted};
        const void           *data = cpu_shared_get(builder->runner, &key, fill_reordered, &from);
        if (data == NULL)
            return ERR_MEMORY;
        memcpy(&handle, &data, sizeof handle); /* the primitive only reads it */
    }
    if (dnnl_memory_create(&memory, wanted, builder->runner->engine, handle) != dnnl_success)
        return ERR_MEMORY;
    dnnl->arguments[dnnl->count].arg    = argument;
    dnnl->arguments[dnnl->count].memory = memory;
    dnnl->tensors[dnnl->count++]        = tensor;
    return 0;
}

/* Memory that the primitive uses while it runs, for this step only; *scratch is NULL where it needs
 * none. */
static int add_scratch(struct builder *builder, struct cpu_tensor **scratch)
{
    const dnnl_memory_desc_t *wanted = dnnl_primitive_desc_query_md(builder->primitive,
                                                                    dnnl_query_scratchpad_md, 0);
    size_t                    bytes  = wanted != NULL ? dnnl_memory_desc_get_size(wanted) : 0;
    struct value              size   = {.rank = 1, .elements = (int64_t)((bytes + 3) / 4)};

    *scratch = NULL;
    if (bytes == 0)
        return 0;
    size.dimension[0] = size.elements;
    *scratch          = cpu_add_tensor(builder->runner, LAYOUT_PLAIN, &size);
    return *scratch != NULL
               ? add_argument(builder, DNNL_ARG_SCRATCHPAD, "", wanted, *scratch, NULL, NULL)
               : ERR_MEMORY;
}

/* The finished primitive as a step, and a second one for what it could not take in. */
static int add_steps(struct builder *builder, const char *what, struct cpu_tensor *x,
                     struct cpu_tensor *residual, struct cpu_tensor *y)
{
    struct cpu_tensor *scratch;
    struct cpu_step   *step;

    if (add_scratch(builder, &scratch) != 0 ||
        dnnl_primitive_create(&builder->dnnl->primitive, builder->primitive) != dnnl_success)
        return ERR_MEMORY;
    step = cpu_add_step(builder->runner, builder->node, what, 3);
    if (step == NULL)
        return ERR_MEMORY;
    step->run             = run_dnnl;
    step->input[0]        = x;
    step->input[1]        = residual;
    step->input[2]        = scratch;
    step->output          = y;
    step->implementation  = graph_memory_text(&builder->runner->memory,
                                              implementation_of(builder->primitive));
    step->dnnl            = builder->dnnl;
    builder->dnnl->stream = builder->runner->stream;
    builder->dnnl->runner = builder->runner;
    builder->dnnl         = NULL; /* the step's now */
    if (step->implementation == NULL)
        return ERR_MEMORY;
    if (!builder->tail)
        return 0;
    step = cpu_add_step(builder->runner, builder->node, "activation", 2);
    if (step == NULL)
        return ERR_MEMORY;
    step->run      = run_tail;
    step->input[0] = y;
    step->input[1] = residual;
    step->output   = y;
    return 0;
}

static int create_conv(struct builder *builder, const struct cpu_tensor *x,
                       const struct cpu_tensor *y, const int64_t *weights, int weights_rank)
{
    const struct window    *window = &builder->node->window;
    dnnl_memory_desc_t      src, dst, any, bias;
    dnnl_convolution_desc_t conv;
    dnnl_dims_t             stride   = {window->stride[0], window->stride[1]};
    dnnl_dims_t             dilation = {window->dilation[0] - 1, window->dilation[1] - 1};
    dnnl_dims_t             begin    = {window->pad_begin[0], window->pad_begin[1]}, end;
    dnnl_dims_t             channels = {y->dimension[1]};
    int                     rc;

    for (int i = 0; i < 2; i++) /* what the last window reaches past the picture, no more */
        end[i] = (y->dimension[2 + i] - 1) * window->stride[i] +
                 (int64_t)(window->kernel[i] - 1) * window->dilation[i] + 1 - x->dimension[2 + i] -
                 window->pad_begin[i];
    if (describe_picture(builder->runner, x, &src) != 0 ||
        describe_picture(builder->runner, y, &dst) != 0 ||
        dnnl_memory_desc_init_by_tag(&any, weights_rank, weights, dnnl_f32, dnnl_format_tag_any) !=
            dnnl_success ||
        dnnl_memory_desc_init_by_tag(&bias, 1, channels, dnnl_f32, dnnl_x) != dnnl_success)
        return ERR_UNSUPPORTED;
    rc = build_post_ops(builder, &dst);
    if (rc != 0)
        return rc;
    if (dnnl_dilated_convolution_forward_desc_init(&conv, dnnl_forward_inference,
                                                   dnnl_convolution_direct, &src, &any, &bias, &dst,
                                                   stride, dilation, begin, end) != dnnl_success ||
        dnnl_primitive_desc_create(&builder->primitive, &conv, builder->attributes,
                                   builder->runner->engine, NULL) != dnnl_success)
        return ERR_UNSUPPORTED;
    return 0;
}

static int bind_conv(struct builder *builder, struct cpu_tensor *x, struct cpu_tensor *residual,
                     struct cpu_tensor *y, const dnnl_memory_desc_t *weights)
{
    const struct graph *graph = model_graph(builder->runner->base.model);
    const struct value *w     = &graph->values[builder->node->input[1]];
    dnnl_memory_desc_t  src, dst, bias;
    dnnl_dims_t         channels = {y->dimension[1]};
    const float        *numbers;
    int                 rc;

    describe_picture(builder->runner, x, &src);
    describe_picture(builder->runner, y, &dst);
    dnnl_memory_desc_init_by_tag(&bias, 1, channels, dnnl_f32, dnnl_x);
    numbers       = builder->node->input[2] >= 0
                        ? graph->values[builder->node->input[2]].floats
                        : graph_memory_alloc(&builder->runner->memory, (size_t)y->dimension[1],
                                             sizeof *numbers);
    builder->dnnl = calloc(1, sizeof *builder->dnnl);
    if (builder->dnnl == NULL || numbers == NULL)
        return ERR_MEMORY;
    rc = add_argument(builder, DNNL_ARG_SRC, "", &src, x, NULL, NULL);
    if (rc == 0)
        rc = add_argument(
            builder, DNNL_ARG_WEIGHTS, "weights",
            dnnl_primitive_desc_query_md(builder->primitive, dnnl_query_weights_md, 0), NULL,
            weights, w->floats);
    if (rc == 0)
        rc = add_argument(builder, DNNL_ARG_BIAS, "bias", &bias, NULL, &bias, numbers);
    if (rc == 0)
        rc = add_argument(builder, DNNL_ARG_DST, "", &dst, y, NULL, NULL);
    if (rc == 0 && residual != NULL && !builder->tail)
        rc = add_argument(builder,
                          DNNL_ARG_ATTR_MULTIPLE_POST_OP(builder->residual_at) | DNNL_ARG_SRC_1, "",
                          &dst, residual, NULL, NULL);
    return rc;
}

static int try_conv(struct builder *builder, struct cpu_tensor *x, struct cpu_tensor *residual,
                    struct cpu_tensor *y)
{
    const struct graph *graph  = model_graph(builder->runner->base.model);
    const struct value *w      = &graph->values[builder->node->input[1]];
    int64_t             groups = builder->node->window.groups;
    dnnl_dims_t    dense   = {w->dimension[0], w->dimension[1], w->dimension[2], w->dimension[3]};
    dnnl_dims_t    grouped = {groups, w->dimension[0] / groups, w->dimension[1], w->dimension[2],
                              w->dimension[3]};
    const int64_t *shape   = groups > 1 ? grouped : dense;
    dnnl_memory_desc_t given;
    int                rank = groups > 1 ? 5 : 4, rc;

    if (dnnl_memory_desc_init_by_tag(&given, rank, shape, dnnl_f32,
                                     rank == 5 ? dnnl_goihw : dnnl_oihw) != dnnl_success)
        return ERR_UNSUPPORTED;
    rc = create_conv(builder, x, y, shape, rank);
    if (rc == 0)
        rc = bind_conv(builder, x, residual, y, &given);
    return rc;
}

/* Through tensors in plain order: for the shapes for which oneDNN has no fast blocked kernel. */
static int plain_conv(struct builder *builder, struct cpu_tensor *x, struct cpu_tensor *residual,
                      struct cpu_tensor *y)
{
    const struct graph *graph    = model_graph(builder->runner->base.model);
    struct cpu_runner  *runner   = builder->runner;
    struct cpu_tensor  *plain[3] = {NULL, NULL, NULL}, *from[2] = {x, residual};
    struct cpu_step    *step;
    int                 rc;

    ASSERT(x != NULL);
    for (int i = 0; i < 2; i++) {
        if (from[i] == NULL)
            continue;
        plain[i] = cpu_add_tensor(runner, LAYOUT_PLAIN,
                                  &graph->values[builder->node->input[i == 0 ? 0 : 3]]);
        step     = cpu_add_step(runner, builder->node, "to plain", 1);
        if (plain[i] == NULL || step == NULL)
            return ERR_MEMORY;
        cpu_step_to_plain(step, from[i], plain[i]);
    }
    plain[2] = cpu_add_tensor(runner, LAYOUT_PLAIN, &graph->values[builder->node->output]);
    if (plain[2] == NULL)
        return ERR_MEMORY;
    rc = try_conv(builder, plain[0], plain[1], plain[2]);
    if (rc == 0)
        rc = add_steps(builder, "convolution", plain[0], plain[1], plain[2]);
    step = rc == 0 ? cpu_add_step(runner, builder->node, "to blocks", 1) : NULL;
    if (step == NULL)
        return rc != 0 ? rc : ERR_MEMORY;
    step->run      = cpu_run_from_plain;
    step->input[0] = plain[2];
    step->output   = y;
    return 0;
}

int cpu_dnnl_conv(struct cpu_runner *runner, const struct node *node, struct cpu_tensor *x,
                  struct cpu_tensor *residual, struct cpu_tensor *y, struct why *why)
{
    struct builder builder = {.runner = runner, .node = node};
    char           text[160];
    int            rc = try_conv(&builder, x, residual, y);

    if (rc == 0 && !is_reference(implementation_of(builder.primitive))) {
        rc = add_steps(&builder, "convolution", x, residual, y);
    } else if (rc == 0 || rc == ERR_UNSUPPORTED) {
        builder_close(&builder);
        rc = plain_conv(&builder, x, residual, y);
    }
    builder_close(&builder);
    graph_describe_node(node, text, sizeof text);
    return rc != 0 ? why_set(why, rc, "%s: oneDNN cannot compute this convolution", text) : 0;
}

/* A matrix, or a stack of them, filled up with dimensions of 1 to `rank`. */
static int describe_matrix(const struct cpu_tensor *tensor, int rank, bool transposed,
                           dnnl_memory_desc_t *description)
{
    dnnl_dims_t size, stride;
    int64_t     step = 1;

    if (rank < 2 || rank > DNNL_MAX_NDIMS)
        return ERR_UNSUPPORTED;
    for (int i = rank - 1; i >= 0; i--) {
        int at    = i - (rank - tensor->rank);
        size[i]   = at >= 0 ? tensor->dimension[at] : 1;
        stride[i] = step;
        step *= size[i];
    }
    if (transposed) {
        int64_t swap     = size[rank - 1];
        size[rank - 1]   = size[rank - 2];
        size[rank - 2]   = swap;
        swap             = stride[rank - 1];
        stride[rank - 1] = stride[rank - 2];
        stride[rank - 2] = swap;
    }
    return dnnl_memory_desc_init_by_strides(description, rank, size, dnnl_f32, stride) ==
                   dnnl_success
               ? 0
               : ERR_UNSUPPORTED;
}

/* What is added to the product: beta times a constant, spread over all rows. */
static float *spread_addend(struct cpu_runner *runner, const struct node *node,
                            const struct cpu_tensor *y)
{
    const struct value *c    = &model_graph(runner->base.model)->values[node->input[2]];
    int64_t             rows = y->dimension[0], columns = y->dimension[1];
    int64_t             width  = c->rank > 0 ? c->dimension[c->rank - 1] : 1;
    int64_t             height = c->rank > 1 ? c->dimension[0] : 1;
    float *spread = graph_memory_alloc(&runner->memory, (size_t)y->floats, sizeof *spread);

    for (int64_t i = 0; spread != NULL && i < rows; i++)
        for (int64_t k = 0; k < columns; k++)
            spread[i * columns + k] =
                node->matmul.beta * c->floats[(height == 1 ? 0 : i) * width + (width == 1 ? 0 : k)];
    return spread;
}

static int try_matmul(struct builder *builder, struct cpu_tensor *a, struct cpu_tensor *b,
                      struct cpu_tensor *y)
{
    const struct node *node = builder->node;
    dnnl_memory_desc_t src, weights, dst;
    dnnl_matmul_desc_t matmul;
    const float       *addend = NULL;
    int                rc;

    if (describe_matrix(a, y->rank, node->matmul.transpose_a, &src) != 0 ||
        describe_matrix(b, y->rank, node->matmul.transpose_b, &weights) != 0 ||
        describe_matrix(y, y->rank, false, &dst) != 0 || !open_attributes(builder))
        return ERR_UNSUPPORTED;
    if (node->input[2] >= 0) {
        addend = spread_addend(builder->runner, node, y);
        if (addend == NULL)
            return ERR_MEMORY;
        dnnl_post_ops_append_binary(builder->post_ops, dnnl_binary_add, &dst);
    }
    builder->tail = !append_activation(builder->post_ops, &node->activation);
    if (node->matmul.alpha != 1.0F)
        dnnl_primitive_attr_set_output_scales(builder->attributes, 1, 0, &node->matmul.alpha);
    if (dnnl_primitive_attr_set_post_ops(builder->attributes, builder->post_ops) != dnnl_success ||
        dnnl_matmul_desc_init(&matmul, &src, &weights, NULL, &dst) != dnnl_success ||
        dnnl_primitive_desc_create(&builder->primitive, &matmul, builder->attributes,
                                   builder->runner->engine, NULL) != dnnl_success)
        return ERR_UNSUPPORTED;
    builder->dnnl = calloc(1, sizeof *builder->dnnl);
    if (builder->dnnl == NULL)
        return ERR_MEMORY;
    rc = add_argument(builder, DNNL_ARG_SRC, "", &src, a, NULL, NULL);
    if (rc == 0)
        rc = add_argument(builder, DNNL_ARG_WEIGHTS, "", &weights, b, NULL, NULL);
    if (rc == 0)
        rc = add_argument(builder, DNNL_ARG_DST, "", &dst, y, NULL, NULL);
    if (rc == 0 && addend != NULL)
        rc = add_argument(builder, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, "addend",
                          &dst, NULL, &dst, addend);
    return rc;
}

int cpu_dnnl_matmul(struct cpu_runner *runner, const struct node *node, struct cpu_tensor *a,
                    struct cpu_tensor *b, struct cpu_tensor *y, struct why *why)
{
    struct builder builder = {.runner = runner, .node = node, .residual_at = -1};
    char           text[160];
    int            rc = try_matmul(&builder, a, b, y);

    if (rc == 0)
        rc = add_steps(&builder, "matmul", a, b, y);
    builder_close(&builder);
    graph_describe_node(node, text, sizeof text);
    return rc != 0 ? why_set(why, rc, "%s: oneDNN cannot compute this product", text) : 0;
}
