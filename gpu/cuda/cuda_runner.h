/* gpu/cuda/cuda_runner.h: the CUDA backend itself, inside its plug-in.
 *
 * A runner has an arena, an input, pinned staging memory and two streams on one device; weights and
 * cuDNN's engines are shared (cuda_device.h). For each batch of 1, 2, 4 .. best_batch there is one
 * CUDA graph of the whole network; a batch between takes the next larger one. Every failure of the
 * device, memory among them, is ERR_DEVICE_LOST.
 *
 * Where the head is one that is decoded on the device (cuda_pack.c) pictures go in and boxes come
 * out (cuda_frames.h), as one more CUDA graph for each batch.
 *
 * Environment: SIGHTLINE_CUDA_BATCH, pictures of one run, 1 to 64, 16 by default, in turns where the
 * memory holds fewer;
 * SIGHTLINE_CUDA_EAGER set: without CUDA graphs; SIGHTLINE_CUDA_MEMORY_MIB: a bound on one runner's
 * device memory; SIGHTLINE_CUDA_FRAMES_MIB: memory for pictures on their way, 64 by default. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_RUNNER_H
#define SIGHTLINE_GPU_CUDA_CUDA_RUNNER_H

#include "gpu/cuda/cuda_plugin.h"

extern const struct backend_ops BACKEND_CUDA_DEVICE;

void cuda_runner_set_host(const struct cuda_host *host);

#endif
