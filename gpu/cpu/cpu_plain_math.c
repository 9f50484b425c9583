/* Steps in plain layout that compute: functions of one number, choices, sums and the like over
 * axes, normalised rows. */
#include "gpu/cpu/cpu_runner.h"
#include "gpu/onnx_import.h"

#include <math.h>
#include <string.h>

void cpu_run_unary(const struct cpu_step *step)
{
    step->kernels->unary(step->node->unary, step->node->unary_a, step->input[0]->data,
                         step->output->data, step->output->floats);
}

void cpu_run_layer_norm(const struct cpu_step *step)
{
    const struct cpu_tensor *y     = step->output;
    const float             *scale = step->input[1] != NULL ? step->input[1]->data : NULL;
    const float             *shift = step->input[2] != NULL ? step->input[2]->data : NULL;
    int64_t                  row   = 1;

    for (int k = step->node->axis; k < y->rank; k++)
        row *= y->dimension[k];
    for (int64_t at = 0; at < y->floats; at += row)
        step->kernels->layer_norm(step->input[0]->data + at, scale, shift, step->node->epsilon,
                                  y->data + at, row);
}

void cpu_tensor_strides(const struct cpu_tensor *tensor, int rank, int64_t *stride)
{
    struct value value = {.rank = tensor->rank};

    memcpy(value.dimension, tensor->dimension, sizeof value.dimension);
    broadcast_strides(&value, rank, stride);
}

void cpu_run_where(const struct cpu_step *step)
{
    const struct cpu_tensor *y = step->output;
    int64_t                  stride[3][MODEL_MAX_DIMENSIONS];
    int64_t                  row = y->rank > 0 ? y->dimension[y->rank - 1] : 1;

    for (int i = 0; i < 3; i++)
        cpu_tensor_strides(step->input[i], y->rank, stride[i]);
    for (int64_t at = 0; at < y->floats; at += row) {
        int64_t      rest = at / row, from[3] = {0, 0, 0}, by[3] = {0, 0, 0};
        const float *x[3];
        for (int k = y->rank - 2; k >= 0; k--) {
            for (int i = 0; i < 3; i++)
                from[i] += rest % y->dimension[k] * stride[i][k];
            rest /= y->dimension[k];
        }
        for (int i = 0; i < 3; i++) {
            x[i]  = step->input[i]->data + from[i];
            by[i] = y->rank > 0 ? stride[i][y->rank - 1] : 0;
        }
        for (int64_t i = 0; i < row; i++)
            y->data[at + i] = x[0][i * by[0]] != 0 ? x[1][i * by[1]] : x[2][i * by[2]];
    }
}

/* The axes of x, neighbours that go or stay alike taken together, from the outermost on. */
struct axes {
    int     count;
    int64_t size[MODEL_MAX_DIMENSIONS + 1];
    int64_t stride[MODEL_MAX_DIMENSIONS + 1]; /* of the output; 0 where the axis goes */
};

static void join_axes(const struct cpu_tensor *x, unsigned gone, struct axes *axes)
{
    int64_t step = 1;

    axes->count = 0;
    for (int k = 0; k < x->rank; k++) {
        bool goes = (gone >> k & 1U) != 0;
        if (axes->count > 0 && (axes->stride[axes->count - 1] == 0) == goes) {
            axes->size[axes->count - 1] *= x->dimension[k];
            continue;
        }
        axes->size[axes->count]     = x->dimension[k];
        axes->stride[axes->count++] = goes ? 0 : 1;
    }
    if (axes->count == 0 || axes->stride[axes->count - 1] != 0) { /* always rows that go, at last */
        axes->size[axes->count]     = 1;
        axes->stride[axes->count++] = 0;
    }
    for (int k = axes->count - 1; k >= 0; k--)
        if (axes->stride[k] != 0) {
            axes->stride[k] = step;
            step *= axes->size[k];
        }
}

static float reduce_two(enum reduce_kind kind, float a, float b)
{
    switch (kind) {
    case REDUCE_SUM:
        return a + b;
    case REDUCE_PRODUCT:
        return a * b;
    case REDUCE_MAXIMUM:
        return a > b ? a : b;
    case REDUCE_MINIMUM:
        return a < b ? a : b;
    }
    return a;
}

static float reduce_row(const struct kernels *kernels, enum reduce_kind kind, const float *x,
                        int64_t count)
{
    float result = x[0];

    if (kind == REDUCE_SUM)
        return kernels->sum_row(x, count);
    for (int64_t i = 1; i < count; i++)
        result = reduce_two(kind, result, x[i]);
    return result;
}

/* y = y op x, where the rows stay and what is around them goes. */
static void reduce_into(enum reduce_kind kind, const float *x, float *y, int64_t count)
{
    switch (kind) {
    case REDUCE_SUM:
        for (int64_t i = 0; i < count; i++)
            y[i] += x[i];
        break;
    case REDUCE_MAXIMUM:
        for (int64_t i = 0; i < count; i++)
            y[i] = y[i] > x[i] ? y[i] : x[i];
        break;
    case REDUCE_MINIMUM:
    case REDUCE_PRODUCT:
        for (int64_t i = 0; i < count; i++)
            y[i] = reduce_two(kind, y[i], x[i]);
        break;
    }
}

static void reduce(const struct cpu_step *step, enum reduce_kind kind)
{
    const struct cpu_tensor *x = step->input[0], *y = step->output;
    float                    start = kind == REDUCE_SUM       ? 0.0F
                                     : kind == REDUCE_PRODUCT ? 1.0F
                                     : kind == REDUCE_MAXIMUM ? -INFINITY
                                                              : INFINITY;
    struct axes              axes;
    int                      outer;
    int64_t                  row, across = 1;

    join_axes(x, step->node->axes, &axes);
    outer = axes.count - 1;
    row   = axes.size[outer];
    if (row == 1 && outer > 0) /* the last axis stays */
        across = axes.size[--outer];
    for (int64_t i = 0; i < y->floats; i++)
        y->data[i] = start;
    for (int64_t from = 0; from < x->floats; from += row * across) {
        int64_t rest = from / (row * across), at = 0;
        for (int k = outer - 1; k >= 0; k--) {
            at += rest % axes.size[k] * axes.stride[k];
            rest /= axes.size[k];
        }
        if (across > 1)
            reduce_into(kind, x->data + from, y->data + at, across);
        else
            y->data[at] = reduce_two(kind, y->data[at],
                                     reduce_row(step->kernels, kind, x->data + from, row));
    }
}

void cpu_run_reduce(const struct cpu_step *step)
{
    reduce(step, step->node->reduce);
}

void cpu_run_mean(const struct cpu_step *step)
{
    const struct cpu_tensor *y      = step->output;
    int64_t                  number = step->input[0]->floats / y->floats; /* of each mean's terms */

    reduce(step, REDUCE_SUM);
    for (int64_t i = 0; i < y->floats; i++)
        y->data[i] /= (float)number;
}

void cpu_run_cum_sum(const struct cpu_step *step)
{
    const struct cpu_tensor *x = step->input[0], *y = step->output;
    const struct node       *node  = step->node;
    int64_t                  count = y->dimension[node->axis], stride = 1;

    for (int k = node->axis + 1; k < y->rank; k++)
        stride *= y->dimension[k];
    for (int64_t at = 0; at < y->floats; at++) {
        int64_t i     = at / stride % count;
        int64_t from  = node->cumulate.reverse ? count - 1 - i : i;
        int64_t here  = at + (from - i) * stride;
        int64_t step1 = node->cumulate.reverse ? stride : -stride;
        float   sum   = i == 0 ? 0.0F : y->data[here + step1];
        if (node->cumulate.exclusive)
            sum = i == 0 ? 0.0F : sum + x->data[here + step1];
        else
            sum += x->data[here];
        y->data[here] = sum;
    }
}
