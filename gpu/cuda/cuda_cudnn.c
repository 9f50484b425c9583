#include "gpu/cuda/cuda_cudnn.h"

#include "config/assert.h"
#include "config/err.h"

#include <string.h>

/* How the tensors of a graph are called in a variant pack. */
enum { ID_X = 1, ID_WEIGHTS, ID_BIAS, ID_Y, ID_RESIDUAL, ID_VIRTUAL };

#define ALIGNMENT_BYTES 16 /* of every tensor: eight halves, the least step between parts */

/* ---- shapes ---- */

/* ---- descriptors ---- */

static cudnnBackendDescriptor_t make(struct cudnn_graph *graph, cudnnBackendDescriptorType_t type,
                                     const char *step)
{
    cudnnBackendDescriptor_t made = NULL;

    if (graph->status != CUDNN_STATUS_SUCCESS)
        return NULL;
    ASSERT(graph->made_count < CUDNN_DESCRIPTORS_MAX);
    graph->step   = step;
    graph->status = cudnnBackendCreateDescriptor(type, &made);
    if (graph->status == CUDNN_STATUS_SUCCESS)
        graph->made[graph->made_count++] = made;
    return made;
}

static void set(struct cudnn_graph *graph, cudnnBackendDescriptor_t descriptor,
                cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                const void *values)
{
    if (graph->status == CUDNN_STATUS_SUCCESS)
        graph->status = cudnnBackendSetAttribute(descriptor, name, type, count, values);
}

static void set_descriptor(struct cudnn_graph *graph, cudnnBackendDescriptor_t descriptor,
                           cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value)
{
    set(graph, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void finish(struct cudnn_graph *graph, cudnnBackendDescriptor_t descriptor)
{
    if (graph->status == CUDNN_STATUS_SUCCESS)
        graph->status = cudnnBackendFinalize(descriptor);
}

static int say(cudnnStatus_t status, const char *step, struct why *why)
{
    char text[300];

    if (status == CUDNN_STATUS_SUCCESS)
        return 0;
    text[0] = '\0';
    cudnnGetLastErrorString(text, sizeof text);
    return why_set(why, ERR_UNSUPPORTED, "cuDNN, %s: %s %s", step, cudnnGetErrorString(status),
                   text);
}

/* ---- tensors ---- */

struct shape4 {
    int64_t size[4]; /* N, C, H, W */
    int64_t pitch;   /* from pixel to pixel */
};

static cudnnBackendDescriptor_t tensor(struct cudnn_graph *graph, const struct shape4 *shape,
                                       int64_t id, cudnnDataType_t type, bool is_virtual)
{
    cudnnBackendDescriptor_t made = make(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor");
    int64_t                  stride[4], alignment = ALIGNMENT_BYTES;

    stride[1] = 1;
    stride[3] = shape->pitch;
    stride[2] = shape->size[3] * shape->pitch;
    stride[0] = shape->size[2] * stride[2];
    set(graph, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(graph, made, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(graph, made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, shape->size);
    set(graph, made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride);
    set(graph, made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    if (is_virtual)
        set(graph, made, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    finish(graph, made);
    return made;
}

/* What one operation hands to the next without going through memory; the last one's is y. */
static cudnnBackendDescriptor_t between(struct cudnn_graph *graph, const struct shape4 *y,
                                        bool last)
{
    struct shape4 dense = *y;

    if (last)
        return tensor(graph, y, ID_Y, CUDNN_DATA_HALF, false);
    dense.pitch = dense.size[1];
    return tensor(graph, &dense, ID_VIRTUAL + graph->next_virtual++, CUDNN_DATA_FLOAT, true);
}

/* ---- operations ---- */

static void add_operation(struct cudnn_graph *graph, cudnnBackendDescriptor_t operation)
{
    finish(graph, operation);
    if (graph->status == CUDNN_STATUS_SUCCESS)
        graph->operations[graph->operation_count++] = operation;
}

static void convolution(struct cudnn_graph *graph, const struct window *window,
                        cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t w,
                        cudnnBackendDescriptor_t y)
{
    cudnnBackendDescriptor_t how, operation;
    cudnnDataType_t          type        = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t   mode        = CUDNN_CROSS_CORRELATION;
    int64_t                  spatial     = 2;
    int64_t                  begin[2]    = {window->pad_begin[0], window->pad_begin[1]};
    int64_t                  end[2]      = {window->pad_end[0], window->pad_end[1]};
    int64_t                  stride[2]   = {window->stride[0], window->stride[1]};
    int64_t                  dilation[2] = {window->dilation[0], window->dilation[1]};
    float                    one = 1.0F, zero = 0.0F;

    how = make(graph, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "a convolution");
    set(graph, how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(graph, how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(graph, how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial);
    set(graph, how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, begin);
    set(graph, how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, end);
    set(graph, how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    set(graph, how, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
    finish(graph, how);
    operation = make(graph, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                     "the operation of a convolution");
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    set(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1,
        &one);
    set(graph, operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1,
        &zero);
    add_operation(graph, operation);
}

static cudnnBackendDescriptor_t pointwise_mode(struct cudnn_graph *graph, cudnnPointwiseMode_t mode,
                                               const struct activation *activation)
{
    cudnnBackendDescriptor_t how  = make(graph, CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
                                         "a step behind a convolution");
    cudnnDataType_t          type = CUDNN_DATA_FLOAT;
    double                   low, high, slope, beta = 1.0;

    set(graph, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(graph, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    if (mode == CUDNN_POINTWISE_SWISH_FWD)
        set(graph, how, CUDNN_ATTR_POINTWISE_SWISH_BETA, CUDNN_TYPE_DOUBLE, 1, &beta);
    if (mode == CUDNN_POINTWISE_RELU_FWD && activation->kind == ACTIVATION_CLIP) {
        low  = activation->a;
        high = activation->b;
        set(graph, how, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_DOUBLE, 1, &low);
        set(graph, how, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1, &high);
    } else if (mode == CUDNN_POINTWISE_RELU_FWD && activation->a != 0.0F) {
        slope = activation->a;
        set(graph, how, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE, 1, &slope);
    }
    finish(graph, how);
    return how;
}

/* `b`: NULL for a step with one operand. */
static void pointwise(struct cudnn_graph *graph, cudnnBackendDescriptor_t how,
                      cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b,
                      cudnnBackendDescriptor_t y)
{
    cudnnBackendDescriptor_t operation = make(graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
                                              "a step behind a convolution");

    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != NULL)
        set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    add_operation(graph, operation);
}

bool cudnn_conv_takes(const struct activation *activation)
{
    switch (activation->kind) {
    case ACTIVATION_NONE:
    case ACTIVATION_RELU:
    case ACTIVATION_SIGMOID:
    case ACTIVATION_SILU:
        return true;
    case ACTIVATION_CLIP:
        return activation->a < activation->b;
    default:
        return false;
    }
}

static cudnnPointwiseMode_t mode_of(const struct activation *activation)
{
    switch (activation->kind) {
    case ACTIVATION_SIGMOID:
        return CUDNN_POINTWISE_SIGMOID_FWD;
    case ACTIVATION_SILU:
        return CUDNN_POINTWISE_SWISH_FWD;
    default:
        return CUDNN_POINTWISE_RELU_FWD;
    }
}

/* ---- the whole ---- */

static void add_steps(struct cudnn_graph *graph, const struct cudnn_conv_shape *shape,
                      const struct shape4 *y, cudnnBackendDescriptor_t at)
{
    const struct activation *activation = &shape->activation;
    bool                     active     = activation->kind != ACTIVATION_NONE;
    bool                     before     = shape->residual == RESIDUAL_BEFORE_ACTIVATION;
    bool                     after      = shape->residual == RESIDUAL_AFTER_ACTIVATION;
    struct shape4            flat       = {{1, shape->out_channels, 1, 1}, shape->out_channels};
    struct shape4            beside     = *y;
    cudnnBackendDescriptor_t add, next, residual = NULL;

    add  = pointwise_mode(graph, CUDNN_POINTWISE_ADD, activation);
    next = between(graph, y, !before && !active && !after);
    pointwise(graph, add, at, tensor(graph, &flat, ID_BIAS, CUDNN_DATA_FLOAT, false), next);
    at = next;
    if (before || after) {
        beside.pitch = shape->residual_pitch;
        residual     = tensor(graph, &beside, ID_RESIDUAL, CUDNN_DATA_HALF, false);
    }
    if (before) {
        next = between(graph, y, !active);
        pointwise(graph, add, at, residual, next);
        at = next;
    }
    if (active) {
        next = between(graph, y, !after);
        pointwise(graph, pointwise_mode(graph, mode_of(activation), activation), at, NULL, next);
        at = next;
    }
    if (after)
        pointwise(graph, add, at, residual, between(graph, y, true));
}

int cudnn_graph_conv(struct cudnn_graph *graph, const struct cudnn_conv_shape *shape,
                     struct why *why)
{
    struct shape4 x = {{shape->batch, shape->in_channels, shape->in_height, shape->in_width},
                       shape->in_pitch};
    struct shape4 y = {{shape->batch, shape->out_channels, shape->out_height, shape->out_width},
                       shape->out_pitch};
    struct shape4 w = {
        {shape->out_channels, shape->in_channels, shape->window.kernel[0], shape->window.kernel[1]},
        shape->in_channels};
    cudnnBackendDescriptor_t at, x_tensor, w_tensor;

    memset(graph, 0, sizeof *graph);
    x_tensor = tensor(graph, &x, ID_X, CUDNN_DATA_HALF, false);
    w_tensor = tensor(graph, &w, ID_WEIGHTS, CUDNN_DATA_HALF, false);
    at       = between(graph, &y, false);
    convolution(graph, &shape->window, x_tensor, w_tensor, at);
    add_steps(graph, shape, &y, at);
    graph->graph = make(graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "the graph");
    set(graph, graph->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
        graph->operation_count, graph->operations);
    finish(graph, graph->graph);
    return say(graph->status, graph->step, why);
}

void cudnn_graph_close(struct cudnn_graph *graph)
{
    for (int i = graph->made_count - 1; i >= 0; i--)
        cudnnBackendDestroyDescriptor(graph->made[i]);
    memset(graph, 0, sizeof *graph);
}

/* ---- devices and engines ---- */

static int open_device(cudnnBackendDescriptor_t *out, cudnnBackendAttributeName_t name,
                       cudnnBackendAttributeType_t type, int64_t count, const void *value,
                       struct why *why)
{
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, out);

    if (status != CUDNN_STATUS_SUCCESS) {
        *out = NULL;
        return say(status, "a device", why);
    }
    status = cudnnBackendSetAttribute(*out, name, type, count, value);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(*out);
    if (status != CUDNN_STATUS_SUCCESS) {
        cudnnBackendDestroyDescriptor(*out);
        *out = NULL;
    }
    return say(status, "a device", why);
}

int cudnn_device_of_handle(cudnnBackendDescriptor_t *out, cudnnHandle_t handle, struct why *why)
{
    return open_device(out, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle, why);
}

int cudnn_device_of_json(cudnnBackendDescriptor_t *out, const char *json, struct why *why)
{
    return open_device(out, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                       (int64_t)strlen(json) + 1, json, why);
}

/* Descriptors for the answers must be there before the question. */
static int read_configs(cudnnBackendDescriptor_t heuristics, cudnnBackendDescriptor_t *configs,
                        int room, struct why *why)
{
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    int64_t       found  = 0;
    int           made   = 0;

    while (made < room && status == CUDNN_STATUS_SUCCESS) {
        status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[made]);
        made += status == CUDNN_STATUS_SUCCESS;
    }
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, room, &found, configs);
    if (status != CUDNN_STATUS_SUCCESS)
        found = 0;
    if (found > room)
        found = room;
    for (int i = (int)found; i < made; i++)
        cudnnBackendDestroyDescriptor(configs[i]);
    return status == CUDNN_STATUS_SUCCESS ? (int)found : say(status, "the heuristics", why);
}

int cudnn_graph_configs(const struct cudnn_graph *graph, cudnnBackendDescriptor_t device,
                        cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t *configs, int room,
                        struct why *why)
{
    cudnnBackendDescriptor_t heuristics = NULL, of = graph->graph;
    cudnnStatus_t            status;
    int                      count;

    status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics);
    if (status != CUDNN_STATUS_SUCCESS)
        return say(status, "the heuristics", why);
    status = cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &of);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE,
                                          CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &device);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(heuristics);
    count = status == CUDNN_STATUS_SUCCESS ? read_configs(heuristics, configs, room, why)
                                           : say(status, "the heuristics", why);
    cudnnBackendDestroyDescriptor(heuristics);
    return count;
}

int cudnn_plan_open(cudnnBackendDescriptor_t *out, cudnnBackendDescriptor_t config,
                    cudnnBackendDescriptor_t device, int64_t *workspace_bytes, struct why *why)
{
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
                                                        out);
    int64_t       count  = 0;

    *workspace_bytes = 0;
    if (status != CUDNN_STATUS_SUCCESS) {
        *out = NULL;
        return say(status, "a plan", why);
    }
    status = cudnnBackendSetAttribute(*out, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(*out, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &device);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(*out);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(*out, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                          CUDNN_TYPE_INT64, 1, &count, workspace_bytes);
    if (status != CUDNN_STATUS_SUCCESS) {
        cudnnBackendDestroyDescriptor(*out);
        *out = NULL;
    }
    return say(status, "a plan", why);
}

int cudnn_pack_open(cudnnBackendDescriptor_t *out, const struct cudnn_conv_data *data,
                    struct why *why)
{
    int64_t       id[5]      = {ID_X, ID_WEIGHTS, ID_BIAS, ID_Y, ID_RESIDUAL};
    const void   *pointer[5] = {data->x, data->weights, data->bias, data->y, data->residual};
    int64_t       count      = data->residual != NULL ? 5 : 4;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, out);

    if (status != CUDNN_STATUS_SUCCESS) {
        *out = NULL;
        return say(status, "a variant pack", why);
    }
    status = cudnnBackendSetAttribute(*out, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64,
                                      count, id);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(*out, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                          CUDNN_TYPE_VOID_PTR, count, pointer);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(*out, CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                                          CUDNN_TYPE_VOID_PTR, 1, &data->workspace);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(*out);
    if (status != CUDNN_STATUS_SUCCESS) {
        cudnnBackendDestroyDescriptor(*out);
        *out = NULL;
    }
    return say(status, "a variant pack", why);
}
