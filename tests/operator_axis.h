/* tests/operator_axis.h: sums and the like over axes, normalisation, the best K: rows of
 * tests/unit/operator_test.c. */
#ifndef SIGHTLINE_TESTS_OPERATOR_AXIS_H
#define SIGHTLINE_TESTS_OPERATOR_AXIS_H

#include "tests/operator_number.h"

/* Where element i of x goes when the axes in `gone` go. */
static int64_t reduced_index(const struct array *x, unsigned gone, int64_t i)
{
    int64_t at = 0, step = 1;

    for (int k = x->rank - 1; k >= 0; k--) {
        if ((gone >> k & 1U) == 0) {
            at += i % x->size[k] * step;
            step *= x->size[k];
        }
        i /= x->size[k];
    }
    return at;
}

static struct array reduced_array(const struct array *x, unsigned gone, bool keep)
{
    struct array y = {.rank = 0};

    for (int k = 0; k < x->rank; k++)
        if ((gone >> k & 1U) == 0 || keep)
            y.size[y.rank++] = (gone >> k & 1U) != 0 ? 1 : x->size[k];
    return array_of(y.rank, y.size);
}

static void case_reduce(struct trial *t)
{
    const char *const types[] = {"ReduceSum", "ReduceMax", "ReduceMin",      "ReduceProd",
                                 "ReduceL1",  "ReduceL2",  "ReduceSumSquare"};
    int               which   = t->number % 7;
    bool              keep    = pick(t, 0, 1) == 1;
    struct array      x       = random_shape(t, 1, 4, which == 3 ? 5 : 20);
    unsigned          gone    = (unsigned)pick(t, 1, (1 << x.rank) - 1);
    int64_t           axes[4], count = 0;
    struct form       form;
    bool             *seen;

    set_parts(t, 1, &x);
    for (int k = 0; k < x.rank; k++)
        if ((gone >> k & 1U) != 0)
            axes[count++] = pick(t, 0, 1) == 1 ? k : k - x.rank;
    form = form_of("a", keep ? "keepdims:i=1" : "keepdims:i=0");
    form_list(t, &form, which == 0 ? 13 : 18, "axes", count, axes);
    form_node(t, types[which], &form, "y");
    t->y = reduced_array(&x, gone, keep);
    seen = calloc((size_t)elements(&t->y), sizeof *seen);
    if (seen == NULL)
        abort();
    for (int64_t i = 0; i < elements(&x); i++) {
        int64_t at = reduced_index(&x, gone, i);
        float   v  = which == 4 ? fabsf(x.at[i]) : which >= 5 ? x.at[i] * x.at[i] : x.at[i];
        float  *y  = &t->y.at[at];
        *y         = !seen[at]    ? v
                     : which == 1 ? fmaxf(*y, v)
                     : which == 2 ? fminf(*y, v)
                     : which == 3 ? *y * v
                                  : *y + v;
        seen[at]   = true;
    }
    for (int64_t i = 0; i < elements(&t->y) && which == 5; i++)
        t->y.at[i] = sqrtf(t->y.at[i]);
    free(seen);
}

static void case_global_max(struct trial *t)
{
    int64_t pixels;

    picture(t, 40, 9);
    node(t, "GlobalMaxPool", "", "");
    t->y   = array_of(4, (int64_t[]){1, t->x.size[1], 1, 1});
    pixels = t->x.size[2] * t->x.size[3];
    for (int64_t i = 0; i < elements(&t->x); i++)
        if (i % pixels == 0 || t->x.at[i] > t->y.at[i / pixels])
            t->y.at[i / pixels] = t->x.at[i];
}

/* What lies on one axis: `outer` times `inner` lists of `count`. */
struct lists {
    int     axis;
    int64_t outer, count, inner;
};

static struct lists random_axis(struct trial *t, const struct array *x)
{
    struct lists l = {.axis = (int)pick(t, 0, x->rank - 1), .outer = 1, .count = 1, .inner = 1};

    for (int k = 0; k < x->rank; k++)
        if (k < l.axis)
            l.outer *= x->size[k];
        else if (k > l.axis)
            l.inner *= x->size[k];
        else
            l.count = x->size[k];
    return l;
}

static float *list_at(const struct lists *l, float *numbers, int64_t list, int64_t count)
{
    return numbers + list / l->inner * count * l->inner + list % l->inner;
}

static void case_log_softmax(struct trial *t)
{
    struct array x = random_shape(t, 1, 4, 12);
    struct lists l = random_axis(t, &x);
    char         text[32];

    set_parts(t, 1, &x);
    snprintf(text, sizeof text, "axis:i=%d", l.axis);
    onnx_node(&t->onnx, "LogSoftmax", "a", "y", text);
    if (t->onnx.opset < 13) /* all dimensions from the axis on, taken together */
        l = (struct lists){l.axis, l.outer, l.count * l.inner, 1};
    t->y = array_of(x.rank, x.size);
    for (int64_t i = 0; i < l.outer * l.inner; i++) {
        const float *from = list_at(&l, x.at, i, l.count);
        double       sum  = 0;
        for (int64_t k = 0; k < l.count; k++)
            sum += exp((double)from[k * l.inner]);
        for (int64_t k = 0; k < l.count; k++)
            list_at(&l, t->y.at, i,
                    l.count)[k * l.inner] = (float)((double)from[k * l.inner] - log(sum));
    }
}

/* What is not a number comes last, of equals the earlier first. */
static bool comes_before(float a, float b, bool earlier, bool smallest)
{
    if (isnan(a) || isnan(b))
        return isnan(a) == isnan(b) ? earlier : isnan(b);
    return a == b ? earlier : (a < b) == smallest;
}

/* Values or indices of the best, of numbers among which some are equal and some are none. */
static void case_top_k(struct trial *t)
{
    struct array x    = random_shape(t, 1, 3, 30);
    struct lists l    = random_axis(t, &x);
    int64_t      best = pick(t, 1, l.count), kind = t->number % 4; /* 2, 3: ArgMax */
    bool         smallest = pick(t, 0, 1) == 1, indices = kind > 0;
    char         text[64];

    if (kind >= 2)
        best = 1;
    else if (t->onnx.opset < 11)
        smallest = false;
    set_parts(t, 1, &x);
    make_whole(t, &x, -9, 9);
    for (int64_t i = 0; indices && i < elements(&x); i++)
        if (pick(t, 0, 3) == 0)
            x.at[i] = NAN;
    if (kind >= 2) {
        snprintf(text, sizeof text, "axis:i=%d keepdims:i=%d", l.axis, kind == 2);
        onnx_node(&t->onnx, smallest ? "ArgMin" : "ArgMax", "a", "best", text);
    } else {
        const char *outputs = indices ? "values,best" : "best,unused";
        if (t->onnx.opset < 10)
            snprintf(text, sizeof text, "axis:i=%d k:i=%d", l.axis, (int)best);
        else
            snprintf(text, sizeof text, t->onnx.opset < 11 ? "axis:i=%d" : "axis:i=%d largest:i=%d",
                     l.axis, !smallest);
        onnx_ints(&t->onnx, "k", 1, &best);
        onnx_node(&t->onnx, "TopK", t->onnx.opset < 10 ? "a" : "a,k", outputs, text);
    }
    onnx_node(&t->onnx, "Cast", "best", "y", "to:i=1");
    x.size[l.axis] = best;
    t->y           = array_of(x.rank, x.size);
    for (int64_t i = 0; i < l.outer * l.inner; i++) {
        const float *from = list_at(&l, x.at, i, l.count);
        float       *to   = list_at(&l, t->y.at, i, best);
        for (int64_t k = 0; k < l.count; k++) {
            int64_t before = 0; /* how many are better */
            for (int64_t o = 0; o < l.count; o++)
                before += comes_before(from[o * l.inner], from[k * l.inner], o < k, smallest);
            if (before < best)
                to[before * l.inner] = indices ? (float)k : from[k * l.inner];
        }
    }
    if (kind == 3) {
        t->y.rank--;
        for (int k = l.axis; k < t->y.rank; k++)
            t->y.size[k] = t->y.size[k + 1];
    }
}

static void case_cum_sum(struct trial *t)
{
    struct array x         = random_shape(t, 1, 3, 12);
    struct lists l         = random_axis(t, &x);
    bool         exclusive = pick(t, 0, 1) == 1, reverse = pick(t, 0, 1) == 1;
    char         text[64];

    set_parts(t, 1, &x);
    onnx_ints(&t->onnx, "axis", 1, (int64_t[]){l.axis});
    snprintf(text, sizeof text, "exclusive:i=%d reverse:i=%d", exclusive, reverse);
    onnx_node(&t->onnx, "CumSum", "a,axis", "y", text);
    t->y = array_of(x.rank, x.size);
    for (int64_t i = 0; i < l.outer * l.inner; i++)
        for (int64_t k = 0; k < l.count; k++)
            for (int64_t o = 0; o < l.count; o++)
                if ((reverse ? o > k : o < k) || (o == k && !exclusive))
                    list_at(&l, t->y.at, i, l.count)[k * l.inner] += list_at(&l, x.at, i,
                                                                             l.count)[o * l.inner];
}

/* ---- normalisation ---- */

static void normalise(float *x, int64_t count, double epsilon)
{
    double mean = 0, variance = 0;

    for (int64_t i = 0; i < count; i++)
        mean += (double)x[i] / (double)count;
    for (int64_t i = 0; i < count; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)count;
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)(((double)x[i] - mean) / sqrt(variance + epsilon));
}

/* As one operator, or in the parts that older exporters write. */
static void case_layer_norm(struct trial *t)
{
    struct array x     = random_shape(t, 2, 3, 40), scale, shift;
    int64_t      width = x.size[x.rank - 1];
    bool         parts = t->number % 2 == 1 || t->onnx.opset < 17;
    float        two = 2, epsilon = 1e-3F;

    set_parts(t, 1, &x);
    scale = random_array(t, 1, &width);
    shift = random_array(t, 1, &width);
    constant(t, "scale", &scale);
    constant(t, "shift", &shift);
    onnx_floats(&t->onnx, "two", 0, NULL, &two);
    onnx_floats(&t->onnx, "epsilon", 0, NULL, &epsilon);
    if (!parts) {
        onnx_node(&t->onnx, "LayerNormalization", "a,scale,shift", "y", "epsilon:f=0.001");
    } else {
        write_mean(t, "a", "mean", -1);
        onnx_node(&t->onnx, "Sub", "a,mean", "d", "");
        onnx_node(&t->onnx, "Pow", "d,two", "square", "");
        write_mean(t, "square", "variance", -1);
        onnx_node(&t->onnx, "Add", "variance,epsilon", "more", "");
        onnx_node(&t->onnx, "Sqrt", "more", "spread", "");
        onnx_node(&t->onnx, "Div", "d,spread", "n", "");
        onnx_node(&t->onnx, "Mul", "n,scale", "scaled", "");
        onnx_node(&t->onnx, "Add", "scaled,shift", "y", "");
    }
    t->y = array_of(x.rank, x.size);
    memcpy(t->y.at, x.at, (size_t)elements(&x) * sizeof *x.at);
    for (int64_t i = 0; i < elements(&x); i += width)
        normalise(t->y.at + i, width, 1e-3);
    for (int64_t i = 0; i < elements(&x); i++)
        t->y.at[i] = t->y.at[i] * scale.at[i % width] + shift.at[i % width];
    free(scale.at);
    free(shift.at);
}

/* By channel, or by group with numbers per channel or (before opset 21) per group. */
static void case_group_norm(struct trial *t)
{
    bool    instance = t->number % 2 == 0;
    int64_t groups = pick(t, 1, 6), each = instance ? 1 : pick(t, 1, 5), count, pixels, channels;
    char    inputs[64], text[64];

    struct array scale, shift;

    channels = groups * each;
    set_input(t, 4, (int64_t[]){1, channels, pick(t, 2, 9), pick(t, 2, 9)});
    count = instance || pick(t, 0, 1) == 1 || t->onnx.opset > 20 ? channels : groups;
    if (!instance)
        since(t, count == channels ? 21 : 18);
    scale = random_array(t, 1, &count);
    shift = random_array(t, 1, &count);
    constant(t, "scale", &scale);
    constant(t, "shift", &shift);
    snprintf(inputs, sizeof inputs, "%s,scale,shift", t->from);
    snprintf(text, sizeof text, "epsilon:f=0.001 num_groups:i=%d", (int)groups);
    onnx_node(&t->onnx, instance ? "InstanceNormalization" : "GroupNormalization", inputs, "y",
              instance ? "epsilon:f=0.001" : text);
    t->y = array_of(4, t->x.size);
    memcpy(t->y.at, t->x.at, (size_t)elements(&t->x) * sizeof *t->x.at);
    pixels = t->x.size[2] * t->x.size[3];
    for (int64_t g = 0; g < groups; g++)
        normalise(t->y.at + g * each * pixels, each * pixels, 1e-3);
    for (int64_t i = 0; i < elements(&t->y); i++) {
        int64_t at = i / pixels / (channels / count);
        t->y.at[i] = t->y.at[i] * scale.at[at] + shift.at[at];
    }
    free(scale.at);
    free(shift.at);
}

static void case_lp_norm(struct trial *t)
{
    struct array x = random_shape(t, 1, 4, 12);
    struct lists l = random_axis(t, &x);
    int          p = t->number % 2 + 1;
    char         text[64];

    set_parts(t, 1, &x);
    for (int64_t i = 0; i < elements(&x); i++)
        x.at[i] += x.at[i] < 0 ? -0.5F : 0.5F;
    snprintf(text, sizeof text, "axis:i=%d p:i=%d", l.axis, p);
    onnx_node(&t->onnx, "LpNormalization", "a", "y", text);
    t->y = array_of(x.rank, x.size);
    for (int64_t i = 0; i < l.outer * l.inner; i++) {
        const float *from = list_at(&l, x.at, i, l.count);
        double       sum  = 0;
        for (int64_t k = 0; k < l.count; k++)
            sum += pow(fabs((double)from[k * l.inner]), p);
        for (int64_t k = 0; k < l.count; k++)
            list_at(&l, t->y.at, i,
                    l.count)[k * l.inner] = (float)((double)from[k * l.inner] / pow(sum, 1.0 / p));
    }
}

#endif
