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

#endif
