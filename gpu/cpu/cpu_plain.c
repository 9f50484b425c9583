/* Steps in plain layout: what heads and rare models need. Simple loops that the compiler
 * vectorises. */
#include "gpu/cpu/cpu_runner.h"

#include <string.h>

/* The two innermost loops; where they swap rows and columns, in squares that stay in the cache. */
static void copy_plane(const float *x, const int64_t *count, const int64_t *stride, float *y)
{
    enum { SQUARE = 16 };

    if (stride[1] == 1) {
        for (int64_t i = 0; i < count[0]; i++)
            memcpy(y + i * count[1], x + i * stride[0], (size_t)count[1] * sizeof *y);
        return;
    }
    for (int64_t top = 0; top < count[0]; top += SQUARE)
        for (int64_t left = 0; left < count[1]; left += SQUARE) {
            int64_t bottom = top + SQUARE < count[0] ? top + SQUARE : count[0];
            int64_t right  = left + SQUARE < count[1] ? left + SQUARE : count[1];
            for (int64_t i = top; i < bottom; i++)
                for (int64_t k = left; k < right; k++)
                    y[i * count[1] + k] = x[i * stride[0] + k * stride[1]];
        }
}

void cpu_run_copy(const struct cpu_step *step)
{
    const struct strided *strided                       = &step->strided;
    int                   outer                         = strided->rank - 2;
    int64_t               index[STRIDED_MAX_DIMENSIONS] = {0}, planes = 1, plane;
    const float          *x = step->input[0]->data + strided->offset;

    plane = strided->dimension[outer] * strided->dimension[outer + 1];
    for (int k = 0; k < outer; k++)
        planes *= strided->dimension[k];
    for (int64_t i = 0; i < planes; i++) {
        copy_plane(x, &strided->dimension[outer], &strided->stride[outer],
                   step->output->data + i * plane);
        for (int k = outer - 1; k >= 0; k--) {
            x += strided->stride[k];
            if (++index[k] < strided->dimension[k])
                break;
            x -= strided->dimension[k] * strided->stride[k];
            index[k] = 0;
        }
    }
}

void cpu_run_binary(const struct cpu_step *step)
{
    const struct cpu_tensor *y = step->output;
    int64_t                  a[MODEL_MAX_DIMENSIONS], b[MODEL_MAX_DIMENSIONS];
    int64_t                  size[MODEL_MAX_DIMENSIONS + 1] = {1}, row;
    int                      rank                           = 0;

    cpu_tensor_strides(step->input[0], y->rank, a);
    cpu_tensor_strides(step->input[1], y->rank, b);
    /* Dimensions that both sides walk through, or repeat, alike become one. */
    for (int k = 0; k < y->rank; k++) {
        int64_t count = y->dimension[k];
        if (count == 1)
            continue;
        if (rank > 0 && a[rank - 1] == count * a[k] && b[rank - 1] == count * b[k])
            size[--rank] *= count;
        else
            size[rank] = count;
        a[rank]   = a[k];
        b[rank++] = b[k];
    }
    row = rank > 0 ? size[rank - 1] : 1;
    for (int64_t at = 0; at < y->floats; at += row) {
        int64_t rest = at / row, ia = 0, ib = 0;
        for (int k = rank - 2; k >= 0; k--) {
            ia += rest % size[k] * a[k];
            ib += rest % size[k] * b[k];
            rest /= size[k];
        }
        step->kernels->binary(step->node->binary, &step->node->activation,
                              step->input[0]->data + ia, rank > 0 ? a[rank - 1] : 0,
                              step->input[1]->data + ib, rank > 0 ? b[rank - 1] : 0, y->data + at,
                              row);
    }
}

void cpu_run_activation(const struct cpu_step *step)
{
    step->kernels->activate(&step->node->activation, step->input[0]->data, step->output->data,
                            step->output->floats);
}

void cpu_run_softmax(const struct cpu_step *step)
{
    const struct cpu_tensor *y     = step->output;
    int64_t                  count = y->dimension[step->node->axis], stride = 1;

    for (int k = step->node->axis + 1; k < y->rank; k++)
        stride *= y->dimension[k];
    for (int64_t outer = 0; stride == 1 && outer < y->floats; outer += count)
        step->kernels->softmax(step->input[0]->data + outer, y->data + outer, count);
    for (int64_t outer = 0; stride > 1 && outer < y->floats; outer += count * stride)
        step->kernels->softmax_columns(step->input[0]->data + outer, y->data + outer, count,
                                       stride);
}

void cpu_run_expectation(const struct cpu_step *step)
{
    const struct cpu_tensor *x = step->input[0];

    step->kernels->weigh_planes(x->data, step->conv.weights, step->conv.bias[0], x->dimension[1],
                                x->dimension[2] * x->dimension[3], step->output->data);
}

void cpu_run_pad(const struct cpu_step *step)
{
    const struct cpu_tensor *x = step->input[0], *y = step->output;
    int64_t                  stride[MODEL_MAX_DIMENSIONS];
    int64_t                  row = x->rank > 0 ? x->dimension[x->rank - 1] : 1;

    graph_strides(y->rank, y->dimension, stride);
    for (int64_t i = 0; i < y->floats; i++)
        y->data[i] = step->node->pad.value;
    for (int64_t i = 0; i < x->floats; i += row) {
        int64_t rest = i / row, at = x->rank > 0 ? step->node->pad.begin[x->rank - 1] : 0;
        for (int k = x->rank - 2; k >= 0; k--) {
            at += (rest % x->dimension[k] + step->node->pad.begin[k]) * stride[k];
            rest /= x->dimension[k];
        }
        memcpy(y->data + at, x->data + i, (size_t)row * sizeof *y->data);
    }
}
