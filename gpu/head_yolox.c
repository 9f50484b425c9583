/* YOLOX: one output 1×cells×(5 + classes), raw: x, y and log sizes in strides of the cell, then
 * objectness and class scores after their sigmoids; strides 8, 16, 32 one after the other. */
#include <math.h>

#include "gpu/head.h"

#define NUMBERS_BEFORE_CLASSES 5

static bool recognise(struct head *head, const struct model_info *model, struct why *why)
{
    const struct model_tensor *output = &model->output[0];
    int                        cells  = 0;

    head->stage_count = 0;
    for (int stride_px = 8; stride_px <= 32; stride_px *= 2)
        cells = head_add_stage(head, stride_px);
    if (model->output_count != 1 || output->dimension_count != 3 || output->dimension[0] != 1 ||
        output->dimension[1] != cells || output->dimension[2] <= NUMBERS_BEFORE_CLASSES ||
        output->dimension[2] > NUMBERS_BEFORE_CLASSES + CLASS_MAP_MAX) {
        why_set(why, 0, "it must have one output of 1x%dx(5 + classes)", cells);
        return false;
    }
    head->class_count = (int)output->dimension[2] - NUMBERS_BEFORE_CLASSES;
    head->input.fit   = PREPARE_TOP_LEFT;
    head->input.rgb   = false;
    head->input.pad   = 114.0F;
    for (int c = 0; c < 3; c++)
        head->input.scale[c] = 1.0F;
    return true;
}

static void decode_cell(const struct head_stage *stage, int cell, const float *numbers,
                        const struct class_map *classes, struct candidates *candidates)
{
    float stride_px = (float)stage->stride_px, class_score, width, height, x, y;
    int   best = head_best_class(numbers + NUMBERS_BEFORE_CLASSES, 1, classes->count, &class_score);
    int   column = cell % stage->columns, row = cell / stage->columns;
    struct box box;

    if (best < 0 || classes->object_class[best] < 0)
        return;
    x      = (numbers[0] + (float)column) * stride_px;
    y      = (numbers[1] + (float)row) * stride_px;
    width  = expf(numbers[2]) * stride_px;
    height = expf(numbers[3]) * stride_px;
    box    = (struct box){.x0           = x - width / 2.0F,
                          .y0           = y - height / 2.0F,
                          .x1           = x + width / 2.0F,
                          .y1           = y + height / 2.0F,
                          .score        = numbers[4] * class_score,
                          .object_class = (enum object_class)classes->object_class[best]};
    candidates_add(candidates, &box, stage->first + cell);
}

static void decode(const struct head *head, const struct class_map *classes,
                   const float *const *outputs, struct candidates *candidates)
{
    int length = NUMBERS_BEFORE_CLASSES + head->class_count;

    for (int s = 0; s < head->stage_count; s++) {
        const struct head_stage *stage   = &head->stages[s];
        const float             *numbers = outputs[0] + (ptrdiff_t)stage->first * length;

        for (int cell = 0; cell < stage->columns * stage->rows; cell++, numbers += length)
            /* No class score is above 1, so most cells are told by their objectness alone. */
            if (numbers[4] >= candidates->min_score)
                decode_cell(stage, cell, numbers, classes, candidates);
    }
}

const struct head_ops HEAD_YOLOX = {.name = "yolox", .recognise = recognise, .decode = decode};
