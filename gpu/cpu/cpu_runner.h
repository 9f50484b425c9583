/* gpu/cpu/cpu_runner.h: the inside of the CPU backend: a graph as a list of steps over one arena.
 *
 * The planner (cpu_plan.c) walks the graph once at open and decides for each value in which layout
 * it lies and where in the arena; after it, a run is a walk over the steps. A value can exist in
 * both layouts. Only one thread uses a runner. */
#ifndef SIGHTLINE_GPU_CPU_CPU_RUNNER_H
#define SIGHTLINE_GPU_CPU_CPU_RUNNER_H

#include "gpu/backend.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/cpu/kernels.h"
#include "gpu/graph.h"

#include <dnnl.h>

enum layout {
    LAYOUT_PLAIN,
    LAYOUT_BLOCKED,
    LAYOUT_CODES, /* of 8 bits, in blocks of 16 channels: see int8.h */
};

#define BUFFER_NONE (-1) /* the model's input, or a constant */

/* One value in one layout. `data` is set once the arena is there. */
struct cpu_tensor {
    float      *data;
    enum layout layout;
    int         rank;
    int64_t     dimension[MODEL_MAX_DIMENSIONS];
    int64_t     floats; /* with the lanes that fill up the last block; of codes, their room */
    const struct cpu_scales *scales; /* of codes */
    int                      buffer;
    int64_t                  offset; /* floats from the buffer's start */
};

/* The same value in each layout. */
struct cpu_layouts {
    struct cpu_tensor *plain;
    struct cpu_tensor *blocked;
    struct cpu_tensor *codes;
};

/* A piece of the arena, alive from its first to its last step. */
struct cpu_buffer {
    int64_t floats;
    int     first_step, last_step;
    int64_t offset; /* floats from the arena's start */
};

/* One block of output channels put together from channels of other tensors. */
struct cpu_gather {
    int     sources;
    int     input[KERNELS_MAX_BLOCK];  /* of the step */
    int64_t offset[KERNELS_MAX_BLOCK]; /* floats from the start of that input */
    int32_t source[KERNELS_MAX_BLOCK]; /* by output lane */
    int32_t lane[KERNELS_MAX_BLOCK];   /* of the source, by output lane */
};

/* Where a channel of a list lies. */
struct cpu_lane {
    int     input;  /* of the step */
    int64_t offset; /* floats from the start of that input to the channel's first pixel */
};

struct cpu_piece {  /* of a concatenation along any axis, in plain layout */
    int64_t begin;  /* floats within a row of the output */
    int64_t floats; /* of this piece in each row */
};

struct cpu_step {
    /* Required. */
    void (*run)(const struct cpu_step *step);
    const char           *what;           /* which kernel: for profiles */
    const char           *implementation; /* of oneDNN, or of our kernels */
    const struct node    *node;
    const struct kernels *kernels;
    int                   input_count;
    struct cpu_tensor   **input; /* unused ones are NULL */
    struct cpu_tensor    *output;
    struct kernel_conv    conv;
    struct kernel_pool    pool;
    struct cpu_gather    *gathers; /* one for each block of the output */
    int                   gather_count;
    struct cpu_lane      *lanes;   /* of a list of channels */
    const float         **lane_at; /* room for their addresses during a run */
    int64_t               pitch;   /* "to plain": floats from one channel to the next */
    const int32_t        *columns; /* of a picture made larger: the input's, by output column */
    struct cpu_piece     *pieces;
    struct strided        strided;
    const float          *constant;
    struct cpu_dnnl      *dnnl;
    struct cpu_codes     *codes;    /* of an 8-bit step */
    struct cpu_bf16      *bf16;     /* of a step in bfloat16 */
    int64_t               spent_ns; /* while a profile is taken */
};

struct cpu_runner {
    struct runner         base;
    const struct kernels *kernels;
    /* For 8 bits; NULL: all in floats. The calibration is needed only while it is planned. */
    const struct int8_kernels *int8;
    const struct calibration  *calibration;
    const struct bf16_kernels *bf16;      /* NULL: no convolution in bfloat16 */
    bool                       shows_all; /* no value is computed on the way only */
    struct graph_memory        memory;    /* steps, tensors, tables */
    struct cpu_shared_use     *shared;    /* packed weights: see cpu_shared.h */
    int64_t                    shared_bytes;
    float                     *arena;
    int64_t                    arena_floats;
    int                        step_count, step_room;
    struct cpu_step           *steps;
    int                        buffer_count, buffer_room;
    struct cpu_buffer         *buffers;
    struct cpu_layouts        *tensors; /* by value; NULL: not there (yet) */
    struct cpu_tensor         *input;
    struct cpu_tensor         *outputs[MODEL_MAX_OUTPUTS];
    dnnl_engine_t              engine;
    dnnl_stream_t              stream;
    bool                       failed; /* a call of oneDNN in this run: what it gives is old */
};

/* cpu_plan.c */
int cpu_plan(struct cpu_runner *runner, struct why *why);

/* cpu_conv.c */
/* A convolution's sizes and tensors, of a step with room for two inputs; `residual` may be NULL. */
void cpu_conv_between(struct cpu_step *step, const struct node *node, struct cpu_tensor *x,
                      struct cpu_tensor *residual, struct cpu_tensor *y);

/* cpu_tensor.c */
/* A new step at the end; NULL when out of memory. Pointers to steps do not survive this call. */
struct cpu_step *cpu_add_step(struct cpu_runner *runner, const struct node *node, const char *what,
                              int input_count);
/* A new tensor with its own buffer. NULL when out of memory. */
struct cpu_tensor *cpu_add_tensor(struct cpu_runner *runner, enum layout layout,
                                  const struct value *value);

/* cpu_join.c: the concatenation of the node's inputs (all there, in plain layout) into `y` along
 * its axis. An input that was only brought into plain layout for this is brought into `y` instead. */
struct plan;
int  cpu_join(struct plan *plan, const struct node *node, struct cpu_tensor *y);
void cpu_run_join(const struct cpu_step *step);

/* cpu_arena.c: places for all buffers, none over another that lives at the same time. */
int cpu_arena_place(struct cpu_runner *runner);

/* cpu_conv.c: the step's kernel and packed weights for a convolution. `x` in the layout that
 * cpu_conv_layout() wants. */
enum layout cpu_conv_layout(const struct cpu_runner *runner, const struct node *node);
int         cpu_plan_conv(struct cpu_runner *runner, const struct node *node, struct cpu_tensor *x,
                          struct cpu_tensor *residual, struct cpu_tensor *y, struct why *why);

/* 1×1, of one group, without steps or padding. */
bool cpu_conv_is_pointwise(const struct window *window);

/* The node's bias, filled up to whole blocks; zeros where it has none. NULL: no memory. */
const float *cpu_conv_bias(struct cpu_runner *runner, const struct node *node);

/* True when `pool`, a max pool, can be taken into the last step: that one computes a stem which
 * nobody else reads. */
bool cpu_stem_takes_pool(const struct cpu_runner *runner, const struct node *pool);
int  cpu_stem_take_pool(struct cpu_runner *runner, const struct node *pool, struct cpu_tensor *y);

/* cpu_winograd.c: 3×3 convolutions with fewer multiplications, where that is faster. */
bool cpu_winograd_fits(const struct cpu_runner *runner, const struct node *node);
int  cpu_plan_winograd(struct cpu_runner *runner, const struct node *node, struct cpu_tensor *x,
                       struct cpu_tensor *residual, struct cpu_tensor *y);

/* cpu_bf16.c: convolutions in bfloat16, between float32. */
bool cpu_bf16_fits(const struct cpu_runner *runner, const struct node *node);
int  cpu_plan_bf16(struct cpu_runner *runner, const struct node *node, struct cpu_tensor *x,
                   struct cpu_tensor *residual, struct cpu_tensor *y);

/* cpu_dnnl.c: what oneDNN computes. */
int  cpu_dnnl_conv(struct cpu_runner *runner, const struct node *node, struct cpu_tensor *x,
                   struct cpu_tensor *residual, struct cpu_tensor *y, struct why *why);
int  cpu_dnnl_matmul(struct cpu_runner *runner, const struct node *node, struct cpu_tensor *a,
                     struct cpu_tensor *b, struct cpu_tensor *y, struct why *why);
void cpu_dnnl_close(struct cpu_dnnl *dnnl);

/* cpu_plain.c: steps in plain layout. */
void cpu_run_copy(const struct cpu_step *step);
void cpu_run_binary(const struct cpu_step *step);
void cpu_run_activation(const struct cpu_step *step);
void cpu_run_softmax(const struct cpu_step *step);
void cpu_run_expectation(const struct cpu_step *step);
void cpu_run_pad(const struct cpu_step *step);

/* cpu_plain_math.c, cpu_plain_index.c, cpu_plain_grid.c: rarer ones, in plain layout too. */
void cpu_run_unary(const struct cpu_step *step); /* in any layout */
void cpu_run_where(const struct cpu_step *step);
void cpu_run_mean(const struct cpu_step *step);
void cpu_run_reduce(const struct cpu_step *step);
void cpu_run_layer_norm(const struct cpu_step *step);
void cpu_run_cum_sum(const struct cpu_step *step);
void cpu_run_take(const struct cpu_step *step);          /* GATHER */
void cpu_run_take_elements(const struct cpu_step *step); /* GATHER_ELEMENTS */
void cpu_run_take_slices(const struct cpu_step *step);   /* GATHER_ND */
void cpu_run_put_elements(const struct cpu_step *step);  /* SCATTER_ELEMENTS */
void cpu_run_put_slices(const struct cpu_step *step);    /* SCATTER_ND */
void cpu_run_top_k(const struct cpu_step *step);
void cpu_run_grid_sample(const struct cpu_step *step);
/* Row-major strides of a tensor that is broadcast to `rank` dimensions. */
void cpu_tensor_strides(const struct cpu_tensor *tensor, int rank, int64_t *stride);

/* cpu_blocked.c: steps in blocked layout, and between the two. */
void cpu_run_from_plain(const struct cpu_step *step);
void cpu_run_to_plain(const struct cpu_step *step);
/* Makes the step, which has one input, bring `x`, in blocks, into `y`. */
void cpu_step_to_plain(struct cpu_step *step, struct cpu_tensor *x, struct cpu_tensor *y);
void cpu_run_gather(const struct cpu_step *step);
void cpu_run_max_pool(const struct cpu_step *step);
void cpu_run_average_pool(const struct cpu_step *step);
void cpu_run_resize(const struct cpu_step *step);
/* The input row (axis 0) or column (axis 1) that output number `out` repeats. */
int64_t cpu_resize_nearest(const struct node *node, int axis, int64_t out, int64_t in_size,
                           int64_t out_size);
void    cpu_run_blocked_mean(const struct cpu_step *step);
void    cpu_run_blocked_binary(const struct cpu_step *step);
void    cpu_run_channel_binary(const struct cpu_step *step);

#endif
