/* The CUDA backend's own host code (runner, shared weights, pictures and boxes) on an emulated device
 * whose streams are as late as they may be: tests/cuda_runtime_emulated.h, tests/cudnn_emulated.h. What is the device's alone,
 * its arithmetic under a grid and its time, is not seen here: tests/gpu/run.
 *
 * One call of the runtime in ten is made to fail; every one with SIGHTLINE_CUDA_FAILURES=all. */
#include "config/err.h"
#include "tests/cudnn_emulated.h"

#include "gpu/cuda/cuda_plugin.h"
#include "gpu/detector_internal.h"
#include "gpu/head.h"
#include "tests/head_network.h"
#include "tests/random_shapes.h"

#define BATCH 5

const struct cuda_plugin *sightline_cuda_plugin(void);

static const struct backend_ops *cuda;
static struct model             *model;
static struct detector          *detector;

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

/* How many boxes, or -1 when they differ. Both pictures are the same. */
static int compare_both(struct pair *pair, struct frame *const *frames,
                        struct frame *const *in_host, int batch)
{
    static struct box      got[BATCH][LIMIT_BOXES], expected[BATCH][LIMIT_BOXES];
    int                    got_count[BATCH], expected_count[BATCH], all = 0;
    struct detector_timing timing;
    struct why             why = {""};

    if (detector_session_run(pair->device, frames, batch, got, got_count, &timing, &why) != 0 ||
        detector_session_run(pair->processor, in_host, batch, expected, expected_count, &timing,
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

static int compare_boxes(struct pair *pair, struct frame *const *frames, int batch)
{
    return compare_both(pair, frames, frames, batch);
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

/* ---- pictures that a decoder has left in a device's memory ---- */

struct surface {
    struct frame frame; /* first */
    uint8_t     *written, *at;
};

static struct frame *copy_out(const struct frame *frame)
{
    struct frame *copy = frame_alloc(frame->format, frame->width_px, frame->height_px);

    if (copy != NULL && cuda->copy_out(frame, copy, NULL) != 0)
        frame_unref(&copy);
    return copy;
}

static struct frame *copy_nothing(const struct frame *frame)
{
    (void)frame;
    return NULL;
}

static void free_surface(struct frame *frame)
{
    struct surface *surface = (struct surface *)frame;

    cudaStreamSynchronize(frame->device->stream);
    cudaFree(surface->at);
    free(surface->written);
    free(surface);
}

/* The NV12 picture once more, on the device, where it will be written as late as may be. */
static struct frame *new_surface(const struct frame *picture, const struct frame_device *device)
{
    struct surface *surface = room_for(1, sizeof *surface);
    int             pitch   = (picture->width_px + 1 + (int)pick(0, 200)) & ~1;
    int             rows    = picture->height_px + (picture->height_px + 1) / 2;
    void           *at      = NULL;

    surface->written = room_for((int64_t)pitch * rows, 1);
    for (int y = 0; y < rows; y++) {
        int  k   = y >= picture->height_px;
        int  row = k == 0 ? y : y - picture->height_px;
        bool odd = k == 1 && picture->width_px % 2 != 0;

        memcpy(surface->written + (ptrdiff_t)y * pitch,
               picture->plane[k] + row * picture->stride_bytes[k],
               (size_t)(picture->width_px + (odd ? 1 : 0)));
    }
    if (cudaMalloc(&at, (size_t)pitch * (size_t)rows) != cudaSuccess ||
        cudaMemcpyAsync(at, surface->written, (size_t)pitch * (size_t)rows, cudaMemcpyHostToDevice,
                        device->stream) != cudaSuccess)
        abort();
    surface->at             = at;
    surface->frame          = (struct frame){.references   = 1,
                                             .format       = FRAME_NV12,
                                             .width_px     = picture->width_px,
                                             .height_px    = picture->height_px,
                                             .stride_bytes = {pitch, pitch},
                                             .device       = device,
                                             .release      = free_surface};
    surface->frame.plane[0] = surface->at;
    surface->frame.plane[1] = surface->at + (ptrdiff_t)pitch * picture->height_px;
    return &surface->frame;
}

/* Batches in which some pictures lie on the device and some do not. How many of them had the boxes of
 * the same pictures in host memory; `surfaces`, `boxes`: how many there were. */
static int compare_surfaces(struct pair *pair, const struct frame_device *device, int rounds,
                            int *surfaces, int *boxes)
{
    int same = 0, most = detector_session_best_batch(pair->device);

    *surfaces = *boxes = 0;
    for (int round = 0; round < rounds; round++) {
        struct frame *frames[BATCH], *in_host[BATCH];
        int           batch = (int)pick(1, most), found;

        for (int i = 0; i < batch; i++) {
            bool apart = i > 0 && pick(0, 3) == 0;

            in_host[i] = some_frame((int)pick(1, 300), (int)pick(1, 300), FRAME_NV12);
            frames[i]  = apart ? frame_ref(in_host[i]) : new_surface(in_host[i], device);
            *surfaces += !apart;
        }
        found = compare_both(pair, frames, in_host, batch);
        same += found >= 0;
        *boxes += found > 0 ? found : 0;
        for (int i = 0; i < batch; i++) {
            frame_unref(&frames[i]);
            frame_unref(&in_host[i]);
        }
    }
    return same;
}

static void test_surfaces(const struct frame_device *device, const char *what)
{
    struct frame_device other = *device;
    uint64_t            before;
    struct pair         pair;
    int                 same, surfaces, boxes;

    open_pair(&pair);
    before = frame_copies(FRAME_COPY_INFERENCE);
    same   = compare_surfaces(&pair, device, 12, &surfaces, &boxes);
    ok(same == 12 && boxes > 12,
       "%s: %d of 12 batches have the boxes of host memory, bit for bit; %d boxes of %d pictures",
       what, same, boxes, surfaces);
    is_int((long long)(frame_copies(FRAME_COPY_INFERENCE) - before), 0, "and none was copied");
    other.number = 1;
    before       = frame_copies(FRAME_COPY_INFERENCE);
    same         = compare_surfaces(&pair, &other, 6, &surfaces, &boxes);
    is_int(same, 6, "pictures on another device have the same boxes");
    is_int((long long)(frame_copies(FRAME_COPY_INFERENCE) - before), surfaces,
           "through a copy, counted");
    close_pair(&pair);
}

/* What the pool does with pictures on a device that it has lost. */
static void test_surface_without_device(const struct frame_device *device)
{
    struct frame_device      dead = {.copy = copy_nothing};
    struct frame            *in_host, *frame;
    uint64_t                 before = frame_copies(FRAME_COPY_INFERENCE);
    struct box               boxes[LIMIT_BOXES];
    struct detector_timing   timing;
    struct detector_session *session;
    struct pair              pair;
    struct why               why = {""};
    int                      same, surfaces, boxes_seen, count;

    if (detector_session_open_on(&pair.device, detector, backend_find("cpu", NULL), PRECISION_F32,
                                 &why) != 0 ||
        detector_session_open_on(&pair.processor, detector, backend_find("cpu", NULL),
                                 PRECISION_F32, &why) != 0)
        abort();
    same = compare_surfaces(&pair, device, 3, &surfaces, &boxes_seen);
    ok(same == 3 && frame_copies(FRAME_COPY_INFERENCE) - before == (uint64_t)surfaces,
       "without its device a picture is copied and analysed by the processor");
    in_host = some_frame(64, 48, FRAME_NV12);
    frame   = new_surface(in_host, device);
    before  = frame_copies(FRAME_COPY_INFERENCE);
    same    = compare_both(&pair, &frame, &in_host, 1) >= 0;
    same += compare_both(&pair, &frame, &frame, 1) >= 0;
    ok(same == 2 && frame_copies(FRAME_COPY_INFERENCE) - before == 1, "and copied once at most");
    frame_unref(&frame);
    frame   = new_surface(in_host, &dead);
    session = pair.device;
    is_int(detector_session_run(session, &frame, 1, &boxes, &count, &timing, &why), ERR_IO,
           "one that cannot be copied: %s", why.text);
    is_int(detector_session_run(session, &in_host, 1, &boxes, &count, &timing, &why), 0,
           "and the session goes on");
    frame_unref(&frame);
    frame_unref(&in_host);
    close_pair(&pair);
}

static void test_decoders(void)
{
    struct frame_device own = {.copy = copy_out}, common = {.copy = copy_out};
    cudaStream_t        stream;

    if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess)
        abort();
    own.stream = stream;
    test_surfaces(&own, "pictures on a decoder's stream");
    test_surfaces(&common, "pictures on the default stream");
    test_surface_without_device(&own);
    cudaStreamDestroy(stream);
}

/* A decoder that shares the device. While it holds one that failed, nobody gets it. */
static void test_guest(void)
{
    struct frame_device      decoder = {.copy = copy_out};
    struct frame            *picture = some_frame(64, 48, FRAME_NV12);
    struct frame            *surface, *copy;
    struct detector_session *session;
    struct why               why     = {""};
    void                    *context = NULL;
    int                      resets  = emulated_resets;

    is_int(cuda->hold(1, &context, &why), ERR_UNSUPPORTED, "a device that is not there: %s",
           why.text);
    is_int(cuda->hold(0, &context, &why), 0, "a decoder holds the device");
    ok(context == &emulated_context, "and has its context");
    surface         = new_surface(picture, &decoder);
    emulated_broken = true;
    copy            = frame_in_host(surface, FRAME_COPY_VIEW);
    ok(copy == NULL, "a copy out of a broken device fails");
    is_int(detector_session_open(&session, detector, &why), ERR_DEVICE_LOST,
           "while it is held nobody resets it: %s", why.text);
    ok(emulated_broken && emulated_resets == resets, "for the sake of what the decoder has there");
    frame_unref(&surface);
    cuda->let_go(0);
    is_int(detector_session_open(&session, detector, &why), 0, "let go of, it is used again");
    ok(!emulated_broken && emulated_resets == resets + 1, "after a reset");
    detector_session_close(&session);
    emulated_calls   = 0;
    emulated_fail_at = 2;
    is_int(cuda->hold(0, &context, &why), ERR_DEVICE_LOST, "a device that fails on the way: %s",
           why.text);
    emulated_fail_at = 0;
    is_int(cuda->hold(0, &context, &why), 0, "is held by nobody then");
    cuda->let_go(0);
    frame_unref(&picture);
    emulated_resets = resets; /* the tests below count their own */
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

/* ---- what goes on without something, and what does not ---- */

static char heard[400];

static void hear(const char *text)
{
    snprintf(heard, sizeof heard, "%s", text);
}

static void test_without(const char *what, bool *without, const char *said)
{
    struct frame *frames[2] = {some_frame(64, 48, FRAME_NV12), some_frame(90, 70, FRAME_I420)};
    struct pair   pair;

    heard[0] = '\0';
    *without = true;
    open_pair(&pair);
    ok(compare_boxes(&pair, frames, 2) >= 0, "%s there are the same boxes", what);
    ok(strstr(heard, said) != NULL, "and it is said: %s", heard);
    close_pair(&pair);
    *without = false;
    frame_unref(&frames[0]);
    frame_unref(&frames[1]);
}

/* Beside another session, which has the weights there: the first memory that is asked for is that of
 * the batches. */
static void test_little_memory(void)
{
    struct frame            *frames[BATCH];
    struct detector_session *held;
    struct pair              pair;
    struct why               why = {""};

    if (detector_session_open(&held, detector, &why) != 0)
        abort();
    for (int i = 0; i < BATCH; i++)
        frames[i] = some_frame(64 + 9 * i, 48, i % 2 == 0 ? FRAME_NV12 : FRAME_I420);
    heard[0]           = '\0';
    emulated_no_memory = 2;
    if (detector_session_open(&pair.device, detector, &why) != 0)
        abort();
    emulated_no_memory = 1;
    if (detector_session_open(&pair.processor, detector, &why) != 0)
        abort();
    detector_session_keep_outputs(pair.processor);
    ok(strstr(heard, "batches of 4 pictures, not 5") != NULL, "said: %s", heard);
    ok(compare_boxes(&pair, frames, BATCH) >= 0 && compare_boxes(&pair, frames, 1) >= 0,
       "with memory for batches of 2 and 4, 5 pictures go in turns, with the same boxes");
    close_pair(&pair);
    detector_session_close(&held);
    for (int i = 0; i < BATCH; i++)
        frame_unref(&frames[i]);
}

/* Sessions go where the fewest are, and the first on a device brings the weights. */
static void test_devices(void)
{
    enum { SESSIONS = 6 };

    struct detector_session *sessions[SESSIONS];
    struct frame            *frame = some_frame(64, 48, FRAME_NV12);
    struct box               boxes[1][LIMIT_BOXES];
    struct detector_timing   timing;
    struct why               why = {""};
    int                      count, first, next, ran = 0;

    emulated_devices    = 2;
    emulated_uploads[0] = emulated_uploads[1] = 0;
    for (int i = 0; i < SESSIONS; i++)
        if (detector_session_open(&sessions[i], detector, &why) != 0)
            abort();
    for (int i = 0; i < SESSIONS; i++)
        ran += detector_session_run(sessions[i], &frame, 1, boxes, &count, &timing, &why) == 0;
    first = emulated_uploads[0];
    next  = emulated_uploads[1];
    is_int(ran, SESSIONS, "sessions on two devices run");
    /* Its classes are each session's own. */
    ok(first == SESSIONS / 2 + 1 && next == first,
       "three on each, with the weights once on each: %d and %d copies", first, next);
    for (int i = 0; i < SESSIONS; i++)
        detector_session_close(&sessions[i]);
    emulated_devices = 1;
    frame_unref(&frame);
}

/* A call that fails by itself takes nothing from others; a device whose calls all fail is reset once
 * nobody holds it. */
static void test_broken(void)
{
    struct frame *frames[2] = {some_frame(64, 48, FRAME_NV12), some_frame(90, 70, FRAME_I420)};
    struct detector_session *held, *other;
    struct box               boxes[2][LIMIT_BOXES];
    int                      counts[2], left, rc;
    struct detector_timing   timing;
    struct why               why = {""};

    if (detector_session_open(&held, detector, &why) != 0)
        abort();
    if (try_failing(0, frames, 2, &left, &why) != 0)
        abort();
    rc = try_failing(emulated_calls - 8, frames, 2, &left, &why); /* among the last, of the run */
    is_int(rc, ERR_DEVICE_LOST, "a session fails beside another: %s", why.text);
    rc = try_failing(0, frames, 2, &left, &why);
    ok(rc == 0, "the next one works, with the other still there: %s", why.text);
    is_int(emulated_resets, 0, "and nothing was reset");

    emulated_broken = true;
    is_int(detector_session_run(held, frames, 2, boxes, counts, &timing, &why), ERR_DEVICE_LOST,
           "a broken device is lost: %s", why.text);
    is_int(detector_session_open(&other, detector, &why), ERR_DEVICE_LOST,
           "and is not opened while somebody holds it: %s", why.text);
    is_int(emulated_resets, 0, "nor reset");
    detector_session_close(&held);
    rc = try_failing(0, frames, 2, &left, &why);
    ok(rc == 0 && emulated_resets == 1, "then it is reset and works again");
    emulated_resets = 0;
    frame_unref(&frames[0]);
    frame_unref(&frames[1]);
}

int main(void)
{
    static const struct cuda_host host = {.model_graph = model_graph, .say = hear};
    const struct cuda_plugin     *plugin;
    struct why                    why = {""};

    setenv("SIGHTLINE_CUDA_BATCH", "5", 1);
    plugin = sightline_cuda_plugin();
    if (!plugin->probe(&host, &why))
        abort();
    cuda  = plugin->ops;
    model = head_network();
    open_detector();
    test_boxes("as graphs", 24, 300);
    test_turns();
    test_bad_picture();
    test_decoders();
    test_guest();
    test_devices();
    setenv("SIGHTLINE_CUDA_EAGER", "1", 1);
    test_boxes("without graphs", 12, 200);
    setenv("SIGHTLINE_CUDA_BATCH", "2", 1); /* fewer graphs: a call of the runtime is a session */
    test_failures("without graphs");
    unsetenv("SIGHTLINE_CUDA_EAGER");
    test_failures("as graphs");
    test_without("without events that take the time", &emulated_no_timing, "no engine");
    test_without("without graphs of cuDNN's engines", &emulated_no_capturing,
                 "without a CUDA graph");
    test_broken();
    setenv("SIGHTLINE_CUDA_BATCH", "5", 1);
    test_little_memory();
    detector_close(&detector);
    model_close(&model);
    is_int(emulated_live, 0, "nothing of the runtime is left");
    return done_testing();
}
