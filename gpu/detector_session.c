/* What one thread does with a detector: pictures in groups of one shape through the network. */
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "gpu/detector_device.h"
#include "gpu/detector_internal.h"
#include "gpu/prepare.h"
#include "gpu/suppress.h"

#define TENSOR_ALIGNMENT_BYTES 64

/* A box may stick out of the tensor, but nothing that is seen in part is this much larger. */
#define SIDE_PX_MAX_TENSORS 2

/* The plan for one kind of picture. */
struct kept_plan {
    struct prepare_plan *plan; /* NULL: free */
    int                  shape;
    uint64_t             last_use;
};

/* Where a picture of this run went: the slot of its group's tensor, -1: not yet. */
struct place {
    int shape, slot;
};

struct detector_session {
    const struct detector    *detector;
    const struct backend_ops *backend;
    struct runner            *runners[DETECTOR_SHAPES_MAX]; /* NULL: not met; the first is there */
    struct detector_device    devices[DETECTOR_SHAPES_MAX]; /* of each runner */
    bool                      keeps_outputs;
    int                       best_batch;
    float                    *tensor; /* best_batch×3×H×W of the largest shape */
    /* Whose padding each slot of the tensor has, as it is laid out for one shape. */
    const struct prepare_plan **padded;
    int                         padded_shape;
    struct prepare_area        *areas;  /* of each slot of this group */
    struct place               *places; /* of each picture of this run */
    /* A group: of each slot its picture. Boxes have a room of their own where a group is a part of
     * the batch, whose pictures need not lie side by side. */
    int           *order;
    struct frame **group_frames;
    struct box (*group_boxes)[LIMIT_BOXES];
    int              *group_counts;
    struct kept_plan  plans[DETECTOR_PLANS_MAX];
    uint64_t          uses;
    struct candidates candidates;
};

static int collect_group(struct detector_session *session, struct frame *const *frames, int batch,
                         int first, bool prepares, struct why *why);
static int open_shape(struct detector_session *session, int number, enum precision precision,
                      struct why *why);
static int plan_for(struct detector_session *session, const struct frame *frame,
                    struct kept_plan **out, struct why *why);
static int boxes_of(struct detector_session *session, int picture, struct box boxes[LIMIT_BOXES]);
static size_t                floats_of(const struct model_tensor *tensor);
static struct boxes_settings boxes_settings(const struct detector       *detector,
                                            const struct detector_shape *shape);

int detector_session_open(struct detector_session **out, const struct detector *detector,
                          struct why *why)
{
    return detector_session_open_on(out, detector, detector->parts.backend, detector->precision,
                                    why);
}

static bool allocate(struct detector_session *session)
{
    size_t batch = (size_t)session->best_batch;
    size_t bytes = detector_shapes_floats_max(session->detector->shapes) * sizeof(float) * batch;

    bytes           = (bytes + TENSOR_ALIGNMENT_BYTES - 1) & ~(size_t)(TENSOR_ALIGNMENT_BYTES - 1);
    session->tensor = aligned_alloc(TENSOR_ALIGNMENT_BYTES, bytes);
    session->padded = calloc(batch, sizeof(void *));
    session->areas  = calloc(batch, sizeof *session->areas);
    session->places = calloc(batch, sizeof *session->places);
    session->order  = calloc(batch, sizeof *session->order);
    session->group_frames = calloc(batch, sizeof(void *));
    session->group_boxes  = calloc(batch, sizeof *session->group_boxes);
    session->group_counts = calloc(batch, sizeof *session->group_counts);
    return session->tensor != NULL && session->padded != NULL && session->areas != NULL &&
           session->places != NULL && session->order != NULL && session->group_frames != NULL &&
           session->group_boxes != NULL && session->group_counts != NULL;
}

int detector_session_open_on(struct detector_session **out, const struct detector *detector,
                             const struct backend_ops *backend, enum precision precision,
                             struct why *why)
{
    struct detector_session *session = calloc(1, sizeof *session);
    int                      rc      = ERR_MEMORY;

    *out = NULL;
    if (session == NULL)
        return why_set(why, ERR_MEMORY, "no memory for a detector session");
    session->detector   = detector;
    session->backend    = backend;
    session->best_batch = backend->best_batch(detector->parts.model);
    ASSERT(session->best_batch >= 1);
    if (!allocate(session)) {
        why_set(why, ERR_MEMORY, "no memory for %d pictures of %dx%d", session->best_batch,
                detector->head.input.width_px, detector->head.input.height_px);
        goto fail;
    }
    if ((rc = open_shape(session, 0, precision, why)) != 0)
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
    for (int i = 0; i < DETECTOR_SHAPES_MAX; i++)
        if (old->runners[i] != NULL)
            old->backend->close(&old->runners[i]);
    for (int i = 0; i < DETECTOR_PLANS_MAX; i++)
        prepare_plan_close(&old->plans[i].plan);
    free(old->padded);
    free(old->areas);
    free(old->places);
    free(old->order);
    free(old->group_frames);
    free(old->group_boxes);
    free(old->group_counts);
    free(old->tensor);
    free(old);
}

int detector_session_best_batch(const struct detector_session *session)
{
    return session->best_batch;
}

static const struct detector_shape *shape_at(const struct detector_session *session, int number)
{
    return detector_shapes_at(session->detector->shapes, number);
}

const struct model_info *detector_session_model(const struct detector_session *session, int picture)
{
    return shape_at(session, session->places[picture].shape)->info;
}

const float *detector_session_output(const struct detector_session *session, int picture, int index)
{
    struct place             place = session->places[picture];
    const struct model_info *info  = detector_session_model(session, picture);

    return session->backend->output(session->runners[place.shape], index) +
           (size_t)place.slot * floats_of(&info->output[index]);
}

void detector_session_keep_outputs(struct detector_session *session)
{
    session->keeps_outputs = true;
    for (int i = 0; i < DETECTOR_SHAPES_MAX; i++)
        session->devices[i].gives_boxes = false;
}

/* The group of `count`, collected, on the device. ERR_UNSUPPORTED: nothing was done. */
static int run_on_device(struct detector_session *session, int count, int batch,
                         struct box (*boxes)[LIMIT_BOXES], int *counts,
                         struct detector_timing *timing, struct why *why)
{
    struct detector_device *device = &session->devices[session->places[session->order[0]].shape];
    struct detector_timing  spent  = {0};
    bool                    all    = count == batch; /* then a slot's number is its picture's */
    int                     rc;

    memset(session->group_counts, 0, (size_t)count * sizeof *session->group_counts);
    rc = detector_device_run(device, session->group_frames, count,
                             all ? boxes : session->group_boxes,
                             all ? counts : session->group_counts, &spent, why);
    if (rc == ERR_UNSUPPORTED)
        return rc;
    timing->prepare_ns += spent.prepare_ns;
    timing->network_ns += spent.network_ns;
    for (int slot = 0; slot < count && rc == 0 && !all; slot++) {
        int picture = session->order[slot];

        counts[picture] = session->group_counts[slot];
        memcpy(boxes[picture], session->group_boxes[slot],
               (size_t)counts[picture] * sizeof boxes[picture][0]);
    }
    return rc;
}

/* The picture `first` and all behind it that go through the same shape and have not been run. */
static int run_group(struct detector_session *session, struct frame *const *frames, int batch,
                     int first, struct box (*boxes)[LIMIT_BOXES], int *counts,
                     struct detector_timing *timing, struct why *why)
{
    int64_t started_ns = clock_monotonic_ns(), prepared_ns, ran_ns;
    int     count      = collect_group(session, frames, batch, first, false, why), rc;

    if (count < 0)
        return count;
    rc = run_on_device(session, count, batch, boxes, counts, timing, why);
    if (rc != ERR_UNSUPPORTED)
        return rc;
    for (int slot = 0; slot < count; slot++)
        session->places[session->order[slot]].slot = -1;
    if ((count = collect_group(session, frames, batch, first, true, why)) < 0)
        return count;
    prepared_ns = clock_monotonic_ns();
    timing->prepare_ns += prepared_ns - started_ns;
    rc = session->backend->run(session->runners[session->places[first].shape], session->tensor,
                               count, why);
    if (rc != 0)
        return rc;
    ran_ns = clock_monotonic_ns();
    timing->network_ns += ran_ns - prepared_ns;
    for (int slot = 0; slot < count; slot++) {
        int picture = session->order[slot];

        counts[picture] = boxes_of(session, picture, boxes[picture]);
    }
    timing->decode_ns += clock_monotonic_ns() - ran_ns;
    return 0;
}

int detector_session_run(struct detector_session *session, struct frame *const *frames, int batch,
                         struct box (*boxes)[LIMIT_BOXES], int *counts,
                         struct detector_timing *timing, struct why *why)
{
    int rc = 0;

    ASSERT(batch >= 1 && batch <= session->best_batch);
    memset(counts, 0, (size_t)batch * sizeof *counts);
    *timing = (struct detector_timing){0};
    for (int i = 0; i < batch; i++)
        session->places[i] = (struct place){0, -1};
    for (int i = 0; i < batch && rc == 0; i++)
        if (session->places[i].slot < 0)
            rc = run_group(session, frames, batch, i, boxes, counts, timing, why);
    if (rc != 0)
        memset(counts, 0, (size_t)batch * sizeof *counts);
    return rc;
}

static void prepare_picture(struct detector_session *session, const struct kept_plan *kept,
                            int slot, const struct frame *frame)
{
    float *tensor = session->tensor +
                    (size_t)slot * floats_of(&shape_at(session, kept->shape)->info->input);

    if (session->padded_shape != kept->shape) /* other slots: what was padded is overwritten */
        memset(session->padded, 0, (size_t)session->best_batch * sizeof(void *));
    session->padded_shape = kept->shape;
    if (session->padded[slot] != kept->plan)
        prepare_pad(kept->plan, tensor);
    session->padded[slot] = kept->plan;
    session->areas[slot]  = prepare_plan_area(kept->plan);
    prepare_run(kept->plan, frame, tensor);
}

/* The picture where it can be read by who prepares it: the processor, or the shape's device. */
static struct frame *readable(const struct detector_session *session, struct frame *frame,
                              int shape, bool prepares)
{
    if (frame->device == NULL ||
        (!prepares && detector_device_reads(&session->devices[shape], frame)))
        return frame;
    return frame_in_host(frame, FRAME_COPY_INFERENCE);
}

/* The group's pictures in order, in the tensor too when it `prepares`: at once, as a plan may be gone
 * with the next picture. Returns how many, or a negative code. */
static int collect_group(struct detector_session *session, struct frame *const *frames, int batch,
                         int first, bool prepares, struct why *why)
{
    int count = 0, shape = 0;

    for (int i = first; i < batch; i++) {
        struct kept_plan *kept;
        struct frame     *frame;
        int               rc;

        if (session->places[i].slot >= 0)
            continue;
        if ((rc = plan_for(session, frames[i], &kept, why)) != 0)
            return rc;
        if (count == 0)
            shape = kept->shape;
        if (kept->shape != shape)
            continue;
        if ((frame = readable(session, frames[i], shape, prepares)) == NULL)
            return why_set(why, ERR_IO, "a picture cannot be copied out of CUDA device %d",
                           frames[i]->device->number);
        if (prepares)
            prepare_picture(session, kept, count, frame);
        session->places[i]           = (struct place){shape, count};
        session->group_frames[count] = frame;
        session->order[count++]      = i;
    }
    return count;
}

/* The runner for a shape, and what of the rest its device does. */
static int open_shape(struct detector_session *session, int number, enum precision precision,
                      struct why *why)
{
    const struct detector       *detector = session->detector;
    const struct detector_shape *shape    = shape_at(session, number);
    struct runner_settings       settings = {.device = DEVICE_ANY, .precision = precision};
    struct boxes_settings        boxes    = boxes_settings(detector, shape);
    struct runner               *runner   = NULL;
    int rc = detector_shapes_runner(detector->shapes, number, session->backend, &runner, &settings,
                                    why);

    if (rc != 0)
        return rc;
    rc = detector_device_open(&session->devices[number], session->backend, runner, &boxes, why);
    if (rc != 0)
        session->backend->close(&runner);
    session->runners[number] = runner;
    if (session->keeps_outputs)
        session->devices[number].gives_boxes = false;
    return rc;
}

/* The shape for such pictures, its runner opened; the model's own where that does not work. */
static int meet_shape(struct detector_session *session, const struct frame *frame, int *shape,
                      struct why *why)
{
    int rc;

    *shape = detector_shapes_find(session->detector->shapes, frame->width_px, frame->height_px);
    if (session->runners[*shape] != NULL)
        return 0;
    /* As the first one has chosen: one session, one precision. */
    rc = open_shape(session, *shape, runner_precision(session->runners[0]), why);
    if (rc == 0 || rc == ERR_DEVICE_LOST)
        return rc;
    detector_shapes_fail(session->detector->shapes, *shape, why);
    *shape = 0;
    return 0;
}

/* The kept plan, or a new one in the place of the one used longest ago. */
static int plan_for(struct detector_session *session, const struct frame *frame,
                    struct kept_plan **out, struct why *why)
{
    struct kept_plan    *oldest = &session->plans[0];
    struct prepare_plan *made;
    struct why           reason = {""};
    int                  shape, rc;

    session->uses++;
    for (int i = 0; i < DETECTOR_PLANS_MAX; i++) {
        struct kept_plan *kept = &session->plans[i];

        if (kept->plan != NULL && prepare_plan_fits(kept->plan, frame)) {
            kept->last_use = session->uses;
            *out           = kept;
            return 0;
        }
        if (kept->last_use < oldest->last_use)
            oldest = kept;
    }
    rc = meet_shape(session, frame, &shape, &reason);
    if (rc == 0)
        rc = prepare_plan_open(&made, &shape_at(session, shape)->head.input, frame, &reason);
    if (rc != 0)
        return why_set(why, rc, "%s", reason.text);
    /* A new plan may get the old one's address: forget that it has padded anything. */
    for (int i = 0; i < session->best_batch; i++)
        if (session->padded[i] == oldest->plan)
            session->padded[i] = NULL;
    prepare_plan_close(&oldest->plan);
    *oldest = (struct kept_plan){made, shape, session->uses};
    *out    = oldest;
    return 0;
}

static struct boxes_settings boxes_settings(const struct detector       *detector,
                                            const struct detector_shape *shape)
{
    const struct prepare_settings *input = &shape->head.input;
    int side_px = input->width_px > input->height_px ? input->width_px : input->height_px;

    return (struct boxes_settings){.head        = &shape->head,
                                   .classes     = &detector->classes,
                                   .min_score   = detector->min_score,
                                   .nms_iou     = detector->nms_iou,
                                   .min_logit   = head_logit(detector->min_score),
                                   .side_px_max = (float)(SIDE_PX_MAX_TENSORS * side_px)};
}

static int boxes_of(struct detector_session *session, int picture, struct box boxes[LIMIT_BOXES])
{
    const struct detector       *detector   = session->detector;
    struct place                 place      = session->places[picture];
    const struct detector_shape *shape      = shape_at(session, place.shape);
    struct prepare_area          area       = session->areas[place.slot];
    struct candidates           *candidates = &session->candidates;
    const float                 *outputs[MODEL_MAX_OUTPUTS];
    int                          count;

    candidates->count       = 0;
    candidates->min_score   = detector->min_score;
    candidates->x0          = (float)area.x_px;
    candidates->y0          = (float)area.y_px;
    candidates->x1          = (float)(area.x_px + area.width_px);
    candidates->y1          = (float)(area.y_px + area.height_px);
    candidates->side_px_max = boxes_settings(detector, shape).side_px_max;
    for (int i = 0; i < shape->info->output_count; i++)
        outputs[i] = detector_session_output(session, picture, i);
    shape->head.ops->decode(&shape->head, &detector->classes, outputs, candidates);
    count = suppress(candidates, detector->nms_iou, boxes, LIMIT_BOXES);
    for (int i = 0; i < count; i++)
        prepare_box_to_picture(&area, &boxes[i]);
    return count;
}

static size_t floats_of(const struct model_tensor *tensor)
{
    size_t count = 1;

    for (int i = 0; i < tensor->dimension_count; i++)
        count *= (size_t)tensor->dimension[i];
    return count;
}
