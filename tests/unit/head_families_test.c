/* Every family of heads there and back: known boxes are written the way a network of the family gives
 * them, the head is recognised from the shapes alone, and the boxes come out again; and with hostile
 * numbers or shapes nothing but boxes comes out.
 * links: gpu */
#include <time.h>

#include "config/clock.h"
#include "tests/head_cases.h"

#define EDGE_PX    0.02 /* error of a box's edge */
#define SCORE_STEP 1e-4

static void decode(const struct head *head)
{
    candidates = (struct candidates){
        .min_score = 0.1F, .x1 = WIDTH_PX, .y1 = HEIGHT_PX, .side_px_max = 2 * WIDTH_PX};
    head->ops->decode(head, &classes, (const float *const *)outputs, &candidates);
}

static const struct box *find(const struct truth *truth)
{
    for (int i = 0; i < candidates.count; i++)
        if (fabs((double)candidates.item[i].box.x0 - (double)truth->x0) < 4.0 &&
            fabs((double)candidates.item[i].box.y0 - (double)truth->y0) < 4.0)
            return &candidates.item[i].box;
    return NULL;
}

static void check_case(size_t number)
{
    struct head head;

    diag("%s", CASES[number].what);
    if (!open_case(&head, number)) {
        ok(false, "recognised");
        return;
    }
    is_text(head.ops->name, CASES[number].head, "recognised as %s", CASES[number].head);
    ok(head.input.fit == CASES[number].fit && head.input.rgb == CASES[number].rgb &&
           fabsf(head.input.scale[0] - CASES[number].scale) < 1e-6F,
       "its pictures are prepared as the family wants");
    decode(&head);
    is_int(candidates.count, TRUTHS - 1, "as many boxes as are counted");
    for (int i = 0; i < TRUTHS; i++) {
        const struct box *box = find(&TRUTH[i]);

        if (EXPECTED[i] < 0 || box == NULL) {
            ok(EXPECTED[i] < 0 && box == NULL, "box %d is %sthere", i, box == NULL ? "not " : "");
            continue;
        }
        ok((int)box->object_class == EXPECTED[i] &&
               fabs((double)box->x0 - (double)TRUTH[i].x0) < EDGE_PX &&
               fabs((double)box->y0 - (double)TRUTH[i].y0) < EDGE_PX &&
               fabs((double)box->x1 - (double)TRUTH[i].x1) < EDGE_PX &&
               fabs((double)box->y1 - (double)TRUTH[i].y1) < EDGE_PX &&
               fabs((double)box->score - (double)TRUTH[i].score) < SCORE_STEP,
           "box %d: %s %.2f at %.2f,%.2f..%.2f,%.2f", i, object_class_name(box->object_class),
           (double)box->score, (double)box->x0, (double)box->y0, (double)box->x1, (double)box->y1);
    }
}

/* Any bits at all: nothing crashes, and what comes out is a box. */
static void check_hostile(void)
{
    static const float special[] = {NAN, INFINITY, -INFINITY, 1e38F, -1e38F, 1e-45F, 0,
                                    1,   -0.0F,    0.5F,      90.0F, 81.0F,  2e9F,   -1.0F};
    uint32_t           state     = 11;
    int                bad       = 0;

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct head head;

        if (!open_case(&head, i))
            bad++;
        for (int round = 0; round < 6; round++) {
            for (int k = 0; k < info.output_count; k++) {
                size_t count = 1;

                for (int d = 0; d < info.output[k].dimension_count; d++)
                    count *= (size_t)info.output[k].dimension[d];
                for (size_t n = 0; n < count; n++) {
                    state         = state * 1664525U + 1013904223U;
                    outputs[k][n] = special[(state >> 20) % (sizeof special / sizeof *special)];
                    if (round % 2 == 1 && (state & 0x8000) != 0)
                        memcpy(&outputs[k][n], &state, sizeof state);
                }
            }
            decode(&head);
            for (int n = 0; n < candidates.count; n++) {
                const struct box *box = &candidates.item[n].box;

                bad += !(isfinite(box->x0) && isfinite(box->y0) && box->x1 > box->x0 &&
                         box->y1 > box->y0 && box->score >= 0.1F && box->score <= 1.0F &&
                         box->x1 - box->x0 <= 2 * WIDTH_PX &&
                         (unsigned)box->object_class < OBJECT_CLASSES);
            }
        }
    }
    is_int(bad, 0, "hostile numbers give nothing but boxes, whatever the family");
}

/* Any shapes at all: a head is recognised or refused, and then reads no more than they hold. */
static void check_hostile_shapes(void)
{
    static const int64_t     LIKELY[] = {1,  2,  3,  4,  5,  6,  7,   8,   12,   16,  24,
                                         64, 80, 84, 85, 91, 92, 144, 504, 1512, 100, 300};
    static const char *const CALLED[] = {
        "boxes",           "scores",           "labels",   "detection_classes",
        "detection_boxes", "detection_scores", "num_dets", "x"};
    uint32_t state  = 5;
    int      opened = 0;

    for (int round = 0; round < 60000; round++) {
        struct head               head;
        struct why                why;
        float                    *exact[OUTPUTS] = {NULL};
        const float              *given[OUTPUTS] = {NULL};
        struct class_map_settings settings       = {.count = 0};

        info = (struct model_info){
            .path  = "a.onnx",
            .input = {.dimension_count = 4, .dimension = {1, 3, HEIGHT_PX, WIDTH_PX}}};
        state             = state * 1664525U + 1013904223U;
        info.output_count = 1 + (int)((state >> 16) % OUTPUTS);
        for (int i = 0; i < info.output_count; i++) {
            struct model_tensor *output = &info.output[i];
            size_t               count  = 1;

            state = state * 1664525U + 1013904223U;
            snprintf(output->name, sizeof output->name, "%s", CALLED[(state >> 12) % 8]);
            output->dimension_count = 1 + (int)((state >> 16) % 5);
            output->unit = output->softmax = (state >> 24) % 2 == 0;
            for (int k = 0; k < output->dimension_count; k++) {
                state = state * 1664525U + 1013904223U;
                output->dimension[k] =
                    k == 0 ? 1 : LIKELY[(state >> 16) % (sizeof LIKELY / sizeof *LIKELY)];
                count *= (size_t)output->dimension[k];
            }
            if (count > 200000) {
                output->dimension_count = 1;
                count                   = 1;
            }
            exact[i] = calloc(count, sizeof(float));
            given[i] = exact[i];
            for (size_t n = 0; n < count; n += 3)
                exact[i][n] = 0.7F;
        }
        info.traits.has_grid = (state >> 20) % 2 == 0;
        if (head_open(&head, round % 2 == 0 ? NULL : HEADS[(state >> 18) % 9]->name, &info, 0,
                      &why) == 0) {
            names.count         = 0;
            settings.count      = head.class_count;
            settings.background = head.background;
            if (class_map_open(&classes, &names, &settings, &info, &why) == 0) {
                candidates = (struct candidates){.min_score   = 0.1F,
                                                 .x1          = WIDTH_PX,
                                                 .y1          = HEIGHT_PX,
                                                 .side_px_max = 2 * WIDTH_PX};
                head.ops->decode(&head, &classes, given, &candidates);
                opened++;
            }
        }
        for (int i = 0; i < OUTPUTS; i++)
            free(exact[i]);
    }
    ok(opened > 20, "%d of 60000 random sets of outputs were taken for a family and read", opened);
}

/* How long the largest usual output takes; measured, not judged: see the figures of the bench. */
static void show_speed(void)
{
    struct head               head;
    struct why                why;
    int64_t                   best_ns  = INT64_MAX;
    float                    *numbers  = calloc((size_t)84 * 8400, sizeof *numbers);
    const float              *given[]  = {numbers};
    struct class_map_settings settings = {.count = 80};

    info = (struct model_info){
        .input        = {.dimension_count = 4, .dimension = {1, 3, 640, 640}},
        .output_count = 1,
        .output       = {{.dimension_count = 3, .dimension = {1, 84, 8400}}},
    };
    for (int i = 0; i < 84 * 8400; i++)
        numbers[i] = (float)(i % 997) * 1e-5F;
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 4; k++)
            numbers[k * 8400 + i * 80] = 100.0F;
        numbers[(4 + i % 8) * 8400 + i * 80] = 0.5F;
    }
    names.count = 0;
    if (head_open(&head, NULL, &info, 0, &why) != 0 ||
        class_map_open(&classes, &names, &settings, &info, &why) != 0) {
        ok(false, "a YOLOv8 of 640: %s", why.text);
        free(numbers);
        return;
    }
    for (int round = 0; round < 20; round++) {
        int64_t start_ns = clock_monotonic_ns();

        candidates = (struct candidates){
            .min_score = 0.1F, .x1 = 640, .y1 = 640, .side_px_max = 1280};
        head.ops->decode(&head, &classes, given, &candidates);
        if (clock_monotonic_ns() - start_ns < best_ns)
            best_ns = clock_monotonic_ns() - start_ns;
    }
    is_int(candidates.count, 76, "1x84x8400 with 100 boxes of eight classes, six of them counted");
    diag("decoded in %.3f ms", (double)best_ns / 1e6);
    free(numbers);
}

int main(void)
{
    for (int i = 0; i < OUTPUTS; i++)
        outputs[i] = calloc(NUMBERS, sizeof(float));
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        check_case(i);
    check_hostile();
    check_hostile_shapes();
    show_speed();
    for (int i = 0; i < OUTPUTS; i++)
        free(outputs[i]);
    return done_testing();
}
