/* Heads: recognised by their outputs, decoded as their networks mean it, safe with any numbers; and
 * the names of classes.
 * links: gpu */
#include "gpu/head.h"

#include <stdarg.h>

#include "config/err.h"
#include "tests/tap.h"

static struct candidates candidates;
static struct class_map  coco;

static void begin(float side_px)
{
    candidates             = (struct candidates){.min_score = 0.1F, .x1 = side_px, .y1 = side_px};
    candidates.side_px_max = 2 * side_px;
}

static void set_input(struct model_info *model, int height, int width)
{
    *model       = (struct model_info){.path = "a.onnx"};
    model->input = (struct model_tensor){
        .name = "images", .dimension_count = 4, .dimension = {1, 3, height, width}};
}

static void add_output(struct model_info *model, int count, int64_t a, int64_t b, int64_t c)
{
    struct model_tensor *output = &model->output[model->output_count++];

    *output = (struct model_tensor){.dimension_count = count, .dimension = {1, a, b, c}};
}

/* 64x96 input: 8x12, 4x6 and 2x3 cells, 126 in all. */
static void yolox_model(struct model_info *model)
{
    set_input(model, 64, 96);
    add_output(model, 3, 126, 85, 0);
}

static void nanodet_model(struct model_info *model)
{
    static const int cells[] = {96, 24, 6};

    set_input(model, 64, 96);
    for (int i = 0; i < 3; i++) {
        add_output(model, 3, cells[i], 80, 0);
        add_output(model, 3, cells[i], 32, 0);
    }
}

static void fastestdet_model(struct model_info *model)
{
    set_input(model, 64, 96);
    add_output(model, 4, 85, 4, 6);
}

static int open_map(struct class_map *map, const struct model_info *model, int count,
                    struct why *why)
{
    static struct class_names names;
    struct class_map_settings settings = {.count = count};
    int                       rc       = class_names_read(&names, model, NULL, why);

    return rc == 0 ? class_map_open(map, &names, &settings, model, why) : rc;
}

static void check_recognition(void)
{
    struct model_info model;
    struct head       head;
    struct why        why;

    yolox_model(&model);
    is_int(head_open(&head, "auto", &model, 0, &why), 0, "three strides in one output");
    is_text(head.ops->name, "yolox", "are YOLOX");
    ok(head.class_count == 80 && head.stage_count == 3 && head.input.fit == PREPARE_TOP_LEFT &&
           !head.input.rgb && head.input.width_px == 96 && head.input.height_px == 64,
       "with 80 classes, BGR at the top left of 96x64");
    is_near(head.input.pad, 114, 0, "padded with 114");
    nanodet_model(&model);
    is_int(head_open(&head, NULL, &model, 0, &why), 0, "two outputs for each stride");
    is_text(head.ops->name, "nanodet", "are NanoDet");
    fastestdet_model(&model);
    is_int(head_open(&head, NULL, &model, 0, &why), 0, "one grid");
    is_text(head.ops->name, "fastestdet", "is FastestDet");
    is_int(head_open(&head, "yolox", &model, 0, &why), ERR_UNSUPPORTED, "not YOLOX by name: %s",
           why.text);
    is_int(head_open(&head, "yolov9", &model, 0, &why), ERR_NOT_FOUND, "unknown name: %s",
           why.text);
    yolox_model(&model);
    model.output[0].dimension[1] = 125;
    is_int(head_open(&head, NULL, &model, 0, &why), ERR_UNSUPPORTED, "one cell short: %s",
           why.text);
    model.output[0].dimension[1] = 126;
    model.output[0].dimension[2] = INT64_MAX;
    is_int(head_open(&head, NULL, &model, 0, &why), ERR_UNSUPPORTED, "absurd shape: %s", why.text);
    model.input.dimension[1] = 1;
    is_int(head_open(&head, NULL, &model, 0, &why), ERR_UNSUPPORTED, "no picture: %s", why.text);
    nanodet_model(&model);
    model.output[4].dimension[2] = 32;
    is_int(head_open(&head, NULL, &model, 0, &why), ERR_UNSUPPORTED, "stages of different classes");
}

static void check_yolox(void)
{
    static float       numbers[126 * 85];
    const float *const outputs[] = {numbers};
    struct model_info  model;
    struct head        head;
    struct box         box;
    /* Stage of stride 16 begins at cell 96; row 2, column 3 there. */
    float *cell = numbers + (96 + 2 * 6 + 3) * 85;

    yolox_model(&model);
    is_int(head_open(&head, NULL, &model, 0, NULL), 0, "a YOLOX head");
    cell[0]     = 0.25F;
    cell[1]     = -0.5F;
    cell[2]     = logf(2.0F);
    cell[3]     = logf(0.5F);
    cell[4]     = 0.9F;
    cell[5 + 7] = 0.5F; /* truck */
    cell[5 + 2] = 0.4F;
    begin(96);
    head.ops->decode(&head, &coco, outputs, &candidates);
    is_int(candidates.count, 1, "one cell that sees something");
    box = candidates.item[0].box;
    is_int(box.object_class, OBJECT_TRUCK, "a truck");
    is_near(box.score, 0.45, 1e-6, "objectness by class");
    is_near((box.x0 + box.x1) / 2, 3.25 * 16, 1e-4, "centre x");
    is_near((box.y0 + box.y1) / 2, 1.5 * 16, 1e-4, "centre y");
    is_near(box.x1 - box.x0, 32, 1e-4, "width");
    is_near(box.y1 - box.y0, 8, 1e-4, "height");
    is_int(candidates.item[0].number, 96 + 15, "numbered by its place");
    cell[5 + 9] = 0.95F; /* traffic light */
    begin(96);
    head.ops->decode(&head, &coco, outputs, &candidates);
    is_int(candidates.count, 0, "a traffic light is not counted, nor taken for a truck");
}

static void check_fastestdet(void)
{
    static float       numbers[85 * 24];
    const float *const outputs[] = {numbers};
    struct model_info  model;
    struct head        head;
    struct box         box;
    int                cell = 1 * 6 + 4;

    fastestdet_model(&model);
    is_int(head_open(&head, NULL, &model, 0, NULL), 0, "a FastestDet head");
    numbers[cell]          = 0.81F;
    numbers[24 + cell]     = atanhf(0.5F);
    numbers[2 * 24 + cell] = atanhf(-0.25F);
    numbers[3 * 24 + cell] = 0.0F;              /* sigmoid: half of the picture */
    numbers[4 * 24 + cell] = logf(1.0F / 3.0F); /* a quarter */
    numbers[5 * 24 + cell] = 0.64F;
    begin(96);
    head.ops->decode(&head, &coco, outputs, &candidates);
    is_int(candidates.count, 1, "one cell that sees something");
    box = candidates.item[0].box;
    is_int(box.object_class, OBJECT_PERSON, "a person");
    is_near(box.score, pow(0.81, 0.6) * pow(0.64, 0.4), 1e-5, "score");
    is_near((box.x0 + box.x1) / 2, 4.5 * 16, 1e-3, "centre x");
    is_near((box.y0 + box.y1) / 2, 0.75 * 16, 1e-3, "centre y");
    is_near(box.x1 - box.x0, 48, 1e-3, "width");
    is_near(box.y1 - box.y0, 16, 1e-3, "height");
}

static void check_nanodet(void)
{
    static float      scores[3][96 * 80], sides[3][96 * 32];
    const float      *outputs[6] = {scores[0], sides[0], scores[1], sides[1], scores[2], sides[2]};
    struct model_info model;
    struct head       head;
    struct box        box;
    int               cell = 2 * 6 + 1; /* of stride 16 */

    nanodet_model(&model);
    is_int(head_open(&head, NULL, &model, 0, NULL), 0, "a NanoDet head");
    scores[1][cell * 80 + 5] = 0.75F;
    /* Left: certainly 2; top: even over 0..7, so 3.5; right: half 1 and half 3; bottom: 7. */
    sides[1][cell * 32 + 2]      = 100.0F;
    sides[1][cell * 32 + 16 + 1] = sides[1][cell * 32 + 16 + 3] = 100.0F;
    sides[1][cell * 32 + 24 + 7]                                = 100.0F;
    begin(96);
    head.ops->decode(&head, &coco, outputs, &candidates);
    is_int(candidates.count, 1, "one cell that sees something");
    box = candidates.item[0].box;
    is_int(box.object_class, OBJECT_BUS, "a bus");
    is_near(box.score, 0.75, 1e-6, "score");
    is_near(box.x0, 24 - 2 * 16, 1e-3, "left");
    is_near(box.y0, 40 - 3.5 * 16, 1e-3, "top");
    is_near(box.x1, 24 + 2 * 16, 1e-3, "right");
    is_near(box.y1, 40 + 7 * 16, 1e-3, "bottom");
    /* The outputs of a model may come in any order. */
    model.output[0] = model.output[3];
    model.output[3] = (struct model_tensor){.dimension_count = 3, .dimension = {1, 96, 80}};
    is_int(head_open(&head, NULL, &model, 0, NULL), 0, "outputs in another order");
    outputs[0] = sides[1];
    outputs[3] = scores[0];
    begin(96);
    head.ops->decode(&head, &coco, outputs, &candidates);
    is_int(candidates.count, 1, "give the same box");
    is_near(candidates.item[0].box.x0, -8, 1e-3, "in its place");
}

/* Any bits at all: nothing crashes, and what comes out is a box. */
static void check_hostile(void)
{
    static const float special[] = {NAN, INFINITY, -INFINITY, 1e38F, -1e38F, 1e-45F,
                                    0,   1,        -0.0F,     0.5F,  90.0F};
    static float       numbers[6][126 * 96];
    const float       *outputs[6];
    uint32_t           state = 7;
    int                bad   = 0;

    for (int i = 0; i < 6; i++)
        outputs[i] = numbers[i];
    for (int round = 0; round < 60; round++) {
        struct model_info model;
        struct head       head;

        (round % 3 == 0 ? yolox_model : round % 3 == 1 ? fastestdet_model : nanodet_model)(&model);
        if (head_open(&head, NULL, &model, 0, NULL) != 0)
            bad++;
        for (int i = 0; i < 6; i++) {
            for (int k = 0; k < 126 * 96; k++) {
                state         = state * 1664525U + 1013904223U;
                numbers[i][k] = special[(state >> 20) % (sizeof special / sizeof *special)];
                if (round % 2 == 1 && (state & 0x8000) != 0) {
                    state = state * 1664525U + 1013904223U;
                    memcpy(&numbers[i][k], &state, sizeof state);
                }
            }
        }
        begin(96);
        head.ops->decode(&head, &coco, outputs, &candidates);
        for (int i = 0; i < candidates.count; i++) {
            const struct box *box = &candidates.item[i].box;

            bad += !(isfinite(box->x0) && isfinite(box->y0) && box->x1 > box->x0 &&
                     box->y1 > box->y0 && box->score >= 0.1F && box->score <= 1.0F &&
                     box->x1 - box->x0 <= 192);
        }
    }
    is_int(bad, 0, "60 rounds of hostile outputs give nothing but boxes");
}

static void check_names(void)
{
    static const struct {
        const char *text;
        int         count;
        int         expected[4];
    } cases[] = {
        {"{0: 'person', 1: 'bicycle', 2: 'dog', 3: 'truck'}", 4, {0, 1, -1, 5}},
        {"{3: \"Truck\", 0: \"Person\"}", 4, {0, -1, -1, 5}},
        {"[\"car\", \"bus\", \"motorbike\"]", 3, {2, 4, 3, -1}},
        {"person,car , bus", 3, {0, 2, 4, -1}},
        {"pedestrian\nvan\nstop sign\nbike\n", 4, {0, 2, -1, 1}},
        {"{99: 'person', 1: 'car', 12345678901: 'bus'}", 2, {-1, 2, -1, -1}},
        {"'person", 1, {0, -1, -1, -1}},
    };
    const char       *keys[] = {"names"}, *values[1];
    struct class_map  map;
    struct model_info model = {.path = "a.onnx", .metadata_keys = keys, .metadata_values = values};
    struct why        why;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool same;

        model.metadata_count = 1;
        values[0]            = cases[i].text;
        same                 = open_map(&map, &model, cases[i].count, &why) == 0;
        for (int k = 0; same && k < 4; k++)
            same = map.object_class[k] == cases[i].expected[k];
        ok(same, "names, way %zu of writing them", i + 1);
    }
    values[0] = "cat, dog";
    is_int(open_map(&map, &model, 2, &why), ERR_UNSUPPORTED, "nothing to count: %s", why.text);
    values[0] = "";
    is_int(open_map(&map, &model, 2, &why), ERR_UNSUPPORTED, "empty names");
    model.metadata_count = 0;
    is_int(open_map(&map, &model, 3, &why), ERR_UNSUPPORTED, "no names: %s", why.text);
    is_int(open_map(&map, &model, CLASS_MAP_MAX + 1, &why), ERR_LIMIT, "too many: %s", why.text);
    is_int(open_map(&coco, &model, 80, &why), 0, "80 classes are COCO's");
    is_int(coco.object_class[7], OBJECT_TRUCK, "where a truck is the eighth");
    is_int(coco.object_class[6], -1, "and a train is not counted");
}

int main(void)
{
    check_names();
    check_recognition();
    check_yolox();
    check_fastestdet();
    check_nanodet();
    check_hostile();
    return done_testing();
}
