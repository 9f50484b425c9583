/* Nodes whose inputs are all constant are computed when the model is loaded: above all the
 * arithmetic on shapes that exporters leave behind. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <string.h>

/* One number of either type; integer arithmetic wraps, as it does in other engines. */
static void fold_number(enum binary_kind kind, const struct value *a, int64_t ia,
                        const struct value *b, int64_t ib, float *floats, int64_t *ints)
{
    if (a->type == VALUE_F32) {
        float x = a->floats[ia], y = b->floats[ib];
        *floats = kind == BINARY_ADD        ? x + y
                  : kind == BINARY_SUBTRACT ? x - y
                  : kind == BINARY_MULTIPLY ? x * y
                                            : x / y;
        return;
    }
    uint64_t x = (uint64_t)a->ints[ia], y = (uint64_t)b->ints[ib];
    if (kind == BINARY_DIVIDE) {
        bool safe = y != 0 && !(b->ints[ib] == -1 && a->ints[ia] == INT64_MIN);
        *ints     = safe ? a->ints[ia] / b->ints[ib] : 0;
    } else {
        *ints = (int64_t)(kind == BINARY_ADD ? x + y : kind == BINARY_SUBTRACT ? x - y : x * y);
    }
}

static void fold_binary(const struct graph *graph, const struct node *node, float *floats,
                        int64_t *ints)
{
    const struct value *a = &graph->values[node->input[0]], *b = &graph->values[node->input[1]];
    const struct value *out = &graph->values[node->output];
    int64_t             stride_a[MODEL_MAX_DIMENSIONS], stride_b[MODEL_MAX_DIMENSIONS];

    broadcast_strides(a, out->rank, stride_a);
    broadcast_strides(b, out->rank, stride_b);
    for (int64_t i = 0; i < out->elements; i++) {
        int64_t rest = i, ia = 0, ib = 0;
        for (int k = out->rank - 1; k >= 0; k--) {
            ia += rest % out->dimension[k] * stride_a[k];
            ib += rest % out->dimension[k] * stride_b[k];
            rest /= out->dimension[k];
        }
        fold_number(node->binary, a, ia, b, ib, floats != NULL ? floats + i : NULL,
                    ints != NULL ? ints + i : NULL);
    }
}

static void fold_copy(const struct graph *graph, const struct node *node, float *floats,
                      int64_t *ints)
{
    const struct value   *in      = &graph->values[node->input[0]];
    const struct strided *strided = &node->strided;

    for (int64_t i = 0; i < graph->values[node->output].elements; i++) {
        int64_t rest = i, at = strided->offset;
        for (int k = strided->rank - 1; k >= 0; k--) {
            at += rest % strided->dimension[k] * strided->stride[k];
            rest /= strided->dimension[k];
        }
        if (in->type == VALUE_F32)
            floats[i] = in->floats[at];
        else
            ints[i] = in->ints[at];
    }
}

static void fold_concat(const struct graph *graph, const struct node *node, float *floats,
                        int64_t *ints)
{
    const struct value *out   = &graph->values[node->output];
    int64_t             inner = 1, outer = 1, row, begin = 0;

    for (int k = 0; k < out->rank; k++) {
        if (k < node->axis)
            outer *= out->dimension[k];
        else if (k > node->axis)
            inner *= out->dimension[k];
    }
    row = out->dimension[node->axis] * inner;
    for (int i = 0; i < node->input_count; i++) {
        const struct value *in   = &graph->values[node->input[i]];
        int64_t             part = in->dimension[node->axis] * inner;
        for (int64_t k = 0; k < outer; k++) {
            if (in->type == VALUE_F32)
                memcpy(floats + k * row + begin, in->floats + k * part,
                       (size_t)part * sizeof *floats);
            else
                memcpy(ints + k * row + begin, in->ints + k * part, (size_t)part * sizeof *ints);
        }
        begin += part;
    }
}

int graph_fold(struct graph *graph, int number)
{
    struct node  *node   = &graph->nodes[number];
    struct value *out    = &graph->values[node->output];
    float        *floats = NULL;
    int64_t      *ints   = NULL;
    void         *data;

    data = graph_memory_alloc(&graph->memory, (size_t)out->elements,
                              out->type == VALUE_F32 ? sizeof *floats : sizeof *ints);
    if (data == NULL)
        return ERR_MEMORY;
    if (out->type == VALUE_F32)
        floats = data;
    else
        ints = data;
    switch (node->kind) {
    case NODE_BINARY:
        fold_binary(graph, node, floats, ints);
        break;
    case NODE_COPY:
        fold_copy(graph, node, floats, ints);
        break;
    case NODE_CONCAT:
        fold_concat(graph, node, floats, ints);
        break;
    case NODE_ACTIVATION:
        for (int64_t i = 0; i < out->elements; i++)
            floats[i] = graph_activate(&node->activation, graph->values[node->input[0]].floats[i]);
        break;
    default:
        return ERR_UNSUPPORTED;
    }
    out->floats   = floats;
    out->ints     = ints;
    out->producer = -1;
    node->kind    = NODE_REMOVED;
    return 0;
}
