/* QuantizeLinear and DequantizeLinear as plain arithmetic: a model with them gives what its integer
 * form would, rounding included, computed in float32. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <string.h>

/* Scale or zero point, shaped so that it lies along the axis of x. */
static int along_axis(struct importer *import, int number, const struct value *x)
{
    struct value p = import->graph->values[number];
    int64_t      shape[MODEL_MAX_DIMENSIONS];
    int          axis;

    if (p.elements == 1)
        return import_emit_reshape(import, number, 0, NULL);
    axis = import_axis(import, import_int(import, "axis", 1), x->rank);
    if (axis < 0)
        return axis;
    if (p.rank != 1 || p.elements != x->dimension[axis])
        return import_refuse(import, ERR_UNSUPPORTED,
                             "its scale needs one number, or one for each place on its axis");
    for (int k = axis; k < x->rank; k++)
        shape[k - axis] = k == axis ? p.elements : 1;
    return import_emit_reshape(import, number, x->rank - axis, shape);
}

/* What a type of 8 or 16 bits holds. */
static bool element_range(int element, float *low, float *high)
{
    switch (element) {
    case 0: /* no zero point: unsigned bytes */
    case 2:
        *low  = 0.0F;
        *high = 255.0F;
        return true;
    case 3:
        *low  = -128.0F;
        *high = 127.0F;
        return true;
    case 4:
        *low  = 0.0F;
        *high = 65535.0F;
        return true;
    case 5:
        *low  = -32768.0F;
        *high = 32767.0F;
        return true;
    default:
        return false;
    }
}

/* The zero point as float32 along the axis, or -1 with *none set. */
static int zero_point(struct importer *import, const struct value *x, bool *none)
{
    struct value zero;
    int64_t      largest = 0;
    int          value;

    *none = !import_has_input(import, 2);
    if (*none)
        return -1;
    zero = *import_input(import, 2);
    if (zero.ints == NULL)
        return import_refuse(import, ERR_UNSUPPORTED, "its zero point must be a constant");
    for (int64_t i = 0; i < zero.elements; i++)
        largest |= zero.ints[i];
    *none = largest == 0;
    if (*none)
        return -1;
    value = import_emit_reshape(import, import->input[2], zero.rank, zero.dimension);
    if (value < 0)
        return value;
    import->graph->values[value].type = VALUE_F32;
    return along_axis(import, value, x);
}

int lower_quantize(struct importer *import)
{
    struct value      x       = *import_input(import, 0);
    int               element = import_has_input(import, 2) ? import_input(import, 2)->element : 0;
    struct activation clip    = {.kind = ACTIVATION_CLIP};
    int               scale, zero, value;
    bool              none;

    if (x.type != VALUE_F32 || !element_range(element, &clip.a, &clip.b))
        return import_refuse(import, ERR_UNSUPPORTED, "only float32 to 8 or 16 bits is possible");
    scale = along_axis(import, import->input[1], &x);
    zero  = scale < 0 ? scale : zero_point(import, &x, &none);
    if (scale < 0 || (zero < 0 && !none))
        return scale < 0 ? scale : zero;
    value = import_emit_binary(import, BINARY_DIVIDE, import->input[0], scale);
    if (value >= 0)
        value = import_emit_unary(import, UNARY_ROUND, value);
    if (value >= 0 && !none)
        value = import_emit_binary(import, BINARY_ADD, value, zero);
    if (value >= 0)
        value = import_emit_activation(import, clip, value);
    if (value >= 0)
        import->graph->values[value].type = VALUE_I64;
    return import_set(import, value);
}

/* Weights: at once, since three steps would leave three copies of them. */
static int dequantize_constant(struct importer *import, const struct value *x)
{
    struct value scale = *import_input(import, 1), zero = {.elements = 0};
    int64_t      inner = 1, count = scale.elements;
    float       *floats;
    int          axis = 0;

    if (import_has_input(import, 2))
        zero = *import_input(import, 2);
    if (count > 1) {
        axis = import_axis(import, import_int(import, "axis", 1), x->rank);
        if (axis < 0)
            return axis;
    }
    for (int k = axis + 1; k < x->rank; k++)
        inner *= x->dimension[k];
    if (count < 1 || (count > 1 && count != x->dimension[axis]) || scale.floats == NULL ||
        (zero.elements != 0 && (zero.elements != count || zero.ints == NULL)))
        return import_refuse(import, ERR_UNSUPPORTED,
                             "its scale needs one number, or one for each place on its axis");
    floats = graph_memory_alloc(&import->graph->memory, (size_t)x->elements, sizeof *floats);
    if (floats == NULL)
        return import_refuse(import, ERR_MEMORY, "the model needs too much memory");
    for (int64_t i = 0; i < x->elements; i++) {
        int64_t at = count == 1 ? 0 : i / inner % count;
        floats[i]  = ((float)x->ints[i] - (zero.elements != 0 ? (float)zero.ints[at] : 0.0F)) *
                    scale.floats[at];
    }
    return import_take_floats(import, x->rank, x->dimension, floats);
}

int lower_dequantize(struct importer *import)
{
    struct value x = *import_input(import, 0);
    int          scale, zero, value;
    bool         none;

    if (x.type != VALUE_I64)
        return import_refuse(import, ERR_INVALID, "its input is not integers");
    if (x.ints != NULL)
        return import_set(import, dequantize_constant(import, &x));
    scale = along_axis(import, import->input[1], &x);
    zero  = scale < 0 ? scale : zero_point(import, &x, &none);
    if (scale < 0 || (zero < 0 && !none))
        return scale < 0 ? scale : zero;
    value = import_emit_reshape(import, import->input[0], x.rank, x.dimension);
    if (value < 0)
        return value;
    import->graph->values[value].type = VALUE_F32;
    if (!none)
        value = import_emit_binary(import, BINARY_SUBTRACT, value, zero);
    return value < 0
               ? value
               : import_set(import, import_emit_binary(import, BINARY_MULTIPLY, value, scale));
}
