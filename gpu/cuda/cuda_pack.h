/* gpu/cuda/cuda_pack.h: what the kernels of gpu/cuda/cuda_ends.h are given, worked out without a
 * device: how a picture lies in memory, the tables of its kind, the head of a network.
 *
 * Plain C and no state; the tests run what it gives with the kernels' bodies on the processor. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_PACK_H
#define SIGHTLINE_GPU_CUDA_CUDA_PACK_H

#include "gpu/backend.h"
#include "gpu/cuda/cuda_ends.h"
#include "gpu/cuda/cuda_plan.h"
#include "gpu/frame.h"
#include "gpu/prepare_kernels.h"

/* ---- pictures ---- */

/* A picture with its rows close to each other: how it goes to the device. */
struct cuda_planes {
    struct frame_plane size[3]; /* no rows: no such plane */
    int64_t            pitch_bytes[3];
    int64_t            offset[3];
    int64_t            bytes;
};

/* ERR_INVALID for a picture without a usable size or format. */
int  cuda_planes_of(struct cuda_planes *planes, const struct frame *frame, struct why *why);
void cuda_planes_copy(const struct cuda_planes *planes, const struct frame *frame, uint8_t *to);

/* Bytes that the tables of no picture pass. */
int64_t cuda_tables_bytes(const struct prepare_settings *input);
/* Copies the tables to `to`, at most `room` bytes, and fills all of `args` but where the picture and
 * the tensor are; the tables will be read at `at`. ERR_LIMIT. */
int cuda_tables_pack(struct cuda_prepare *args, const struct prepare_tables *tables, uint8_t *to,
                     int64_t room, const uint8_t *at, struct why *why);
/* Where the picture is. */
void cuda_prepare_from(struct cuda_prepare *args, const struct frame *frame,
                       const struct cuda_planes *planes, const uint8_t *at);
/* The same for one that lies on the device already. */
void cuda_prepare_in_place(struct cuda_prepare *args, const struct frame *frame);

/* The first step of a plan that is left to do when pictures are prepared straight into what step 0
 * would write; 0: they are prepared into the model's input. */
int cuda_prepare_first_step(const struct cuda_plan *plan);

/* ---- boxes ---- */

/* All but the pointers. ERR_UNSUPPORTED: a head that is decoded on the processor. */
int cuda_find_describe(struct cuda_find *find, const struct boxes_settings *settings,
                       const struct cuda_plan *plan, struct why *why);
/* The classes, as they are read in device memory; CUDA_CLASSES_BYTES. */
#define CUDA_CLASSES_BYTES (CLASS_MAP_MAX * 4)
void cuda_find_classes(const struct boxes_settings *settings, uint8_t *to);
/* Bytes of the lists for so many pictures, the classes not among them. */
int64_t cuda_find_bytes(const struct cuda_find *find, int batch);
/* All pointers: the outputs of a run with `memory`, the lists and the classes. */
void cuda_find_bind(struct cuda_find *find, const struct boxes_settings *settings,
                    const struct cuda_plan *plan, const struct cuda_memory *memory, uint8_t *lists,
                    const uint8_t *classes);

#endif
