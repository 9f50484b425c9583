/* `sightline model check FILE`: everything there is to know of a model, and all that is missing. */
#include "config/err.h"
#include "config/plural.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/head.h"
#include "gpu/model_about.h"
#include "server/model_tools.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIB (1024.0 * 1024.0)

/* What a backend does with the model in one precision. */
struct check_way {
    const struct backend_ops *backend;
    enum precision            precision;
    bool                      possible;
    struct why                why; /* when it is not */
};

#define WAYS_MAX 16

struct check {
    struct model_about        about;
    const struct model_info  *info;     /* NULL: it cannot be loaded */
    struct model             *model;    /* owned when there is no detector */
    struct detector          *detector; /* NULL: it has no head, or no classes */
    bool                      usable;
    struct why                problem; /* when it is not */
    const struct backend_ops *backend; /* the one that is chosen; NULL: none */
    enum precision            precision;
    int64_t                   arena_bytes; /* 0: not known */
    int                       way_count;
    struct check_way          ways[WAYS_MAX];
};

static void try_ways(struct check *check, const struct model *model)
{
    for (int i = 0; BACKENDS[i] != NULL; i++) {
        struct why reason = {""};
        bool       there  = BACKENDS[i]->available(&reason);

        for (int p = PRECISION_F32; p < PRECISION_COUNT && check->way_count < WAYS_MAX; p++) {
            struct runner_settings settings = {.precision = (enum precision)p};
            struct check_way      *way      = &check->ways[check->way_count++];

            *way = (struct check_way){
                .backend = BACKENDS[i], .precision = (enum precision)p, .why = reason};
            way->possible = there &&
                            backend_supports(BACKENDS[i], model, &settings, &way->why) == 0;
            if (!there)
                break;
        }
    }
}

/* Opened once, as a worker would: what is chosen, and what it takes. */
static bool try_runner(struct check *check, const struct model *model,
                       const struct model_arguments *options)
{
    struct runner_settings    settings = {.precision = options->detector.precision};
    struct runner            *runner   = NULL;
    const struct backend_ops *backend  = backend_find(options->detector.backend, &check->problem);

    if (backend == NULL || backend->open(&runner, model, &settings, &check->problem) != 0)
        return false;
    check->backend   = backend;
    check->precision = runner_precision(runner);
    if (backend == &BACKEND_CPU)
        check->arena_bytes = backend_cpu_arena_bytes(runner);
    backend->close(&runner);
    return true;
}

static void look(struct check *check, const struct model_arguments *options)
{
    const struct model *model;
    struct why          ignored;

    if (model_about_read(&check->about, options->detector.model_path, &check->problem) != 0)
        return;
    if (detector_open(&check->detector, &options->detector, &check->problem) == 0) {
        check->info = detector_model(check->detector);
        model       = detector_graph(check->detector);
        try_ways(check, model);
        check->usable = try_runner(check, model, options);
        return;
    }
    /* No detector, but perhaps a network that can be run. */
    if (model_load(&check->model, options->detector.model_path, &ignored) == 0) {
        check->info = model_info(check->model);
        try_ways(check, check->model);
    }
}

/* ---- for people ---- */

/* As it is here, where the file leaves sizes open. */
static void print_shape(const struct model_tensor *tensor)
{
    for (int i = 0; i < tensor->dimension_count; i++)
        printf("%s%" PRId64, i > 0 ? "x" : "", tensor->dimension[i]);
}

static void print_file(const struct check *check)
{
    const struct model_about *about = &check->about;

    printf("  made by     %s, opset %" PRId64 ", IR %" PRId64 ", %.1f MiB\n",
           about->producer[0] != '\0' ? about->producer : "(not said)", about->opset,
           about->ir_version, (double)about->file_bytes / MIB);
    for (int i = 0; i < about->input_count; i++)
        printf("  %s %s %s %s\n", i == 0 ? "input      " : "           ", about->input[i].name,
               about->input[i].shape, about->input[i].type);
    for (int i = 0; i < about->output_count; i++)
        printf("  %s %s %s %s\n", i == 0 ? "outputs    " : "           ", about->output[i].name,
               about->output[i].shape, about->output[i].type);
    if (check->info != NULL && (strchr(about->input[0].shape, '?') != NULL ||
                                strchr(about->output[0].shape, '?') != NULL)) {
        printf("  here        ");
        print_shape(&check->info->input);
        printf(" in, ");
        for (int i = 0; i < check->info->output_count; i++) {
            printf("%s", i > 0 ? ", " : "");
            print_shape(&check->info->output[i]);
        }
        printf(" out\n");
    }
    printf("  operators   %" PRId64 ":", about->node_count);
    for (int i = 0; i < about->operator_count; i++)
        printf("%s %d %s%s", i > 0 ? "," : "", about->operators[i].count, about->operators[i].name,
               about->operators[i].known ? "" : " (unknown)");
    printf("\n");
}

static const char *fit_name(enum prepare_fit fit)
{
    return fit == PREPARE_TOP_LEFT ? "top left" : fit == PREPARE_CENTRED ? "centred" : "stretched";
}

static void print_head(const struct detector *detector, const struct model_arguments *options)
{
    const struct head             *head  = detector_head(detector);
    const struct prepare_settings *input = &head->input;
    bool named = options->detector.head != NULL && strcmp(options->detector.head, "auto") != 0;

    printf("  head        %s, %s\n", head->ops->name,
           named ? "as named" : "recognised from the outputs");
    if (head->note[0] != '\0')
        printf("              note: %s\n", head->note);
    printf("  pictures    %dx%d, %s, %s%s", input->width_px, input->height_px,
           input->rgb ? "red green blue" : "blue green red", fit_name(input->fit),
           input->fit == PREPARE_STRETCH ? "" : ", ");
    if (input->fit != PREPARE_STRETCH)
        printf("padded with %.0f", (double)input->pad);
    printf("; (colour - %.4g) / %.4g", (double)input->mean[0], 1.0 / (double)input->scale[0]);
    printf("%s\n",
           input->mean[0] < input->mean[1] || input->mean[0] > input->mean[1] ? " and so on" : "");
    if (detector_is_shaped(detector))
        printf("              or as many pixels in the shape of each camera's picture\n");
}

static void print_classes(const struct detector *detector)
{
    const struct class_map   *classes = detector_classes(detector);
    const struct class_names *names   = detector_class_names(detector);

    printf("  classes     %d, of which %d %s counted:", classes->count, classes->counted_count,
           classes->counted_count == 1 ? "is" : "are");
    for (int i = 0; i < classes->counted_count; i++) {
        int         number = classes->counted[i];
        const char *ours   = object_class_name((enum object_class)classes->object_class[number]);

        if (strcmp(names->name[number], ours) == 0)
            printf("%s %s", i > 0 ? "," : "", ours);
        else
            printf("%s %s as %s", i > 0 ? "," : "",
                   names->name[number][0] != '\0' ? names->name[number] : "(no name)", ours);
    }
    printf("\n");
}

static void print_ways(const struct check *check)
{
    for (int i = 0; i < check->way_count; i++) {
        const struct check_way *way    = &check->ways[i];
        bool                    chosen = way->backend == check->backend && way->possible &&
                      way->precision == check->precision;

        printf("  %s %-4s %-5s", i == 0 ? "runs on    " : "           ", way->backend->name,
               way->possible || way->precision > PRECISION_F32 ? precision_name(way->precision)
                                                               : "");
        if (way->possible)
            printf("%s\n", chosen ? "yes, chosen" : "yes");
        else
            printf("no: %s\n", way->why.text);
    }
}

static void print_cost(const struct check *check)
{
    printf("  cost        %.2f GFLOP and %.2f M parameters; memory %.1f MiB of weights",
           2e-9 * (double)check->info->multiply_adds, 1e-6 * (double)check->info->parameters,
           4.0 * (double)check->info->parameters / MIB);
    if (check->arena_bytes > 0)
        printf(" and %.1f MiB for each worker", (double)check->arena_bytes / MIB);
    printf("\n");
}

static void print_missing(const struct check *check)
{
    printf("  cannot be used: %s\n", check->problem.text);
    for (int i = 0; i < check->about.operator_count; i++)
        if (!check->about.operators[i].known)
            printf("  unknown     %s (%d time%s): %s\n", check->about.operators[i].name,
                   check->about.operators[i].count,
                   plural((uint64_t)check->about.operators[i].count),
                   check->about.operators[i].advice);
}

static void print_check(const struct check *check, const struct model_arguments *options)
{
    printf("%s\n", options->detector.model_path);
    if (check->about.node_count > 0)
        print_file(check);
    if (check->detector != NULL) {
        print_head(check->detector, options);
        print_classes(check->detector);
    }
    if (check->info != NULL) {
        print_cost(check);
        print_ways(check);
    }
    if (!check->usable)
        print_missing(check);
}

/* ---- for programs ---- */

static void put_tensors(struct json_writer *json, const char *key,
                        const struct model_about_tensor *tensors, int count)
{
    json_key(json, key);
    json_begin_array(json);
    for (int i = 0; i < count; i++) {
        json_begin_object(json);
        json_key(json, "name");
        json_put_string(json, tensors[i].name);
        json_key(json, "shape");
        json_put_string(json, tensors[i].shape);
        json_key(json, "type");
        json_put_string(json, tensors[i].type);
        json_end_object(json);
    }
    json_end_array(json);
}

static void put_file(struct json_writer *json, const struct model_about *about)
{
    json_key(json, "producer");
    json_put_string(json, about->producer);
    json_key(json, "opset");
    json_put_int(json, about->opset);
    json_key(json, "file_bytes");
    json_put_int(json, about->file_bytes);
    put_tensors(json, "inputs", about->input, about->input_count);
    put_tensors(json, "outputs", about->output, about->output_count);
    json_key(json, "operators");
    json_begin_array(json);
    for (int i = 0; i < about->operator_count; i++) {
        json_begin_object(json);
        json_key(json, "name");
        json_put_string(json, about->operators[i].name);
        json_key(json, "count");
        json_put_int(json, about->operators[i].count);
        json_key(json, "known");
        json_put_bool(json, about->operators[i].known);
        if (!about->operators[i].known) {
            json_key(json, "advice");
            json_put_string(json, about->operators[i].advice);
        }
        json_end_object(json);
    }
    json_end_array(json);
}

static void put_detector(struct json_writer *json, const struct detector *detector)
{
    const struct head        *head    = detector_head(detector);
    const struct class_map   *classes = detector_classes(detector);
    const struct class_names *names   = detector_class_names(detector);

    json_key(json, "head");
    json_put_string(json, head->ops->name);
    json_key(json, "note");
    json_put_string(json, head->note);
    json_key(json, "input");
    json_begin_object(json);
    json_key(json, "width");
    json_put_int(json, head->input.width_px);
    json_key(json, "height");
    json_put_int(json, head->input.height_px);
    json_key(json, "shape");
    json_put_string(json, detector_is_shaped(detector) ? "picture" : "fixed");
    json_key(json, "colors");
    json_put_string(json, head->input.rgb ? "rgb" : "bgr");
    json_key(json, "fit");
    json_put_string(json, head->input.fit == PREPARE_TOP_LEFT  ? "top_left"
                          : head->input.fit == PREPARE_CENTRED ? "centred"
                                                               : "stretch");
    json_end_object(json);
    json_key(json, "class_count");
    json_put_int(json, classes->count);
    json_key(json, "classes");
    json_begin_object(json);
    for (int i = 0; i < classes->counted_count; i++) {
        int  number = classes->counted[i];
        char key[16];

        snprintf(key, sizeof key, "%d", number);
        json_key(json, names->name[number][0] != '\0' ? names->name[number] : key);
        json_put_string(json, object_class_name((enum object_class)classes->object_class[number]));
    }
    json_end_object(json);
}

static void put_ways(struct json_writer *json, const struct check *check)
{
    json_key(json, "gflop");
    json_put_fixed(json, 2e-9 * (double)check->info->multiply_adds, 4);
    json_key(json, "parameters");
    json_put_int(json, check->info->parameters);
    json_key(json, "worker_bytes");
    json_put_int(json, check->arena_bytes);
    json_key(json, "runs_on");
    json_begin_array(json);
    for (int i = 0; i < check->way_count; i++) {
        const struct check_way *way = &check->ways[i];

        json_begin_object(json);
        json_key(json, "backend");
        json_put_string(json, way->backend->name);
        json_key(json, "precision");
        json_put_string(json, precision_name(way->precision));
        json_key(json, "possible");
        json_put_bool(json, way->possible);
        json_key(json, "chosen");
        json_put_bool(json, way->possible && way->backend == check->backend &&
                                way->precision == check->precision);
        if (!way->possible) {
            json_key(json, "reason");
            json_put_string(json, way->why.text);
        }
        json_end_object(json);
    }
    json_end_array(json);
}

static int print_check_json(const struct check *check, const struct model_arguments *options)
{
    struct json_writer json;

    json_init(&json, MODEL_JSON_MAX_BYTES);
    json_begin_object(&json);
    json_key(&json, "file");
    json_put_string(&json, options->detector.model_path);
    json_key(&json, "usable");
    json_put_bool(&json, check->usable);
    json_key(&json, "problem");
    if (check->usable)
        json_put_null(&json);
    else
        json_put_string(&json, check->problem.text);
    if (check->about.node_count > 0)
        put_file(&json, &check->about);
    if (check->detector != NULL)
        put_detector(&json, check->detector);
    if (check->info != NULL)
        put_ways(&json, check);
    json_end_object(&json);
    return model_print_json(&json);
}

int model_check(const struct model_arguments *options)
{
    static struct check check;
    int                 rc = 0;

    look(&check, options);
    if (options->json)
        rc = print_check_json(&check, options);
    else
        print_check(&check, options);
    if (!check.usable)
        rc = 1;
    detector_close(&check.detector);
    model_close(&check.model);
    return rc;
}
