/* What every backend gains from, in this order:
 *
 *   copies    a chain of reshapes, transposes and slices becomes one strided copy, or none
 *   functions GELU and the like, layer norms: see graph_patterns.c
 *   swish     x * sigmoid(x) becomes one activation
 *   padding   a Pad of zeros goes into the window of the convolution or pool behind it
 *   focus     four every-other-pixel slices, joined, before a convolution: one larger convolution
 *   scales    constants per channel go into the weights of the convolution before them
 *   tails     activations and residual additions go into the node before them
 *   softmaxes one between two transposes that undo each other is taken along another axis
 *   dead      what no output needs is dropped
 *
 * A fused node takes the place of the last of its parts, so that the order stays valid. */
#include "gpu/graph.h"

#include "config/err.h"

#include <string.h>

void graph_drop_dead(struct graph *graph)
{
    for (int i = 0; i < graph->value_count; i++)
        graph->values[i].uses = 0;
    for (int i = 0; i < graph->output_count; i++)
        graph->values[graph->outputs[i]].uses++;
    for (int i = graph->node_count - 1; i >= 0; i--) {
        struct node *node = &graph->nodes[i];
        if (node->kind == NODE_REMOVED)
            continue;
        if (graph->values[node->output].uses == 0) {
            node->kind = NODE_REMOVED;
            continue;
        }
        for (int k = 0; k < node->input_count; k++)
            if (node->input[k] >= 0)
                graph->values[node->input[k]].uses++;
    }
}

/* The node that computes a value, or NULL for constants and the input. */
static struct node *producer_of(const struct graph *graph, int value)
{
    int number = value < 0 ? -1 : graph->values[value].producer;

    if (number < 0 || graph->nodes[number].kind == NODE_REMOVED)
        return NULL;
    return &graph->nodes[number];
}

/* As above, if nobody else uses the value, so that the node may be changed or swallowed. */
static struct node *sole_producer_of(const struct graph *graph, int value, enum node_kind kind)
{
    struct node *node = producer_of(graph, value);

    if (node == NULL || node->kind != kind || graph->values[value].uses != 1)
        return NULL;
    return node;
}

/* `node` becomes `part`, which it follows, but keeps its own output. */
static void swallow(struct graph *graph, struct node *node, struct node *part)
{
    int output = node->output;

    *node                            = *part;
    node->output                     = output;
    graph->values[output].producer   = (int)(node - graph->nodes);
    part->kind                       = NODE_REMOVED;
    graph->values[part->output].uses = 0;
}

static bool is_output(const struct graph *graph, int value)
{
    for (int i = 0; i < graph->output_count; i++)
        if (graph->outputs[i] == value)
            return true;
    return false;
}

static bool same_shape(const struct value *a, const struct value *b)
{
    return a->rank == b->rank &&
           memcmp(a->dimension, b->dimension, (size_t)a->rank * sizeof *a->dimension) == 0;
}

static void replace_uses(struct graph *graph, int from, int to)
{
    for (int i = 0; i < graph->node_count; i++)
        for (int k = 0; k < graph->nodes[i].input_count; k++)
            if (graph->nodes[i].input[k] == from)
                graph->nodes[i].input[k] = to;
}

static int merge_copies(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        struct node   *node = &graph->nodes[i];
        struct node   *inner;
        struct strided both;
        if (node->kind != NODE_COPY)
            continue;
        while ((inner = producer_of(graph, node->input[0])) != NULL && inner->kind == NODE_COPY &&
               graph_strided_compose(&inner->strided, &node->strided, &both)) {
            node->strided  = both;
            node->input[0] = inner->input[0];
        }
        if (!is_output(graph, node->output) &&
            same_shape(&graph->values[node->input[0]], &graph->values[node->output]) &&
            graph_strided_is_reshape(&node->strided, graph->values[node->input[0]].elements)) {
            replace_uses(graph, node->output, node->input[0]);
            node->kind = NODE_REMOVED;
        }
    }
    graph_drop_dead(graph);
    return 0;
}

static int fuse_swish(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        struct node *node = &graph->nodes[i];
        if (node->kind != NODE_BINARY || node->binary != BINARY_MULTIPLY)
            continue;
        for (int k = 0; k < 2; k++) {
            struct node *gate = producer_of(graph, node->input[k]);
            int          x    = node->input[1 - k];
            if (gate == NULL || gate->kind != NODE_ACTIVATION || gate->input[0] != x ||
                (gate->activation.kind != ACTIVATION_SIGMOID &&
                 gate->activation.kind != ACTIVATION_HARD_SIGMOID))
                continue;
            node->kind            = NODE_ACTIVATION;
            node->activation      = gate->activation;
            node->activation.kind = gate->activation.kind == ACTIVATION_SIGMOID
                                        ? ACTIVATION_SILU
                                        : ACTIVATION_HARD_SWISH;
            node->input[0]        = x;
            node->input_count     = 1;
            break;
        }
    }
    graph_drop_dead(graph);
    return 0;
}

static int fuse_padding(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        struct node        *node = &graph->nodes[i], *pad;
        const struct value *x, *y;
        if (node->kind != NODE_CONV && node->kind != NODE_AVERAGE_POOL)
            continue;
        pad = sole_producer_of(graph, node->input[0], NODE_PAD);
        if (pad == NULL || pad->pad.value != 0.0F)
            continue;
        if (node->kind == NODE_AVERAGE_POOL &&
            (node->window.pad_begin[0] | node->window.pad_begin[1] | node->window.pad_end[0] |
             node->window.pad_end[1]) != 0)
            continue; /* its own padding may count otherwise */
        x = &graph->values[pad->input[0]];
        y = &graph->values[pad->output];
        if (x->rank != 4 || x->dimension[0] != y->dimension[0] ||
            x->dimension[1] != y->dimension[1])
            continue;
        for (int k = 0; k < 2; k++) {
            int begin = (int)pad->pad.begin[2 + k];
            node->window.pad_begin[k] += begin;
            node->window.pad_end[k] += (int)(y->dimension[2 + k] - x->dimension[2 + k]) - begin;
        }
        node->window.count_padding = true;
        node->input[0]             = pad->input[0];
    }
    graph_drop_dead(graph);
    return 0;
}

/* Which of the four pictures of every other pixel a copy makes: 2 * dy + dx, or -1. */
static int focus_quarter(const struct graph *graph, int value, int *source)
{
    const struct node  *copy = producer_of(graph, value);
    const struct value *x, *y = &graph->values[value];
    int64_t             dy, dx;

    if (copy == NULL || copy->kind != NODE_COPY)
        return -1;
    x = &graph->values[copy->input[0]];
    if (x->rank != 4 || y->rank != 4 || x->dimension[1] != y->dimension[1] ||
        x->dimension[2] != 2 * y->dimension[2] || x->dimension[3] != 2 * y->dimension[3])
        return -1;
    dy = copy->strided.offset / x->dimension[3];
    dx = copy->strided.offset % x->dimension[3];
    if (dy < 0 || dy > 1 || dx < 0 || dx > 1)
        return -1;
    struct strided wanted = {
        .rank      = 3,
        .dimension = {y->dimension[1], y->dimension[2], y->dimension[3]},
        .stride    = {x->dimension[2] * x->dimension[3], 2 * x->dimension[3], 2},
    };
    struct strided found = copy->strided;
    graph_strided_simplify(&wanted);
    graph_strided_simplify(&found);
    if (found.rank != wanted.rank ||
        memcmp(found.dimension, wanted.dimension, (size_t)found.rank * sizeof(int64_t)) != 0 ||
        memcmp(found.stride, wanted.stride, (size_t)found.rank * sizeof(int64_t)) != 0)
        return -1;
    *source = copy->input[0];
    return (int)(2 * dy + dx);
}

static int focus_conv(struct graph *graph, struct node *node, const int quarter[4], int source)
{
    const struct value *w        = &graph->values[node->input[1]];
    int64_t             channels = graph->values[source].dimension[1];
    int64_t             kh = w->dimension[2], kw = w->dimension[3];
    int64_t             shape[4] = {w->dimension[0], channels, 2 * kh, 2 * kw};
    float *wide = graph_memory_alloc(&graph->memory, (size_t)w->elements, sizeof *wide);
    int    value;

    if (wide == NULL)
        return ERR_MEMORY;
    for (int64_t m = 0; m < shape[0]; m++)
        for (int64_t c = 0; c < 4 * channels; c++)
            for (int64_t k = 0; k < kh * kw; k++) {
                int64_t y = 2 * (k / kw) + quarter[c / channels] / 2;
                int64_t x = 2 * (k % kw) + quarter[c / channels] % 2;
                wide[((m * channels + c % channels) * 2 * kh + y) * 2 * kw + x] =
                    w->floats[(m * 4 * channels + c) * kh * kw + k];
            }
    value = graph_add_value(graph, w->name, VALUE_F32, 4, shape);
    if (value < 0)
        return value;
    graph->values[value].floats = wide;
    node->input[0]              = source;
    node->input[1]              = value;
    for (int i = 0; i < 2; i++) {
        node->window.kernel[i] *= 2;
        node->window.stride[i] *= 2;
        node->window.pad_begin[i] *= 2;
        node->window.pad_end[i] *= 2;
    }
    return 0;
}

static int fuse_focus(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        struct node *node = &graph->nodes[i], *concat;
        int          quarter[4], source = -1, rc;
        unsigned     seen = 0;
        if (node->kind != NODE_CONV || node->window.groups != 1 || node->window.dilation[0] != 1 ||
            node->window.dilation[1] != 1)
            continue;
        concat = sole_producer_of(graph, node->input[0], NODE_CONCAT);
        if (concat == NULL || concat->axis != 1 || concat->input_count != 4)
            continue;
        for (int k = 0; k < 4; k++) {
            int from   = -1;
            quarter[k] = focus_quarter(graph, concat->input[k], &from);
            if (quarter[k] < 0 || (k > 0 && from != source))
                break;
            source = from;
            seen |= 1U << quarter[k];
        }
        if (seen != 15U)
            continue;
        rc = focus_conv(graph, node, quarter, source);
        if (rc != 0)
            return rc;
    }
    graph_drop_dead(graph);
    return 0;
}

/* A constant with one number, or one number per channel of `out`. */
static bool per_channel(const struct value *constant, const struct value *out)
{
    int at = constant->rank - 3; /* where its channel dimension stands */

    if (constant->floats == NULL)
        return false;
    if (constant->elements == 1)
        return true;
    return at >= 0 && at <= 1 && constant->dimension[at] == out->dimension[1] &&
           constant->elements == out->dimension[1];
}

static int scale_conv(struct graph *graph, struct node *conv, enum binary_kind kind,
                      const struct value *constant)
{
    const struct value *w     = &graph->values[conv->input[1]];
    int64_t             count = w->dimension[0], row = w->elements / count;
    float              *weights, *bias;
    int                 value;

    weights = graph_memory_alloc(&graph->memory, (size_t)w->elements, sizeof *weights);
    bias    = graph_memory_alloc(&graph->memory, (size_t)count, sizeof *bias);
    if (weights == NULL || bias == NULL)
        return ERR_MEMORY;
    for (int64_t c = 0; c < count; c++) {
        float k     = constant->floats[constant->elements == 1 ? 0 : c];
        float scale = kind == BINARY_MULTIPLY ? k : kind == BINARY_DIVIDE ? 1.0F / k : 1.0F;
        float shift = kind == BINARY_ADD ? k : kind == BINARY_SUBTRACT ? -k : 0.0F;
        for (int64_t i = 0; i < row; i++)
            weights[c * row + i] = w->floats[c * row + i] * scale;
        bias[c] = (conv->input[2] >= 0 ? graph->values[conv->input[2]].floats[c] : 0.0F) * scale +
                  shift;
    }
    value = graph_add_value(graph, w->name, VALUE_F32, 4, w->dimension);
    if (value < 0)
        return value;
    graph->values[value].floats = weights;
    conv->input[1]              = value;
    value                       = graph_add_value(graph, NULL, VALUE_F32, 1, &count);
    if (value < 0)
        return value;
    graph->values[value].floats = bias;
    conv->input[2]              = value;
    return 0;
}

static int fuse_scales(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        struct node *node = &graph->nodes[i];
        if (node->kind != NODE_BINARY)
            continue;
        for (int k = 0; k < 2; k++) {
            struct node *conv     = sole_producer_of(graph, node->input[k], NODE_CONV);
            int          constant = node->input[1 - k], rc;
            if (conv == NULL ||
                !per_channel(&graph->values[constant], &graph->values[conv->output]))
                continue;
            if (k == 1 && (node->binary == BINARY_SUBTRACT || node->binary == BINARY_DIVIDE))
                continue; /* constant - conv, constant / conv */
            if (!same_shape(&graph->values[node->output], &graph->values[conv->output]))
                continue;
            rc = scale_conv(graph, conv, node->binary, &graph->values[constant]);
            if (rc != 0)
                return rc;
            swallow(graph, node, conv);
            break;
        }
    }
    graph_drop_dead(graph);
    return 0;
}

static bool takes_activation(const struct node *node)
{
    if (node->activation.kind != ACTIVATION_NONE)
        return false;
    return node->kind == NODE_CONV || node->kind == NODE_BINARY || node->kind == NODE_MATMUL;
}

/* conv + other, where neither is constant and both have the output's shape. */
static bool fuse_residual(struct graph *graph, struct node *node)
{
    int later = -1;

    for (int k = 0; k < 2; k++) {
        struct node        *conv  = sole_producer_of(graph, node->input[k], NODE_CONV);
        const struct value *other = &graph->values[node->input[1 - k]];
        if (conv == NULL || conv->residual != RESIDUAL_NONE || other->floats != NULL ||
            !same_shape(other, &graph->values[node->output]))
            continue;
        /* Of two convolutions the later one: what it adds is there by then. */
        if (later < 0 || node->input[k] == node->input[later] ||
            graph->values[node->input[k]].producer > graph->values[node->input[later]].producer)
            later = k;
    }
    if (later < 0)
        return false;
    struct node      *conv  = producer_of(graph, node->input[later]);
    struct activation tail  = node->activation;
    int               other = node->input[1 - later];
    if (tail.kind != ACTIVATION_NONE && conv->activation.kind != ACTIVATION_NONE)
        return false;
    swallow(graph, node, conv);
    node->input[3] = other;
    node->residual = node->activation.kind == ACTIVATION_NONE ? RESIDUAL_BEFORE_ACTIVATION
                                                              : RESIDUAL_AFTER_ACTIVATION;
    if (tail.kind != ACTIVATION_NONE)
        node->activation = tail;
    return true;
}

static int fuse_tails(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        struct node *node = &graph->nodes[i], *before;
        if (node->kind == NODE_ACTIVATION) {
            struct activation activation = node->activation;
            before                       = producer_of(graph, node->input[0]);
            if (before == NULL || graph->values[node->input[0]].uses != 1 ||
                !takes_activation(before))
                continue;
            swallow(graph, node, before);
            node->activation = activation;
        }
    }
    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].kind == NODE_BINARY && graph->nodes[i].binary == BINARY_ADD)
            fuse_residual(graph, &graph->nodes[i]);
    graph_drop_dead(graph);
    return 0;
}

/* The axis of `x` along which the numbers lie that stand along `axis` in the y that `copy`, a
 * permutation, makes of it; -1: not along one. */
static int axis_before(const struct value *x, const struct value *y, const struct node *copy,
                       int axis)
{
    const struct strided *strided = &copy->strided;
    const int64_t         count   = y->dimension[axis];
    int64_t               inner = 1, behind = 1, step = 0, stride[MODEL_MAX_DIMENSIONS];

    for (int k = axis + 1; k < y->rank; k++)
        inner *= y->dimension[k];
    for (int k = strided->rank - 1; k >= 0; k--) {
        if (strided->stride[k] <= 0 && strided->dimension[k] > 1)
            return -1;
        if (behind == inner && strided->dimension[k] == count && count > 1)
            step = strided->stride[k];
        behind *= strided->dimension[k];
    }
    graph_strides(x->rank, x->dimension, stride);
    for (int k = 0; k < x->rank; k++)
        if (step > 0 && x->dimension[k] == count && stride[k] == step)
            return k;
    return -1;
}

/* Transposes around a softmax are what exporters make of one along the channels. */
static int turn_softmaxes(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        struct node   *after = &graph->nodes[i], *softmax, *before;
        struct value  *x, *y;
        struct strided both;
        int            axis;
        if (after->kind != NODE_COPY ||
            (softmax = sole_producer_of(graph, after->input[0], NODE_SOFTMAX)) == NULL ||
            (before = sole_producer_of(graph, softmax->input[0], NODE_COPY)) == NULL ||
            !graph_strided_compose(&before->strided, &after->strided, &both))
            continue;
        x = &graph->values[before->input[0]];
        y = &graph->values[softmax->output];
        if (y->elements != x->elements || !graph_strided_is_reshape(&both, x->elements))
            continue; /* otherwise `before` leaves no number out and takes none twice */
        axis = axis_before(x, &graph->values[before->output], before, softmax->axis);
        if (axis < 0)
            continue;
        softmax->input[0] = before->input[0];
        softmax->axis     = axis;
        y->rank           = x->rank;
        memcpy(y->dimension, x->dimension, sizeof y->dimension);
        after->strided = both;
    }
    graph_drop_dead(graph);
    return 0;
}

int graph_optimize(struct graph *graph, struct why *why)
{
    int (*const passes[])(struct graph *) = {
        merge_copies, graph_fuse_functions, graph_fuse_norms, fuse_swish,     fuse_padding,
        fuse_focus,   fuse_scales,          fuse_tails,       turn_softmaxes, merge_copies,
    };
    size_t count = sizeof passes / sizeof passes[0];

    graph_drop_dead(graph);
    for (size_t i = 0; i < count; i++) {
        int rc = passes[i](graph);
        if (rc != 0)
            return why_set(why, rc, "the model needs too much memory");
    }
    return 0;
}
