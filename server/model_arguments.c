#include "server/model_arguments.h"

#include "config/err.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_DEFAULT 3.0
#define SECONDS_MAX     3600.0

const char MODEL_USAGE[] =
    "usage: sightline model check FILE [OPTIONS]\n"
    "       sightline model bench FILE [OPTIONS]\n"
    "       sightline model compare FILE PICTURE... [OPTIONS]\n"
    "       sightline model quantize FILE --calibrate FOLDER [-o OUT]\n"
    "\n"
    "  check     what the ONNX file is, and whether it can be used here: its head and how it was\n"
    "            recognised, operators, cost, memory, precisions, classes, and all that is "
    "missing\n"
    "  bench     how fast it runs on this machine\n"
    "  compare   every backend and precision against float32 on the processor, on pictures (JPEG,\n"
    "            PNG, WebP, or a video: one picture in ten): error of the outputs, and how many "
    "of\n"
    "            the boxes above 0.4 are the same (overlap of 0.9)\n"
    "  quantize  measures the ranges that 8-bit layers need on the pictures of a folder, and "
    "writes\n"
    "            a model with them\n"
    "\n"
    "  --head NAME            instead of recognising it: yolox, yolov5, yolov7, yolov8, nanodet,\n"
    "                         fastestdet, ssd, detr, end_to_end, sightline (as the next two for\n"
    "                         check, compare, quantize)\n"
    "  --classes FILE         names of the classes, one in each line\n"
    "  --class NAME=CLASS     count a class as person, bicycle, car, motorcycle, bus, truck or "
    "none;\n"
    "                         may be repeated\n"
    "  --backend NAME         cpu, cuda, or auto (the default; as the next for check, bench,\n"
    "                         compare)\n"
    "  --precision NAME       f32, f16, bf16, int8, or auto (the default)\n"
    "  --batch N              pictures in one run (bench; default: the backend's best)\n"
    "  --threads N            runs at the same time (bench; default 1)\n"
    "  --seconds S            how long (bench; default 3)\n"
    "  --calibrate FOLDER     pictures of what the cameras will see (quantize)\n"
    "  --agreement PERCENT    boxes that must agree, or layers stay in float32 (quantize; default\n"
    "                         99, or 97.5 where 99 would cost much speed). The pictures that\n"
    "                         choose the layers flatter: others show about 1 less\n"
    "  -o, --output FILE      the model to write (quantize; default: FILE with .int8.onnx)\n"
    "  --json                 the result as JSON\n"
    "\n"
    "Exit codes: 0 good, 1 the model cannot be used or something went wrong, 2 wrong usage.\n";

/* Which options say something to which action; the others are refused, not overheard. */
static const struct {
    const char *name, *actions;
} OPTIONS[] = {
    {"--head", "check compare quantize"},
    {"--classes", "check compare quantize"},
    {"--class", "check compare quantize"},
    {"--backend", "check bench compare"},
    {"--precision", "check bench compare"},
    {"--batch", "bench"},
    {"--threads", "bench"},
    {"--seconds", "bench"},
    {"--calibrate", "quantize"},
    {"--agreement", "quantize"},
    {"-o", "quantize"},
    {"--output", "quantize"},
};

#define OPTION_COUNT (int)(sizeof OPTIONS / sizeof OPTIONS[0])

static int find_option(const char *name)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (strcmp(OPTIONS[i].name, name) == 0)
            return i;
    return -1;
}

static int whole(const char *option, const char *value, int low, int high, int *number,
                 struct why *why)
{
    char *end;
    long  read = strtol(value, &end, 10);

    if (end == value || *end != '\0' || read < low || read > high)
        return why_set(why, ERR_INVALID, "%s must be a whole number in %d..%d, not \"%s\"", option,
                       low, high, value);
    *number = (int)read;
    return 0;
}

static int read_rule(struct model_arguments *options, const char *value, struct why *why)
{
    const char        *equals = strrchr(value, '=');
    struct class_rule *rule   = &options->rules[options->detector.rule_count];
    enum object_class  object_class;

    if (equals == NULL || equals == value || (size_t)(equals - value) >= sizeof rule->name)
        return why_set(why, ERR_INVALID, "--class wants NAME=CLASS, not \"%s\"", value);
    if (options->detector.rule_count == CLASS_RULES_MAX)
        return why_set(why, ERR_INVALID, "more than %d times --class", CLASS_RULES_MAX);
    memcpy(rule->name, value, (size_t)(equals - value));
    rule->name[equals - value] = '\0';
    if (strcmp(equals + 1, "none") == 0)
        rule->object_class = -1;
    else if (object_class_from_name(equals + 1, &object_class))
        rule->object_class = (signed char)object_class;
    else
        return why_set(why, ERR_INVALID,
                       "\"%s\" is none of person, bicycle, car, motorcycle, bus, truck, none",
                       equals + 1);
    options->detector.rule_count++;
    return 0;
}

static int read_value(struct model_arguments *options, const char *option, const char *value,
                      struct why *why)
{
    struct detector_settings *detector = &options->detector;

    if (strcmp(option, "--head") == 0)
        detector->head = value;
    else if (strcmp(option, "--classes") == 0)
        detector->classes = value;
    else if (strcmp(option, "--class") == 0)
        return read_rule(options, value, why);
    else if (strcmp(option, "--backend") == 0) {
        detector->backend      = value;
        options->backend_given = strcmp(value, "auto") != 0;
    } else if (strcmp(option, "--precision") == 0) {
        if (!precision_find(value, &detector->precision))
            return why_set(why, ERR_INVALID,
                           "there is no precision \"%s\": auto, f32, f16, bf16, int8", value);
        options->precision_given = detector->precision != PRECISION_AUTO;
    } else if (strcmp(option, "--batch") == 0)
        return whole(option, value, 1, MODEL_ARGUMENTS_BATCH, &options->batch, why);
    else if (strcmp(option, "--threads") == 0)
        return whole(option, value, 1, MODEL_ARGUMENTS_THREADS, &options->threads, why);
    else if (strcmp(option, "--seconds") == 0) {
        char *end;
        options->seconds = strtod(value, &end);
        if (end == value || *end != '\0' ||
            !(options->seconds > 0.0 && options->seconds <= SECONDS_MAX))
            return why_set(why, ERR_INVALID,
                           "--seconds must be a number above 0 and at most %.0f, not \"%s\"",
                           SECONDS_MAX, value);
    } else if (strcmp(option, "--calibrate") == 0)
        options->calibrate = value;
    else if (strcmp(option, "--agreement") == 0)
        return whole(option, value, 1, 100, &options->agreement_percent, why);
    else /* -o, --output */
        options->output = value;
    return 0;
}

static int read_place(struct model_arguments *options, const char *value, struct why *why)
{
    if (options->action == NULL)
        options->action = value;
    else if (options->detector.model_path == NULL)
        options->detector.model_path = value;
    else if (strcmp(options->action, "compare") != 0)
        return why_set(why, ERR_INVALID, "\"%s\" is one file too many", value);
    else if (options->image_count == MODEL_ARGUMENTS_IMAGES)
        return why_set(why, ERR_INVALID, "more than %d pictures", MODEL_ARGUMENTS_IMAGES);
    else
        options->images[options->image_count++] = value;
    return 0;
}

/* `given`: a bit for each option. */
static int check_whole(const struct model_arguments *options, unsigned given, struct why *why)
{
    static const char *const ACTIONS[] = {"check", "bench", "compare", "quantize"};
    bool                     known     = false;

    if (options->action == NULL)
        return why_set(why, ERR_INVALID, "what shall be done with which model?");
    for (size_t i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++)
        known = known || strcmp(options->action, ACTIONS[i]) == 0;
    if (!known)
        return why_set(why, ERR_INVALID, "\"%s\" is none of check, bench, compare, quantize",
                       options->action);
    if (options->detector.model_path == NULL)
        return why_set(why, ERR_INVALID, "which model? Name its ONNX file");
    for (int i = 0; i < OPTION_COUNT; i++)
        if ((given >> i & 1U) != 0 && strstr(OPTIONS[i].actions, options->action) == NULL)
            return why_set(why, ERR_INVALID, "%s means nothing to %s: it is for %s",
                           OPTIONS[i].name, options->action, OPTIONS[i].actions);
    if (strcmp(options->action, "compare") == 0 && options->image_count == 0)
        return why_set(why, ERR_INVALID, "on which pictures? Name some files");
    if (strcmp(options->action, "quantize") == 0 && options->calibrate == NULL)
        return why_set(why, ERR_INVALID, "on which pictures? --calibrate FOLDER");
    return 0;
}

int model_arguments_parse(struct model_arguments *options, int argc, char **argv, struct why *why)
{
    unsigned given = 0;

    *options = (struct model_arguments){.threads = 1, .seconds = SECONDS_DEFAULT};
    for (int i = 1; i < argc; i++) {
        int rc, option;

        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            options->help = true;
            return 0;
        }
        if (strcmp(argv[i], "--json") == 0) {
            options->json = true;
            continue;
        }
        option = find_option(argv[i]);
        if (argv[i][0] != '-')
            rc = read_place(options, argv[i], why);
        else if (option < 0)
            rc = why_set(why, ERR_INVALID, "there is no option \"%s\"", argv[i]);
        else if (i + 1 == argc)
            rc = why_set(why, ERR_INVALID, "%s wants a value", argv[i]);
        else {
            rc = read_value(options, argv[i], argv[i + 1], why);
            given |= 1U << option;
            i++;
        }
        if (rc != 0)
            return rc;
    }
    options->detector.rules = options->rules;
    return check_whole(options, given, why);
}
