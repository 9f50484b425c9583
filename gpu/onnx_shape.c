/* Operators that move numbers without changing them. All but Concat and Pad become strided copies,
 * of which graph_optimize() removes most. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <string.h>

/* A list of integers that newer files give as an input and older ones as an attribute. */
static int list_of(struct importer *import, int input, const char *name, const int64_t **list,
                   int *count)
{
    *list  = NULL;
    *count = 0;
    if (import_has_input(import, input))
        return import_input_ints(import, input, list, count);
    *list = import_ints(import, name, count);
    return 0;
}

int lower_identity(struct importer *import)
{
    import->output[0] = import->input[0];
    return 0;
}

int lower_concat(struct importer *import)
{
    struct value first = *import_input(import, 0);
    int64_t      dimension[MODEL_MAX_DIMENSIONS];
    int          axis = import_axis(import, import_int(import, "axis", 1), first.rank);
    int          value, kept = 0, inputs[LIMIT_NODE_INPUTS];
    struct node *node;

    if (axis < 0)
        return axis;
    memcpy(dimension, first.dimension, sizeof dimension);
    dimension[axis] = 0;
    for (int i = 0; i < import->input_count; i++) {
        const struct value *x;
        if (!import_has_input(import, i))
            return import_refuse(import, ERR_INVALID, "its input %d is missing", i);
        x = import_input(import, i);
        if (x->rank != first.rank || x->type != first.type)
            return import_refuse(import, ERR_INVALID, "its inputs are of different kinds");
        for (int k = 0; k < first.rank; k++)
            if (k != axis && x->dimension[k] != dimension[k])
                return import_refuse(import, ERR_INVALID, "the shapes of its inputs do not fit");
        dimension[axis] += x->dimension[axis];
        if (x->elements > 0)
            inputs[kept++] = import->input[i];
    }
    if (kept == 0)
        return import_refuse(import, ERR_UNSUPPORTED, "all its inputs are empty");
    value = import_emit(import, NODE_CONCAT, kept, inputs, first.rank, dimension, &node);
    if (value < 0)
        return value;
    node->axis        = axis;
    import->output[0] = value;
    return 0;
}

int lower_split(struct importer *import)
{
    struct value   x       = *import_input(import, 0);
    int            axis    = import_axis(import, import_int(import, "axis", 0), x.rank);
    int            outputs = (int)import->node->n_output, count, rc;
    const int64_t *sizes;
    int64_t        stride[MODEL_MAX_DIMENSIONS], begin = 0, share;

    if (axis < 0)
        return axis;
    rc = list_of(import, 1, "split", &sizes, &count);
    if (rc != 0)
        return rc;
    if (count != 0 && count != outputs)
        return import_refuse(import, ERR_INVALID, "gives %d sizes for %d outputs", count, outputs);
    graph_strides(x.rank, x.dimension, stride);
    share = (x.dimension[axis] + outputs - 1) / outputs;
    for (int i = 0; i < outputs; i++) {
        int64_t dimension[MODEL_MAX_DIMENSIONS];
        memcpy(dimension, x.dimension, sizeof dimension);
        dimension[axis] = count > 0 ? sizes[i] : share;
        if (count == 0 && i == outputs - 1)
            dimension[axis] = x.dimension[axis] - begin;
        if (dimension[axis] < 1 || dimension[axis] > x.dimension[axis] - begin)
            return import_refuse(import, ERR_INVALID, "its parts do not fit its input");
        import->output[i] = import_emit_strided(import, import->input[0], x.rank, dimension, stride,
                                                begin * stride[axis]);
        if (import->output[i] < 0)
            return import->output[i];
        begin += dimension[axis];
    }
    return 0;
}

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* Exporters cut the shape's front or back off even where nothing is left of it. */
static int empty_slice(struct importer *import, int axis)
{
    struct value x = *import_input(import, 0);

    x.dimension[axis] = 0;
    return import_set(import, x.type == VALUE_F32
                                  ? import_emit_floats(import, x.rank, x.dimension, NULL)
                                  : import_emit_ints(import, x.rank, x.dimension, NULL));
}

int lower_slice(struct importer *import)
{
    struct value   x = *import_input(import, 0);
    const int64_t *starts, *ends, *axes, *steps;
    int            start_count, end_count, axis_count, step_count, rc;
    int64_t        stride[MODEL_MAX_DIMENSIONS], offset = 0;

    rc = list_of(import, 1, "starts", &starts, &start_count);
    if (rc == 0)
        rc = list_of(import, 2, "ends", &ends, &end_count);
    if (rc == 0)
        rc = list_of(import, 3, "axes", &axes, &axis_count);
    if (rc == 0)
        rc = list_of(import, 4, "steps", &steps, &step_count);
    if (rc != 0)
        return rc;
    if (start_count != end_count || start_count > x.rank ||
        (axis_count != 0 && axis_count != start_count) ||
        (step_count != 0 && step_count != start_count))
        return import_refuse(import, ERR_INVALID, "its starts, ends, axes and steps do not fit");
    graph_strides(x.rank, x.dimension, stride);
    for (int i = 0; i < start_count; i++) {
        int     axis = import_axis(import, axis_count > 0 ? axes[i] : i, x.rank);
        int64_t step = step_count > 0 ? steps[i] : 1, from, to, size;
        if (axis < 0)
            return axis;
        size = x.dimension[axis];
        if (step == 0 || step > LIMIT_MODEL_TENSOR_ELEMENTS || step < -LIMIT_MODEL_TENSOR_ELEMENTS)
            return import_refuse(import, ERR_INVALID, "its step is impossible");
        from = starts[i] < 0 ? clamp(starts[i], -size - 1, -1) + size : starts[i];
        to   = ends[i] < 0 ? clamp(ends[i], -size - 1, -1) + size : ends[i];
        from = step > 0 ? clamp(from, 0, size) : clamp(from, 0, size - 1);
        to   = step > 0 ? clamp(to, 0, size) : clamp(to, -1, size - 1);
        size = step > 0 ? (to - from + step - 1) / step : (from - to - step - 1) / -step;
        if (size < 1 && import_is_constant(import, import->input[0]))
            return empty_slice(import, axis);
        if (size < 1)
            return import_refuse(import, ERR_UNSUPPORTED, "its result is empty");
        offset += from * stride[axis];
        x.dimension[axis] = size;
        stride[axis] *= step;
    }
    import->output[0] = import_emit_strided(import, import->input[0], x.rank, x.dimension, stride,
                                            offset);
    return import->output[0] < 0 ? import->output[0] : 0;
}

int lower_reshape(struct importer *import)
{
    struct value   x          = *import_input(import, 0);
    bool           allow_zero = import_int(import, "allowzero", 0) != 0;
    const int64_t *shape;
    int64_t        dimension[MODEL_MAX_DIMENSIONS], known = 1;
    int            count, unknown                         = -1, rc;

    rc = list_of(import, 1, "shape", &shape, &count);
    if (rc != 0)
        return rc;
    if (count > MODEL_MAX_DIMENSIONS)
        return import_refuse(import, ERR_LIMIT, "gives %d dimensions, at most %d are possible",
                             count, MODEL_MAX_DIMENSIONS);
    for (int i = 0; i < count; i++) {
        dimension[i] = shape[i];
        if (shape[i] == 0 && !allow_zero && i < x.rank)
            dimension[i] = x.dimension[i];
        if (shape[i] == -1 && unknown < 0) {
            unknown      = i;
            dimension[i] = 1;
        }
        if (dimension[i] < 1 || __builtin_mul_overflow(known, dimension[i], &known) ||
            known > LIMIT_MODEL_TENSOR_ELEMENTS)
            return import_refuse(import, ERR_INVALID, "its shape is impossible");
    }
    if (unknown >= 0 && x.elements % known == 0)
        dimension[unknown] = x.elements / known;
    import->output[0] = import_emit_reshape(import, import->input[0], count, dimension);
    return import->output[0] < 0 ? import->output[0] : 0;
}

int lower_transpose(struct importer *import)
{
    struct value   x = *import_input(import, 0);
    int            count;
    const int64_t *order = import_ints(import, "perm", &count);
    int64_t        dimension[MODEL_MAX_DIMENSIONS], stride[MODEL_MAX_DIMENSIONS];
    int64_t        own[MODEL_MAX_DIMENSIONS];
    unsigned       seen = 0;

    if (count != 0 && count != x.rank)
        return import_refuse(import, ERR_INVALID, "its order does not fit %d dimensions", x.rank);
    graph_strides(x.rank, x.dimension, own);
    for (int i = 0; i < x.rank; i++) {
        int axis = import_axis(import, count > 0 ? order[i] : x.rank - 1 - i, x.rank);
        if (axis < 0)
            return axis;
        seen |= 1U << axis;
        dimension[i] = x.dimension[axis];
        stride[i]    = own[axis];
    }
    if (seen != (1U << x.rank) - 1)
        return import_refuse(import, ERR_INVALID, "its order names a dimension twice");
    import->output[0] = import_emit_strided(import, import->input[0], x.rank, dimension, stride, 0);
    return import->output[0] < 0 ? import->output[0] : 0;
}

/* Pads that are given for some axes only, as pads of all of them. */
static int pad_axes(struct importer *import, int rank, const int64_t **pads, int count,
                    int64_t all[2 * MODEL_MAX_DIMENSIONS])
{
    const int64_t *axes;
    int            axis_count = rank, rc;
    bool           has_axes   = import_has_input(import, 3);

    if (has_axes) {
        rc = import_input_ints(import, 3, &axes, &axis_count);
        if (rc != 0)
            return rc;
    }
    if (count != 2 * axis_count)
        return import_refuse(import, ERR_INVALID, "its pads do not fit %d dimensions", axis_count);
    if (!has_axes)
        return 0;
    for (int i = 0; i < axis_count; i++) {
        int axis = import_axis(import, axes[i], rank);
        if (axis < 0)
            return axis;
        all[axis]        = (*pads)[i];
        all[rank + axis] = (*pads)[axis_count + i];
    }
    *pads = all;
    return 0;
}

int lower_pad(struct importer *import)
{
    struct value   x = *import_input(import, 0);
    const int64_t *pads;
    int64_t        dimension[MODEL_MAX_DIMENSIONS], all[2 * MODEL_MAX_DIMENSIONS] = {0};
    float          fill = import_float(import, "value", 0.0F);
    int            count, value, rc = list_of(import, 1, "pads", &pads, &count);
    struct node   *node;

    if (rc == 0 && import_has_input(import, 2))
        rc = import_input_float(import, 2, &fill);
    if (rc != 0)
        return rc;
    if (!import_text_is(import, "mode", "constant", "constant"))
        return import_refuse(import, ERR_UNSUPPORTED, "only constant padding is possible");
    if (x.type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED, "only float32 is possible");
    rc = pad_axes(import, x.rank, &pads, count, all);
    if (rc != 0)
        return rc;
    for (int i = 0; i < x.rank; i++) {
        if (pads[i] < 0 || pads[i] > LIMIT_WINDOW || pads[x.rank + i] < 0 ||
            pads[x.rank + i] > LIMIT_WINDOW)
            return import_refuse(import, ERR_UNSUPPORTED, "its pads are impossible");
        dimension[i] = x.dimension[i] + pads[i] + pads[x.rank + i];
    }
    value = import_emit(import, NODE_PAD, 1, import->input, x.rank, dimension, &node);
    if (value < 0)
        return value;
    for (int i = 0; i < x.rank; i++)
        node->pad.begin[i] = pads[i];
    node->pad.value   = fill;
    import->output[0] = value;
    return 0;
}

int lower_flatten(struct importer *import)
{
    struct value x    = *import_input(import, 0);
    int64_t      axis = import_int(import, "axis", 1), flat[2] = {1, 1};

    if (axis < -x.rank || axis > x.rank)
        return import_refuse(import, ERR_INVALID, "its axis does not exist");
    if (axis < 0)
        axis += x.rank;
    for (int i = 0; i < x.rank; i++)
        flat[i < axis ? 0 : 1] *= x.dimension[i];
    import->output[0] = import_emit_reshape(import, import->input[0], 2, flat);
    return import->output[0] < 0 ? import->output[0] : 0;
}

int lower_squeeze(struct importer *import)
{
    struct value   x = *import_input(import, 0);
    const int64_t *axes;
    int64_t        dimension[MODEL_MAX_DIMENSIONS];
    unsigned       gone = 0;
    int            count, rank = 0, rc = list_of(import, 1, "axes", &axes, &count);

    if (rc != 0)
        return rc;
    for (int i = 0; i < count; i++) {
        int axis = import_axis(import, axes[i], x.rank);
        if (axis < 0)
            return axis;
        if (x.dimension[axis] != 1)
            return import_refuse(import, ERR_INVALID, "dimension %d is not 1", axis);
        gone |= 1U << axis;
    }
    for (int i = 0; i < x.rank; i++)
        if ((gone >> i & 1U) == 0 && (count > 0 || x.dimension[i] != 1))
            dimension[rank++] = x.dimension[i];
    import->output[0] = import_emit_reshape(import, import->input[0], rank, dimension);
    return import->output[0] < 0 ? import->output[0] : 0;
}

int lower_unsqueeze(struct importer *import)
{
    struct value   x = *import_input(import, 0);
    const int64_t *axes;
    int64_t        dimension[MODEL_MAX_DIMENSIONS];
    unsigned       added = 0;
    int            count, from = 0, rc = list_of(import, 1, "axes", &axes, &count);

    if (rc != 0)
        return rc;
    if (count < 1 || x.rank + count > MODEL_MAX_DIMENSIONS)
        return import_refuse(import, ERR_LIMIT, "gives too many dimensions");
    for (int i = 0; i < count; i++) {
        int axis = import_axis(import, axes[i], x.rank + count);
        if (axis < 0)
            return axis;
        if ((added >> axis & 1U) != 0)
            return import_refuse(import, ERR_INVALID, "names an axis twice");
        added |= 1U << axis;
    }
    for (int i = 0; i < x.rank + count; i++)
        dimension[i] = (added >> i & 1U) != 0 ? 1 : x.dimension[from++];
    import->output[0] = import_emit_reshape(import, import->input[0], x.rank + count, dimension);
    return import->output[0] < 0 ? import->output[0] : 0;
}

int lower_constant(struct importer *import)
{
    const Onnx__AttributeProto *attribute;
    int64_t                     count;

    if ((attribute = import_attribute(import, "value")) != NULL && attribute->t != NULL) {
        import->output[0] = onnx_tensor_value(import->graph, &import->external, attribute->t,
                                              import->node->output[0], import->why);
    } else if ((attribute = import_attribute(import, "value_float")) != NULL) {
        import->output[0] = import_emit_floats(import, 0, NULL, &attribute->f);
    } else if ((attribute = import_attribute(import, "value_int")) != NULL) {
        import->output[0] = import_emit_ints(import, 0, NULL, &attribute->i);
    } else if ((attribute = import_attribute(import, "value_floats")) != NULL) {
        count             = (int64_t)attribute->n_floats;
        import->output[0] = import_emit_floats(import, 1, &count, attribute->floats);
    } else if ((attribute = import_attribute(import, "value_ints")) != NULL) {
        count             = (int64_t)attribute->n_ints;
        import->output[0] = import_emit_ints(import, 1, &count, attribute->ints);
    } else {
        return import_refuse(import, ERR_UNSUPPORTED, "holds no number");
    }
    return import->output[0] < 0 ? import->output[0] : 0;
}

int lower_constant_of_shape(struct importer *import)
{
    const Onnx__AttributeProto *attribute = import_attribute(import, "value");
    const int64_t              *shape;
    struct value                fill = {.type = VALUE_F32, .elements = 0};
    int64_t                    *ints, elements;
    float                      *floats;
    int                         count, rc = import_input_ints(import, 0, &shape, &count);

    if (rc != 0)
        return rc;
    elements = graph_elements(count, shape, LIMIT_MODEL_TENSOR_ELEMENTS);
    if (count > MODEL_MAX_DIMENSIONS || elements < 0)
        return import_refuse(import, ERR_LIMIT, "its shape is impossible");
    if (attribute != NULL && attribute->t != NULL) {
        rc = onnx_tensor_value(import->graph, &import->external, attribute->t,
                               import->node->output[0], import->why);
        if (rc < 0)
            return rc;
        fill  = import->graph->values[rc];
        shape = import_input(import, 0)->ints;
    }
    floats = graph_memory_alloc(&import->graph->memory, (size_t)elements, sizeof *floats);
    ints   = graph_memory_alloc(&import->graph->memory, (size_t)elements, sizeof *ints);
    if (floats == NULL || ints == NULL)
        return import_refuse(import, ERR_MEMORY, "the model needs too much memory");
    for (int64_t i = 0; i < elements && fill.elements > 0; i++) {
        if (fill.type == VALUE_F32)
            floats[i] = fill.floats[0];
        else
            ints[i] = fill.ints[0];
    }
    import->output[0] = fill.type == VALUE_F32 ? import_emit_floats(import, count, shape, floats)
                                               : import_emit_ints(import, count, shape, ints);
    return import->output[0] < 0 ? import->output[0] : 0;
}

int lower_shape(struct importer *import)
{
    struct value x     = *import_input(import, 0);
    int64_t      begin = import_int(import, "start", 0), end = import_int(import, "end", x.rank);
    int64_t      count;

    begin             = clamp(begin < 0 ? begin + x.rank : begin, 0, x.rank);
    end               = clamp(end < 0 ? end + x.rank : end, begin, x.rank);
    count             = end - begin;
    import->output[0] = import_emit_ints(import, 1, &count, x.dimension + begin);
    return import->output[0] < 0 ? import->output[0] : 0;
}
