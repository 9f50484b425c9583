/* Activations, and how shapes broadcast. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <string.h>

int broadcast_shape(const struct value *a, const struct value *b, int64_t *dimension)
{
    int rank = a->rank > b->rank ? a->rank : b->rank;

    for (int i = 0; i < rank; i++) {
        int     at_a = i - (rank - a->rank), at_b = i - (rank - b->rank);
        int64_t da = at_a < 0 ? 1 : a->dimension[at_a], db = at_b < 0 ? 1 : b->dimension[at_b];
        if (da != db && da != 1 && db != 1)
            return -1;
        dimension[i] = da == 1 ? db : da;
    }
    return rank;
}

void broadcast_strides(const struct value *value, int rank, int64_t *stride)
{
    int64_t own[MODEL_MAX_DIMENSIONS];

    graph_strides(value->rank, value->dimension, own);
    for (int i = 0; i < rank; i++) {
        int at    = i - (rank - value->rank);
        stride[i] = at < 0 || value->dimension[at] == 1 ? 0 : own[at];
    }
}

static int lower_activation(struct importer *import, enum activation_kind kind, float a, float b)
{
    const struct value *x = import_input(import, 0);
    int64_t             dimension[MODEL_MAX_DIMENSIONS];
    struct node        *node;
    int                 value;

    if (x->type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED, "only float32 is possible");
    memcpy(dimension, x->dimension, sizeof dimension);
    value = import_emit(import, NODE_ACTIVATION, 1, import->input, x->rank, dimension, &node);
    if (value < 0)
        return value;
    node->activation  = (struct activation){.kind = kind, .a = a, .b = b};
    import->output[0] = value;
    return 0;
}

int lower_relu(struct importer *import)
{
    return lower_activation(import, ACTIVATION_RELU, 0.0F, 0.0F);
}

int lower_leaky_relu(struct importer *import)
{
    return lower_activation(import, ACTIVATION_RELU, import_float(import, "alpha", 0.01F), 0.0F);
}

int lower_sigmoid(struct importer *import)
{
    return lower_activation(import, ACTIVATION_SIGMOID, 0.0F, 0.0F);
}

int lower_hard_sigmoid(struct importer *import)
{
    return lower_activation(import, ACTIVATION_HARD_SIGMOID, import_float(import, "alpha", 0.2F),
                            import_float(import, "beta", 0.5F));
}

int lower_hard_swish(struct importer *import)
{
    return lower_activation(import, ACTIVATION_HARD_SWISH, 1.0F / 6.0F, 0.5F);
}
