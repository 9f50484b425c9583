/* gpu/cuda/cuda_cudnn.h: one convolution with what follows it, as an operation graph of cuDNN.
 *
 * convolution -> + bias -> [+ residual] -> activation -> [+ residual], half precision in and out,
 * float32 between; cuDNN's heuristics name the engines that can run the whole of it as one kernel.
 * Only the graph API (cudnnBackend*) is used. Nothing here needs a device until a plan is made: with
 * a device described in JSON the heuristics answer on a machine without one. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_CUDNN_H
#define SIGHTLINE_GPU_CUDA_CUDA_CUDNN_H

#include "config/why.h"
#include "gpu/cuda/cuda_plan.h"
#include "gpu/graph.h"

#include <cudnn.h>

/* Channels are counted with the lanes that fill them up to eights; pitches as in cuda_kernels.h. */
struct cudnn_conv_shape {
    int               batch;
    int               in_channels, in_height, in_width, in_pitch;
    int               out_channels, out_height, out_width, out_pitch;
    int               residual_pitch;
    struct window     window; /* groups 1 */
    struct activation activation;
    /* RESIDUAL_AFTER_ACTIVATION and such. */
    enum residual_kind residual;
};

/* Of a step of kind CUDA_STEP_CONV, as the plan left it. Equal shapes are equal bytes. */
struct cudnn_conv_shape cudnn_conv_shape_of(const struct cuda_step *step, int batch);

/* True for the activations that a graph of cuDNN can end with. */
bool cudnn_conv_takes(const struct activation *activation);

#define CUDNN_DESCRIPTORS_MAX 32

/* Every descriptor of one graph. All zero: empty. */
struct cudnn_graph {
    cudnnBackendDescriptor_t made[CUDNN_DESCRIPTORS_MAX];
    int                      made_count;
    cudnnBackendDescriptor_t operations[8];
    int                      operation_count;
    cudnnBackendDescriptor_t graph; /* the operation graph itself */
    int                      next_virtual;
    const char              *step; /* what was being made, for messages */
    cudnnStatus_t            status;
};

/* ERR_UNSUPPORTED with cuDNN's words when it cannot be said in a graph. */
int  cudnn_graph_conv(struct cudnn_graph *graph, const struct cudnn_conv_shape *shape,
                      struct why *why);
void cudnn_graph_close(struct cudnn_graph *graph); /* fits a half-made one */

/* A device for the heuristics: that of a handle, or one described in JSON. Closed with
 * cudnnBackendDestroyDescriptor(). */
int cudnn_device_of_handle(cudnnBackendDescriptor_t *out, cudnnHandle_t handle, struct why *why);
int cudnn_device_of_json(cudnnBackendDescriptor_t *out, const char *json, struct why *why);

#define CUDNN_CONFIGS_MAX 16

/* Engine configurations for the graph on a device, best guess first; each is closed with
 * cudnnBackendDestroyDescriptor(). How many, 0 when no engine takes the graph, or a negative code.
 * Without libcuda cuDNN also says 0: that is no answer. */
int cudnn_graph_configs(const struct cudnn_graph *graph, cudnnBackendDescriptor_t device,
                        cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t *configs, int room,
                        struct why *why);

/* A plan that can run. ERR_UNSUPPORTED when this configuration cannot be built here after all: the
 * next one may. */
int cudnn_plan_open(cudnnBackendDescriptor_t *out, cudnnBackendDescriptor_t config,
                    cudnnBackendDescriptor_t device, int64_t *workspace_bytes, struct why *why);

/* Where the tensors of a convolution lie in device memory. */
struct cudnn_conv_data {
    const void *x, *weights, *bias, *residual; /* weights: K×kh×kw×C half; bias: K float32 */
    void       *y;
    void       *workspace;
};

/* A variant pack: what cudnnBackendExecute() wants to know beside the plan. */
int cudnn_pack_open(cudnnBackendDescriptor_t *out, const struct cudnn_conv_data *data,
                    struct why *why);

#endif
