#include "server/model_settings.h"

#include "config/err.h"
#include "config/log.h"
#include "gpu/head.h"
#include "server/model_place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void input_of(const struct settings_model *model, struct detector_input *input)
{
    *input = (struct detector_input){.fit           = INPUT_FIT_HEAD,
                                     .has_mean      = model->has_mean,
                                     .has_deviation = model->has_deviation,
                                     .has_pad       = model->has_pad,
                                     .fixed_shape   = model->shape == SHAPE_FIXED,
                                     .pad           = model->pad};
    memcpy(input->mean, model->mean, sizeof input->mean);
    memcpy(input->deviation, model->deviation, sizeof input->deviation);
    if (model->fit == FIT_TOP_LEFT)
        input->fit = INPUT_FIT_TOP_LEFT;
    else if (model->fit == FIT_CENTRED)
        input->fit = INPUT_FIT_CENTRED;
    else if (model->fit == FIT_STRETCH)
        input->fit = INPUT_FIT_STRETCH;
    if (model->colors == COLORS_RGB)
        input->colors = INPUT_COLORS_RGB;
    else if (model->colors == COLORS_BGR)
        input->colors = INPUT_COLORS_BGR;
}

static struct class_rule *rules_of(const struct settings_model *model)
{
    struct class_rule *rules = calloc(CLASS_RULES_MAX, sizeof *rules);

    for (int i = 0; rules != NULL && i < model->rule_count && i < CLASS_RULES_MAX; i++) {
        snprintf(rules[i].name, sizeof rules[i].name, "%s", model->rules[i].name);
        rules[i].object_class = model->rules[i].object_class;
    }
    return rules;
}

int model_settings_open(struct detector **out, const struct settings_model *model,
                        char text[MODEL_TEXT_BYTES], struct why *why)
{
    char                     path[LIMIT_PATH_BYTES];
    struct class_rule       *rules    = rules_of(model);
    struct detector_settings settings = {.model_path = path,
                                         .backend    = model->backend[0] != '\0' ? model->backend
                                                                                 : NULL,
                                         .head       = model->head[0] != '\0' ? model->head : NULL,
                                         .classes    = model->classes,
                                         .rule_count = model->rule_count,
                                         .rules      = rules};
    const char              *name;
    int                      rc = rules != NULL ? 0 : why_set(why, ERR_MEMORY, "out of memory");

    *out = NULL;
    input_of(model, &settings.input);
    if (model->precision[0] != '\0')
        precision_find(model->precision, &settings.precision);
    if (rc == 0)
        rc = model_place(model->file, path, why);
    if (rc == 0)
        rc = detector_open(out, &settings, why);
    free(rules);
    if (rc != 0)
        return rc;
    name = strrchr(path, '/');
    snprintf(text, MODEL_TEXT_BYTES, "%s (%s, %s)", name == NULL ? path : name + 1,
             detector_head_name(*out), detector_backend_name(*out));
    if (detector_head(*out)->note[0] != '\0')
        log_warning("detector", "%s: %s", text, detector_head(*out)->note);
    return 0;
}
