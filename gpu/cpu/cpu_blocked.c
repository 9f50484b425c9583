/* Steps in blocked layout, and the ways between the two layouts. */
#include "gpu/cpu/cpu_runner.h"

#include <math.h>
#include <string.h>

static int64_t pixels_of(const struct cpu_tensor *tensor)
{
    return tensor->dimension[2] * tensor->dimension[3];
}

void cpu_run_from_plain(const struct cpu_step *step)
{
    step->kernels->from_plain(step->input[0]->data, step->output->dimension[1],
                              pixels_of(step->output), step->output->data);
}

void cpu_run_to_plain(const struct cpu_step *step)
{
    step->kernels->to_plain(step->input[0]->data, step->output->dimension[1],
                            pixels_of(step->output), step->pitch, step->output->data);
}

void cpu_step_to_plain(struct cpu_step *step, struct cpu_tensor *x, struct cpu_tensor *y)
{
    step->run      = cpu_run_to_plain;
    step->pitch    = pixels_of(y);
    step->input[0] = x;
    step->output   = y;
}

static void gather_block(const struct cpu_step *step, const struct cpu_gather *plan, float *y)
{
    int                  block  = step->kernels->block;
    bool                 whole  = plan->sources == 1;
    struct kernel_gather gather = {.sources = plan->sources, .y = y};

    gather.pixels = pixels_of(step->output);
    for (int i = 0; i < plan->sources; i++)
        gather.x[i] = step->input[plan->input[i]]->data + plan->offset[i];
    for (int i = 0; i < block; i++) {
        gather.source[i] = plan->source[i];
        gather.lane[i]   = plan->lane[i];
        whole            = whole && plan->lane[i] == i;
    }
    if (!whole)
        step->kernels->gather(&gather);
    else if (gather.x[0] != y) /* otherwise its producer has put it here already */
        memcpy(y, gather.x[0], (size_t)(gather.pixels * block) * sizeof *y);
}

void cpu_run_gather(const struct cpu_step *step)
{
    int64_t plane = pixels_of(step->output) * step->kernels->block;

    for (int i = 0; i < step->gather_count; i++)
        gather_block(step, &step->gathers[i], step->output->data + i * plane);
}

static struct kernel_pool pool_of(const struct cpu_step *step)
{
    struct kernel_pool pool = step->pool;

    pool.x = step->input[0]->data;
    pool.y = step->output->data;
    return pool;
}

void cpu_run_max_pool(const struct cpu_step *step)
{
    struct kernel_pool pool = pool_of(step);

    step->kernels->max_pool(&pool);
}

void cpu_run_average_pool(const struct cpu_step *step)
{
    struct kernel_pool pool = pool_of(step);

    step->kernels->average_pool(&pool);
}

/* Where output coordinate `out` lies in the input. */
static float source_coordinate(const struct node *node, int axis, int64_t out, int64_t in_size,
                               int64_t out_size)
{
    switch (node->resize.coordinates) {
    case RESIZE_ASYMMETRIC:
        return (float)out / node->resize.scale[axis];
    case RESIZE_ALIGN_CORNERS:
        return out_size == 1 ? 0.0F : (float)out * (float)(in_size - 1) / (float)(out_size - 1);
    default:
        return ((float)out + 0.5F) / node->resize.scale[axis] - 0.5F;
    }
}

int64_t cpu_resize_nearest(const struct node *node, int axis, int64_t out, int64_t in_size,
                           int64_t out_size)
{
    float   x = source_coordinate(node, axis, out, in_size, out_size), rounded;
    int64_t index;

    switch (node->resize.rounding) {
    case RESIZE_FLOOR:
        rounded = floorf(x);
        break;
    case RESIZE_CEIL:
        rounded = ceilf(x);
        break;
    case RESIZE_PREFER_CEIL:
        rounded = floorf(x + 0.5F);
        break;
    default:
        rounded = ceilf(x - 0.5F);
        break;
    }
    index = (int64_t)rounded;
    return index < 0 ? 0 : index >= in_size ? in_size - 1 : index;
}

struct blend {
    int64_t low, high;
    float   weight; /* of high */
};

static struct blend blend_at(const struct node *node, int axis, int64_t out, int64_t in_size,
                             int64_t out_size)
{
    float        x = source_coordinate(node, axis, out, in_size, out_size);
    struct blend blend;

    x            = fminf(fmaxf(x, 0.0F), (float)(in_size - 1));
    blend.low    = (int64_t)x;
    blend.high   = blend.low + 1 < in_size ? blend.low + 1 : blend.low;
    blend.weight = x - (float)blend.low;
    return blend;
}

static void resize_plane_linear(const struct cpu_step *step, const float *x, float *y)
{
    const int64_t *in = step->input[0]->dimension, *out = step->output->dimension;
    int64_t        block = step->kernels->block;

    for (int64_t oy = 0; oy < out[2]; oy++) {
        struct blend v = blend_at(step->node, 0, oy, in[2], out[2]);
        for (int64_t ox = 0; ox < out[3]; ox++) {
            struct blend h = blend_at(step->node, 1, ox, in[3], out[3]);
            const float *a = x + (v.low * in[3] + h.low) * block;
            const float *b = x + (v.low * in[3] + h.high) * block;
            const float *c = x + (v.high * in[3] + h.low) * block;
            const float *d = x + (v.high * in[3] + h.high) * block;
            for (int64_t i = 0; i < block; i++) {
                float top    = a[i] + (b[i] - a[i]) * h.weight;
                float bottom = c[i] + (d[i] - c[i]) * h.weight;
                *y++         = top + (bottom - top) * v.weight;
            }
        }
    }
}

static void resize_plane_nearest(const struct cpu_step *step, const float *x, float *y)
{
    const int64_t *in = step->input[0]->dimension, *out = step->output->dimension;
    size_t         block  = (size_t)step->kernels->block;
    int64_t        before = -1;

    for (int64_t oy = 0; oy < out[2]; oy++) {
        int64_t iy  = cpu_resize_nearest(step->node, 0, oy, in[2], out[2]);
        float  *row = y + (size_t)(oy * out[3]) * block;
        if (iy == before) {
            memcpy(row, row - (size_t)out[3] * block, (size_t)out[3] * block * sizeof *row);
            continue;
        }
        before = iy;
        for (int64_t ox = 0; ox < out[3]; ox++)
            memcpy(row + (size_t)ox * block, x + (size_t)(iy * in[3] + step->columns[ox]) * block,
                   block * sizeof *row);
    }
}

void cpu_run_resize(const struct cpu_step *step)
{
    int64_t block  = step->kernels->block;
    int64_t blocks = (step->output->dimension[1] + block - 1) / block;

    for (int64_t i = 0; i < blocks; i++) {
        const float *x = step->input[0]->data + i * pixels_of(step->input[0]) * block;
        float       *y = step->output->data + i * pixels_of(step->output) * block;
        if (step->node->resize.kind == RESIZE_NEAREST)
            resize_plane_nearest(step, x, y);
        else
            resize_plane_linear(step, x, y);
    }
}

void cpu_run_blocked_mean(const struct cpu_step *step)
{
    int64_t block = step->kernels->block;

    step->kernels->mean(step->input[0]->data, (step->output->dimension[1] + block - 1) / block,
                        pixels_of(step->input[0]), step->output->data);
}

void cpu_run_blocked_binary(const struct cpu_step *step)
{
    int64_t step_a = step->input[0]->floats == 1 ? 0 : 1;
    int64_t step_b = step->input[1]->floats == 1 ? 0 : 1;

    step->kernels->binary(step->node->binary, &step->node->activation, step->input[0]->data, step_a,
                          step->input[1]->data, step_b, step->output->data, step->output->floats);
}

void cpu_run_channel_binary(const struct cpu_step *step)
{
    int64_t block = step->kernels->block;

    step->kernels->binary_channel(step->node->binary, &step->node->activation, step->input[0]->data,
                                  step->input[1]->data,
                                  (step->output->dimension[1] + block - 1) / block,
                                  pixels_of(step->output), step->output->data);
}
