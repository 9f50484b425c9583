/* What exporters write out as several nodes and every backend has as one:
 *
 *   GELU             x / 2 * (1 + erf(x / sqrt(2))), and its form with tanh
 *   Mish             x * tanh(softplus(x))
 *   hard sigmoid     clip(x + 3, 0, 6) / 6
 *   hard swish       the same times x, in any order
 *   layer norm       (x - mean) / sqrt(mean((x - mean)^2) + epsilon), then * scale and + shift
 *
 * A product is recognised whichever way it is bracketed: its factors are collected first. The last
 * node of a pattern becomes the fused one; what nobody else needs of the others is dropped. */
#include "gpu/graph.h"

#include "config/err.h"

#include <math.h>
#include <string.h>

#define CONSTANT_TOLERANCE 1e-4 /* relative: exporters write them in float32, some in half of it */
#define PRODUCT_DEPTH_MAX  4

/* The node of this kind that computes a value; NULL: another, or none. */
static const struct node *made_by(const struct graph *graph, int value, enum node_kind kind)
{
    int number = value < 0 ? -1 : graph->values[value].producer;

    if (number < 0 || graph->nodes[number].kind != kind)
        return NULL;
    return &graph->nodes[number];
}

static const struct node *made_by_binary(const struct graph *graph, int value,
                                         enum binary_kind kind)
{
    const struct node *node = made_by(graph, value, NODE_BINARY);

    return node != NULL && node->binary == kind && node->activation.kind == ACTIVATION_NONE ? node
                                                                                            : NULL;
}

/* The value of which another is this function; -1: of none. */
static int unary_argument(const struct graph *graph, int value, enum unary_kind kind)
{
    const struct node *node = made_by(graph, value, NODE_UNARY);

    return node != NULL && node->unary == kind ? node->input[0] : -1;
}

static bool is_number(const struct graph *graph, int value)
{
    return graph->values[value].floats != NULL && graph->values[value].elements == 1;
}

static bool is_near(double number, double wanted)
{
    return fabs(number - wanted) <= CONSTANT_TOLERANCE * fabs(wanted);
}

static bool same_shape(const struct graph *graph, int a, int b)
{
    const struct value *x = &graph->values[a], *y = &graph->values[b];

    return x->rank == y->rank &&
           memcmp(x->dimension, y->dimension, (size_t)x->rank * sizeof *x->dimension) == 0;
}

/* x of x + `number`; -1: it is no such sum. */
static int without_addend(const struct graph *graph, int value, double number)
{
    const struct node *sum = made_by_binary(graph, value, BINARY_ADD);

    for (int k = 0; sum != NULL && k < 2; k++)
        if (is_number(graph, sum->input[k]) &&
            is_near((double)graph->values[sum->input[k]].floats[0], number))
            return sum->input[1 - k];
    return -1;
}

/* A product of constants, x and a gate; `pure` when it is of nothing else. */
struct product {
    int    x, gate; /* the values that are looked for; -1: none */
    int    x_count, gate_count;
    double constant;
    bool   pure;
};

static void multiply(const struct graph *graph, int value, int depth, struct product *product)
{
    const struct node *times = made_by_binary(graph, value, BINARY_MULTIPLY);
    const struct node *by    = made_by_binary(graph, value, BINARY_DIVIDE);

    if (value == product->x) {
        product->x_count++;
    } else if (value == product->gate) {
        product->gate_count++;
    } else if (is_number(graph, value)) {
        product->constant *= (double)graph->values[value].floats[0];
    } else if (depth < PRODUCT_DEPTH_MAX && times != NULL) {
        multiply(graph, times->input[0], depth + 1, product);
        multiply(graph, times->input[1], depth + 1, product);
    } else if (depth < PRODUCT_DEPTH_MAX && by != NULL && is_number(graph, by->input[1])) {
        multiply(graph, by->input[0], depth + 1, product);
        product->constant /= (double)graph->values[by->input[1]].floats[0];
    } else if (depth < PRODUCT_DEPTH_MAX && unary_argument(graph, value, UNARY_SQUARE) >= 0) {
        multiply(graph, unary_argument(graph, value, UNARY_SQUARE), depth + 1, product);
        multiply(graph, unary_argument(graph, value, UNARY_SQUARE), depth + 1, product);
    } else {
        product->pure = false;
    }
}

/* True when `value` is constant * x^x_count * gate^gate_count. */
static bool is_product(const struct graph *graph, int value, double constant, int x, int x_count,
                       int gate, int gate_count)
{
    struct product product = {.x = x, .gate = gate, .constant = 1.0, .pure = true};

    multiply(graph, value, 0, &product);
    return product.pure && product.x_count == x_count && product.gate_count == gate_count &&
           is_near(product.constant, constant);
}

/* x of constant * x; -1: it is no such product. */
static int without_factor(const struct graph *graph, int value, double constant)
{
    const struct node *times = made_by_binary(graph, value, BINARY_MULTIPLY);
    const struct node *by    = made_by_binary(graph, value, BINARY_DIVIDE);

    if (by != NULL && is_number(graph, by->input[1]) &&
        is_near(1.0 / (double)graph->values[by->input[1]].floats[0], constant))
        return by->input[0];
    for (int k = 0; times != NULL && k < 2; k++)
        if (is_number(graph, times->input[k]) &&
            is_near((double)graph->values[times->input[k]].floats[0], constant))
            return times->input[1 - k];
    return -1;
}

/* A factor that tells which function a product is, and the rest of that product. */
struct gate {
    int             x; /* -1: it is none */
    double          constant;
    enum node_kind  kind; /* NODE_UNARY or NODE_ACTIVATION */
    enum unary_kind unary;
};

static bool is_cube(const struct graph *graph, int value, int x)
{
    const struct node *power = made_by_binary(graph, value, BINARY_POWER);

    if (power != NULL && power->input[0] == x && is_number(graph, power->input[1]))
        return is_near((double)graph->values[power->input[1]].floats[0], 3.0);
    return is_product(graph, value, 1.0, x, 3, -1, 0);
}

/* x of sqrt(2 / pi) * (x + 0.044715 * x^3); -1: it is none. */
static int tanh_argument(const struct graph *graph, int value)
{
    int                inside = without_factor(graph, value, 0.7978845608);
    const struct node *sum    = made_by_binary(graph, inside, BINARY_ADD);

    for (int k = 0; sum != NULL && k < 2; k++) {
        int x = sum->input[k], cube = without_factor(graph, sum->input[1 - k], 0.044715);
        if (cube >= 0 && is_cube(graph, cube, x))
            return x;
        if (is_product(graph, sum->input[1 - k], 0.044715, x, 3, -1, 0))
            return x;
    }
    return -1;
}

static struct gate gate_of(const struct graph *graph, int value)
{
    struct gate        gate     = {.x = -1, .kind = NODE_UNARY};
    const struct node *clip     = made_by(graph, value, NODE_ACTIVATION);
    int                argument = without_addend(graph, value, 1.0), tanh_of;

    if (argument >= 0) {
        gate.constant = 0.5;
        gate.unary    = UNARY_GELU;
        gate.x        = unary_argument(graph, argument, UNARY_ERROR_FUNCTION);
        if (gate.x >= 0) {
            gate.x = without_factor(graph, gate.x, 0.7071067812);
            return gate;
        }
        tanh_of    = unary_argument(graph, argument, UNARY_HYPERBOLIC_TANGENT);
        gate.unary = UNARY_GELU_TANH;
        gate.x     = tanh_of >= 0 ? tanh_argument(graph, tanh_of) : -1;
        return gate;
    }
    tanh_of = unary_argument(graph, value, UNARY_HYPERBOLIC_TANGENT);
    if (tanh_of >= 0) {
        gate.constant = 1.0;
        gate.unary    = UNARY_MISH;
        gate.x        = unary_argument(graph, tanh_of, UNARY_SOFTPLUS);
        return gate;
    }
    if (clip != NULL && clip->activation.kind == ACTIVATION_CLIP && clip->activation.a == 0.0F &&
        is_near((double)clip->activation.b, 6.0)) {
        gate.constant = 1.0 / 6.0;
        gate.kind     = NODE_ACTIVATION;
        gate.x        = without_addend(graph, clip->input[0], 3.0);
    }
    return gate;
}

/* The first gate among the factors of a product; -1: there is none. */
static int find_gate(const struct graph *graph, int value, int depth)
{
    const struct node *node  = made_by(graph, value, NODE_BINARY);
    int                found = -1;

    if (value < 0 || graph->values[value].floats != NULL)
        return -1;
    if (gate_of(graph, value).x >= 0)
        return value;
    if (node == NULL || depth == PRODUCT_DEPTH_MAX ||
        (node->binary != BINARY_MULTIPLY && node->binary != BINARY_DIVIDE))
        return -1;
    for (int k = 0; found < 0 && k < (node->binary == BINARY_DIVIDE ? 1 : 2); k++)
        found = find_gate(graph, node->input[k], depth + 1);
    return found;
}

/* Without a gate in it the node stays as it is. */
static void fuse_product(const struct graph *graph, struct node *node)
{
    int         at        = find_gate(graph, node->output, 0);
    struct gate gate      = {.x = -1};
    bool        with_x    = false;
    bool        gate_only = false;

    if (at < 0 || at == node->output)
        return;
    gate = gate_of(graph, at);
    if (!same_shape(graph, gate.x, node->output))
        return;
    with_x    = is_product(graph, node->output, gate.constant, gate.x, 1, at, 1);
    gate_only = gate.kind == NODE_ACTIVATION &&
                is_product(graph, node->output, gate.constant, gate.x, 0, at, 1);
    if (!with_x && !gate_only)
        return;
    node->kind        = gate.kind;
    node->unary       = gate.unary;
    node->input[0]    = gate.x;
    node->input_count = 1;
    if (gate.kind == NODE_ACTIVATION)
        node->activation = (struct activation){.kind = with_x ? ACTIVATION_HARD_SWISH
                                                              : ACTIVATION_HARD_SIGMOID,
                                               .a    = 1.0F / 6.0F,
                                               .b    = 0.5F};
}

int graph_fuse_functions(struct graph *graph)
{
    for (int i = 0; i < graph->node_count; i++) {
        struct node *node = &graph->nodes[i];
        if (node->kind == NODE_BINARY && node->activation.kind == ACTIVATION_NONE &&
            (node->binary == BINARY_MULTIPLY || node->binary == BINARY_DIVIDE))
            fuse_product(graph, node);
    }
    graph_drop_dead(graph);
    return 0;
}

/* ---- layer norm ---- */

/* The first of the axes over which `value` is the mean of `x`, which are its last ones and stay as
 * dimensions of 1; -1: it is no such mean. */
static int mean_axis(const struct graph *graph, int value, int x)
{
    const struct node  *mean = made_by(graph, value, NODE_MEAN);
    const struct value *from = &graph->values[x];
    int                 axis = from->rank;

    if (mean == NULL || mean->input[0] != x || graph->values[value].rank != from->rank)
        return -1;
    while (axis > 0 && (mean->axes >> (axis - 1) & 1U) != 0)
        axis--;
    if (axis == from->rank || (mean->axes & ((1U << axis) - 1U)) != 0)
        return -1;
    return axis;
}

/* x of x - mean(x), and the axis; -1: it is no such difference. */
static int centred(const struct graph *graph, int value, int *axis)
{
    const struct node *difference = made_by_binary(graph, value, BINARY_SUBTRACT);

    if (difference == NULL)
        return -1;
    *axis = mean_axis(graph, difference->input[1], difference->input[0]);
    return *axis >= 0 ? difference->input[0] : -1;
}

/* The value whose square it is; -1: it is none. */
static int square_root_of(const struct graph *graph, int value)
{
    const struct node *power = made_by_binary(graph, value, BINARY_POWER);
    const struct node *times = made_by_binary(graph, value, BINARY_MULTIPLY);

    if (power != NULL && is_number(graph, power->input[1]) &&
        graph->values[power->input[1]].floats[0] == 2.0F)
        return power->input[0];
    if (times != NULL && times->input[0] == times->input[1])
        return times->input[0];
    return unary_argument(graph, value, UNARY_SQUARE);
}

/* True when `value` is sqrt(mean((x - mean)^2) + epsilon). */
static bool is_deviation(const struct graph *graph, int value, int x, int axis, float *epsilon)
{
    int                more = unary_argument(graph, value, UNARY_SQUARE_ROOT), of = -1, again = -1;
    const struct node *sum = made_by_binary(graph, more, BINARY_ADD);

    for (int k = 0; sum != NULL && k < 2; k++) {
        const struct node *mean = made_by(graph, sum->input[1 - k], NODE_MEAN);
        if (!is_number(graph, sum->input[k]) || mean == NULL)
            continue;
        *epsilon = graph->values[sum->input[k]].floats[0];
        of       = square_root_of(graph, mean->input[0]);
        if (of >= 0 && mean_axis(graph, sum->input[1 - k], mean->input[0]) == axis &&
            centred(graph, of, &again) == x && again == axis)
            return true;
    }
    return false;
}

static int start_layer_norm(struct graph *graph, struct node *node)
{
    int   axis, x = centred(graph, node->input[0], &axis), *input;
    float epsilon = 0.0F;

    if (x < 0 || !same_shape(graph, x, node->output) || graph->values[x].type != VALUE_F32 ||
        !is_deviation(graph, node->input[1], x, axis, &epsilon))
        return 0;
    input = graph_memory_alloc(&graph->memory, 3, sizeof *input);
    if (input == NULL)
        return ERR_MEMORY;
    input[0]          = x;
    input[1]          = -1;
    input[2]          = -1;
    node->kind        = NODE_LAYER_NORM;
    node->axis        = axis;
    node->epsilon     = epsilon;
    node->input       = input;
    node->input_count = 3;
    return 0;
}

/* One number for each element of a row, standing where they are. */
static bool fits_row(const struct graph *graph, int constant, const struct node *norm)
{
    const struct value *c = &graph->values[constant], *y = &graph->values[norm->output];
    int64_t             row = 1;

    for (int k = norm->axis; k < y->rank; k++)
        row *= y->dimension[k];
    if (c->floats == NULL || c->elements != row || c->rank > y->rank)
        return false;
    for (int k = 1; k <= c->rank && k <= y->rank - norm->axis; k++)
        if (c->dimension[c->rank - k] != y->dimension[y->rank - k])
            return false;
    return true;
}

/* The scale or shift behind a layer norm goes into it. */
static void finish_layer_norm(struct graph *graph, struct node *node, int slot)
{
    for (int k = 0; k < 2; k++) {
        const struct node *norm     = made_by(graph, node->input[k], NODE_LAYER_NORM);
        int                constant = node->input[1 - k], output = node->output;
        if (norm == NULL || graph->values[norm->output].uses != 1 || norm->input[slot] >= 0 ||
            norm->input[2] >= 0 || !fits_row(graph, constant, norm) ||
            !same_shape(graph, norm->output, output))
            continue;
        graph->nodes[graph->values[norm->output].producer].kind = NODE_REMOVED;
        *node                                                   = *norm;
        node->kind                                              = NODE_LAYER_NORM;
        node->output                                            = output;
        node->input[slot]                                       = constant;
        return;
    }
}

int graph_fuse_norms(struct graph *graph)
{
    static const enum binary_kind kinds[] = {BINARY_DIVIDE, BINARY_MULTIPLY, BINARY_ADD};

    for (int slot = 0; slot < 3; slot++) {
        for (int i = 0; i < graph->node_count; i++) {
            struct node *node = &graph->nodes[i];
            int          rc   = 0;
            if (node->kind != NODE_BINARY || node->binary != kinds[slot] ||
                node->activation.kind != ACTIVATION_NONE)
                continue;
            if (slot == 0)
                rc = start_layer_norm(graph, node);
            else
                finish_layer_norm(graph, node, slot);
            if (rc != 0)
                return rc;
        }
        graph_drop_dead(graph);
    }
    return 0;
}
