/* Operators over axes: sums and the like, softmax, normalisation, the best K. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <string.h>

/* Axes from an input or attribute as bits; *none is set where there are none. */
static int read_axes(struct importer *import, unsigned *axes, bool *none)
{
    int            rank = import_input(import, 0)->rank, count, rc;
    const int64_t *list = import_ints(import, "axes", &count);

    *axes = 0;
    if (import_has_input(import, 1)) {
        rc = import_input_ints(import, 1, &list, &count);
        if (rc != 0)
            return rc;
    }
    for (int i = 0; i < count; i++) {
        int axis = import_axis(import, list[i], rank);
        if (axis < 0)
            return axis;
        *axes |= 1U << axis;
    }
    *none = count == 0;
    if (*none)
        *axes = (1U << rank) - 1;
    return 0;
}

int lower_reduce_mean(struct importer *import)
{
    unsigned axes = 0;
    bool     none;
    int      rc = read_axes(import, &axes, &none);

    if (rc != 0)
        return rc;
    if (none && import_int(import, "noop_with_empty_axes", 0) != 0)
        return lower_identity(import);
    return import_set(import, import_emit_mean(import, import->input[0], axes,
                                               import_int(import, "keepdims", 1) != 0));
}

int lower_reduce(struct importer *import)
{
    const char      *name  = import->op->name + strlen("Reduce");
    bool             keep  = import_int(import, "keepdims", 1) != 0, none;
    enum reduce_kind kind  = REDUCE_SUM;
    unsigned         axes  = 0;
    int              value = import->input[0], rc = read_axes(import, &axes, &none);

    if (rc != 0)
        return rc;
    if (none && import_int(import, "noop_with_empty_axes", 0) != 0)
        return lower_identity(import);
    if (strcmp(name, "Max") == 0)
        kind = REDUCE_MAXIMUM;
    else if (strcmp(name, "Min") == 0)
        kind = REDUCE_MINIMUM;
    else if (strcmp(name, "Prod") == 0)
        kind = REDUCE_PRODUCT;
    else if (strcmp(name, "L1") == 0)
        value = import_emit_unary(import, UNARY_ABSOLUTE, value);
    else if (strcmp(name, "L2") == 0 || strcmp(name, "SumSquare") == 0)
        value = import_emit_unary(import, UNARY_SQUARE, value);
    if (value >= 0)
        value = import_emit_reduce(import, kind, value, axes, keep);
    if (value >= 0 && strcmp(name, "L2") == 0)
        value = import_emit_unary(import, UNARY_SQUARE_ROOT, value);
    return import_set(import, value);
}

static int window_axes(struct importer *import, unsigned *axes)
{
    int rank = import_input(import, 0)->rank;

    if (rank < 3)
        return import_refuse(import, ERR_UNSUPPORTED, "its input has no height and width");
    *axes = ((1U << rank) - 1) & ~3U;
    return 0;
}

int lower_global_average_pool(struct importer *import)
{
    unsigned axes = 0;
    int      rc   = window_axes(import, &axes);

    return rc != 0 ? rc
                   : import_set(import, import_emit_mean(import, import->input[0], axes, true));
}

int lower_global_max_pool(struct importer *import)
{
    unsigned axes = 0;
    int      rc   = window_axes(import, &axes);

    return rc != 0 ? rc
                   : import_set(import, import_emit_reduce(import, REDUCE_MAXIMUM, import->input[0],
                                                           axes, true));
}

/* ---- softmax ---- */

static int emit_softmax(struct importer *import, int source, int axis)
{
    struct value x = import->graph->values[source];
    struct node *node;
    int          value = import_emit(import, NODE_SOFTMAX, 1, &source, x.rank, x.dimension, &node);

    if (value >= 0)
        node->axis = axis;
    return value;
}

/* x - max - log(sum(exp(x - max))): the logarithm of a softmax would lose what is far below. */
static int emit_log_softmax(struct importer *import, int source, int axis)
{
    unsigned axes  = 1U << axis;
    int      value = import_emit_reduce(import, REDUCE_MAXIMUM, source, axes, true), sum;

    if (value >= 0)
        value = import_emit_binary(import, BINARY_SUBTRACT, source, value);
    sum = value < 0 ? value : import_emit_unary(import, UNARY_EXPONENTIAL, value);
    if (sum >= 0)
        sum = import_emit_reduce(import, REDUCE_SUM, sum, axes, true);
    if (sum >= 0)
        sum = import_emit_unary(import, UNARY_LOGARITHM, sum);
    return sum < 0 ? sum : import_emit_binary(import, BINARY_SUBTRACT, value, sum);
}

int lower_softmax(struct importer *import)
{
    struct value x   = *import_input(import, 0);
    bool         log = import->op->name[0] == 'L';
    int axis = import_axis(import, import_int(import, "axis", import->opset < 13 ? 1 : -1), x.rank);
    int source      = import->input[0], value;
    int64_t flat[2] = {1, 1};
    bool    old     = import->opset < 13 && axis != x.rank - 1;

    if (axis < 0)
        return axis;
    if (x.type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED, "only float32 is possible");
    if (old) { /* before opset 13 it ran over all dimensions from the axis on, taken together */
        for (int i = 0; i < x.rank; i++)
            flat[i < axis ? 0 : 1] *= x.dimension[i];
        source = import_emit_reshape(import, source, 2, flat);
        if (source < 0)
            return source;
        axis = 1;
    }
    value = log ? emit_log_softmax(import, source, axis) : emit_softmax(import, source, axis);
    if (value >= 0 && old)
        value = import_emit_reshape(import, value, x.rank, x.dimension);
    return import_set(import, value);
}

/* ---- normalisation ---- */

/* Rows from `axis` on; scale and shift may be -1. */
static int emit_layer_norm(struct importer *import, int source, int scale, int shift, int axis,
                           float epsilon)
{
    struct value x         = import->graph->values[source];
    int          inputs[3] = {source, scale, shift}, value;
    struct node *node;

    if (x.type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED, "only float32 is possible");
    value = import_emit(import, NODE_LAYER_NORM, 3, inputs, x.rank, x.dimension, &node);
    if (value < 0)
        return value;
    node->axis    = axis;
    node->epsilon = epsilon;
    return value;
}

int lower_layer_norm(struct importer *import)
{
    struct value x     = *import_input(import, 0);
    int          axis  = import_axis(import, import_int(import, "axis", -1), x.rank);
    int          shift = import_has_input(import, 2) ? import->input[2] : -1;
    int64_t      row   = 1;

    if (axis < 0)
        return axis;
    for (int k = axis; k < x.rank; k++)
        row *= x.dimension[k];
    if (import_input(import, 1)->elements != row ||
        (shift >= 0 && import->graph->values[shift].elements != row))
        return import_refuse(import, ERR_UNSUPPORTED,
                             "its scale and shift need one number per element of a row");
    return import_set(import, emit_layer_norm(import, import->input[0], import->input[1], shift,
                                              axis, import_float(import, "epsilon", 1e-5F)));
}

/* One number per channel, or per group of them, as C×1×1... */
static int channel_shape(struct importer *import, int number, const struct value *x, int64_t groups)
{
    struct value p         = import->graph->values[number];
    int64_t      channels  = x->dimension[1], shape[MODEL_MAX_DIMENSIONS];
    int64_t      stride[2] = {1, 0}, size[2] = {groups, channels / groups};

    if (p.elements != channels && p.elements != groups)
        return import_refuse(import, ERR_INVALID, "its scale and shift do not fit %lld channels",
                             (long long)channels);
    if (p.elements != channels) {
        number = import_emit_strided(import, number, 2, size, stride, 0);
        if (number < 0)
            return number;
    }
    shape[0] = channels;
    for (int k = 1; k < x->rank - 1; k++)
        shape[k] = 1;
    return import_emit_reshape(import, number, x->rank - 1, shape);
}

/* InstanceNormalization has a group for each channel. */
int lower_group_norm(struct importer *import)
{
    struct value x      = *import_input(import, 0);
    int64_t      groups = import->op->name[0] == 'I' ? x.rank > 1 ? x.dimension[1] : 0
                                                     : import_int(import, "num_groups", 0);
    int64_t      flat[2];
    int          value, scale, shift;

    if (x.rank < 3 || groups < 1 || x.dimension[1] % groups != 0)
        return import_refuse(import, ERR_INVALID, "its groups do not fit its channels");
    flat[0] = x.dimension[0] * groups;
    flat[1] = x.elements / flat[0];
    value   = import_emit_reshape(import, import->input[0], 2, flat);
    if (value >= 0)
        value = emit_layer_norm(import, value, -1, -1, 1, import_float(import, "epsilon", 1e-5F));
    if (value >= 0)
        value = import_emit_reshape(import, value, x.rank, x.dimension);
    scale = value < 0 ? value : channel_shape(import, import->input[1], &x, groups);
    shift = scale < 0 ? scale : channel_shape(import, import->input[2], &x, groups);
    if (shift < 0)
        return shift;
    value = import_emit_binary(import, BINARY_MULTIPLY, value, scale);
    return value < 0 ? value
                     : import_set(import, import_emit_binary(import, BINARY_ADD, value, shift));
}

/* x / (sum of |x|^p)^(1/p) along one axis, p being 1 or 2. */
int lower_lp_norm(struct importer *import)
{
    int axis  = import_axis(import, import_int(import, "axis", -1), import_input(import, 0)->rank);
    int64_t p = import_int(import, "p", 2);
    int     value;

    if (axis < 0)
        return axis;
    if (p != 1 && p != 2)
        return import_refuse(import, ERR_UNSUPPORTED, "its p must be 1 or 2");
    value = import_emit_unary(import, p == 1 ? UNARY_ABSOLUTE : UNARY_SQUARE, import->input[0]);
    if (value >= 0)
        value = import_emit_reduce(import, REDUCE_SUM, value, 1U << axis, true);
    if (value >= 0 && p == 2)
        value = import_emit_unary(import, UNARY_SQUARE_ROOT, value);
    return value < 0 ? value
                     : import_set(import, import_emit_binary(import, BINARY_DIVIDE,
                                                             import->input[0], value));
}

/* ---- places of the best ---- */

static int emit_top_k(struct importer *import, int axis, int64_t count, bool smallest)
{
    struct value x = *import_input(import, 0);
    struct node *node;
    int          value;

    if (count < 1 || count > x.dimension[axis])
        return import_refuse(import, ERR_INVALID, "wants %lld of %lld numbers", (long long)count,
                             (long long)x.dimension[axis]);
    if (x.dimension[axis] > LIMIT_GRAPH_WHOLE)
        return import_refuse(import, ERR_LIMIT, "its axis is longer than indices can reach");
    x.dimension[axis] = count;
    value = import_emit(import, NODE_TOP_K, 1, import->input, x.rank, x.dimension, &node);
    if (value < 0)
        return value;
    node->axis                        = axis;
    node->topk.smallest               = smallest;
    import->graph->values[value].type = VALUE_I64;
    return value;
}

int lower_top_k(struct importer *import)
{
    struct value   x     = *import_input(import, 0);
    int            axis  = import_axis(import, import_int(import, "axis", -1), x.rank);
    int64_t        count = import_int(import, "k", 0);
    const int64_t *list;
    int            indices, inputs[2], length, rc;
    struct node   *node;

    if (axis < 0)
        return axis;
    if (import_has_input(import, 1)) {
        rc = import_input_ints(import, 1, &list, &length);
        if (rc != 0)
            return rc;
        count = length > 0 ? list[0] : 0;
    }
    indices = emit_top_k(import, axis, count, import_int(import, "largest", 1) == 0);
    if (indices < 0)
        return indices;
    x         = import->graph->values[indices];
    inputs[0] = import->input[0];
    inputs[1] = indices;
    rc        = import_emit(import, NODE_GATHER_ELEMENTS, 2, inputs, x.rank, x.dimension, &node);
    if (rc < 0)
        return rc;
    node->axis        = axis;
    import->output[0] = rc;
    import->output[1] = indices;
    return 0;
}

int lower_arg_max(struct importer *import)
{
    struct value x    = *import_input(import, 0);
    int          axis = import_axis(import, import_int(import, "axis", 0), x.rank), value, rank = 0;
    int64_t      dimension[MODEL_MAX_DIMENSIONS];

    if (axis < 0)
        return axis;
    if (import_int(import, "select_last_index", 0) != 0)
        return import_refuse(import, ERR_UNSUPPORTED, "of equals only the first is possible");
    value = emit_top_k(import, axis, 1, strcmp(import->op->name, "ArgMin") == 0);
    if (value < 0 || import_int(import, "keepdims", 1) != 0)
        return import_set(import, value);
    for (int k = 0; k < x.rank; k++)
        if (k != axis)
            dimension[rank++] = x.dimension[k];
    return import_set(import, import_emit_reshape(import, value, rank, dimension));
}

int lower_cum_sum(struct importer *import)
{
    struct value   x = *import_input(import, 0);
    const int64_t *list;
    int            count, axis, value, rc = import_input_ints(import, 1, &list, &count);
    struct node   *node;

    if (rc != 0)
        return rc;
    axis = import_axis(import, count > 0 ? list[0] : 0, x.rank);
    if (axis < 0)
        return axis;
    value = import_emit(import, NODE_CUM_SUM, 1, import->input, x.rank, x.dimension, &node);
    if (value < 0)
        return value;
    node->axis               = axis;
    node->cumulate.exclusive = import_int(import, "exclusive", 0) != 0;
    node->cumulate.reverse   = import_int(import, "reverse", 0) != 0;
    return import_set(import, value);
}
