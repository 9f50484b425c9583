// The kernels at the ends of a network: pictures to its input, its outputs to boxes.
#include "gpu/cuda/cuda_body_ends.h"
#include "gpu/cuda/cuda_grid.h"

#define ARGS struct cuda_prepare
KERNEL(prepare, args->tensor_width *args->tensor_height)
#undef ARGS
#define ARGS struct cuda_find
KERNEL(clear, 1)
KERNEL(decode, args->room)
KERNEL(rank, args->room)
KERNEL(overlap, CUDA_FIND_BEST *CUDA_OVERLAP_WORDS)
KERNEL(keep, 1)
#undef ARGS

int cuda_launch_prepare(const struct cuda_prepare *args, int batch, void *stream)
{
    return start_prepare(args, batch, stream);
}

int cuda_launch_find(const struct cuda_find *args, int batch, void *stream)
{
    int status = start_clear(args, batch, stream);

    if (status == 0)
        status = start_decode(args, batch, stream);
    if (status == 0)
        status = start_rank(args, batch, stream);
    if (status == 0)
        status = start_overlap(args, batch, stream);
    if (status == 0)
        status = start_keep(args, batch, stream);
    return status;
}
