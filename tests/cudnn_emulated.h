/* tests/cudnn_emulated.h: cuDNN's engines on the processor, on the streams of
 * tests/cuda_runtime_emulated.h, with its failures. Included by one test. */
#ifndef SIGHTLINE_TESTS_CUDNN_EMULATED_H
#define SIGHTLINE_TESTS_CUDNN_EMULATED_H

#include "tests/cuda_runtime_emulated.h"

size_t cudnnGetVersion(void)
{
    return 90800;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    (void)status;
    return "an emulated failure";
}

/* A handle is the stream that it was given. */
cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    if (fails_apart())
        return CUDNN_STATUS_NOT_INITIALIZED;
    *handle = (cudnnHandle_t)make(sizeof(void *));
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    unmake(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    memcpy(handle, &stream, sizeof stream);
    return fails_apart() ? CUDNN_STATUS_BAD_PARAM : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor)
{
    unmake(descriptor);
    return CUDNN_STATUS_SUCCESS;
}

static void run_conv(const void *args, int batch)
{
    emulate_conv(args, batch);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack)
{
    const struct cudnn_conv_shape *shape = &((struct emulated_descriptor *)plan)->shape;
    const struct cudnn_conv_data  *data  = &((struct emulated_descriptor *)pack)->data;
    struct cuda_conv               conv  = {.weights = data->weights, .bias = data->bias};
    void                          *stream;

    memcpy(&stream, handle, sizeof stream);
    conv.x       = (struct cuda_picture){(half_bits *)(uintptr_t)data->x,
                                         (int64_t)shape->in_height * shape->in_width * shape->in_pitch,
                                         (uint32_t)shape->in_channels,
                                         (uint32_t)shape->in_height,
                                         (uint32_t)shape->in_width,
                                         (uint32_t)shape->in_pitch};
    conv.y       = (struct cuda_picture){data->y,
                                         (int64_t)shape->out_height * shape->out_width * shape->out_pitch,
                                         (uint32_t)shape->out_channels,
                                         (uint32_t)shape->out_height,
                                         (uint32_t)shape->out_width,
                                         (uint32_t)shape->out_pitch};
    conv.r       = conv.y;
    conv.r.at    = (half_bits *)(uintptr_t)data->residual;
    conv.r.image = (int64_t)shape->out_height * shape->out_width * shape->residual_pitch;
    conv.r.pitch = (uint32_t)shape->residual_pitch;
    for (int i = 0; i < 2; i++) {
        conv.window.kernel[i]    = (int32_t)shape->window.kernel[i];
        conv.window.stride[i]    = (int32_t)shape->window.stride[i];
        conv.window.dilation[i]  = (int32_t)shape->window.dilation[i];
        conv.window.pad_begin[i] = (int32_t)shape->window.pad_begin[i];
    }
    conv.activation = (struct cuda_activation){(int32_t)shape->activation.kind, shape->activation.a,
                                               shape->activation.b};
    conv.residual   = (int32_t)shape->residual;
    conv.group_in   = shape->in_channels;
    conv.weight_pitch = conv.window.kernel[0] * conv.window.kernel[1] * shape->in_channels;
    if (emulated_no_capturing && ((struct emulated_stream *)stream)->capturing)
        return CUDNN_STATUS_EXECUTION_FAILED;
    return emulated_call(run_conv, &conv, sizeof conv, shape->batch, stream) == 0
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_EXECUTION_FAILED;
}

/* What gpu/cuda/cuda_cudnn.c does with descriptors. The first configuration cannot be built. */
int cudnn_graph_conv(struct cudnn_graph *graph, const struct cudnn_conv_shape *shape,
                     struct why *why)
{
    struct emulated_descriptor *made;

    memset(graph, 0, sizeof *graph);
    if (fails_apart())
        return why_set(why, ERR_UNSUPPORTED, "an emulated failure");
    made         = make(sizeof *made);
    made->shape  = *shape;
    graph->graph = made;
    return 0;
}

void cudnn_graph_close(struct cudnn_graph *graph)
{
    unmake(graph->graph);
    graph->graph = NULL;
}

int cudnn_device_of_handle(cudnnBackendDescriptor_t *out, cudnnHandle_t handle, struct why *why)
{
    (void)handle;
    if (fails_apart())
        return why_set(why, ERR_DEVICE_LOST, "an emulated failure");
    *out = make(1);
    return 0;
}

int cudnn_graph_configs(const struct cudnn_graph *graph, cudnnBackendDescriptor_t device,
                        cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t *configs, int room,
                        struct why *why)
{
    (void)device;
    (void)mode;
    (void)room;
    if (fails_apart())
        return why_set(why, ERR_UNSUPPORTED, "an emulated failure");
    for (int i = 0; i < 3; i++) {
        struct emulated_descriptor *made = make(sizeof *made);

        *made      = *(struct emulated_descriptor *)graph->graph;
        configs[i] = made;
    }
    return 3;
}

int cudnn_plan_open(cudnnBackendDescriptor_t *out, cudnnBackendDescriptor_t config,
                    cudnnBackendDescriptor_t device, int64_t *workspace_bytes, struct why *why)
{
    struct emulated_descriptor *made;

    (void)device;
    if (fails_apart())
        return why_set(why, ERR_UNSUPPORTED, "an emulated failure");
    made             = make(sizeof *made);
    *made            = *(struct emulated_descriptor *)config;
    *workspace_bytes = 0;
    *out             = made;
    return 0;
}

int cudnn_pack_open(cudnnBackendDescriptor_t *out, const struct cudnn_conv_data *data,
                    struct why *why)
{
    struct emulated_descriptor *made;

    if (fails_apart())
        return why_set(why, ERR_DEVICE_LOST, "an emulated failure");
    made       = make(sizeof *made);
    made->data = *data;
    *out       = made;
    return 0;
}

#endif
