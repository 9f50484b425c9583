/* The detector: pictures of any size to boxes in their own pixels, with a backend made for the test;
 * and the real networks on a real picture, against boxes computed elsewhere.
 * links: gpu */
#include "gpu/detector.h"

#include <jansson.h>
#include <unistd.h>

#include "config/err.h"
#include "gpu/detector_internal.h"
#include "tests/bus_picture.h"
#include "tests/tap.h"

/* ---- a backend that sees what it is given ---- */

#define HEIGHT_PX 64
#define WIDTH_PX  96
#define CELLS     126 /* strides 8, 16, 32 */
#define NUMBERS   85
#define BATCH     3

struct fake_runner {
    struct runner runner;
    float         output[BATCH * CELLS * NUMBERS];
    int           batch;
};

static int                 fail_open, fail_run, open_runners;
static float               corner_pad[BATCH]; /* what the last run had in its bottom right corner */
static struct fake_runner *last_runner;

static int fake_best_batch(const struct model *model)
{
    (void)model;
    return BATCH;
}

static int fake_open(struct runner **out, const struct model *model,
                     const struct runner_settings *settings, struct why *why)
{
    (void)model;
    (void)settings;
    *out = NULL;
    if (fail_open != 0)
        return why_set(why, fail_open, "no such device");
    last_runner = calloc(1, sizeof *last_runner);
    *out        = &last_runner->runner;
    open_runners++;
    return 0;
}

/* Sees one car: in the cell of stride 8 whose number is half the blue of the top left pixel, 2 cells
 * wide and 1 high, with the score of that blue in 256ths. */
static int fake_run(struct runner *runner, const float *input, int batch, struct why *why)
{
    struct fake_runner *fake = (struct fake_runner *)(void *)runner;

    if (fail_run != 0)
        return why_set(why, fail_run, "device lost");
    memset(fake->output, 0, sizeof fake->output);
    fake->batch = batch;
    for (int i = 0; i < batch; i++) {
        const float *picture = input + (ptrdiff_t)i * 3 * HEIGHT_PX * WIDTH_PX;
        int          cell    = (int)(picture[0] / 2.0F + 0.25F);
        float       *numbers = fake->output + ((ptrdiff_t)i * CELLS + cell) * NUMBERS;

        numbers[0]     = 0.5F;
        numbers[1]     = 0.5F;
        numbers[2]     = logf(2.0F);
        numbers[4]     = picture[0] / 256.0F;
        numbers[5 + 2] = 1.0F;
        corner_pad[i]  = picture[3 * HEIGHT_PX * WIDTH_PX - 1];
    }
    return 0;
}

static const float *fake_output(const struct runner *runner, int index)
{
    (void)index;
    return ((const struct fake_runner *)(const void *)runner)->output;
}

static void fake_close(struct runner **runner)
{
    free(*runner);
    *runner = NULL;
    open_runners--;
}

static const struct backend_ops FAKE = {.name       = "fake",
                                        .best_batch = fake_best_batch,
                                        .open       = fake_open,
                                        .run        = fake_run,
                                        .output     = fake_output,
                                        .close      = fake_close};

static struct model_info fake_info(void)
{
    struct model_info info = {.path = "fake.onnx", .output_count = 1};

    info.input     = (struct model_tensor){.dimension_count = 4,
                                           .dimension       = {1, 3, HEIGHT_PX, WIDTH_PX}};
    info.output[0] = (struct model_tensor){.dimension_count = 3, .dimension = {1, CELLS, NUMBERS}};
    return info;
}

/* All of one grey. */
static struct frame *grey(int width_px, int height_px, int level)
{
    struct frame *frame = frame_alloc(FRAME_GRAY8, width_px, height_px);

    frame->full_range = true;
    for (int y = 0; y < height_px; y++)
        memset((uint8_t *)(uintptr_t)frame->plane[0] + y * frame->stride_bytes[0], level,
               (size_t)width_px);
    return frame;
}

/* The car that fake_run() puts into a picture of this grey; the picture's place in the tensor is
 * rounded down to whole pixels, and so each axis has its own ratio. */
static bool is_car_of(const struct box *box, int width_px, int height_px, int level)
{
    double across = (double)WIDTH_PX / width_px, down = (double)HEIGHT_PX / height_px;
    double ratio = across < down ? across : down;
    double x     = (level / 2 % 12 + 0.5) * 8.0;
    double y     = (level / 2 / 12 + 0.5) * 8.0;

    across = (int)(width_px * ratio + 1e-6) / (double)width_px;
    down   = (int)(height_px * ratio + 1e-6) / (double)height_px;
    return fabs((double)box->x0 - (x - 8) / across) < 0.01 &&
           fabs((double)box->x1 - (x + 8) / across) < 0.01 &&
           fabs((double)box->y0 - (y - 4) / down) < 0.01 &&
           fabs((double)box->y1 - (y + 4) / down) < 0.01 &&
           fabs((double)box->score - level / 256.0) < 0.001 && box->object_class == OBJECT_CAR;
}

static void check_batch(struct detector_session *session)
{
    static struct box      boxes[BATCH][LIMIT_BOXES], again[BATCH][LIMIT_BOXES];
    static const int       sizes[BATCH][2] = {{192, 128}, {960, 300}, {96, 64}};
    struct frame          *frames[BATCH];
    int                    counts[BATCH], counts_again[BATCH];
    struct detector_timing timing;

    for (int i = 0; i < BATCH; i++)
        frames[i] = grey(sizes[i][0], sizes[i][1], 30 + 14 * i);
    is_int(detector_session_run(session, frames, BATCH, boxes, counts, &timing, NULL), 0,
           "three pictures of different sizes");
    for (int i = 0; i < BATCH; i++)
        ok(counts[i] == 1 && is_car_of(&boxes[i][0], sizes[i][0], sizes[i][1], 30 + 14 * i),
           "each gets its own car, in its own pixels (%d)", i);
    ok(timing.prepare_ns > 0 && timing.network_ns > 0 && timing.decode_ns > 0, "times are told");
    is_int(detector_session_run(session, frames, BATCH, again, counts_again, &timing, NULL), 0,
           "once more");
    ok(memcmp(counts, counts_again, sizeof counts) == 0 &&
           memcmp(boxes[1], again[1], sizeof boxes[1][0]) == 0,
       "the same pictures give the same bits");
    for (int i = 0; i < BATCH; i++)
        frame_unref(&frames[i]);
}

/* More sizes than plans are kept, through every place of the batch: the padding must be right each
 * time, though the tensor had another picture there before. */
static void check_many_sizes(struct detector_session *session)
{
    static struct box      boxes[BATCH][LIMIT_BOXES];
    int                    counts[BATCH], wrong = 0, runs = 0;
    struct detector_timing timing;

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < DETECTOR_PLANS_MAX + 5; i++) {
            int           level = 28 + (i * 4) % 60;
            bool          wide  = i % 2 == 0;
            int           w = wide ? 300 + i : 96, h = wide ? 100 : 64;
            struct frame *frames[BATCH];
            int           batch = 1 + i % BATCH;

            for (int k = 0; k < batch; k++)
                frames[k] = grey(w, h, level);
            runs++;
            wrong += detector_session_run(session, frames, batch, boxes, counts, &timing, NULL) !=
                     0;
            for (int k = 0; k < batch; k++) {
                wrong += counts[k] != 1 || !is_car_of(&boxes[k][0], w, h, level);
                wrong += fabsf(corner_pad[k] - (wide ? 114.0F : (float)level)) > 0.01F;
                frame_unref(&frames[k]);
            }
        }
    }
    is_int(wrong, 0, "%d runs over %d sizes", runs, DETECTOR_PLANS_MAX + 5);
}

static void check_failures(const struct detector *detector, struct detector_session *session)
{
    static struct box        boxes[BATCH][LIMIT_BOXES];
    struct detector_session *none          = NULL;
    struct frame            *frame         = grey(96, 64, 50);
    int                      counts[BATCH] = {9, 9, 9};
    struct detector_timing   timing;
    struct why               why;

    fail_run = ERR_IO;
    is_int(detector_session_run(session, &frame, 1, boxes, counts, &timing, &why), ERR_IO,
           "a device that fails: %s", why.text);
    is_int(counts[0], 0, "gives no boxes");
    fail_run         = 0;
    frame->height_px = 0;
    is_int(detector_session_run(session, &frame, 1, boxes, counts, &timing, &why), ERR_INVALID,
           "a picture of no size: %s", why.text);
    frame->height_px = 64;
    is_int(detector_session_run(session, &frame, 1, boxes, counts, &timing, &why), 0,
           "and the session works on");
    fail_open = ERR_NOT_FOUND;
    is_int(detector_session_open(&none, detector, &why), ERR_NOT_FOUND, "no device: %s", why.text);
    ok(none == NULL, "no session");
    fail_open = 0;
    frame_unref(&frame);
}

static void check_settings(const struct detector_parts *parts)
{
    struct detector_settings settings = {.head = "auto"};
    struct detector         *detector;
    struct why               why;

    is_int(detector_open_with(&detector, &settings, parts, &why), 0, "defaults");
    is_text(detector_head_name(detector), "yolox", "the head is found");
    is_text(detector_backend_name(detector), "fake", "the backend is told");
    is_int(detector_best_batch(detector), BATCH, "and its batch");
    ok(detector_model(detector) == parts->info, "and the model");
    detector_close(&detector);
    ok(detector == NULL, "closed");
    detector_close(&detector);
    settings.min_score = 1.5F;
    is_int(detector_open_with(&detector, &settings, parts, &why), ERR_INVALID, "score: %s",
           why.text);
    settings.min_score = NAN;
    is_int(detector_open_with(&detector, &settings, parts, &why), ERR_INVALID,
           "score that is none");
    settings.min_score = 0.1F;
    settings.nms_iou   = -1.0F;
    is_int(detector_open_with(&detector, &settings, parts, &why), ERR_INVALID, "iou: %s", why.text);
    settings.nms_iou = 0.5F;
    settings.head    = "nanodet";
    is_int(detector_open_with(&detector, &settings, parts, &why), ERR_UNSUPPORTED, "head: %s",
           why.text);
    ok(detector == NULL, "nothing half open");
}

static void check_fake(void)
{
    struct model_info        info     = fake_info();
    struct detector_parts    parts    = {.info = &info, .backend = &FAKE};
    struct detector_settings settings = {.head = "auto"};
    struct detector         *detector;
    struct detector_session *session;

    check_settings(&parts);
    is_int(detector_open_with(&detector, &settings, &parts, NULL), 0, "a detector");
    is_int(detector_session_open(&session, detector, NULL), 0, "a session");
    is_int(detector_session_best_batch(session), BATCH, "that takes %d", BATCH);
    check_batch(session);
    check_many_sizes(session);
    check_failures(detector, session);
    detector_session_close(&session);
    detector_session_close(&session);
    is_int(open_runners, 0, "every runner is closed");
    detector_close(&detector);
}

/* ---- the real networks ---- */

/* Boxes of bus.jpg in the pixels of the small picture; returns how many. */
static int reference_boxes(const char *folder, struct box *boxes, int capacity)
{
    char    path[600];
    json_t *root, *list, *item;
    size_t  index;
    int     count = 0;
    float   ratio = 416.0F / 1080.0F;

    snprintf(path, sizeof path, "%s/models/reference_boxes.json", folder);
    root = json_load_file(path, 0, NULL);
    list = json_object_get(json_object_get(root, "ref"), "nanodet/bus.jpg");
    json_array_foreach(list, index, item)
    {
        json_t *numbers = json_object_get(item, "box_xywh");
        float   n[4];

        for (size_t k = 0; k < 4; k++)
            n[k] = (float)json_number_value(json_array_get(numbers, k)) * ratio;
        if (count < capacity &&
            object_class_from_name(json_string_value(json_object_get(item, "cls")),
                                   &boxes[count].object_class)) {
            struct box *box = &boxes[count++];

            box->x0    = n[0];
            box->y0    = n[1];
            box->x1    = n[0] + n[2];
            box->y1    = n[1] + n[3];
            box->score = (float)json_number_value(json_object_get(item, "conf"));
        }
    }
    json_decref(root);
    return count;
}

static const struct box *find(const struct box *boxes, int count, const struct box *like, float iou)
{
    for (int i = 0; i < count; i++)
        if (boxes[i].object_class == like->object_class && box_iou(&boxes[i], like) > iou)
            return &boxes[i];
    return NULL;
}

/* `exact`: the model is the one the reference was computed with. */
static void check_model(const char *folder, const char *name, const char *head, bool exact,
                        float least_iou)
{
    static struct box        boxes[1][LIMIT_BOXES], again[1][LIMIT_BOXES];
    struct box               wanted[16];
    char                     path[600];
    struct detector_settings settings = {.model_path = path, .head = "auto", .backend = "cpu"};
    struct detector         *detector = NULL;
    struct detector_session *session  = NULL;
    struct detector_timing   timing;
    struct frame            *frame        = bus_picture(folder);
    int                      wanted_count = reference_boxes(folder, wanted, 16);
    int                      count, count_again;
    struct why               why = {""};

    snprintf(path, sizeof path, "%s/models/%s", folder, name);
    if (frame == NULL || wanted_count == 0 || access(path, R_OK) != 0) {
        skip_one("no %s or reference", name);
        frame_unref(&frame);
        return;
    }
    if (detector_open(&detector, &settings, &why) != 0) {
        ok(false, "%s opens: %s", name, why.text);
        frame_unref(&frame);
        return;
    }
    is_text(detector_head_name(detector), head, "its head is %s", head);
    is_int(detector_session_open(&session, detector, &why), 0, "%s has a session", name);
    is_int(detector_session_run(session, &frame, 1, boxes, &count, &timing, &why), 0, "runs");
    for (int i = 0; i < wanted_count; i++) {
        const struct box *found = find(boxes[0], count, &wanted[i], least_iou);

        ok(found != NULL, "finds the %s at %.0f,%.0f", object_class_name(wanted[i].object_class),
           (double)wanted[i].x0, (double)wanted[i].y0);
        if (!exact || found == NULL)
            continue;
        is_near(found->score, wanted[i].score, 0.0005, "  with the reference's score");
        ok(fabsf(found->x0 - wanted[i].x0) < 0.05F && fabsf(found->y0 - wanted[i].y0) < 0.05F &&
               fabsf(found->x1 - wanted[i].x1) < 0.05F && fabsf(found->y1 - wanted[i].y1) < 0.05F,
           "  and its edges to a twentieth of a pixel");
    }
    if (exact) {
        int above = 0;

        for (int i = 0; i < count; i++)
            above += boxes[0][i].score >= 0.3F;
        is_int(above, wanted_count, "and nothing else above 0.3");
    }
    is_int(detector_session_run(session, &frame, 1, again, &count_again, &timing, &why), 0,
           "again");
    ok(count == count_again && memcmp(boxes[0], again[0], (size_t)count * sizeof boxes[0][0]) == 0,
       "the same picture gives the same bits");
    diag("prepare %.3f ms, network %.2f ms, decode %.3f ms", (double)timing.prepare_ns / 1e6,
         (double)timing.network_ns / 1e6, (double)timing.decode_ns / 1e6);
    detector_session_close(&session);
    detector_close(&detector);
    frame_unref(&frame);
}

int main(void)
{
    const char *folder = material();

    check_fake();
    if (folder == NULL) {
        skip_one("no material");
        return done_testing();
    }
    check_model(folder, "yolox_nano_coco_416.onnx", "yolox", true, 0.9F);
    check_model(folder, "nanodet_m.onnx", "nanodet", false, 0.7F);
    check_model(folder, "FastestDet.onnx", "fastestdet", false, 0.6F);
    return done_testing();
}
