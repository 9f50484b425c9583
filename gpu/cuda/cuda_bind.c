/* Pointers for the steps of a plan, for one batch in one memory. */
#include "gpu/cuda/cuda_plan.h"

#include "config/assert.h"

#include <stdbool.h>
#include <stddef.h>

void *cuda_bind_tensor(const struct cuda_plan *plan, const struct cuda_tensor *tensor,
                       const struct cuda_memory *memory)
{
    if (tensor == NULL)
        return NULL;
    if (tensor->buffer == CUDA_BUFFER_INPUT)
        return (void *)(uintptr_t)memory->input;
    if (tensor->buffer == CUDA_BUFFER_CONSTANT)
        return (void *)(uintptr_t)(memory->constants + tensor->offset);
    return memory->arena + plan->buffers[tensor->buffer].offset * memory->batch + tensor->offset;
}

static const void *constant(const struct cuda_memory *memory, int64_t offset)
{
    return offset >= 0 ? memory->constants + offset : NULL;
}

static void bind_conv(const struct cuda_step *step, const struct cuda_memory *memory,
                      void *const at[4], struct cuda_conv *conv)
{
    conv->x.at    = at[0];
    conv->r.at    = at[2];
    conv->y.at    = at[3];
    conv->weights = constant(memory, step->weights);
    conv->bias    = constant(memory, step->bias);
}

/* Tables of lanes and channels. */
static void bind_tables(const struct cuda_step *step, const struct cuda_memory *memory,
                        void *const at[4], union cuda_args *args)
{
    if (step->kind == CUDA_STEP_LANES) {
        args->lanes.a.at    = at[0];
        args->lanes.b.at    = at[1];
        args->lanes.r.at    = at[2];
        args->lanes.y.at    = at[3];
        args->lanes.channel = constant(memory, step->table);
        return;
    }
    args->channels.x.at = at[0];
    args->channels.y.at = at[3];
    args->channels.map  = constant(memory, step->table);
}

/* Steps that read where other numbers say; false for other steps. */
static bool bind_indexed(enum cuda_step_kind kind, void *const at[4], union cuda_args *args)
{
    switch (kind) {
    case CUDA_STEP_TAKE:
        args->take.x.at       = at[0];
        args->take.indices.at = at[1];
        args->take.y.at       = at[3];
        return true;
    case CUDA_STEP_TAKE_ELEMENTS:
        args->take_elements.x.at       = at[0];
        args->take_elements.indices.at = at[1];
        args->take_elements.y.at       = at[3];
        return true;
    case CUDA_STEP_TAKE_SLICES:
        args->take_slices.x.at       = at[0];
        args->take_slices.indices.at = at[1];
        args->take_slices.y.at       = at[3];
        return true;
    case CUDA_STEP_TOP_K:
        args->top_k.x.at = at[0];
        args->top_k.y.at = at[3];
        return true;
    case CUDA_STEP_GRID_SAMPLE:
        args->grid_sample.x.at    = at[0];
        args->grid_sample.grid.at = at[1];
        args->grid_sample.y.at    = at[3];
        return true;
    case CUDA_STEP_WHERE:
        for (int i = 0; i < 3; i++)
            args->where.from[i].at = at[i];
        args->where.y.at = at[3];
        return true;
    default:
        return false;
    }
}

/* Steps of one or two views. */
static void bind_views(enum cuda_step_kind kind, void *const at[4], union cuda_args *args)
{
    switch (kind) {
    case CUDA_STEP_COPY:
        args->copy.x.at = at[0];
        args->copy.y.at = at[3];
        break;
    case CUDA_STEP_BINARY:
        args->binary.a.at = at[0];
        args->binary.b.at = at[1];
        args->binary.y.at = at[3];
        break;
    case CUDA_STEP_SOFTMAX:
        args->softmax.x.at = at[0];
        args->softmax.y.at = at[3];
        break;
    case CUDA_STEP_LAYER_NORM:
        args->layer_norm.x.at     = at[0];
        args->layer_norm.scale.at = at[1];
        args->layer_norm.shift.at = at[2];
        args->layer_norm.y.at     = at[3];
        break;
    case CUDA_STEP_REDUCE:
        args->reduce.x.at = at[0];
        args->reduce.y.at = at[3];
        break;
    case CUDA_STEP_PAD:
        args->pad.x.at = at[0];
        args->pad.y.at = at[3];
        break;
    case CUDA_STEP_PIECE:
        args->piece.x.at = at[0];
        args->piece.y.at = at[3];
        break;
    case CUDA_STEP_MATMUL:
        args->matmul.a.at = at[0];
        args->matmul.b.at = at[1];
        args->matmul.c.at = at[2];
        args->matmul.y.at = at[3];
        break;
    default:
        ASSERT(false); /* the caller has bound all others */
    }
}

void cuda_bind_step(const struct cuda_plan *plan, const struct cuda_step *step,
                    const struct cuda_memory *memory, union cuda_args *args)
{
    void *at[4];

    *args = step->args;
    for (int i = 0; i < CUDA_STEP_INPUTS; i++)
        at[i] = cuda_bind_tensor(plan, step->input[i], memory);
    at[3] = cuda_bind_tensor(plan, step->output, memory);
    switch (step->kind) {
    case CUDA_STEP_INPUT:
        args->input.x    = at[0];
        args->input.y.at = at[3];
        break;
    case CUDA_STEP_CONV:
    case CUDA_STEP_DEPTHWISE:
    case CUDA_STEP_GROUPED:
        bind_conv(step, memory, at, &args->conv);
        break;
    case CUDA_STEP_POOL:
        args->pool.x.at = at[0];
        args->pool.y.at = at[3];
        break;
    case CUDA_STEP_RESIZE:
        args->resize.x.at = at[0];
        args->resize.y.at = at[3];
        break;
    case CUDA_STEP_MEAN:
        args->mean.x.at = at[0];
        args->mean.y.at = at[3];
        break;
    case CUDA_STEP_LANES:
    case CUDA_STEP_CHANNELS:
        bind_tables(step, memory, at, args);
        break;
    default:
        if (!bind_indexed(step->kind, at, args))
            bind_views(step->kind, at, args);
    }
}
