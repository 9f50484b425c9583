/* Operators that compute on numbers: activations, arithmetic, means, softmax, matrix products. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <float.h>
#include <math.h>
#include <string.h>

int broadcast_shape(const struct value *a, const struct value *b, int64_t *dimension)
{
    int rank = a->rank > b->rank ? a->rank : b->rank;

    for (int i = 0; i < rank; i++) {
        int     at_a = i - (rank - a->rank), at_b = i - (rank - b->rank);
        int64_t da = at_a < 0 ? 1 : a->dimension[at_a], db = at_b < 0 ? 1 : b->dimension[at_b];
        if (da != db && da != 1 && db != 1)
            return -1;
        dimension[i] = da == 1 ? db : da;
    }
    return rank;
}

void broadcast_strides(const struct value *value, int rank, int64_t *stride)
{
    int64_t own[MODEL_MAX_DIMENSIONS];

    graph_strides(value->rank, value->dimension, own);
    for (int i = 0; i < rank; i++) {
        int at    = i - (rank - value->rank);
        stride[i] = at < 0 || value->dimension[at] == 1 ? 0 : own[at];
    }
}

static int lower_activation(struct importer *import, enum activation_kind kind, float a, float b)
{
    const struct value *x = import_input(import, 0);
    int64_t             dimension[MODEL_MAX_DIMENSIONS];
    struct node        *node;
    int                 value;

    if (x->type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED, "only float32 is possible");
    memcpy(dimension, x->dimension, sizeof dimension);
    value = import_emit(import, NODE_ACTIVATION, 1, import->input, x->rank, dimension, &node);
    if (value < 0)
        return value;
    node->activation  = (struct activation){.kind = kind, .a = a, .b = b};
    import->output[0] = value;
    return 0;
}

int lower_relu(struct importer *import)
{
    return lower_activation(import, ACTIVATION_RELU, 0.0F, 0.0F);
}

int lower_leaky_relu(struct importer *import)
{
    return lower_activation(import, ACTIVATION_RELU, import_float(import, "alpha", 0.01F), 0.0F);
}

int lower_sigmoid(struct importer *import)
{
    return lower_activation(import, ACTIVATION_SIGMOID, 0.0F, 0.0F);
}

int lower_hard_sigmoid(struct importer *import)
{
    return lower_activation(import, ACTIVATION_HARD_SIGMOID, import_float(import, "alpha", 0.2F),
                            import_float(import, "beta", 0.5F));
}

int lower_hard_swish(struct importer *import)
{
    return lower_activation(import, ACTIVATION_HARD_SWISH, 1.0F / 6.0F, 0.5F);
}

int lower_clip(struct importer *import)
{
    float low = import_float(import, "min", -FLT_MAX), high = import_float(import, "max", FLT_MAX);
    int   rc = 0;

    if (import_has_input(import, 1))
        rc = import_input_float(import, 1, &low);
    if (rc == 0 && import_has_input(import, 2))
        rc = import_input_float(import, 2, &high);
    if (rc != 0)
        return rc;
    return lower_activation(import, ACTIVATION_CLIP, low, high);
}

int lower_binary(struct importer *import)
{
    const struct value *a = import_input(import, 0), *b = import_input(import, 1);
    int64_t             dimension[MODEL_MAX_DIMENSIONS];
    struct node        *node;
    int                 rank, value;

    if (a->type != b->type)
        return import_refuse(import, ERR_INVALID, "its inputs are of different types");
    rank = broadcast_shape(a, b, dimension);
    if (rank < 0)
        return import_refuse(import, ERR_INVALID, "the shapes of its inputs do not fit");
    value = import_emit(import, NODE_BINARY, 2, import->input, rank, dimension, &node);
    if (value < 0)
        return value;
    switch (import->op->name[0]) {
    case 'A':
        node->binary = BINARY_ADD;
        break;
    case 'S':
        node->binary = BINARY_SUBTRACT;
        break;
    case 'M':
        node->binary = BINARY_MULTIPLY;
        break;
    default:
        node->binary = BINARY_DIVIDE;
        break;
    }
    import->output[0] = value;
    return 0;
}

static int emit_mean(struct importer *import, unsigned axes, bool keep)
{
    struct value x = *import_input(import, 0);
    int64_t      dimension[MODEL_MAX_DIMENSIONS];
    struct node *node;
    int          rank = 0, value;

    if (x.type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED, "only float32 is possible");
    for (int i = 0; i < x.rank; i++) {
        bool gone = (axes >> i & 1U) != 0;
        if (gone && keep)
            dimension[rank++] = 1;
        else if (!gone)
            dimension[rank++] = x.dimension[i];
    }
    value = import_emit(import, NODE_MEAN, 1, import->input, rank, dimension, &node);
    if (value < 0)
        return value;
    node->axes        = axes;
    import->output[0] = value;
    return 0;
}

int lower_reduce_mean(struct importer *import)
{
    const struct value *x    = import_input(import, 0);
    bool                keep = import_int(import, "keepdims", 1) != 0;
    int                 count;
    const int64_t      *list = import_ints(import, "axes", &count);
    unsigned            axes = 0;
    int                 rc;

    if (import_has_input(import, 1)) {
        rc = import_input_ints(import, 1, &list, &count);
        if (rc != 0)
            return rc;
    }
    for (int i = 0; i < count; i++) {
        int axis = import_axis(import, list[i], x->rank);
        if (axis < 0)
            return axis;
        axes |= 1U << axis;
    }
    if (count == 0 && import_int(import, "noop_with_empty_axes", 0) != 0)
        return lower_identity(import);
    if (count == 0)
        axes = (1U << x->rank) - 1;
    return emit_mean(import, axes, keep);
}

int lower_global_average_pool(struct importer *import)
{
    int rank = import_input(import, 0)->rank;

    if (rank < 3)
        return import_refuse(import, ERR_UNSUPPORTED, "its input has no height and width");
    return emit_mean(import, ((1U << rank) - 1) & ~3U, true);
}

int lower_softmax(struct importer *import)
{
    struct value x = *import_input(import, 0);
    int axis = import_axis(import, import_int(import, "axis", import->opset < 13 ? 1 : -1), x.rank);
    int source = import->input[0], value;
    struct node *node;
    int64_t      flat[2] = {1, 1};

    if (axis < 0)
        return axis;
    if (x.type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED, "only float32 is possible");
    /* Before opset 13 it ran over all dimensions from the axis on, taken together. */
    if (import->opset >= 13 || axis == x.rank - 1) {
        value = import_emit(import, NODE_SOFTMAX, 1, &source, x.rank, x.dimension, &node);
        if (value < 0)
            return value;
        node->axis        = axis;
        import->output[0] = value;
        return 0;
    }
    for (int i = 0; i < x.rank; i++)
        flat[i < axis ? 0 : 1] *= x.dimension[i];
    source = import_emit_reshape(import, source, 2, flat);
    if (source < 0)
        return source;
    value = import_emit(import, NODE_SOFTMAX, 1, &source, 2, flat, &node);
    if (value < 0)
        return value;
    node->axis        = 1;
    import->output[0] = import_emit_reshape(import, value, x.rank, x.dimension);
    return import->output[0] < 0 ? import->output[0] : 0;
}

int lower_gemm(struct importer *import)
{
    const struct value *a = import_input(import, 0), *b = import_input(import, 1);
    bool                ta        = import_int(import, "transA", 0) != 0;
    bool                tb        = import_int(import, "transB", 0) != 0;
    float               alpha     = import_float(import, "alpha", 1.0F);
    float               beta      = import_float(import, "beta", 1.0F);
    int                 inputs[3] = {import->input[0], import->input[1], -1}, value;
    int64_t             dimension[2], wide[MODEL_MAX_DIMENSIONS];
    struct node        *node;

    if (a->rank != 2 || b->rank != 2 || a->type != VALUE_F32 || b->type != VALUE_F32 ||
        a->dimension[ta ? 0 : 1] != b->dimension[tb ? 1 : 0])
        return import_refuse(import, ERR_INVALID, "the shapes of its inputs do not fit");
    dimension[0] = a->dimension[ta ? 1 : 0];
    dimension[1] = b->dimension[tb ? 0 : 1];
    if (import_has_input(import, 2)) {
        struct value        out = {.rank = 2, .dimension = {dimension[0], dimension[1]}};
        const struct value *c   = import_input(import, 2);
        if (c->floats == NULL || c->rank > 2 || broadcast_shape(&out, c, wide) != 2 ||
            wide[0] != dimension[0] || wide[1] != dimension[1])
            return import_refuse(import, ERR_UNSUPPORTED,
                                 "its third input must be a constant that "
                                 "fits the output");
        inputs[2] = import->input[2];
    }
    value = import_emit(import, NODE_MATMUL, 3, inputs, 2, dimension, &node);
    if (value < 0)
        return value;
    node->matmul.transpose_a = ta;
    node->matmul.transpose_b = tb;
    node->matmul.alpha       = alpha;
    node->matmul.beta        = beta;
    import->output[0]        = value;
    return 0;
}

int lower_matmul(struct importer *import)
{
    struct value a = *import_input(import, 0), b = *import_input(import, 1);
    struct value outer_a = a, outer_b = b;
    int          inputs[3] = {import->input[0], import->input[1], -1}, rank, value;
    int64_t      dimension[MODEL_MAX_DIMENSIONS];
    struct node *node;

    if (a.rank < 2 || b.rank < 2 || a.type != VALUE_F32 || b.type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED, "both inputs need two dimensions or more");
    outer_a.rank -= 2;
    outer_b.rank -= 2;
    rank = broadcast_shape(&outer_a, &outer_b, dimension);
    if (rank < 0 || a.dimension[a.rank - 1] != b.dimension[b.rank - 2])
        return import_refuse(import, ERR_INVALID, "the shapes of its inputs do not fit");
    dimension[rank]     = a.dimension[a.rank - 2];
    dimension[rank + 1] = b.dimension[b.rank - 1];
    value               = import_emit(import, NODE_MATMUL, 3, inputs, rank + 2, dimension, &node);
    if (value < 0)
        return value;
    node->matmul.alpha = 1.0F;
    node->matmul.beta  = 1.0F;
    import->output[0]  = value;
    return 0;
}

/* Floor and Ceil appear where exporters compute sizes; so constants are enough. */
int lower_rounding(struct importer *import)
{
    struct value x    = *import_input(import, 0);
    bool         down = import->op->name[0] == 'F';
    float       *rounded;

    if (x.floats == NULL)
        return import_refuse(import, ERR_UNSUPPORTED, "is possible on constants only");
    rounded = graph_memory_alloc(&import->graph->memory, (size_t)x.elements, sizeof *rounded);
    if (rounded == NULL)
        return import_refuse(import, ERR_MEMORY, "the model needs too much memory");
    for (int64_t i = 0; i < x.elements; i++)
        rounded[i] = down ? floorf(x.floats[i]) : ceilf(x.floats[i]);
    import->output[0] = import_emit_floats(import, x.rank, x.dimension, rounded);
    return import->output[0] < 0 ? import->output[0] : 0;
}
