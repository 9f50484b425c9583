/* gpu/cuda/cuda_plugin.h: how the program and libsightline_cuda.so meet.
 *
 * The program links nothing of CUDA. It opens the plug-in with dlopen(), asks for one symbol and
 * compares a number and the sizes of what both sides read; a plug-in of another build is refused. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_PLUGIN_H
#define SIGHTLINE_GPU_CUDA_CUDA_PLUGIN_H

#include "gpu/backend.h"
#include "gpu/class_map.h"
#include "gpu/frame.h"
#include "gpu/graph.h"
#include "gpu/head.h"

#define CUDA_PLUGIN_ABI    4
#define CUDA_PLUGIN_SYMBOL "sightline_cuda_plugin"

/* What the plug-in asks of the program. */
struct cuda_host {
    const struct graph *(*model_graph)(const struct model *model);
    /* Into the log. Any thread. */
    void (*say)(const char *text);
};

struct cuda_plugin {
    int    abi; /* CUDA_PLUGIN_ABI */
    size_t graph_bytes, node_bytes, value_bytes, ops_bytes;
    size_t head_bytes, class_map_bytes, frame_bytes;
    /* Once, before anything else. False with the reason when no device can be used: no driver, too
     * old a driver, no device, a cuDNN that is too old. */
    bool (*probe)(const struct cuda_host *host, struct why *why);
    const struct backend_ops *ops;
};

typedef const struct cuda_plugin *cuda_plugin_fn(void);

#endif
