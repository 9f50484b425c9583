/* The CUDA backend on a card: every operator and the real networks against plain loops, another
 * engine and the CPU backend; CUDA graphs against single launches; several runners; no memory.
 * Skipped where the plug-in or a card is missing; tests/gpu/run is the command for it. */
#include "config/clock.h"
#include "config/err.h"
#include "gpu/backend.h"
#include "gpu/detector.h"
/* Each is a network for which engines are chosen. */
#define TRIALS 6
#include "tests/cuda_cases.h"

#include <pthread.h>
#include <unistd.h>

static const struct backend_ops *cuda;

static const struct runner_settings SETTINGS = {.precision = PRECISION_F16};

static double run_on_card(struct trial *t, const struct model *model)
{
    struct why     why = {""};
    struct runner *runner;
    float         *input;
    double         worst;

    if (cuda->open(&runner, model, &SETTINGS, &why) != 0) {
        diag("%s", why.text);
        return -1;
    }
    input = repeat_input(t);
    if (cuda->run(runner, input, BATCH, &why) == 0) {
        worst = worst_of(t, cuda->output(runner, 0));
    } else {
        diag("%s", why.text);
        worst = -1;
    }
    cuda->close(&runner);
    free(input);
    return worst;
}

/* ---- whole networks ---- */

#define YOLOX_IN  ((size_t)3 * 416 * 416)
#define YOLOX_OUT ((size_t)3549 * 85)

static float *read_floats(const char *name, size_t count)
{
    char   path[700];
    float *data = malloc(count * sizeof *data);
    FILE  *file;

    snprintf(path, sizeof path, "%s/models/%s", material(), name);
    file = fopen(path, "rb");
    if (file == NULL || data == NULL || fread(data, sizeof *data, count, file) != count)
        abort();
    fclose(file);
    return data;
}

static struct model *load_yolox(void)
{
    char          path[700];
    struct model *model;

    snprintf(path, sizeof path, "%s/models/yolox_nano_coco_416.onnx", material());
    if (model_load(&model, path, NULL) != 0)
        abort();
    return model;
}

/* Sides in cells and scores, where something is seen. */
static bool yolox_agrees(const float *y, const float *expected, const char *what)
{
    double sides = 0, scores = 0;

    for (size_t i = 0; i < YOLOX_OUT; i++) {
        double *worst = i % 85 < 4 ? &sides : &scores;
        double  error = fabs((double)y[i] - (double)expected[i]);

        if (i % 85 < 4 && expected[i / 85 * 85 + 4] < 0.1F)
            continue;
        *worst = error <= *worst ? *worst : error;
    }
    return ok(sides <= 0.05 && scores <= 0.05,
              "YOLOX-nano %s: sides within %.4f cells, scores within %.4f", what, sides, scores);
}

static void *run_beside(void *arg)
{
    struct runner **runner = arg;
    float          *input  = read_floats("ref_bus_input_1x3x416x416_f32.bin", YOLOX_IN);
    intptr_t        rc     = 0;

    for (int i = 0; i < 50 && rc == 0; i++)
        rc = cuda->run(*runner, input, 1, NULL);
    free(input);
    return (void *)rc;
}

/* Two runners of one model on one device, each on its own thread, and a third without a graph. */
static void test_runners(const struct model *model, const float *input, const float *expected)
{
    struct runner *one, *two, *eager;
    struct why     why = {""};
    pthread_t      thread;
    void          *rc    = NULL;
    float         *again = malloc(YOLOX_OUT * sizeof *again);

    setenv("SIGHTLINE_CUDA_EAGER", "1", 1);
    if (cuda->open(&eager, model, &SETTINGS, &why) != 0 || again == NULL) {
        ok(false, "a runner without a graph: %s", why.text);
        return;
    }
    unsetenv("SIGHTLINE_CUDA_EAGER");
    if (cuda->open(&one, model, &SETTINGS, &why) != 0 ||
        cuda->open(&two, model, &SETTINGS, &why) != 0) {
        ok(false, "several runners: %s", why.text);
        return;
    }
    cuda->run(one, input, 1, &why);
    memcpy(again, cuda->output(one, 0), YOLOX_OUT * sizeof *again);
    yolox_agrees(again, expected, "as a CUDA graph");
    cuda->run(eager, input, 1, &why);
    ok(memcmp(again, cuda->output(eager, 0), YOLOX_OUT * sizeof *again) == 0,
       "single launches and the CUDA graph give the same bytes");
    pthread_create(&thread, NULL, run_beside, &two);
    for (int i = 0; i < 50; i++)
        cuda->run(one, input, 1, &why);
    pthread_join(thread, &rc);
    ok(rc == NULL && memcmp(again, cuda->output(one, 0), YOLOX_OUT * sizeof *again) == 0 &&
           memcmp(again, cuda->output(two, 0), YOLOX_OUT * sizeof *again) == 0,
       "two runners side by side give the same bytes as one alone");
    cuda->close(&one);
    cuda->close(&two);
    cuda->close(&eager);
    free(again);
}

static void test_batches(const struct model *model, const float *input, const float *expected)
{
    int            most = cuda->best_batch(model);
    float         *many = malloc((size_t)most * YOLOX_IN * sizeof *many);
    struct runner *runner;
    struct why     why = {""};

    if (many == NULL || cuda->open(&runner, model, &SETTINGS, &why) != 0) {
        ok(false, "batches: %s", why.text);
        free(many);
        return;
    }
    for (int i = 0; i < most; i++)
        memcpy(many + (size_t)i * YOLOX_IN, input, YOLOX_IN * sizeof *many);
    for (int batch = 1; batch <= most; batch += batch < 4 ? 1 : 5) {
        char    what[64];
        int64_t started_ns;
        int     rc = cuda->run(runner, many, batch, &why);

        snprintf(what, sizeof what, "as the last of %d", batch);
        if (rc != 0) {
            ok(false, "batch of %d: %s", batch, why.text);
            continue;
        }
        yolox_agrees(cuda->output(runner, 0) + (size_t)(batch - 1) * YOLOX_OUT, expected, what);
        started_ns = clock_monotonic_ns();
        for (int i = 0; i < 20; i++)
            cuda->run(runner, many, batch, &why);
        diag("batch %d: %.3f ms with its copies", batch,
             (double)(clock_monotonic_ns() - started_ns) / 20e6);
    }
    cuda->close(&runner);
    free(many);
}

static void test_memory(const struct model *model)
{
    struct runner *runner;
    struct why     why = {""};
    int            rc;

    setenv("SIGHTLINE_CUDA_MEMORY_MIB", "1", 1);
    rc = cuda->open(&runner, model, &SETTINGS, &why);
    ok(rc == ERR_DEVICE_LOST && runner == NULL, "without memory a runner is refused: %s", why.text);
    unsetenv("SIGHTLINE_CUDA_MEMORY_MIB");
    rc = cuda->open(&runner, model, &SETTINGS, &why);
    ok(rc == 0, "with memory again it opens");
    cuda->close(&runner);
}

/* ---- boxes ---- */

static struct frame *reference_frame(const float *input)
{
    struct frame *frame = frame_alloc(FRAME_BGR24, 416, 416);

    if (frame == NULL)
        abort();
    for (int y = 0; y < 416; y++)
        for (int x = 0; x < 416; x++)
            for (int c = 0; c < 3; c++)
                ((uint8_t *)(uintptr_t)frame->plane[0])[y * frame->stride_bytes[0] + 3 * x + c] =
                    (uint8_t)(input[((ptrdiff_t)c * 416 + y) * 416 + x] + 0.5F);
    return frame;
}

/* What a detector on `backend` finds in the reference picture; `ends`: with both ends of the network
 * there, where it has them. */
static int boxes_of(const char *backend, bool ends, const float *input,
                    struct box boxes[LIMIT_BOXES])
{
    char                     path[700];
    struct detector_settings settings = {.model_path = path, .backend = backend, .min_score = 0.4F};
    struct detector         *detector;
    struct detector_session *session;
    struct detector_timing   timing;
    struct frame            *frame = reference_frame(input);
    struct why               why   = {""};
    int                      count = -1;

    snprintf(path, sizeof path, "%s/models/yolox_nano_coco_416.onnx", material());
    if (detector_open(&detector, &settings, &why) != 0) {
        diag("%s", why.text);
        return -1;
    }
    if (detector_session_open(&session, detector, &why) == 0) {
        if (!ends)
            detector_session_keep_outputs(session);
        if (detector_session_run(session, &frame, 1, (struct box(*)[LIMIT_BOXES])boxes, &count,
                                 &timing, &why) != 0)
            count = -1;
        else
            diag("%s, ends %s: preparing %.3f ms, network %.3f ms, boxes %.3f ms", backend,
                 ends ? "on the device" : "on the processor", (double)timing.prepare_ns / 1e6,
                 (double)timing.network_ns / 1e6, (double)timing.decode_ns / 1e6);
        detector_session_close(&session);
    }
    if (count < 0)
        diag("%s", why.text);
    detector_close(&detector);
    frame_unref(&frame);
    return count;
}

/* The same network with its ends on the device and on the processor: only the exponential differs. */
static void test_ends(const float *input)
{
    static struct box expected[LIMIT_BOXES], found[LIMIT_BOXES];
    int               wanted = boxes_of("cuda", false, input, expected);
    int               count  = boxes_of("cuda", true, input, found);
    double            worst  = 0;

    for (int i = 0; i < wanted && i < count; i++) {
        const float *a = &expected[i].x0, *b = &found[i].x0;

        for (int k = 0; k < 4; k++)
            worst = fmax(worst, fabs((double)a[k] - (double)b[k]));
        worst = fmax(worst, 100 * fabs((double)expected[i].score - (double)found[i].score));
        worst = expected[i].object_class == found[i].object_class ? worst : INFINITY;
    }
    ok(wanted > 0 && count == wanted && worst <= 0.01,
       "pictures to boxes on the device: %d of %d boxes, in order, within %.2g pixels", count,
       wanted, worst);
}

static void test_boxes(const float *input)
{
    static struct box expected[LIMIT_BOXES], found[LIMIT_BOXES];
    int               wanted = boxes_of("cpu", true, input, expected), count, matched = 0;

    count = boxes_of("cuda", true, input, found);
    for (int i = 0; i < wanted; i++)
        for (int k = 0; k < count; k++)
            if (expected[i].object_class == found[k].object_class &&
                box_iou(&expected[i], &found[k]) >= 0.9F) {
                matched++;
                break;
            }
    ok(wanted > 0 && matched == wanted && count == wanted,
       "the boxes of a real picture are those of the CPU backend: %d of %d, %d found", matched,
       wanted, count);
}

int main(int argc, char **argv)
{
    char          plugin[1200];
    struct why    why   = {""};
    char         *slash = strrchr(argv[0], '/');
    struct model *model;
    float        *input, *expected;

    (void)argc;
    if (getenv("SIGHTLINE_CUDA_PLUGIN") == NULL && slash != NULL) {
        snprintf(plugin, sizeof plugin, "%.*s/../bin/libsightline_cuda.so", (int)(slash - argv[0]),
                 argv[0]);
        setenv("SIGHTLINE_CUDA_PLUGIN", plugin, 1);
    }
    if ((cuda = backend_find("cuda", &why)) == NULL)
        skip_all("%s", why.text);
    if (material() == NULL) {
        skip_one("no ../shared/material: no real networks");
    } else {
        setenv("SIGHTLINE_CUDA_BATCH", "16", 1);
        input    = read_floats("ref_bus_input_1x3x416x416_f32.bin", YOLOX_IN);
        expected = read_floats("ref_bus_output_1x3549x85_f32.bin", YOLOX_OUT);
        model    = load_yolox();
        test_ends(input);
        test_boxes(input);
        test_runners(model, input, expected);
        test_batches(model, input, expected);
        test_memory(model);
        model_close(&model);
        free(input);
        free(expected);
    }
    setenv("SIGHTLINE_CUDA_BATCH", "2", 1); /* each trial is a model: few engines to choose */
    test_cases(run_on_card);
    return done_testing();
}
