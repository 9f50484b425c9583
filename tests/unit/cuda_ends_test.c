// links: gpu
// The two ends of a network on a CUDA device, on the processor: the kernels' own text from pictures to
// the input and from outputs to boxes, against gpu/prepare.c, the heads and gpu/suppress.c. Random
// sizes, strides, formats and numbers; the same bits are wanted of both.
#include "gpu/cuda/cuda_pack.h"

#include "config/err.h"
#include "gpu/head.h"
#include "gpu/prepare.h"
#include "tests/cuda_emulated.h"
#include "tests/random_shapes.h"

#define PICTURES  160
#define MODELS    96
#define BATCH     3
#define SIDE_PX   96
#define FOUND_MAX (BATCH * LIMIT_BOXES)

static float uniform(float low, float high)
{
    return low + (high - low) * (float)pick(0, 1 << 20) / (float)(1 << 20);
}

/* ---- pictures ---- */

static struct prepare_settings random_settings(void)
{
    struct prepare_settings settings = {.width_px  = (int)pick(1, SIDE_PX),
                                        .height_px = (int)pick(1, SIDE_PX),
                                        .fit       = (enum prepare_fit)pick(0, 2),
                                        .rgb       = pick(0, 1) == 1,
                                        .pad       = uniform(0, 255)};

    for (int c = 0; c < 3; c++) {
        settings.mean[c]  = uniform(0, 255);
        settings.scale[c] = uniform(0.001F, 2);
    }
    return settings;
}

/* Sometimes stored bottom up; large ones are shrunk far. */
static struct frame *random_frame(int trial)
{
    int64_t       most  = trial % 8 == 0 ? 1500 : 150;
    struct frame *frame = frame_alloc((enum frame_format)pick(FRAME_I420, FRAME_RGB24),
                                      (int)pick(1, most), (int)pick(1, most));

    if (frame == NULL)
        abort();
    frame->matrix     = (enum frame_matrix)pick(FRAME_BT601, FRAME_BT709);
    frame->full_range = pick(0, 1) == 1;
    for (int k = 0; k < 3; k++) {
        struct frame_plane size = frame_plane_of(frame->format, k, frame->width_px,
                                                 frame->height_px);
        uint8_t           *at   = (uint8_t *)(uintptr_t)frame->plane[k];

        for (int64_t i = 0; i < (int64_t)size.rows * frame->stride_bytes[k]; i++)
            at[i] = (uint8_t)(trial % 3 == 0 ? pick(0, 1) * 255 : pick(0, 255));
        if (size.rows > 0 && pick(0, 3) == 0) {
            frame->plane[k] += (ptrdiff_t)(size.rows - 1) * frame->stride_bytes[k];
            frame->stride_bytes[k] = -frame->stride_bytes[k];
        }
    }
    return frame;
}

/* As the device has it: planes and tables in memory of their own, just large enough. */
struct packed {
    struct cuda_prepare args;
    uint8_t            *planes, *tables;
};

static void pack(struct packed *packed, const struct prepare_settings *settings,
                 const struct frame *frame)
{
    int64_t               room = cuda_tables_bytes(settings);
    struct prepare_tables tables;
    struct cuda_planes    planes;
    struct why            why = {""};

    if (prepare_tables_open(&tables, settings, frame, &PREPARE_C, &why) != 0 ||
        cuda_planes_of(&planes, frame, &why) != 0)
        abort();
    packed->planes = malloc((size_t)planes.bytes);
    packed->tables = malloc((size_t)room);
    if (packed->planes == NULL || packed->tables == NULL)
        abort();
    cuda_planes_copy(&planes, frame, packed->planes);
    if (cuda_tables_pack(&packed->args, &tables, packed->tables, room, packed->tables, &why) != 0) {
        diag("%s", why.text);
        abort();
    }
    cuda_prepare_from(&packed->args, frame, &planes, packed->planes);
    prepare_tables_close(&tables);
}

/* Into half precision, as a picture in lanes; the lanes without meaning are 0. */
static bool same_lanes(struct packed *packed, const float *expected, int64_t plane)
{
    half_bits *lanes = aligned_alloc(64, (size_t)(plane * CUDA_LANES + 32) / 32 * 64);
    bool       same  = lanes != NULL;

    packed->args.y = (struct cuda_picture){.at       = lanes,
                                           .channels = 3,
                                           .height   = packed->args.tensor_height,
                                           .width    = packed->args.tensor_width,
                                           .pitch    = CUDA_LANES};
    cuda_launch_prepare(&packed->args, 1, NULL);
    for (int64_t i = 0; same && i < plane; i++)
        for (int c = 0; same && c < CUDA_LANES; c++)
            same = lanes[i * CUDA_LANES + c] == (c < 3 ? half_store(expected[c * plane + i]) : 0);
    free(lanes);
    return same;
}

static void test_pictures(void)
{
    int plain = 0, lanes = 0;

    for (int trial = 0; trial < PICTURES; trial++) {
        struct prepare_settings settings = random_settings();
        struct frame           *frame    = random_frame(trial);
        int64_t                 plane    = (int64_t)settings.width_px * settings.height_px;
        float                  *expected = room_for(3 * plane, sizeof *expected);
        float                  *got      = room_for(3 * plane, sizeof *got);
        struct prepare_plan    *plan;
        struct packed           packed;
        bool                    same;

        if (prepare_plan_open(&plan, &settings, frame, NULL) != 0)
            abort();
        prepare_pad(plan, expected);
        prepare_run(plan, frame, expected);
        pack(&packed, &settings, frame);
        packed.args.plain = got;
        cuda_launch_prepare(&packed.args, 1, NULL);
        same = memcmp(got, expected, (size_t)(3 * plane) * sizeof *got) == 0;
        if (!same)
            diag("trial %d: %dx%d in format %d to %dx%d", trial, frame->width_px, frame->height_px,
                 (int)frame->format, settings.width_px, settings.height_px);
        plain += same;
        lanes += same_lanes(&packed, expected, plane);
        prepare_plan_close(&plan);
        frame_unref(&frame);
        free(packed.planes);
        free(packed.tables);
        free(expected);
        free(got);
    }
    ok(plain == PICTURES, "%d of %d pictures of all formats have the bits of gpu/prepare.c", plain,
       PICTURES);
    ok(lanes == PICTURES, "%d of %d also as a network's first layer reads them", lanes, PICTURES);
}

/* The bound of the tables holds for the largest picture and the worst shapes of it. */
static void test_bounds(void)
{
    static const int sides[]     = {1, 2, 17, 319, 510, 640, 1022, 2046, 4096, 4097, 8192};
    static const int inputs[][2] = {{1, 2048}, {4, 512}, {8, 8},    {13, 157}, {16, 16},
                                    {32, 32},  {40, 51}, {121, 16}, {364, 5},  {1093, 1}};
    int              fit = 0, refused = 0, count = 0;

    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        for (size_t k = 0; k < sizeof sides / sizeof *sides; k++)
            for (size_t n = 0; n < 3 * sizeof inputs / sizeof *inputs; n++) {
                struct prepare_settings settings = {.width_px  = inputs[n / 3][0],
                                                    .height_px = inputs[n / 3][1],
                                                    .fit       = (enum prepare_fit)(n % 3),
                                                    .scale     = {1, 1, 1}};
                struct frame            frame    = {
                                  .format = FRAME_I422, .width_px = sides[i], .height_px = sides[k]};
                int64_t               room = cuda_tables_bytes(&settings);
                uint8_t              *to   = malloc((size_t)room);
                struct prepare_tables tables;
                struct cuda_prepare   args;

                count++;
                if (to == NULL ||
                    prepare_tables_open(&tables, &settings, &frame, &PREPARE_C, NULL) != 0)
                    abort();
                fit += cuda_tables_pack(&args, &tables, to, room, to, NULL) == 0;
                refused += cuda_tables_pack(&args, &tables, to, 700, to, NULL) == ERR_LIMIT;
                prepare_tables_close(&tables);
                free(to);
            }
    ok(fit == count, "the tables of %d of %d kinds of pictures keep their bound", fit, count);
    ok(refused == count, "tables in less memory than they need are refused");
}

/* ---- boxes ---- */

enum { GIVES_NOTHING, GIVES_ALL, GIVES_HOSTILE, GIVES_EQUAL, GIVES_SOME, GIVES_KINDS };

static struct model_info info;
static struct graph      graph;
static struct class_map  classes;
static struct candidates candidates;

/* A model of one of the families; its outputs are pictures of the arena, as a plan leaves them. */
struct network {
    struct head        head;
    struct cuda_plan   plan;
    struct cuda_buffer buffers[MODEL_MAX_OUTPUTS];
    struct cuda_tensor outputs[MODEL_MAX_OUTPUTS];
    struct cuda_memory memory;
    int                gives;
};

static void add_output(const char *name, int count, int64_t a, int64_t b, int64_t c)
{
    struct model_tensor *output = &info.output[info.output_count++];

    *output = (struct model_tensor){.dimension_count = count, .dimension = {1, a, b, c}};
    snprintf(output->name, sizeof output->name, "%s", name);
}

static void write_outputs(int family, int class_count, int width_px, int height_px)
{
    int64_t cells = 0;
    bool    apart = family == 5 || family == 6;
    char    name[16];

    for (int stride = 8; stride <= 32; stride *= 2) {
        int64_t rows    = (height_px + stride - 1) / stride,
                columns = (width_px + stride - 1) / stride;

        cells += rows * columns;
        snprintf(name, sizeof name, "cells%d", stride);
        if (family == 0)
            add_output(name, 4, 4 + class_count, rows, columns);
        if (family == 4)
            add_output("", 4, 64 + class_count, rows, columns);
        if (apart)
            add_output("", 4, 64, rows, columns);
        if (apart)
            add_output("", 4, class_count, rows, columns);
        if (family == 6)
            info.output[info.output_count - 1].unit = true;
    }
    if (family == 1 || family == 2)
        add_output("output", 3, cells, 5 + class_count, 1);
    info.traits.has_grid = info.traits.has_exponential = family == 2;
    if (family == 3)
        add_output("output0", 3, 4 + class_count, cells, 1);
    if (family == 7)
        add_output("output0", 3, cells, 4 + class_count, 1);
}

static const char *const FAMILIES[] = {"sightline", "yolox",  "yolox",  "yolov8",
                                       "yolov8",    "yolov8", "yolov8", "yolov8"};
#define FAMILY_COUNT 8

static float number_of(int gives, float low, float high)
{
    static const float absurd[] = {NAN, INFINITY, -INFINITY, 3e38F, -3e38F, 0, 1e-40F, 1.0005F};

    if (gives == GIVES_HOSTILE && pick(0, 15) == 0)
        return absurd[pick(0, 7)];
    if (gives == GIVES_NOTHING)
        return low;
    if (gives == GIVES_EQUAL)
        return pick(0, 1) == 0 ? low : high;
    if (gives == GIVES_ALL)
        return uniform(low + (high - low) * 0.7F, high);
    return uniform(low, pick(0, 20) == 0 ? high : low + (high - low) * 0.3F);
}

/* Numbers such as the family gives: sides in strides or pixels, scores before or after sigmoids. */
static void fill(struct network *network, int family, int picture)
{
    bool logits = family == 0 || family == 4 || family == 5;
    bool pixels = family == 2 || family == 3 || family == 7;

    for (int i = 0; i < info.output_count; i++) {
        int64_t count = network->outputs[i].elements;
        float  *at    = cuda_bind_tensor(&network->plan, &network->outputs[i], &network->memory);
        int64_t rows  = family == 7 ? 4 + classes.count : 5 + classes.count;
        int64_t plane = info.output[i].dimension[2] *
                        (info.output[i].dimension_count == 4 ? info.output[i].dimension[3] : 1);
        int64_t before = family == 0 || family == 3 ? 4 : family == 4 ? 64 : i % 2 == 0 ? 64 : 0;

        at += picture * count;
        for (int64_t n = 0; n < count; n++) {
            int64_t place = family == 1 || family == 2 || family == 7 ? n % rows : n / plane;
            bool    side  = family == 1 || family == 2 || family == 7 ? place < 4 : place < before;

            if (side)
                at[n] = pixels ? uniform(place < 2 ? 0 : -2, 90) : uniform(-2, 2.5F);
            else
                at[n] = logits ? number_of(network->gives, -9, 4) : number_of(network->gives, 0, 1);
            if (side && network->gives == GIVES_HOSTILE && pick(0, 30) == 0)
                at[n] = number_of(GIVES_HOSTILE, -1e30F, 1e30F);
        }
    }
}

static void network_open(struct network *network, int trial)
{
    int        family = trial % FAMILY_COUNT, class_count = (int)pick(1, trial % 3 == 0 ? 80 : 7);
    int        width_px = (int)pick(1, 5) * 32 + (int)pick(0, 31), height_px = (int)pick(33, 200);
    struct why why   = {""};
    int64_t    bytes = 0;

    memset(&info, 0, sizeof info);
    memset(network, 0, sizeof *network);
    memset(&classes, 0, sizeof classes);
    network->gives = trial / FAMILY_COUNT % GIVES_KINDS;
    info.input     = (struct model_tensor){.dimension_count = 4,
                                           .dimension       = {1, 3, height_px, width_px}};
    class_count    = class_count == 64 ? 65 : class_count;
    write_outputs(family, class_count, width_px, height_px);
    classes.count = class_count;
    for (int i = 0; i < class_count; i++) {
        classes.object_class[i] = (signed char)pick(i == 0 ? 0 : -1, OBJECT_CLASSES - 1);
        if (classes.object_class[i] >= 0)
            classes.counted[classes.counted_count++] = (short)i;
    }
    if (head_open(&network->head, FAMILIES[family], &info, class_count, &why) != 0) {
        diag("family %d: %s", family, why.text);
        abort();
    }
    graph.output_count    = info.output_count;
    network->plan.graph   = &graph;
    network->plan.buffers = network->buffers;
    for (int i = 0; i < info.output_count; i++) {
        int64_t elements = 1;

        for (int k = 0; k < info.output[i].dimension_count; k++)
            elements *= info.output[i].dimension[k];
        network->outputs[i] = (struct cuda_tensor){
            .elements = elements, .buffer = i, .image_bytes = 4 * elements};
        network->buffers[i].offset = bytes;
        network->plan.outputs[i]   = &network->outputs[i];
        bytes += (4 * elements + 255) / 256 * 256;
    }
    network->memory = (struct cuda_memory){.arena = room_for(bytes * BATCH, 1), .batch = BATCH};
    for (int i = 0; i < BATCH; i++)
        fill(network, family, i);
}

/* The areas of the pictures: what the detector takes from their preparation. */
static void pick_areas(const struct network *network, float areas[BATCH][4])
{
    for (int i = 0; i < BATCH; i++) {
        areas[i][0] = uniform(0, 20);
        areas[i][1] = uniform(0, 20);
        areas[i][2] = (float)network->head.input.width_px - uniform(0, 20);
        areas[i][3] = (float)network->head.input.height_px - uniform(0, 20);
    }
}

static int expected_boxes(const struct network *network, const struct boxes_settings *settings,
                          int picture, const float area[4], struct box boxes[LIMIT_BOXES])
{
    const float *outputs[MODEL_MAX_OUTPUTS];

    candidates.count       = 0;
    candidates.min_score   = settings->min_score;
    candidates.side_px_max = settings->side_px_max;
    candidates.x0          = area[0];
    candidates.y0          = area[1];
    candidates.x1          = area[2];
    candidates.y1          = area[3];
    for (int i = 0; i < info.output_count; i++)
        outputs[i] = (float *)cuda_bind_tensor(&network->plan, &network->outputs[i],
                                               &network->memory) +
                     picture * network->outputs[i].elements;
    network->head.ops->decode(&network->head, &classes, outputs, &candidates);
    return suppress(&candidates, settings->nms_iou, boxes, LIMIT_BOXES);
}

static bool same_boxes(struct network *network, const struct boxes_settings *settings,
                       float areas[BATCH][4], int *given)
{
    static struct box expected[LIMIT_BOXES];
    struct cuda_find  find;
    struct why        why  = {""};
    uint8_t          *to   = room_for(CUDA_CLASSES_BYTES, 1), *lists;
    bool              same = true;

    if (cuda_find_describe(&find, settings, &network->plan, &why) != 0) {
        diag("%s", why.text);
        abort();
    }
    lists = room_for(cuda_find_bytes(&find, BATCH), 1);
    cuda_find_classes(settings, to);
    cuda_find_bind(&find, settings, &network->plan, &network->memory, lists, to);
    memcpy((float *)(uintptr_t)find.area, areas, BATCH * sizeof *areas);
    /* Twice: nothing of a run is left for the next. */
    cuda_launch_find(&find, BATCH, NULL);
    cuda_launch_find(&find, BATCH, NULL);
    for (int i = 0; i < BATCH; i++) {
        int count = expected_boxes(network, settings, i, areas[i], expected);

        *given += count;
        if (find.boxes[i].count != count ||
            memcmp(find.boxes[i].box, expected, (size_t)count * sizeof *expected) != 0) {
            diag("picture %d: %d boxes, not %d", i, find.boxes[i].count, count);
            same = false;
        }
    }
    free(to);
    free(lists);
    return same;
}

static void test_boxes(void)
{
    int same[FAMILY_COUNT] = {0}, boxes[FAMILY_COUNT] = {0}, full = 0;

    for (int trial = 0; trial < MODELS; trial++) {
        struct network        network;
        float                 areas[BATCH][4];
        struct boxes_settings settings = {
            .classes = &classes, .min_score = uniform(0.05F, 0.6F), .nms_iou = uniform(0.3F, 1.0F)};
        int given = 0;

        network_open(&network, trial);
        settings.head        = &network.head;
        settings.min_logit   = head_logit(settings.min_score);
        settings.side_px_max = 2.0F * (float)network.head.input.width_px;
        pick_areas(&network, areas);
        if (same_boxes(&network, &settings, areas, &given))
            same[trial % FAMILY_COUNT]++;
        else
            diag("trial %d, numbers of kind %d", trial, network.gives);
        boxes[trial % FAMILY_COUNT] += given;
        full += given == FOUND_MAX;
        free(network.memory.arena);
    }
    for (int family = 0; family < FAMILY_COUNT; family++)
        ok(same[family] == MODELS / FAMILY_COUNT && boxes[family] > 100,
           "%s, kind %d: %d boxes of %d models as the head and the suppression give them",
           FAMILIES[family], family, boxes[family], same[family]);
    ok(full > 0, "%d models gave more boxes than are kept", full);
}

/* What is left to the processor is said. */
static void test_refusals(void)
{
    struct network        network;
    struct boxes_settings settings = {.classes = &classes, .min_score = 0.1F, .nms_iou = 0.5F};
    struct cuda_find      find;
    struct why            why = {""};

    network_open(&network, 3);
    settings.head    = &network.head;
    network.head.ops = &HEAD_DETR;
    is_int(cuda_find_describe(&find, &settings, &network.plan, &why), ERR_UNSUPPORTED,
           "another head is refused: %s", why.text);
    network.head.ops   = &HEAD_YOLOV8;
    settings.min_score = 0.0F;
    is_int(cuda_find_describe(&find, &settings, &network.plan, &why), ERR_UNSUPPORTED,
           "boxes without a least score are refused");
    settings.min_score = 0.1F;
    network.outputs[0].elements--;
    is_int(cuda_find_describe(&find, &settings, &network.plan, &why), ERR_UNSUPPORTED,
           "an output that is too short is refused");
    free(network.memory.arena);
}

int main(void)
{
    test_pictures();
    test_bounds();
    test_boxes();
    test_refusals();
    return done_testing();
}
