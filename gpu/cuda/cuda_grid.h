/* gpu/cuda/cuda_grid.h: a body of a kernel under a grid; for the .cu files. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_GRID_H
#define SIGHTLINE_GPU_CUDA_CUDA_GRID_H

#include <cuda_runtime.h>

#define BLOCK 256

/* A kernel `run_NAME` of one thread for each number, pixel or row, a picture of the batch for each
 * step of the grid's second dimension, and its launch. */
#define KERNEL(NAME, THREADS)                                                              \
    static __global__ void __launch_bounds__(BLOCK)                                        \
        run_##NAME(const __grid_constant__ ARGS args, uint32_t threads)                    \
    {                                                                                      \
        uint32_t thread = blockIdx.x * BLOCK + threadIdx.x;                                \
        if (thread < threads)                                                              \
            body_##NAME(&args, blockIdx.y, thread);                                        \
    }                                                                                      \
    static int start_##NAME(const ARGS *args, int batch, void *stream)                     \
    {                                                                                      \
        uint32_t threads = (THREADS);                                                      \
        dim3     grid((threads + BLOCK - 1) / BLOCK, (unsigned)batch);                     \
        if (threads == 0 || batch == 0)                                                    \
            return 0;                                                                      \
        run_##NAME<<<grid, BLOCK, 0, static_cast<cudaStream_t>(stream)>>>(*args, threads); \
        return static_cast<int>(cudaGetLastError());                                       \
    }

#endif
