/* The inputs of a file. One is the picture, N×3×H×W for whoever runs the model, whatever the file
 * says: one that wants N×H×W×3 gets a transposition, whole bytes and halves come as float32, and a
 * size that the file leaves open is chosen. Beside it stand at most the few small inputs in which
 * transformer detectors want to be told the picture's size. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <stdio.h>
#include <string.h>

enum { ONNX_FLOAT = 1, ONNX_UINT8 = 2, ONNX_INT32 = 6, ONNX_INT64 = 7, ONNX_FLOAT16 = 10 };

#define LEAST_SIDE 64 /* of a picture whose channels stand last */

static const Onnx__TensorShapeProto *shape_of(const Onnx__ValueInfoProto *info)
{
    if (info->type == NULL || info->type->tensor_type == NULL)
        return NULL;
    return info->type->tensor_type->shape;
}

/* "[640, 480]" in the metadata: height and width as the network was trained. */
static void trained_size(const struct importer *import, int64_t size[2])
{
    const Onnx__ModelProto *model = import->model;

    for (size_t i = 0; i < model->n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *entry = model->metadata_props[i];
        long long                           height, width;
        if (entry->key == NULL || entry->value == NULL || strcmp(entry->key, "imgsz") != 0)
            continue;
        if (sscanf(entry->value, "[%5lld, %5lld]", &height, &width) == 2 && height > 0 &&
            width > 0) {
            size[0] = height;
            size[1] = width;
        }
    }
}

static int64_t dimension_of(const Onnx__TensorShapeProto *shape, size_t i)
{
    return shape->dim[i]->has_dim_value && shape->dim[i]->dim_value > 0 ? shape->dim[i]->dim_value
                                                                        : 0;
}

static bool is_side(int64_t dimension)
{
    return dimension == 0 || dimension >= LEAST_SIDE;
}

/* N×H×W×3 rather than N×3×H×W; a feature map that is 3 wide is none. */
static bool channels_last(const Onnx__TensorShapeProto *shape)
{
    return shape->n_dim == 4 && dimension_of(shape, 3) == 3 && is_side(dimension_of(shape, 1)) &&
           is_side(dimension_of(shape, 2));
}

static int input_batch(struct importer *import, const Onnx__ValueInfoProto *info)
{
    int64_t batch = dimension_of(shape_of(info), 0);

    if (batch > 1)
        return why_set(import->why, ERR_UNSUPPORTED,
                       "input '%.100s' takes batches of %lld: export the model with a batch of 1",
                       info->name, (long long)batch);
    return 0;
}

/* The picture's dimensions as N, C, H, W. */
static int picture_dimensions(struct importer *import, const Onnx__ValueInfoProto *info,
                              int64_t dimension[4])
{
    const Onnx__TensorShapeProto *shape = shape_of(info);
    bool                          last  = channels_last(shape);
    int64_t size[2] = {MODEL_DEFAULT_SIDE, MODEL_DEFAULT_SIDE}, chosen[2] = {0, 0};

    if (import->options != NULL) {
        chosen[0] = import->options->height;
        chosen[1] = import->options->width;
    }
    trained_size(import, size);
    import->graph->input_is_open = dimension_of(shape, last ? 1 : 2) == 0 &&
                                   dimension_of(shape, last ? 2 : 3) == 0;
    dimension[0] = 1;
    dimension[1] = dimension_of(shape, last ? 3 : 1);
    if (dimension[1] == 0)
        dimension[1] = 3;
    for (size_t i = 0; i < 2; i++) {
        int64_t given    = dimension_of(shape, last ? 1 + i : 2 + i);
        dimension[2 + i] = chosen[i] > 0 ? chosen[i] : given > 0 ? given : size[i];
    }
    return input_batch(import, info);
}

static int plain_dimensions(struct importer *import, const Onnx__ValueInfoProto *info,
                            int64_t *dimension)
{
    const Onnx__TensorShapeProto *shape = shape_of(info);

    for (size_t i = 0; i < shape->n_dim; i++) {
        dimension[i] = i == 0 ? 1 : dimension_of(shape, i);
        if (dimension[i] == 0)
            return why_set(import->why, ERR_UNSUPPORTED,
                           "input '%.100s' has no fixed size in dimension %zu ('%.60s'): export "
                           "the model with a fixed size",
                           info->name, i,
                           shape->dim[i]->dim_param != NULL ? shape->dim[i]->dim_param : "unknown");
    }
    return input_batch(import, info);
}

/* The value that the file's nodes read, for which a transposition may have to stand. */
static int value_for_nodes(struct importer *import, bool last)
{
    struct graph *graph        = import->graph;
    struct value  x            = graph->values[graph->input];
    int64_t       dimension[4] = {1, x.dimension[2], x.dimension[3], x.dimension[1]}, own[4];
    int           value, node;

    if (!last)
        return graph->input;
    value = graph_add_value(graph, x.name, x.type, 4, dimension);
    if (value < 0)
        return value;
    node = graph_add_node(graph, NODE_COPY, 1, &graph->input, value);
    if (node < 0)
        return node;
    graph_strides(4, x.dimension, own);
    graph->nodes[node].name    = x.name;
    graph->nodes[node].op      = "Transpose";
    graph->nodes[node].strided = (struct strided){
        .rank      = 3,
        .dimension = {dimension[1], dimension[2], dimension[3]},
        .stride    = {own[2], own[3], own[1]},
    };
    return value;
}

static int add_picture(struct importer *import, const Onnx__ValueInfoProto *info)
{
    int64_t                       dimension[MODEL_MAX_DIMENSIONS];
    const Onnx__TensorShapeProto *shape = shape_of(info);
    struct graph                 *graph = import->graph;
    int32_t                       type;
    int                           rc;

    if (shape == NULL || shape->n_dim < 1 || shape->n_dim > MODEL_MAX_DIMENSIONS)
        return why_set(import->why, ERR_UNSUPPORTED, "input '%.100s' has no usable shape",
                       info->name);
    type = info->type->tensor_type->elem_type;
    if (type != ONNX_FLOAT && type != ONNX_FLOAT16 && type != ONNX_UINT8)
        return why_set(import->why, ERR_UNSUPPORTED,
                       "input '%.100s' is not float32: export the model with a float32 input",
                       info->name);
    if (graph->input >= 0)
        return why_set(import->why, ERR_UNSUPPORTED,
                       "the model has two inputs, '%.100s' and '%.100s': only one is possible",
                       graph->values[graph->input].name, info->name);
    rc = shape->n_dim == 4 ? picture_dimensions(import, info, dimension)
                           : plain_dimensions(import, info, dimension);
    if (rc != 0)
        return rc;
    if (graph_elements((int)shape->n_dim, dimension, LIMIT_MODEL_TENSOR_ELEMENTS) < 0)
        return why_set(import->why, ERR_LIMIT, "input '%.100s' is too large", info->name);
    graph->input = graph_add_value(graph, graph_memory_text(&graph->memory, info->name),
                                   type == ONNX_UINT8 ? VALUE_I64 : VALUE_F32, (int)shape->n_dim,
                                   dimension);
    if (graph->input < 0)
        return graph->input;
    graph->values[graph->input].is_input = true;
    rc                                   = value_for_nodes(import, channels_last(shape));
    return rc < 0 ? why_set(import->why, rc, "the model needs too much memory")
                  : import_add_name(import, info->name, rc);
}

/* What the model wants to know about the picture beside it; false when it is not one of these. */
static bool known_question(const char *name, bool *answered_by_size, bool *width_first)
{
    static const struct {
        const char *name;
        bool        size, width_first;
    } known[] = {
        {"orig_target_sizes", true, true}, /* boxes are wanted in pixels of this size */
        {"im_shape", true, false},
        {"scale_factor", false, false}, /* boxes are divided by it */
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0) {
            *answered_by_size = known[i].size;
            *width_first      = known[i].width_first;
            return true;
        }
    return false;
}

/* The answer, as a constant: boxes come out in pixels of the network's own input. */
static int add_answer(struct importer *import, const Onnx__ValueInfoProto *info, bool size,
                      bool width_first)
{
    const struct value *picture      = &import->graph->values[import->graph->input];
    int64_t             dimension[2] = {1, 2}, ints[2] = {1, 1};
    float               floats[2];
    int32_t             type = info->type != NULL && info->type->tensor_type != NULL
                                   ? info->type->tensor_type->elem_type
                                   : 0;
    int                 value;

    if (size && picture->rank == 4) {
        ints[0] = picture->dimension[width_first ? 3 : 2];
        ints[1] = picture->dimension[width_first ? 2 : 3];
    }
    floats[0] = (float)ints[0];
    floats[1] = (float)ints[1];
    value     = type == ONNX_INT64 || type == ONNX_INT32
                    ? import_emit_ints(import, 2, dimension, ints)
                    : import_emit_floats(import, 2, dimension, floats);
    return value < 0 ? value : import_add_name(import, info->name, value);
}

int import_inputs(struct importer *import)
{
    const Onnx__GraphProto *proto = import->proto;
    bool                    size, width_first;
    int                     rc = 0;

    for (size_t i = 0; i < proto->n_input && rc == 0; i++) {
        const Onnx__ValueInfoProto *info = proto->input[i];
        if (info->name == NULL)
            return why_set(import->why, ERR_INVALID, "an input of the model has no name");
        for (size_t k = 0; k < i; k++)
            if (strcmp(proto->input[k]->name, info->name) == 0)
                return why_set(import->why, ERR_INVALID, "input '%.100s' is listed twice",
                               info->name);
        /* Old files list their initializers among the inputs too. */
        if (!import_has_name(import, info->name) &&
            !known_question(info->name, &size, &width_first))
            rc = add_picture(import, info);
    }
    if (rc == 0 && import->graph->input < 0)
        return why_set(import->why, ERR_INVALID, "the model has no input");
    for (size_t i = 0; i < proto->n_input && rc == 0; i++)
        if (!import_has_name(import, proto->input[i]->name) &&
            known_question(proto->input[i]->name, &size, &width_first))
            rc = add_answer(import, proto->input[i], size, width_first);
    return rc;
}
