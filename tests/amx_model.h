/* tests/amx_model.h: the tile instructions of AMX in C, after the manual of the instruction set, for
 * machines that lack them: what gpu/cpu/bf16_tiles.h is compiled with in a test.
 *
 * What the instructions would refuse (a tile that is not configured, rows that do not fit together)
 * is counted in amx_faults. Their rounding: products and sums to nearest even, one after the other,
 * denormal numbers are 0. */
#ifndef SIGHTLINE_TESTS_AMX_MODEL_H
#define SIGHTLINE_TESTS_AMX_MODEL_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct amx_tile {
    int     rows, row_bytes; /* 0: not configured */
    uint8_t at[16][64];
};

static struct amx_tile amx_tile[8];
static int             amx_faults, amx_products;

/* The 64 bytes of ldtilecfg: palette, start row, 14 reserved, 16 × row bytes, 16 × rows. */
static void amx_configure(const void *config)
{
    const uint8_t *byte = config;

    memset(amx_tile, 0, sizeof amx_tile);
    amx_faults += byte[0] != 1 || byte[1] != 0;
    for (int i = 2; i < 16; i++)
        amx_faults += byte[i] != 0;
    for (int t = 0; t < 16; t++) {
        uint16_t row_bytes;
        memcpy(&row_bytes, byte + 16 + 2 * t, sizeof row_bytes);
        if (t >= 8) {
            amx_faults += row_bytes != 0 || byte[48 + t] != 0;
            continue;
        }
        amx_faults += row_bytes > 64 || byte[48 + t] > 16 ||
                      (row_bytes == 0) != (byte[48 + t] == 0);
        amx_tile[t].rows      = byte[48 + t] <= 16 ? byte[48 + t] : 0;
        amx_tile[t].row_bytes = row_bytes <= 64 ? row_bytes : 0;
    }
}

static void amx_zero(int t)
{
    amx_faults += amx_tile[t].rows == 0;
    memset(amx_tile[t].at, 0, sizeof amx_tile[t].at);
}

static void amx_load(int t, const void *from, int64_t stride)
{
    struct amx_tile *tile = &amx_tile[t];

    amx_faults += tile->rows == 0;
    memset(tile->at, 0, sizeof tile->at);
    for (int r = 0; r < tile->rows; r++)
        memcpy(tile->at[r], (const uint8_t *)from + r * stride, (size_t)tile->row_bytes);
}

static void amx_store(int t, void *to, int64_t stride)
{
    const struct amx_tile *tile = &amx_tile[t];

    amx_faults += tile->rows == 0;
    for (int r = 0; r < tile->rows; r++)
        memcpy((uint8_t *)to + r * stride, tile->at[r], (size_t)tile->row_bytes);
}

__attribute__((unused)) static float amx_bf16(const uint8_t *at)
{
    uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 24;
    float    x;

    memcpy(&x, &bits, sizeof x);
    return fpclassify(x) == FP_SUBNORMAL ? 0 : x;
}

/* tdpbf16ps: sum[m][n] += a[m][2k] * b[k][2n], then += a[m][2k + 1] * b[k][2n + 1], for all k */
__attribute__((unused)) static void amx_product(int sum, int a, int b)
{
    struct amx_tile       *s = &amx_tile[sum];
    const struct amx_tile *x = &amx_tile[a], *w = &amx_tile[b];

    amx_products++;
    if (sum == a || a == b || sum == b || s->rows != x->rows || s->row_bytes != w->row_bytes ||
        x->row_bytes / 4 != w->rows || s->rows == 0 || w->rows == 0) {
        amx_faults++;
        return;
    }
    for (int m = 0; m < s->rows; m++)
        for (int k = 0; k < w->rows; k++)
            for (int n = 0; n < s->row_bytes / 4; n++) {
                float total;
                memcpy(&total, s->at[m] + 4 * n, sizeof total);
                for (int i = 0; i < 2; i++)
                    total = fmaf(amx_bf16(x->at[m] + 4 * k + 2 * i),
                                 amx_bf16(w->at[k] + 4 * n + 2 * i), total);
                memcpy(s->at[m] + 4 * n, &total, sizeof total);
            }
}

/* tdpbusd: sum[m][n] += a[m][4k + i] * b[k][4n + i], a unsigned, b signed, i 0..3, for all k */
__attribute__((unused)) static void amx_product_bytes(int sum, int a, int b)
{
    struct amx_tile       *s = &amx_tile[sum];
    const struct amx_tile *x = &amx_tile[a], *w = &amx_tile[b];

    amx_products++;
    if (sum == a || a == b || sum == b || s->rows != x->rows || s->row_bytes != w->row_bytes ||
        x->row_bytes / 4 != w->rows || s->rows == 0 || w->rows == 0) {
        amx_faults++;
        return;
    }
    for (int m = 0; m < s->rows; m++)
        for (int k = 0; k < w->rows; k++)
            for (int n = 0; n < s->row_bytes / 4; n++) {
                int32_t total;
                memcpy(&total, s->at[m] + 4 * n, sizeof total);
                for (int i = 0; i < 4; i++)
                    total += x->at[m][4 * k + i] * (int8_t)w->at[k][4 * n + i];
                memcpy(s->at[m] + 4 * n, &total, sizeof total);
            }
}

static void amx_release(void)
{
    memset(amx_tile, 0, sizeof amx_tile);
}

#endif
