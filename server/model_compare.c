/* `sightline model compare FILE PICTURE...`: every backend and precision that this machine has, on
 * real pictures, against float32 on the processor: how far the outputs are from each other, and
 * whether the boxes that matter are the same, by the rule of gpu/quantize.h. */
#include "config/err.h"
#include "config/plural.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/quantize.h"
#include "server/model_tools.h"
#include "server/picture_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAYS_MAX       16
#define PICTURES_MAX   1024
#define VIDEO_PICTURES 64 /* of one file */

struct compare_way {
    const struct backend_ops *backend;
    enum precision            precision;
    struct detector_session  *session;
    double                    error_max;    /* of a number of any output */
    double                    relative_max; /* to the largest number of its output and picture */
    int                       wanted;       /* boxes of the reference above QUANTIZE_SCORE */
    int                       matched;
    int                       extra; /* boxes above QUANTIZE_SCORE that the reference has not */
    int64_t                   network_ns;
};

struct compare {
    struct detector         *detector;
    struct detector_session *reference;
    int                      way_count;
    struct compare_way       ways[WAYS_MAX];
    int                      picture_count;
    int64_t                  network_ns; /* of the reference */
    struct why               why;
};

static int64_t numbers_of(const struct model_tensor *output)
{
    int64_t count = 1;

    for (int i = 0; i < output->dimension_count; i++)
        count *= output->dimension[i];
    return count;
}

static int compare_outputs(struct compare *compare, struct compare_way *way)
{
    const struct model_info *info = detector_session_model(compare->reference, 0);

    if (info != detector_session_model(way->session, 0))
        return why_set(&compare->why, ERR_MEMORY, "%s cannot run the network at the size of %s",
                       way->backend->name, BACKEND_CPU.name);

    for (int i = 0; i < info->output_count; i++) {
        const float *a       = detector_session_output(compare->reference, 0, i);
        const float *b       = detector_session_output(way->session, 0, i);
        int64_t      count   = numbers_of(&info->output[i]);
        double       largest = 0, error = 0;

        for (int64_t n = 0; n < count; n++) {
            double difference = fabs((double)a[n] - (double)b[n]);

            /* What is no number in one and one in the other is as far as can be. */
            if (isnan(difference))
                difference = isnan(a[n]) && isnan(b[n]) ? 0 : INFINITY;
            error   = difference > error ? difference : error;
            largest = fabs((double)a[n]) > largest ? fabs((double)a[n]) : largest;
        }
        way->error_max = error > way->error_max ? error : way->error_max;
        if (largest > 0 && error / largest > way->relative_max)
            way->relative_max = error / largest;
    }
    return 0;
}

static bool has_partner(const struct box *box, const struct box *others, int count)
{
    for (int i = 0; i < count; i++)
        if (others[i].object_class == box->object_class &&
            others[i].score > QUANTIZE_PARTNER_SCORE && box_iou(&others[i], box) >= QUANTIZE_IOU)
            return true;
    return false;
}

static void compare_boxes(struct compare_way *way, const struct box *wanted, int wanted_count,
                          const struct box *got, int got_count)
{
    for (int i = 0; i < wanted_count; i++)
        if (wanted[i].score > QUANTIZE_SCORE) {
            way->wanted++;
            way->matched += has_partner(&wanted[i], got, got_count);
        }
    for (int i = 0; i < got_count; i++)
        way->extra += got[i].score > QUANTIZE_SCORE && !has_partner(&got[i], wanted, wanted_count);
}

static int on_picture(void *arg, struct frame *frame, int number)
{
    static struct box      wanted[1][LIMIT_BOXES], got[1][LIMIT_BOXES];
    struct compare        *compare = arg;
    struct detector_timing timing;
    int                    wanted_count, got_count;
    int rc = detector_session_run(compare->reference, &frame, 1, wanted, &wanted_count, &timing,
                                  &compare->why);

    (void)number;
    compare->network_ns += timing.network_ns;
    for (int i = 0; rc == 0 && i < compare->way_count; i++) {
        struct compare_way *way = &compare->ways[i];

        rc = detector_session_run(way->session, &frame, 1, got, &got_count, &timing, &compare->why);
        if (rc != 0)
            break;
        way->network_ns += timing.network_ns;
        if ((rc = compare_outputs(compare, way)) != 0)
            break;
        compare_boxes(way, wanted[0], wanted_count, got[0], got_count);
    }
    frame_unref(&frame);
    if (rc == 0 && ++compare->picture_count >= PICTURES_MAX)
        rc = why_set(&compare->why, ERR_LIMIT, "more than %d pictures", PICTURES_MAX);
    return rc;
}

/* Those that were asked for, or all but the reference itself. */
static int open_ways(struct compare *compare, const struct model_arguments *options)
{
    for (int i = 0; BACKENDS[i] != NULL; i++) {
        const struct backend_ops *backend = BACKENDS[i];
        struct why                why;

        if (options->backend_given && strcmp(backend->name, options->detector.backend) != 0)
            continue;
        if (!backend->available(&why))
            continue;
        for (int p = PRECISION_F32; p < PRECISION_COUNT && compare->way_count < WAYS_MAX; p++) {
            struct compare_way    *way      = &compare->ways[compare->way_count];
            enum precision         wanted   = options->detector.precision;
            struct runner_settings settings = {.precision = (enum precision)p};
            int                    rc;

            if (options->precision_given ? (int)wanted != p
                                         : backend == &BACKEND_CPU && p == PRECISION_F32)
                continue;
            rc = backend_supports(backend, detector_graph(compare->detector), &settings,
                                  &compare->why);
            if (rc != 0 && !options->precision_given)
                continue;
            if (rc == 0)
                rc = detector_session_open_on(&way->session, compare->detector, backend,
                                              (enum precision)p, &compare->why);
            if (rc != 0)
                return rc;
            detector_session_keep_outputs(way->session);
            way->backend   = backend;
            way->precision = (enum precision)p;
            compare->way_count++;
        }
    }
    return 0;
}

/* ---- what comes out ---- */

static double share(const struct compare_way *way)
{
    return way->wanted > 0 ? (double)way->matched / way->wanted : 1.0;
}

static void print_table(const struct compare *compare)
{
    double pictures = compare->picture_count;

    printf("%d picture%s; reference: cpu f32, %.2f ms a picture\n", compare->picture_count,
           plural((uint64_t)compare->picture_count), (double)compare->network_ns / 1e6 / pictures);
    if (compare->way_count == 0)
        printf("this machine has no other backend or precision for this model\n");
    else
        printf("%-8s %-9s %9s %11s %11s %15s %7s\n", "backend", "precision", "ms", "error",
               "relative", "boxes the same", "extra");
    for (int i = 0; i < compare->way_count; i++) {
        const struct compare_way *way = &compare->ways[i];

        printf("%-8s %-9s %9.2f %11.3g %11.3g %6d of %-5d %6.2f %% %d\n", way->backend->name,
               precision_name(way->precision), (double)way->network_ns / 1e6 / pictures,
               way->error_max, way->relative_max, way->matched, way->wanted, 100 * share(way),
               way->extra);
    }
}

static int print_compare_json(const struct compare *compare, const struct model_arguments *options)
{
    struct json_writer json;
    double             pictures = compare->picture_count;

    json_init(&json, MODEL_JSON_MAX_BYTES);
    json_begin_object(&json);
    json_key(&json, "model");
    json_put_string(&json, options->detector.model_path);
    json_key(&json, "pictures");
    json_put_int(&json, compare->picture_count);
    json_key(&json, "reference_ms");
    json_put_fixed(&json, (double)compare->network_ns / 1e6 / pictures, 4);
    json_key(&json, "rows");
    json_begin_array(&json);
    for (int i = 0; i < compare->way_count; i++) {
        const struct compare_way *way = &compare->ways[i];

        json_begin_object(&json);
        json_key(&json, "backend");
        json_put_string(&json, way->backend->name);
        json_key(&json, "precision");
        json_put_string(&json, precision_name(way->precision));
        json_key(&json, "ms");
        json_put_fixed(&json, (double)way->network_ns / 1e6 / pictures, 4);
        json_key(&json, "error_max");
        json_put_fixed(&json, way->error_max, 9);
        json_key(&json, "relative_error_max");
        json_put_fixed(&json, way->relative_max, 9);
        json_key(&json, "boxes");
        json_put_int(&json, way->wanted);
        json_key(&json, "boxes_matched");
        json_put_int(&json, way->matched);
        json_key(&json, "boxes_extra");
        json_put_int(&json, way->extra);
        json_key(&json, "share");
        json_put_fixed(&json, share(way), 5);
        json_end_object(&json);
    }
    json_end_array(&json);
    json_end_object(&json);
    return model_print_json(&json);
}

static int compare_all(struct compare *compare, const struct model_arguments *options)
{
    int rc = detector_open(&compare->detector, &options->detector, &compare->why);

    if (rc == 0)
        rc = detector_session_open_on(&compare->reference, compare->detector, &BACKEND_CPU,
                                      PRECISION_F32, &compare->why);
    if (rc == 0)
        rc = open_ways(compare, options);
    for (int i = 0; rc == 0 && i < options->image_count; i++)
        rc = picture_file_read(options->images[i], VIDEO_PICTURES, on_picture, compare,
                               &compare->why);
    return rc;
}

int model_compare(const struct model_arguments *options)
{
    static struct compare compare;
    int                   rc = compare_all(&compare, options), code = 0;

    if (rc != 0)
        code = model_fail(&compare.why);
    else if (options->json)
        code = print_compare_json(&compare, options);
    else
        print_table(&compare);
    for (int i = 0; i < compare.way_count; i++)
        detector_session_close(&compare.ways[i].session);
    detector_session_close(&compare.reference);
    detector_close(&compare.detector);
    return code;
}
