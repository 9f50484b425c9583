#include "gpu/head.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/assert.h"
#include "config/err.h"
#include "config/limits.h"

const struct head_ops *const HEADS[] = {&HEAD_YOLOX, &HEAD_FASTESTDET, &HEAD_NANODET, NULL};

static int  check_input(struct head *head, const struct model_info *model, struct why *why);
static void say_outputs(const struct model_info *model, char *text, size_t bytes);

int head_open(struct head *head, const char *name, const struct model_info *model, struct why *why)
{
    bool       automatic = name == NULL || strcmp(name, "auto") == 0;
    struct why reason    = {""};
    char       outputs[200];
    bool       known = false;
    int        rc    = check_input(head, model, why);

    if (rc != 0)
        return rc;
    for (int i = 0; HEADS[i] != NULL; i++) {
        struct head tried = *head;

        if (!automatic && strcmp(name, HEADS[i]->name) != 0)
            continue;
        known = true;
        if (HEADS[i]->recognise(&tried, model, &reason)) {
            *head     = tried;
            head->ops = HEADS[i];
            return 0;
        }
    }
    if (!known)
        return why_set(why, ERR_NOT_FOUND,
                       "there is no head \"%s\"; known are yolox, fastestdet and nanodet", name);
    say_outputs(model, outputs, sizeof outputs);
    if (automatic)
        return why_set(
            why, ERR_UNSUPPORTED,
            "the outputs of %s (%s) are not those of a YOLOX, FastestDet or NanoDet model",
            model->path, outputs);
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
        .input = {.height_px = (int)input->dimension[2], .width_px = (int)input->dimension[3]}};
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
