/* Preparation: against exact arithmetic within the bound of the header, every kernel set bit for bit
 * against the plain one, nothing read or written outside.
 * links: gpu */
#include "gpu/prepare.h"

#include <stddef.h>

#include "gpu/cpu/backend_cpu.h"
#include "gpu/prepare_kernels.h"
#include "tests/tap.h"

#define CANARY 12345.0F

static uint32_t noise_state = 1;

static uint8_t noise(void)
{
    noise_state = noise_state * 1664525U + 1013904223U;
    return (uint8_t)(noise_state >> 24);
}

struct layout {
    int planes;
    int row_bytes[3], rows[3];
};

static struct layout layout_of(enum frame_format format, int w, int h)
{
    int cw = (w + 1) / 2, ch = (h + 1) / 2;

    switch (format) {
    case FRAME_I420:
        return (struct layout){3, {w, cw, cw}, {h, ch, ch}};
    case FRAME_I422:
        return (struct layout){3, {w, cw, cw}, {h, h, h}};
    case FRAME_I444:
        return (struct layout){3, {w, w, w}, {h, h, h}};
    case FRAME_NV12:
        return (struct layout){2, {w, 2 * cw, 0}, {h, ch, 0}};
    case FRAME_GRAY8:
        return (struct layout){1, {w, 0, 0}, {h, 0, 0}};
    case FRAME_BGR24:
    case FRAME_RGB24:
        break;
    }
    return (struct layout){1, {3 * w, 0, 0}, {h, 0, 0}};
}

static void free_planes(struct frame *frame)
{
    struct layout layout = layout_of(frame->format, frame->width_px, frame->height_px);

    for (int i = 0; i < layout.planes; i++) {
        const uint8_t *first = frame->plane[i];

        if (frame->stride_bytes[i] < 0)
            first += (ptrdiff_t)frame->stride_bytes[i] * (layout.rows[i] - 1);
        free((void *)(uintptr_t)first);
    }
    free(frame);
}

/* Planes without a byte to spare, so that the sanitizer sees every read past them. `kind`: 0 noise,
 * 1 black and white noise, 2 a smooth slope. */
static struct frame *picture(enum frame_format format, int w, int h, int kind, bool bottom_up)
{
    struct frame *frame  = calloc(1, sizeof *frame);
    struct layout layout = layout_of(format, w, h);

    *frame = (struct frame){
        .format = format, .width_px = w, .height_px = h, .release = free_planes};
    atomic_init(&frame->references, 1);
    for (int i = 0; i < layout.planes; i++) {
        size_t   bytes  = (size_t)layout.row_bytes[i] * (size_t)layout.rows[i];
        uint8_t *memory = malloc(bytes);
        int      stride = layout.row_bytes[i];

        for (size_t b = 0; b < bytes; b++)
            memory[b] = (uint8_t)(kind == 0   ? noise()
                                  : kind == 1 ? (noise() & 1) * 255
                                              : (int)(b % (size_t)stride) * 255 / stride);
        frame->plane[i] = bottom_up ? memory + (ptrdiff_t)stride * (layout.rows[i] - 1) : memory;
        frame->stride_bytes[i] = bottom_up ? -stride : stride;
    }
    return frame;
}

/* --- exact arithmetic, written from the header alone --- */

static double overlap(double a0, double a1, double b0, double b1)
{
    double from = a0 > b0 ? a0 : b0, to = a1 < b1 ? a1 : b1;

    return to > from ? to - from : 0.0;
}

/* Weight of source pixel `s` in output `i`. */
static double exact_weight(int s, int n, double scale, int i)
{
    double centre;

    if (scale >= 2.0) {
        double end = (i + 1) * scale < n ? (i + 1) * scale : n;

        return overlap(s, s + 1, i * scale, end) / (end - i * scale);
    }
    centre = (i + 0.5) * scale - 0.5;
    centre = centre < 0 ? 0 : centre > n - 1 ? n - 1 : centre;
    return fabs(s - centre) < 1.0 ? 1.0 - fabs(s - centre) : 0.0;
}

static double exact_sample(const struct frame *frame, int plane, int step, int offset, int n_x,
                           int n_y, double x_scale, double y_scale, int x, int y)
{
    double sum    = 0.0;
    int    y_from = (int)floor((y - 1) * y_scale) - 2, x_from = (int)floor((x - 1) * x_scale) - 2;

    for (int v = y_from < 0 ? 0 : y_from; v < n_y && v < (y + 2) * y_scale + 2; v++) {
        double y_weight = exact_weight(v, n_y, y_scale, y);

        for (int u = x_from < 0 ? 0 : x_from; y_weight > 0 && u < n_x && u < (x + 2) * x_scale + 2;
             u++)
            sum +=
                y_weight * exact_weight(u, n_x, x_scale, x) *
                frame->plane[plane][(ptrdiff_t)v * frame->stride_bytes[plane] + u * step + offset];
    }
    return sum;
}

static void exact_rgb(const struct frame *frame, const struct prepare_area *area, int x, int y,
                      double rgb[3])
{
    double xs = (double)frame->width_px / area->width_px,
           ys = (double)frame->height_px / area->height_px;
    int    w = frame->width_px, h = frame->height_px, cw = (w + 1) / 2, ch = (h + 1) / 2;
    double luma, u = 128, v = 128, kr = 0.299, kb = 0.114;

    if (frame->format == FRAME_BGR24 || frame->format == FRAME_RGB24) {
        for (int c = 0; c < 3; c++)
            rgb[c] = exact_sample(frame, 0, 3, frame->format == FRAME_RGB24 ? c : 2 - c, w, h, xs,
                                  ys, x, y);
        return;
    }
    luma = exact_sample(frame, 0, 1, 0, w, h, xs, ys, x, y);
    if (frame->format == FRAME_I420) {
        u = exact_sample(frame, 1, 1, 0, cw, ch, xs / 2, ys / 2, x, y);
        v = exact_sample(frame, 2, 1, 0, cw, ch, xs / 2, ys / 2, x, y);
    } else if (frame->format == FRAME_I422) {
        u = exact_sample(frame, 1, 1, 0, cw, h, xs / 2, ys, x, y);
        v = exact_sample(frame, 2, 1, 0, cw, h, xs / 2, ys, x, y);
    } else if (frame->format == FRAME_I444) {
        u = exact_sample(frame, 1, 1, 0, w, h, xs, ys, x, y);
        v = exact_sample(frame, 2, 1, 0, w, h, xs, ys, x, y);
    } else if (frame->format == FRAME_NV12) {
        u = exact_sample(frame, 1, 2, 0, cw, ch, xs / 2, ys / 2, x, y);
        v = exact_sample(frame, 1, 2, 1, cw, ch, xs / 2, ys / 2, x, y);
    }
    u -= 128;
    v -= 128;
    if (!frame->full_range) {
        luma = (luma - 16) * 255 / 219;
        u    = u * 255 / 224;
        v    = v * 255 / 224;
    }
    if (frame->matrix == FRAME_BT709) {
        kr = 0.2126;
        kb = 0.0722;
    }
    rgb[0] = luma + 2 * (1 - kr) * v;
    rgb[2] = luma + 2 * (1 - kb) * u;
    rgb[1] = (luma - kr * rgb[0] - kb * rgb[2]) / (1 - kr - kb);
}

static double error_bound(const struct frame *frame, const struct prepare_area *area)
{
    double scale = (double)frame->width_px / area->width_px;
    double taps  = scale < 2.0 ? 2.0 : ceil(scale) + 1.0;

    return 3.4 * (0.5 * (taps - 1.0) + 0.1);
}

static const struct prepare_settings YOLOX_LIKE = {
    .width_px = 96, .height_px = 64, .fit = PREPARE_TOP_LEFT, .pad = 114, .scale = {1, 1, 1}};

static void check_exact(enum frame_format format, int w, int h, int kind, bool full,
                        enum frame_matrix matrix)
{
    struct frame        *frame = picture(format, w, h, kind, false);
    struct prepare_plan *plan;
    struct prepare_area  area;
    float               *tensor = malloc(sizeof *tensor * 3 * 96 * 64);
    double               worst = 0.0, sum = 0.0;
    struct why           why;

    frame->full_range = full;
    frame->matrix     = matrix;
    is_int(prepare_plan_open_with(&plan, &YOLOX_LIKE, frame, &PREPARE_C, &why), 0,
           "a plan for %dx%d", w, h);
    area = prepare_plan_area(plan);
    prepare_pad(plan, tensor);
    prepare_run(plan, frame, tensor);
    for (int y = 0; y < area.height_px; y++) {
        for (int x = 0; x < area.width_px; x++) {
            double rgb[3];

            exact_rgb(frame, &area, x, y, rgb);
            for (int c = 0; c < 3; c++) {
                double want  = rgb[2 - c] < 0 ? 0 : rgb[2 - c] > 255 ? 255 : rgb[2 - c];
                double error = fabs(want - (double)tensor[(c * 64 + y) * 96 + x]);

                worst = error > worst ? error : worst;
                sum += error;
            }
        }
    }
    ok(worst <= error_bound(frame, &area),
       "format %d %dx%d kind %d: worst error %.3f of at most %.2f levels", (int)format, w, h, kind,
       worst, error_bound(frame, &area));
    sum /= 3.0 * area.width_px * area.height_px;
    ok(sum < (kind == 1 ? 0.6 : 0.2), "  and the mean is %.4f", sum);
    prepare_plan_close(&plan);
    free(tensor);
    frame_unref(&frame);
}

/* One canary before and after the tensor; everything in it must be written, nothing outside. */
static bool same_bits(const struct prepare_settings *settings, struct frame *frame,
                      const struct prepare_kernels *kernels)
{
    size_t count = (size_t)(3 * settings->width_px * settings->height_px);
    float *plain = malloc((count + 2) * sizeof *plain), *fast = malloc((count + 2) * sizeof *fast);
    struct prepare_plan *plan[2];
    bool                 same;

    for (size_t i = 0; i < count + 2; i++)
        plain[i] = fast[i] = CANARY;
    same = prepare_plan_open_with(&plan[0], settings, frame, &PREPARE_C, NULL) == 0 &&
           prepare_plan_open_with(&plan[1], settings, frame, kernels, NULL) == 0;
    prepare_pad(plan[0], plain + 1);
    prepare_pad(plan[1], fast + 1);
    for (int again = 0; again < 2; again++) {
        prepare_run(plan[0], frame, plain + 1);
        prepare_run(plan[1], frame, fast + 1);
    }
    same = same && memcmp(plain, fast, (count + 2) * sizeof *plain) == 0;
    same = same && fast[0] == CANARY && fast[count + 1] == CANARY;
    for (size_t i = 1; same && i <= count; i++)
        same = fast[i] != CANARY;
    prepare_plan_close(&plan[0]);
    prepare_plan_close(&plan[1]);
    free(plain);
    free(fast);
    return same;
}

static void check_kernels(const struct prepare_kernels *kernels)
{
    static const int        sizes[][2] = {{640, 360}, {626, 360}, {1921, 217}, {96, 64},
                                          {95, 63},   {17, 9},    {1, 1},      {3, 200},
                                          {200, 3},   {33, 65},   {31, 31},    {1281, 145}};
    struct prepare_settings fits[]     = {YOLOX_LIKE, YOLOX_LIKE, YOLOX_LIKE, YOLOX_LIKE};

    fits[1].fit       = PREPARE_CENTRED;
    fits[1].rgb       = true;
    fits[2].fit       = PREPARE_STRETCH;
    fits[2].width_px  = 352;
    fits[2].height_px = 35;
    fits[3].width_px  = 416;
    fits[3].height_px = 416;
    for (int c = 0; c < 3; c++) {
        fits[1].mean[c]  = 100.0F + 10.0F * (float)c;
        fits[1].scale[c] = 1.0F / (50.0F + (float)c);
    }
    for (int format = FRAME_I420; format <= (int)FRAME_RGB24; format++) {
        int different = 0, tried = 0;

        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            for (int fit = 0; fit < 4; fit++) {
                struct frame *frame = picture((enum frame_format)format, sizes[i][0], sizes[i][1],
                                              fit == 2, i % 2 == 1);

                frame->full_range = fit == 1;
                frame->matrix     = i % 3 == 0 ? FRAME_BT709 : FRAME_BT601;
                tried++;
                if (!same_bits(&fits[fit], frame, kernels)) {
                    diag("%dx%d fit %d", sizes[i][0], sizes[i][1], fit);
                    different++;
                }
                frame_unref(&frame);
            }
        }
        is_int(different, 0, "%s: format %d, %d pictures, the same bits as plain C", kernels->name,
               format, tried);
    }
}

static void check_wide(const struct prepare_kernels *kernels)
{
    /* Shrinks of 20 and 1.03: gathers, and windows that end with the row. */
    struct prepare_settings settings = YOLOX_LIKE;
    struct frame           *wide     = picture(FRAME_I420, 8192, 40, 0, false);
    struct frame           *near     = picture(FRAME_NV12, 431, 431, 0, false);

    settings.width_px = settings.height_px = 416;
    ok(same_bits(&settings, wide, kernels), "%s: 8192 pixels wide", kernels->name);
    ok(same_bits(&settings, near, kernels), "%s: barely shrunk", kernels->name);
    settings.width_px = settings.height_px = 48;
    ok(same_bits(&settings, wide, kernels), "%s: 170 source pixels in one", kernels->name);
    frame_unref(&wide);
    frame_unref(&near);
}

static void check_geometry(void)
{
    struct frame           *frame    = picture(FRAME_GRAY8, 626, 360, 2, false), *bad;
    struct prepare_settings settings = YOLOX_LIKE;
    struct prepare_plan    *plan;
    struct prepare_area     area;
    struct box              box = {0, 0, 416, 239, 1, OBJECT_CAR};
    struct why              why;

    settings.width_px = settings.height_px = 416;
    is_int(prepare_plan_open(&plan, &settings, frame, NULL), 0, "626x360 into 416x416");
    area = prepare_plan_area(plan);
    ok(area.x_px == 0 && area.y_px == 0 && area.width_px == 416 && area.height_px == 239,
       "lies at the top left: %dx%d", area.width_px, area.height_px);
    prepare_box_to_picture(&area, &box);
    is_near(box.x1, 626, 1e-3, "a box of the whole area is the whole picture across");
    is_near(box.y1, 360, 1e-3, "and down");
    ok(prepare_plan_fits(plan, frame), "the plan fits its picture");
    frame->full_range = true;
    ok(!prepare_plan_fits(plan, frame), "but not one in another range");
    prepare_plan_close(&plan);
    settings.fit = PREPARE_CENTRED;
    is_int(prepare_plan_open(&plan, &settings, frame, NULL), 0, "centred");
    area = prepare_plan_area(plan);
    is_int(area.y_px, 88, "half of the rest above");
    box = (struct box){0, 88, 416, 88 + 239, 1, OBJECT_CAR};
    prepare_box_to_picture(&area, &box);
    is_near(box.y0, 0, 1e-3, "and boxes come back to the picture's top");
    prepare_plan_close(&plan);
    bad           = frame;
    bad->width_px = 9000;
    is_int(prepare_plan_open(&plan, &settings, bad, &why), -3, "a picture too wide is refused: %s",
           why.text);
    ok(plan == NULL, "with no plan");
    bad->width_px = 626;
    frame_unref(&frame);
}

static void check_pad_and_scale(void)
{
    struct frame           *frame    = frame_alloc(FRAME_BGR24, 8, 4);
    struct prepare_settings settings = {.width_px  = 8,
                                        .height_px = 8,
                                        .fit       = PREPARE_TOP_LEFT,
                                        .pad       = 100,
                                        .mean      = {10, 20, 30},
                                        .scale     = {1, 0.5F, 2}};
    struct prepare_plan    *plan;
    float                   tensor[3 * 8 * 8];
    uint8_t                *pixels = (uint8_t *)(uintptr_t)frame->plane[0];

    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 8; x++)
            memcpy(pixels + y * frame->stride_bytes[0] + 3 * x, (const uint8_t[]){50, 60, 70}, 3);
    is_int(prepare_plan_open(&plan, &settings, frame, NULL), 0, "8x4 into 8x8");
    prepare_pad(plan, tensor);
    prepare_run(plan, frame, tensor);
    is_near(tensor[0], 40, 1e-4, "blue less its mean");
    is_near(tensor[64], 20, 1e-4, "green halved");
    is_near(tensor[128], 80, 1e-4, "red doubled");
    is_near(tensor[63], 90, 1e-4, "pad is scaled like a colour");
    is_near(tensor[191], 140, 1e-4, "in each channel");
    prepare_plan_close(&plan);
    settings.rgb = true;
    is_int(prepare_plan_open(&plan, &settings, frame, NULL), 0, "as RGB");
    prepare_run(plan, frame, tensor);
    is_near(tensor[0], 60, 1e-4, "red comes first");
    prepare_plan_close(&plan);
    frame_unref(&frame);
}

/* The reference tensor's own picture, 312x416 of whole numbers, must come out as it went in. */
static void check_reference(void)
{
    const char             *folder = material();
    char                    path[600];
    FILE                   *file;
    size_t                  count = 3 * 416 * 416;
    float                  *wanted, *tensor;
    struct frame           *frame;
    struct prepare_plan    *plan;
    struct prepare_settings settings = YOLOX_LIKE;
    double                  worst    = 0;

    if (folder == NULL) {
        skip_one("no material");
        return;
    }
    snprintf(path, sizeof path, "%s/models/ref_bus_input_1x3x416x416_f32.bin", folder);
    wanted = malloc(count * sizeof *wanted);
    tensor = malloc(count * sizeof *tensor);
    file   = fopen(path, "rb");
    if (file == NULL || fread(wanted, sizeof *wanted, count, file) != count) {
        skip_one("no reference tensor");
    } else {
        frame = frame_alloc(FRAME_BGR24, 312, 416);
        for (int y = 0; y < 416; y++)
            for (int x = 0; x < 312 * 3; x++)
                ((uint8_t *)(uintptr_t)frame->plane[0])[y * frame->stride_bytes[0] + x] = (uint8_t)
                    wanted[((x % 3) * 416 + y) * 416 + x / 3];
        settings.width_px = settings.height_px = 416;
        is_int(prepare_plan_open(&plan, &settings, frame, NULL), 0, "a plan for the bus");
        prepare_pad(plan, tensor);
        prepare_run(plan, frame, tensor);
        for (size_t i = 0; i < count; i++)
            worst = fabs((double)(wanted[i] - tensor[i])) > worst
                        ? fabs((double)(wanted[i] - tensor[i]))
                        : worst;
        ok(worst < 1e-4, "the tensor is the reference: worst error %g", worst);
        prepare_plan_close(&plan);
        frame_unref(&frame);
    }
    if (file != NULL)
        fclose(file);
    free(wanted);
    free(tensor);
}

/* What holds the network to an instruction set holds the preparation to it, and never lifts it. */
static void check_limit(void)
{
    bool        has_avx2 = false;
    const char *best     = prepare_kernels_name();

    for (int i = 0; PREPARE_KERNELS[i] != NULL; i++)
        has_avx2 = has_avx2 || (strcmp(PREPARE_KERNELS[i]->name, "avx2") == 0 &&
                                PREPARE_KERNELS[i]->available());
    setenv(BACKEND_CPU_ISA_VARIABLE, "avx2", 1);
    is_text(prepare_kernels_name(), has_avx2 ? "avx2" : "c", "held to AVX2");
    setenv(BACKEND_CPU_ISA_VARIABLE, "plain", 1);
    is_text(prepare_kernels_name(), "c", "held to plain C");
    setenv(BACKEND_CPU_ISA_VARIABLE, "avx512", 1);
    is_text(prepare_kernels_name(), best, "the best that there is may be asked for");
    unsetenv(BACKEND_CPU_ISA_VARIABLE);
    is_text(prepare_kernels_name(), best, "without a limit the best again");
}

int main(void)
{
    const char *given = getenv(BACKEND_CPU_ISA_VARIABLE);

    if (given == NULL)
        check_limit();
    for (int format = FRAME_I420; format <= (int)FRAME_RGB24; format++) {
        check_exact((enum frame_format)format, 123, 77, 0, false, FRAME_BT601);
        check_exact((enum frame_format)format, 480, 270, 0, true, FRAME_BT709);
    }
    check_exact(FRAME_I420, 50, 40, 1, true, FRAME_BT601);
    check_exact(FRAME_I420, 333, 222, 1, false, FRAME_BT709);
    check_exact(FRAME_I420, 1919, 301, 2, false, FRAME_BT709);
    for (int i = 0; PREPARE_KERNELS[i] != NULL; i++) {
        if (!PREPARE_KERNELS[i]->available()) {
            skip_one("this machine has no %s", PREPARE_KERNELS[i]->name);
            continue;
        }
        check_kernels(PREPARE_KERNELS[i]);
        check_wide(PREPARE_KERNELS[i]);
    }
    diag("this machine uses %s", prepare_kernels_name());
    check_geometry();
    check_pad_and_scale();
    check_reference();
    return done_testing();
}
