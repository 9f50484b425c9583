/* What the lowering functions use to read a node and to add to the graph. */
#include "gpu/onnx_import.h"

#include "config/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* In parentheses, as the analyser has a macro of this name. */
int(import_refuse)(struct importer *import, int code, const char *format, ...)
{
    char        text[256];
    const char *op   = import->node != NULL ? import->node->op_type : "input";
    const char *name = import->node != NULL ? import->node->name : "";
    va_list     arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if ((name == NULL || name[0] == '\0') && import->node != NULL && import->node->n_output > 0)
        name = import->node->output[0];
    return why_set(import->why, code, "%.40s '%.100s': %s", op != NULL ? op : "node",
                   name != NULL ? name : "", text);
}

const struct value *import_input(const struct importer *import, int index)
{
    return &import->graph->values[import->input[index]];
}

bool import_has_input(const struct importer *import, int index)
{
    return index < import->input_count && import->input[index] >= 0;
}

int import_input_ints(struct importer *import, int index, const int64_t **ints, int *count)
{
    const struct value *value = import_input(import, index);

    if (value->ints == NULL || value->rank > 1 || value->elements > LIMIT_NODE_INPUTS)
        return import_refuse(import, ERR_UNSUPPORTED,
                             "its input %d must be a constant list of integers: simplify the model "
                             "(onnx-simplifier) with a fixed picture size",
                             index);
    *ints  = value->ints;
    *count = (int)value->elements;
    return 0;
}

int import_input_float(struct importer *import, int index, float *number)
{
    const struct value *value = import_input(import, index);

    if (value->type != VALUE_F32 || value->floats == NULL || value->elements < 1)
        return import_refuse(import, ERR_UNSUPPORTED, "its input %d must be a constant number",
                             index);
    *number = value->floats[0];
    return 0;
}

const Onnx__AttributeProto *import_attribute(const struct importer *import, const char *name)
{
    for (size_t i = 0; i < import->node->n_attribute; i++) {
        const Onnx__AttributeProto *attribute = import->node->attribute[i];
        if (attribute->name != NULL && strcmp(attribute->name, name) == 0)
            return attribute;
    }
    return NULL;
}

int64_t import_int(const struct importer *import, const char *name, int64_t fallback)
{
    const Onnx__AttributeProto *attribute = import_attribute(import, name);

    return attribute != NULL && attribute->has_i ? attribute->i : fallback;
}

float import_float(const struct importer *import, const char *name, float fallback)
{
    const Onnx__AttributeProto *attribute = import_attribute(import, name);

    return attribute != NULL && attribute->has_f ? attribute->f : fallback;
}

bool import_text_is(const struct importer *import, const char *name, const char *text,
                    const char *fallback)
{
    const Onnx__AttributeProto *attribute = import_attribute(import, name);

    if (attribute == NULL || !attribute->has_s)
        return strcmp(fallback, text) == 0;
    return attribute->s.len == strlen(text) &&
           (attribute->s.len == 0 || memcmp(attribute->s.data, text, attribute->s.len) == 0);
}

const int64_t *import_ints(const struct importer *import, const char *name, int *count)
{
    const Onnx__AttributeProto *attribute = import_attribute(import, name);

    *count = 0;
    if (attribute == NULL || attribute->n_ints > LIMIT_NODE_INPUTS)
        return NULL;
    *count = (int)attribute->n_ints;
    return attribute->ints;
}

int import_axis(struct importer *import, int64_t axis, int rank)
{
    if (axis < -rank || axis >= rank)
        return import_refuse(import, ERR_INVALID, "axis %lld does not exist in %d dimensions",
                             (long long)axis, rank);
    return (int)(axis < 0 ? axis + rank : axis);
}

int import_emit(struct importer *import, enum node_kind kind, int input_count, const int *input,
                int rank, const int64_t *dimension, struct node **node)
{
    struct graph   *graph = import->graph;
    enum value_type type  = graph->values[input[0]].type;
    int             value, number;

    *node = NULL;
    if (rank > MODEL_MAX_DIMENSIONS)
        return import_refuse(import, ERR_LIMIT, "gives %d dimensions, at most %d are possible",
                             rank, MODEL_MAX_DIMENSIONS);
    if (graph_elements(rank, dimension, LIMIT_MODEL_TENSOR_ELEMENTS) < 0)
        return import_refuse(import, ERR_LIMIT, "gives a tensor that is empty or too large");
    value = graph_add_value(graph, NULL, type, rank, dimension);
    if (value < 0)
        return import_refuse(import, value, "the model needs too much memory");
    number = graph_add_node(graph, kind, input_count, input, value);
    if (number < 0)
        return import_refuse(import, number, "the model needs too much memory");
    *node = &graph->nodes[number];
    return value;
}

int import_emit_reshape(struct importer *import, int source, int rank, const int64_t *dimension)
{
    int64_t      elements = import->graph->values[source].elements;
    struct node *node;
    int          value;

    if (graph_elements(rank, dimension, LIMIT_MODEL_TENSOR_ELEMENTS) != elements)
        return import_refuse(import, ERR_INVALID,
                             "cannot give %lld elements the shape that it asks for",
                             (long long)elements);
    value = import_emit(import, NODE_COPY, 1, &source, rank, dimension, &node);
    if (value >= 0)
        node->strided = (struct strided){.rank = 1, .dimension = {elements}, .stride = {1}};
    return value;
}

static int emit_constant(struct importer *import, enum value_type type, int rank,
                         const int64_t *dimension, const void *data)
{
    struct graph *graph = import->graph;
    size_t        size  = type == VALUE_F32 ? sizeof(float) : sizeof(int64_t);
    int           value = graph_add_value(graph, NULL, type, rank, dimension);
    void         *copy;

    if (value < 0)
        return import_refuse(import, value, "the model needs too much memory");
    copy = graph_memory_alloc(&graph->memory, (size_t)graph->values[value].elements, size);
    if (copy == NULL)
        return import_refuse(import, ERR_MEMORY, "the model needs too much memory");
    if (graph->values[value].elements > 0)
        memcpy(copy, data, (size_t)graph->values[value].elements * size);
    if (type == VALUE_F32)
        graph->values[value].floats = copy;
    else
        graph->values[value].ints = copy;
    return value;
}

int import_emit_ints(struct importer *import, int rank, const int64_t *dimension,
                     const int64_t *ints)
{
    return emit_constant(import, VALUE_I64, rank, dimension, ints);
}

int import_emit_floats(struct importer *import, int rank, const int64_t *dimension,
                       const float *floats)
{
    return emit_constant(import, VALUE_F32, rank, dimension, floats);
}

int import_take_floats(struct importer *import, int rank, const int64_t *dimension,
                       const float *floats)
{
    int value = graph_add_value(import->graph, NULL, VALUE_F32, rank, dimension);

    if (value < 0)
        return import_refuse(import, value, "the model needs too much memory");
    import->graph->values[value].floats = floats;
    return value;
}
