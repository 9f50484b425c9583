/* gpu/cuda/cuda_device.h: what the runners of one model on one device share: the plan, the weights in
 * device memory, and cuDNN's choice of an engine for every convolution and batch.
 *
 * Any thread; one mutex guards the list of them, and is held while one is opened, since engines are
 * chosen by timing them. A device that failed is remembered, and tried before it is opened again: where
 * the failure was of one call it goes on, else it is reset, when its last runner has been closed. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_DEVICE_H
#define SIGHTLINE_GPU_CUDA_CUDA_DEVICE_H

#include "gpu/backend.h"
#include "gpu/cuda/cuda_cudnn.h"
#include "gpu/cuda/cuda_plan.h"

#include <cuda_runtime_api.h>

#define CUDA_DEVICES_MAX     64
#define CUDA_BATCHES         7                   /* 1, 2, 4 .. 64 */
#define CUDA_WORKSPACE_BYTES ((int64_t)64 << 20) /* of one runner; engines that want more are out */

/* ERR_DEVICE_LOST with CUDA's words; the device counts as failed from then on. */
int cuda_failed(int device, cudaError_t status, const char *what, struct why *why);

/* How one convolution runs at one batch: `plan` NULL: by our own kernel. */
struct cuda_engine {
    struct cudnn_conv_shape  shape;
    cudnnBackendDescriptor_t plan;
    float                    ms; /* when it was timed, else 0 */
};

struct cuda_shared {
    struct cuda_shared *next;
    const struct model *model;
    int                 device;
    int                 references;
    struct cuda_plan   *plan;
    uint8_t            *constants; /* in device memory */
    /* By batch: NULL until the first runner has chosen them; one for each step, those of equal shape
     * with equal plans, which only the first of them owns. */
    struct cuda_engine *engines[CUDA_BATCHES];
    /* By batch: what cuDNN knows of the device, from the handle of the runner that chose. The plans
     * outlive that runner, and nobody says whether they look at it again. */
    cudnnBackendDescriptor_t properties[CUDA_BATCHES];
};

/* The one for this model and device, which is the thread's, with one reference more. */
int  cuda_shared_get(struct cuda_shared **out, const struct model *model, const struct graph *graph,
                     int device, struct why *why);
void cuda_shared_put(struct cuda_shared **shared);

/* Engines for the batch 1 << batch_bit, chosen in a runner's memory on its stream; nothing when they
 * have been chosen before. */
struct cuda_trial {
    cudnnHandle_t             handle;
    cudaStream_t              stream;
    const struct cuda_memory *memory;
    void                     *workspace;
    bool                      timed; /* several candidates are timed, else the first that works */
    cudnnBackendDescriptor_t  properties; /* set by the choice */
};
int cuda_shared_engines(struct cuda_shared *shared, int batch_bit, const struct cuda_trial *trial,
                        struct why *why);

/* Runners, and guests (cuda_guest.h), count themselves, so that a failed device can be reset without one. `wanted` may be
 * DEVICE_ANY: the one with the fewest, working ones first. ERR_DEVICE_LOST while others are still open
 * on a device that is past trying. The device is then the thread's. */
int  cuda_device_enter(int wanted, int *device, struct why *why);
void cuda_device_leave(int device);

#endif
