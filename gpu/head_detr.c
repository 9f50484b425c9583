/* DETR and its kin (RT-DETR, D-FINE, RF-DETR): a set of queries, each at most one object.
 *
 * Logits 1×Q×classes and boxes 1×Q×4 (centre and size in parts of the picture), in any order; or both
 * in one output 1×Q×(4 + classes) with scores after their sigmoids; or, with the choice made by the
 * graph, labels 1×Q, boxes 1×Q×4 (corners in pixels of the tensor) and scores 1×Q.
 *
 * 92 classes are those of the first DETR: COCO by its own numbers and a last one for nothing, with a
 * softmax over all. Everything else has sigmoids. Networks with 91 or 92 classes want the mean and
 * deviation of photographs, the others 0..1. */
#include <math.h>

#include "config/assert.h"
#include "gpu/head.h"

#define QUERIES_MAX          1000 /* 100 to 900 are usual; SSD begins above */
#define CLASSES_WITH_SOFTMAX 92
#define CLASSES_BY_NUMBER    91
#define CLASSES_USUAL        80

enum { LAYOUT_LOGITS, LAYOUT_JOINED, LAYOUT_CHOSEN };

static bool recognise_logits(struct head *head, const struct model_info *model)
{
    int boxes = -1, logits = -1;

    for (int i = 0; i < model->output_count; i++) {
        const struct model_tensor *output = &model->output[i];
        bool                       called = head_output_called(
                                                &(struct model_info){.output_count = 1, .output = {*output}},
                                                (const char *const[]){"box", "det", NULL}) == 0;

        if (!head_output_is(output, -1, -1) || output->dimension[1] > QUERIES_MAX)
            continue;
        /* Four classes look like boxes: then the names decide. */
        if (output->dimension[2] == 4 && (boxes < 0 || called))
            boxes = i;
    }
    for (int i = 0; boxes >= 0 && i < model->output_count; i++)
        if (i != boxes &&
            head_output_is(&model->output[i], model->output[boxes].dimension[1], -1) &&
            model->output[i].dimension[2] <= CLASS_MAP_MAX && logits < 0)
            logits = i;
    if (logits < 0)
        return false;
    head->layout        = LAYOUT_LOGITS;
    head->boxes_output  = boxes;
    head->scores_output = logits;
    head->row_count     = (int)model->output[boxes].dimension[1];
    head->class_count   = (int)model->output[logits].dimension[2];
    head->logits        = !model->output[logits].unit;
    return true;
}

static bool recognise_joined(struct head *head, const struct model_info *model)
{
    const struct model_tensor *output  = &model->output[0];
    int64_t                    classes = output->dimension[2] - 4;

    if (model->output_count != 1 || !head_output_is(output, -1, -1) ||
        output->dimension[1] > QUERIES_MAX || classes < 1 || classes > CLASS_MAP_MAX)
        return false;
    /* Six numbers are rather corners, score and class. */
    if (!head->named && classes != (head->names_count > 0 ? head->names_count : CLASSES_USUAL))
        return false;
    head->layout       = LAYOUT_JOINED;
    head->boxes_output = 0;
    head->row_count    = (int)output->dimension[1];
    head->class_count  = (int)classes;
    return true;
}

static bool recognise_chosen(struct head *head, const struct model_info *model)
{
    static const char *const LABELS[] = {"label", NULL};
    static const char *const SCORES[] = {"score", NULL};
    int                      labels   = head_output_called(model, LABELS);
    int                      scores   = head_output_called(model, SCORES);
    int64_t                  rows;

    if (model->output_count != 3 || labels < 0 || scores < 0 || labels == scores)
        return false;
    head->boxes_output = 3 - labels - scores;
    rows               = model->output[labels].dimension[1];
    if (model->output[labels].dimension_count != 2 || model->output[scores].dimension_count != 2 ||
        model->output[labels].dimension[0] != 1 || model->output[scores].dimension[0] != 1 ||
        model->output[scores].dimension[1] != rows || rows > INT32_MAX ||
        !head_output_is(&model->output[head->boxes_output], rows, 4))
        return false;
    head->layout         = LAYOUT_CHOSEN;
    head->scores_output  = scores;
    head->classes_output = labels;
    head->row_count      = (int)rows;
    head->class_count    = head->names_count > 0 ? head->names_count : CLASSES_USUAL;
    return head->class_count <= CLASS_MAP_MAX;
}

static bool recognise(struct head *head, const struct model_info *model, struct why *why)
{
    if (!recognise_logits(head, model) && !recognise_joined(head, model) &&
        !recognise_chosen(head, model)) {
        why_set(
            why, 0,
            "it must have logits of 1x(queries)x(classes) and boxes of 1x(queries)x4, or labels, "
            "boxes and scores");
        return false;
    }
    if (head->class_count == CLASSES_WITH_SOFTMAX)
        head->background = CLASS_BACKGROUND_LAST;
    head->distinct = true;
    if (head->class_count == CLASSES_WITH_SOFTMAX || head->class_count == CLASSES_BY_NUMBER)
        head_want_photograph(head, PREPARE_STRETCH);
    else
        head_want(head, PREPARE_STRETCH, true, 0.0F, 1.0F / 255.0F);
    return true;
}

static float softmax_score(const float *logits, int count, float best)
{
    float sum = 0.0F, most = best;

    for (int k = 0; k < count; k++)
        most = logits[k] > most ? logits[k] : most;
    for (int k = 0; k < count; k++)
        sum += expf(logits[k] - most);
    return expf(best - most) / sum;
}

static void add_query(const struct head *head, const struct class_map *classes, const float *box,
                      const float *scores, int query, struct candidates *candidates)
{
    float width = (float)head->input.width_px, height = (float)head->input.height_px, score;
    bool  softmax = head->logits && head->background == CLASS_BACKGROUND_LAST;
    int   own     = head->class_count - (head->background == CLASS_BACKGROUND_LAST ? 1 : 0);
    int   best    = head_best_class(scores, 1, own, &score);

    if (softmax)
        score = softmax_score(scores, head->class_count, score);
    else if (head->logits)
        score = head_sigmoid(score);
    if (score >= candidates->min_score)
        head_add_centred(
            candidates, classes,
            (float[4]){box[0] * width, box[1] * height, box[2] * width, box[3] * height}, score,
            best, query);
}

static void decode(const struct head *head, const struct class_map *classes,
                   const float *const *outputs, struct candidates *candidates)
{
    const float *boxes  = outputs[head->boxes_output];
    const float *scores = head->scores_output >= 0 ? outputs[head->scores_output] : NULL;

    ASSERT(scores != NULL || head->layout == LAYOUT_JOINED); /* as it was recognised */
    for (int i = 0; i < head->row_count; i++) {
        if (head->layout == LAYOUT_LOGITS) {
            add_query(head, classes, boxes + (ptrdiff_t)4 * i,
                      scores + (ptrdiff_t)i * head->class_count, i, candidates);
        } else if (head->layout == LAYOUT_JOINED) {
            const float *row = boxes + (ptrdiff_t)i * (4 + head->class_count);

            add_query(head, classes, row, row + 4, i, candidates);
        } else {
            float number = outputs[head->classes_output][i];

            if (scores[i] >= candidates->min_score && number >= 0.0F &&
                number < (float)head->class_count)
                head_add_corners(candidates, classes, boxes + (ptrdiff_t)4 * i, scores[i],
                                 (int)(number + 0.25F), i);
        }
    }
}

const struct head_ops HEAD_DETR = {.name = "detr", .recognise = recognise, .decode = decode};
