/* The filters of gpu/prepare.c: which source pixels make an output pixel, with integer weights. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "config/assert.h"
#include "config/err.h"
#include "gpu/prepare_kernels.h"

/* From this shrink on two taps would skip source pixels, so every one is averaged instead. */
#define AREA_FROM_SCALE 2.0

/* The exact taps of one output. */
struct taps {
    int     first;
    int     count;
    double *weight; /* sum 1 */
};

static int  taps_limit(double scale);
static void taps_of(struct taps *taps, int source_px, double scale, int output);
static void row_tables(struct row_filter *filter);

/* Rounds the running sum, not each weight: the integers add up to `sum`, and a flat or slowly
 * changing picture comes out exact however many taps there are. */
static int quantised(const struct taps *taps, int sum, int tap, double *running)
{
    double before = *running;

    *running += taps->weight[tap];
    return (int)(lround(*running * sum) - lround(before * sum));
}

int row_filter_open(struct row_filter *filter, int source_px, int output_px, double scale,
                    const struct prepare_kernels *kernels)
{
    struct taps taps = {.weight = calloc((size_t)taps_limit(scale), sizeof *taps.weight)};
    size_t      outputs, lanes;
    int         most = 1;

    ASSERT(source_px >= 1 && output_px >= 1);
    *filter = (struct row_filter){.source_px = source_px, .output_px = output_px};
    if (taps.weight == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < output_px; i++) {
        taps_of(&taps, source_px, scale, i);
        most = taps.count > most ? taps.count : most;
    }
    filter->quads        = (most + ROW_QUAD_TAPS - 1) / ROW_QUAD_TAPS;
    filter->groups       = (output_px + 2 * ROW_GROUP_PX - 1) / (2 * ROW_GROUP_PX) * 2;
    filter->lane_px      = kernels->lane_px;
    filter->window_bytes = kernels->window_bytes_max;
    outputs              = (size_t)filter->groups * ROW_GROUP_PX;
    lanes                = outputs / (size_t)filter->lane_px;
    filter->start        = calloc(outputs, sizeof *filter->start);
    filter->weights      = calloc(outputs * (size_t)filter->quads, ROW_QUAD_TAPS);
    filter->window       = calloc(lanes * (size_t)filter->quads, sizeof *filter->window);
    filter->shuffle      = calloc(outputs * (size_t)filter->quads, ROW_QUAD_TAPS);
    if (filter->start == NULL || filter->weights == NULL || filter->window == NULL ||
        filter->shuffle == NULL) {
        free(taps.weight);
        row_filter_close(filter);
        return ERR_MEMORY;
    }
    for (int i = 0; i < (int)outputs; i++) {
        int    readable, start;
        double running = 0.0;

        /* The outputs past the end repeat the last place with no weight: they are never stored. */
        taps_of(&taps, source_px, scale, i < output_px ? i : output_px - 1);
        readable         = source_px - ROW_QUAD_TAPS * filter->quads;
        start            = taps.first < readable ? taps.first : readable;
        start            = start > 0 ? start : 0;
        filter->start[i] = start;
        for (int tap = 0; i < output_px && tap < taps.count; tap++) {
            int    place = taps.first + tap - start;
            size_t group = (size_t)(i / ROW_GROUP_PX), lane = (size_t)(i % ROW_GROUP_PX);
            size_t quad = group * (size_t)filter->quads + (size_t)(place / ROW_QUAD_TAPS);

            filter->weights[(quad * ROW_GROUP_PX + lane) * ROW_QUAD_TAPS +
                            (size_t)(place % ROW_QUAD_TAPS)] = (uint8_t)quantised(&taps,
                                                                                  ROW_WEIGHT_SUM,
                                                                                  tap, &running);
        }
    }
    free(taps.weight);
    if (filter->window_bytes > 0)
        row_tables(filter);
    return 0;
}

void row_filter_close(struct row_filter *filter)
{
    free(filter->start);
    free(filter->weights);
    free(filter->window);
    free(filter->shuffle);
    *filter = (struct row_filter){0};
}

int column_filter_open(struct column_filter *filter, int source_px, int output_px, double scale)
{
    struct taps taps = {.weight = calloc((size_t)taps_limit(scale), sizeof *taps.weight)};
    int         most = 1;

    ASSERT(source_px >= 1 && output_px >= 1);
    *filter = (struct column_filter){.source_px = source_px, .output_px = output_px};
    if (taps.weight == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < output_px; i++) {
        taps_of(&taps, source_px, scale, i);
        most = taps.count > most ? taps.count : most;
    }
    filter->taps    = (most + 1) / 2 * 2;
    filter->start   = calloc((size_t)output_px, sizeof *filter->start);
    filter->weights = calloc((size_t)output_px * (size_t)filter->taps, sizeof *filter->weights);
    if (filter->start == NULL || filter->weights == NULL) {
        free(taps.weight);
        column_filter_close(filter);
        return ERR_MEMORY;
    }
    for (int i = 0; i < output_px; i++) {
        double running = 0.0;
        int    start, last = source_px - filter->taps;

        taps_of(&taps, source_px, scale, i);
        start            = taps.first < last ? taps.first : last;
        start            = start > 0 ? start : 0;
        filter->start[i] = start;
        for (int tap = 0; tap < taps.count; tap++) {
            size_t place = (size_t)i * (size_t)filter->taps + (size_t)(taps.first + tap - start);

            filter->weights[place] = (int16_t)quantised(&taps, COLUMN_WEIGHT_SUM, tap, &running);
        }
    }
    free(taps.weight);
    return 0;
}

void column_filter_close(struct column_filter *filter)
{
    free(filter->start);
    free(filter->weights);
    *filter = (struct column_filter){0};
}

static int taps_limit(double scale)
{
    return scale < AREA_FROM_SCALE ? 2 : (int)ceil(scale) + 2;
}

static void bilinear_taps(struct taps *taps, int source_px, double scale, int output)
{
    double centre   = (output + 0.5) * scale - 0.5;
    double last     = source_px - 1;
    double within   = centre < 0.0 ? 0.0 : centre > last ? last : centre;
    double fraction = within - floor(within);

    taps->first     = (int)floor(within);
    taps->weight[0] = 1.0 - fraction;
    taps->weight[1] = fraction;
    taps->count     = fraction > 0.0 ? 2 : 1;
}

static void area_taps(struct taps *taps, int source_px, double scale, int output)
{
    double from = output * scale, to = (output + 1) * scale, sum = 0.0;

    to          = to < source_px ? to : source_px;
    from        = from < to - 1e-6 ? from : to - 1e-6;
    taps->first = (int)floor(from);
    taps->count = 0;
    for (int source = taps->first; source < to; source++) {
        double covered = (source + 1 < to ? source + 1 : to) - (source > from ? source : from);

        /* Less than a hundredth of the smallest integer weight: rounding of `scale`. */
        if (covered < 1e-6 * scale && taps->count > 0)
            break;
        ASSERT(taps->count < taps_limit(scale));
        taps->weight[taps->count++] = covered;
        sum += covered;
    }
    for (int tap = 0; tap < taps->count; tap++)
        taps->weight[tap] /= sum;
}

static void taps_of(struct taps *taps, int source_px, double scale, int output)
{
    if (scale < AREA_FROM_SCALE)
        bilinear_taps(taps, source_px, scale, output);
    else
        area_taps(taps, source_px, scale, output);
}

/* Windows and shuffles; window_bytes becomes 0 where a lane's pixels lie too far apart. */
static void row_tables(struct row_filter *filter)
{
    int lanes          = filter->groups * ROW_GROUP_PX / filter->lane_px;
    int lanes_in_group = ROW_GROUP_PX / filter->lane_px;
    int widest         = 0;

    for (int lane = 0; lane < lanes; lane++) {
        const int32_t *start = filter->start + (ptrdiff_t)lane * filter->lane_px;
        int            span  = start[filter->lane_px - 1] - start[0] + ROW_QUAD_TAPS;

        widest = span > widest ? span : widest;
    }
    if (2 * widest <= filter->window_bytes)
        filter->window_bytes /= 2; /* every kernel has a shorter way for half of it */
    if (widest > filter->window_bytes) {
        filter->window_bytes = 0;
        return;
    }
    for (int step = 0; step < lanes * filter->quads; step++) {
        int      group   = step / (lanes_in_group * filter->quads);
        int      quad    = step / lanes_in_group % filter->quads;
        int      lane    = step % lanes_in_group;
        int      first   = group * ROW_GROUP_PX + lane * filter->lane_px;
        int      base    = filter->start[first] + ROW_QUAD_TAPS * quad;
        int      last    = filter->source_px - filter->window_bytes;
        uint8_t *shuffle = filter->shuffle + (ptrdiff_t)step * filter->lane_px * ROW_QUAD_TAPS;

        base                 = base < last ? base : last;
        base                 = base > 0 ? base : 0;
        filter->window[step] = base;
        for (int i = 0; i < filter->lane_px * ROW_QUAD_TAPS; i++)
            shuffle[i] = (uint8_t)(filter->start[first + i / ROW_QUAD_TAPS] + ROW_QUAD_TAPS * quad +
                                   i % ROW_QUAD_TAPS - base);
    }
}
