/* Nodes that several operators are lowered to. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <string.h>

bool import_is_constant(const struct importer *import, int value)
{
    const struct value *x = &import->graph->values[value];

    return x->floats != NULL || x->ints != NULL;
}

int import_emit_number(struct importer *import, enum value_type type, double number)
{
    float   narrow = (float)number;
    int64_t whole  = type == VALUE_I64 ? (int64_t)number : 0;

    return type == VALUE_F32 ? import_emit_floats(import, 0, NULL, &narrow)
                             : import_emit_ints(import, 0, NULL, &whole);
}

int import_emit_unary(struct importer *import, enum unary_kind kind, int source)
{
    struct value x = import->graph->values[source];
    struct node *node;
    int          value = import_emit(import, NODE_UNARY, 1, &source, x.rank, x.dimension, &node);

    if (value < 0)
        return value;
    node->unary   = kind;
    node->unary_a = 1.0F;
    return value;
}

int import_emit_activation(struct importer *import, struct activation activation, int source)
{
    struct value x = import->graph->values[source];
    struct node *node;
    int value = import_emit(import, NODE_ACTIVATION, 1, &source, x.rank, x.dimension, &node);

    if (value >= 0)
        node->activation = activation;
    return value;
}

static bool compares(enum binary_kind kind)
{
    return kind >= BINARY_EQUAL;
}

int import_emit_binary(struct importer *import, enum binary_kind kind, int a, int b)
{
    struct graph *graph = import->graph;
    struct value  x = graph->values[a], y = graph->values[b];
    int64_t       dimension[MODEL_MAX_DIMENSIONS];
    int           rank = broadcast_shape(&x, &y, dimension), inputs[2] = {a, b}, value;
    struct node  *node;

    if (rank < 0)
        return import_refuse(import, ERR_INVALID, "the shapes of its inputs do not fit");
    value = import_emit(import, NODE_BINARY, 2, inputs, rank, dimension, &node);
    if (value < 0)
        return value;
    node->binary = kind;
    if (compares(kind))
        graph->values[value].type = VALUE_I64;
    else if (x.type == VALUE_F32 || y.type == VALUE_F32)
        graph->values[value].type = x.type; /* a power may have whole exponents */
    /* Whole numbers are divided towards 0, which constants are already. */
    if (kind == BINARY_DIVIDE && x.type == VALUE_I64 &&
        !(import_is_constant(import, a) && import_is_constant(import, b)))
        return import_emit_unary(import, UNARY_TRUNCATE, value);
    return value;
}

int import_emit_where(struct importer *import, int condition, int a, int b)
{
    struct graph *graph = import->graph;
    struct value  c = graph->values[condition], x = graph->values[a], y = graph->values[b];
    struct value  both = {.rank = 0};
    int64_t       dimension[MODEL_MAX_DIMENSIONS];
    int           inputs[3] = {condition, a, b}, rank, value;
    struct node  *node;

    both.rank = broadcast_shape(&x, &y, both.dimension);
    rank      = both.rank < 0 ? -1 : broadcast_shape(&c, &both, dimension);
    if (rank < 0 || x.type != y.type)
        return import_refuse(import, ERR_INVALID, "the shapes of its inputs do not fit");
    value = import_emit(import, NODE_WHERE, 3, inputs, rank, dimension, &node);
    if (value >= 0)
        graph->values[value].type = x.type;
    return value;
}

static int reduced_shape(const struct value *x, unsigned axes, bool keep, int64_t *dimension)
{
    int rank = 0;

    for (int i = 0; i < x->rank; i++) {
        bool gone = (axes >> i & 1U) != 0;
        if (!gone || keep)
            dimension[rank++] = gone ? 1 : x->dimension[i];
    }
    return rank;
}

int import_emit_reduce(struct importer *import, enum reduce_kind kind, int source, unsigned axes,
                       bool keep)
{
    struct value x = import->graph->values[source];
    int64_t      dimension[MODEL_MAX_DIMENSIONS];
    int          rank = reduced_shape(&x, axes, keep, dimension), value;
    struct node *node;

    value = import_emit(import, NODE_REDUCE, 1, &source, rank, dimension, &node);
    if (value < 0)
        return value;
    node->reduce = kind;
    node->axes   = axes;
    return value;
}

int import_emit_mean(struct importer *import, int source, unsigned axes, bool keep)
{
    struct value x = import->graph->values[source];
    int64_t      dimension[MODEL_MAX_DIMENSIONS];
    int          rank = reduced_shape(&x, axes, keep, dimension), value;
    struct node *node;

    if (x.type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED, "only float32 is possible");
    value = import_emit(import, NODE_MEAN, 1, &source, rank, dimension, &node);
    if (value >= 0)
        node->axes = axes;
    return value;
}

int import_emit_transpose(struct importer *import, int source, const int *order)
{
    struct value x = import->graph->values[source];
    int64_t      own[MODEL_MAX_DIMENSIONS], dimension[MODEL_MAX_DIMENSIONS];
    int64_t      stride[MODEL_MAX_DIMENSIONS];

    graph_strides(x.rank, x.dimension, own);
    for (int i = 0; i < x.rank; i++) {
        dimension[i] = x.dimension[order[i]];
        stride[i]    = own[order[i]];
    }
    return import_emit_strided(import, source, x.rank, dimension, stride, 0);
}

int import_emit_strided(struct importer *import, int source, int rank, const int64_t *dimension,
                        const int64_t *stride, int64_t offset)
{
    struct node *node;
    int          value = import_emit(import, NODE_COPY, 1, &source, rank, dimension, &node);

    if (value < 0)
        return value;
    node->strided.rank   = rank;
    node->strided.offset = offset;
    for (int i = 0; i < rank; i++) {
        node->strided.dimension[i] = dimension[i];
        node->strided.stride[i]    = stride[i];
    }
    return value;
}

int import_emit_product(struct importer *import, int a, int b)
{
    struct value x = import->graph->values[a], y = import->graph->values[b];
    struct value outer_x = x, outer_y = y;
    int          inputs[3] = {a, b, -1}, rank, value;
    int64_t      dimension[MODEL_MAX_DIMENSIONS], flat[2];
    struct node *node;

    if (x.type != VALUE_F32 || y.type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED, "only float32 is possible");
    outer_x.rank -= 2;
    outer_y.rank -= 2;
    rank = broadcast_shape(&outer_x, &outer_y, dimension);
    if (rank < 0 || x.dimension[x.rank - 1] != y.dimension[y.rank - 2])
        return import_refuse(import, ERR_INVALID, "the shapes of its inputs do not fit");
    dimension[rank]     = x.dimension[x.rank - 2];
    dimension[rank + 1] = y.dimension[y.rank - 1];
    /* Many matrices times one are one tall matrix times it. */
    if (y.rank == 2 && x.rank > 2) {
        flat[1]   = x.dimension[x.rank - 1];
        flat[0]   = x.elements / flat[1];
        inputs[0] = import_emit_reshape(import, a, 2, flat);
        if (inputs[0] < 0)
            return inputs[0];
        flat[1] = y.dimension[1];
        value   = import_emit(import, NODE_MATMUL, 3, inputs, 2, flat, &node);
    } else {
        value = import_emit(import, NODE_MATMUL, 3, inputs, rank + 2, dimension, &node);
    }
    if (value < 0)
        return value;
    node->matmul.alpha = 1.0F;
    node->matmul.beta  = 1.0F;
    return y.rank == 2 && x.rank > 2 ? import_emit_reshape(import, value, rank + 2, dimension)
                                     : value;
}

int import_set(struct importer *import, int value)
{
    import->output[0] = value;
    return value < 0 ? value : 0;
}
