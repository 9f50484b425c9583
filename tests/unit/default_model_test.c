/* The model that comes with Sightline, whose size is open: the same things are seen through the size
 * that fits the picture and through its own, and both have the same weights in memory.
 * links: gpu */
#include "gpu/detector.h"

#include <unistd.h>

#include "gpu/cpu/cpu_shared.h"
#include "gpu/frame.h"
#include "gpu/quantize.h"
#include "tests/bus_picture.h"
#include "tests/tap.h"

/* Where the build has put it: beside the folder of this program. */
static bool find_default(char path[600])
{
    char    program[500];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);

    if (length < 0)
        return false;
    program[length] = '\0';
    for (int i = 0; i < 2 && strrchr(program, '/') != NULL; i++)
        *strrchr(program, '/') = '\0';
    snprintf(path, 600, "%s/share/sightline/default.onnx", program);
    return access(path, R_OK) == 0;
}

/* The boxes of the street; returns how many, or -1. *shared: bytes of weights before and after. */
static int run_default(const char *path, bool fixed, enum precision precision,
                       struct box (*boxes)[LIMIT_BOXES], int64_t shared[2])
{
    struct detector_settings settings = {.model_path = path,
                                         .backend    = "cpu",
                                         .precision  = precision,
                                         .input      = {.fixed_shape = fixed}};
    struct detector         *detector = NULL;
    struct detector_session *session  = NULL;
    struct frame            *frame    = bus_picture(material());
    struct detector_timing   timing;
    struct why               why   = {""};
    int                      count = -1;

    if (detector_open(&detector, &settings, &why) == 0 &&
        detector_session_open(&session, detector, &why) == 0) {
        shared[0] = cpu_shared_total_bytes();
        if (detector_session_run(session, &frame, 1, boxes, &count, &timing, &why) != 0)
            count = -1;
        shared[1] = cpu_shared_total_bytes();
    }
    if (count < 0)
        diag("%s", why.text);
    detector_session_close(&session);
    detector_close(&detector);
    frame_unref(&frame);
    return count;
}

static int without_partner(const struct box *boxes, int count, const struct box *others,
                           int other_count)
{
    int alone = 0;

    for (int i = 0; i < count; i++) {
        bool found = boxes[i].score < 0.6F;

        for (int k = 0; k < other_count && !found; k++)
            found = others[k].object_class == boxes[i].object_class &&
                    box_iou(&boxes[i], &others[k]) > 0.6F;
        alone += !found;
    }
    return alone;
}

static void check_default(void)
{
    static const enum precision PRECISIONS[] = {PRECISION_F32, PRECISION_INT8};
    static struct box           fixed[1][LIMIT_BOXES], shaped[1][LIMIT_BOXES];
    char                        path[600];
    struct frame               *frame = bus_picture(material());
    int64_t                     bytes[2];

    if (frame == NULL || !find_default(path)) {
        skip_one("no material, or no default model");
        frame_unref(&frame);
        return;
    }
    frame_unref(&frame);
    for (size_t i = 0; i < sizeof PRECISIONS / sizeof *PRECISIONS; i++) {
        const char *name        = precision_name(PRECISIONS[i]);
        int         fixed_count = run_default(path, true, PRECISIONS[i], fixed, bytes);
        int         count       = run_default(path, false, PRECISIONS[i], shaped, bytes);
        int         sure        = 0;

        for (int k = 0; k < count; k++)
            sure += shaped[0][k].score >= 0.6F;
        ok(sure >= 2 && without_partner(shaped[0], count, fixed[0], fixed_count) == 0 &&
               without_partner(fixed[0], fixed_count, shaped[0], count) == 0,
           "%s: the default model's %d sure boxes are those of the fixed size", name, sure);
        ok(bytes[0] > 100000 && bytes[1] < bytes[0] * 11 / 10,
           "%s: both sizes have the same weights in memory: %lld and %lld bytes", name,
           (long long)bytes[0], (long long)bytes[1]);
    }
}

/* The street, and its upper part alone: two sizes of input. */
static int one_of_two(void *context, int index, struct frame **frame, struct why *why)
{
    (void)context;
    *frame = bus_picture(material());
    if (*frame == NULL)
        return why_set(why, -1, "no street");
    if (index % 2 == 1)
        (*frame)->height_px = 400 - index * 4;
    return 0;
}

static void check_quantize(void)
{
    char                     path[600];
    struct frame            *frame    = bus_picture(material());
    struct quantize_settings settings = {.detector      = {.model_path = path},
                                         .picture_count = 12,
                                         .agreement_min = 0.01F,
                                         .picture       = one_of_two};
    struct quantize_report   report;
    struct why               why = {""};

    if (frame == NULL || !find_default(path)) {
        skip_one("no material, or no default model");
    } else {
        is_int(quantize_model(&settings, &report, &why), 0, "ranges of two sizes at once %s",
               why.text);
        ok(report.boxes > 0 && report.agreement > 0.5F, "%d boxes, %.2f of them the same",
           report.boxes, (double)report.agreement);
    }
    frame_unref(&frame);
}

int main(void)
{
    check_default();
    check_quantize();
    return done_testing();
}
