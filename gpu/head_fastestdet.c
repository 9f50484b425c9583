/* FastestDet: one output 1×(5 + classes)×rows×columns: objectness after its sigmoid, x and y before
 * tanh, sizes before sigmoid, then class scores after a softmax. Positions are in cells, sizes in
 * parts of the picture; the score is objectness^0.6 * class^0.4. */
#include <math.h>

#include "gpu/head.h"

#define NUMBERS_BEFORE_CLASSES 5

static bool recognise(struct head *head, const struct model_info *model, struct why *why)
{
    const struct model_tensor *output    = &model->output[0];
    int                        stride_px = 0;

    if (model->output_count == 1 && output->dimension_count == 4 && output->dimension[0] == 1 &&
        output->dimension[2] >= 1 && output->dimension[2] <= head->input.height_px &&
        output->dimension[3] >= 1 && output->dimension[3] <= head->input.width_px &&
        output->dimension[1] > NUMBERS_BEFORE_CLASSES &&
        output->dimension[1] <= NUMBERS_BEFORE_CLASSES + CLASS_MAP_MAX)
        stride_px = head->input.height_px / (int)output->dimension[2];
    if (stride_px == 0 || output->dimension[2] * stride_px != head->input.height_px ||
        output->dimension[3] * stride_px != head->input.width_px) {
        why_set(why, 0, "it must have one output of 1x(5 + classes)x(rows)x(columns)");
        return false;
    }
    head->stage_count = 0;
    head_add_stage(head, stride_px);
    head->class_count = (int)output->dimension[1] - NUMBERS_BEFORE_CLASSES;
    head->input.fit   = PREPARE_STRETCH;
    head->input.rgb   = false;
    for (int c = 0; c < 3; c++)
        head->input.scale[c] = 1.0F / 255.0F;
    return true;
}

static float sigmoid(float x)
{
    return 1.0F / (1.0F + expf(-x));
}

static void decode_cell(const struct head *head, const struct class_map *classes,
                        const float *numbers, int cell, struct candidates *candidates)
{
    const struct head_stage *stage     = &head->stages[0];
    ptrdiff_t                plane     = (ptrdiff_t)stage->columns * stage->rows;
    float                    stride_px = (float)stage->stride_px, class_score;
    float                    x, y, width, height;
    int                      column = cell % stage->columns, row = cell / stage->columns;
    struct box               box;
    int best = head_best_class(numbers + NUMBERS_BEFORE_CLASSES * plane, plane, head->class_count,
                               &class_score);

    if (best < 0 || classes->object_class[best] < 0)
        return;
    x      = ((float)column + tanhf(numbers[plane])) * stride_px;
    y      = ((float)row + tanhf(numbers[2 * plane])) * stride_px;
    width  = sigmoid(numbers[3 * plane]) * (float)head->input.width_px;
    height = sigmoid(numbers[4 * plane]) * (float)head->input.height_px;
    box    = (struct box){.x0           = x - width / 2.0F,
                          .y0           = y - height / 2.0F,
                          .x1           = x + width / 2.0F,
                          .y1           = y + height / 2.0F,
                          .score        = powf(numbers[0], 0.6F) * powf(class_score, 0.4F),
                          .object_class = (enum object_class)classes->object_class[best]};
    candidates_add(candidates, &box, cell);
}

static void decode(const struct head *head, const struct class_map *classes,
                   const float *const *outputs, struct candidates *candidates)
{
    /* No class score is above 1: below this objectness no cell can reach the wanted score. */
    float least = powf(candidates->min_score, 1.0F / 0.6F) * 0.999F;

    for (int cell = 0; cell < head->stages[0].columns * head->stages[0].rows; cell++)
        if (outputs[0][cell] >= least)
            decode_cell(head, classes, outputs[0] + cell, cell, candidates);
}

const struct head_ops HEAD_FASTESTDET = {
    .name = "fastestdet", .recognise = recognise, .decode = decode};
