/* A network whose file leaves its size open: which size each picture goes through, how many there are
 * at most, and that boxes lie where they must whichever it is. The network is made here: it finds
 * what is bright. Which size is right is input_shape_test.c's.
 * links: gpu */
#include "gpu/detector.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config/err.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/cpu/cpu_shared.h"
#include "gpu/detector_internal.h"
#include "gpu/input_shape.h"
#include "tests/bright_network.h"
#include "tests/tap.h"

#define BATCH   3
#define THREADS 4

/* ---- what it looks at ---- */

static char model_path[64];

/* Black, with a white rectangle from half to four fifths of its width and from 0.3 to 0.6 of its
 * height. */
static struct frame *picture(int width_px, int height_px)
{
    struct frame *frame = frame_alloc(FRAME_GRAY8, width_px, height_px);

    frame->full_range = true;
    for (int y = 0; y < height_px; y++) {
        uint8_t *row = (uint8_t *)(uintptr_t)frame->plane[0] + y * frame->stride_bytes[0];

        memset(row, 0, (size_t)width_px);
        if (y * 10 >= height_px * 3 && y * 10 < height_px * 6)
            memset(row + width_px / 2, 255, (size_t)(width_px * 8 / 10 - width_px / 2));
    }
    return frame;
}

/* Every box has its centre in the rectangle, and they reach from one end of it to the other: to a
 * cell of the network's, which is `cell_px` of the picture's pixels. */
static bool right_boxes(const struct box *boxes, int count, int width_px, int height_px)
{
    double cell_px = 8.5 * fmax(width_px / 160.0, height_px / 160.0);
    double low_px = width_px, high_px = 0;

    cell_px = fmin(cell_px,
                   8.5 / fmin((double)OWN_WIDTH_PX / width_px, (double)OWN_HEIGHT_PX / height_px));
    for (int i = 0; i < count; i++) {
        double x = (double)(boxes[i].x0 + boxes[i].x1) / 2;
        double y = (double)(boxes[i].y0 + boxes[i].y1) / 2;

        if (x < width_px * 0.5 - cell_px || x > width_px * 0.8 + cell_px ||
            y < height_px * 0.3 - cell_px || y > height_px * 0.6 + cell_px)
            return false;
        low_px  = fmin(low_px, x);
        high_px = fmax(high_px, x);
    }
    return count > 0 && low_px < width_px * 0.5 + 3 * cell_px &&
           high_px > width_px * 0.8 - 3 * cell_px;
}

/* ---- the CPU, three pictures at a time ---- */

struct three {
    struct runner  base;
    struct runner *one[BATCH];
    float         *output[MODEL_MAX_OUTPUTS];
};

static int opened, fail_open_after = INT32_MAX, fail_open_with, runs;

static int three_batch(const struct model *model)
{
    (void)model;
    return BATCH;
}

static size_t numbers_of(const struct model_tensor *tensor)
{
    return onnx_elements(tensor->dimension_count, tensor->dimension);
}

static void three_close(struct runner **runner)
{
    struct three *three = (struct three *)(void *)*runner;

    for (int i = 0; i < BATCH; i++)
        BACKEND_CPU.close(&three->one[i]);
    for (int i = 0; i < MODEL_MAX_OUTPUTS; i++)
        free(three->output[i]);
    free(three);
    *runner = NULL;
}

static int three_open(struct runner **out, const struct model *model,
                      const struct runner_settings *settings, struct why *why)
{
    const struct model_info *info = model_info(model);
    struct three            *three;

    (void)settings;
    *out = NULL;
    if (opened >= fail_open_after)
        return why_set(why, fail_open_with, "the test's device has no more room");
    three             = calloc(1, sizeof *three);
    three->base.model = model;
    for (int i = 0; i < BATCH; i++)
        if (backend_cpu_open_with(&three->one[i], model, NULL, PRECISION_F32, why) != 0)
            abort();
    for (int i = 0; i < info->output_count; i++)
        three->output[i] = calloc(BATCH * numbers_of(&info->output[i]), sizeof(float));
    *out = &three->base;
    opened++;
    return 0;
}

static int three_run(struct runner *runner, const float *input, int batch, struct why *why)
{
    struct three            *three = (struct three *)(void *)runner;
    const struct model_info *info  = model_info(runner->model);

    runs++;
    for (int k = 0; k < batch; k++) {
        if (BACKEND_CPU.run(three->one[k], input + (size_t)k * numbers_of(&info->input), 1, why) !=
            0)
            abort();
        for (int i = 0; i < info->output_count; i++) {
            size_t count = numbers_of(&info->output[i]);

            memcpy(three->output[i] + (size_t)k * count, BACKEND_CPU.output(three->one[k], i),
                   count * sizeof(float));
        }
    }
    return 0;
}

static const float *three_output(const struct runner *runner, int index)
{
    return ((const struct three *)(const void *)runner)->output[index];
}

static struct backend_ops three_ops = {.name       = "three",
                                       .best_batch = three_batch,
                                       .open       = three_open,
                                       .run        = three_run,
                                       .output     = three_output,
                                       .close      = three_close};

/* A detector on that backend and a session of it. */
struct bench {
    struct model            *model;
    struct detector         *detector;
    struct detector_session *session;
};

static void open_bench(struct bench *bench, bool fixed_shape)
{
    struct detector_settings settings = {.input = {.fixed_shape = fixed_shape}};
    struct detector_parts    parts    = {.backend = &three_ops};
    struct why               why      = {""};

    opened          = 0;
    fail_open_after = INT32_MAX;
    if (model_load(&bench->model, model_path, &why) != 0) {
        diag("%s", why.text);
        abort();
    }
    parts.model = bench->model;
    parts.info  = model_info(bench->model);
    if (detector_open_with(&bench->detector, &settings, &parts, &why) != 0 ||
        detector_session_open(&bench->session, bench->detector, &why) != 0) {
        diag("%s", why.text);
        abort();
    }
}

static void close_bench(struct bench *bench)
{
    detector_session_close(&bench->session);
    detector_close(&bench->detector);
    model_close(&bench->model);
}

/* Runs one picture; true when its boxes are right. *through: the input's size. */
static bool sees(struct bench *bench, int width_px, int height_px, struct input_shape *through)
{
    static struct box        boxes[1][LIMIT_BOXES];
    struct frame            *frame = picture(width_px, height_px);
    struct detector_timing   timing;
    const struct model_info *info;
    struct why               why = {""};
    int count, rc = detector_session_run(bench->session, &frame, 1, boxes, &count, &timing, &why);

    frame_unref(&frame);
    if (rc != 0) {
        diag("%dx%d: %s", width_px, height_px, why.text);
        return false;
    }
    info     = detector_session_model(bench->session, 0);
    *through = (struct input_shape){(int)info->input.dimension[3], (int)info->input.dimension[2]};
    return right_boxes(boxes[0], count, width_px, height_px);
}

static bool is_shape(struct input_shape shape, int width_px, int height_px)
{
    return shape.width_px == width_px && shape.height_px == height_px;
}

static void check_in_turn(void)
{
    static const struct {
        int                width_px, height_px;
        struct input_shape through;
    } KINDS[] = {{1280, 720, {512, 288}}, {800, 600, {448, 320}}, {720, 1280, {288, 512}}};
    struct bench       bench;
    struct input_shape through;
    int                wrong = 0;

    open_bench(&bench, false);
    is_int(detector_shape_stats(bench.detector).count, 1, "at first only the model's own size");
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
            wrong += !sees(&bench, KINDS[i].width_px, KINDS[i].height_px, &through) ||
                     !is_shape(through, KINDS[i].through.width_px, KINDS[i].through.height_px);
    is_int(wrong, 0, "16:9, 4:3 and portrait in turn: right boxes, each through its own size");
    is_int(opened, 3, "and each was opened once");
    is_int(detector_shape_stats(bench.detector).count, 3, "three sizes");
    is_int((int64_t)detector_shape_stats(bench.detector).refused, 0, "none was refused");
    close_bench(&bench);
}

static void check_bound(void)
{
    static const int   KINDS[][2] = {{640, 480}, {500, 500},  {480, 640}, {600, 1100},
                                     {900, 300}, {1280, 720}, {300, 900}, {700, 500}};
    struct bench       bench;
    struct input_shape through, first[8];
    int                wrong = 0, count = (int)(sizeof KINDS / sizeof *KINDS);

    open_bench(&bench, false);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < count; i++) {
            wrong += !sees(&bench, KINDS[i][0], KINDS[i][1], &through);
            if (round == 0)
                first[i] = through;
            wrong += !is_shape(through, first[i].width_px, first[i].height_px);
        }
    is_int(wrong, 0, "%d kinds of pictures: right boxes, each through the same size each time",
           count);
    is_int(detector_shape_stats(bench.detector).count, DETECTOR_SHAPES_MAX,
           "at most %d sizes, the model's own among them", DETECTOR_SHAPES_MAX);
    is_int(opened, DETECTOR_SHAPES_MAX, "and no more runners");
    ok(detector_shape_stats(bench.detector).refused >= 3, "the others are counted");
    ok(is_shape(first[3], 384, 448) || is_shape(first[3], 320, 448) || first[3].height_px > 384,
       "and go through a near one: 600x1100 through %dx%d", first[3].width_px, first[3].height_px);
    close_bench(&bench);
}

static void check_mixed_batch(void)
{
    static const int       SIZES[BATCH][2] = {{640, 480}, {1280, 720}, {1024, 768}};
    static struct box      boxes[BATCH][LIMIT_BOXES], alone[1][LIMIT_BOXES];
    struct bench           bench;
    struct frame          *frames[BATCH];
    int                    counts[BATCH], count, wrong = 0;
    struct detector_timing timing;

    open_bench(&bench, false);
    for (int i = 0; i < BATCH; i++)
        frames[i] = picture(SIZES[i][0], SIZES[i][1]);
    for (int round = 0; round < 2; round++) {
        runs = 0;
        is_int(detector_session_run(bench.session, frames, BATCH, boxes, counts, &timing, NULL), 0,
               "a batch of two kinds");
        is_int(runs, 2, "runs in two groups");
        for (int i = 0; i < BATCH; i++)
            wrong += !right_boxes(boxes[i], counts[i], SIZES[i][0], SIZES[i][1]);
    }
    is_int(wrong, 0, "each picture has its own boxes");
    ok(detector_session_model(bench.session, 0) == detector_session_model(bench.session, 2) &&
           detector_session_model(bench.session, 0) != detector_session_model(bench.session, 1),
       "and what it went through is told");
    for (int i = 0; i < BATCH; i++) {
        detector_session_run(bench.session, &frames[i], 1, alone, &count, &timing, NULL);
        wrong += count != counts[i] ||
                 memcmp(alone[0], boxes[i], (size_t)count * sizeof alone[0][0]) != 0;
    }
    is_int(wrong, 0, "the same, to the bit, as alone");
    frames[2]->height_px = 0;
    ok(detector_session_run(bench.session, frames, BATCH, boxes, counts, &timing, NULL) ==
               ERR_INVALID &&
           counts[0] == 0 && counts[1] == 0,
       "one bad picture: no boxes of the others either");
    for (int i = 0; i < BATCH; i++)
        frame_unref(&frames[i]);
    close_bench(&bench);
}

/* ---- a device that gives boxes ---- */

static int device_runs, device_widest_px;

static int device_open(struct runner *runner, const struct boxes_settings *settings,
                       struct why *why)
{
    (void)why;
    return model_info(runner->model)->input.dimension[3] == settings->head->input.width_px
               ? 0
               : ERR_INVALID;
}

/* As many boxes as there are hundreds of pixels in the picture's width; its own width in each. */
static int device_run(struct runner *runner, struct frame *const *frames, int batch,
                      struct box (*boxes)[LIMIT_BOXES], int *counts, int64_t *prepare_ns,
                      struct why *why)
{
    (void)runner;
    for (int i = 0; i < batch; i++)
        if (frames[i]->width_px > device_widest_px)
            return why_set(why, ERR_UNSUPPORTED, "too wide for the test's device");
    for (int i = 0; i < batch; i++) {
        counts[i] = frames[i]->width_px / 100;
        for (int k = 0; k < counts[i]; k++)
            boxes[i][k] = (struct box){.x1 = (float)frames[i]->width_px};
    }
    *prepare_ns = 1;
    device_runs++;
    return 0;
}

static bool from_device(const struct box *boxes, int count, int width_px)
{
    return count == width_px / 100 && fabsf(boxes[count - 1].x1 - (float)width_px) < 0.5F;
}

static void check_device(void)
{
    static const int       SIZES[BATCH][2] = {{640, 480}, {1280, 720}, {1024, 768}};
    static struct box      boxes[BATCH][LIMIT_BOXES];
    struct bench           bench;
    struct frame          *frames[BATCH];
    int                    counts[BATCH], wrong = 0;
    struct detector_timing timing;

    three_ops.open_boxes = device_open;
    three_ops.run_boxes  = device_run;
    device_widest_px     = 2000;
    open_bench(&bench, false);
    for (int i = 0; i < BATCH; i++)
        frames[i] = picture(SIZES[i][0], SIZES[i][1]);
    runs = device_runs = 0;
    is_int(detector_session_run(bench.session, frames, BATCH, boxes, counts, &timing, NULL), 0,
           "a device that gives boxes gets a batch of two kinds");
    for (int i = 0; i < BATCH; i++)
        wrong += !from_device(boxes[i], counts[i], SIZES[i][0]);
    ok(wrong == 0 && device_runs == 2 && runs == 0,
       "in two groups, and each picture has its own boxes");
    device_widest_px = 1100;
    is_int(detector_session_run(bench.session, frames, BATCH, boxes, counts, &timing, NULL), 0,
           "one group is too large for it");
    ok(from_device(boxes[0], counts[0], 640) && from_device(boxes[2], counts[2], 1024) &&
           right_boxes(boxes[1], counts[1], 1280, 720) && runs == 1,
       "and goes through the processor, the other does not");
    detector_session_keep_outputs(bench.session);
    detector_session_run(bench.session, frames, BATCH, boxes, counts, &timing, NULL);
    ok(right_boxes(boxes[0], counts[0], 640, 480) && runs == 3,
       "when the outputs are to be kept, all do");
    for (int i = 0; i < BATCH; i++)
        frame_unref(&frames[i]);
    close_bench(&bench);
    three_ops.open_boxes = NULL;
    three_ops.run_boxes  = NULL;
}

static void check_fixed(void)
{
    struct bench       bench;
    struct input_shape through;

    open_bench(&bench, true);
    ok(sees(&bench, 640, 480, &through) && is_shape(through, OWN_WIDTH_PX, OWN_HEIGHT_PX),
       "when that is wished, all go through the model's own size");
    close_bench(&bench);
    write_model(model_path, false, -5);
    open_bench(&bench, false);
    ok(sees(&bench, 640, 480, &through) && is_shape(through, OWN_WIDTH_PX, OWN_HEIGHT_PX),
       "and when the file is for one size alone");
    close_bench(&bench);
    write_model(model_path, true, -5);
}

/* While `held`, who reads a file stays in read(2): a disk that takes its time. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    bool            held, waits;
    int             reads; /* of files, and of all else */
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

ssize_t read(int fd, void *bytes, size_t count)
{
    pthread_mutex_lock(&disk.lock);
    disk.reads++;
    while (disk.held) {
        disk.waits = true;
        pthread_cond_broadcast(&disk.changed);
        pthread_cond_wait(&disk.changed, &disk.lock);
    }
    pthread_mutex_unlock(&disk.lock);
    return syscall(SYS_read, fd, bytes, count);
}

static void check_failures(void)
{
    static struct box      boxes[1][LIMIT_BOXES];
    struct bench           bench;
    struct input_shape     through;
    struct frame          *frame = picture(480, 640);
    struct detector_timing timing;
    struct why             why;
    int                    count;

    open_bench(&bench, false);
    fail_open_after = 1;
    fail_open_with  = ERR_DEVICE_LOST;
    is_int(detector_session_run(bench.session, &frame, 1, boxes, &count, &timing, &why),
           ERR_DEVICE_LOST, "a device that is lost then is lost: %s", why.text);
    fail_open_with = ERR_MEMORY;
    ok(sees(&bench, 640, 480, &through) && is_shape(through, OWN_WIDTH_PX, OWN_HEIGHT_PX),
       "one without room for another size goes on in the model's own");
    is_int(detector_shape_stats(bench.detector).failed, 1, "which is told");
    detector_shape_problem(bench.detector, 0, &why);
    ok(strstr(why.text, "448x320 fails") != NULL && strstr(why.text, "no more room") != NULL,
       "with the reason: %s", why.text);
    fail_open_after = INT32_MAX;
    ok(sees(&bench, 1000, 1000, &through) && is_shape(through, 384, 384),
       "and opens the next if it can");
    close_bench(&bench);
    frame_unref(&frame);
}

static void check_bad_file(void)
{
    struct bench       bench;
    struct input_shape through;
    struct why         why;

    open_bench(&bench, false);
    ok(sees(&bench, 1000, 1000, &through) && is_shape(through, 384, 384), "a size of its own");
    write_model(model_path, true, -5.5F);
    ok(sees(&bench, 2000, 500, &through) && is_shape(through, OWN_WIDTH_PX, OWN_HEIGHT_PX),
       "a file that has changed meanwhile is not mixed in");
    is_int(detector_shape_stats(bench.detector).failed, 1, "which is told, too");
    detector_shape_problem(bench.detector, 0, &why);
    ok(strstr(why.text, "has changed") != NULL, "with the reason: %s", why.text);
    write_model(model_path, true, -5);
    disk.reads = 0;
    ok(sees(&bench, 4000, 1000, &through) && is_shape(through, OWN_WIDTH_PX, OWN_HEIGHT_PX) &&
           disk.reads == 0,
       "a size that failed is not tried again");
    ok(sees(&bench, 720, 1280, &through) && is_shape(through, 288, 512) && disk.reads > 0,
       "but the next one is, and works");
    ok(sees(&bench, 500, 500, &through) && is_shape(through, 384, 384), "what is there stays");
    close_bench(&bench);
}

/* ---- threads ---- */

struct late_picture {
    struct bench *bench;
    bool          right;
};

static void *see_late_picture(void *context)
{
    struct late_picture *late = context;
    struct input_shape   through;

    late->right = sees(late->bench, 640, 480, &through) && is_shape(through, 448, 320);
    return NULL;
}

static void check_stats_while_loading(void)
{
    struct bench        bench;
    struct late_picture late = {.bench = &bench};
    pthread_t           thread;

    open_bench(&bench, false);
    disk.held = true;
    if (pthread_create(&thread, NULL, see_late_picture, &late) != 0)
        abort();
    pthread_mutex_lock(&disk.lock);
    while (!disk.waits)
        pthread_cond_wait(&disk.changed, &disk.lock);
    pthread_mutex_unlock(&disk.lock);
    alarm(20); /* ends the test where the next line waits */
    is_int(detector_shape_stats(bench.detector).count, 1,
           "the figures are there while one is loaded");
    alarm(0);
    pthread_mutex_lock(&disk.lock);
    disk.held = false;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
    pthread_join(thread, NULL);
    ok(late.right, "which is used when it is there");
    close_bench(&bench);
}

static void *work(void *context)
{
    static const int         KINDS[][2] = {{640, 480}, {500, 500}, {480, 640}, {900, 300}};
    struct detector         *detector   = context;
    struct detector_session *session    = NULL;
    struct box(*boxes)[LIMIT_BOXES]     = calloc(1, sizeof *boxes);
    struct detector_timing timing;
    intptr_t               wrong = detector_session_open(&session, detector, NULL) != 0;

    for (int i = 0; wrong == 0 && i < 8; i++) {
        struct frame *frame = picture(KINDS[i % 4][0], KINDS[i % 4][1]);
        int           count;

        wrong += detector_session_run(session, &frame, 1, boxes, &count, &timing, NULL) != 0 ||
                 !right_boxes(boxes[0], count, KINDS[i % 4][0], KINDS[i % 4][1]);
        frame_unref(&frame);
    }
    detector_session_close(&session);
    free(boxes);
    return (void *)wrong;
}

static void check_threads(void)
{
    struct detector_settings settings = {.model_path = model_path, .backend = "cpu"};
    struct detector         *detector = NULL;
    pthread_t                thread[THREADS];
    intptr_t                 wrong = 0;

    is_int(detector_open(&detector, &settings, NULL), 0, "a detector of its own file");
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, work, detector) != 0)
            abort();
    for (int i = 0; i < THREADS; i++) {
        void *result;

        pthread_join(thread[i], &result);
        wrong += (intptr_t)result;
    }
    is_int(wrong, 0, "%d threads that meet them at once", THREADS);
    is_int(detector_shape_stats(detector).count, DETECTOR_SHAPES_MAX, "make each size once");
    detector_close(&detector);
    is_int(cpu_shared_total_bytes(), 0, "and leave nothing");
}

int main(void)
{
    int file;

    snprintf(model_path, sizeof model_path, "/tmp/sightline-test-XXXXXX");
    file = mkstemp(model_path);
    if (file < 0)
        abort();
    close(file);
    write_model(model_path, true, -5);
    check_in_turn();
    check_bound();
    check_mixed_batch();
    check_device();
    check_fixed();
    check_failures();
    check_bad_file();
    check_stats_while_loading();
    check_threads();
    unlink(model_path);
    return done_testing();
}
