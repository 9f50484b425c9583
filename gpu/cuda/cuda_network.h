/* gpu/cuda/cuda_network.h: the steps of a runner's network on its device: one by one, and as one CUDA
 * graph for each batch. One thread, the runner's. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_NETWORK_H
#define SIGHTLINE_GPU_CUDA_CUDA_NETWORK_H

#include "gpu/cuda/cuda_device.h"
#include "gpu/cuda/cuda_frames.h"
#include "gpu/cuda/cuda_plugin.h"

struct cuda_runner {
    struct runner       base;
    int                 device;
    bool                entered, lost, eager;
    int                 wanted;     /* pictures of one run, for the pool */
    int                 batch_bits; /* batches 1 .. 1 << (batch_bits - 1), `wanted` at most */
    struct cuda_shared *shared;
    cudnnHandle_t       handle;
    cudaStream_t        compute, copy;
    cudaEvent_t         copied;
    uint8_t            *arena;
    float              *input; /* device memory, as the next */
    void               *workspace;
    float              *staging; /* pinned, as the next */
    float              *outputs[MODEL_MAX_OUTPUTS];
    /* By batch and step: what cuDNN executes; only convolutions have one. */
    cudnnBackendDescriptor_t *packs[CUDA_BATCHES];
    cudaGraphExec_t           graphs[CUDA_BATCHES];
    /* From pictures to boxes; NULL: from tensors to outputs only. */
    struct cuda_frames *frames;
    cudaGraphExec_t     box_graphs[CUDA_BATCHES];
};

/* Once, before any runner is there. */
void cuda_network_set_host(const struct cuda_host *host);
/* Into the program's log. */
__attribute__((format(printf, 1, 2))) void cuda_network_say(const char *format, ...);
const struct graph                        *cuda_network_graph(const struct model *model);

/* Pictures of the batch 1 << bit; the least bit that holds so many; pictures of the largest. */
int                cuda_network_batch(const struct cuda_runner *runner, int bit);
int                cuda_network_bit(const struct cuda_runner *runner, int batch);
int                cuda_network_most(const struct cuda_runner *runner);
struct cuda_memory cuda_network_memory(const struct cuda_runner *runner, int bit);

/* Chooses engines and records graphs for all batches; the runner's memory is there. */
int cuda_network_open(struct cuda_runner *runner, struct why *why);
/* The same once more from prepared pictures to boxes; runner->frames is there. */
int cuda_network_open_boxes(struct cuda_runner *runner, struct why *why);
/* Fits a half-opened one; both streams are idle. */
void cuda_network_close(struct cuda_runner *runner);

/* Starts the network on the compute stream; with `boxes` from prepared pictures to boxes. */
int cuda_network_start(struct cuda_runner *runner, int bit, bool boxes, struct why *why);

#endif
