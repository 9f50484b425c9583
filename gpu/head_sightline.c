/* Sightline's own networks: for each of the strides 8, 16 and 32 an output 1×(4 + classes)×rows×columns:
 * logarithms of the distances, in strides, from the cell's centre to the left, top, right and bottom
 * side, then the logits of the classes. The mean is taken off here, the scale is in the first
 * convolution: so the network's own padding is the grey around the picture. */
#include <math.h>
#include <string.h>

#include "gpu/head.h"

#define SIDES 4

#define GREY 114.0F

static bool recognise(struct head *head, const struct model_info *model, struct why *why)
{
    static const char *const names[] = {"cells8", "cells16", "cells32"};
    bool                     found   = model->output_count == 3;

    head->stage_count = 0;
    for (int s = 0; s < 3 && found; s++) {
        const struct model_tensor *output = &model->output[s];
        const struct head_stage   *stage  = &head->stages[s];

        head_add_stage(head, 8 << s);
        found = strcmp(output->name, names[s]) == 0 && output->dimension_count == 4 &&
                output->dimension[0] == 1 && output->dimension[1] > SIDES &&
                output->dimension[1] <= SIDES + CLASS_MAP_MAX &&
                output->dimension[1] == model->output[0].dimension[1] &&
                output->dimension[2] == stage->rows && output->dimension[3] == stage->columns;
    }
    if (!found) {
        why_set(why, 0,
                "it must have for each of the strides 8, 16 and 32 an output \"cells8\", "
                "\"cells16\" and \"cells32\" of 1x(4 + classes)x(rows)x(columns)");
        return false;
    }
    head->class_count = (int)(model->output[0].dimension[1] - SIDES);
    head_want(head, PREPARE_TOP_LEFT, true, GREY, 1.0F);
    return true;
}

static void decode_cell(const struct head_stage *stage, int cell, const float *numbers,
                        const struct class_map *classes, float least, struct candidates *candidates)
{
    ptrdiff_t plane     = (ptrdiff_t)stage->columns * stage->rows;
    int       row       = cell / stage->columns;
    float     stride_px = (float)stage->stride_px, logit, x, y;
    int       best      = head_best_class(numbers + SIDES * plane, plane, classes->count, &logit);
    float     corners[4];

    if (best < 0 || !(logit >= least))
        return;
    x          = ((float)(cell % stage->columns) + 0.5F) * stride_px;
    y          = ((float)row + 0.5F) * stride_px;
    corners[0] = x - expf(numbers[0]) * stride_px;
    corners[1] = y - expf(numbers[plane]) * stride_px;
    corners[2] = x + expf(numbers[2 * plane]) * stride_px;
    corners[3] = y + expf(numbers[3 * plane]) * stride_px;
    head_add_corners(candidates, classes, corners, head_sigmoid(logit), best, stage->first + cell);
}

static void decode(const struct head *head, const struct class_map *classes,
                   const float *const *outputs, struct candidates *candidates)
{
    float least = head_logit(candidates->min_score);

    for (int s = 0; s < head->stage_count; s++) {
        const struct head_stage *stage = &head->stages[s];

        for (int cell = 0; cell < stage->columns * stage->rows; cell++)
            decode_cell(stage, cell, outputs[s] + cell, classes, least, candidates);
    }
}

const struct head_ops HEAD_SIGHTLINE = {
    .name = "sightline", .recognise = recognise, .decode = decode};
