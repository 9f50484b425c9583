#include "gpu/head.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/assert.h"
#include "config/err.h"
#include "config/limits.h"

/* Those that ask for most come first. */
const struct head_ops *const HEADS[] = {
    &HEAD_SIGHTLINE, &HEAD_YOLOX, &HEAD_FASTESTDET, &HEAD_NANODET,    &HEAD_YOLOV5, &HEAD_YOLOV7,
    &HEAD_YOLOV8,    &HEAD_SSD,   &HEAD_DETR,       &HEAD_END_TO_END, NULL,
};

static int  check_input(struct head *head, const struct model_info *model, struct why *why);
static void say_outputs(const struct model_info *model, char *text, size_t bytes);
static void say_heads(char *text, size_t bytes);

int head_open(struct head *head, const char *name, const struct model_info *model, int names_count,
              struct why *why)
{
    bool       automatic = name == NULL || strcmp(name, "auto") == 0;
    struct why reason    = {""};
    char       outputs[200], heads[160];
    bool       known = false;
    int        rc    = check_input(head, model, why);

    if (rc != 0)
        return rc;
    head->names_count = names_count;
    head->named       = !automatic;
    for (int i = 0; HEADS[i] != NULL; i++) {
        struct head tried = *head;

        if (!automatic && strcmp(name, HEADS[i]->name) != 0)
            continue;
        known = true;
        if (HEADS[i]->recognise(&tried, model, &reason)) {
            *head     = tried;
            head->ops = HEADS[i];
            for (int c = 0; c < 3 && model->traits.takes_bytes; c++) {
                head->input.mean[c]  = 0.0F;
                head->input.scale[c] = 1.0F;
            }
            return 0;
        }
    }
    say_heads(heads, sizeof heads);
    if (!known)
        return why_set(why, ERR_NOT_FOUND, "there is no head \"%s\"; known are %s", name, heads);
    say_outputs(model, outputs, sizeof outputs);
    if (automatic)
        return why_set(why, ERR_UNSUPPORTED,
                       "the outputs of %s (%s) are those of no known family of detectors: %s",
                       model->path, outputs, heads);
    return why_set(why, ERR_UNSUPPORTED, "%s is no %s model: %s, but its outputs are %s",
                   model->path, name, reason.text, outputs);
}

int head_best_class(const float *scores, ptrdiff_t step, int count, float *best)
{
    int found = -1;

    *best = -INFINITY;
    for (int k = 0; k < count; k++) {
        float score = scores[k * step];

        if (score > *best) {
            *best = score;
            found = k;
        }
    }
    return found;
}

int head_add_stage(struct head *head, int stride_px)
{
    struct head_stage *stage = &head->stages[head->stage_count];
    int                first = 0;

    ASSERT(head->stage_count < HEAD_STAGES_MAX);
    if (head->stage_count > 0)
        first = stage[-1].first + stage[-1].columns * stage[-1].rows;
    stage->stride_px = stride_px;
    stage->columns   = (head->input.width_px + stride_px - 1) / stride_px;
    stage->rows      = (head->input.height_px + stride_px - 1) / stride_px;
    stage->first     = first;
    head->stage_count++;
    return first + stage->columns * stage->rows;
}

bool head_find_strides(struct head *head, int64_t rows, int each)
{
    static const struct {
        int first_px, last_px;
    } USUAL[] = {{8, 32}, {8, 64}, {4, 32}};

    for (size_t i = 0; i < sizeof USUAL / sizeof *USUAL; i++) {
        int64_t cells = 0;

        head->stage_count = 0;
        for (int stride_px = USUAL[i].first_px; stride_px <= USUAL[i].last_px; stride_px *= 2)
            cells = head_add_stage(head, stride_px);
        if (cells * each == rows)
            return true;
    }
    head->stage_count = 0;
    return false;
}

void head_want(struct head *head, enum prepare_fit fit, bool rgb, float mean, float scale)
{
    head->input.fit = fit;
    head->input.rgb = rgb;
    head->input.pad = 114.0F; /* the grey of all who pad; a stretched picture has no edge */
    for (int c = 0; c < 3; c++) {
        head->input.mean[c]  = mean;
        head->input.scale[c] = scale;
    }
}

void head_want_photograph(struct head *head, enum prepare_fit fit)
{
    static const float mean[3]      = {123.675F, 116.28F, 103.53F};
    static const float deviation[3] = {58.395F, 57.12F, 57.375F};

    head_want(head, fit, true, 0.0F, 1.0F);
    for (int c = 0; c < 3; c++) {
        head->input.mean[c]  = mean[c];
        head->input.scale[c] = 1.0F / deviation[c];
    }
}

float head_sigmoid(float x)
{
    return 1.0F / (1.0F + expf(-x));
}

float head_logit(float score)
{
    if (score <= 0.0F)
        return -INFINITY;
    if (score >= 1.0F)
        return INFINITY;
    return logf(score / (1.0F - score));
}

void head_add_centred(struct candidates *candidates, const struct class_map *classes,
                      const float centre_size[4], float score, int model_class, int number)
{
    float half_width = centre_size[2] / 2.0F, half_height = centre_size[3] / 2.0F;
    float corners[4] = {centre_size[0] - half_width, centre_size[1] - half_height,
                        centre_size[0] + half_width, centre_size[1] + half_height};

    head_add_corners(candidates, classes, corners, score, model_class, number);
}

void head_add_corners(struct candidates *candidates, const struct class_map *classes,
                      const float corners[4], float score, int model_class, int number)
{
    struct box box = {
        .x0 = corners[0], .y0 = corners[1], .x1 = corners[2], .y1 = corners[3], .score = score};

    if (model_class < 0 || model_class >= classes->count || classes->object_class[model_class] < 0)
        return;
    box.object_class = (enum object_class)classes->object_class[model_class];
    candidates_add(candidates, &box, number);
}

bool head_output_is(const struct model_tensor *output, int64_t a, int64_t b)
{
    return output->dimension_count == 3 && output->dimension[0] == 1 &&
           (a < 0 || output->dimension[1] == a) && (b < 0 || output->dimension[2] == b);
}

int head_output_called(const struct model_info *model, const char *const *words)
{
    for (int i = 0; i < model->output_count; i++)
        for (int k = 0; words[k] != NULL; k++)
            if (strcasestr(model->output[i].name, words[k]) != NULL)
                return i;
    return -1;
}

static int check_input(struct head *head, const struct model_info *model, struct why *why)
{
    const struct model_tensor *input = &model->input;

    if (input->dimension_count != 4 || input->dimension[1] != 3 || input->dimension[2] < 1 ||
        input->dimension[2] > LIMIT_PICTURE_PX || input->dimension[3] < 1 ||
        input->dimension[3] > LIMIT_PICTURE_PX)
        return why_set(
            why, ERR_UNSUPPORTED,
            "the input \"%s\" of %s is not a picture of 1x3xHxW numbers, H and W at most %d",
            input->name, model->path, LIMIT_PICTURE_PX);
    *head = (struct head){
        .input = {.height_px = (int)input->dimension[2], .width_px = (int)input->dimension[3]},
        .boxes_output   = -1,
        .scores_output  = -1,
        .classes_output = -1,
        .count_output   = -1,
    };
    return 0;
}

static void say_outputs(const struct model_info *model, char *text, size_t bytes)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < model->output_count; i++) {
        const struct model_tensor *output = &model->output[i];

        for (int k = 0; k < output->dimension_count; k++) {
            int written = snprintf(text + used, bytes - used, "%s%lld",
                                   k > 0   ? "x"
                                   : i > 0 ? ", "
                                           : "",
                                   (long long)output->dimension[k]);

            if (written < 0 || (size_t)written >= bytes - used)
                return;
            used += (size_t)written;
        }
    }
}

static void say_heads(char *text, size_t bytes)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; HEADS[i] != NULL; i++) {
        int written = snprintf(text + used, bytes - used, "%s%s",
                               i == 0                 ? ""
                               : HEADS[i + 1] != NULL ? ", "
                                                      : " and ",
                               HEADS[i]->name);

        if (written < 0 || (size_t)written >= bytes - used)
            return;
        used += (size_t)written;
    }
}
