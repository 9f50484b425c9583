#include "gpu/cuda/cuda_plugin.h"

#include "gpu/cuda/cuda_runner.h"

#include <cuda_runtime_api.h>
#include <cudnn.h>

#define CUDNN_VERSION_LEAST 90800 /* describes devices to its heuristics from here on */

static bool probe(const struct cuda_host *host, struct why *why)
{
    int         count  = 0;
    cudaError_t status = cudaGetDeviceCount(&count);

    if (status != cudaSuccess || count == 0) {
        why_set(why, 0, "no CUDA device can be used: %s",
                status != cudaSuccess ? cudaGetErrorString(status) : "there is none");
        return false;
    }
    if (cudnnGetVersion() < CUDNN_VERSION_LEAST) {
        why_set(why, 0, "cuDNN %zu is too old: 9.8 is needed", cudnnGetVersion());
        return false;
    }
    cuda_runner_set_host(host);
    return true;
}

__attribute__((visibility("default"))) const struct cuda_plugin *sightline_cuda_plugin(void);

const struct cuda_plugin *sightline_cuda_plugin(void)
{
    static const struct cuda_plugin plugin = {.abi             = CUDA_PLUGIN_ABI,
                                              .head_bytes      = sizeof(struct head),
                                              .class_map_bytes = sizeof(struct class_map),
                                              .frame_bytes     = sizeof(struct frame),
                                              .graph_bytes     = sizeof(struct graph),
                                              .node_bytes      = sizeof(struct node),
                                              .value_bytes     = sizeof(struct value),
                                              .ops_bytes       = sizeof(struct backend_ops),
                                              .probe           = probe,
                                              .ops             = &BACKEND_CUDA_DEVICE};

    return &plugin;
}
