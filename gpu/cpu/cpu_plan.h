/* gpu/cpu/cpu_plan.h: the state of the planner while it walks the graph. Inside of cpu_plan.c and
 * cpu_tensor.c. */
#ifndef SIGHTLINE_GPU_CPU_CPU_PLAN_H
#define SIGHTLINE_GPU_CPU_CPU_PLAN_H

#include "gpu/cpu/cpu_runner.h"

struct channel {
    int value; /* a computed value, never itself a list */
    int channel;
};

struct plan {
    struct cpu_runner  *runner;
    const struct graph *graph;
    struct channel    **channels;     /* by value; NULL: not a list */
    struct cpu_layouts *homes;        /* by value: where it will lie */
    int                *parent;       /* by value: the joined value that it lies in, or -1 */
    int                *parent_block; /* where in it */
    bool               *wants_codes;  /* by value: somebody would rather read 8-bit codes */
    struct why         *why;
};

void *plan_alloc(struct plan *plan, int64_t count, size_t size);

/* A value in the layout that a step wants; adds the steps that bring it there. NULL: no memory. */
struct cpu_tensor *plan_tensor(struct plan *plan, int number, enum layout layout);
/* The tensor that a node's output is computed into, from now on available to others. */
struct cpu_tensor *plan_output(struct plan *plan, int value, enum layout layout);
/* A tensor without a place. */
struct cpu_tensor *plan_describe(struct cpu_runner *runner, enum layout layout,
                                 const struct value *value);
/* A lane of a block of the output is this channel of `x`, which lies in blocks of `block` channels.
 * `used`: inputs of the step so far. */
void plan_gather_lane(struct cpu_step *step, int *used, struct cpu_gather *gather, int lane,
                      struct cpu_tensor *x, int channel, int block);
/* cpu_list.c: a 1×1 convolution reads its input's channels where they are, when that is a list of them
 * which nobody else needs in one place and which does not lie in whole blocks already. First the
 * channels are made; then, when the convolution's step is the last one, it is told where they are.
 * 0 or ERR_MEMORY. */
bool plan_reads_list(const struct plan *plan, const struct node *node);
int  plan_list(struct plan *plan, int number);
int  plan_read_list(struct plan *plan, const struct node *node);
/* The number of the step's input that is `tensor`, which is added if need be; `used`: inputs so far. */
int plan_step_input(struct cpu_step *step, int *used, struct cpu_tensor *tensor);
/* A concatenation of the channels of pictures; a node of which every output channel is an input
 * channel. */
bool plan_joins_pictures(const struct plan *plan, const struct node *node);
bool plan_copies_channels(struct plan *plan, const struct node *node);
/* Where a resize that repeats pixels finds each of its columns; NULL: no memory. */
const int32_t *plan_resize_columns(struct plan *plan, const struct node *node);
/* A convolution that gives the mean of a distribution, as heads do for distances: 1×1, of what a softmax
 * gives in plain order, with one output channel. Weighed plane by plane it stays there. */
bool plan_is_expectation(const struct plan *plan, const struct node *node);
/* True when the value lies in blocks, or can without being brought there. */
bool plan_has_blocked(const struct plan *plan, int value);

#endif
