/* tests/operator_trial.h: one model of random shape, its input, and what must come out.
 *
 * For tests/unit/operator_test.c, which says how to add an operator. */
#ifndef SIGHTLINE_TESTS_OPERATOR_TRIAL_H
#define SIGHTLINE_TESTS_OPERATOR_TRIAL_H

#include "tests/onnx_writer.h"
#include "tests/tap.h"

struct array {
    int     rank;
    int64_t size[6];
    float  *at;
};

struct trial {
    int                number; /* of the trials of one row: each variant gets its turn */
    uint64_t           random;
    struct onnx_writer onnx;
    struct array       x;    /* the model's input */
    struct array       y;    /* what must come out */
    const char        *from; /* name of the input, or of a copy of it that lies in blocks */
    /* Where a convolution may round its input and weights: by number of y, the root of the sum of its
     * squared products, times the steepest slope of what follows. Otherwise empty. */
    struct array spread;
    /* Where it may be in 8 bits: the root of the sum of the squares of all its factors, times that
     * slope, and whether it adds a residual, in 8 bits too. Otherwise empty. */
    struct array factors;
    bool         residual;
};

static int64_t pick(struct trial *t, int64_t low, int64_t high)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return low + (int64_t)(t->random >> 11) % (high - low + 1);
}

static float pick_float(struct trial *t)
{
    return (float)pick(t, -1000000, 1000000) / 500000.0F;
}

static int64_t elements(const struct array *a)
{
    return (int64_t)onnx_elements(a->rank, a->size);
}

static struct array array_of(int rank, const int64_t *size)
{
    struct array a = {.rank = rank};

    memcpy(a.size, size, (size_t)rank * sizeof *size);
    a.at = calloc((size_t)elements(&a) + 1, sizeof *a.at);
    if (a.at == NULL)
        abort();
    return a;
}

static struct array random_array(struct trial *t, int rank, const int64_t *size)
{
    struct array a = array_of(rank, size);

    for (int64_t i = 0; i < elements(&a); i++)
        a.at[i] = pick_float(t);
    return a;
}

/* The input of the model. Half of the pictures pass through a 1×1 pool, which changes nothing but
 * brings them into blocks. */
static void set_input(struct trial *t, int rank, const int64_t *size)
{
    t->x = random_array(t, rank, size);
    onnx_input(&t->onnx, "x", rank, size);
    t->from = "x";
    if (rank == 4 && pick(t, 0, 1) == 1) {
        onnx_node(&t->onnx, "MaxPool", "x", "xb", "kernel_shape:is=1,1");
        t->from = "xb";
    }
}

static void picture(struct trial *t, int64_t channels_max, int64_t side_max)
{
    int64_t channels = pick(t, 1, channels_max), height = pick(t, 1, side_max);
    int64_t width = pick(t, 1, side_max);

    set_input(t, 4, (int64_t[]){1, channels, height, width});
}

static void constant(struct trial *t, const char *name, const struct array *a)
{
    onnx_floats(&t->onnx, name, a->rank, a->size, a->at);
}

/* A node from the trial's input to the model's output. */
static void node(struct trial *t, const char *type, const char *others, const char *attributes)
{
    char inputs[128];

    snprintf(inputs, sizeof inputs, "%s%s%s", t->from, others[0] != '\0' ? "," : "", others);
    onnx_node(&t->onnx, type, inputs, "y", attributes);
}

/* For what the trial's opset does not have yet. */
static void since(struct trial *t, int opset)
{
    if (t->onnx.opset < opset)
        t->onnx.opset = opset;
}

/* A node as files of the trial's opset write it: numbers that were attributes once are inputs now. */
struct form {
    char inputs[160], attributes[320];
};

static struct form form_of(const char *inputs, const char *attributes)
{
    struct form form;

    snprintf(form.inputs, sizeof form.inputs, "%s", inputs);
    snprintf(form.attributes, sizeof form.attributes, "%s", attributes);
    return form;
}

/* A list of integers: an input since opset `since`, before that an attribute. */
static void form_list(struct trial *t, struct form *form, int since, const char *name,
                      int64_t count, const int64_t *list)
{
    size_t inputs = strlen(form->inputs), attributes = strlen(form->attributes);
    char   constant_name[32];

    if (t->onnx.opset >= since) {
        snprintf(constant_name, sizeof constant_name, "%s%d_%zu", name, t->onnx.nodes, inputs);
        onnx_ints(&t->onnx, constant_name, count, list);
        snprintf(form->inputs + inputs, sizeof form->inputs - inputs, ",%s", constant_name);
        return;
    }
    for (int64_t i = 0; i < count; i++, attributes = strlen(form->attributes))
        if (i == 0)
            snprintf(form->attributes + attributes, sizeof form->attributes - attributes,
                     " %s:is=%lld", name, (long long)list[i]);
        else
            snprintf(form->attributes + attributes, sizeof form->attributes - attributes, ",%lld",
                     (long long)list[i]);
}

static void form_node(struct trial *t, const char *type, const struct form *form,
                      const char *outputs)
{
    onnx_node(&t->onnx, type, form->inputs, outputs, form->attributes);
}

/* Squeeze, Unsqueeze: `axis` in front. */
static void write_squeeze(struct trial *t, const char *type, const char *input, const char *output,
                          int64_t axis)
{
    struct form form = form_of(input, "");

    form_list(t, &form, 13, "axes", 1, &axis);
    form_node(t, type, &form, output);
}

/* The mean over one axis, which stays. */
static void write_mean(struct trial *t, const char *input, const char *output, int64_t axis)
{
    struct form form = form_of(input, "");

    form_list(t, &form, 18, "axes", 1, &axis);
    form_node(t, "ReduceMean", &form, output);
}

/* Parts of one axis, each of the size that is given. */
static void write_split(struct trial *t, const char *input, const char *outputs, int axis,
                        int count, const int64_t *sizes)
{
    struct form form = form_of(input, "");

    snprintf(form.attributes, sizeof form.attributes, "axis:i=%d", axis);
    form_list(t, &form, 13, "split", count, sizes);
    form_node(t, "Split", &form, outputs);
}

/* One range of one axis. */
static void write_slice(struct trial *t, const char *input, const char *output, int64_t from,
                        int64_t to, int64_t axis)
{
    struct form form = form_of(input, "");

    form_list(t, &form, 10, "starts", 1, &from);
    form_list(t, &form, 10, "ends", 1, &to);
    form_list(t, &form, 10, "axes", 1, &axis);
    form_node(t, "Slice", &form, output);
}

/* Numbers of which everything below `low` becomes that, and above `high`. */
static void write_clip(struct trial *t, const char *input, const char *output, float low,
                       float high)
{
    char least[16], most[16], text[80];

    if (t->onnx.opset < 11) {
        snprintf(text, sizeof text, "min:f=%g max:f=%g", (double)low, (double)high);
        onnx_node(&t->onnx, "Clip", input, output, text);
        return;
    }
    snprintf(least, sizeof least, "least%d", t->onnx.nodes);
    snprintf(most, sizeof most, "most%d", t->onnx.nodes);
    onnx_floats(&t->onnx, least, 0, NULL, &low);
    onnx_floats(&t->onnx, most, 0, NULL, &high);
    snprintf(text, sizeof text, "%s,%s,%s", input, least, most);
    onnx_node(&t->onnx, "Clip", text, output, "");
}

#endif
