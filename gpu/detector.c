#include "gpu/detector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "gpu/detector_internal.h"
#include "gpu/head.h"
#include "gpu/prepare.h"
#include "gpu/suppress.h"

#define TENSOR_ALIGNMENT_BYTES 64

/* A box may stick out of the tensor, but nothing that is seen in part is this much larger. */
#define SIDE_PX_MAX_TENSORS 2

struct detector {
    struct detector_parts parts;
    struct model         *own_model; /* NULL when the parts are another's */
    enum precision        precision;
    struct head           head;
    struct class_names    names;
    struct class_map      classes;
    float                 min_score;
    float                 nms_iou;
};

/* The plan for one kind of picture. */
struct kept_plan {
    struct prepare_plan *plan; /* NULL: free */
    uint64_t             last_use;
};

struct detector_session {
    const struct detector    *detector;
    const struct backend_ops *backend;
    struct runner            *runner;
    int                       best_batch;
    size_t                    picture_floats; /* 3×H×W */
    float                    *tensor;         /* best_batch×3×H×W */
    /* Whose padding each picture's part of the tensor has. */
    const struct prepare_plan **padded;
    struct prepare_area        *areas; /* of each picture of this run */
    struct kept_plan            plans[DETECTOR_PLANS_MAX];
    uint64_t                    uses;
    struct candidates           candidates;
};

static int open_head(struct detector *detector, const struct detector_settings *settings,
                     struct why *why);
static int prepare_picture(struct detector_session *session, int index, const struct frame *frame,
                           struct why *why);
static struct prepare_plan *plan_for(struct detector_session *session, const struct frame *frame,
                                     struct why *why);
static int    boxes_of(struct detector_session *session, int index, struct box boxes[LIMIT_BOXES]);
static size_t output_floats(const struct model_tensor *output);

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
    if ((rc = open_head(detector, settings, why)) != 0) {
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

int detector_session_open(struct detector_session **out, const struct detector *detector,
                          struct why *why)
{
    return detector_session_open_on(out, detector, detector->parts.backend, detector->precision,
                                    why);
}

int detector_session_open_on(struct detector_session **out, const struct detector *detector,
                             const struct backend_ops *backend, enum precision precision,
                             struct why *why)
{
    const struct prepare_settings *input    = &detector->head.input;
    struct detector_session       *session  = calloc(1, sizeof *session);
    struct runner_settings         settings = {.device = DEVICE_ANY, .precision = precision};
    size_t                         bytes;
    int                            rc = ERR_MEMORY;

    *out = NULL;
    if (session == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a detector session");
    session->detector   = detector;
    session->backend    = backend;
    session->best_batch = backend->best_batch(detector->parts.model);
    ASSERT(session->best_batch >= 1);
    session->picture_floats = (size_t)3 * (size_t)input->height_px * (size_t)input->width_px;
    bytes                   = session->picture_floats * (size_t)session->best_batch * sizeof(float);
    bytes           = (bytes + TENSOR_ALIGNMENT_BYTES - 1) & ~(size_t)(TENSOR_ALIGNMENT_BYTES - 1);
    session->tensor = aligned_alloc(TENSOR_ALIGNMENT_BYTES, bytes);
    session->padded = calloc((size_t)session->best_batch, sizeof(void *));
    session->areas  = calloc((size_t)session->best_batch, sizeof *session->areas);
    if (session->tensor == NULL || session->padded == NULL || session->areas == NULL) {
        why_set(why, ERR_MEMORY, "no memory for %d pictures of %dx%d", session->best_batch,
                input->width_px, input->height_px);
        goto fail;
    }
    if ((rc = backend->open(&session->runner, detector->parts.model, &settings, why)) != 0)
        goto fail;
    *out = session;
    return 0;

fail:
    detector_session_close(&session);
    return rc;
}

void detector_session_close(struct detector_session **session)
{
    struct detector_session *old = *session;

    *session = NULL;
    if (old == NULL)
        return;
    if (old->runner != NULL)
        old->backend->close(&old->runner);
    for (int i = 0; i < DETECTOR_PLANS_MAX; i++)
        prepare_plan_close(&old->plans[i].plan);
    free(old->padded);
    free(old->areas);
    free(old->tensor);
    free(old);
}

int detector_session_best_batch(const struct detector_session *session)
{
    return session->best_batch;
}

enum precision detector_session_precision(const struct detector_session *session)
{
    return runner_precision(session->runner);
}

const float *detector_session_output(const struct detector_session *session, int picture, int index)
{
    const struct model_info *info = session->detector->parts.info;

    return session->backend->output(session->runner, index) +
           (size_t)picture * output_floats(&info->output[index]);
}

int detector_session_run(struct detector_session *session, struct frame *const *frames, int batch,
                         struct box (*boxes)[LIMIT_BOXES], int *counts,
                         struct detector_timing *timing, struct why *why)
{
    const struct backend_ops *backend    = session->backend;
    int64_t                   started_ns = clock_monotonic_ns(), prepared_ns, ran_ns;
    int                       rc;

    ASSERT(batch >= 1 && batch <= session->best_batch);
    memset(counts, 0, (size_t)batch * sizeof *counts);
    *timing = (struct detector_timing){0};
    for (int i = 0; i < batch; i++)
        if ((rc = prepare_picture(session, i, frames[i], why)) != 0)
            return rc;
    prepared_ns        = clock_monotonic_ns();
    timing->prepare_ns = prepared_ns - started_ns;
    if ((rc = backend->run(session->runner, session->tensor, batch, why)) != 0)
        return rc;
    ran_ns             = clock_monotonic_ns();
    timing->network_ns = ran_ns - prepared_ns;
    for (int i = 0; i < batch; i++)
        counts[i] = boxes_of(session, i, boxes[i]);
    timing->decode_ns = clock_monotonic_ns() - ran_ns;
    return 0;
}

static int prepare_picture(struct detector_session *session, int index, const struct frame *frame,
                           struct why *why)
{
    float               *tensor = session->tensor + (size_t)index * session->picture_floats;
    struct prepare_plan *plan   = plan_for(session, frame, why);

    if (plan == NULL)
        return ERR_INVALID;
    if (session->padded[index] != plan)
        prepare_pad(plan, tensor);
    session->padded[index] = plan;
    session->areas[index]  = prepare_plan_area(plan);
    prepare_run(plan, frame, tensor);
    return 0;
}

/* The kept plan, or a new one in the place of the one used longest ago. */
static struct prepare_plan *plan_for(struct detector_session *session, const struct frame *frame,
                                     struct why *why)
{
    struct kept_plan    *oldest = &session->plans[0];
    struct prepare_plan *made;

    session->uses++;
    for (int i = 0; i < DETECTOR_PLANS_MAX; i++) {
        struct kept_plan *kept = &session->plans[i];

        if (kept->plan != NULL && prepare_plan_fits(kept->plan, frame)) {
            kept->last_use = session->uses;
            return kept->plan;
        }
        if (kept->last_use < oldest->last_use)
            oldest = kept;
    }
    if (prepare_plan_open(&made, &session->detector->head.input, frame, why) != 0)
        return NULL;
    /* A new plan may get the old one's address: forget that it has padded anything. */
    for (int i = 0; i < session->best_batch; i++)
        if (session->padded[i] == oldest->plan)
            session->padded[i] = NULL;
    prepare_plan_close(&oldest->plan);
    *oldest = (struct kept_plan){made, session->uses};
    return made;
}

static int boxes_of(struct detector_session *session, int index, struct box boxes[LIMIT_BOXES])
{
    const struct detector   *detector   = session->detector;
    const struct model_info *info       = detector->parts.info;
    struct prepare_area      area       = session->areas[index];
    struct candidates       *candidates = &session->candidates;
    const float             *outputs[MODEL_MAX_OUTPUTS];
    int                      side_px = detector->head.input.width_px, count;

    if (detector->head.input.height_px > side_px)
        side_px = detector->head.input.height_px;
    candidates->count       = 0;
    candidates->min_score   = detector->min_score;
    candidates->x0          = (float)area.x_px;
    candidates->y0          = (float)area.y_px;
    candidates->x1          = (float)(area.x_px + area.width_px);
    candidates->y1          = (float)(area.y_px + area.height_px);
    candidates->side_px_max = (float)(SIDE_PX_MAX_TENSORS * side_px);
    for (int i = 0; i < info->output_count; i++)
        outputs[i] = detector_session_output(session, index, i);
    detector->head.ops->decode(&detector->head, &detector->classes, outputs, candidates);
    count = suppress(candidates, detector->nms_iou, boxes, LIMIT_BOXES);
    for (int i = 0; i < count; i++)
        prepare_box_to_picture(&area, &boxes[i]);
    return count;
}

static size_t output_floats(const struct model_tensor *output)
{
    size_t count = 1;

    for (int i = 0; i < output->dimension_count; i++)
        count *= (size_t)output->dimension[i];
    return count;
}
