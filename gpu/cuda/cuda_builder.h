/* gpu/cuda/cuda_builder.h: what the files of the planner share.
 *
 *   cuda_plan.c      node by node: which steps
 *   cuda_pictures.c  the steps over pictures
 *   cuda_plain.c     the steps in the model's order
 *   cuda_index.c     those that read where other numbers say
 *   cuda_tensor.c    tensors, constants, the arena
 *   cuda_bind.c      pointers for a batch */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_BUILDER_H
#define SIGHTLINE_GPU_CUDA_CUDA_BUILDER_H

#include "gpu/cuda/cuda_plan.h"

/* What is known of a value so far; NULL: not there (yet). */
struct cuda_place {
    struct cuda_tensor *any;     /* as its producer left it */
    struct cuda_tensor *picture; /* of the value's own C, H and W */
    struct cuda_tensor *plain;
    int                 parent; /* the joined value that it is a part of, or -1 */
    int64_t             parent_channel;
};

struct cuda_builder {
    struct cuda_plan   *plan;
    const struct graph *graph;
    struct cuda_place  *places; /* by value */
    const struct node  *node;   /* at work */
    struct why         *why;
};

/* ---- cuda_tensor.c ---- */

void *builder_alloc(struct cuda_builder *builder, int64_t count, size_t size);
/* A step at the end for the node at work; NULL when out of memory. Pointers to steps do not survive
 * this call. */
struct cuda_step *builder_step(struct cuda_builder *builder, enum cuda_step_kind kind);

bool builder_is_picture(const struct value *value); /* 1×C×H×W */
/* The value's producer has left it as a picture of its own shape. */
bool builder_has_picture(const struct cuda_builder *builder, int value);

/* A value as it is needed; adds a copying step where it lies otherwise. NULL when out of memory. */
struct cuda_tensor *builder_picture(struct cuda_builder *builder, int value);
struct cuda_tensor *builder_any(struct cuda_builder *builder, int value);
struct cuda_tensor *builder_plain(struct cuda_builder *builder, int value);

/* Where a step writes a value: its place in the joined value that it is a part of, or a buffer. */
struct cuda_tensor *builder_new_picture(struct cuda_builder *builder, int value);
struct cuda_tensor *builder_new_plain(struct cuda_builder *builder, int value);
/* The same memory under another value's name. */
struct cuda_tensor *builder_alias(struct cuda_builder *builder, int value,
                                  const struct cuda_tensor *of);

/* Bytes in the constants, zeroed; the offset, or ERR_MEMORY or ERR_LIMIT. */
int64_t builder_constant(struct cuda_builder *builder, int64_t bytes);

/* Lifetimes and places of all buffers. */
int builder_place_buffers(struct cuda_plan *plan);

/* Descriptions without pointers. */
struct cuda_picture    picture_of(const struct cuda_tensor *tensor);
struct cuda_view       view_of(const struct cuda_tensor *tensor);
struct cuda_activation activation_of(const struct activation *activation);
/* What the node at work ends with; of a NODE_UNARY what it does. */
struct cuda_activation builder_activation(const struct cuda_builder *builder);

int64_t round_lanes(int64_t channels);

/* ---- the steps; 0 or a negative code, with `why` where it is not memory ---- */

int plan_conv(struct cuda_builder *builder);
int plan_pool(struct cuda_builder *builder);
int plan_resize(struct cuda_builder *builder);
int plan_lanes(struct cuda_builder *builder); /* activation or arithmetic, all of pictures */
int plan_join(struct cuda_builder *builder);  /* of channels */
int plan_mean(struct cuda_builder *builder);
/* A copy as a choice of channels: true when it is one, with `rc`. */
bool plan_channels(struct cuda_builder *builder, int *rc);
bool lanes_fit(const struct cuda_builder *builder);

int plan_copy(struct cuda_builder *builder);
int plan_activation(struct cuda_builder *builder);
int plan_binary(struct cuda_builder *builder);
int plan_concat(struct cuda_builder *builder);
int plan_softmax(struct cuda_builder *builder);
int plan_layer_norm(struct cuda_builder *builder);
int plan_reduce(struct cuda_builder *builder);
int plan_pad(struct cuda_builder *builder);
int plan_matmul(struct cuda_builder *builder);
/* cuda_index.c */
int plan_take(struct cuda_builder *builder);
int plan_take_elements(struct cuda_builder *builder);
int plan_take_slices(struct cuda_builder *builder);
int plan_top_k(struct cuda_builder *builder);
int plan_grid_sample(struct cuda_builder *builder);
int plan_where(struct cuda_builder *builder);
/* Strides of a value spread over the dimensions of a larger one; cuda_plain.c. */
void builder_spread(const struct value *value, int rank, uint32_t *stride);
/* A 1×1 convolution to few channels as a product of matrices in float32. */
int plan_conv_as_matmul(struct cuda_builder *builder);

#endif
