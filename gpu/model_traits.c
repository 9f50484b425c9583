#include "gpu/model_traits.h"

/* Steps back from an output to where its numbers are made; exports have up to six. */
#define STEPS_MAX 16

/* The node whose numbers the value holds, moved about at most; NULL when it is not one. Of joined
 * values the last is followed: scores stand behind boxes. */
static const struct node *maker(const struct graph *graph, int value)
{
    for (int step = 0; step < STEPS_MAX; step++) {
        const struct node *node;

        if (graph->values[value].producer < 0)
            return NULL;
        node = &graph->nodes[graph->values[value].producer];
        if (node->activation.kind != ACTIVATION_NONE ||
            (node->kind != NODE_COPY && node->kind != NODE_CONCAT))
            return node;
        value = node->input[node->input_count - 1];
        if (value < 0)
            return NULL;
    }
    return NULL;
}

/* Whether a constant has a number or a pair for each cell of the usual strides, of one or of all, up
 * to three boxes in each. */
static bool is_grid(const struct model_info *info, const struct value *value)
{
    int64_t height = info->input.dimension[2], width = info->input.dimension[3], all = 0;

    if (value->floats == NULL || info->input.dimension_count != 4)
        return false;
    for (int64_t stride = 8; stride <= 64; stride *= 2) {
        int64_t cells = ((height + stride - 1) / stride) * ((width + stride - 1) / stride);

        all += cells;
        for (int64_t each = 1; each <= 6; each++)
            if (value->elements > 1 &&
                (value->elements == cells * each || value->elements == all * each) &&
                /* A number for each channel is none for each cell. */
                (value->rank < 4 || value->dimension[2] > 1 || value->dimension[3] > 1))
                return true;
    }
    return false;
}

void model_find_traits(struct model_info *info, const struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        const struct node *node = &graph->nodes[i];

        if (node->kind == NODE_UNARY && node->unary == UNARY_EXPONENTIAL)
            info->traits.has_exponential = true;
        if (node->kind != NODE_BINARY)
            continue;
        for (int k = 0; k < node->input_count; k++)
            if (node->input[k] >= 0 && is_grid(info, &graph->values[node->input[k]]))
                info->traits.has_grid = true;
    }
    info->traits.takes_bytes = graph->values[graph->input].type == VALUE_I64;
    for (int i = 0; i < info->output_count; i++) {
        const struct node *node = maker(graph, graph->outputs[i]);

        if (node == NULL)
            continue;
        info->output[i].softmax = node->kind == NODE_SOFTMAX;
        info->output[i].unit    = node->kind == NODE_SOFTMAX ||
                               node->activation.kind == ACTIVATION_SIGMOID;
    }
}
