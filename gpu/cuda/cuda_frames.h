/* gpu/cuda/cuda_frames.h: pictures into a runner's memory and boxes out of it, on its device.
 *
 * Copies go on one stream, kernels on the other: while a picture is prepared the next is on its way,
 * and the one after it is brought into pinned memory. All memory is taken at open: pinned and device
 * memory for FRAMES_BYTES of pictures (SIGHTLINE_CUDA_FRAMES_MIB; a batch that needs more goes in
 * turns), tables for the kinds of pictures (size, format, colours) seen last, and the lists of boxes.
 * One thread, the runner's. Every failure of the device is ERR_DEVICE_LOST.
 *
 * A picture that lies in the memory of the runner's device already (struct frame_device) is read
 * where it is: the kernels wait for the stream that writes it, and nothing is copied. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_FRAMES_H
#define SIGHTLINE_GPU_CUDA_CUDA_FRAMES_H

#include "gpu/cuda/cuda_device.h"
#include "gpu/cuda/cuda_pack.h"

#define CUDA_FRAMES_BYTES ((int64_t)64 << 20) /* five pictures of 3840x2160 */
#define CUDA_KINDS_MAX    32                  /* as the detector's DETECTOR_PLANS_MAX */
#define CUDA_KINDS_BYTES  ((int64_t)256 << 20)

struct cuda_frames;

/* All outlive what is opened. */
struct cuda_frames_settings {
    struct boxes_settings   boxes;
    const struct cuda_plan *plan;
    int                     device, batch; /* pictures at most */
    cudaStream_t            copy, compute;
};

/* ERR_UNSUPPORTED: the head is not decoded on a device. */
int  cuda_frames_open(struct cuda_frames **out, const struct cuda_frames_settings *settings,
                      struct why *why);
void cuda_frames_close(struct cuda_frames **frames); /* NULL-safe; both streams are idle */

/* Starts nothing. ERR_INVALID, or ERR_UNSUPPORTED for a picture above the memory. */
int cuda_frames_check(const struct cuda_frames *frames, struct frame *const *given, int batch,
                      struct why *why);
/* Starts the copies and the kernels; the network's step cuda_frames_first_step() comes next on the
 * compute stream. Pictures in host memory are not looked at afterwards, those on the device until the
 * compute stream has been waited for. ERR_MEMORY: of the processor's, for a
 * new kind of picture; what was started goes on. */
int cuda_frames_prepare(struct cuda_frames *frames, struct frame *const *given, int batch,
                        const struct cuda_memory *memory, struct why *why);
int cuda_frames_first_step(const struct cuda_frames *frames);
/* Starts the kernels from the outputs to the boxes, for memory->batch pictures. */
int cuda_frames_find(struct cuda_frames *frames, const struct cuda_memory *memory, struct why *why);
/* Waits for all; the boxes in each picture's own pixels. */
int cuda_frames_finish(struct cuda_frames *frames, const struct cuda_memory *memory, int batch,
                       struct box (*boxes)[LIMIT_BOXES], int *counts, struct why *why);

#endif
