/* Operators with indices, operators that repeat or rearrange, and grid sampling. */
#include "gpu/onnx_import.h"

#include "config/assert.h"
#include "config/err.h"

#include <math.h>
#include <string.h>

/* ---- gathers ---- */

static int whole_axis(struct importer *import, int64_t size)
{
    if (size > LIMIT_GRAPH_WHOLE)
        return import_refuse(import, ERR_LIMIT, "its axis is longer than indices can reach");
    return 0;
}

/* A short constant list along an axis: slices that are put together, which often cost nothing. */
static int gather_slices(struct importer *import, int axis, const struct value *indices)
{
    struct value x = *import_input(import, 0);
    int          parts[LIMIT_NODE_INPUTS], rank = 0, count = (int)indices->elements, value;
    int64_t      stride[MODEL_MAX_DIMENSIONS], dimension[MODEL_MAX_DIMENSIONS];
    struct node *node;

    graph_strides(x.rank, x.dimension, stride);
    memcpy(dimension, x.dimension, sizeof dimension);
    dimension[axis] = 1;
    ASSERT(count >= 1 && count <= LIMIT_NODE_INPUTS);
    for (int i = 0; i < count; i++) {
        int64_t index = indices->ints[i];
        if (index < 0)
            index += x.dimension[axis];
        if (index < 0 || index >= x.dimension[axis])
            return import_refuse(import, ERR_INVALID, "its index %lld does not exist",
                                 (long long)indices->ints[i]);
        parts[i] = import_emit_strided(import, import->input[0], x.rank, dimension, stride,
                                       index * stride[axis]);
        if (parts[i] < 0)
            return parts[i];
    }
    value = parts[0];
    if (count > 1) {
        dimension[axis] = count;
        value           = import_emit(import, NODE_CONCAT, count, parts, x.rank, dimension, &node);
        if (value < 0)
            return value;
        node->axis = axis;
    }
    if (indices->rank == 0) {
        for (int i = 0; i < x.rank; i++)
            if (i != axis)
                dimension[rank++] = x.dimension[i];
        value = import_emit_reshape(import, value, rank, dimension);
    }
    return value;
}

int lower_gather(struct importer *import)
{
    struct value x = *import_input(import, 0), indices = *import_input(import, 1);
    int          axis = import_axis(import, import_int(import, "axis", 0), x.rank);
    int          rank = 0, value;
    int64_t      dimension[2 * MODEL_MAX_DIMENSIONS];
    struct node *node;

    if (axis < 0)
        return axis;
    if (indices.type != VALUE_I64)
        return import_refuse(import, ERR_INVALID, "its indices are not integers");
    if (indices.ints != NULL && indices.rank <= 1 && indices.elements <= LIMIT_NODE_INPUTS &&
        indices.elements >= 1)
        return import_set(import, gather_slices(import, axis, &indices));
    if (whole_axis(import, x.dimension[axis]) != 0)
        return ERR_LIMIT;
    for (int k = 0; k < axis; k++)
        dimension[rank++] = x.dimension[k];
    for (int k = 0; k < indices.rank; k++)
        dimension[rank++] = indices.dimension[k];
    for (int k = axis + 1; k < x.rank; k++)
        dimension[rank++] = x.dimension[k];
    value = import_emit(import, NODE_GATHER, 2, import->input, rank, dimension, &node);
    if (value >= 0)
        node->axis = axis;
    return import_set(import, value);
}

/* Both ends of GatherElements and ScatterElements: the indices fit inside x. */
static int elements_axis(struct importer *import)
{
    const struct value *x = import_input(import, 0), *indices = import_input(import, 1);
    int                 axis = import_axis(import, import_int(import, "axis", 0), x->rank);

    if (axis < 0)
        return axis;
    if (indices->rank != x->rank || indices->type != VALUE_I64)
        return import_refuse(import, ERR_INVALID, "its indices do not fit its input");
    for (int k = 0; k < x->rank; k++)
        if (k != axis && indices->dimension[k] > x->dimension[k])
            return import_refuse(import, ERR_INVALID, "its indices do not fit its input");
    if (whole_axis(import, x->dimension[axis]) != 0)
        return ERR_LIMIT;
    return axis;
}

int lower_gather_elements(struct importer *import)
{
    struct value indices = *import_input(import, 1);
    int          axis    = elements_axis(import), value;
    struct node *node;

    if (axis < 0)
        return axis;
    value = import_emit(import, NODE_GATHER_ELEMENTS, 2, import->input, indices.rank,
                        indices.dimension, &node);
    if (value >= 0)
        node->axis = axis;
    return import_set(import, value);
}

/* How many dimensions of x an index names, behind `batch` of them; refuses what does not fit. */
static int index_depth(struct importer *import, int batch)
{
    const struct value *x = import_input(import, 0), *indices = import_input(import, 1);
    int64_t             depth = indices->rank > 0 ? indices->dimension[indices->rank - 1] : 0;

    if (indices->type != VALUE_I64 || batch < 0 || batch >= indices->rank || depth < 1 ||
        depth > x->rank - batch)
        return import_refuse(import, ERR_INVALID, "its indices do not fit its input");
    for (int k = 0; k < batch; k++)
        if (x->dimension[k] != indices->dimension[k])
            return import_refuse(import, ERR_INVALID, "its indices do not fit its input");
    for (int k = 0; k < depth; k++)
        if (whole_axis(import, x->dimension[batch + k]) != 0)
            return ERR_LIMIT;
    return (int)depth;
}

int lower_gather_nd(struct importer *import)
{
    struct value x = *import_input(import, 0), indices = *import_input(import, 1);
    int64_t      batch64 = import_int(import, "batch_dims", 0);
    int          batch   = batch64 >= 0 && batch64 < MODEL_MAX_DIMENSIONS ? (int)batch64 : -1;
    int          depth = index_depth(import, batch), rank = 0, value;
    int64_t      dimension[2 * MODEL_MAX_DIMENSIONS];
    struct node *node;

    if (depth < 0)
        return depth;
    for (int k = 0; k < indices.rank - 1; k++)
        dimension[rank++] = indices.dimension[k];
    for (int k = batch + depth; k < x.rank; k++)
        dimension[rank++] = x.dimension[k];
    value = import_emit(import, NODE_GATHER_ND, 2, import->input, rank, dimension, &node);
    if (value >= 0)
        node->axis = batch;
    return import_set(import, value);
}

/* ---- scatters ---- */

static int scatter_checks(struct importer *import)
{
    if (!import_text_is(import, "reduction", "none", "none"))
        return import_refuse(import, ERR_UNSUPPORTED, "only replacing is possible");
    if (import_input(import, 0)->type != import_input(import, 2)->type)
        return import_refuse(import, ERR_INVALID, "its inputs are of different types");
    return 0;
}

int lower_scatter_elements(struct importer *import)
{
    struct value x = *import_input(import, 0), indices = *import_input(import, 1);
    struct value updates = *import_input(import, 2);
    int          rc      = scatter_checks(import), axis, value;
    struct node *node;

    axis = rc != 0 ? rc : elements_axis(import);
    if (axis < 0)
        return axis;
    if (updates.rank != indices.rank ||
        memcmp(updates.dimension, indices.dimension, (size_t)indices.rank * sizeof(int64_t)) != 0)
        return import_refuse(import, ERR_INVALID, "its updates do not fit its indices");
    value = import_emit(import, NODE_SCATTER_ELEMENTS, 3, import->input, x.rank, x.dimension,
                        &node);
    if (value >= 0)
        node->axis = axis;
    return import_set(import, value);
}

int lower_scatter_nd(struct importer *import)
{
    struct value x = *import_input(import, 0), indices = *import_input(import, 1);
    struct value updates = *import_input(import, 2);
    int          rc = scatter_checks(import), depth, rank = 0;
    int64_t      dimension[2 * MODEL_MAX_DIMENSIONS];
    struct node *node;

    depth = rc != 0 ? rc : index_depth(import, 0);
    if (depth < 0)
        return depth;
    for (int k = 0; k < indices.rank - 1; k++)
        dimension[rank++] = indices.dimension[k];
    for (int k = depth; k < x.rank; k++)
        dimension[rank++] = x.dimension[k];
    if (rank != updates.rank ||
        memcmp(updates.dimension, dimension, (size_t)rank * sizeof *dimension) != 0)
        return import_refuse(import, ERR_INVALID, "its updates do not fit its indices");
    return import_set(
        import, import_emit(import, NODE_SCATTER_ND, 3, import->input, x.rank, x.dimension, &node));
}

/* ---- repeats ---- */

int lower_expand(struct importer *import)
{
    struct value   x = *import_input(import, 0), wanted = {.rank = 0};
    const int64_t *shape;
    int64_t        dimension[MODEL_MAX_DIMENSIONS], stride[MODEL_MAX_DIMENSIONS];
    int            count, rank, rc = import_input_ints(import, 1, &shape, &count);

    if (rc != 0)
        return rc;
    if (count > MODEL_MAX_DIMENSIONS)
        return import_refuse(import, ERR_LIMIT, "gives %d dimensions, at most %d are possible",
                             count, MODEL_MAX_DIMENSIONS);
    wanted.rank = count;
    for (int k = 0; k < count; k++) {
        if (shape[k] < 1)
            return import_refuse(import, ERR_INVALID, "its shape is impossible");
        wanted.dimension[k] = shape[k];
    }
    rank = broadcast_shape(&x, &wanted, dimension);
    if (rank < 0)
        return import_refuse(import, ERR_INVALID, "its input does not fit the shape");
    broadcast_strides(&x, rank, stride);
    return import_set(import,
                      import_emit_strided(import, import->input[0], rank, dimension, stride, 0));
}

int lower_tile(struct importer *import)
{
    struct value   x = *import_input(import, 0);
    const int64_t *repeats;
    int64_t        own[MODEL_MAX_DIMENSIONS], dimension[MODEL_MAX_DIMENSIONS];
    struct strided strided = {.rank = 0};
    struct node   *node;
    int            count, value, rc = import_input_ints(import, 1, &repeats, &count);

    if (rc != 0)
        return rc;
    if (count != x.rank)
        return import_refuse(import, ERR_INVALID, "its repeats do not fit %d dimensions", x.rank);
    graph_strides(x.rank, x.dimension, own);
    for (int k = 0; k < x.rank; k++) {
        if (repeats[k] < 1 || repeats[k] > LIMIT_MODEL_TENSOR_ELEMENTS)
            return import_refuse(import, ERR_INVALID, "its repeats are impossible");
        dimension[k] = x.dimension[k] * repeats[k];
        if (strided.rank + 2 > STRIDED_MAX_DIMENSIONS)
            return import_refuse(import, ERR_LIMIT, "repeats too many dimensions");
        if (repeats[k] > 1) {
            strided.dimension[strided.rank] = repeats[k];
            strided.stride[strided.rank++]  = 0;
        }
        if (x.dimension[k] > 1 || repeats[k] == 1) {
            strided.dimension[strided.rank] = x.dimension[k];
            strided.stride[strided.rank++]  = own[k];
        }
        graph_strided_simplify(&strided);
    }
    if (x.rank == 0)
        return lower_identity(import);
    value = import_emit(import, NODE_COPY, 1, import->input, x.rank, dimension, &node);
    if (value >= 0)
        node->strided = strided;
    return import_set(import, value);
}

/* A run-time range has a length that only the run knows. */
int lower_range(struct importer *import)
{
    struct value limits[3];
    double       number[3], length;
    float       *floats;
    int64_t     *ints;
    int64_t      count;

    for (int i = 0; i < 3; i++) {
        limits[i] = *import_input(import, i);
        if ((limits[i].floats == NULL && limits[i].ints == NULL) || limits[i].elements != 1 ||
            limits[i].type != limits[0].type)
            return import_refuse(import, ERR_UNSUPPORTED,
                                 "its limits must be constants: export the model with a fixed "
                                 "picture size");
        number[i] = limits[i].type == VALUE_F32 ? (double)limits[i].floats[0]
                                                : (double)limits[i].ints[0];
    }
    length = ceil((number[1] - number[0]) / number[2]);
    if (!(length <= (double)LIMIT_GRAPH_WHOLE))
        return import_refuse(import, ERR_LIMIT, "is too long");
    count  = length > 0 ? (int64_t)length : 0;
    floats = graph_memory_alloc(&import->graph->memory, (size_t)count, sizeof *floats);
    ints   = graph_memory_alloc(&import->graph->memory, (size_t)count, sizeof *ints);
    if (floats == NULL || ints == NULL)
        return import_refuse(import, ERR_MEMORY, "the model needs too much memory");
    for (int64_t i = 0; i < count; i++) {
        floats[i] = (float)(number[0] + (double)i * number[2]);
        if (limits[0].type == VALUE_I64)
            ints[i] = (int64_t)((uint64_t)limits[0].ints[0] +
                                (uint64_t)i * (uint64_t)limits[2].ints[0]);
    }
    return import_set(import, limits[0].type == VALUE_F32
                                  ? import_emit_floats(import, 1, &count, floats)
                                  : import_emit_ints(import, 1, &count, ints));
}

/* Indices of what is not 0, one row for each dimension: of constants only. */
int lower_non_zero(struct importer *import)
{
    struct value x     = *import_input(import, 0);
    int64_t      count = 0, at = 0, *ints, size[2] = {x.rank, 0};

    if (x.floats == NULL && x.ints == NULL)
        return import_refuse(import, ERR_UNSUPPORTED,
                             "gives as many numbers as the picture has it: export the model "
                             "without its post-processing, which is done here");
    for (int64_t i = 0; i < x.elements; i++)
        count += x.type == VALUE_F32 ? x.floats[i] != 0 : x.ints[i] != 0;
    ints = graph_memory_alloc(&import->graph->memory, (size_t)(count * x.rank), sizeof *ints);
    if (ints == NULL)
        return import_refuse(import, ERR_MEMORY, "the model needs too much memory");
    for (int64_t i = 0; i < x.elements; i++) {
        int64_t rest = i;
        if (x.type == VALUE_F32 ? x.floats[i] == 0 : x.ints[i] == 0)
            continue;
        for (int k = x.rank - 1; k >= 0; k--) {
            ints[k * count + at] = rest % x.dimension[k];
            rest /= x.dimension[k];
        }
        at++;
    }
    size[1] = count;
    return import_set(import, import_emit_ints(import, 2, size, ints));
}

int lower_size(struct importer *import)
{
    return import_set(import,
                      import_emit_ints(import, 0, NULL, &import_input(import, 0)->elements));
}

/* ---- blocks of pixels and channels ---- */

static int rearrange(struct importer *import, const int64_t *size, const int *order,
                     const int64_t *result)
{
    int value = import_emit_reshape(import, import->input[0], 6, size);

    if (value >= 0)
        value = import_emit_transpose(import, value, order);
    return value < 0 ? value : import_set(import, import_emit_reshape(import, value, 4, result));
}

int lower_depth_to_space(struct importer *import)
{
    struct value x           = *import_input(import, 0);
    int64_t      block       = import_int(import, "blocksize", 0);
    bool         crd         = import_text_is(import, "mode", "CRD", "DCR");
    const int    order[2][6] = {{0, 3, 4, 1, 5, 2}, {0, 1, 4, 2, 5, 3}};

    if (x.rank != 4 || block < 1 || block > LIMIT_WINDOW || x.dimension[1] % (block * block) != 0)
        return import_refuse(import, ERR_INVALID, "its block does not fit its input");
    if (!crd && !import_text_is(import, "mode", "DCR", "DCR"))
        return import_refuse(import, ERR_UNSUPPORTED, "its mode is not known");
    int64_t n = x.dimension[0], c = x.dimension[1] / (block * block);
    int64_t h = x.dimension[2], w = x.dimension[3];
    return rearrange(
        import, crd ? (int64_t[]){n, c, block, block, h, w} : (int64_t[]){n, block, block, c, h, w},
        order[crd ? 1 : 0], (int64_t[]){n, c, h * block, w * block});
}

int lower_space_to_depth(struct importer *import)
{
    struct value x     = *import_input(import, 0);
    int64_t      block = import_int(import, "blocksize", 0);

    if (x.rank != 4 || block < 1 || block > LIMIT_WINDOW || x.dimension[2] % block != 0 ||
        x.dimension[3] % block != 0)
        return import_refuse(import, ERR_INVALID, "its block does not fit its input");
    int64_t n = x.dimension[0], c = x.dimension[1];
    int64_t h = x.dimension[2] / block, w = x.dimension[3] / block;
    return rearrange(import, (int64_t[]){n, c, h, block, w, block}, (const int[]){0, 3, 5, 1, 2, 4},
                     (int64_t[]){n, c * block * block, h, w});
}

/* ---- grid ---- */

int lower_grid_sample(struct importer *import)
{
    struct value      x = *import_input(import, 0), grid = *import_input(import, 1);
    enum grid_padding padding = GRID_ZEROS;
    struct node      *node;
    int               value;

    if (x.rank != 4 || grid.rank != 4 || grid.dimension[3] != 2 ||
        grid.dimension[0] != x.dimension[0] || x.type != VALUE_F32 || grid.type != VALUE_F32)
        return import_refuse(import, ERR_UNSUPPORTED,
                             "only a picture N×C×H×W and a grid N×H×W×2 are possible");
    if (!import_text_is(import, "mode", "bilinear", "bilinear") &&
        !import_text_is(import, "mode", "linear", "bilinear") &&
        !import_text_is(import, "mode", "nearest", "bilinear"))
        return import_refuse(import, ERR_UNSUPPORTED, "only bilinear and nearest are possible");
    if (import_text_is(import, "padding_mode", "border", "zeros"))
        padding = GRID_BORDER;
    else if (import_text_is(import, "padding_mode", "reflection", "zeros"))
        padding = GRID_REFLECTION;
    else if (!import_text_is(import, "padding_mode", "zeros", "zeros"))
        return import_refuse(import, ERR_UNSUPPORTED, "its padding_mode is not known");
    value = import_emit(
        import, NODE_GRID_SAMPLE, 2, import->input, 4,
        (int64_t[]){x.dimension[0], x.dimension[1], grid.dimension[1], grid.dimension[2]}, &node);
    if (value < 0)
        return value;
    node->grid.nearest       = import_text_is(import, "mode", "nearest", "bilinear");
    node->grid.align_corners = import_int(import, "align_corners", 0) != 0;
    node->grid.padding       = padding;
    return import_set(import, value);
}
