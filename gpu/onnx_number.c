/* Operators of one number or two: functions, comparisons, what is built of them. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <float.h>
#include <string.h>

int lower_unary(struct importer *import)
{
    static const struct {
        const char     *name;
        enum unary_kind kind;
    } kinds[] = {
        {"Abs", UNARY_ABSOLUTE},
        {"Ceil", UNARY_CEIL},
        {"Cos", UNARY_COSINE},
        {"Erf", UNARY_ERROR_FUNCTION},
        {"Exp", UNARY_EXPONENTIAL},
        {"Floor", UNARY_FLOOR},
        {"Log", UNARY_LOGARITHM},
        {"Mish", UNARY_MISH},
        {"Neg", UNARY_NEGATE},
        {"Not", UNARY_NOT},
        {"Reciprocal", UNARY_RECIPROCAL},
        {"Round", UNARY_ROUND},
        {"Sign", UNARY_SIGN},
        {"Sin", UNARY_SINE},
        {"Softplus", UNARY_SOFTPLUS},
        {"Sqrt", UNARY_SQUARE_ROOT},
        {"Tanh", UNARY_HYPERBOLIC_TANGENT},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, import->op->name) == 0)
            return import_set(import, import_emit_unary(import, kinds[i].kind, import->input[0]));
    return import_refuse(import, ERR_UNSUPPORTED, "is not known");
}

int lower_gelu(struct importer *import)
{
    bool by_tanh = import_text_is(import, "approximate", "tanh", "none");

    return import_set(import, import_emit_unary(import, by_tanh ? UNARY_GELU_TANH : UNARY_GELU,
                                                import->input[0]));
}

/* Elu, Selu and Celu; all in float32. */
int lower_elu(struct importer *import)
{
    bool  scaled = import->op->name[0] == 'S', celu = import->op->name[0] == 'C';
    float alpha = import_float(import, "alpha", scaled ? 1.67326319F : 1.0F);
    float gamma = scaled ? import_float(import, "gamma", 1.05070102F) : 1.0F;
    int   value, factor;

    if (celu && alpha != 1.0F)
        return import_refuse(import, ERR_UNSUPPORTED, "its alpha must be 1");
    value = import_emit_unary(import, UNARY_ELU, import->input[0]);
    if (value < 0)
        return value;
    import->graph->nodes[import->graph->node_count - 1].unary_a = alpha;
    if (gamma == 1.0F)
        return import_set(import, value);
    factor = import_emit_number(import, VALUE_F32, (double)gamma);
    return factor < 0
               ? factor
               : import_set(import, import_emit_binary(import, BINARY_MULTIPLY, value, factor));
}

/* x / (1 + |x|) */
int lower_softsign(struct importer *import)
{
    int size = import_emit_unary(import, UNARY_ABSOLUTE, import->input[0]);
    int one  = size < 0 ? size : import_emit_number(import, VALUE_F32, 1.0);

    if (one < 0)
        return one;
    size = import_emit_binary(import, BINARY_ADD, size, one);
    return size < 0 ? size
                    : import_set(import,
                                 import_emit_binary(import, BINARY_DIVIDE, import->input[0], size));
}

/* max(x, 0) + slope * min(x, 0); with one slope for all it is a leaky Relu. */
int lower_prelu(struct importer *import)
{
    struct value      slope = *import_input(import, 1);
    struct activation relu  = {.kind = ACTIVATION_RELU};
    struct activation below = {.kind = ACTIVATION_CLIP, .a = -FLT_MAX, .b = 0.0F};
    int               high, low;

    if (slope.floats != NULL && slope.elements == 1) {
        relu.a = slope.floats[0];
        return import_set(import, import_emit_activation(import, relu, import->input[0]));
    }
    high = import_emit_activation(import, relu, import->input[0]);
    low  = high < 0 ? high : import_emit_activation(import, below, import->input[0]);
    if (low >= 0)
        low = import_emit_binary(import, BINARY_MULTIPLY, low, import->input[1]);
    return low < 0 ? low : import_set(import, import_emit_binary(import, BINARY_ADD, high, low));
}

/* ---- of two numbers ---- */

static bool binary_named(const char *name, enum binary_kind *kind, bool *swapped)
{
    static const struct {
        const char      *name;
        enum binary_kind kind;
        bool             swapped;
    } kinds[] = {
        {"Add", BINARY_ADD, false},     {"And", BINARY_AND, false},
        {"Div", BINARY_DIVIDE, false},  {"Equal", BINARY_EQUAL, false},
        {"Greater", BINARY_LESS, true}, {"GreaterOrEqual", BINARY_LESS_EQUAL, true},
        {"Less", BINARY_LESS, false},   {"LessOrEqual", BINARY_LESS_EQUAL, false},
        {"Max", BINARY_MAXIMUM, false}, {"Mean", BINARY_ADD, false},
        {"Min", BINARY_MINIMUM, false}, {"Mul", BINARY_MULTIPLY, false},
        {"Or", BINARY_OR, false},       {"Sub", BINARY_SUBTRACT, false},
        {"Sum", BINARY_ADD, false},     {"Xor", BINARY_XOR, false},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *kind    = kinds[i].kind;
            *swapped = kinds[i].swapped;
            return true;
        }
    return false;
}

int lower_binary(struct importer *import)
{
    enum binary_kind kind    = BINARY_ADD;
    bool             swapped = false;

    if (!binary_named(import->op->name, &kind, &swapped))
        return import_refuse(import, ERR_UNSUPPORTED, "is not known");
    if (import_input(import, 0)->type != import_input(import, 1)->type)
        return import_refuse(import, ERR_INVALID, "its inputs are of different types");
    return import_set(import, import_emit_binary(import, kind, import->input[swapped ? 1 : 0],
                                                 import->input[swapped ? 0 : 1]));
}

/* Min, Max, Sum and Mean of any number of inputs, two by two. */
int lower_many(struct importer *import)
{
    enum binary_kind kind    = BINARY_ADD;
    bool             swapped = false;
    int              value   = import->input[0], share;

    if (!binary_named(import->op->name, &kind, &swapped))
        return import_refuse(import, ERR_UNSUPPORTED, "is not known");
    for (int i = 1; i < import->input_count && value >= 0; i++) {
        if (!import_has_input(import, i) ||
            import_input(import, i)->type != import_input(import, 0)->type)
            return import_refuse(import, ERR_INVALID, "its inputs are of different types");
        value = import_emit_binary(import, kind, value, import->input[i]);
    }
    if (value < 0 || strcmp(import->op->name, "Mean") != 0)
        return import_set(import, value);
    share = import_emit_number(import, VALUE_F32, 1.0 / import->input_count);
    return share < 0
               ? share
               : import_set(import, import_emit_binary(import, BINARY_MULTIPLY, value, share));
}

/* Constant exponents that have a function of their own. */
int lower_power(struct importer *import)
{
    struct value exponent = *import_input(import, 1);
    int          source   = import->input[0];
    double       power    = 0.0;

    if (import_input(import, 0)->type == VALUE_F32 && exponent.elements == 1 &&
        exponent.rank <= 1 && (exponent.floats != NULL || exponent.ints != NULL)) {
        power = exponent.floats != NULL ? (double)exponent.floats[0] : (double)exponent.ints[0];
        if (power == 1.0)
            return import_set(import, source);
        if (power == 2.0)
            return import_set(import, import_emit_unary(import, UNARY_SQUARE, source));
        if (power == 0.5)
            return import_set(import, import_emit_unary(import, UNARY_SQUARE_ROOT, source));
        if (power == -1.0)
            return import_set(import, import_emit_unary(import, UNARY_RECIPROCAL, source));
    }
    return import_set(import, import_emit_binary(import, BINARY_POWER, source, import->input[1]));
}

int lower_modulo(struct importer *import)
{
    bool by_dividend = import_int(import, "fmod", 0) != 0;

    if (import_input(import, 0)->type != import_input(import, 1)->type)
        return import_refuse(import, ERR_INVALID, "its inputs are of different types");
    return import_set(import,
                      import_emit_binary(import, by_dividend ? BINARY_REMAINDER : BINARY_MODULO,
                                         import->input[0], import->input[1]));
}

int lower_where(struct importer *import)
{
    return import_set(
        import, import_emit_where(import, import->input[0], import->input[1], import->input[2]));
}

/* Limits that are computed, or of whole numbers, are a minimum and a maximum. */
int lower_clip(struct importer *import)
{
    struct activation clip  = {.kind = ACTIVATION_CLIP,
                               .a    = import_float(import, "min", -FLT_MAX),
                               .b    = import_float(import, "max", FLT_MAX)};
    bool              plain = import_input(import, 0)->type == VALUE_F32;
    int               value = import->input[0];

    for (int i = 1; i < 3; i++)
        plain = plain && (!import_has_input(import, i) || import_input(import, i)->floats != NULL);
    if (plain) {
        int rc = 0;
        if (import_has_input(import, 1))
            rc = import_input_float(import, 1, &clip.a);
        if (rc == 0 && import_has_input(import, 2))
            rc = import_input_float(import, 2, &clip.b);
        return rc != 0 ? rc : import_set(import, import_emit_activation(import, clip, value));
    }
    if (import_has_input(import, 1))
        value = import_emit_binary(import, BINARY_MAXIMUM, value, import->input[1]);
    if (value >= 0 && import_has_input(import, 2))
        value = import_emit_binary(import, BINARY_MINIMUM, value, import->input[2]);
    return import_set(import, value);
}

/* ---- types ---- */

static int cast_constant(struct importer *import, enum value_type type, bool truth)
{
    struct value x      = *import_input(import, 0);
    float       *floats = NULL;
    int64_t     *ints   = NULL;

    if (type == VALUE_F32)
        floats = graph_memory_alloc(&import->graph->memory, (size_t)x.elements, sizeof *floats);
    else
        ints = graph_memory_alloc(&import->graph->memory, (size_t)x.elements, sizeof *ints);
    if (floats == NULL && ints == NULL)
        return import_refuse(import, ERR_MEMORY, "the model needs too much memory");
    for (int64_t i = 0; i < x.elements; i++) {
        double number = x.type == VALUE_F32 ? (double)x.floats[i] : (double)x.ints[i];
        if (floats != NULL)
            floats[i] = (float)number;
        else if (truth)
            ints[i] = number != 0;
        else if (x.type == VALUE_I64)
            ints[i] = x.ints[i];
        else if (number > -9e18 && number < 9e18)
            ints[i] = (int64_t)number;
    }
    return floats != NULL ? import_emit_floats(import, x.rank, x.dimension, floats)
                          : import_emit_ints(import, x.rank, x.dimension, ints);
}

int lower_cast(struct importer *import)
{
    struct value    x     = *import_input(import, 0);
    int64_t         to    = import_int(import, "to", 0);
    bool            truth = to == 9; /* BOOL */
    enum value_type type;
    int             value = import->input[0];

    if (strcmp(import->op->name, "CastLike") == 0)
        type = import_input(import, 1)->type;
    else if (to < 0 || to > 99 || !onnx_element_type((int)to, &type))
        return import_refuse(import, ERR_UNSUPPORTED, "its type is not known");
    if (type == x.type && !truth)
        return lower_identity(import);
    if (import_is_constant(import, value))
        return import_set(import, cast_constant(import, type, truth));
    if (truth) {
        value = import_emit_unary(import, UNARY_NOT, value);
        if (value >= 0)
            value = import_emit_unary(import, UNARY_NOT, value);
    } else if (type == VALUE_I64) {
        value = import_emit_unary(import, UNARY_TRUNCATE, value);
    } else { /* whole numbers are float32 already */
        value = import_emit_reshape(import, value, x.rank, x.dimension);
    }
    if (value >= 0)
        import->graph->values[value].type = type;
    return import_set(import, value);
}
