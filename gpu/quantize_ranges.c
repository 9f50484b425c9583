/* The least, the greatest and the mean of every channel of every picture between the layers. */
#include "config/err.h"
#include "gpu/cpu/backend_cpu.h"
#include "gpu/quantize_internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES_MAX ((size_t)256 << 20)

/* The one whose session runs on this thread: a backend's functions have no other way to know. */
static _Thread_local struct quantizer *seeing;

static struct quantize_range *find_range(struct quantizer *q, const struct backend_cpu_value *value)
{
    struct quantize_range *range = q->ranges;

    for (int i = 0; i < q->range_count; i++, range++)
        if (strcmp(range->name, value->name) == 0)
            return range->channels == value->channels ? range : NULL;
    if (q->range_count == LIMIT_MODEL_NODES)
        return NULL;
    range->name     = value->name;
    range->channels = value->channels;
    size_t channels = (size_t)value->channels;
    range->low      = graph_memory_alloc(&q->memory, channels, sizeof *range->low);
    range->high     = graph_memory_alloc(&q->memory, channels, sizeof *range->high);
    range->now_low  = graph_memory_alloc(&q->memory, channels, sizeof *range->now_low);
    range->now_high = graph_memory_alloc(&q->memory, channels, sizeof *range->now_high);
    range->low_sum  = graph_memory_alloc(&q->memory, channels, sizeof *range->low_sum);
    range->high_sum = graph_memory_alloc(&q->memory, channels, sizeof *range->high_sum);
    range->mean_sum = graph_memory_alloc(&q->memory, channels, sizeof *range->mean_sum);
    if (range->low == NULL || range->high == NULL || range->now_low == NULL ||
        range->now_high == NULL || range->low_sum == NULL || range->high_sum == NULL ||
        range->mean_sum == NULL) {
        q->out_of_memory = true;
        return NULL;
    }
    range->convolution = value->convolution;
    range->input       = q->range_count == 0; /* it is shown first */
    q->range_count++;
    return range;
}

static void see_channel(struct quantize_range *range, const struct backend_cpu_value *value,
                        int64_t channel)
{
    const float *x = value->numbers + channel / value->lanes * value->pixels * value->lanes +
                     channel % value->lanes;
    float  low = 0, high = 0;
    double sum = 0;

    for (int64_t i = 0; i < value->pixels; i++, x += value->lanes) {
        low  = fminf(low, *x);
        high = fmaxf(high, *x);
        sum += (double)*x;
    }
    range->now_low[channel]  = low;
    range->now_high[channel] = high;
    range->mean_sum[channel] += sum / (double)value->pixels;
}

static void see(void *context, const struct backend_cpu_value *value)
{
    struct quantize_range *range;

    /* A name is a line's end in the text: one with a line break cannot stand there. */
    if (value->name == NULL || value->name[0] == '\0' || strchr(value->name, '\n') != NULL ||
        value->channels > LIMIT_CALIBRATION_CHANNELS)
        return;
    range = find_range(context, value);
    for (int64_t c = 0; range != NULL && c < value->channels; c++)
        see_channel(range, value, c);
}

static int run_seeing(struct runner *runner, const float *input, int batch, struct why *why)
{
    (void)batch;
    backend_cpu_observe(runner, input, see, seeing);
    return seeing->out_of_memory
               ? why_set(why, ERR_MEMORY, "out of memory for the ranges of the layers")
               : 0;
}

static int open_seeing(struct runner **out, const struct model *model,
                       const struct runner_settings *settings, struct why *why)
{
    (void)settings;
    return backend_cpu_open_observed(out, model, why);
}

int quantize_ranges_open(struct quantizer *q, struct detector_session **session)
{
    q->memory.max_bytes = MEMORY_BYTES_MAX;
    q->ranges           = graph_memory_alloc(&q->memory, LIMIT_MODEL_NODES, sizeof *q->ranges);
    if (q->ranges == NULL)
        return why_set(q->why, ERR_MEMORY, "out of memory for the ranges of the layers");
    q->seeing_ops      = BACKEND_CPU;
    q->seeing_ops.open = open_seeing;
    q->seeing_ops.run  = run_seeing;
    seeing             = q;
    return detector_session_open_on(session, q->detector, &q->seeing_ops, PRECISION_F32, q->why);
}

void quantize_ranges_next(struct quantizer *q)
{
    for (int i = 0; i < q->range_count; i++) {
        struct quantize_range *range = &q->ranges[i];
        for (int64_t c = 0; c < range->channels; c++) {
            range->low[c]  = fminf(range->low[c], range->now_low[c]);
            range->high[c] = fmaxf(range->high[c], range->now_high[c]);
            range->low_sum[c] += (double)range->now_low[c];
            range->high_sum[c] += (double)range->now_high[c];
        }
    }
    q->pictures++;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct calibrated *)a)->name, ((const struct calibrated *)b)->name);
}

static int finish_range(const struct quantizer *q, const struct quantize_range *range, float width,
                        struct calibration *calibration)
{
    struct calibrated *value    = &calibration->values[calibration->count];
    size_t             channels = (size_t)range->channels;

    /* The bytes of a picture stay what they are only in their own range. */
    if (range->input)
        width = 1;
    value->name     = range->name;
    value->channels = (int)range->channels;
    value->low      = graph_memory_alloc(&calibration->memory, channels, sizeof(float));
    value->high     = graph_memory_alloc(&calibration->memory, channels, sizeof(float));
    value->mean     = graph_memory_alloc(&calibration->memory, channels, sizeof(float));
    if (value->low == NULL || value->high == NULL || value->mean == NULL)
        return ERR_MEMORY;
    for (size_t c = 0; c < channels; c++) {
        float low  = (float)(range->low_sum[c] / q->pictures);
        float high = (float)(range->high_sum[c] / q->pictures);
        low += width * (range->low[c] - low);
        high += width * (range->high[c] - high);
        value->low[c]  = fmaxf(low, -LIMIT_CALIBRATION_RANGE);
        value->high[c] = fminf(high, LIMIT_CALIBRATION_RANGE);
        value->mean[c] = (float)(range->mean_sum[c] / q->pictures);
        value->mean[c] = fminf(fmaxf(value->mean[c], value->low[c]), value->high[c]);
    }
    calibration->count++;
    return 0;
}

int quantize_ranges_finish(struct quantizer *q, float width, struct calibration *calibration)
{
    struct calibration exact = {.memory = {.max_bytes = MEMORY_BYTES_MAX}};
    char              *text  = NULL;
    int                rc    = 0;

    memset(calibration, 0, sizeof *calibration);
    exact.values = graph_memory_alloc(&exact.memory, (size_t)q->range_count, sizeof *exact.values);
    if (exact.values == NULL)
        rc = ERR_MEMORY;
    for (int i = 0; rc == 0 && i < q->range_count; i++)
        rc = finish_range(q, &q->ranges[i], width, &exact);
    if (rc == 0) {
        qsort(exact.values, (size_t)exact.count, sizeof *exact.values, by_name);
        text = calibration_text(&exact);
        rc   = text != NULL ? 0 : ERR_MEMORY;
    }
    if (rc != 0)
        why_set(q->why, rc, "out of memory for the ranges of the layers");
    else
        rc = calibration_parse(calibration, text, q->why);
    free(text);
    calibration_free(&exact);
    return rc;
}

bool quantize_is_layer(const struct quantizer *q, const char *name)
{
    for (int i = 0; i < q->range_count; i++)
        if (strcmp(q->ranges[i].name, name) == 0)
            return q->ranges[i].convolution;
    return false;
}

void quantize_ranges_free(struct quantizer *q)
{
    graph_memory_free(&q->memory);
    seeing = NULL;
}
