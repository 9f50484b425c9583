/* YOLOX: one output 1×cells×(5 + classes): position, size, then objectness and class scores after
 * their sigmoids; strides 8, 16, 32 one after the other. Raw, the position is in strides from the
 * cell and the size a logarithm of strides; a graph that places the boxes itself (it has the grid in
 * its constants and takes the exponential) gives the centre and the size in pixels. */
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
    if (model->output_count != 1 || !head_output_is(output, cells, -1) ||
        output->dimension[2] <= NUMBERS_BEFORE_CLASSES ||
        output->dimension[2] > NUMBERS_BEFORE_CLASSES + CLASS_MAP_MAX) {
        why_set(why, 0, "it must have one output of 1x%dx(5 + classes)", cells);
        return false;
    }
    if (!head->named && model->traits.has_grid && !model->traits.has_exponential) {
        why_set(why, 0, "its boxes are placed without the exponential of YOLOX");
        return false;
    }
    head->layout      = model->traits.has_grid ? YOLOX_PLACED : YOLOX_RAW;
    head->class_count = (int)output->dimension[2] - NUMBERS_BEFORE_CLASSES;
    head_want(head, PREPARE_TOP_LEFT, false, 0.0F, 1.0F);
    return true;
}

static void decode_cell(const struct head *head, const struct head_stage *stage, int cell,
                        const float *numbers, const struct class_map *classes,
                        struct candidates *candidates)
{
    float stride_px = (float)stage->stride_px, class_score;
    int   best      = head_best_class(numbers + NUMBERS_BEFORE_CLASSES, 1, head->class_count,
                                      &class_score);
    int   column = cell % stage->columns, row = cell / stage->columns;
    float box[4] = {numbers[0], numbers[1], numbers[2], numbers[3]};

    if (best < 0 || classes->object_class[best] < 0)
        return;
    if (head->layout == YOLOX_RAW) {
        box[0] = (box[0] + (float)column) * stride_px;
        box[1] = (box[1] + (float)row) * stride_px;
        box[2] = expf(box[2]) * stride_px;
        box[3] = expf(box[3]) * stride_px;
    }
    head_add_centred(candidates, classes, box, numbers[4] * class_score, best, stage->first + cell);
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
                decode_cell(head, stage, cell, numbers, classes, candidates);
    }
}

const struct head_ops HEAD_YOLOX = {.name = "yolox", .recognise = recognise, .decode = decode};
