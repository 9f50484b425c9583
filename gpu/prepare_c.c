/* The plain kernels of gpu/prepare.c: what the fast ones are measured against, bit for bit. */
#include <math.h>
#include <stddef.h>

#include "gpu/prepare_kernels.h"

static bool available_c(void)
{
    return true;
}

static void filter_row_c(const struct row_filter *filter, const uint8_t *source, int16_t *output)
{
    int taps = ROW_QUAD_TAPS * filter->quads;

    /* A picture narrower than the padded taps: those past its edge have no weight. */
    if (taps > filter->source_px)
        taps = filter->source_px;
    for (int i = 0; i < filter->output_px; i++) {
        size_t         group = (size_t)(i / ROW_GROUP_PX), lane = (size_t)(i % ROW_GROUP_PX);
        const uint8_t *weights = filter->weights +
                                 (group * (size_t)filter->quads * ROW_GROUP_PX + lane) *
                                     ROW_QUAD_TAPS;
        const uint8_t *pixels = source + filter->start[i];
        int            sum    = 0;

        for (int tap = 0; tap < taps; tap++) {
            size_t quad = (size_t)(tap / ROW_QUAD_TAPS) * ROW_GROUP_PX;

            sum += weights[quad * ROW_QUAD_TAPS + (size_t)(tap % ROW_QUAD_TAPS)] *
                   (pixels[tap] - 128);
        }
        output[i] = (int16_t)sum;
    }
}

static void blend_c(const struct blend_rows rows[3], const struct colour_matrix *matrix,
                    int count_px, float *const channel[3])
{
    for (int x = 0; x < count_px; x++) {
        float value[3];

        for (int k = 0; k < 3; k++) {
            int32_t sum = 0;

            for (int tap = 0; tap < rows[k].taps; tap++)
                sum += rows[k].weights[tap] * rows[k].rows[tap][x];
            value[k] = (float)sum;
        }
        for (int c = 0; c < 3; c++) {
            const float *coefficient = matrix->coefficient[c];
            float        sum         = fmaf(coefficient[0], value[0], matrix->offset[c]);

            sum           = fmaf(coefficient[1], value[1], sum);
            sum           = fmaf(coefficient[2], value[2], sum);
            sum           = sum > matrix->low[c] ? sum : matrix->low[c];
            channel[c][x] = sum < matrix->high[c] ? sum : matrix->high[c];
        }
    }
}

static void filter_rows_c(const struct row_filter *filter, const uint8_t *const *source,
                          int16_t *const *output, int count)
{
    for (int i = 0; i < count; i++)
        filter_row_c(filter, source[i], output[i]);
}

static void split_pairs_c(const uint8_t *source, int count_px, uint8_t *first, uint8_t *second)
{
    for (int i = 0; i < count_px; i++) {
        first[i]  = source[0];
        second[i] = source[1];
        source += 2;
    }
}

static void split_triples_c(const uint8_t *source, int count_px, uint8_t *const parts[3])
{
    for (int i = 0; i < count_px; i++) {
        parts[0][i] = source[0];
        parts[1][i] = source[1];
        parts[2][i] = source[2];
        source += 3;
    }
}

const struct prepare_kernels PREPARE_C = {
    .name          = "c",
    .lane_px       = ROW_GROUP_PX,
    .available     = available_c,
    .filter_rows   = filter_rows_c,
    .blend         = blend_c,
    .split_pairs   = split_pairs_c,
    .split_triples = split_triples_c,
};
