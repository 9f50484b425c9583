/* gpu/cuda/cuda_guest.h: what others than runners do with a device in this process: a video decoder
 * that writes its pictures into the memory of the context in which the runners compute, and whoever
 * needs such a picture in host memory (struct backend_ops: hold, let_go, copy_out). Any thread. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_GUEST_H
#define SIGHTLINE_GPU_CUDA_CUDA_GUEST_H

#include "config/why.h"
#include "gpu/frame.h"

/* ERR_UNSUPPORTED: there is no such device; ERR_DEVICE_LOST: it has failed, and is not to be had
 * again yet (cuda_device_enter()). `context`: CUDA's primary one of the device. */
int  cuda_guest_enter(int device, void **context, struct why *why);
void cuda_guest_leave(int device);
/* The planes of a picture in a device's memory into those of another in host memory, of the same
 * format and size. Waits for it. ERR_DEVICE_LOST. */
int cuda_guest_copy(const struct frame *from, struct frame *to, struct why *why);

#endif
