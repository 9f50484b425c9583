/* 8-bit steps at run time: the addresses of this runner's arena, and the kernel. */
#include "gpu/cpu/cpu_codes.h"

#include <string.h>

static uint8_t *codes_of(const struct cpu_tensor *tensor)
{
    return (uint8_t *)tensor->data;
}

static int64_t pixels_of(const struct cpu_tensor *tensor)
{
    return tensor->dimension[2] * tensor->dimension[3];
}

static int64_t blocks_of(const struct cpu_tensor *tensor)
{
    return (tensor->dimension[1] + INT8_BLOCK - 1) / INT8_BLOCK;
}

/* Inputs of a convolution: x, residual, scratch. */
static void run_conv(const struct cpu_step *step, const uint8_t *x)
{
    const struct cpu_codes *codes = step->codes;
    struct int8_conv        conv  = codes->conv;

    conv.x        = x;
    conv.residual = step->input[1] != NULL ? codes_of(step->input[1]) : NULL;
    if (step->output->layout == LAYOUT_CODES)
        conv.y = codes_of(step->output);
    else
        conv.floats = step->output->data;
    codes->kernels->conv(&conv);
    if (conv.floats != NULL && codes->activation.kind != ACTIVATION_NONE)
        step->kernels->activate(&codes->activation, conv.floats, conv.floats, step->output->floats);
}

void cpu_codes_run_conv(const struct cpu_step *step)
{
    struct int8_pad pad = step->codes->pad;

    if (!step->codes->padded) {
        run_conv(step, codes_of(step->input[0]));
        return;
    }
    pad.x = codes_of(step->input[0]);
    pad.y = codes_of(step->input[2]);
    step->codes->kernels->pad(&pad);
    run_conv(step, pad.y);
}

void cpu_codes_run_stem(const struct cpu_step *step)
{
    struct int8_stem stem = step->codes->stem;

    stem.x = step->input[0]->data;
    stem.y = codes_of(step->input[2]);
    step->codes->kernels->stem(&stem);
    run_conv(step, stem.y);
}

void cpu_codes_run_depthwise(const struct cpu_step *step)
{
    struct int8_depthwise conv = step->codes->depthwise;

    conv.x        = codes_of(step->input[0]);
    conv.residual = step->input[1] != NULL ? codes_of(step->input[1]) : NULL;
    conv.scratch  = codes_of(step->input[2]);
    conv.y        = codes_of(step->output);
    step->codes->kernels->depthwise(&conv);
}

void cpu_codes_run_pool(const struct cpu_step *step)
{
    struct int8_pool pool = step->codes->pool;

    pool.x = codes_of(step->input[0]);
    pool.y = codes_of(step->output);
    step->codes->kernels->max_pool(&pool);
}

void cpu_codes_run_resize(const struct cpu_step *step)
{
    const int64_t *in = step->input[0]->dimension, *out = step->output->dimension;
    const size_t   row_bytes = (size_t)out[3] * INT8_BLOCK;
    const uint8_t *x         = codes_of(step->input[0]);
    uint8_t       *y         = codes_of(step->output);

    for (int64_t block = 0; block < blocks_of(step->output); block++) {
        int64_t before = -1;
        for (int64_t oy = 0; oy < out[2]; oy++, y += row_bytes) {
            int64_t        iy  = cpu_resize_nearest(step->node, 0, oy, in[2], out[2]);
            const uint8_t *row = x + (block * in[2] + iy) * in[3] * INT8_BLOCK;
            if (iy == before) {
                memcpy(y, y - row_bytes, row_bytes);
                continue;
            }
            before = iy;
            for (int64_t ox = 0; ox < out[3]; ox++)
                memcpy(y + ox * INT8_BLOCK, row + step->columns[ox] * INT8_BLOCK, INT8_BLOCK);
        }
    }
}

void cpu_codes_run_gather(const struct cpu_step *step)
{
    int64_t plane = pixels_of(step->output) * INT8_BLOCK;

    for (int i = 0; i < step->gather_count; i++) {
        const struct cpu_gather *plan   = &step->gathers[i];
        struct int8_gather       gather = {.sources = plan->sources,
                                           .pixels  = pixels_of(step->output),
                                           .y       = codes_of(step->output) + i * plane};
        bool                     whole  = plan->sources == 1;
        for (int k = 0; k < plan->sources; k++)
            gather.x[k] = codes_of(step->input[plan->input[k]]) + plan->offset[k];
        for (int k = 0; k < INT8_BLOCK; k++) {
            gather.source[k] = (uint8_t)plan->source[k];
            gather.lane[k]   = (uint8_t)plan->lane[k];
            whole            = whole && plan->lane[k] == k;
        }
        if (!whole)
            step->codes->kernels->gather(&gather);
        else if (gather.x[0] != gather.y) /* otherwise its producer has put it here already */
            memcpy(gather.y, gather.x[0], (size_t)plane);
    }
}

void cpu_codes_run_from_floats(const struct cpu_step *step)
{
    int64_t pixels = pixels_of(step->output), block = step->kernels->block;

    for (int64_t b = 0; b < blocks_of(step->output); b++) {
        const float *x = step->input[0]->data + b * pixels * INT8_BLOCK;
        uint8_t     *y = codes_of(step->output) + b * pixels * INT8_BLOCK;
        if (block == INT8_BLOCK) {
            step->codes->kernels->from_floats(x, step->codes->scale + b * INT8_BLOCK,
                                              step->codes->zero + b * INT8_BLOCK, pixels, y);
            continue;
        }
        for (int64_t p = 0; p < pixels; p++) {
            float lanes[INT8_BLOCK] = {0};
            for (int64_t i = 0;
                 i < INT8_BLOCK && b * INT8_BLOCK + i < step->input[0]->floats / pixels; i++)
                lanes[i] = x[(i / block * pixels + p) * block + i % block];
            step->codes->kernels->from_floats(lanes, step->codes->scale + b * INT8_BLOCK,
                                              step->codes->zero + b * INT8_BLOCK, 1,
                                              y + p * INT8_BLOCK);
        }
    }
}

void cpu_codes_run_to_floats(const struct cpu_step *step)
{
    int64_t pixels = pixels_of(step->output), block = step->kernels->block;

    for (int64_t b = 0; b < blocks_of(step->output); b++) {
        const uint8_t *x = codes_of(step->input[0]) + b * pixels * INT8_BLOCK;
        float         *y = step->output->data + b * pixels * INT8_BLOCK;
        if (block == INT8_BLOCK) {
            step->codes->kernels->to_floats(x, step->codes->scale + b * INT8_BLOCK,
                                            step->codes->zero + b * INT8_BLOCK, pixels, y);
            continue;
        }
        for (int64_t p = 0; p < pixels; p++) {
            float lanes[INT8_BLOCK];
            step->codes->kernels->to_floats(x + p * INT8_BLOCK, step->codes->scale + b * INT8_BLOCK,
                                            step->codes->zero + b * INT8_BLOCK, 1, lanes);
            for (int64_t i = 0;
                 i < INT8_BLOCK && b * INT8_BLOCK + i < step->output->floats / pixels; i++)
                y[(i / block * pixels + p) * block + i % block] = lanes[i];
        }
    }
}
