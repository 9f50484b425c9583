/* tests/operator_number.h: functions of one number and two, comparisons, choices: rows of
 * tests/unit/operator_test.c. */
#ifndef SIGHTLINE_TESTS_OPERATOR_NUMBER_H
#define SIGHTLINE_TESTS_OPERATOR_NUMBER_H

#include "tests/operator_math.h"

/* ---- several inputs at run time ---- */

/* A model has one input: a list, cut into parts that are shaped as the caller says and called "a",
 * "b" and so on. The numbers of the parts lie in the trial's input. */
static void set_parts(struct trial *t, int count, struct array *parts)
{
    int64_t total = 0, at = 0, sizes[4];
    char    names[32] = "";

    for (int i = 0; i < count; i++) {
        sizes[i] = elements(&parts[i]);
        total += sizes[i];
        snprintf(names + strlen(names), sizeof names - strlen(names), "%sflat_%c", i > 0 ? "," : "",
                 'a' + i);
    }
    t->x = random_array(t, 2, (int64_t[]){1, total});
    onnx_input(&t->onnx, "x", 2, t->x.size);
    write_split(t, "x", names, 1, count, sizes);
    for (int i = 0; i < count; i++) {
        char shape[32], inputs[64], name[2] = {(char)('a' + i), '\0'};
        snprintf(shape, sizeof shape, "shape_%c", 'a' + i);
        snprintf(inputs, sizeof inputs, "flat_%c,%s", 'a' + i, shape);
        onnx_ints(&t->onnx, shape, parts[i].rank, parts[i].size);
        onnx_node(&t->onnx, "Reshape", inputs, name, "");
        parts[i].at = t->x.at + at;
        at += sizes[i];
    }
}

static void make_whole(struct trial *t, const struct array *part, int64_t low, int64_t high)
{
    for (int64_t i = 0; i < elements(part); i++)
        part->at[i] = (float)pick(t, low, high);
}

/* Integers at run time: the part "b", say, as "b64". */
static void cast_part(struct trial *t, const char *name)
{
    char whole[32];

    snprintf(whole, sizeof whole, "%s64", name);
    onnx_node(&t->onnx, "Cast", name, whole, "to:i=7");
}

static struct array random_shape(struct trial *t, int rank_low, int rank_high, int64_t side)
{
    struct array a = {.rank = (int)pick(t, rank_low, rank_high)};

    for (int k = 0; k < 6; k++)
        a.size[k] = k < a.rank ? pick(t, 1, side) : 1;
    return a;
}

/* Two shapes that broadcast; the result through *out. */
static void broadcast_shapes(struct trial *t, struct array *a, struct array *b, struct array *out)
{
    int drop;

    *a   = random_shape(t, 0, 4, 9);
    *b   = *a;
    *out = *a;
    for (int k = 0; k < a->rank; k++) {
        int64_t which = pick(t, 0, 5);
        if (which == 0)
            a->size[k] = 1;
        else if (which == 1)
            b->size[k] = 1;
        out->size[k] = a->size[k] > b->size[k] ? a->size[k] : b->size[k];
    }
    drop = a->rank > 1 && pick(t, 0, 1) == 1 ? (int)pick(t, 0, a->rank - 1) : 0;
    memmove(b->size, b->size + drop, (size_t)(b->rank - drop) * sizeof *b->size);
    b->rank -= drop;
    for (int k = 0; k < a->rank; k++) {
        int64_t sb   = k < drop ? 1 : b->size[k - drop];
        out->size[k] = a->size[k] > sb ? a->size[k] : sb;
    }
}

/* ---- of one number ---- */

static double ref_erf(double x)
{
    return erf(x);
}

static double ref_softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double ref_mish(double x)
{
    return x * tanh(ref_softplus(x));
}

static double ref_gelu(double x)
{
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

static double ref_gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double ref_elu(double x)
{
    return x < 0 ? 0.75 * expm1(x) : x;
}

static double ref_selu(double x)
{
    return 1.05070098 * (x < 0 ? 1.67326324 * expm1(x) : x);
}

static double ref_celu(double x)
{
    return x < 0 ? expm1(x) : x;
}

static double ref_softsign(double x)
{
    return x / (1 + fabs(x));
}

static double ref_reciprocal(double x)
{
    return 1 / x;
}

static double ref_negate(double x)
{
    return -x;
}

static double ref_sign(double x)
{
    return (x > 0) - (x < 0);
}

static const struct function {
    const char *type, *attributes;
    double (*reference)(double);
    enum { ANY, POSITIVE, LARGE } domain; /* LARGE: not near 0 */
    int since;                            /* this opset; 0: each that is read */
} FUNCTIONS[] = {
    {"Abs", "", fabs, ANY, 0},
    {"Neg", "", ref_negate, ANY, 0},
    {"Exp", "", exp, ANY, 0},
    {"Log", "", log, POSITIVE, 0},
    {"Sqrt", "", sqrt, POSITIVE, 0},
    {"Reciprocal", "", ref_reciprocal, LARGE, 0},
    {"Erf", "", ref_erf, ANY, 0},
    {"Tanh", "", tanh, ANY, 0},
    {"Softplus", "", ref_softplus, ANY, 0},
    {"Mish", "", ref_mish, ANY, 18},
    {"Gelu", "", ref_gelu, ANY, 20},
    {"Gelu", "approximate:s=tanh", ref_gelu_tanh, ANY, 20},
    {"Elu", "alpha:f=0.75", ref_elu, ANY, 0},
    {"Selu", "", ref_selu, ANY, 0},
    {"Celu", "", ref_celu, ANY, 12},
    {"Softsign", "", ref_softsign, ANY, 0},
    {"Sin", "", sin, ANY, 0},
    {"Cos", "", cos, ANY, 0},
};

static const struct function STEPS[] = {
    {"Floor", "", floor, ANY, 0},
    {"Ceil", "", ceil, ANY, 0},
    {"Round", "", rint, ANY, 11},
    {"Sign", "", ref_sign, ANY, 0},
};

static void write_function(struct trial *t, const struct function *f)
{
    since(t, f->since);
    picture(t, 40, 12);
    for (int64_t i = 0; i < elements(&t->x); i++) {
        float *x = &t->x.at[i];
        *x *= pick(t, 0, 3) == 0 ? 8.0F : 1.0F;
        if (f->domain == POSITIVE)
            *x = fabsf(*x) + 1e-3F;
        else if (f->domain == LARGE)
            *x += *x < 0 ? -0.3F : 0.3F;
    }
    node(t, f->type, "", f->attributes);
    t->y = array_of(t->x.rank, t->x.size);
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = (float)f->reference((double)t->x.at[i]);
}

static void case_function(struct trial *t)
{
    write_function(t, &FUNCTIONS[t->number % (int)(sizeof FUNCTIONS / sizeof FUNCTIONS[0])]);
}

static void case_step_function(struct trial *t)
{
    write_function(t, &STEPS[t->number % (int)(sizeof STEPS / sizeof STEPS[0])]);
}

/* What exporters write instead of an operator, and the fusions find again. */
static void case_written_out(struct trial *t)
{
    const float       numbers[]          = {0.5F, 1.0F, 1.41421356F, 3.0F, 6.0F};
    const char *const names[]            = {"half", "one", "root", "three", "six"};
    int               which              = t->number % 4;
    double (*const references[])(double) = {ref_gelu, ref_mish, NULL, NULL};

    picture(t, 40, 12);
    for (int i = 0; i < 5; i++)
        onnx_floats(&t->onnx, names[i], 0, NULL, &numbers[i]);
    if (which == 0) {
        char inputs[16];
        snprintf(inputs, sizeof inputs, "%s,root", t->from);
        onnx_node(&t->onnx, "Div", inputs, "scaled", "");
        onnx_node(&t->onnx, "Erf", "scaled", "erf", "");
        onnx_node(&t->onnx, "Add", "erf,one", "more", "");
        snprintf(inputs, sizeof inputs, "%s,more", t->from);
        onnx_node(&t->onnx, "Mul", inputs, "gated", "");
        onnx_node(&t->onnx, "Mul", "gated,half", "y", "");
    } else if (which == 1) {
        char inputs[16];
        onnx_node(&t->onnx, "Softplus", t->from, "soft", "");
        onnx_node(&t->onnx, "Tanh", "soft", "gate", "");
        snprintf(inputs, sizeof inputs, "%s,gate", t->from);
        onnx_node(&t->onnx, "Mul", inputs, "y", "");
    } else {
        char inputs[16];
        snprintf(inputs, sizeof inputs, "%s,three", t->from);
        onnx_node(&t->onnx, "Add", inputs, "more", "");
        onnx_ints(&t->onnx, "unused", 0, NULL);
        write_clip(t, "more", "cut", 0, 6);
        if (which == 2)
            snprintf(inputs, sizeof inputs, "%s,cut", t->from);
        else
            snprintf(inputs, sizeof inputs, "cut,six");
        onnx_node(&t->onnx, which == 2 ? "Mul" : "Div", inputs, which == 2 ? "gated" : "y", "");
        if (which == 2)
            onnx_node(&t->onnx, "Div", "gated,six", "y", "");
    }
    t->y = array_of(4, t->x.size);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        double x = (double)t->x.at[i], cut = fmin(fmax(x + 3, 0), 6) / 6;
        t->y.at[i] = (float)(which < 2 ? references[which](x) : which == 2 ? x * cut : cut);
    }
}

/* ---- of two numbers ---- */

static float two_numbers(const char *type, float a, float b)
{
    switch (type[0]) {
    case 'M':
        return type[1] == 'i' ? fminf(a, b) : type[1] == 'a' ? fmaxf(a, b) : fmodf(a, b);
    case 'P':
        return (float)pow((double)a, (double)b);
    case 'E':
        return a == b;
    case 'G':
        return type[7] == 'O' ? a >= b : a > b;
    case 'L':
        return type[4] == 'O' ? a <= b : a < b;
    case 'A':
        return a != 0 && b != 0;
    case 'O':
        return a != 0 || b != 0;
    default:
        return (a != 0) != (b != 0);
    }
}

static void fill_two(struct trial *t, const char *type, const struct array *parts)
{
    t->y = array_of(parts[2].rank, parts[2].size);
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = two_numbers(type, parts[0].at[broadcast_index(&parts[0], &t->y, i)],
                                 parts[1].at[broadcast_index(&parts[1], &t->y, i)]);
}

static void case_two_numbers(struct trial *t)
{
    const char *const types[] = {"Min", "Max", "Mod", "Pow"};
    const char       *type    = types[t->number % 4];
    struct array      parts[3];

    broadcast_shapes(t, &parts[0], &parts[1], &parts[2]);
    set_parts(t, 2, parts);
    for (int64_t i = 0; i < elements(&parts[0]) && type[0] == 'P'; i++)
        parts[0].at[i] = fabsf(parts[0].at[i]) + 0.1F;
    for (int64_t i = 0; i < elements(&parts[1]) && type[1] == 'o' && type[0] == 'M'; i++)
        parts[1].at[i] = 2.0F; /* a divisor without multiples near the numbers' borders */
    onnx_node(&t->onnx, type, "a,b", "y", type[1] == 'o' && type[0] == 'M' ? "fmod:i=1" : "");
    fill_two(t, type, parts);
}

static void case_compare(struct trial *t)
{
    const char *const types[] = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And",
                                 "Or",    "Xor"};
    const int         first[] = {11, 9, 12, 9, 12, 9, 9, 9};
    const char       *type    = types[t->number % 8];
    bool              logical = t->number % 8 >= 5, whole = pick(t, 0, 1) == 1;
    struct array      parts[3];

    since(t, first[t->number % 8]);
    broadcast_shapes(t, &parts[0], &parts[1], &parts[2]);
    set_parts(t, 2, parts);
    make_whole(t, &parts[0], -1, 1);
    make_whole(t, &parts[1], -1, 1);
    for (int i = 0; i < 2; i++)
        onnx_node(&t->onnx, "Cast", i == 0 ? "a" : "b", i == 0 ? "ca" : "cb",
                  logical ? "to:i=9"
                  : whole ? "to:i=7"
                          : "to:i=1");
    onnx_node(&t->onnx, type, "ca,cb", "truth", "");
    onnx_node(&t->onnx, "Not", "truth", "lie", "");
    onnx_node(&t->onnx, "Cast", "lie", "y", "to:i=1");
    fill_two(t, type, parts);
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = 1 - t->y.at[i];
}

static void case_whole_numbers(struct trial *t)
{
    const char *const types[] = {"Div", "Mod", "Mul", "Sub"};
    int               which   = t->number % 4;
    struct array      parts[3];

    broadcast_shapes(t, &parts[0], &parts[1], &parts[2]);
    set_parts(t, 2, parts);
    make_whole(t, &parts[0], -900, 900);
    make_whole(t, &parts[1], 1, 40);
    for (int64_t i = 0; i < elements(&parts[1]); i++)
        parts[1].at[i] *= pick(t, 0, 1) == 1 ? 1.0F : -1.0F;
    cast_part(t, "a");
    cast_part(t, "b");
    onnx_node(&t->onnx, types[which], "a64,b64", "c", "");
    onnx_node(&t->onnx, "Cast", "c", "y", "to:i=1");
    t->y = array_of(parts[2].rank, parts[2].size);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t a  = (int64_t)parts[0].at[broadcast_index(&parts[0], &t->y, i)];
        int64_t b  = (int64_t)parts[1].at[broadcast_index(&parts[1], &t->y, i)];
        int64_t m  = a % b;
        t->y.at[i] = (float)(which == 0   ? a / b
                             : which == 1 ? m + (m != 0 && (m < 0) != (b < 0) ? b : 0)
                             : which == 2 ? a * b
                                          : a - b);
    }
}

/* Min, Max, Sum and Mean of three. */
static void case_many(struct trial *t)
{
    const char *const types[] = {"Min", "Max", "Sum", "Mean"};
    int               which   = t->number % 4;
    struct array      parts[3];

    broadcast_shapes(t, &parts[0], &parts[1], &parts[2]);
    set_parts(t, 3, parts);
    onnx_node(&t->onnx, types[which], "a,b,c", "y", "");
    t->y = array_of(parts[2].rank, parts[2].size);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        float a = parts[0].at[broadcast_index(&parts[0], &t->y, i)];
        float b = parts[1].at[broadcast_index(&parts[1], &t->y, i)], c = parts[2].at[i];
        t->y.at[i] = which == 0   ? fminf(a, fminf(b, c))
                     : which == 1 ? fmaxf(a, fmaxf(b, c))
                                  : (a + b + c) / (which == 3 ? 3.0F : 1.0F);
    }
}

static void case_where(struct trial *t)
{
    struct array parts[3];

    broadcast_shapes(t, &parts[0], &parts[1], &parts[2]);
    set_parts(t, 3, parts);
    make_whole(t, &parts[0], 0, 1);
    onnx_node(&t->onnx, "Cast", "a", "truth", "to:i=9");
    onnx_node(&t->onnx, "Where", "truth,b,c", "y", "");
    t->y = array_of(parts[2].rank, parts[2].size);
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = parts[0].at[broadcast_index(&parts[0], &t->y, i)] != 0
                         ? parts[1].at[broadcast_index(&parts[1], &t->y, i)]
                         : parts[2].at[i];
}

/* Limits that are computed, and slopes by channel. */
static void case_clip_and_prelu(struct trial *t)
{
    bool         clip = t->number % 2 == 0;
    struct array low, high, slope;

    if (clip) {
        struct array parts[3] = {random_shape(t, 1, 3, 9), {.rank = 0}, {.rank = 0}};
        set_parts(t, 3, parts);
        parts[1].at[0] = -0.5F;
        onnx_node(&t->onnx, "Clip", "a,b,c", "y", "");
        low  = parts[1];
        high = parts[2];
        t->y = array_of(parts[0].rank, parts[0].size);
        for (int64_t i = 0; i < elements(&t->y); i++)
            t->y.at[i] = fminf(fmaxf(parts[0].at[i], low.at[0]), high.at[0]);
        return;
    }
    picture(t, 40, 9);
    slope = random_array(t, 3, (int64_t[]){pick(t, 0, 1) == 1 ? t->x.size[1] : 1, 1, 1});
    constant(t, "slope", &slope);
    node(t, "PRelu", "slope", "");
    t->y = array_of(4, t->x.size);
    for (int64_t i = 0; i < elements(&t->y); i++)
        t->y.at[i] = t->x.at[i] *
                     (t->x.at[i] < 0 ? slope.at[broadcast_index(&slope, &t->y, i)] : 1.0F);
    free(slope.at);
}

/* Rounded to steps, clipped, and back; per tensor and per channel. */
static void case_quantize(struct trial *t)
{
    bool    by_channel = pick(t, 0, 1) == 1 && t->onnx.opset >= 13, is_signed = pick(t, 0, 1) == 1;
    int64_t count, pixels;
    int8_t  zero[64];
    struct array scale;

    picture(t, 20, 9);
    count = by_channel ? t->x.size[1] : 1;
    scale = random_array(t, by_channel ? 1 : 0, &count);
    for (int64_t c = 0; c < count; c++) {
        scale.at[c] = 0.01F + fabsf(scale.at[c]) * 0.01F;
        zero[c]     = (int8_t)pick(t, 0, 20);
    }
    constant(t, "scale", &scale);
    onnx_tensor(&t->onnx, "zero", is_signed ? 3 : 2, by_channel ? 1 : 0, &count, zero,
                (size_t)count);
    {
        char        inputs[32];
        const char *axis = by_channel ? "axis:i=1" : "";
        snprintf(inputs, sizeof inputs, "%s,scale,zero", t->from);
        onnx_node(&t->onnx, "QuantizeLinear", inputs, "q", axis);
        onnx_node(&t->onnx, "DequantizeLinear", "q,scale,zero", "y", axis);
    }
    t->y   = array_of(4, t->x.size);
    pixels = t->x.size[2] * t->x.size[3];
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t c  = by_channel ? i / pixels : 0;
        float   q  = rintf(t->x.at[i] / scale.at[c]) + (float)zero[c];
        q          = is_signed ? fminf(fmaxf(q, -128), 127) : fminf(fmaxf(q, 0), 255);
        t->y.at[i] = (q - (float)zero[c]) * scale.at[c];
    }
    free(scale.at);
}

#endif
