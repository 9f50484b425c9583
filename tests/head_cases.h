/* tests/head_cases.h: known boxes, written the way that a network of each family gives them.
 *
 * The way of writing is the tests' own, from the families' descriptions. How to add a family: a row in
 * CASES with a function that writes its outputs. Included by one test each. */
#ifndef SIGHTLINE_TESTS_HEAD_CASES_H
#define SIGHTLINE_TESTS_HEAD_CASES_H

#include <math.h>
#include <stdlib.h>

#include "gpu/head.h"
#include "tests/tap.h"

#define HEIGHT_PX 128
#define WIDTH_PX  192
#define OUTPUTS   6
#define NUMBERS   (1 << 20) /* room of one output */
#define TRUTHS    5
#define ANCHORS   3

struct truth {
    float x0, y0, x1, y1, score;
    int   model_class; /* of COCO's 80 */
};

/* Far from each other, each centre in a cell of its own; the last is no class that is counted. */
static const struct truth TRUTH[TRUTHS] = {
    {10, 12, 42, 60, 0.91F, 0},    {100, 20, 160, 50, 0.52F, 2}, {70, 80, 90, 100, 0.33F, 1},
    {120, 70, 186, 126, 0.77F, 7}, {4, 90, 40, 120, 0.95F, 16},
};
static const int EXPECTED[TRUTHS] = {OBJECT_PERSON, OBJECT_CAR, OBJECT_BICYCLE, OBJECT_TRUCK, -1};

static float             *outputs[OUTPUTS];
static struct model_info  info;
static struct candidates  candidates;
static struct class_names names;
static struct class_map   classes;

static float logit(float score)
{
    return logf(score / (1.0F - score));
}

static float *add_output(const char *name, int count, int64_t a, int64_t b, int64_t c, int64_t d)
{
    struct model_tensor *output = &info.output[info.output_count];
    int64_t              all    = a;

    *output = (struct model_tensor){.dimension_count = count, .dimension = {1, a, b, c, d}};
    snprintf(output->name, sizeof output->name, "%s", name);
    for (int i = 2; i < count; i++)
        all *= output->dimension[i];
    if (all > NUMBERS)
        exit(1);
    memset(outputs[info.output_count], 0, NUMBERS * sizeof(float));
    return outputs[info.output_count++];
}

static int cells_of(int first_px, int last_px)
{
    int cells = 0;

    for (int stride_px = first_px; stride_px <= last_px; stride_px *= 2)
        cells += (HEIGHT_PX / stride_px) * (WIDTH_PX / stride_px);
    return cells;
}

/* The cell of stride 8 in which a box has its centre. */
static int cell_of(const struct truth *truth)
{
    int column = (int)((truth->x0 + truth->x1) / 2.0F) / 8;
    int row    = (int)((truth->y0 + truth->y1) / 2.0F) / 8;

    return row * (WIDTH_PX / 8) + column;
}

static void centred(const struct truth *truth, float box[4])
{
    box[0] = (truth->x0 + truth->x1) / 2.0F;
    box[1] = (truth->y0 + truth->y1) / 2.0F;
    box[2] = truth->x1 - truth->x0;
    box[3] = truth->y1 - truth->y0;
}

/* ---- one function for each way of giving boxes ---- */

static void write_rows(int rows, int before, int row_of_first)
{
    int    numbers = before + 80;
    float *output  = add_output("output0", 3, rows, numbers, 1, 1);

    for (int i = 0; i < TRUTHS; i++) {
        float *row = output + (ptrdiff_t)(row_of_first + cell_of(&TRUTH[i])) * numbers;

        centred(&TRUTH[i], row);
        row[4]                             = before == 5 ? sqrtf(TRUTH[i].score) : 0.0F;
        row[before + TRUTH[i].model_class] = before == 5 ? sqrtf(TRUTH[i].score) : TRUTH[i].score;
    }
}

static void write_sightline(void)
{
    static const char *const names_of[] = {"cells8", "cells16", "cells32"};
    ptrdiff_t                plane      = cells_of(8, 8);
    float                   *first      = outputs[info.output_count];

    for (int s = 0; s < 3; s++) {
        int    rows = HEIGHT_PX / (8 << s), columns = WIDTH_PX / (8 << s);
        float *output = add_output(names_of[s], 4, 84, rows, columns, 1);

        for (int i = 4 * rows * columns; i < 84 * rows * columns; i++)
            output[i] = -20.0F;
    }
    for (int i = 0; i < TRUTHS; i++) {
        const struct truth *truth  = &TRUTH[i];
        int                 cell   = cell_of(truth);
        float               x      = ((float)(cell % (WIDTH_PX / 8)) + 0.5F) * 8.0F;
        float               y      = ((float)(cell / (WIDTH_PX / 8)) + 0.5F) * 8.0F;
        float               far[4] = {x - truth->x0, y - truth->y0, truth->x1 - x, truth->y1 - y};

        for (int k = 0; k < 4; k++)
            first[k * plane + cell] = logf(far[k] / 8.0F);
        first[(4 + truth->model_class) * plane + cell] = logit(truth->score);
    }
}

static void write_yolox(void)
{
    float *output = add_output("output", 3, cells_of(8, 32), 85, 1, 1);

    for (int i = 0; i < TRUTHS; i++) {
        int    cell = cell_of(&TRUTH[i]);
        float *row  = output + (ptrdiff_t)cell * 85, box[4];

        centred(&TRUTH[i], box);
        row[0]                        = box[0] / 8.0F - (float)(cell % (WIDTH_PX / 8));
        row[1]                        = box[1] / 8.0F - (float)(cell / (WIDTH_PX / 8));
        row[2]                        = logf(box[2] / 8.0F);
        row[3]                        = logf(box[3] / 8.0F);
        row[4]                        = sqrtf(TRUTH[i].score);
        row[5 + TRUTH[i].model_class] = sqrtf(TRUTH[i].score);
    }
}

static void write_yolox_placed(void)
{
    write_rows(cells_of(8, 32), 5, 0);
    info.traits.has_grid = info.traits.has_exponential = true;
}

static void write_yolov6(void)
{
    write_rows(cells_of(8, 32), 5, 0);
    info.traits.has_grid = true;
}

static void write_yolov5(void)
{
    write_rows(cells_of(8, 32) * ANCHORS, 5, 100);
}

static void write_yolov5_large(void)
{
    write_rows(cells_of(8, 64) * ANCHORS, 5, 1000);
}

/* Into the outputs of stride 8, with the anchor that is nearest. */
static void write_anchors(const float *anchors)
{
    float *first = NULL;

    for (int stride_px = 8; stride_px <= 32; stride_px *= 2) {
        int    rows = HEIGHT_PX / stride_px, columns = WIDTH_PX / stride_px;
        float *output = add_output("", 5, ANCHORS, rows, columns, 85);

        for (int64_t i = 0; i < (int64_t)ANCHORS * rows * columns * 85; i++)
            output[i] = -12.0F;
        if (first == NULL)
            first = output;
    }
    for (int i = 0; i < TRUTHS; i++) {
        int    cell = cell_of(&TRUTH[i]), anchor = 2, cells = (HEIGHT_PX / 8) * (WIDTH_PX / 8);
        float *numbers = first + (ptrdiff_t)(anchor * cells + cell) * 85, box[4];

        centred(&TRUTH[i], box);
        numbers[0] = logit((box[0] / 8.0F - (float)(cell % (WIDTH_PX / 8)) + 0.5F) / 2.0F);
        numbers[1] = logit((box[1] / 8.0F - (float)(cell / (WIDTH_PX / 8)) + 0.5F) / 2.0F);
        numbers[2] = logit(sqrtf(box[2] / anchors[0]) / 2.0F);
        numbers[3] = logit(sqrtf(box[3] / anchors[1]) / 2.0F);
        numbers[4] = logit(sqrtf(TRUTH[i].score));
        numbers[5 + TRUTH[i].model_class] = logit(sqrtf(TRUTH[i].score));
    }
}

static void write_yolov5_raw(void)
{
    write_anchors((const float[]){33, 23});
}

static void write_yolov7_raw(void)
{
    write_anchors((const float[]){40, 28});
}

static void write_yolov8(void)
{
    int    cells  = cells_of(8, 32);
    float *output = add_output("output0", 3, 84, cells, 1, 1);

    for (int i = 0; i < TRUTHS; i++) {
        float box[4];

        centred(&TRUTH[i], box);
        for (int k = 0; k < 4; k++)
            output[k * cells + cell_of(&TRUTH[i])] = box[k];
        output[(4 + TRUTH[i].model_class) * cells + cell_of(&TRUTH[i])] = TRUTH[i].score;
    }
    info.traits.has_grid = true;
}

static void write_yolov8_turned(void)
{
    write_rows(cells_of(8, 32), 4, 0);
    info.traits.has_grid = true;
    for (int i = 0; i < TRUTHS; i++)
        outputs[0][(ptrdiff_t)cell_of(&TRUTH[i]) * 84 + 4] = TRUTH[i].model_class == 0
                                                                 ? TRUTH[i].score
                                                                 : 0.0F;
}

/* Two neighbouring distances share what lies between them. */
static void write_distance(float *logits, int plane, float distance)
{
    int   below = (int)distance;
    float part  = distance - (float)below;

    for (int i = 0; i < 16; i++)
        logits[i * plane] = i == below       ? logf(1.0F - part + 1e-9F)
                            : i == below + 1 ? logf(part + 1e-9F)
                                             : -40.0F;
}

/* In the stage in which the distances are below 15 strides; apart: the sides in outputs of their
 * own. */
static void write_distances(bool apart)
{
    for (int stride_px = 8; stride_px <= 32; stride_px *= 2) {
        int    rows = HEIGHT_PX / stride_px, columns = WIDTH_PX / stride_px, plane = rows * columns;
        float *sides  = add_output("", 4, apart ? 64 : 144, rows, columns, 1);
        float *scores = apart ? add_output("", 4, 80, rows, columns, 1)
                              : sides + (ptrdiff_t)64 * plane;

        for (int i = 0; i < 80 * plane; i++)
            scores[i] = -9.0F;
        for (int i = 0; i < TRUTHS && stride_px == 8; i++) {
            int   cell        = cell_of(&TRUTH[i]);
            float x           = ((float)(cell % columns) + 0.5F) * 8.0F;
            float y           = ((float)(cell / columns) + 0.5F) * 8.0F;
            float distance[4] = {x - TRUTH[i].x0, y - TRUTH[i].y0, TRUTH[i].x1 - x,
                                 TRUTH[i].y1 - y};

            for (int k = 0; k < 4; k++)
                write_distance(sides + k * 16 * plane + cell, plane, distance[k] / 8.0F);
            scores[TRUTH[i].model_class * plane + cell] = logit(TRUTH[i].score);
        }
    }
}

static void write_yolov8_raw(void)
{
    write_distances(false);
}

static void write_yolov8_apart(void)
{
    write_distances(true);
}

static void write_corners(float *row, const struct truth *truth)
{
    memcpy(row, (float[4]){truth->x0, truth->y0, truth->x1, truth->y1}, 4 * sizeof *row);
}

static void write_end_to_end(void)
{
    float *output = add_output("output0", 3, 300, 6, 1, 1);

    for (int i = 0; i < TRUTHS; i++) {
        write_corners(output + i * 6, &TRUTH[i]);
        output[i * 6 + 4] = TRUTH[i].score;
        output[i * 6 + 5] = (float)TRUTH[i].model_class;
    }
}

static void write_with_picture(void)
{
    float *output = add_output("output", 3, 100, 7, 1, 1);

    for (int i = 0; i < TRUTHS; i++) {
        write_corners(output + i * 7 + 1, &TRUTH[i]);
        output[i * 7 + 5] = (float)TRUTH[i].model_class;
        output[i * 7 + 6] = TRUTH[i].score;
    }
}

static void write_chosen(const char *boxes_name, const char *scores_name, const char *classes_name)
{
    float *labels = add_output(classes_name, 2, 50, 1, 1, 1);
    float *boxes  = add_output(boxes_name, 3, 50, 4, 1, 1);
    float *scores = add_output(scores_name, 2, 50, 1, 1, 1);

    for (int i = 0; i < TRUTHS; i++) {
        write_corners(boxes + (ptrdiff_t)i * 4, &TRUTH[i]);
        labels[i] = (float)TRUTH[i].model_class;
        scores[i] = TRUTH[i].score;
    }
}

static void write_apart(void)
{
    float *count;

    write_chosen("det_boxes", "det_scores", "det_classes");
    count  = add_output("num_dets", 2, 1, 1, 1, 1);
    *count = TRUTHS;
}

static void write_detr_chosen(void)
{
    write_chosen("boxes", "scores", "labels");
}

static void write_parts(float *box, const struct truth *truth)
{
    centred(truth, box);
    box[0] /= WIDTH_PX;
    box[1] /= HEIGHT_PX;
    box[2] /= WIDTH_PX;
    box[3] /= HEIGHT_PX;
}

static void write_detr(void)
{
    float *logits = add_output("logits", 3, 300, 80, 1, 1);
    float *boxes  = add_output("pred_boxes", 3, 300, 4, 1, 1);

    for (int i = 0; i < 300 * 80; i++)
        logits[i] = -8.0F;
    for (int i = 0; i < TRUTHS; i++) {
        write_parts(boxes + (ptrdiff_t)4 * (i + 7), &TRUTH[i]);
        logits[(i + 7) * 80 + TRUTH[i].model_class] = logit(TRUTH[i].score);
    }
}

static void write_detr_joined(void)
{
    float *rows = add_output("output0", 3, 300, 84, 1, 1);

    for (int i = 0; i < TRUTHS; i++) {
        write_parts(rows + (ptrdiff_t)i * 84, &TRUTH[i]);
        rows[i * 84 + 4 + TRUTH[i].model_class] = TRUTH[i].score;
    }
}

/* COCO's own number of one of the 80 in TRUTH. */
static int coco_number(int model_class)
{
    return model_class == 16 ? 18 : model_class + 1;
}

/* All classes together have what the score leaves over. */
static void write_detr_softmax(void)
{
    float *boxes  = add_output("pred_boxes", 3, 100, 4, 1, 1);
    float *logits = add_output("pred_logits", 3, 100, 92, 1, 1);

    for (int i = 0; i < 100; i++)
        logits[i * 92 + 91] = 20.0F;
    for (int i = 0; i < TRUTHS; i++) {
        float *query = logits + (ptrdiff_t)i * 92;

        write_parts(boxes + (ptrdiff_t)i * 4, &TRUTH[i]);
        for (int k = 0; k < 92; k++)
            query[k] = -60.0F;
        query[91]                                = logf(1.0F - TRUTH[i].score);
        query[coco_number(TRUTH[i].model_class)] = logf(TRUTH[i].score);
    }
}

static void write_detr_numbers(void)
{
    float *boxes  = add_output("dets", 3, 300, 4, 1, 1);
    float *logits = add_output("labels", 3, 300, 91, 1, 1);

    for (int i = 0; i < 300 * 91; i++)
        logits[i] = -8.0F;
    for (int i = 0; i < TRUTHS; i++) {
        write_parts(boxes + (ptrdiff_t)4 * i, &TRUTH[i]);
        logits[i * 91 + coco_number(TRUTH[i].model_class)] = logit(TRUTH[i].score);
    }
}

static void write_ssd(void)
{
    float *scores = add_output("scores", 3, 1500, 81, 1, 1);
    float *boxes  = add_output("boxes", 3, 1500, 4, 1, 1);

    info.output[0].unit = info.output[0].softmax = true;
    for (int i = 0; i < 1500; i++)
        scores[i * 81] = 1.0F;
    for (int i = 0; i < TRUTHS; i++) {
        boxes[i * 4]                              = TRUTH[i].x0 / WIDTH_PX;
        boxes[i * 4 + 1]                          = TRUTH[i].y0 / HEIGHT_PX;
        boxes[i * 4 + 2]                          = TRUTH[i].x1 / WIDTH_PX;
        boxes[i * 4 + 3]                          = TRUTH[i].y1 / HEIGHT_PX;
        scores[i * 81]                            = 1.0F - TRUTH[i].score;
        scores[i * 81 + 1 + TRUTH[i].model_class] = TRUTH[i].score;
    }
}

/* Without a class for nothing, rows before columns, for bytes. */
static void write_ssd_bytes(void)
{
    float *boxes  = add_output("boxes", 3, 1500, 4, 1, 1);
    float *scores = add_output("scores", 3, 1500, 90, 1, 1);

    info.output[1].unit     = true;
    info.traits.takes_bytes = true;
    for (int i = 0; i < TRUTHS; i++) {
        boxes[i * 4]                                           = TRUTH[i].y0 / HEIGHT_PX;
        boxes[i * 4 + 1]                                       = TRUTH[i].x0 / WIDTH_PX;
        boxes[i * 4 + 2]                                       = TRUTH[i].y1 / HEIGHT_PX;
        boxes[i * 4 + 3]                                       = TRUTH[i].x1 / WIDTH_PX;
        scores[i * 90 + coco_number(TRUTH[i].model_class) - 1] = TRUTH[i].score;
    }
}

static void write_ssd_chosen(void)
{
    float *boxes   = add_output("detection_boxes:0", 3, 100, 4, 1, 1);
    float *numbers = add_output("detection_classes:0", 2, 100, 1, 1, 1);
    float *scores  = add_output("detection_scores:0", 2, 100, 1, 1, 1);
    float *count   = add_output("num_detections:0", 1, 1, 1, 1, 1);

    for (int i = 0; i < 100; i++) {
        const struct truth *truth = &TRUTH[i % TRUTHS];

        /* What is not used holds old boxes. */
        boxes[i * 4]     = truth->y0 / HEIGHT_PX;
        boxes[i * 4 + 1] = truth->x0 / WIDTH_PX;
        boxes[i * 4 + 2] = truth->y1 / HEIGHT_PX;
        boxes[i * 4 + 3] = truth->x1 / WIDTH_PX;
        numbers[i]       = (float)coco_number(truth->model_class);
        scores[i]        = truth->score;
    }
    *count = TRUTHS;
}

static const struct {
    const char *what;
    void (*write)(void);
    const char      *wanted; /* NULL: recognised */
    const char      *head;
    enum prepare_fit fit;
    bool             rgb;
    float            scale;
} CASES[] = {
    {"Sightline", write_sightline, NULL, "sightline", PREPARE_TOP_LEFT, true, 1.0F},
    {"YOLOX", write_yolox, NULL, "yolox", PREPARE_TOP_LEFT, false, 1},
    {"YOLOX placed by the graph", write_yolox_placed, NULL, "yolox", PREPARE_TOP_LEFT, false, 1},
    {"YOLOv5", write_yolov5, NULL, "yolov5", PREPARE_CENTRED, true, 1 / 255.0F},
    {"YOLOv5 with four strides", write_yolov5_large, NULL, "yolov5", PREPARE_CENTRED, true,
     1 / 255.0F},
    {"YOLOv5 raw", write_yolov5_raw, NULL, "yolov5", PREPARE_CENTRED, true, 1 / 255.0F},
    {"YOLOv6", write_yolov6, NULL, "yolov5", PREPARE_CENTRED, true, 1 / 255.0F},
    {"YOLOv7", write_yolov5, "yolov7", "yolov7", PREPARE_CENTRED, true, 1 / 255.0F},
    {"YOLOv7 raw", write_yolov7_raw, "yolov7", "yolov7", PREPARE_CENTRED, true, 1 / 255.0F},
    {"YOLOv8", write_yolov8, NULL, "yolov8", PREPARE_CENTRED, true, 1 / 255.0F},
    {"YOLOv8 turned", write_yolov8_turned, NULL, "yolov8", PREPARE_CENTRED, true, 1 / 255.0F},
    {"YOLOv8 raw", write_yolov8_raw, NULL, "yolov8", PREPARE_CENTRED, true, 1 / 255.0F},
    {"YOLOv8 raw, apart", write_yolov8_apart, NULL, "yolov8", PREPARE_CENTRED, true, 1 / 255.0F},
    {"end to end", write_end_to_end, NULL, "end_to_end", PREPARE_CENTRED, true, 1 / 255.0F},
    {"end to end with the picture's number", write_with_picture, NULL, "end_to_end",
     PREPARE_CENTRED, true, 1 / 255.0F},
    {"end to end in four outputs", write_apart, NULL, "end_to_end", PREPARE_CENTRED, true,
     1 / 255.0F},
    {"RT-DETR", write_detr, NULL, "detr", PREPARE_STRETCH, true, 1 / 255.0F},
    {"RT-DETR in one output", write_detr_joined, NULL, "detr", PREPARE_STRETCH, true, 1 / 255.0F},
    {"RT-DETR with the choice made", write_detr_chosen, NULL, "detr", PREPARE_STRETCH, true,
     1 / 255.0F},
    {"DETR with a softmax", write_detr_softmax, NULL, "detr", PREPARE_STRETCH, true, 1 / 58.395F},
    {"DETR by COCO's numbers", write_detr_numbers, NULL, "detr", PREPARE_STRETCH, true,
     1 / 58.395F},
    {"SSD", write_ssd, NULL, "ssd", PREPARE_STRETCH, true, 1 / 128.0F},
    {"SSD for bytes", write_ssd_bytes, NULL, "ssd", PREPARE_STRETCH, true, 1},
    {"SSD with the choice made", write_ssd_chosen, NULL, "ssd", PREPARE_STRETCH, true, 1},
};

static bool open_case(struct head *head, size_t number)
{
    struct class_map_settings settings = {.count = 0};
    struct why                why      = {""};

    info = (struct model_info){.path  = "a.onnx",
                               .input = {.name            = "images",
                                         .dimension_count = 4,
                                         .dimension       = {1, 3, HEIGHT_PX, WIDTH_PX}}};
    CASES[number].write();
    names.count = 0;
    if (head_open(head, CASES[number].wanted, &info, 0, &why) != 0) {
        diag("%s", why.text);
        return false;
    }
    settings.count      = head->class_count;
    settings.background = head->background;
    return class_map_open(&classes, &names, &settings, &info, &why) == 0;
}

#endif
