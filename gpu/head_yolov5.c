/* YOLOv5 and YOLOv7: centre, size, objectness and class scores of each box.
 *
 * Placed by the graph: 1×rows×(5 + classes), in pixels, scores after their sigmoids; three boxes for
 * each cell, one with the newer networks that have no anchors (YOLOv6). The other outputs that some
 * exports add are not looked at.
 *
 * Raw: for each stride 1×3×rows×columns×(5 + classes), before the sigmoids s: the position is
 * 2s - 0.5 cells from the cell's corner, the size (2s)^2 times that of the anchor. The anchors are
 * not in the file: they are those that the family's networks for 640 pixels come with. */
#include <stdio.h>

#include "gpu/head.h"

#define NUMBERS_BEFORE_CLASSES 5
#define ANCHORS                3 /* boxes of a cell */

enum { LAYOUT_PLACED, LAYOUT_RAW };

static const float YOLOV5_ANCHORS[] = {10, 13, 16,  30,  33, 23,  30,  61,  62,
                                       45, 59, 119, 116, 90, 156, 198, 373, 326};
static const float YOLOV7_ANCHORS[] = {12, 16, 19,  36,  40,  28,  36,  75,  76,
                                       55, 72, 146, 142, 110, 192, 243, 459, 401};

static bool classes_fit(int64_t numbers)
{
    return numbers > NUMBERS_BEFORE_CLASSES && numbers <= NUMBERS_BEFORE_CLASSES + CLASS_MAP_MAX;
}

/* One box for each cell has YOLOv8 too, which gives one number less. */
static bool is_one_for_each_cell(struct head *head, const struct model_info *model, int64_t rows,
                                 int64_t numbers)
{
    int64_t classes = head->names_count > 0 ? head->names_count : 80;

    if (!model->traits.has_grid || numbers == NUMBERS_BEFORE_CLASSES - 1 + classes)
        return false;
    return head_find_strides(head, rows, 1);
}

static bool recognise_placed(struct head *head, const struct model_info *model)
{
    for (int i = 0; i < model->output_count; i++) {
        const struct model_tensor *output = &model->output[i];
        int64_t                    rows   = output->dimension[1];

        if (!head_output_is(output, -1, -1) || rows > INT32_MAX / ANCHORS ||
            !classes_fit(output->dimension[2]))
            continue;
        if (!head_find_strides(head, rows, ANCHORS) &&
            !is_one_for_each_cell(head, model, rows, output->dimension[2]) && !head->named)
            continue;
        head->layout       = LAYOUT_PLACED;
        head->boxes_output = i;
        head->row_count    = (int)rows;
        head->row_numbers  = (int)output->dimension[2];
        return true;
    }
    return false;
}

static bool recognise_raw(struct head *head, const struct model_info *model)
{
    int64_t numbers = 0;

    head->stage_count = 0;
    if (model->output_count != 3)
        return false;
    for (int stride_px = 8; stride_px <= 32; stride_px *= 2) {
        struct head_stage *stage = &head->stages[head->stage_count];

        head_add_stage(head, stride_px);
        stage->scores_output = -1;
        for (int i = 0; i < model->output_count; i++) {
            const struct model_tensor *output = &model->output[i];

            if (output->dimension_count == 5 && output->dimension[0] == 1 &&
                output->dimension[1] == ANCHORS && output->dimension[2] == stage->rows &&
                output->dimension[3] == stage->columns && classes_fit(output->dimension[4]) &&
                (numbers == 0 || numbers == output->dimension[4])) {
                stage->scores_output = i;
                numbers              = output->dimension[4];
            }
        }
        if (stage->scores_output < 0)
            return false;
    }
    head->layout      = LAYOUT_RAW;
    head->logits      = !model->output[0].unit;
    head->row_numbers = (int)numbers;
    return true;
}

static bool recognise(struct head *head, const struct model_info *model, const float *anchors,
                      struct why *why)
{
    if (!recognise_placed(head, model) && !recognise_raw(head, model)) {
        why_set(why, 0,
                "it must have an output of 1x(3 boxes for each cell)x(5 + classes), or for each of "
                "the strides 8, 16 and 32 one of 1x3x(rows)x(columns)x(5 + classes)");
        return false;
    }
    head->anchors     = anchors;
    head->class_count = head->row_numbers - NUMBERS_BEFORE_CLASSES;
    head_want(head, PREPARE_CENTRED, true, 0.0F, 1.0F / 255.0F);
    return true;
}

static bool recognise_yolov5(struct head *head, const struct model_info *model, struct why *why)
{
    if (!recognise(head, model, YOLOV5_ANCHORS, why))
        return false;
    if (head->layout == LAYOUT_RAW && !head->named)
        snprintf(head->note, sizeof head->note,
                 "the outputs do not tell the anchors: those of YOLOv5 are taken; name the head "
                 "yolov7 for a network of that family");
    return true;
}

static bool recognise_yolov7(struct head *head, const struct model_info *model, struct why *why)
{
    return recognise(head, model, YOLOV7_ANCHORS, why);
}

static void add_row(const struct head *head, const struct class_map *classes, const float *numbers,
                    const float box[4], float objectness, int number, struct candidates *candidates)
{
    float class_score;
    int   best = head_best_class(numbers + NUMBERS_BEFORE_CLASSES, 1, head->class_count,
                                 &class_score);

    if (head->layout == LAYOUT_RAW && head->logits)
        class_score = head_sigmoid(class_score);
    head_add_centred(candidates, classes, box, objectness * class_score, best, number);
}

static void decode_raw_cell(const struct head *head, const struct class_map *classes,
                            const struct head_stage *stage, const float *numbers, int anchor,
                            int cell, struct candidates *candidates)
{
    const float *size      = head->anchors + (ptrdiff_t)2 * anchor;
    float        stride_px = (float)stage->stride_px;
    int          column = cell % stage->columns, row = cell / stage->columns;
    float        s[5], box[4];

    for (int i = 0; i < 5; i++)
        s[i] = head->logits ? head_sigmoid(numbers[i]) : numbers[i];
    box[0] = (2.0F * s[0] - 0.5F + (float)column) * stride_px;
    box[1] = (2.0F * s[1] - 0.5F + (float)row) * stride_px;
    box[2] = 4.0F * s[2] * s[2] * size[0];
    box[3] = 4.0F * s[3] * s[3] * size[1];
    add_row(head, classes, numbers, box, s[4], (stage->first + cell) * ANCHORS + anchor % ANCHORS,
            candidates);
}

static void decode_raw(const struct head *head, const struct class_map *classes,
                       const float *const *outputs, struct candidates *candidates)
{
    float least = head->logits ? head_logit(candidates->min_score) : candidates->min_score;

    for (int s = 0; s < head->stage_count; s++) {
        const struct head_stage *stage   = &head->stages[s];
        const float             *numbers = outputs[stage->scores_output];

        for (int a = 0; a < ANCHORS; a++)
            for (int cell = 0; cell < stage->columns * stage->rows; cell++) {
                if (numbers[4] >= least)
                    decode_raw_cell(head, classes, stage, numbers, s * ANCHORS + a, cell,
                                    candidates);
                numbers += head->row_numbers;
            }
    }
}

static void decode(const struct head *head, const struct class_map *classes,
                   const float *const *outputs, struct candidates *candidates)
{
    const float *numbers;

    if (head->layout == LAYOUT_RAW) {
        decode_raw(head, classes, outputs, candidates);
        return;
    }
    numbers = outputs[head->boxes_output];
    for (int row = 0; row < head->row_count; row++, numbers += head->row_numbers)
        /* No class score is above 1, so most boxes are told by their objectness alone. */
        if (numbers[4] >= candidates->min_score)
            add_row(head, classes, numbers, numbers, numbers[4], row, candidates);
}

const struct head_ops HEAD_YOLOV5 = {
    .name = "yolov5", .recognise = recognise_yolov5, .decode = decode};
const struct head_ops HEAD_YOLOV7 = {
    .name = "yolov7", .recognise = recognise_yolov7, .decode = decode};
