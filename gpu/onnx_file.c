#include "gpu/onnx_file.h"

#include "config/err.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A message of two bytes in the file becomes a struct of a hundred in memory: real models need
 * twice their size and a little, a hostile one is stopped here. */
#define BUDGET_FACTOR 3

enum onnx_type {
    ONNX_FLOAT    = 1,
    ONNX_UINT8    = 2,
    ONNX_INT8     = 3,
    ONNX_UINT16   = 4,
    ONNX_INT16    = 5,
    ONNX_INT32    = 6,
    ONNX_INT64    = 7,
    ONNX_BOOL     = 9,
    ONNX_FLOAT16  = 10,
    ONNX_DOUBLE   = 11,
    ONNX_UINT32   = 12,
    ONNX_BFLOAT16 = 16,
};

struct allocation {
    size_t bytes;
    size_t unused; /* keeps what follows aligned to 16 */
};

static void *budget_alloc(void *data, size_t size)
{
    struct onnx_file  *file = data;
    struct allocation *allocation;

    if (size > file->max_bytes - file->used_bytes ||
        sizeof *allocation > file->max_bytes - file->used_bytes - size)
        return NULL;
    allocation = malloc(sizeof *allocation + size);
    if (allocation == NULL)
        return NULL;
    allocation->bytes = size + sizeof *allocation;
    file->used_bytes += allocation->bytes;
    return allocation + 1;
}

static void budget_free(void *data, void *pointer)
{
    struct onnx_file  *file       = data;
    struct allocation *allocation = pointer;

    if (allocation == NULL)
        return;
    allocation--;
    file->used_bytes -= allocation->bytes;
    free(allocation);
}

int onnx_file_open(struct onnx_file *file, const uint8_t *bytes, size_t count, struct why *why)
{
    memset(file, 0, sizeof *file);
    file->max_bytes                = count * BUDGET_FACTOR + (size_t)LIMIT_MODEL_EXTRA_BYTES;
    file->allocator.alloc          = budget_alloc;
    file->allocator.free           = budget_free;
    file->allocator.allocator_data = file;
    file->proto                    = onnx__model_proto__unpack(&file->allocator, count, bytes);
    if (file->proto == NULL)
        return why_set(why, ERR_INVALID,
                       "not an ONNX file, or it is cut off or damaged: fetch or export it again");
    if (file->proto->graph == NULL) {
        onnx_file_close(file);
        return why_set(why, ERR_INVALID, "the file holds no ONNX graph: is it an ONNX model?");
    }
    return 0;
}

void onnx_file_close(struct onnx_file *file)
{
    if (file->proto != NULL)
        onnx__model_proto__free_unpacked(file->proto, &file->allocator);
    file->proto = NULL;
}

bool onnx_element_type(int onnx_type, enum value_type *type)
{
    switch (onnx_type) {
    case ONNX_FLOAT:
    case ONNX_FLOAT16:
    case ONNX_DOUBLE:
    case ONNX_BFLOAT16:
        *type = VALUE_F32;
        return true;
    case ONNX_UINT8:
    case ONNX_INT8:
    case ONNX_UINT16:
    case ONNX_INT16:
    case ONNX_INT32:
    case ONNX_UINT32:
    case ONNX_INT64:
    case ONNX_BOOL:
        *type = VALUE_I64;
        return true;
    default:
        return false;
    }
}

static size_t element_bytes(int onnx_type)
{
    switch (onnx_type) {
    case ONNX_UINT8:
    case ONNX_INT8:
    case ONNX_BOOL:
        return 1;
    case ONNX_UINT16:
    case ONNX_INT16:
    case ONNX_FLOAT16:
    case ONNX_BFLOAT16:
        return 2;
    case ONNX_DOUBLE:
    case ONNX_INT64:
        return 8;
    default:
        return 4;
    }
}

static float half_to_float(uint16_t half)
{
    int   exponent = half >> 10 & 31;
    float mantissa = (float)(half & 1023);
    float sign     = (half & 0x8000) != 0 ? -1.0F : 1.0F;

    if (exponent == 0)
        return sign * ldexpf(mantissa, -24);
    if (exponent == 31)
        return mantissa == 0 ? sign * INFINITY : NAN;
    return sign * ldexpf(mantissa + 1024.0F, exponent - 25);
}

/* Element `i` of little-endian bytes; the machine must be little-endian too, as all we build for
 * are. */
static double raw_element(int onnx_type, const uint8_t *bytes, size_t i)
{
#define READ(type)                                                    \
    do {                                                              \
        type element;                                                 \
        memcpy(&element, bytes + i * sizeof element, sizeof element); \
        return (double)element;                                       \
    } while (0)
    uint16_t half;
    uint32_t word;
    float    wide;

    switch (onnx_type) {
    case ONNX_FLOAT:
        READ(float);
    case ONNX_DOUBLE:
        READ(double);
    case ONNX_UINT8:
    case ONNX_BOOL:
        return bytes[i];
    case ONNX_INT8:
        READ(int8_t);
    case ONNX_UINT16:
        READ(uint16_t);
    case ONNX_INT16:
        READ(int16_t);
    case ONNX_INT32:
        READ(int32_t);
    case ONNX_UINT32:
        READ(uint32_t);
    default: /* the two 16-bit floats */
        memcpy(&half, bytes + i * sizeof half, sizeof half);
        if (onnx_type == ONNX_FLOAT16)
            return (double)half_to_float(half);
        word = (uint32_t)half << 16;
        memcpy(&wide, &word, sizeof wide);
        return (double)wide;
    }
#undef READ
}

/* Where the elements are in the message, and whether there are as many as the shape says. */
static bool elements_present(const Onnx__TensorProto *tensor, size_t elements)
{
    if (tensor->has_raw_data)
        return tensor->raw_data.len == elements * element_bytes(tensor->data_type);
    switch (tensor->data_type) {
    case ONNX_FLOAT:
        return tensor->n_float_data == elements;
    case ONNX_DOUBLE:
        return tensor->n_double_data == elements;
    case ONNX_INT64:
        return tensor->n_int64_data == elements;
    case ONNX_UINT32:
        return elements == 0; /* would stand in a field that no exporter uses for these */
    default:
        return tensor->n_int32_data == elements;
    }
}

static void read_floats(const Onnx__TensorProto *tensor, size_t elements, float *out)
{
    for (size_t i = 0; i < elements; i++) {
        if (tensor->has_raw_data) {
            out[i] = (float)raw_element(tensor->data_type, tensor->raw_data.data, i);
        } else if (tensor->data_type == ONNX_FLOAT) {
            out[i] = tensor->float_data[i];
        } else if (tensor->data_type == ONNX_DOUBLE) {
            out[i] = (float)tensor->double_data[i];
        } else {
            uint16_t bits = (uint16_t)tensor->int32_data[i];
            out[i]        = (float)raw_element(tensor->data_type, (const uint8_t *)&bits, 0);
        }
    }
}

static void read_ints(const Onnx__TensorProto *tensor, size_t elements, int64_t *out)
{
    for (size_t i = 0; i < elements; i++) {
        if (tensor->has_raw_data && tensor->data_type == ONNX_INT64)
            memcpy(&out[i], tensor->raw_data.data + i * sizeof out[i], sizeof out[i]);
        else if (tensor->has_raw_data)
            out[i] = (int64_t)raw_element(tensor->data_type, tensor->raw_data.data, i);
        else if (tensor->data_type == ONNX_INT64)
            out[i] = tensor->int64_data[i];
        else
            out[i] = tensor->int32_data[i];
    }
}

/* The graph's budget follows the size of the files: these bytes came from one of them. */
#define EXTERNAL_MEMORY_FACTOR 16

/* A tensor from another file as if its bytes stood in this one. */
static int external_value(struct graph *graph, struct onnx_external *external,
                          const Onnx__TensorProto *tensor, int64_t elements, const char *name,
                          struct why *why)
{
    Onnx__TensorProto inside = *tensor;
    size_t            wanted = (size_t)elements * element_bytes(tensor->data_type);
    uint8_t          *bytes;
    int               rc = onnx_external_read(external, tensor, wanted, &bytes, why);

    if (rc != 0) {
        free(bytes);
        return why_prefix(why, "tensor '%.100s'", name), rc;
    }
    graph->memory.max_bytes += wanted * EXTERNAL_MEMORY_FACTOR;
    inside.has_data_location = 0;
    inside.data_location     = 0;
    inside.has_raw_data      = 1;
    inside.raw_data.data     = bytes;
    inside.raw_data.len      = wanted;
    rc                       = onnx_tensor_value(graph, NULL, &inside, name, why);
    free(bytes);
    return rc;
}

int onnx_tensor_value(struct graph *graph, struct onnx_external *external,
                      const Onnx__TensorProto *tensor, const char *name, struct why *why)
{
    enum value_type type;
    int64_t         elements = 1;
    void           *data;
    int             value;

    if (!onnx_element_type(tensor->data_type, &type))
        return why_set(why, ERR_UNSUPPORTED, "tensor '%.100s' has elements of ONNX type %d", name,
                       tensor->data_type);
    if (tensor->n_dims > MODEL_MAX_DIMENSIONS)
        return why_set(why, ERR_LIMIT,
                       "tensor '%.100s' has %zu dimensions, at most %d are possible", name,
                       tensor->n_dims, MODEL_MAX_DIMENSIONS);
    for (size_t i = 0; i < tensor->n_dims; i++) {
        if (tensor->dims[i] < 0 || __builtin_mul_overflow(elements, tensor->dims[i], &elements) ||
            elements > LIMIT_MODEL_TENSOR_ELEMENTS)
            return why_set(why, ERR_INVALID, "tensor '%.100s' has an impossible shape", name);
    }
    if (tensor->data_location == 1)
        return external_value(graph, external, tensor, elements, name, why);
    if (!elements_present(tensor, (size_t)elements))
        return why_set(why, ERR_INVALID,
                       "tensor '%.100s' does not hold the %lld elements that its shape says", name,
                       (long long)elements);
    value = graph_add_value(graph, graph_memory_text(&graph->memory, name), type,
                            (int)tensor->n_dims, tensor->dims);
    if (value < 0)
        return why_set(why, value, "tensor '%.100s': the model needs too much memory", name);
    data = graph_memory_alloc(&graph->memory, (size_t)elements,
                              type == VALUE_F32 ? sizeof(float) : sizeof(int64_t));
    if (data == NULL)
        return why_set(why, ERR_MEMORY, "tensor '%.100s': the model needs too much memory", name);
    graph->values[value].element = tensor->data_type;
    if (type == VALUE_F32) {
        read_floats(tensor, (size_t)elements, data);
        graph->values[value].floats = data;
    } else {
        read_ints(tensor, (size_t)elements, data);
        graph->values[value].ints = data;
    }
    return value;
}
