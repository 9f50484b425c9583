/* Networks whose last step is the choice of boxes: one row for each object.
 *
 * 1×N×6: left, top, right, bottom in pixels of the tensor, score, class (YOLOv10, YOLO26 and what
 * is exported "with NMS"). N×7 or 1×N×7: picture, the same corners, class, score (YOLOv7). Or the
 * count, the boxes, the scores and the classes in four outputs 1×1, 1×N×4, 1×N and 1×N, in pixels
 * too. Rows that are not used hold a score of 0. */
#include "gpu/head.h"

#define NUMBERS_FIRST_SCORE   6
#define NUMBERS_FIRST_PICTURE 7
#define CLASSES_USUAL         80

enum { LAYOUT_SCORE_CLASS, LAYOUT_PICTURE, LAYOUT_APART };

static bool recognise_rows(struct head *head, const struct model_info *model)
{
    const struct model_tensor *output  = &model->output[0];
    int                        rank    = output->dimension_count;
    int64_t                    numbers = rank >= 2 ? output->dimension[rank - 1] : 0;
    int64_t                    rows    = rank >= 2 ? output->dimension[rank - 2] : 0;

    if (model->output_count != 1 || rank < 2 || rank > 3 ||
        (rank == 3 && output->dimension[0] != 1) || rows > INT32_MAX ||
        (numbers != NUMBERS_FIRST_SCORE && numbers != NUMBERS_FIRST_PICTURE))
        return false;
    head->layout       = numbers == NUMBERS_FIRST_SCORE ? LAYOUT_SCORE_CLASS : LAYOUT_PICTURE;
    head->row_count    = (int)rows;
    head->row_numbers  = (int)numbers;
    head->boxes_output = 0;
    return true;
}

/* 1×N numbers. */
static bool is_row_of(const struct model_tensor *output, int64_t rows)
{
    return output->dimension_count == 2 && output->dimension[0] == 1 &&
           output->dimension[1] == rows;
}

static bool recognise_apart(struct head *head, const struct model_info *model)
{
    static const char *const BOXES[]   = {"box", NULL};
    static const char *const SCORES[]  = {"score", NULL};
    static const char *const CLASSES[] = {"class", "label", NULL};
    int                      boxes     = head_output_called(model, BOXES);
    int                      scores    = head_output_called(model, SCORES);
    int                      classes   = head_output_called(model, CLASSES);
    int64_t                  rows;

    if (boxes < 0 || scores < 0 || classes < 0 || scores == classes ||
        !head_output_is(&model->output[boxes], -1, 4))
        return false;
    rows = model->output[boxes].dimension[1];
    if (rows > INT32_MAX || !is_row_of(&model->output[scores], rows) ||
        !is_row_of(&model->output[classes], rows))
        return false;
    head->layout         = LAYOUT_APART;
    head->row_count      = (int)rows;
    head->boxes_output   = boxes;
    head->scores_output  = scores;
    head->classes_output = classes;
    return true;
}

static bool recognise(struct head *head, const struct model_info *model, struct why *why)
{
    if (!recognise_rows(head, model) && !recognise_apart(head, model)) {
        why_set(
            why, 0,
            "it must have one output of 1xNx6 (corners, score, class) or Nx7 (picture, corners, "
            "class, score), or boxes of 1xNx4 with scores and classes of 1xN");
        return false;
    }
    head->class_count = head->names_count > 0 ? head->names_count : CLASSES_USUAL;
    if (head->class_count > CLASS_MAP_MAX)
        head->class_count = CLASS_MAP_MAX;
    head->distinct = true;
    head_want(head, PREPARE_CENTRED, true, 0.0F, 1.0F / 255.0F);
    return true;
}

/* -1 for what is no number of a class. */
static int class_of(float number, int count)
{
    return number >= 0.0F && number < (float)count ? (int)(number + 0.25F) : -1;
}

static void decode(const struct head *head, const struct class_map *classes,
                   const float *const *outputs, struct candidates *candidates)
{
    const float *row = outputs[head->boxes_output];

    for (int i = 0; i < head->row_count; i++) {
        const float *corners = row;
        float        score, number;

        if (head->layout == LAYOUT_SCORE_CLASS) {
            score  = row[4];
            number = row[5];
            row += NUMBERS_FIRST_SCORE;
        } else if (head->layout == LAYOUT_PICTURE) {
            corners = row + 1;
            number  = row[5];
            score   = row[6];
            row += NUMBERS_FIRST_PICTURE;
        } else {
            score  = outputs[head->scores_output][i];
            number = outputs[head->classes_output][i];
            row += 4;
        }
        if (score >= candidates->min_score)
            head_add_corners(candidates, classes, corners, score,
                             class_of(number, head->class_count), i);
    }
}

const struct head_ops HEAD_END_TO_END = {
    .name = "end_to_end", .recognise = recognise, .decode = decode};
