#include "gpu/quantize.h"

#include "config/err.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/quantize_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every third picture is held back. */
#define HELD_BACK 3
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

/* ---- running a detector over pictures ---- */

int quantize_tell(const struct quantizer *q, float done)
{
    const struct quantize_step *step = &q->step;

    if (q->settings->progress == NULL ||
        q->settings->progress(q->settings->context, step->from + (step->to - step->from) * done,
                              step->what))
        return 0;
    return why_set(q->why, ERR_CLOSED, "stopped: nothing is written");
}

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
    q->step = (struct quantize_step){0, 0.3F, "ranges"};
    for (int i = 0; rc == 0 && i < q->settings->picture_count; i++) {
        struct quantize_boxes *kept = &q->exact[i];
        rc                          = quantize_run(q, exact, i, kept->box, &kept->count);
        if (rc == 0 && !quantize_held_back(i)) {
            int count;
            rc = quantize_run(q, seeing, i, boxes, &count);
            quantize_ranges_next(q);
        }
        if (rc == 0)
            rc = quantize_tell(q, (float)(i + 1) / (float)q->settings->picture_count);
    }
    detector_session_close(&seeing);
close_exact:
    detector_session_close(&exact);
    return rc;
}

#define PART_BYTES 1024

/* The file beside the one to write, which takes its place when it is whole. */
static int open_part(const struct quantizer *q, char part[PART_BYTES], FILE **out)
{
    const char *path = q->settings->out_path;

    if (snprintf(part, PART_BYTES, "%s.part", path) >= PART_BYTES)
        return why_set(q->why, ERR_LIMIT, "%s: the path is too long", path);
    *out = fopen(part, "wb");
    return *out != NULL ? 0 : why_set(q->why, ERR_IO, "%s: %s", part, strerror(errno));
}

/* Minutes of measuring are not to be lost for a folder that is not there. */
static int check_place(const struct quantizer *q)
{
    char  part[PART_BYTES];
    FILE *out = NULL;
    int   rc  = open_part(q, part, &out);

    if (rc != 0)
        return rc;
    fclose(out);
    remove(part);
    return 0;
}

static int write_copy(const struct quantizer *q, const struct calibration *calibration)
{
    const char *path = q->settings->out_path;
    char       *text = calibration_text(calibration), part[PART_BYTES];
    uint8_t    *file = NULL, *copy = NULL;
    size_t      count = 0, new_count = 0;
    FILE       *out = NULL;
    int rc = text != NULL ? 0 : why_set(q->why, ERR_MEMORY, "out of memory for the calibration");

    if (rc == 0)
        rc = model_read_file(q->settings->detector.model_path, &file, &count, q->why);
    if (rc == 0 && !model_is_made_of(detector_graph(q->detector), file, count))
        rc = why_set(q->why, ERR_INVALID, "%s has changed since it was loaded",
                     q->settings->detector.model_path);
    if (rc == 0 && (copy = calibration_attach(file, count, text, &new_count, q->why)) == NULL)
        rc = ERR_INVALID;
    if (rc == 0)
        rc = open_part(q, part, &out);
    if (out != NULL) {
        bool good = fwrite(copy, 1, new_count, out) == new_count && fflush(out) == 0 &&
                    fsync(fileno(out)) == 0;
        good = fclose(out) == 0 && good;
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
    if (settings->out_path != NULL)
        rc = check_place(&q);
    q.exact = rc == 0 ? calloc((size_t)settings->picture_count, sizeof *q.exact) : NULL;
    if (rc == 0)
        rc = q.exact != NULL ? look_at_pictures(&q) : why_set(why, ERR_MEMORY, "out of memory");
    if (rc == 0)
        rc = quantize_search(&q, &best);
    q.step = (struct quantize_step){1, 1, "done"};
    if (rc == 0)
        rc = quantize_tell(&q, 1);
    if (rc == 0 && settings->out_path != NULL)
        rc = write_copy(&q, &best);
    calibration_free(&best);
    quantize_ranges_free(&q);
    free(q.exact);
    detector_close(&q.detector);
    return rc;
}
