// links: gpu
// A calibration as text and in a file, damaged in every way; and a network in 8 bits whose boxes
// agree with float32 on real pictures. The pictures are those beside the models, shifted and
// mirrored; SIGHTLINE_QUANTIZE_FULL=1 takes more of them and the harder networks.
#include "gpu/cpu/bf16.h"
#include "gpu/quantize.h"

#include "config/err.h"
#include "gpu/backend.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/cpu/int8.h"
#include "tests/tap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char GOOD[] = "1 0.981 1234 2\n"
                           "0 3 -0.5 2.25 ff80ff0010807f7f7f first\n"
                           "1 1 0 1 00ff80 second value\n";

static void test_text(void)
{
    struct calibration calibration;
    struct why         why = {""};
    char              *text;

    is_int(calibration_parse(&calibration, GOOD, &why), 0, "a calibration is read: %s", why.text);
    is_int(calibration.count, 2, "both values");
    const struct calibrated *first = calibration_find(&calibration, "first");
    ok(first != NULL && first->channels == 3 && !first->keep_float, "the first by its name");
    ok(first != NULL && fabsf(first->low[0] + 0.5F) < 1e-6F &&
           fabsf(first->high[2] - 1.12F) < 0.01F,
       "its ranges");
    ok(calibration_find(&calibration, "second value") != NULL, "a name with a space");
    ok(calibration_find(&calibration, "third") == NULL, "what is not there is not found");
    text = calibration_text(&calibration);
    struct calibration again;
    is_int(calibration_parse(&again, text, &why), 0, "what is written is read again");
    char *second = calibration_text(&again);
    ok(text != NULL && second != NULL && strcmp(text, second) == 0, "and is the same text");
    free(text);
    free(second);
    calibration_free(&again);
    calibration_free(&calibration);
}

static void test_damage(void)
{
    static const char *const BAD[] = {
        "",
        "2 0.9 1 0\n",
        "1 1.5 1 0\n",
        "1 0.9 1 99999999\n",
        "1 0.9 1 1\n",
        "1 0.9 1 1\n0 0 0 1 name\n",
        "1 0.9 1 1\n0 99999999 0 1 00ff80 name\n",
        "1 0.9 1 1\n0 1 0.5 1 00ff80 name\n",
        "1 0.9 1 1\n0 1 0 nan 00ff80 name\n",
        "1 0.9 1 1\n0 1 0 1e30 00ff80 name\n",
        "1 0.9 1 1\n0 1 0 1 00fg80 name\n",
        "1 0.9 1 1\n0 1 0 1 00ff80 name",
        "1 0.9 1 1\n0 1 0 1 00ff80\n",
        "1 0.9 1 2\n0 1 0 1 00ff80 b\n0 1 0 1 00ff80 a\n",
        "1 0.9 1 2\n0 1 0 1 00ff80 a\n0 1 0 1 00ff80 a\n",
    };
    int refused = 0, said = 0, bad = (int)(sizeof BAD / sizeof BAD[0]);

    for (int i = 0; i < bad; i++) {
        struct calibration calibration;
        struct why         why = {""};
        int                rc  = calibration_parse(&calibration, BAD[i], &why);
        refused += rc == ERR_CORRUPT;
        said += strstr(why.text, "quantize") != NULL;
        if (rc != ERR_CORRUPT)
            diag("not refused: %s", BAD[i]);
        calibration_free(&calibration);
    }
    is_int(refused, bad, "damaged text is refused");
    is_int(said, bad, "and it is said what to do");
    /* Every beginning of a good one is refused, and read without a step beyond its end. */
    refused = 0;
    for (size_t n = 0; n + 1 < sizeof GOOD; n++) {
        struct calibration calibration;
        struct why         why;
        char              *text = strndup(GOOD, n);
        if (text == NULL)
            abort();
        refused += calibration_parse(&calibration, text, &why) != 0;
        calibration_free(&calibration);
        free(text);
    }
    is_int(refused, (int)sizeof GOOD - 1, "every beginning of a good one is refused");
}

static const char *model_path(const char *name)
{
    static char path[700];

    snprintf(path, sizeof path, "%s/models/%s", material(), name);
    return path;
}

static void test_file(void)
{
    uint8_t      *file = NULL, *once = NULL, *twice = NULL;
    size_t        count, once_count = 0, twice_count = 0;
    struct why    why   = {""};
    struct model *model = NULL;

    if (model_read_file(model_path("FastestDet.onnx"), &file, &count, &why) != 0) {
        ok(false, "the model is read: %s", why.text);
        return;
    }
    once  = calibration_attach(file, count, "something else", &once_count, &why);
    twice = once != NULL ? calibration_attach(once, once_count, GOOD, &twice_count, &why) : NULL;
    ok(twice != NULL, "a calibration is attached, and replaced: %s", why.text);
    ok(twice != NULL && memcmp(twice, file, count) == 0, "the file before it is as it was");
    ok(twice != NULL && twice_count < count + sizeof GOOD + 64, "only one of them is in the file");
    if (twice != NULL && model_load_bytes(&model, twice, twice_count, "copy", &why) == 0) {
        struct calibration calibration;
        is_int(calibration_read(&calibration, model_info(model), &why), 0, "it is read: %s",
               why.text);
        calibration_free(&calibration);
    } else {
        ok(false, "the copy is a model: %s", why.text);
    }
    model_close(&model);
    ok(calibration_attach(file, count - 1, GOOD, &once_count, &why) == NULL,
       "a file that ends too early is refused");
    free(file);
    free(once);
    free(twice);
}

/* ---- pictures: recorded noise-free gradients would find nothing, so real ones ---- */

struct pictures {
    float *input; /* 3×416×416, colours 0..255, BGR */
    int    stopped_at;
};

/* The thread sanitizer makes a run of the network eighty times as slow. */
#if defined(__SANITIZE_THREAD__)
#define PICTURES 6
#else
#define PICTURES 12
#endif
#define SIDE 416

/* The reference picture, moved by a few pixels and every other time mirrored. */
static int picture(void *context, int index, struct frame **frame, struct why *why)
{
    const struct pictures *pictures = context;
    struct frame          *made     = frame_alloc(FRAME_BGR24, SIDE, SIDE);

    if (made == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    for (int y = 0; y < SIDE; y++) {
        uint8_t *row = (uint8_t *)(uintptr_t)made->plane[0] + (ptrdiff_t)y * made->stride_bytes[0];
        for (int x = 0; x < SIDE; x++)
            for (int c = 0; c < 3; c++) {
                int from_x = index % 2 == 1 ? SIDE - 1 - x : x, from_y = y;
                from_x         = (from_x + index * 5) % SIDE;
                from_y         = (from_y + index * 3) % SIDE;
                row[x * 3 + c] = (uint8_t)pictures->input[(c * SIDE + from_y) * SIDE + from_x];
            }
    }
    *frame = made;
    return 0;
}

static bool stop(void *context, float done, const char *what)
{
    (void)done;
    (void)what;
    return ++((struct pictures *)context)->stopped_at < 4;
}

/* What each step of the search is called, in the order of their beginnings, until the told-th one. */
#define STEPS_MAX 16
static struct {
    const char *what[STEPS_MAX];
    int         count, stop_at; /* -1: never */
    float       done;
    bool        back;           /* it has gone back */
    int         pictures, most; /* looked at between two words of it */
} steps_told;

static bool tell(void *context, float done, const char *what)
{
    (void)context;
    if (steps_told.count == 0 || steps_told.what[steps_told.count - 1] != what)
        steps_told.what[steps_told.count++ % STEPS_MAX] = what;
    if (done < steps_told.done || done > 1.0F)
        steps_told.back = true;
    steps_told.done     = done;
    steps_told.pictures = 0;
    return steps_told.count - 1 != steps_told.stop_at;
}

static int picture_told(void *context, int index, struct frame **frame, struct why *why)
{
    if (++steps_told.pictures > steps_told.most)
        steps_told.most = steps_told.pictures;
    return picture(context, index, frame, why);
}

/* Every step of the search says how far it is after every picture, and can be stopped. */
static void test_progress(struct quantize_settings settings)
{
    struct quantize_report report;
    struct why             why = {""};
    char                   part[128];
    int                    steps, tried = 0, ended = 0, clean = 0;

    settings.picture_count = QUANTIZE_PICTURES_MIN;
    settings.agreement_min = 1.0F;
    settings.picture       = picture_told;
    settings.progress      = tell;
    snprintf(part, sizeof part, "%s.part", settings.out_path);
    memset(&steps_told, 0, sizeof steps_told);
    steps_told.stop_at = -1;
    is_int(quantize_model(&settings, &report, &why), 0, "it tells how far it is: %s", why.text);
    steps = steps_told.count;
    ok(steps >= 6 && steps <= STEPS_MAX, "in %d steps, from \"%s\" to \"%s\"", steps,
       steps_told.what[0], steps_told.what[steps - 1]);
    ok(!steps_told.back && steps_told.done == 1.0F, "from 0 to 1, never back");
    ok(steps_told.most <= 2, "with %d pictures between two words of it", steps_told.most);
    unlink(settings.out_path);
    for (int i = 0; i < steps; i++) {
        if (i > 3 && i < steps - 1) /* as long as the whole */
            continue;
        tried++;
        memset(&steps_told, 0, sizeof steps_told);
        steps_told.stop_at = i;
        ended += quantize_model(&settings, &report, &why) == ERR_CLOSED &&
                 steps_told.count == i + 1 && steps_told.pictures == 0;
        clean += access(settings.out_path, F_OK) != 0 && access(part, F_OK) != 0;
    }
    is_int(ended, tried, "each step can be stopped at once: %s", why.text);
    is_int(clean, tried, "and leaves no file behind");
}

/* While the model is calibrated another file takes its place. */
static char replaced_path[64], replacing_path[700];

static bool replace(void *context, float done, const char *what)
{
    (void)context;
    (void)done;
    (void)what;
    unlink(replaced_path);
    return symlink(replacing_path, replaced_path) == 0;
}

/* Steps in 8 bits, and those of oneDNN's reference code, which is slower than anything else. */
static void count_steps(struct runner *runner, const float *input, int *codes, int *reference)
{
    static struct backend_cpu_step steps[1024];
    int                            count = backend_cpu_profile(runner, input, steps, 1024);

    *codes = *reference = 0;
    for (int i = 0; i < count && i < 1024; i++) {
        *codes += strcmp(steps[i].implementation,
                         int8_beside(getenv(BACKEND_CPU_ISA_VARIABLE))->name) == 0;
        *reference += strncmp(steps[i].implementation, "ref", 3) == 0;
    }
}

static void test_steps(const char *path, const float *input)
{
    struct runner_settings settings = {.precision = PRECISION_INT8};
    struct why             why      = {""};
    struct model          *model    = NULL;
    struct runner         *runner   = NULL;
    int                    codes = 0, reference = 1;

    if (model_load(&model, path, &why) == 0 &&
        BACKEND_CPU.open(&runner, model, &settings, &why) == 0)
        count_steps(runner, input, &codes, &reference);
    ok(codes > 80 && reference == 0, "%d steps are in 8 bits, %d fall to reference code: %s", codes,
       reference, why.text);
    is_int(BACKEND_CPU.supports(model, &settings, &why), 0, "8 bits are said to be there");
    settings.precision = PRECISION_BF16;
    is_int(BACKEND_CPU.supports(model, &settings, &why),
           bf16_beside(getenv(BACKEND_CPU_ISA_VARIABLE)) != NULL ? 0 : ERR_UNSUPPORTED,
           "bf16 only where the machine has it: %s", why.text);
    BACKEND_CPU.close(&runner);
    model_close(&model);
}

/* What is chosen unasked, and how far 8 bits, asked for, are from float32. */
static void run_both(const char *path, const float *input, enum precision *chosen, double *apart)
{
    struct why             why = {""};
    struct model          *model;
    struct runner         *runner[3]   = {NULL, NULL, NULL};
    struct runner_settings settings[3] = {
        {.precision = PRECISION_F32}, {.precision = PRECISION_INT8}, {.precision = PRECISION_AUTO}};
    double difference = 0, sum = 0;

    *apart = INFINITY;
    if (model_load(&model, path, &why) != 0)
        return;
    for (int i = 0; i < 3; i++)
        if (BACKEND_CPU.open(&runner[i], model, &settings[i], &why) == 0)
            BACKEND_CPU.run(runner[i], input, 1, &why);
    if (runner[0] != NULL && runner[1] != NULL && runner[2] != NULL) {
        const float *a = BACKEND_CPU.output(runner[0], 0), *b = BACKEND_CPU.output(runner[1], 0);
        *chosen = runner_precision(runner[2]);
        for (int64_t i = 0; i < 3549 * 85; i++) {
            difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
            sum += (double)a[i] * (double)a[i];
        }
        *apart = difference / sum;
    }
    for (int i = 0; i < 3; i++)
        BACKEND_CPU.close(&runner[i]);
    model_close(&model);
}

/* The same ranges with another share of boxes that agreed. */
static enum precision chosen_at(const char *path, float agreement)
{
    struct calibration     calibration = {.count = 0};
    struct runner_settings settings    = {.precision = PRECISION_AUTO};
    enum precision         chosen      = PRECISION_AUTO;
    struct model          *model = NULL, *other = NULL;
    struct runner         *runner = NULL;
    uint8_t               *file = NULL, *copy = NULL;
    char                  *text = NULL;
    size_t                 count, new_count;
    struct why             why;

    if (model_load(&model, path, &why) == 0 &&
        calibration_read(&calibration, model_info(model), &why) == 0 &&
        model_read_file(path, &file, &count, &why) == 0) {
        calibration.agreement = agreement;
        text                  = calibration_text(&calibration);
    }
    if (text != NULL)
        copy = calibration_attach(file, count, text, &new_count, &why);
    if (copy != NULL && model_load_bytes(&other, copy, new_count, "copy", &why) == 0 &&
        BACKEND_CPU.open(&runner, other, &settings, &why) == 0)
        chosen = runner_precision(runner);
    BACKEND_CPU.close(&runner);
    model_close(&other);
    model_close(&model);
    calibration_free(&calibration);
    free(text);
    free(file);
    free(copy);
    return chosen;
}

static void test_quantize(void)
{
    struct pictures        pictures = {.input = malloc(sizeof(float) * 3 * SIDE * SIDE)};
    FILE                  *file     = fopen(model_path("ref_bus_input_1x3x416x416_f32.bin"), "rb");
    char                   folder[] = "/tmp/sightline-quantize-XXXXXX", out[2][64], exact[700];
    struct quantize_report report[2];
    struct why             why  = {""};
    bool                   full = getenv("SIGHTLINE_QUANTIZE_FULL") != NULL;

    if (file == NULL || pictures.input == NULL ||
        fread(pictures.input, sizeof(float), 3 * SIDE * SIDE, file) != 3 * SIDE * SIDE ||
        mkdtemp(folder) == NULL)
        abort();
    fclose(file);
    snprintf(exact, sizeof exact, "%s", model_path("yolox_nano_coco_416.onnx"));
    struct quantize_settings settings = {.detector      = {.model_path = exact},
                                         .picture_count = full ? 60 : PICTURES,
                                         .agreement_min = 0.8F,
                                         .picture       = picture,
                                         .context       = &pictures};
    for (int i = 0; i < 2; i++) {
        snprintf(out[i], sizeof out[i], "%s/%d.onnx", folder, i);
        settings.out_path = out[i];
        is_int(quantize_model(&settings, &report[i], &why), 0, "YOLOX-nano is quantized: %s",
               why.text);
    }
    ok(report[0].agreement >= 0.8F,
       "%.1f %% of %d boxes agree (%.1f %% before %d of %d layers "
       "were kept in float32)",
       100 * (double)report[0].agreement, report[0].boxes, 100 * (double)report[0].agreement_all,
       report[0].kept, report[0].layers);
    uint8_t *a = NULL, *b = NULL;
    size_t   a_count = 0, b_count = 0;
    model_read_file(out[0], &a, &a_count, &why);
    model_read_file(out[1], &b, &b_count, &why);
    ok(a != NULL && b != NULL && a_count == b_count && memcmp(a, b, a_count) == 0,
       "twice the same pictures give the same file");
    enum precision chosen = PRECISION_AUTO;
    double         apart;
    run_both(out[0], pictures.input, &chosen, &apart);
    bool wanted = report[0].agreement >= CALIBRATION_AGREEMENT_MIN &&
                  int8_gains(getenv(BACKEND_CPU_ISA_VARIABLE));
    is_int(chosen, wanted ? PRECISION_INT8 : PRECISION_F32,
           "8 bits are chosen by themselves only when the boxes agree and the machine gains");
    ok(apart > 0 && apart < 0.2, "outputs in 8 bits are %.3f apart from float32's", apart);
    is_int(chosen_at(out[0], CALIBRATION_AGREEMENT_MIN),
           int8_gains(getenv(BACKEND_CPU_ISA_VARIABLE)) ? PRECISION_INT8 : PRECISION_F32,
           "they are with as many boxes as the bound wants");
    enum precision below = chosen_at(out[0], CALIBRATION_AGREEMENT_MIN - 0.001F);
    ok(below == PRECISION_F32 || below == PRECISION_BF16,
       "and not with one in a thousand fewer: %s", precision_name(below));
    test_steps(out[0], pictures.input);
    settings.progress            = replace;
    settings.detector.model_path = out[1];
    settings.out_path            = out[0];
    snprintf(replaced_path, sizeof replaced_path, "%s", out[1]);
    snprintf(replacing_path, sizeof replacing_path, "%s", exact);
    unlink(out[0]);
    is_int(quantize_model(&settings, &report[0], &why), ERR_INVALID,
           "ranges do not go into another file than they are from: %s", why.text);
    ok(access(out[0], F_OK) != 0, "and nothing is written");
    settings.progress = stop;
    is_int(quantize_model(&settings, &report[0], &why), ERR_CLOSED, "it stops when told to");
    settings.detector.model_path = model_path("FastestDet.onnx");
    test_progress(settings);
    settings.out_path = "/nonexistent/model.onnx";
    settings.progress = tell;
    memset(&steps_told, 0, sizeof steps_told);
    is_int(quantize_model(&settings, &report[0], &why), ERR_IO,
           "a place where nothing can be written: %s", why.text);
    is_int(steps_told.count, 0, "which is said before the work begins");
    settings.picture_count = 2;
    is_int(quantize_model(&settings, &report[0], &why), ERR_LIMIT, "two pictures are too few");
    unlink(out[0]);
    unlink(out[1]);
    is_int(rmdir(folder), 0, "nothing is left behind");
    free(a);
    free(b);
    free(pictures.input);
}

int main(void)
{
    test_text();
    test_damage();
    if (material() != NULL) {
        test_file();
        test_quantize();
    } else {
        skip_one("no ../shared/material: no real model");
    }
    return done_testing();
}
