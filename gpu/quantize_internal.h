/* gpu/quantize_internal.h: the state of one quantize_model(). */
#ifndef SIGHTLINE_GPU_QUANTIZE_INTERNAL_H
#define SIGHTLINE_GPU_QUANTIZE_INTERNAL_H

#include "gpu/quantize.h"

struct quantize_boxes {
    struct box box[LIMIT_BOXES];
    int        count;
};

/* One value while its range is looked for; all arrays by channel. */
struct quantize_range {
    const char *name; /* of the graph */
    bool        convolution;
    bool        input; /* of the network */
    int64_t     channels;
    float      *low, *high;         /* of all pictures */
    float      *now_low, *now_high; /* of this picture */
    double     *low_sum, *high_sum; /* of the pictures' extremes */
    double     *mean_sum;
};

/* What is in hand, and from where to where it is of the whole, 0..1. */
struct quantize_step {
    float       from, to;
    const char *what;
};

struct quantizer {
    const struct quantize_settings *settings;
    struct quantize_report         *report;
    struct why                     *why;
    struct detector                *detector;
    struct backend_ops              candidate_ops, seeing_ops;
    struct quantize_boxes          *exact; /* by picture: in float32 */
    struct graph_memory             memory;
    int                             range_count, pictures;
    struct quantize_range          *ranges;
    bool                            out_of_memory;
    struct quantize_step            step;
};

bool quantize_held_back(int index);
int  quantize_run(struct quantizer *q, struct detector_session *session, int index,
                  struct box boxes[LIMIT_BOXES], int *count);

/* After each picture: `done` of the step is, 0..1. ERR_CLOSED: stop. */
int quantize_tell(const struct quantizer *q, float done);

/* quantize_search.c */
/* From the ranges to what is written: how wide they are, and which layers stay in float32. */
int quantize_search(struct quantizer *q, struct calibration *best);

/* quantize_ranges.c */
/* A session whose runs in float32 widen the ranges. */
int  quantize_ranges_open(struct quantizer *q, struct detector_session **session);
void quantize_ranges_next(struct quantizer *q); /* a picture is done */
/* The ranges as a file would give them; `width`: see WIDTHS. */
int quantize_ranges_finish(struct quantizer *q, float width, struct calibration *calibration);
/* True for what a convolution gives: only these can be kept in float32. */
bool quantize_is_layer(const struct quantizer *q, const char *name);
void quantize_ranges_free(struct quantizer *q);

#endif
