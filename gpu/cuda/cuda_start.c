/* Which launch a step is. Linked into the plug-in, and into tests that emulate the launches. */
#include "gpu/cuda/cuda_plan.h"

#include "config/assert.h"

int cuda_start_step(enum cuda_step_kind kind, const union cuda_args *args, int batch, void *stream)
{
    switch (kind) {
    case CUDA_STEP_INPUT:
        return cuda_launch_input(&args->input, batch, stream);
    case CUDA_STEP_DEPTHWISE:
        return cuda_launch_depthwise(&args->conv, batch, stream);
    case CUDA_STEP_GROUPED:
        return cuda_launch_grouped(&args->conv, batch, stream);
    case CUDA_STEP_POOL:
        return cuda_launch_pool(&args->pool, batch, stream);
    case CUDA_STEP_RESIZE:
        return cuda_launch_resize(&args->resize, batch, stream);
    case CUDA_STEP_LANES:
        return cuda_launch_lanes(&args->lanes, batch, stream);
    case CUDA_STEP_CHANNELS:
        return cuda_launch_channels(&args->channels, batch, stream);
    case CUDA_STEP_MEAN:
        return cuda_launch_mean(&args->mean, batch, stream);
    case CUDA_STEP_COPY:
        return cuda_launch_copy(&args->copy, batch, stream);
    case CUDA_STEP_BINARY:
        return cuda_launch_binary(&args->binary, batch, stream);
    case CUDA_STEP_SOFTMAX:
        return cuda_launch_softmax(&args->softmax, batch, stream);
    case CUDA_STEP_LAYER_NORM:
        return cuda_launch_layer_norm(&args->layer_norm, batch, stream);
    case CUDA_STEP_REDUCE:
        return cuda_launch_reduce(&args->reduce, batch, stream);
    case CUDA_STEP_PAD:
        return cuda_launch_pad(&args->pad, batch, stream);
    case CUDA_STEP_PIECE:
        return cuda_launch_piece(&args->piece, batch, stream);
    case CUDA_STEP_MATMUL:
        return cuda_launch_matmul(&args->matmul, batch, stream);
    case CUDA_STEP_TAKE:
        return cuda_launch_take(&args->take, batch, stream);
    case CUDA_STEP_TAKE_ELEMENTS:
        return cuda_launch_take_elements(&args->take_elements, batch, stream);
    case CUDA_STEP_TAKE_SLICES:
        return cuda_launch_take_slices(&args->take_slices, batch, stream);
    case CUDA_STEP_TOP_K:
        return cuda_launch_top_k(&args->top_k, batch, stream);
    case CUDA_STEP_GRID_SAMPLE:
        return cuda_launch_grid_sample(&args->grid_sample, batch, stream);
    case CUDA_STEP_WHERE:
        return cuda_launch_where(&args->where, batch, stream);
    case CUDA_STEP_CONV:
    case CUDA_STEP_KINDS:
        break;
    }
    ASSERT(false); /* the caller runs convolutions by cuDNN */
    return 0;
}
