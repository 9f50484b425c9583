// links: gpu
// Whole networks on the processor, in each precision and with each set of kernels: no step is oneDNN's
// reference code; whichever thread opened a runner, any other can run it; and after the first run none
// asks for memory, but for the few bytes in which oneDNN holds the arguments of each of its calls. So
// it is with a session of a detector and with the pool, from a picture to its boxes.
//
//   cpu_models_test [MODEL...]     tests/integration/families.t gives it networks of every family; by
//                                  itself it takes the default model and real ones
#include "gpu/cpu/backend_cpu.h"

#include "gpu/cpu/kernels.h"
#include "gpu/inference_pool.h"
#include "tests/count_allocations.h"
#include "tests/tap.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#define STEPS_MAX 1024
#define RUNS      3
/* The table of a call's arguments, each of them, and the same for what it calls itself in turn. */
#define CALL_ALLOCATIONS_MAX 16
#define WAIT_S               60

static struct backend_cpu_step steps[STEPS_MAX];

/* oneDNN's names say of which kind its code is and for what: "jit:avx2". Ours have no colon. */
static int reference_steps(struct runner *runner, const float *input, int *calls)
{
    int count = backend_cpu_profile(runner, input, steps, STEPS_MAX), found = 0;

    *calls = 0;
    for (int i = 0; i < count && i < STEPS_MAX; i++) {
        *calls += strchr(steps[i].implementation, ':') != NULL;
        if (strncmp(steps[i].implementation, "ref", 3) == 0) {
            diag("%s %s is oneDNN's %s", steps[i].node, steps[i].what, steps[i].implementation);
            found++;
        }
    }
    return count > STEPS_MAX ? -1 : found;
}

/* Since the last call: how often memory was asked for; *kept: how much more often than given back. */
static unsigned long long asked(long long *kept)
{
    static unsigned long long last;
    static long long          last_kept;
    unsigned long long        now = atomic_load(&allocations), since = now - last;
    long long                 held = atomic_load(&allocations_kept);

    *kept     = held - last_kept;
    last      = now;
    last_kept = held;
    return since;
}

/* A runner that is opened by another thread, which then ends. */
struct opening {
    const struct model *model;
    const char         *kernels;
    enum precision      precision;
    struct runner      *runner;
    struct why          why;
    int                 rc;
};

static void *open_there(void *arg)
{
    struct opening *opening = arg;

    opening->rc = backend_cpu_open_with(&opening->runner, opening->model, opening->kernels,
                                        opening->precision, &opening->why);
    return NULL;
}

static int open_elsewhere(struct runner **runner, const struct model *model, const char *kernels,
                          enum precision precision, struct why *why)
{
    struct opening opening = {.model = model, .kernels = kernels, .precision = precision};
    pthread_t      thread;

    if (pthread_create(&thread, NULL, open_there, &opening) != 0)
        abort();
    pthread_join(thread, NULL);
    *runner = opening.runner;
    *why    = opening.why;
    return opening.rc;
}

static void test_runner(const char *name, const struct model *model, const char *kernels,
                        enum precision precision, const float *input)
{
    unsigned long long count;
    long long          kept;
    struct why         why = {""};
    struct runner     *runner;
    int rc = open_elsewhere(&runner, model, kernels, precision, &why), bad = 0, slow, calls;

    if (rc != 0) {
        skip_one("%s: %s %s: %s", name, kernels, precision_name(precision), why.text);
        return;
    }
    slow = reference_steps(runner, input, &calls);
    asked(&kept);
    for (int i = 0; i < RUNS; i++)
        bad += BACKEND_CPU.run(runner, input, 1, &why) != 0;
    count = asked(&kept);
    is_int(slow, 0, "%s: %s %s: no step is oneDNN's reference code", name, kernels,
           precision_name(precision));
    ok(bad == 0 && kept == 0 && count <= (unsigned long long)calls * CALL_ALLOCATIONS_MAX * RUNS,
       "  %d runs with %d calls of oneDNN each allocate %llu times and keep %lld", RUNS, calls,
       count, kept);
    BACKEND_CPU.close(&runner);
}

static void test_model(const char *path)
{
    const char   *kernels[] = {"plain", "avx2", "avx512"};
    const char   *name      = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    struct why    why       = {""};
    struct model *model;
    float        *input;
    size_t        count = 1;

    if (model_load(&model, path, &why) != 0) {
        ok(false, "%s", why.text);
        return;
    }
    for (int i = 0; i < model_info(model)->input.dimension_count; i++)
        count *= (size_t)model_info(model)->input.dimension[i];
    input = malloc(count * sizeof *input);
    if (input == NULL)
        abort();
    for (size_t i = 0; i < count; i++)
        input[i] = (float)(i * 2654435761U >> 8 & 255U);
    for (size_t k = CAN_COUNT_ALLOCATIONS ? 0 : 2; k < sizeof kernels / sizeof kernels[0]; k++)
        for (int p = PRECISION_F32; p < PRECISION_COUNT; p++)
            if (kernels_find(kernels[k]) != NULL && p != PRECISION_F16)
                test_runner(name, model, kernels[k], (enum precision)p, input);
    free(input);
    model_close(&model);
}

/* ---- a detector ---- */

static struct frame *noise(int width_px, int height_px, unsigned slot)
{
    struct frame *frame = frame_alloc(FRAME_NV12, width_px, height_px);

    if (frame == NULL)
        abort();
    for (int p = 0; p < 2; p++)
        for (int i = 0; i < frame->stride_bytes[p] * (height_px >> p); i++)
            ((uint8_t *)(uintptr_t)frame->plane[p])[i] = (uint8_t)((unsigned)i * 2654435761U >> 24 &
                                                                   127U);
    frame->slot = slot;
    return frame;
}

/* Pictures of two sizes in turn, which it meets beforehand. */
static void test_session(const struct detector *detector)
{
    static struct box        boxes[1][LIMIT_BOXES];
    struct frame            *frames[] = {noise(640, 360, 0), noise(1280, 720, 0)};
    struct detector_session *session;
    struct detector_timing   timing;
    struct why               why = {""};
    long long                kept;
    unsigned long long       count;
    int                      boxes_found, bad = 0;

    if (detector_session_open(&session, detector, &why) != 0) {
        ok(false, "a session: %s", why.text);
        return;
    }
    for (int i = 0; i < 2 + 2 * RUNS; i++) {
        if (i == 2)
            asked(&kept);
        bad += detector_session_run(session, &frames[i % 2], 1, boxes, &boxes_found, &timing,
                                    &why) != 0;
    }
    count = asked(&kept);
    ok(bad == 0 && count == 0, "a session of YOLOX-nano: %d pictures allocate %llu times", 2 * RUNS,
       count);
    detector_session_close(&session);
    frame_unref(&frames[0]);
    frame_unref(&frames[1]);
}

static sem_t ready;

static void wake(void *arg)
{
    (void)arg;
    sem_post(&ready);
}

static struct inference_result *take(struct inference_pool *pool)
{
    struct inference_result *result;
    struct timespec          limit;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += WAIT_S;
    while ((result = inference_pool_take(pool)) == NULL)
        if (sem_timedwait(&ready, &limit) != 0 && errno != EINTR)
            return NULL;
    return result;
}

/* Pictures of two cameras; the first ones are not counted: the worker meets their size. */
static void test_pool(const struct detector *detector)
{
    struct inference_pool_settings settings = {
        .detector = detector, .workers = 1, .waiting_per_slot = 1, .wake = wake};
    struct frame          *frames[] = {noise(640, 360, 0), noise(640, 360, 1)};
    struct inference_pool *pool;
    struct why             why = {""};
    long long              kept;
    unsigned long long     count;
    int                    taken = 0;

    if (sem_init(&ready, 0, 0) != 0 || inference_pool_open(&pool, &settings, &why) != 0) {
        ok(false, "a pool: %s", why.text);
        return;
    }
    for (int i = 0; i < 2 + 2 * RUNS; i++) {
        struct inference_result *result;
        if (i == 2)
            asked(&kept);
        inference_pool_submit(pool, frame_ref(frames[i % 2]));
        result = take(pool);
        taken += result != NULL && result->error == 0;
        inference_result_free(&result);
    }
    count = asked(&kept);
    ok(taken == 2 + 2 * RUNS && count == 0, "the pool: %d pictures allocate %llu times", 2 * RUNS,
       count);
    inference_pool_close(&pool);
    sem_destroy(&ready);
    frame_unref(&frames[0]);
    frame_unref(&frames[1]);
}

static void test_detector(const char *path)
{
    struct detector_settings settings = {
        .model_path = path, .backend = "cpu", .precision = PRECISION_F32};
    struct detector *detector;
    struct why       why = {""};

    if (detector_open(&detector, &settings, &why) != 0) {
        ok(false, "a detector: %s", why.text);
        return;
    }
    test_session(detector);
    test_pool(detector);
    detector_close(&detector);
}

int main(int argc, char **argv)
{
    const char *real[] = {"yolox_nano_coco_416.onnx", "FastestDet.onnx", "nanodet_m.onnx"};

    for (int i = 1; i < argc; i++)
        test_model(argv[i]);
    if (argc > 1)
        return done_testing();
    test_model("gpu/models/default.onnx");
    if (!CAN_COUNT_ALLOCATIONS) {
        skip_one("a sanitizer has an allocator of its own, so nothing is counted; and it is slow");
        return done_testing();
    }
    for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
        char path[700];
        if (material() == NULL) {
            skip_one("no ../shared/material: no %s", real[i]);
            continue;
        }
        snprintf(path, sizeof path, "%s/models/%s", material(), real[i]);
        test_model(path);
        if (i == 0) /* all of its steps are our own */
            test_detector(path);
    }
    return done_testing();
}
