/* Nodes whose inputs are all constant are computed when the model is loaded: above all the
 * arithmetic on shapes that exporters leave behind, in whole numbers of 64 bits. Kinds that are not
 * here, or cost too much, stay in the graph and run with the rest. */
#include "gpu/onnx_import.h"

#include "config/assert.h"
#include "config/err.h"

#include <string.h>

#define FOLD_WORK_MAX (INT64_C(1) << 24) /* multiply-adds and elements read, of one model */

static double number_at(const struct value *value, int64_t i)
{
    return value->type == VALUE_F32 ? (double)value->floats[i] : (double)value->ints[i];
}

/* Where the result goes; one of the two is set. */
struct result {
    float   *floats;
    int64_t *ints;
};

static void put_number(const struct result *result, int64_t i, double number)
{
    ASSERT((result->floats != NULL) != (result->ints != NULL));
    if (result->floats != NULL)
        result->floats[i] = (float)number;
    else if (number > -9e18 && number < 9e18)
        result->ints[i] = (int64_t)number;
}

static void put_same(const struct result *result, int64_t i, const struct value *from, int64_t at)
{
    if (result->ints != NULL && from->type == VALUE_I64)
        result->ints[i] = from->ints[at];
    else
        put_number(result, i, number_at(from, at));
}

static int64_t int_power(int64_t base, int64_t exponent)
{
    uint64_t product = 1, factor = (uint64_t)base;

    if (exponent < 0)
        return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
    for (; exponent > 0; exponent /= 2) {
        if (exponent % 2 == 1)
            product *= factor;
        factor *= factor;
    }
    return (int64_t)product;
}

/* Wraps, as it does in other engines; what is divided by 0 is 0. */
static int64_t int_binary(enum binary_kind kind, int64_t x, int64_t y)
{
    uint64_t a = (uint64_t)x, b = (uint64_t)y;

    switch (kind) {
    case BINARY_ADD:
        return (int64_t)(a + b);
    case BINARY_SUBTRACT:
        return (int64_t)(a - b);
    case BINARY_MULTIPLY:
        return (int64_t)(a * b);
    case BINARY_DIVIDE:
        return y == 0 ? 0 : y == -1 ? (int64_t)(0 - a) : x / y;
    case BINARY_MINIMUM:
        return x < y ? x : y;
    case BINARY_MAXIMUM:
        return x > y ? x : y;
    case BINARY_POWER:
        return int_power(x, y);
    case BINARY_MODULO:
        return y == 0 || y == -1 ? 0 : x % y + (x % y != 0 && (x < 0) != (y < 0) ? y : 0);
    case BINARY_REMAINDER:
        return y == 0 || y == -1 ? 0 : x % y;
    case BINARY_EQUAL:
        return x == y;
    case BINARY_LESS:
        return x < y;
    case BINARY_LESS_EQUAL:
        return x <= y;
    case BINARY_AND:
        return x != 0 && y != 0;
    case BINARY_OR:
        return x != 0 || y != 0;
    case BINARY_XOR:
        return (x != 0) != (y != 0);
    }
    return 0;
}

/* Walks over the elements of a tensor in their order, and with it over where each is read. */
struct walk {
    int            rank, inputs;
    const int64_t *dimension;
    int64_t        index[STRIDED_MAX_DIMENSIONS];
    int64_t        stride[3][STRIDED_MAX_DIMENSIONS];
    int64_t        at[3];
};

static void walk_on(struct walk *walk)
{
    for (int d = walk->rank - 1; d >= 0; d--) {
        bool wraps = ++walk->index[d] == walk->dimension[d];

        for (int k = 0; k < walk->inputs; k++)
            walk->at[k] += walk->stride[k][d] * (wraps ? 1 - walk->dimension[d] : 1);
        if (!wraps)
            return;
        walk->index[d] = 0;
    }
}

/* Over the output, with up to three inputs that are broadcast to it. */
static struct walk walk_broadcast(const struct graph *graph, const struct node *node)
{
    const struct value *out  = &graph->values[node->output];
    struct walk         walk = {
                .rank = out->rank, .inputs = node->input_count, .dimension = out->dimension};

    for (int k = 0; k < node->input_count; k++)
        broadcast_strides(&graph->values[node->input[k]], out->rank, walk.stride[k]);
    return walk;
}

static void fold_binary(const struct graph *graph, const struct node *node,
                        const struct result *result)
{
    const struct value *a = &graph->values[node->input[0]], *b = &graph->values[node->input[1]];
    struct walk         walk = walk_broadcast(graph, node);

    for (int64_t i = 0; i < graph->values[node->output].elements; i++, walk_on(&walk)) {
        if (a->type == VALUE_I64 && b->type == VALUE_I64 && result->ints != NULL)
            result->ints[i] = int_binary(node->binary, a->ints[walk.at[0]], b->ints[walk.at[1]]);
        else
            put_number(result, i,
                       (double)graph_binary(node->binary, (float)number_at(a, walk.at[0]),
                                            (float)number_at(b, walk.at[1])));
    }
}

static void fold_where(const struct graph *graph, const struct node *node,
                       const struct result *result)
{
    const struct value *condition = &graph->values[node->input[0]];
    struct walk         walk      = walk_broadcast(graph, node);

    for (int64_t i = 0; i < graph->values[node->output].elements; i++, walk_on(&walk)) {
        int from = number_at(condition, walk.at[0]) != 0 ? 1 : 2;

        put_same(result, i, &graph->values[node->input[from]], walk.at[from]);
    }
}

static void fold_unary(const struct graph *graph, const struct node *node,
                       const struct result *result)
{
    const struct value *x = &graph->values[node->input[0]];

    for (int64_t i = 0; i < x->elements; i++) {
        if (x->type == VALUE_I64 && result->ints != NULL && node->unary != UNARY_NOT) {
            int64_t n       = x->ints[i];
            result->ints[i] = node->unary == UNARY_NEGATE              ? (int64_t)(0 - (uint64_t)n)
                              : node->unary == UNARY_SIGN              ? (n > 0) - (n < 0)
                              : node->unary == UNARY_ABSOLUTE && n < 0 ? (int64_t)(0 - (uint64_t)n)
                                                                       : n;
        } else {
            float y = graph_unary(node->unary, node->unary_a, (float)number_at(x, i));
            put_number(result, i, (double)y);
        }
    }
}

static void fold_copy(const struct graph *graph, const struct node *node,
                      const struct result *result)
{
    const struct strided *strided = &node->strided;
    struct walk           walk    = {.rank      = strided->rank,
                                     .inputs    = 1,
                                     .dimension = strided->dimension,
                                     .at        = {strided->offset}};

    memcpy(walk.stride[0], strided->stride, (size_t)strided->rank * sizeof *strided->stride);
    for (int64_t i = 0; i < graph->values[node->output].elements; i++, walk_on(&walk))
        put_same(result, i, &graph->values[node->input[0]], walk.at[0]);
}

static void fold_concat(const struct graph *graph, const struct node *node,
                        const struct result *result)
{
    const struct value *out   = &graph->values[node->output];
    int64_t             inner = 1, row, begin = 0;

    for (int k = node->axis + 1; k < out->rank; k++)
        inner *= out->dimension[k];
    row = out->dimension[node->axis] * inner;
    for (int i = 0; i < node->input_count; i++) {
        const struct value *in   = &graph->values[node->input[i]];
        int64_t             part = in->dimension[node->axis] * inner;
        for (int64_t k = 0; k < in->elements; k++)
            put_same(result, k / part * row + begin + k % part, in, k);
        begin += part;
    }
}

static void fold_gather(const struct graph *graph, const struct node *node,
                        const struct result *result)
{
    const struct value *x = &graph->values[node->input[0]], *at = &graph->values[node->input[1]];
    int64_t             size = x->dimension[node->axis], inner = 1;

    for (int k = node->axis + 1; k < x->rank; k++)
        inner *= x->dimension[k];
    for (int64_t i = 0; i < graph->values[node->output].elements; i++) {
        int64_t outer = i / inner / at->elements, index = at->ints[i / inner % at->elements];
        index = index < 0 ? index + size : index;
        index = index < 0 ? 0 : index >= size ? size - 1 : index;
        put_same(result, i, x, (outer * size + index) * inner + i % inner);
    }
}

/* Slices replaced in a copy, as exporters write assignments to parts of a constant. */
static void fold_scatter(const struct graph *graph, const struct node *node,
                         const struct result *result)
{
    const struct value *x = &graph->values[node->input[0]], *at = &graph->values[node->input[1]];
    const struct value *updates = &graph->values[node->input[2]];
    int64_t             depth   = at->dimension[at->rank - 1], stride[MODEL_MAX_DIMENSIONS], slice;

    graph_strides(x->rank, x->dimension, stride);
    slice = stride[depth - 1];
    for (int64_t i = 0; i < x->elements; i++)
        put_same(result, i, x, i);
    for (int64_t row = 0; row < at->elements / depth; row++) {
        int64_t to = 0;
        for (int64_t d = 0; d < depth; d++) {
            int64_t size = x->dimension[d], index = at->ints[row * depth + d];
            index = index < 0 ? index + size : index;
            to += (index < 0 ? 0 : index >= size ? size - 1 : index) * stride[d];
        }
        for (int64_t i = 0; i < slice; i++)
            put_same(result, to + i, updates, row * slice + i);
    }
}

static void fold_reduce(const struct graph *graph, const struct node *node,
                        const struct result *result)
{
    static const enum binary_kind steps[] = {BINARY_ADD, BINARY_MULTIPLY, BINARY_MAXIMUM,
                                             BINARY_MINIMUM};
    const struct value           *x       = &graph->values[node->input[0]];
    const struct value           *out     = &graph->values[node->output];
    enum reduce_kind              kind    = node->kind == NODE_MEAN ? REDUCE_SUM : node->reduce;
    int64_t                       share   = x->elements / out->elements;

    for (int64_t i = 0; i < x->elements; i++) {
        int64_t rest = i, at = 0, step = 1;
        bool    first = true; /* of those that come together at this place */
        for (int k = x->rank - 1; k >= 0; k--) {
            if ((node->axes >> k & 1U) == 0) {
                at += rest % x->dimension[k] * step;
                step *= x->dimension[k];
            } else if (rest % x->dimension[k] != 0) {
                first = false;
            }
            rest /= x->dimension[k];
        }
        if (first)
            put_same(result, at, x, i);
        else if (result->ints != NULL)
            result->ints[at] = int_binary(steps[kind], result->ints[at], x->ints[i]);
        else
            result->floats[at] = graph_binary(steps[kind], result->floats[at],
                                              (float)number_at(x, i));
    }
    for (int64_t i = 0; node->kind == NODE_MEAN && i < out->elements; i++)
        result->floats[i] /= (float)share;
}

/* Two matrices: position encodings are made so. */
static void fold_matmul(const struct graph *graph, const struct node *node,
                        const struct result *result)
{
    const struct value *a = &graph->values[node->input[0]], *b = &graph->values[node->input[1]];
    int64_t             rows = a->dimension[0], inner = a->dimension[1], columns = b->dimension[1];

    for (int64_t i = 0; i < rows * columns; i++) {
        double sum = 0.0;
        for (int64_t k = 0; k < inner; k++)
            sum += (double)a->floats[i / columns * inner + k] *
                   (double)b->floats[k * columns + i % columns];
        put_number(result, i, sum);
    }
}

static bool plain_matmul(const struct graph *graph, const struct node *node)
{
    return graph->values[node->input[0]].rank == 2 && graph->values[node->input[1]].rank == 2 &&
           node->input[2] < 0 && !node->matmul.transpose_a && !node->matmul.transpose_b &&
           node->matmul.alpha == 1.0F;
}

/* What computing it costs, or -1 where it is left to the run. */
static int64_t fold_work(const struct graph *graph, const struct node *node)
{
    int64_t work = graph->values[node->output].elements;

    for (int i = 0; i < node->input_count; i++)
        if (node->input[i] >= 0)
            work += graph->values[node->input[i]].elements;
    switch (node->kind) {
    case NODE_MATMUL:
        return plain_matmul(graph, node) ? graph->values[node->output].elements *
                                               graph->values[node->input[0]].dimension[1]
                                         : -1;
    case NODE_REDUCE:
    case NODE_MEAN:
        /* Whole numbers stay whole; a comparison is not summed. */
        return graph->values[node->input[0]].type == graph->values[node->output].type ? work : -1;
    case NODE_BINARY:
    case NODE_UNARY:
    case NODE_WHERE:
    case NODE_COPY:
    case NODE_CONCAT:
    case NODE_GATHER:
    case NODE_SCATTER_ND:
        return work;
    case NODE_ACTIVATION:
        return graph->values[node->input[0]].type == VALUE_F32 ? work : -1;
    default:
        return -1;
    }
}

static void fold_node(const struct graph *graph, const struct node *node,
                      const struct result *result)
{
    switch (node->kind) {
    case NODE_BINARY:
        fold_binary(graph, node, result);
        break;
    case NODE_UNARY:
        fold_unary(graph, node, result);
        break;
    case NODE_WHERE:
        fold_where(graph, node, result);
        break;
    case NODE_COPY:
        fold_copy(graph, node, result);
        break;
    case NODE_CONCAT:
        fold_concat(graph, node, result);
        break;
    case NODE_GATHER:
        fold_gather(graph, node, result);
        break;
    case NODE_SCATTER_ND:
        fold_scatter(graph, node, result);
        break;
    case NODE_REDUCE:
    case NODE_MEAN:
        fold_reduce(graph, node, result);
        break;
    case NODE_MATMUL:
        fold_matmul(graph, node, result);
        break;
    default: /* ACTIVATION */
        for (int64_t i = 0; i < graph->values[node->output].elements; i++)
            put_number(
                result, i,
                (double)graph_activate(&node->activation, graph->values[node->input[0]].floats[i]));
        break;
    }
}

int graph_fold(struct graph *graph, int number)
{
    struct node  *node   = &graph->nodes[number];
    struct value *out    = &graph->values[node->output];
    struct result result = {NULL, NULL};
    int64_t       work   = fold_work(graph, node);
    void         *data;

    if (work < 0 || work > FOLD_WORK_MAX - graph->folded_work)
        return ERR_UNSUPPORTED;
    graph->folded_work += work;
    data = graph_memory_alloc(&graph->memory, (size_t)out->elements,
                              out->type == VALUE_F32 ? sizeof *result.floats : sizeof *result.ints);
    if (data == NULL)
        return ERR_MEMORY;
    if (out->type == VALUE_F32)
        result.floats = data;
    else
        result.ints = data;
    fold_node(graph, node, &result);
    out->floats   = result.floats;
    out->ints     = result.ints;
    out->producer = -1;
    node->kind    = NODE_REMOVED;
    return 0;
}
