/* gpu/cuda/cuda_plan.h: a graph as a list of steps for a CUDA device, worked out without one.
 *
 * The planner decides for each value in which layout it lies (gpu/cuda/cuda_kernels.h) and where in
 * the arena, packs the constants as the kernels read them, and picks the kernel of every node. It is
 * plain C and knows no device: the tests run its steps with the kernels' bodies on the processor.
 * All sizes are of one picture; a batch of N takes N times the arena, every buffer at N times its
 * offset, so that one plan serves all batches. Immutable once made; any thread. */
#ifndef SIGHTLINE_GPU_CUDA_CUDA_PLAN_H
#define SIGHTLINE_GPU_CUDA_CUDA_PLAN_H

#include "config/why.h"
#include "gpu/cuda/cuda_kernels.h"
#include "gpu/graph.h"

#define CUDA_ALIGN_BYTES         256 /* of buffers and constants: what cudaMalloc() gives too */
#define CUDA_PLAN_MEMORY_BYTES   ((size_t)256 << 20) /* of the steps and tables of one model */
#define CUDA_PLAN_CONSTANT_BYTES ((int64_t)2 << 30)

/* Every candidate of a choice of the best is compared with every other: of one picture, some tens of
 * milliseconds on a fast card. The processor sorts. */
#define CUDA_TOP_K_COMPARISONS (INT64_C(1) << 34)

#define CUDA_BUFFER_CONSTANT (-1) /* offset counts from the start of the constants */
#define CUDA_BUFFER_INPUT    (-2) /* the model's input: N×... float32 */

/* A value in one layout. `picture` says how it lies in memory, not what shape the model gives it: a
 * mere change of shape shares the memory. */
struct cuda_tensor {
    bool    is_picture;
    int64_t elements;
    int64_t channels, height, width, pitch; /* of a picture; pitch in halves */
    int     buffer;
    int64_t offset;      /* bytes from the buffer's start */
    int64_t image_bytes; /* from picture to picture; 0 for constants */
};

/* A piece of the arena, alive from its first to its last step. */
struct cuda_buffer {
    int64_t bytes; /* of one picture */
    int     first_step, last_step;
    int64_t offset; /* bytes from the arena's start, for one picture */
};

enum cuda_step_kind {
    CUDA_STEP_INPUT,
    CUDA_STEP_CONV, /* by cuDNN */
    CUDA_STEP_DEPTHWISE,
    CUDA_STEP_GROUPED,
    CUDA_STEP_POOL,
    CUDA_STEP_RESIZE,
    CUDA_STEP_LANES,
    CUDA_STEP_CHANNELS,
    CUDA_STEP_MEAN,
    CUDA_STEP_COPY,
    CUDA_STEP_BINARY,
    CUDA_STEP_SOFTMAX,
    CUDA_STEP_LAYER_NORM,
    CUDA_STEP_REDUCE,
    CUDA_STEP_PAD,
    CUDA_STEP_PIECE,
    CUDA_STEP_MATMUL,
    CUDA_STEP_TAKE,
    CUDA_STEP_TAKE_ELEMENTS,
    CUDA_STEP_TAKE_SLICES,
    CUDA_STEP_TOP_K,
    CUDA_STEP_GRID_SAMPLE,
    CUDA_STEP_WHERE,
    CUDA_STEP_KINDS
};

/* For profiles and tests. */
const char *cuda_step_name(enum cuda_step_kind kind);

/* The arguments of a kernel; pointers and images are NULL and 0 until cuda_bind_step(). */
union cuda_args {
    struct cuda_input         input;
    struct cuda_conv          conv;
    struct cuda_pool          pool;
    struct cuda_resize        resize;
    struct cuda_lanes         lanes;
    struct cuda_channels      channels;
    struct cuda_mean          mean;
    struct cuda_copy          copy;
    struct cuda_binary        binary;
    struct cuda_softmax       softmax;
    struct cuda_layer_norm    layer_norm;
    struct cuda_reduce        reduce;
    struct cuda_pad           pad;
    struct cuda_piece         piece;
    struct cuda_matmul        matmul;
    struct cuda_take          take;
    struct cuda_take_elements take_elements;
    struct cuda_take_slices   take_slices;
    struct cuda_top_k         top_k;
    struct cuda_grid_sample   grid_sample;
    struct cuda_where         where;
};

#define CUDA_STEP_INPUTS 3

struct cuda_step {
    enum cuda_step_kind       kind;
    const struct node        *node;                    /* NULL for the input's */
    const struct cuda_tensor *input[CUDA_STEP_INPUTS]; /* NULL: absent; a convolution's last one is
                                                          its residual */
    const struct cuda_tensor *output;
    int64_t                   weights, bias, table; /* bytes in the constants; -1: none */
    union cuda_args           args;
};

struct cuda_plan {
    const struct graph *graph;
    struct graph_memory memory;
    int                 step_count, step_room;
    struct cuda_step   *steps;
    int                 buffer_count, buffer_room;
    struct cuda_buffer *buffers;
    uint8_t            *constants; /* malloc */
    int64_t             constant_bytes, constant_room;
    int64_t             arena_bytes; /* for one picture */
    struct cuda_tensor *input;       /* CUDA_BUFFER_INPUT */
    struct cuda_tensor
        *input_picture; /* what step 0 writes, or NULL when the input is no picture */
    struct cuda_tensor *outputs[MODEL_MAX_OUTPUTS]; /* plain, in the arena, pictures side by side */
};

/* ERR_UNSUPPORTED names the node and says what is missing; ERR_LIMIT, ERR_MEMORY. */
int  cuda_plan_open(struct cuda_plan **out, const struct graph *graph, struct why *why);
void cuda_plan_close(struct cuda_plan **plan); /* NULL-safe, sets *plan = NULL */

/* Where a batch's memory is. */
struct cuda_memory {
    uint8_t       *arena; /* batch × arena_bytes */
    const uint8_t *constants;
    const float   *input; /* batch × the input's numbers */
    int            batch;
};

void *cuda_bind_tensor(const struct cuda_plan *plan, const struct cuda_tensor *tensor,
                       const struct cuda_memory *memory);
/* The step's arguments with all pointers. */
void cuda_bind_step(const struct cuda_plan *plan, const struct cuda_step *step,
                    const struct cuda_memory *memory, union cuda_args *args);
/* Starts the kernel of a bound step (not of CUDA_STEP_CONV); a cudaError_t as a number. */
int cuda_start_step(enum cuda_step_kind kind, const union cuda_args *args, int batch, void *stream);

#endif
