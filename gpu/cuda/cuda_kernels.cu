// The kernels on the device: the bodies of cuda_body*.h under grids, and their launches.
//
// A launch says only whether it could start; what happens later comes out of the next call that
// waits, which the runner checks.
#include "gpu/cuda/cuda_body_pictures.h"
#include "gpu/cuda/cuda_body_plain.h"
#include "gpu/cuda/cuda_grid.h"

/* The counts of threads are also the host's to know. */
static uint32_t picture_grid(const struct cuda_picture *picture)
{
    return picture->height * picture->width *
           ((picture->channels + CUDA_LANES - 1) / CUDA_LANES);
}

static uint32_t view_grid(const struct cuda_view *view)
{
    uint32_t lanes = (view->channels + CUDA_LANES - 1) / CUDA_LANES * CUDA_LANES;

    return view->is_picture ? view->pixels * lanes : view->elements;
}

#define ARGS struct cuda_input
KERNEL(input, picture_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_pool
KERNEL(pool, picture_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_resize
KERNEL(resize, picture_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_lanes
KERNEL(lanes, picture_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_channels
KERNEL(channels, picture_grid(&args->y))
KERNEL(channels_aligned, picture_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_conv
KERNEL(depthwise, picture_grid(&args->y))
KERNEL(grouped, picture_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_copy
KERNEL(copy, view_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_binary
KERNEL(binary, view_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_softmax
KERNEL(softmax, args->x.elements / args->count)
#undef ARGS
#define ARGS struct cuda_layer_norm
KERNEL(layer_norm, args->x.elements / args->count)
#undef ARGS
#define ARGS struct cuda_reduce
KERNEL(reduce, view_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_pad
KERNEL(pad, view_grid(&args->y))
#undef ARGS
#define ARGS struct cuda_piece
KERNEL(piece, args->x.elements)
#undef ARGS
#define ARGS struct cuda_matmul
KERNEL(matmul, args->outer[0] * args->outer[1] * args->outer[2] *
                   ((args->m + MATMUL_TILE - 1) / MATMUL_TILE) * args->n)
#undef ARGS

/* A warp for each group of lanes; its threads' parts are added in a tree. */
static __global__ void __launch_bounds__(MEAN_THREADS)
    run_mean(const __grid_constant__ struct cuda_mean args)
{
    struct lanes sum = mean_part(&args, blockIdx.y, blockIdx.x, threadIdx.x);

    for (int step = MEAN_THREADS / 2; step > 0; step /= 2)
        for (int i = 0; i < CUDA_LANES; i++)
            sum.at[i] += __shfl_down_sync(0xffffffffU, sum.at[i], (unsigned)step);
    if (threadIdx.x == 0)
        mean_finish(&args, blockIdx.y, blockIdx.x, &sum);
}

int cuda_launch_mean(const struct cuda_mean *args, int batch, void *stream)
{
    dim3 grid((args->x.channels + CUDA_LANES - 1) / CUDA_LANES, (unsigned)batch);

    if (batch == 0)
        return 0;
    run_mean<<<grid, MEAN_THREADS, 0, static_cast<cudaStream_t>(stream)>>>(*args);
    return static_cast<int>(cudaGetLastError());
}

#define LAUNCH(NAME)                                                                        \
    int cuda_launch_##NAME(const struct cuda_##NAME *args, int batch, void *stream)         \
    {                                                                                       \
        return start_##NAME(args, batch, stream);                                           \
    }

LAUNCH(input)
LAUNCH(pool)
LAUNCH(resize)
LAUNCH(lanes)
LAUNCH(copy)
LAUNCH(binary)
LAUNCH(softmax)
LAUNCH(layer_norm)
LAUNCH(reduce)
LAUNCH(pad)
LAUNCH(piece)
LAUNCH(matmul)

int cuda_launch_channels(const struct cuda_channels *args, int batch, void *stream)
{
    return args->aligned_from >= 0 ? start_channels_aligned(args, batch, stream)
                                   : start_channels(args, batch, stream);
}

int cuda_launch_depthwise(const struct cuda_conv *args, int batch, void *stream)
{
    return start_depthwise(args, batch, stream);
}

int cuda_launch_grouped(const struct cuda_conv *args, int batch, void *stream)
{
    return start_grouped(args, batch, stream);
}
