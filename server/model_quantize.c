/* `sightline model quantize FILE --calibrate FOLDER`: the pictures of a folder, in the order of their
 * names, to gpu/quantize.h, which measures on them. They are decoded once and kept, since each is
 * looked at many times. */
#include "config/err.h"
#include "config/plural.h"
#include "gpu/quantize.h"
#include "server/model_tools.h"
#include "server/picture_file.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Enough for 1000 pictures of 640x480, or 170 of 1920x1080. */
#define KEPT_BYTES_MAX (INT64_C(1) << 30)

/* Somebody has pressed Ctrl-C, or the system ends. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* What was begun is given up between two pictures, so that no half file stays behind. */
static void watch_signals(void)
{
    static const int NUMBERS[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction give_up   = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART}, before;

    sigemptyset(&give_up.sa_mask);
    for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
        if (sigaction(NUMBERS[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(NUMBERS[i], &give_up, NULL);
}

struct pictures {
    bool          on_terminal;
    int           told_percent;
    const char   *told;
    int           count;
    int64_t       bytes;
    int           skipped; /* files that hold no picture */
    bool          full;
    struct frame *frame[LIMIT_QUANTIZE_PICTURES];
};

/* Up to three planes, of which the first is the largest. */
static int64_t bytes_of(const struct frame *frame)
{
    return (int64_t)abs(frame->stride_bytes[0]) * frame->height_px * 3 / 2;
}

static int keep_picture(void *arg, struct frame *frame, int number)
{
    struct pictures *pictures = arg;

    (void)number;
    if (interrupted) {
        frame_unref(&frame);
        return ERR_CLOSED;
    }
    if (pictures->count == LIMIT_QUANTIZE_PICTURES ||
        pictures->bytes + bytes_of(frame) > KEPT_BYTES_MAX) {
        pictures->full = true;
        frame_unref(&frame);
        return 0;
    }
    pictures->bytes += bytes_of(frame);
    pictures->frame[pictures->count++] = frame;
    return 0;
}

static int is_wanted(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int read_folder(struct pictures *pictures, const char *folder, struct why *why)
{
    struct dirent **entries = NULL;
    int             count   = scandir(folder, &entries, is_wanted, alphasort);

    if (count < 0)
        return why_set(why, ERR_NOT_FOUND, "the folder %s cannot be read", folder);
    for (int i = 0; i < count; i++) {
        char       path[LIMIT_PATH_BYTES];
        struct why skipped;

        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (pictures->on_terminal)
            fprintf(stderr, "\rreading, file %d of %d ", i + 1, count);
        if (!pictures->full && !interrupted &&
            picture_file_read(path, LIMIT_QUANTIZE_PICTURES, keep_picture, pictures, &skipped) !=
                0 &&
            !interrupted) {
            pictures->skipped++;
            fprintf(stderr, "left out: %s\n", skipped.text);
        }
        free(entries[i]);
    }
    free(entries);
    if (pictures->on_terminal)
        fputc('\n', stderr);
    if (interrupted)
        return why_set(why, ERR_CLOSED, "stopped: nothing is written");
    if (pictures->full)
        fprintf(stderr, "%d picture%s fit; the others are left out\n", pictures->count,
                plural((uint64_t)pictures->count));
    return 0;
}

static int picture(void *context, int index, struct frame **frame, struct why *why)
{
    const struct pictures *pictures = context;

    (void)why;
    *frame = frame_ref(pictures->frame[index]);
    return 0;
}

static bool progress(void *context, float done, const char *what)
{
    struct pictures *pictures = context;
    int              percent  = (int)(100.0F * done + 0.5F);

    if (pictures->on_terminal && (percent != pictures->told_percent || what != pictures->told)) {
        fprintf(stderr, "\r%3d %%  %-40.40s", percent, what);
        pictures->told_percent = percent;
        pictures->told         = what;
    }
    return !interrupted;
}

static int print_report(const struct quantize_report *report, const char *out_path, bool as_json)
{
    struct json_writer json;

    if (!as_json) {
        printf("%s\n"
               "  %.1f %% of %d box%s above %.1f agree with float32, on %d of %d pictures\n"
               "  in float32 stay %d of %d layers (without them %.1f %% agree)\n",
               out_path, 100.0 * (double)report->agreement, report->boxes,
               report->boxes == 1 ? "" : "es", (double)QUANTIZE_SCORE, report->compared,
               report->pictures, report->kept, report->layers,
               100.0 * (double)report->agreement_all);
        if (report->agreement < CALIBRATION_AGREEMENT_MIN)
            printf("  too few agree: it runs in 8 bits only when that is asked for by name\n");
        return 0;
    }
    json_init(&json, MODEL_JSON_MAX_BYTES);
    json_begin_object(&json);
    json_key(&json, "file");
    json_put_string(&json, out_path);
    json_key(&json, "pictures");
    json_put_int(&json, report->pictures);
    json_key(&json, "compared");
    json_put_int(&json, report->compared);
    json_key(&json, "boxes");
    json_put_int(&json, report->boxes);
    json_key(&json, "agreement");
    json_put_fixed(&json, (double)report->agreement, 5);
    json_key(&json, "agreement_all");
    json_put_fixed(&json, (double)report->agreement_all, 5);
    json_key(&json, "layers");
    json_put_int(&json, report->layers);
    json_key(&json, "kept");
    json_put_int(&json, report->kept);
    json_end_object(&json);
    return model_print_json(&json);
}

/* "street.onnx" becomes "street.int8.onnx". */
static void default_path(const char *path, char out[LIMIT_PATH_BYTES])
{
    size_t length = strlen(path), end = sizeof ".onnx" - 1;

    if (length > end && strcmp(path + length - end, ".onnx") == 0)
        length -= end;
    snprintf(out, LIMIT_PATH_BYTES, "%.*s.int8.onnx", (int)length, path);
}

int model_quantize(const struct model_arguments *options)
{
    static struct pictures   pictures;
    char                     out_path[LIMIT_PATH_BYTES];
    struct quantize_report   report;
    struct why               why;
    struct quantize_settings settings = {.detector      = options->detector,
                                         .out_path      = out_path,
                                         .agreement_min = (float)options->agreement_percent /
                                                          100.0F,
                                         .picture  = picture,
                                         .context  = &pictures,
                                         .progress = progress};
    int                      rc;

    watch_signals();
    pictures.on_terminal = isatty(STDERR_FILENO) != 0;
    rc                   = read_folder(&pictures, options->calibrate, &why);
    if (options->output != NULL)
        snprintf(out_path, sizeof out_path, "%s", options->output);
    else
        default_path(options->detector.model_path, out_path);
    settings.picture_count = pictures.count;
    if (rc == 0)
        rc = quantize_model(&settings, &report, &why);
    if (pictures.told != NULL)
        fputc('\n', stderr);
    for (int i = 0; i < pictures.count; i++)
        frame_unref(&pictures.frame[i]);
    return rc == 0 ? print_report(&report, out_path, options->json) : model_fail(&why);
}
