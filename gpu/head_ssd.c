/* SSD, its priors already applied by the graph.
 *
 * Boxes 1×N×4 (corners in parts of the picture) and scores 1×N×classes after their softmax, whose
 * class 0 is "nothing": networks made with PyTorch, for pictures of (colour - 127) / 128.
 *
 * The same with scores after sigmoids, and the corners as top, left, bottom, right: networks made
 * with TensorFlow and cut off before their choice, for bytes.
 *
 * Boxes 1×N×4 (top, left, bottom, right in parts of the picture), scores 1×N, classes 1×N counted
 * from 1 as COCO does, and how many of them are used: networks made with TensorFlow, which choose
 * the boxes themselves and scale the picture of 0..255 too. Their raw boxes, which some exports add,
 * are not looked at. */
#include <stdio.h>

#include "gpu/head.h"

#define CLASSES_BY_NUMBER 91 /* COCO by its own numbers, from 0 */

#define QUERIES_MAX 1000 /* of a transformer: see head_detr.c */

enum { LAYOUT_SCORES, LAYOUT_SCORES_ROW_FIRST, LAYOUT_CHOSEN };

static bool recognise_scores(struct head *head, const struct model_info *model)
{
    static const char *const   LOGITS[] = {"logit", NULL};
    int                        boxes    = -1;
    const struct model_tensor *scores;

    if (model->output_count != 2 || head_output_called(model, LOGITS) >= 0)
        return false;
    for (int i = 0; i < 2; i++)
        if (head_output_is(&model->output[i], -1, 4) &&
            head_output_is(&model->output[1 - i], model->output[i].dimension[1], -1) &&
            model->output[i].dimension[1] <= INT32_MAX)
            boxes = i;
    if (boxes < 0)
        return false;
    scores              = &model->output[1 - boxes];
    head->layout        = model->traits.takes_bytes ? LAYOUT_SCORES_ROW_FIRST : LAYOUT_SCORES;
    head->boxes_output  = boxes;
    head->scores_output = 1 - boxes;
    head->row_count     = (int)model->output[boxes].dimension[1];
    if (scores->dimension[2] < 2 || scores->dimension[2] > CLASS_MAP_MAX)
        return false;
    head->class_count = (int)scores->dimension[2];
    if (scores->softmax || head->names_count == head->class_count - 1)
        head->background = CLASS_BACKGROUND_FIRST;
    head_want(head, PREPARE_STRETCH, true, 127.0F, 1.0F / 128.0F);
    if (!scores->softmax && !model->traits.takes_bytes)
        snprintf(head->note, sizeof head->note,
                 "the outputs do not tell which corner comes first and how pictures are scaled: "
                 "left, top and (colour - 127) / 128 are taken; see input under \"model:\"");
    /* A transformer's few queries have logits or sigmoids. */
    return head->named || scores->softmax || head->row_count > QUERIES_MAX;
}

static bool is_row_of(const struct model_tensor *output, int64_t rows)
{
    return output->dimension_count == 2 && output->dimension[0] == 1 &&
           output->dimension[1] == rows;
}

static bool recognise_chosen(struct head *head, const struct model_info *model)
{
    static const char *const BOXES[]   = {"detection_boxes", NULL};
    static const char *const SCORES[]  = {"detection_scores", NULL};
    static const char *const CLASSES[] = {"detection_classes", NULL};
    static const char *const COUNT[]   = {"num_detections", NULL};
    int                      boxes     = head_output_called(model, BOXES);
    int                      scores    = head_output_called(model, SCORES);
    int                      classes   = head_output_called(model, CLASSES);
    int                      count     = head_output_called(model, COUNT);
    int64_t                  rows;

    if (boxes < 0 || scores < 0 || classes < 0 || !head_output_is(&model->output[boxes], -1, 4))
        return false;
    rows = model->output[boxes].dimension[1];
    if (rows > INT32_MAX || !is_row_of(&model->output[scores], rows) ||
        !is_row_of(&model->output[classes], rows))
        return false;
    head->layout         = LAYOUT_CHOSEN;
    head->row_count      = (int)rows;
    head->boxes_output   = boxes;
    head->scores_output  = scores;
    head->classes_output = classes;
    head->count_output   = count;
    head->class_count    = head->names_count > 0 ? head->names_count + 1 : CLASSES_BY_NUMBER;
    if (head->class_count > CLASS_MAP_MAX)
        head->class_count = CLASS_MAP_MAX;
    head->background = CLASS_BACKGROUND_FIRST;
    head->distinct   = true;
    head_want(head, PREPARE_STRETCH, true, 0.0F, 1.0F);
    return true;
}

static bool recognise(struct head *head, const struct model_info *model, struct why *why)
{
    if (recognise_chosen(head, model) || recognise_scores(head, model))
        return true;
    why_set(why, 0,
            "it must have boxes of 1xNx4 and scores of 1xNx(1 + classes) after a softmax, or "
            "detection_boxes, detection_scores and detection_classes");
    return false;
}

static void decode_scores(const struct head *head, const struct class_map *classes,
                          const float *const *outputs, struct candidates *candidates)
{
    float        width = (float)head->input.width_px, height = (float)head->input.height_px;
    const float *boxes  = outputs[head->boxes_output];
    const float *scores = outputs[head->scores_output];

    int first = head->background == CLASS_BACKGROUND_FIRST ? 1 : 0;
    int x = head->layout == LAYOUT_SCORES_ROW_FIRST ? 1 : 0, y = 1 - x;

    for (int i = 0; i < head->row_count; i++, boxes += 4, scores += head->class_count) {
        float score;
        int   best;

        /* What is most likely nothing needs no look at the rest. */
        if (first == 1 && scores[0] > 1.0F - candidates->min_score)
            continue;
        best = head_best_class(scores + first, 1, head->class_count - first, &score);
        if (score >= candidates->min_score)
            head_add_corners(candidates, classes,
                             (float[4]){boxes[x] * width, boxes[y] * height, boxes[2 + x] * width,
                                        boxes[2 + y] * height},
                             score, best + first, i);
    }
}

static void decode_chosen(const struct head *head, const struct class_map *classes,
                          const float *const *outputs, struct candidates *candidates)
{
    float        width = (float)head->input.width_px, height = (float)head->input.height_px;
    const float *boxes = outputs[head->boxes_output];
    int          used  = head->row_count;

    if (head->count_output >= 0) {
        float count = outputs[head->count_output][0];

        /* Also false for what is no number. */
        used = count >= 0.0F && count < (float)used ? (int)(count + 0.25F) : used;
    }
    for (int i = 0; i < used; i++, boxes += 4) {
        float score = outputs[head->scores_output][i], number = outputs[head->classes_output][i];

        if (score >= candidates->min_score && number >= 1.0F && number < (float)head->class_count)
            head_add_corners(candidates, classes,
                             (float[4]){boxes[1] * width, boxes[0] * height, boxes[3] * width,
                                        boxes[2] * height},
                             score, (int)(number + 0.25F), i);
    }
}

static void decode(const struct head *head, const struct class_map *classes,
                   const float *const *outputs, struct candidates *candidates)
{
    if (head->layout != LAYOUT_CHOSEN)
        decode_scores(head, classes, outputs, candidates);
    else
        decode_chosen(head, classes, outputs, candidates);
}

const struct head_ops HEAD_SSD = {.name = "ssd", .recognise = recognise, .decode = decode};
