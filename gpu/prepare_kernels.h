/* gpu/prepare_kernels.h: the inner loops of gpu/prepare.c, one set per instruction set.
 *
 * A set is used whole: the order of the 16-bit values in a filtered row is its own affair. All sets
 * give the same bits (tests/unit/prepare_test.c compares them with the plain C one). */
#ifndef SIGHTLINE_GPU_PREPARE_KERNELS_H
#define SIGHTLINE_GPU_PREPARE_KERNELS_H

#include "gpu/prepare.h"

#include <stdint.h>

#define ROW_GROUP_PX      16  /* outputs that one group of the tables describes */
#define ROW_QUAD_TAPS     4   /* taps that one step adds up */
#define ROW_WEIGHT_SUM    255 /* of a row filter: 8 bits, and 128 * 255 fits in 16 bits with sign */
#define COLUMN_WEIGHT_SUM 16384

/* Horizontal filter: output[i] = sum of weight * (source - 128), in -32640..32385. */
struct row_filter {
    int      source_px;
    int      output_px;
    int      groups; /* of ROW_GROUP_PX outputs; even, so that rows are padded to 32 */
    int      quads;  /* taps / ROW_QUAD_TAPS */
    int32_t *start; /* groups×16: first source pixel; start + taps <= source_px where that can be */
    uint8_t *weights; /* groups×quads×16×4 */
    /* For kernels that shuffle: lanes of lane_px outputs read a window of window_bytes; 0: gather. */
    int      lane_px;
    int      window_bytes;
    int32_t *window;  /* groups×quads×(16/lane_px): first byte of a lane's window */
    uint8_t *shuffle; /* groups×quads×16×4: bytes in the window */
};

/* Vertical filter: the rows and weights of each output row. */
struct column_filter {
    int      source_px;
    int      output_px;
    int      taps;    /* even */
    int32_t *start;   /* output_px */
    int16_t *weights; /* output_px×taps, sum COLUMN_WEIGHT_SUM */
};

/* The rows of one component that make one output row. */
struct blend_rows {
    int                   taps;    /* even */
    const int16_t *const *rows;    /* taps */
    const int16_t        *weights; /* taps */
};

/* channel[c] = clamp(sum over components of coefficient[c][k] * blended[k] + offset[c]). */
struct colour_matrix {
    float coefficient[3][3];
    float offset[3];
    float low[3], high[3];
};

/* All that the kind of a picture (size, format, colours) decides, for kernels of any device. */
struct prepare_tables {
    struct prepare_settings settings;
    enum frame_format       format;
    enum frame_matrix       matrix;
    bool                    full_range;
    int                     width_px, height_px; /* of the picture */
    struct prepare_area     area;
    struct colour_matrix    colours;
    /* Luma, chroma. Packed, grey and 4:4:4 pictures have the first only; 4:2:2 has both columns. */
    struct row_filter    row[2];
    struct column_filter column[2];
};

struct prepare_kernels {
    const char *name;
    int         lane_px;          /* as in struct row_filter */
    int         window_bytes_max; /* widest window; 0 when it uses no tables */
    int         window_bytes_min; /* rows shorter than this are left to the C kernels */
    bool (*available)(void);
    /* `count` rows with one filter: the tables are read once for several. */
    void (*filter_rows)(const struct row_filter *filter, const uint8_t *const *source,
                        int16_t *const *output, int count);
    void (*blend)(const struct blend_rows rows[3], const struct colour_matrix *matrix, int count_px,
                  float *const channel[3]);
    void (*split_pairs)(const uint8_t *source, int count_px, uint8_t *first, uint8_t *second);
    void (*split_triples)(const uint8_t *source, int count_px, uint8_t *const parts[3]);
};

extern const struct prepare_kernels PREPARE_C, PREPARE_AVX2, PREPARE_AVX512;

/* Every set of this build, best first, NULL-terminated; not all need be available. */
extern const struct prepare_kernels *const PREPARE_KERNELS[];

/* As prepare_plan_open(), with a given set. */
int prepare_plan_open_with(struct prepare_plan **out, const struct prepare_settings *settings,
                           const struct frame *frame, const struct prepare_kernels *kernels,
                           struct why *why);

/* ERR_INVALID for a picture without a usable size or format, ERR_MEMORY: then there is nothing to
 * close. */
int  prepare_tables_open(struct prepare_tables *tables, const struct prepare_settings *settings,
                         const struct frame *frame, const struct prepare_kernels *kernels,
                         struct why *why);
void prepare_tables_close(struct prepare_tables *tables); /* also of zeroed or closed ones */
/* Whether they are those of this kind of picture. */
bool prepare_tables_fit(const struct prepare_tables *tables, const struct frame *frame);

/* `scale`: source pixels per output pixel. Tables for `kernels`. ERR_MEMORY. */
int  row_filter_open(struct row_filter *filter, int source_px, int output_px, double scale,
                     const struct prepare_kernels *kernels);
void row_filter_close(struct row_filter *filter);
int  column_filter_open(struct column_filter *filter, int source_px, int output_px, double scale);
void column_filter_close(struct column_filter *filter);

#endif
