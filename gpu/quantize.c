#include "gpu/quantize.h"

#include "config/err.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/quantize_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every third picture is held back. */
#define HELD_BACK 3
/* Pictures on which one layer alone is looked at. */
#define SENSITIVITY_PICTURES 12
/* Pictures on which the widths of ranges are compared. */
#define WIDTH_PICTURES 12

/* Between the mean of the pictures' extremes (0) and the extreme of all (1). */
static const float WIDTHS[] = {1.0F, 0.5F, 0.25F};

bool quantize_held_back(int index)
{
    return index % HELD_BACK == HELD_BACK - 1;
}

static bool has_partner(const struct box *box, const struct box *others, int count)
{
    for (int i = 0; i < count; i++)
        if (others[i].object_class == box->object_class &&
            others[i].score > QUANTIZE_PARTNER_SCORE && box_iou(box, &others[i]) >= QUANTIZE_IOU)
            return true;
    return false;
}

int quantize_matches(const struct box *a, int a_count, const struct box *b, int b_count, int *asked)
{
    int found = 0;

    *asked = 0;
    for (int i = 0; i < a_count; i++)
        if (a[i].score > QUANTIZE_SCORE) {
            ++*asked;
            found += has_partner(&a[i], b, b_count);
        }
    for (int i = 0; i < b_count; i++)
        if (b[i].score > QUANTIZE_SCORE) {
            ++*asked;
            found += has_partner(&b[i], a, a_count);
        }
    return found;
}

/* How far two sets of boxes are apart: what each box of the first lacks of its best partner. */
static double boxes_apart(const struct box *a, int a_count, const struct box *b, int b_count)
{
    double apart = 0;

    for (int i = 0; i < a_count; i++) {
        double best = 2;
        if (a[i].score <= QUANTIZE_SCORE)
            continue;
        for (int k = 0; k < b_count; k++)
            if (a[i].object_class == b[k].object_class)
                best = fmin(best, 1 - (double)box_iou(&a[i], &b[k]) +
                                      fabs((double)a[i].score - (double)b[k].score));
        apart += best;
    }
    return apart;
}

/* ---- running a detector over pictures ---- */

int quantize_run(struct quantizer *q, struct detector_session *session, int index,
                 struct box boxes[LIMIT_BOXES], int *count)
{
    struct detector_timing timing;
    struct frame          *frame = NULL;
    int                    rc = q->settings->picture(q->settings->context, index, &frame, q->why);

    *count = 0;
    if (rc != 0)
        return rc;
    rc = detector_session_run(session, &frame, 1, (struct box(*)[LIMIT_BOXES])boxes, count, &timing,
                              q->why);
    frame_unref(&frame);
    return rc;
}

static bool tell(const struct quantizer *q, float done, const char *what)
{
    return q->settings->progress == NULL || q->settings->progress(q->settings->context, done, what);
}

/* The candidate that runners of this thread are opened with: one for each size of input, when a
 * picture comes that needs it. */
static _Thread_local const struct calibration *candidate;

static int open_candidate(struct runner **out, const struct model *model,
                          const struct runner_settings *settings, struct why *why)
{
    (void)settings;
    return backend_cpu_open_calibrated(out, model, NULL, candidate, why);
}

static int open_session(struct quantizer *q, const struct calibration *calibration,
                        struct detector_session **session)
{
    q->candidate_ops      = BACKEND_CPU;
    q->candidate_ops.open = open_candidate;
    candidate             = calibration;
    return detector_session_open_on(session, q->detector, &q->candidate_ops, PRECISION_AUTO,
                                    q->why);
}

/* What a calibration gives on some of the pictures. */
struct verdict {
    int    found, asked;
    double apart;
};

static int judge(struct quantizer *q, const struct calibration *calibration, bool held_back,
                 int most, struct verdict *verdict)
{
    struct detector_session *session;
    struct box               boxes[LIMIT_BOXES];
    int                      rc = open_session(q, calibration, &session), seen = 0;

    *verdict = (struct verdict){0};
    if (rc != 0)
        goto done;
    for (int i = 0; rc == 0 && i < q->settings->picture_count && seen < most; i++) {
        const struct quantize_boxes *exact = &q->exact[i];
        int                          count, asked;
        if (quantize_held_back(i) != held_back)
            continue;
        rc = quantize_run(q, session, i, boxes, &count);
        verdict->found += quantize_matches(exact->box, exact->count, boxes, count, &asked);
        verdict->asked += asked;
        verdict->apart += boxes_apart(exact->box, exact->count, boxes, count);
        seen++;
    }
    detector_session_close(&session);
done:
    candidate = NULL;
    return rc;
}

static float share(const struct verdict *verdict)
{
    return verdict->asked > 0 ? (float)verdict->found / (float)verdict->asked : 0;
}

/* ---- the search ---- */

static int choose_width(struct quantizer *q, struct calibration *best)
{
    double least = INFINITY;

    for (size_t i = 0; i < sizeof WIDTHS / sizeof WIDTHS[0]; i++) {
        struct calibration calibration;
        struct verdict     verdict;
        int                rc = quantize_ranges_finish(q, WIDTHS[i], &calibration);
        if (rc == 0)
            rc = judge(q, &calibration, false, WIDTH_PICTURES, &verdict);
        if (rc != 0 || verdict.apart >= least) {
            calibration_free(&calibration);
            if (rc != 0)
                return rc;
            continue;
        }
        least = verdict.apart;
        calibration_free(best);
        *best = calibration;
    }
    return 0;
}

struct layer {
    int    value; /* of the calibration */
    double hurt;
};

static int by_hurt(const void *a, const void *b)
{
    const struct layer *x = a, *y = b;

    return x->hurt != y->hurt ? (x->hurt < y->hurt ? 1 : -1) : x->value - y->value;
}

/* What each layer alone does to the boxes, the worst first. Returns how many there are, or a
 * negative code. */
static int measure_layers(struct quantizer *q, struct calibration *calibration,
                          struct layer *layers)
{
    struct verdict verdict;
    int            rc = 0, count = 0;

    for (int i = 0; i < calibration->count; i++)
        calibration->values[i].keep_float = true;
    for (int i = 0; rc == 0 && i < calibration->count; i++) {
        if (!quantize_is_layer(q, calibration->values[i].name))
            continue;
        calibration->values[i].keep_float = false;
        rc              = judge(q, calibration, false, SENSITIVITY_PICTURES, &verdict);
        layers[count++] = (struct layer){i, verdict.apart};
        calibration->values[i].keep_float = true;
        if (rc == 0 && !tell(q, 0.4F + 0.3F * (float)i / (float)calibration->count, "layers"))
            rc = why_set(q->why, ERR_CLOSED, "stopped");
    }
    for (int i = 0; i < calibration->count; i++)
        calibration->values[i].keep_float = false;
    qsort(layers, (size_t)count, sizeof *layers, by_hurt);
    return rc != 0 ? rc : count;
}

/* Keeps layers in float32, the worst first, until the boxes of the pictures agree. */
static int keep_layers(struct quantizer *q, struct calibration *calibration, float wanted)
{
    struct layer  *layers  = calloc((size_t)calibration->count + 1, sizeof *layers);
    struct verdict verdict = {0};
    int            kept    = 0, rc, count;

    if (layers == NULL)
        return why_set(q->why, ERR_MEMORY, "out of memory for the layers");
    count = measure_layers(q, calibration, layers);
    rc    = count < 0 ? count : 0;
    while (rc == 0 && kept < count) {
        int more = kept / 8 + 1;
        for (int i = 0; i < more && kept < count; i++)
            calibration->values[layers[kept++].value].keep_float = true;
        rc = judge(q, calibration, true, q->settings->picture_count, &verdict);
        if (rc == 0 && !tell(q, 0.7F + 0.3F * (float)kept / (float)count, "search"))
            rc = why_set(q->why, ERR_CLOSED, "stopped");
        if (share(&verdict) >= wanted)
            break;
    }
    q->report->kept = kept;
    free(layers);
    return rc;
}

static int search(struct quantizer *q, struct calibration *best)
{
    float          wanted = q->settings->agreement_min > 0 ? q->settings->agreement_min
                                                           : CALIBRATION_AGREEMENT_MIN;
    struct verdict verdict;
    int            rc = choose_width(q, best);

    if (rc == 0)
        rc = judge(q, best, true, q->settings->picture_count, &verdict);
    if (rc != 0)
        return rc;
    for (int i = 0; i < best->count; i++)
        q->report->layers += quantize_is_layer(q, best->values[i].name);
    q->report->agreement_all = share(&verdict);
    if (verdict.asked == 0)
        return why_set(q->why, ERR_LIMIT,
                       "the network finds nothing above %.1f on the pictures that are held back: "
                       "take pictures of what it is to find",
                       (double)QUANTIZE_SCORE);
    if (share(&verdict) < wanted)
        rc = keep_layers(q, best, wanted);
    if (rc == 0)
        rc = judge(q, best, true, q->settings->picture_count, &verdict);
    best->agreement      = share(&verdict);
    best->boxes          = verdict.asked;
    q->report->agreement = best->agreement;
    q->report->boxes     = verdict.asked;
    return rc;
}

/* ---- in and out ---- */

static int look_at_pictures(struct quantizer *q)
{
    struct detector_session *exact, *seeing;
    struct box               boxes[LIMIT_BOXES];
    int rc = detector_session_open_on(&exact, q->detector, &BACKEND_CPU, PRECISION_F32, q->why);

    if (rc != 0)
        return rc;
    rc = quantize_ranges_open(q, &seeing);
    if (rc != 0)
        goto close_exact;
    for (int i = 0; rc == 0 && i < q->settings->picture_count; i++) {
        struct quantize_boxes *kept = &q->exact[i];
        rc                          = quantize_run(q, exact, i, kept->box, &kept->count);
        if (rc == 0 && !quantize_held_back(i)) {
            int count;
            rc = quantize_run(q, seeing, i, boxes, &count);
            quantize_ranges_next(q);
        }
        if (rc == 0 && !tell(q, 0.3F * (float)i / (float)q->settings->picture_count, "ranges"))
            rc = why_set(q->why, ERR_CLOSED, "stopped");
    }
    detector_session_close(&seeing);
close_exact:
    detector_session_close(&exact);
    return rc;
}

static int write_copy(const struct quantizer *q, const struct calibration *calibration)
{
    const char *path = q->settings->out_path;
    char       *text = calibration_text(calibration), part[1024];
    uint8_t    *file = NULL, *copy = NULL;
    size_t      count = 0, new_count = 0;
    FILE       *out = NULL;
    int rc = text != NULL ? 0 : why_set(q->why, ERR_MEMORY, "out of memory for the calibration");

    if (rc == 0)
        rc = model_read_file(q->settings->detector.model_path, &file, &count, q->why);
    if (rc == 0 && (copy = calibration_attach(file, count, text, &new_count, q->why)) == NULL)
        rc = ERR_INVALID;
    if (rc == 0 && snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        rc = why_set(q->why, ERR_LIMIT, "%s: the path is too long", path);
    if (rc == 0 && (out = fopen(part, "wb")) == NULL)
        rc = why_set(q->why, ERR_IO, "%s: %s", part, strerror(errno));
    if (out != NULL) {
        bool good = fwrite(copy, 1, new_count, out) == new_count;
        good      = fclose(out) == 0 && good;
        if (!good || rename(part, path) != 0) {
            rc = why_set(q->why, ERR_IO, "%s: could not be written: %s", path, strerror(errno));
            remove(part);
        }
    }
    free(text);
    free(file);
    free(copy);
    return rc;
}

int quantize_model(const struct quantize_settings *settings, struct quantize_report *report,
                   struct why *why)
{
    struct quantizer         q    = {.settings = settings, .report = report, .why = why};
    struct detector_settings open = settings->detector;
    struct calibration       best = {0};
    int                      rc;

    *report = (struct quantize_report){.pictures = settings->picture_count};
    if (settings->picture_count < QUANTIZE_PICTURES_MIN ||
        settings->picture_count > LIMIT_QUANTIZE_PICTURES)
        return why_set(why, ERR_LIMIT, "%d pictures: from %d to %d are possible",
                       settings->picture_count, QUANTIZE_PICTURES_MIN, LIMIT_QUANTIZE_PICTURES);
    report->compared = settings->picture_count / HELD_BACK;
    open.backend     = "cpu";
    open.precision   = PRECISION_F32;
    rc               = detector_open(&q.detector, &open, why);
    if (rc != 0)
        return rc;
    q.exact = calloc((size_t)settings->picture_count, sizeof *q.exact);
    rc      = q.exact != NULL ? look_at_pictures(&q) : why_set(why, ERR_MEMORY, "out of memory");
    if (rc == 0)
        rc = search(&q, &best);
    if (rc == 0 && settings->out_path != NULL)
        rc = write_copy(&q, &best);
    calibration_free(&best);
    quantize_ranges_free(&q);
    free(q.exact);
    detector_close(&q.detector);
    return rc;
}
