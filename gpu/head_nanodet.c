/* NanoDet-m: for each stride two outputs, 1×cells×classes after their sigmoids and 1×cells×32: for
 * each side a distribution over the distances 0..7 strides from the cell's centre (left, top, right,
 * bottom), before its softmax. The box is at the expected distances. */
#include <math.h>

#include "gpu/head.h"

#define DISTANCES    8  /* reg_max + 1 */
#define SIDE_NUMBERS 32 /* of all four */

/* The outputs of a stage by their shapes: scores first, when both could be either. */
static bool find_outputs(struct head_stage *stage, const struct model_info *model)
{
    stage->scores_output = stage->sides_output = -1;
    for (int i = 0; i < model->output_count; i++) {
        const struct model_tensor *output = &model->output[i];

        if (output->dimension_count != 3 || output->dimension[0] != 1 ||
            output->dimension[1] != (int64_t)stage->columns * stage->rows)
            continue;
        if (output->dimension[2] == SIDE_NUMBERS && stage->sides_output < 0)
            stage->sides_output = i;
        else if (stage->scores_output < 0)
            stage->scores_output = i;
    }
    if (stage->scores_output > stage->sides_output &&
        model->output[stage->scores_output].dimension[2] == SIDE_NUMBERS) {
        int swapped = stage->scores_output;

        stage->scores_output = stage->sides_output;
        stage->sides_output  = swapped;
    }
    return stage->scores_output >= 0 && stage->sides_output >= 0;
}

static bool recognise(struct head *head, const struct model_info *model, struct why *why)
{
    /* Blue, green, red; the usual mean and deviation of photographs. */
    static const float mean[3]      = {103.53F, 116.28F, 123.675F};
    static const float deviation[3] = {57.375F, 57.12F, 58.395F};
    bool               found        = model->output_count == 6;
    int64_t            class_count  = 0;

    head->stage_count = 0;
    for (int stride_px = 8; found && stride_px <= 32; stride_px *= 2) {
        struct head_stage *stage = &head->stages[head->stage_count];
        int64_t            classes;

        head_add_stage(head, stride_px);
        found = find_outputs(stage, model);
        if (!found)
            break;
        classes = model->output[stage->scores_output].dimension[2];
        found   = classes >= 1 && classes <= CLASS_MAP_MAX &&
                (class_count == 0 || classes == class_count);
        class_count = classes;
    }
    if (!found) {
        why_set(why, 0,
                "it must have for each of the strides 8, 16 and 32 an output of "
                "1x(cells)x(classes) and one of 1x(cells)x32");
        return false;
    }
    head->class_count = (int)class_count;
    head->input.fit   = PREPARE_CENTRED;
    head->input.rgb   = false;
    for (int c = 0; c < 3; c++) {
        head->input.mean[c]  = mean[c];
        head->input.scale[c] = 1.0F / deviation[c];
    }
    return true;
}

/* Expected distance, in strides. */
static float expected_distance(const float *logits)
{
    float most = logits[0], sum = 0.0F, weighted = 0.0F;

    for (int i = 1; i < DISTANCES; i++)
        most = logits[i] > most ? logits[i] : most;
    for (int i = 0; i < DISTANCES; i++) {
        float weight = expf(logits[i] - most);

        sum += weight;
        weighted += weight * (float)i;
    }
    return weighted / sum;
}

static void decode_cell(const struct head_stage *stage, int cell, const float *scores,
                        const float *sides, const struct class_map *classes,
                        struct candidates *candidates)
{
    float      stride_px = (float)stage->stride_px, score, x, y;
    int        best      = head_best_class(scores, 1, classes->count, &score);
    int        column = cell % stage->columns, row = cell / stage->columns;
    struct box box;

    if (best < 0 || classes->object_class[best] < 0)
        return;
    x   = ((float)column + 0.5F) * stride_px;
    y   = ((float)row + 0.5F) * stride_px;
    box = (struct box){.x0    = x - expected_distance(sides) * stride_px,
                       .y0    = y - expected_distance(sides + DISTANCES) * stride_px,
                       .x1    = x + expected_distance(sides + (ptrdiff_t)2 * DISTANCES) * stride_px,
                       .y1    = y + expected_distance(sides + (ptrdiff_t)3 * DISTANCES) * stride_px,
                       .score = score,
                       .object_class = (enum object_class)classes->object_class[best]};
    candidates_add(candidates, &box, stage->first + cell);
}

/* Written so that the compiler can compare many at once. */
static bool any_reaches(const float *scores, int count, float least)
{
    int hits = 0;

    for (int i = 0; i < count; i++)
        hits |= scores[i] >= least;
    return hits != 0;
}

static void decode(const struct head *head, const struct class_map *classes,
                   const float *const *outputs, struct candidates *candidates)
{
    for (int s = 0; s < head->stage_count; s++) {
        const struct head_stage *stage  = &head->stages[s];
        const float             *scores = outputs[stage->scores_output];
        const float             *sides  = outputs[stage->sides_output];

        for (int cell = 0; cell < stage->columns * stage->rows; cell++) {
            const float *cell_scores = scores + (ptrdiff_t)cell * head->class_count;

            if (any_reaches(cell_scores, head->class_count, candidates->min_score))
                decode_cell(stage, cell, cell_scores, sides + (ptrdiff_t)cell * SIDE_NUMBERS,
                            classes, candidates);
        }
    }
}

const struct head_ops HEAD_NANODET = {.name = "nanodet", .recognise = recognise, .decode = decode};
