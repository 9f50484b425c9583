/* gpu/backend_cuda.h: the CUDA backend, where its plug-in, its libraries and a device are there.
 *
 * libsightline_cuda.so is looked for in this order: the file named by SIGHTLINE_CUDA_PLUGIN (no other
 * is tried then; an empty name switches CUDA off), beside the program, in ../lib/sightline. It is
 * opened once, on the first question, from any thread. What is missing is said in words that a user
 * can act on, and the program goes on with the CPU. The plug-in compiles, links and answers here;
 * that it computes on a card has not been seen yet: tests/gpu/run shows it. */
#ifndef SIGHTLINE_GPU_BACKEND_CUDA_H
#define SIGHTLINE_GPU_BACKEND_CUDA_H

#include "gpu/backend.h"

extern const struct backend_ops BACKEND_CUDA;

#endif
