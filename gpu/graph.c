#include "gpu/graph.h"

#include "config/assert.h"
#include "config/err.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void graph_init(struct graph *graph, size_t max_bytes)
{
    memset(graph, 0, sizeof *graph);
    graph->memory.max_bytes = max_bytes;
    graph->input            = -1;
}

void graph_free(struct graph *graph)
{
    graph_memory_free(&graph->memory);
    memset(graph, 0, sizeof *graph);
}

/* Makes room for one more item; the old array stays in the model's memory, which doubling bounds.
 */
static int grow(struct graph *graph, void **items, int *room, int count, size_t size, int limit)
{
    void *larger;
    int   wanted;

    if (count < *room)
        return 0;
    if (count >= limit)
        return ERR_LIMIT;
    wanted = *room == 0 ? 64 : *room * 2;
    larger = graph_memory_alloc(&graph->memory, (size_t)wanted, size);
    if (larger == NULL)
        return ERR_MEMORY;
    if (count > 0)
        memcpy(larger, *items, (size_t)count * size);
    *items = larger;
    *room  = wanted;
    return 0;
}

int graph_add_value(struct graph *graph, const char *name, enum value_type type, int rank,
                    const int64_t *dimension)
{
    void         *items = graph->values;
    struct value *value;
    int           rc;

    ASSERT(rank >= 0 && rank <= MODEL_MAX_DIMENSIONS);
    rc = grow(graph, &items, &graph->value_room, graph->value_count, sizeof *value,
              LIMIT_MODEL_VALUES);
    if (rc != 0)
        return rc;
    graph->values = items;
    value         = &graph->values[graph->value_count];
    memset(value, 0, sizeof *value);
    value->name     = name;
    value->type     = type;
    value->rank     = rank;
    value->elements = 1;
    value->producer = -1;
    for (int i = 0; i < rank; i++) {
        value->dimension[i] = dimension[i];
        value->elements *= dimension[i];
    }
    return graph->value_count++;
}

int graph_add_node(struct graph *graph, enum node_kind kind, int input_count, const int *input,
                   int output)
{
    void        *items = graph->nodes;
    struct node *node;
    int          rc;

    rc = grow(graph, &items, &graph->node_room, graph->node_count, sizeof *node,
              LIMIT_MODEL_NODES * 4);
    if (rc != 0)
        return rc;
    graph->nodes = items;
    node         = &graph->nodes[graph->node_count];
    memset(node, 0, sizeof *node);
    node->kind        = kind;
    node->output      = output;
    node->input_count = input_count;
    node->input       = graph_memory_alloc(&graph->memory, (size_t)input_count + 1, sizeof(int));
    if (node->input == NULL)
        return ERR_MEMORY;
    memcpy(node->input, input, (size_t)input_count * sizeof(int));
    graph->values[output].producer = graph->node_count;
    return graph->node_count++;
}

int64_t graph_elements(int rank, const int64_t *dimension, int64_t limit)
{
    int64_t elements = 1;

    for (int i = 0; i < rank; i++) {
        if (dimension[i] < 1 || dimension[i] > limit)
            return -1;
        if (__builtin_mul_overflow(elements, dimension[i], &elements) || elements > limit)
            return -1;
    }
    return elements;
}

void graph_strides(int rank, const int64_t *dimension, int64_t *stride)
{
    int64_t step = 1;

    for (int i = rank - 1; i >= 0; i--) {
        stride[i] = step;
        step *= dimension[i];
    }
}

void graph_describe_node(const struct node *node, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s '%.100s'", node->op != NULL ? node->op : "node",
             node->name != NULL ? node->name : "");
}

float graph_activate(const struct activation *activation, float x)
{
    float y;

    switch (activation->kind) {
    case ACTIVATION_NONE:
        return x;
    case ACTIVATION_RELU:
        return x < 0 ? activation->a * x : x;
    case ACTIVATION_CLIP:
        return fminf(fmaxf(x, activation->a), activation->b);
    case ACTIVATION_SIGMOID:
        return 1.0F / (1.0F + expf(-x));
    case ACTIVATION_SILU:
        return x / (1.0F + expf(-x));
    case ACTIVATION_HARD_SIGMOID:
    case ACTIVATION_HARD_SWISH:
        y = fminf(fmaxf(activation->a * x + activation->b, 0.0F), 1.0F);
        return activation->kind == ACTIVATION_HARD_SWISH ? x * y : y;
    }
    return x;
}

float graph_unary(enum unary_kind kind, float a, float x)
{
    switch (kind) {
    case UNARY_ABSOLUTE:
        return fabsf(x);
    case UNARY_NEGATE:
        return -x;
    case UNARY_SQUARE:
        return x * x;
    case UNARY_SQUARE_ROOT:
        return sqrtf(x);
    case UNARY_RECIPROCAL:
        return 1.0F / x;
    case UNARY_EXPONENTIAL:
        return expf(x);
    case UNARY_LOGARITHM:
        return logf(x);
    case UNARY_ERROR_FUNCTION:
        return erff(x);
    case UNARY_HYPERBOLIC_TANGENT:
        return tanhf(x);
    case UNARY_SOFTPLUS:
        return fmaxf(x, 0.0F) + log1pf(expf(-fabsf(x)));
    case UNARY_MISH:
        return x * tanhf(fmaxf(x, 0.0F) + log1pf(expf(-fabsf(x))));
    case UNARY_GELU:
        return 0.5F * x * (1.0F + erff(x * 0.70710678F));
    case UNARY_GELU_TANH:
        return 0.5F * x * (1.0F + tanhf(0.79788456F * (x + 0.044715F * x * x * x)));
    case UNARY_ELU:
        return x < 0 ? a * expm1f(x) : x;
    case UNARY_FLOOR:
        return floorf(x);
    case UNARY_CEIL:
        return ceilf(x);
    case UNARY_ROUND:
        return rintf(x);
    case UNARY_TRUNCATE:
        return truncf(x);
    case UNARY_SIGN:
        return (float)((x > 0) - (x < 0));
    case UNARY_NOT:
        return x == 0 ? 1.0F : 0.0F;
    case UNARY_SINE:
        return sinf(x);
    case UNARY_COSINE:
        return cosf(x);
    }
    return x;
}

float graph_binary(enum binary_kind kind, float x, float y)
{
    switch (kind) {
    case BINARY_ADD:
        return x + y;
    case BINARY_SUBTRACT:
        return x - y;
    case BINARY_MULTIPLY:
        return x * y;
    case BINARY_DIVIDE:
        return x / y;
    case BINARY_MINIMUM:
        return x < y ? x : y;
    case BINARY_MAXIMUM:
        return x > y ? x : y;
    case BINARY_POWER:
        return powf(x, y);
    case BINARY_MODULO:
        return x - y * floorf(x / y);
    case BINARY_REMAINDER:
        return fmodf(x, y);
    case BINARY_EQUAL:
        return x == y ? 1.0F : 0.0F;
    case BINARY_LESS:
        return x < y ? 1.0F : 0.0F;
    case BINARY_LESS_EQUAL:
        return x <= y ? 1.0F : 0.0F;
    case BINARY_AND:
        return x != 0 && y != 0 ? 1.0F : 0.0F;
    case BINARY_OR:
        return x != 0 || y != 0 ? 1.0F : 0.0F;
    case BINARY_XOR:
        return (x != 0) != (y != 0) ? 1.0F : 0.0F;
    }
    return x;
}

static int64_t node_multiply_adds(const struct graph *graph, const struct node *node)
{
    const struct value *out = &graph->values[node->output];
    const struct value *in;

    switch (node->kind) {
    case NODE_CONV:
        in = &graph->values[node->input[1]];
        return out->elements * in->dimension[1] * in->dimension[2] * in->dimension[3];
    case NODE_MATMUL:
        in = &graph->values[node->input[0]];
        return out->elements * in->dimension[in->rank - (node->matmul.transpose_a ? 2 : 1)];
    default:
        return 0;
    }
}

int64_t graph_multiply_adds(const struct graph *graph)
{
    int64_t sum = 0;

    /* Stops above the limit: a hostile graph of many large nodes would overflow the sum. */
    for (int i = 0; i < graph->node_count && sum <= LIMIT_MODEL_MULTIPLY_ADDS; i++)
        sum += node_multiply_adds(graph, &graph->nodes[i]);
    return sum;
}

int64_t graph_parameters(const struct graph *graph)
{
    int64_t sum = 0;

    for (int i = 0; i < graph->value_count; i++) {
        const struct value *value = &graph->values[i];
        if (value->floats != NULL && value->uses > 0)
            sum += value->elements;
    }
    return sum;
}

/* A constant of the one is that of the other; what is computed is not looked at. */
static bool same_constant(const struct graph *a, int x, const struct graph *b, int y)
{
    const struct value *u, *v;

    if (x < 0 || y < 0)
        return x < 0 && y < 0;
    u = &a->values[x];
    v = &b->values[y];
    if (u->floats == NULL || v->floats == NULL)
        return u->floats == NULL && v->floats == NULL;
    return u->rank == v->rank && u->elements == v->elements &&
           memcmp(u->dimension, v->dimension, (size_t)u->rank * sizeof *u->dimension) == 0 &&
           memcmp(u->floats, v->floats, (size_t)u->elements * sizeof *u->floats) == 0;
}

static bool same_node(const struct graph *a, const struct node *x, const struct graph *b,
                      const struct node *y)
{
    if (x->kind != y->kind || x->input_count != y->input_count)
        return false;
    for (int i = 0; i < x->input_count; i++)
        if (!same_constant(a, x->input[i], b, y->input[i]))
            return false;
    return true;
}

void graph_pair(struct graph *graph, const struct graph *with)
{
    for (int i = 0; i < graph->node_count && i < with->node_count; i++) {
        const struct node *other = &with->nodes[i];

        if (same_node(graph, &graph->nodes[i], with, other))
            graph->nodes[i].twin = other->twin != NULL ? other->twin : other;
    }
}
