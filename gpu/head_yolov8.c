/* YOLOv8, YOLO11 and their kin: no anchors, no objectness; class scores are the scores.
 *
 * Placed by the graph: 1×(4 + classes)×cells, centre and size in pixels, scores after their sigmoids,
 * each number in a plane of its own; some exports turn it to 1×cells×(4 + classes). What the tasks
 * besides detection add behind the scores (masks, key points) is not looked at.
 *
 * Raw: for each of the strides 8, 16, 32 an output 1×(64 + classes)×rows×columns, or those 64 and the
 * classes in two: for each side (left, top, right, bottom) a distribution over the distances 0..15
 * strides from the cell's centre, before its softmax, and class scores before their sigmoids. */
#include <math.h>
#include <string.h>

#include "gpu/head.h"

#define NUMBERS_BEFORE_CLASSES 4
#define SIDE_PLANES            64 /* of all four */
/* Scores of so many cells are compared at once: they stay in the nearest cache. */
#define CELLS_AT_ONCE 1024

/* How many classes an output with so many numbers for each box has, or 0. */
static int classes_of(const struct head *head, const struct model_info *model, int64_t numbers)
{
    int64_t     classes = numbers - NUMBERS_BEFORE_CLASSES;
    const char *task    = "";

    for (int i = 0; i < model->metadata_count; i++)
        if (strcmp(model->metadata_keys[i], "task") == 0)
            task = model->metadata_values[i];
    if (head->names_count > 0 && head->names_count < classes &&
        (strcmp(task, "segment") == 0 || strcmp(task, "pose") == 0))
        classes = head->names_count;
    return classes >= 1 && classes <= CLASS_MAP_MAX ? (int)classes : 0;
}

static bool recognise_placed(struct head *head, const struct model_info *model)
{
    for (int i = 0; i < model->output_count; i++) {
        const struct model_tensor *output = &model->output[i];
        int64_t                    a = output->dimension[1], b = output->dimension[2];
        bool                       planes;

        if (!head_output_is(output, -1, -1) || a > INT32_MAX || b > INT32_MAX)
            continue;
        planes = head_find_strides(head, b, 1) || (head->named && a < b);
        if (!planes && !head_find_strides(head, a, 1) && !head->named)
            continue;
        head->layout       = planes ? YOLOV8_PLANES : YOLOV8_ROWS;
        head->row_count    = (int)(planes ? b : a);
        head->row_numbers  = (int)(planes ? a : b);
        head->class_count  = classes_of(head, model, planes ? a : b);
        head->boxes_output = i;
        if (head->class_count > 0)
            return true;
    }
    return false;
}

/* The outputs of one stage: one of both, or one of each. The other 64 planes of a network with 64
 * classes are the second. */
static int64_t find_stage(struct head_stage *stage, const struct model_info *model)
{
    stage->sides_output = stage->scores_output = -1;
    for (int i = 0; i < model->output_count; i++) {
        const struct model_tensor *output = &model->output[i];
        int64_t                    planes = output->dimension[1];

        if (output->dimension_count != 4 || output->dimension[0] != 1 ||
            output->dimension[2] != stage->rows || output->dimension[3] != stage->columns)
            continue;
        if (planes == SIDE_PLANES && stage->sides_output < 0)
            stage->sides_output = i;
        else if (stage->scores_output < 0)
            stage->scores_output = i;
    }
    if (stage->scores_output < 0)
        return 0;
    if (stage->sides_output >= 0)
        return model->output[stage->scores_output].dimension[1];
    stage->sides_output = stage->scores_output;
    return model->output[stage->scores_output].dimension[1] - SIDE_PLANES;
}

static bool recognise_raw(struct head *head, const struct model_info *model)
{
    int64_t classes = 0;

    head->stage_count = 0;
    if (model->output_count != 3 && model->output_count != 6)
        return false;
    for (int stride_px = 8; stride_px <= 32; stride_px *= 2) {
        struct head_stage *stage = &head->stages[head->stage_count];
        int64_t            found;

        head_add_stage(head, stride_px);
        found = find_stage(stage, model);
        if (found < 1 || found > CLASS_MAP_MAX || (classes != 0 && found != classes))
            return false;
        classes = found;
    }
    head->layout      = YOLOV8_RAW;
    head->class_count = (int)classes;
    head->logits      = !model->output[head->stages[0].scores_output].unit;
    return true;
}

static bool recognise(struct head *head, const struct model_info *model, struct why *why)
{
    if (!recognise_placed(head, model) && !recognise_raw(head, model)) {
        why_set(why, 0,
                "it must have an output of 1x(4 + classes)x(cells of the strides 8, 16 and 32), or "
                "for each of these strides one of 1x(64 + classes)x(rows)x(columns)");
        return false;
    }
    head_want(head, PREPARE_CENTRED, true, 0.0F, 1.0F / 255.0F);
    return true;
}

/* Most cells see nothing: only those go on in which a class that is counted reaches the score, so
 * of 80 planes few are read. Written so that the compiler compares many cells at once. */
static void best_of_counted(const struct class_map *classes, const float *scores, ptrdiff_t plane,
                            int count, float *best)
{
    for (int k = 0; k < count; k++)
        best[k] = -INFINITY;
    for (int i = 0; i < classes->counted_count; i++) {
        const float *row = scores + classes->counted[i] * plane;

        for (int k = 0; k < count; k++)
            best[k] = row[k] > best[k] ? row[k] : best[k];
    }
}

static void decode_planes(const struct head *head, const struct class_map *classes,
                          const float *numbers, struct candidates *candidates)
{
    ptrdiff_t    plane  = head->row_count;
    const float *scores = numbers + NUMBERS_BEFORE_CLASSES * plane;
    float        best[CELLS_AT_ONCE];

    for (int first = 0; first < head->row_count; first += CELLS_AT_ONCE) {
        int left  = head->row_count - first;
        int count = left < CELLS_AT_ONCE ? left : CELLS_AT_ONCE;

        best_of_counted(classes, scores + first, plane, count, best);
        for (int k = 0; k < count; k++) {
            const float *cell = numbers + first + k;
            float        score;
            int          found;

            if (!(best[k] >= candidates->min_score))
                continue;
            found = head_best_class(scores + first + k, plane, head->class_count, &score);
            head_add_centred(candidates, classes,
                             (float[4]){cell[0], cell[plane], cell[2 * plane], cell[3 * plane]},
                             score, found, first + k);
        }
    }
}

static void decode_rows(const struct head *head, const struct class_map *classes,
                        const float *numbers, struct candidates *candidates)
{
    for (int row = 0; row < head->row_count; row++, numbers += head->row_numbers) {
        float score;
        int best = head_best_class(numbers + NUMBERS_BEFORE_CLASSES, 1, head->class_count, &score);

        if (score >= candidates->min_score)
            head_add_centred(candidates, classes, numbers, score, best, row);
    }
}

/* Expected distance, in strides. */
static float expected_distance(const float *logits, ptrdiff_t plane)
{
    float most = logits[0], sum = 0.0F, weighted = 0.0F;

    for (int i = 1; i < YOLOV8_DISTANCES; i++)
        most = logits[i * plane] > most ? logits[i * plane] : most;
    for (int i = 0; i < YOLOV8_DISTANCES; i++) {
        float weight = expf(logits[i * plane] - most);

        sum += weight;
        weighted += weight * (float)i;
    }
    return weighted / sum;
}

static void decode_raw_cell(const struct head *head, const struct class_map *classes,
                            const struct head_stage *stage, const float *sides, const float *scores,
                            int cell, struct candidates *candidates)
{
    ptrdiff_t plane     = (ptrdiff_t)stage->columns * stage->rows;
    float     stride_px = (float)stage->stride_px, score, distance[4];
    int       best      = head_best_class(scores, plane, head->class_count, &score);
    int       row       = cell / stage->columns;
    float     x         = ((float)(cell % stage->columns) + 0.5F) * stride_px;
    float     y         = ((float)row + 0.5F) * stride_px;

    for (int i = 0; i < 4; i++)
        distance[i] = expected_distance(sides + i * YOLOV8_DISTANCES * plane, plane) * stride_px;
    head_add_corners(candidates, classes,
                     (float[4]){x - distance[0], y - distance[1], x + distance[2], y + distance[3]},
                     head->logits ? head_sigmoid(score) : score, best, stage->first + cell);
}

static void decode_raw_stage(const struct head *head, const struct class_map *classes,
                             const struct head_stage *stage, const float *sides,
                             const float *scores, struct candidates *candidates)
{
    int   cells = stage->columns * stage->rows;
    float least = head->logits ? head_logit(candidates->min_score) : candidates->min_score;
    float best[CELLS_AT_ONCE];

    for (int first = 0; first < cells; first += CELLS_AT_ONCE) {
        int count = cells - first < CELLS_AT_ONCE ? cells - first : CELLS_AT_ONCE;

        best_of_counted(classes, scores + first, cells, count, best);
        for (int k = 0; k < count; k++)
            if (best[k] >= least)
                decode_raw_cell(head, classes, stage, sides + first + k, scores + first + k,
                                first + k, candidates);
    }
}

static void decode(const struct head *head, const struct class_map *classes,
                   const float *const *outputs, struct candidates *candidates)
{
    if (head->layout == YOLOV8_PLANES) {
        decode_planes(head, classes, outputs[head->boxes_output], candidates);
        return;
    }
    if (head->layout == YOLOV8_ROWS) {
        decode_rows(head, classes, outputs[head->boxes_output], candidates);
        return;
    }
    for (int s = 0; s < head->stage_count; s++) {
        const struct head_stage *stage  = &head->stages[s];
        const float             *scores = outputs[stage->scores_output];

        if (stage->scores_output == stage->sides_output)
            scores += (ptrdiff_t)SIDE_PLANES * stage->columns * stage->rows;
        decode_raw_stage(head, classes, stage, outputs[stage->sides_output], scores, candidates);
    }
}

const struct head_ops HEAD_YOLOV8 = {.name = "yolov8", .recognise = recognise, .decode = decode};
