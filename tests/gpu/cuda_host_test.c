/* The CUDA backend's own host code (runner, shared weights, pictures and boxes) on an emulated device
 * whose streams are as late as they may be: tests/cuda_runtime_emulated.h. What is the device's alone,
 * its arithmetic under a grid and its time, is not seen here: tests/gpu/run.
 *
 * One call of the runtime in ten is made to fail; every one with SIGHTLINE_CUDA_FAILURES=all. */
#include "config/err.h"
#include "tests/cuda_runtime_emulated.h"

#include "gpu/cuda/cuda_plugin.h"
#include "gpu/detector_internal.h"
#include "gpu/head.h"
#include "tests/onnx_writer.h"
#include "tests/random_shapes.h"

#define BATCH     5
#define WIDTH_PX  96
#define HEIGHT_PX 64
#define CHANNELS  16
#define CLASSES   80

const struct cuda_plugin *sightline_cuda_plugin(void);

static const struct backend_ops *cuda;
static struct model             *model;
static struct detector          *detector;

/* ---- a small network with the heads of Sightline's own ---- */

static void add_conv(struct onnx_writer *onnx, const char *from, const char *to, int out, int in,
                     int kernel, float scale)
{
    float *w = room_for((int64_t)out * in * kernel * kernel, sizeof *w), *b = room_for(out, 4);
    char   weights[32], bias[32], inputs[96], attributes[96];

    for (int i = 0; i < out * in * kernel * kernel; i++)
        w[i] = (float)pick(-1000, 1000) * 1e-3F * scale;
    for (int i = 0; i < out; i++)
        b[i] = (float)pick(-1000, 1000) * 1e-3F;
    snprintf(weights, sizeof weights, "%s_w", to);
    snprintf(bias, sizeof bias, "%s_b", to);
    snprintf(inputs, sizeof inputs, "%s,%s,%s", from, weights, bias);
    snprintf(attributes, sizeof attributes, "kernel_shape:is=%d,%d strides:is=%d,%d", kernel,
             kernel, kernel, kernel);
    onnx_floats(onnx, weights, 4, (int64_t[]){out, in, kernel, kernel}, w);
    onnx_floats(onnx, bias, 1, (int64_t[]){out}, b);
    onnx_node(onnx, "Conv", inputs, to, attributes);
    free(w);
    free(b);
}

static void load_model(void)
{
    struct onnx_writer onnx = {.opset = 13};
    struct why         why  = {""};
    const uint8_t     *bytes;
    size_t             count;

    onnx_input(&onnx, "x", 4, (int64_t[]){1, 3, HEIGHT_PX, WIDTH_PX});
    add_conv(&onnx, "x", "a", CHANNELS, 3, 8, 0.001F);
    onnx_node(&onnx, "Relu", "a", "ra", "");
    add_conv(&onnx, "ra", "cells8", 4 + CLASSES, CHANNELS, 1, 0.5F);
    add_conv(&onnx, "ra", "b", CHANNELS, CHANNELS, 2, 0.2F);
    onnx_node(&onnx, "Relu", "b", "rb", "");
    add_conv(&onnx, "rb", "cells16", 4 + CLASSES, CHANNELS, 1, 0.5F);
    add_conv(&onnx, "rb", "c", CHANNELS, CHANNELS, 2, 0.2F);
    onnx_node(&onnx, "Relu", "c", "rc", "");
    add_conv(&onnx, "rc", "cells32", 4 + CLASSES, CHANNELS, 1, 0.5F);
    onnx_output(&onnx, "cells8");
    onnx_output(&onnx, "cells16");
    onnx_output(&onnx, "cells32");
    bytes = onnx_finish(&onnx, &count);
    if (model_load_bytes(&model, bytes, count, "small", &why) != 0) {
        diag("%s", why.text);
        abort();
    }
    onnx_free(&onnx);
}

static void open_detector(void)
{
    struct detector_parts    parts    = {model_info(model), model, cuda};
    struct detector_settings settings = {.min_score = 0.55F};
    struct why               why      = {""};

    if (detector_open_with(&detector, &settings, &parts, &why) != 0) {
        diag("%s", why.text);
        abort();
    }
}

static struct frame *some_frame(int width_px, int height_px, enum frame_format format)
{
    struct frame *frame = frame_alloc(format, width_px, height_px);

    if (frame == NULL)
        abort();
    for (int k = 0; k < 3; k++)
        for (int i = 0;
             i < frame_plane_of(format, k, width_px, height_px).rows * frame->stride_bytes[k]; i++)
            ((uint8_t *)(uintptr_t)frame->plane[k])[i] = (uint8_t)pick(0, 255);
    return frame;
}

/* ---- pictures to boxes, against the same network with both ends on the processor ---- */

struct pair {
    struct detector_session *device, *processor;
};

static void open_pair(struct pair *pair)
{
    struct why why = {""};

    if (detector_session_open(&pair->device, detector, &why) != 0 ||
        detector_session_open(&pair->processor, detector, &why) != 0) {
        diag("%s", why.text);
        abort();
    }
    detector_session_keep_outputs(pair->processor);
}

static void close_pair(struct pair *pair)
{
    detector_session_close(&pair->device);
    detector_session_close(&pair->processor);
}

/* How many boxes, or -1 when they differ. */
static int compare_boxes(struct pair *pair, struct frame *const *frames, int batch)
{
    static struct box      got[BATCH][LIMIT_BOXES], expected[BATCH][LIMIT_BOXES];
    int                    got_count[BATCH], expected_count[BATCH], all = 0;
    struct detector_timing timing;
    struct why             why = {""};

    if (detector_session_run(pair->device, frames, batch, got, got_count, &timing, &why) != 0 ||
        detector_session_run(pair->processor, frames, batch, expected, expected_count, &timing,
                             &why) != 0) {
        diag("%s", why.text);
        return -1;
    }
    for (int i = 0; i < batch; i++) {
        all += got_count[i];
        if (got_count[i] != expected_count[i] ||
            memcmp(got[i], expected[i], (size_t)got_count[i] * sizeof(struct box)) != 0)
            return -1;
    }
    return all;
}

static void test_boxes(const char *what, int rounds, int most_px)
{
    struct pair pair;
    int         same = 0, boxes = 0;

    open_pair(&pair);
    for (int round = 0; round < rounds; round++) {
        struct frame *frames[BATCH];
        int           batch = (int)pick(1, BATCH), found;

        for (int i = 0; i < batch; i++)
            frames[i] = some_frame((int)pick(1, most_px), (int)pick(1, most_px),
                                   (enum frame_format)pick(FRAME_I420, FRAME_RGB24));
        found = compare_boxes(&pair, frames, batch);
        same += found >= 0;
        boxes += found > 0 ? found : 0;
        for (int i = 0; i < batch; i++)
            frame_unref(&frames[i]);
    }
    close_pair(&pair);
    ok(same == rounds && boxes > rounds,
       "%s: %d of %d batches have the processor's boxes, %d in all", what, same, rounds, boxes);
}

/* Pictures that need more than the memory for them go in turns; what no turn holds is prepared on the
 * processor. */
static void test_turns(void)
{
    struct frame *frames[3];
    struct pair   pair;

    setenv("SIGHTLINE_CUDA_FRAMES_MIB", "1", 1);
    open_pair(&pair);
    for (int i = 0; i < 3; i++)
        frames[i] = some_frame(900 - i, 700, FRAME_I420);
    ok(compare_boxes(&pair, frames, 3) >= 0, "a batch above the memory for pictures goes in turns");
    frame_unref(&frames[1]);
    frames[1] = some_frame(1300, 900, FRAME_I420);
    ok(compare_boxes(&pair, frames, 3) >= 0, "one above it all is prepared on the processor");
    frame_unref(&frames[1]);
    frames[1] = some_frame(30, 20, FRAME_NV12);
    ok(compare_boxes(&pair, frames, 3) >= 0, "and the next batch on the device again");
    for (int i = 0; i < 3; i++)
        frame_unref(&frames[i]);
    close_pair(&pair);
    unsetenv("SIGHTLINE_CUDA_FRAMES_MIB");
}

static void test_bad_picture(void)
{
    struct box             boxes[2][LIMIT_BOXES];
    int                    counts[2];
    struct detector_timing timing;
    struct why             why = {""};
    struct frame *frames[2]    = {some_frame(64, 48, FRAME_NV12), some_frame(64, 48, FRAME_NV12)};
    struct detector_session *session;

    if (detector_session_open(&session, detector, &why) != 0)
        abort();
    frames[1]->width_px = 0;
    is_int(detector_session_run(session, frames, 2, boxes, counts, &timing, &why), ERR_INVALID,
           "a picture without a size: %s", why.text);
    is_int(counts[0] + counts[1], 0, "gives no boxes");
    frames[1]->width_px = 64;
    is_int(detector_session_run(session, frames, 2, boxes, counts, &timing, &why), 0,
           "and the session goes on");
    detector_session_close(&session);
    frame_unref(&frames[0]);
    frame_unref(&frames[1]);
}

/* ---- every call that can fail ---- */

/* A session opened and run with call `at` failing; the code, and whether all was given back. */
static int try_failing(int64_t at, struct frame *const *frames, int batch, int *left,
                       struct why *why)
{
    static struct box        boxes[BATCH][LIMIT_BOXES];
    int                      counts[BATCH];
    struct detector_timing   timing;
    struct detector_session *session;
    int                      rc;

    *why             = (struct why){""};
    emulated_calls   = 0;
    emulated_fail_at = at;
    rc               = detector_session_open(&session, detector, why);
    if (rc == 0)
        rc = detector_session_run(session, frames, batch, boxes, counts, &timing, why);
    detector_session_close(&session);
    emulated_fail_at = 0;
    *left            = emulated_live;
    return rc;
}

static void test_failures(const char *what)
{
    struct frame *frames[2] = {some_frame(64, 48, FRAME_NV12), some_frame(90, 70, FRAME_I420)};
    int64_t       calls, tried = 0, tolerated = 0, refused = 0, silent = 0, kept = 0;
    int64_t       step = getenv("SIGHTLINE_CUDA_FAILURES") != NULL ? 1 : 10;
    struct why    why;
    int           left, rc = try_failing(0, frames, 2, &left, &why);

    calls = emulated_calls;
    ok(rc == 0 && left == 0 && calls > 100, "%s: %d calls of the runtime, nothing is left%s%s",
       what, (int)calls, rc != 0 ? ": " : "", rc != 0 ? why.text : "");
    for (int64_t at = 1 + pick(0, step - 1); at <= calls; at += step) {
        tried++;
        rc = try_failing(at, frames, 2, &left, &why);
        /* An engine that fails is left out, which is no failure of the run. */
        tolerated += rc == 0;
        refused += rc == ERR_DEVICE_LOST;
        silent += rc != 0 && why.text[0] == '\0';
        kept += left != 0;
        if (left != 0 || (rc != 0 && rc != ERR_DEVICE_LOST))
            diag("call %d: %d left, code %d: %s", (int)at, left, rc, why.text);
    }
    ok(tolerated + refused == tried && silent == 0, "%s: %d failures refused in words, %d mended",
       what, (int)refused, (int)tolerated);
    ok(kept == 0, "%s: after each of them everything is given back", what);
    rc = try_failing(0, frames, 2, &left, &why);
    ok(rc == 0, "%s: then the device is used again", what);
    frame_unref(&frames[0]);
    frame_unref(&frames[1]);
}

int main(void)
{
    static const struct cuda_host host = {.model_graph = model_graph};
    const struct cuda_plugin     *plugin;
    struct why                    why = {""};

    setenv("SIGHTLINE_CUDA_BATCH", "5", 1);
    plugin = sightline_cuda_plugin();
    if (!plugin->probe(&host, &why))
        abort();
    cuda = plugin->ops;
    load_model();
    open_detector();
    test_boxes("as graphs", 24, 300);
    test_turns();
    test_bad_picture();
    setenv("SIGHTLINE_CUDA_EAGER", "1", 1);
    test_boxes("without graphs", 12, 200);
    setenv("SIGHTLINE_CUDA_BATCH", "2", 1); /* fewer graphs: a call of the runtime is a session */
    test_failures("without graphs");
    unsetenv("SIGHTLINE_CUDA_EAGER");
    test_failures("as graphs");
    detector_close(&detector);
    model_close(&model);
    is_int(emulated_live, 0, "nothing of the runtime is left");
    return done_testing();
}
