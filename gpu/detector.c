#include "gpu/detector.h"

#include <math.h>
#include <stdlib.h>

#include "config/err.h"
#include "gpu/detector_internal.h"

static int open_head(struct detector *detector, const struct detector_settings *settings,
                     struct why *why);

int detector_open(struct detector **out, const struct detector_settings *settings, struct why *why)
{
    struct runner_settings runner = {.device = DEVICE_ANY, .precision = settings->precision};
    struct detector_parts  parts  = {0};
    struct model          *model  = NULL;
    int                    rc;

    *out = NULL;
    if (backend_find(settings->backend, why) == NULL)
        return ERR_UNSUPPORTED;
    if ((rc = model_load(&model, settings->model_path, why)) != 0)
        return rc;
    parts.model   = model;
    parts.info    = model_info(model);
    parts.backend = backend_find_for(BACKENDS, settings->backend, model, &runner, why);
    rc = parts.backend != NULL ? detector_open_with(out, settings, &parts, why) : ERR_UNSUPPORTED;
    if (rc != 0) {
        model_close(&model);
        return rc;
    }
    (*out)->own_model = model;
    return 0;
}

int detector_open_with(struct detector **out, const struct detector_settings *settings,
                       const struct detector_parts *parts, struct why *why)
{
    struct detector *detector;
    float min_score = settings->min_score > 0.0F ? settings->min_score : DETECTOR_MIN_SCORE_DEFAULT;
    float nms_iou   = settings->nms_iou > 0.0F ? settings->nms_iou : DETECTOR_NMS_IOU_DEFAULT;
    int   rc;

    *out = NULL;
    if (!(settings->min_score >= 0.0F && min_score <= 1.0F))
        return why_set(why, ERR_INVALID, "the least score of a box must be in 0..1");
    if (!(settings->nms_iou >= 0.0F && nms_iou <= 1.0F))
        return why_set(why, ERR_INVALID, "the overlap of two boxes of one object must be in 0..1");
    if ((detector = calloc(1, sizeof *detector)) == NULL)
        return why_set(why, ERR_MEMORY, "no memory for the detector");
    detector->parts     = *parts;
    detector->precision = settings->precision;
    detector->min_score = min_score;
    detector->nms_iou   = nms_iou;
    rc                  = open_head(detector, settings, why);
    if (rc == 0) {
        struct detector_shape own = {parts->info, parts->model, detector->head};

        rc = detector_shapes_open(&detector->shapes, &own, detector->names.count,
                                  !settings->input.fixed_shape, why);
    }
    if (rc != 0) {
        detector_close(&detector);
        return rc;
    }
    *out = detector;
    return 0;
}

/* What the user says of the pictures stands before what the head knows. */
static int change_input(struct prepare_settings *input, const struct detector_input *wanted,
                        struct why *why)
{
    static const enum prepare_fit FITS[] = {[INPUT_FIT_TOP_LEFT] = PREPARE_TOP_LEFT,
                                            [INPUT_FIT_CENTRED]  = PREPARE_CENTRED,
                                            [INPUT_FIT_STRETCH]  = PREPARE_STRETCH};

    if (wanted->fit != INPUT_FIT_HEAD)
        input->fit = FITS[wanted->fit];
    if (wanted->colors != INPUT_COLORS_HEAD)
        input->rgb = wanted->colors == INPUT_COLORS_RGB;
    if (wanted->has_pad)
        input->pad = wanted->pad;
    for (int c = 0; c < 3; c++) {
        if (wanted->has_mean)
            input->mean[c] = wanted->mean[c];
        if (wanted->has_deviation)
            input->scale[c] = 1.0F / wanted->deviation[c];
        if (!isfinite(input->mean[c]) || !isfinite(input->scale[c]) || !(input->scale[c] > 0.0F))
            return why_set(why, ERR_INVALID,
                           "the deviation of the input's colours must be above 0, and the mean a "
                           "number");
    }
    if (!(input->pad >= 0.0F && input->pad <= 255.0F))
        return why_set(why, ERR_INVALID, "the colour around the picture must be in 0..255");
    return 0;
}

static int open_head(struct detector *detector, const struct detector_settings *settings,
                     struct why *why)
{
    struct class_map_settings classes = {.rule_count = settings->rule_count,
                                         .rules      = settings->rules};
    int rc = class_names_read(&detector->names, detector->parts.info, settings->classes, why);

    if (rc == 0)
        rc = head_open(&detector->head, settings->head, detector->parts.info, detector->names.count,
                       why);
    if (rc == 0)
        rc = change_input(&detector->head.input, &settings->input, why);
    if (rc != 0)
        return rc;
    if (detector->head.distinct && !(settings->nms_iou > 0.0F))
        detector->nms_iou = DETECTOR_NMS_IOU_DISTINCT;
    classes.count      = detector->head.class_count;
    classes.background = detector->head.background;
    return class_map_open(&detector->classes, &detector->names, &classes, detector->parts.info,
                          why);
}

void detector_close(struct detector **detector)
{
    struct detector *old = *detector;

    *detector = NULL;
    if (old == NULL)
        return;
    detector_shapes_close(&old->shapes); /* before the model whose weights they share */
    if (old->own_model != NULL)
        model_close(&old->own_model);
    free(old);
}

const struct model_info *detector_model(const struct detector *detector)
{
    return detector->parts.info;
}

const char *detector_head_name(const struct detector *detector)
{
    return detector->head.ops->name;
}

const char *detector_backend_name(const struct detector *detector)
{
    return detector->parts.backend->name;
}

const struct head *detector_head(const struct detector *detector)
{
    return &detector->head;
}

const struct class_map *detector_classes(const struct detector *detector)
{
    return &detector->classes;
}

const struct class_names *detector_class_names(const struct detector *detector)
{
    return &detector->names;
}

const struct backend_ops *detector_backend(const struct detector *detector)
{
    return detector->parts.backend;
}

const struct model *detector_graph(const struct detector *detector)
{
    return detector->parts.model;
}

int detector_best_batch(const struct detector *detector)
{
    return detector->parts.backend->best_batch(detector->parts.model);
}

struct detector_shape_stats detector_shape_stats(const struct detector *detector)
{
    return detector_shapes_stats(detector->shapes);
}

void detector_shape_problem(const struct detector *detector, int index, struct why *why)
{
    detector_shapes_problem(detector->shapes, index, why);
}

bool detector_is_shaped(const struct detector *detector)
{
    return detector_shapes_may_grow(detector->shapes);
}
