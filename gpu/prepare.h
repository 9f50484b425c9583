/* gpu/prepare.h: from a decoded picture to the network's tensor in one pass.
 *
 * A plan holds what depends only on the picture's size, format and colours: where the picture lies
 * in the tensor, the filters of both axes and the colour matrix. Shrinking to half or less averages
 * every source pixel (area), else it is bilinear; both on pixel centres. Chroma is taken as sited in
 * the middle of its luma pixels. The sums are integers and the last step is fused multiply-add, so
 * the result is the same bits on every machine, whichever kernel it has.
 *
 * Error against exact arithmetic, in levels of 0..255, for a colour channel whose matrix row has the
 * absolute sum S (at most 3.4): S * (0.5 * (taps - 1) + 0.1), taps being 2 for bilinear and
 * ceil(shrink) + 1 for area. That is the worst pattern of black and white; the mean is below 0.2.
 *
 * Threads: a plan has scratch rows inside; one thread uses it at a time. */
#ifndef SIGHTLINE_GPU_PREPARE_H
#define SIGHTLINE_GPU_PREPARE_H

#include "config/why.h"
#include "gpu/box.h"
#include "gpu/frame.h"

#include <stdbool.h>

struct prepare_plan;

enum prepare_fit {
    PREPARE_TOP_LEFT, /* keeps the aspect; the rest at the right or the bottom is padded */
    PREPARE_CENTRED,  /* keeps the aspect; padded on both sides */
    PREPARE_STRETCH,  /* fills the tensor */
};

/* What a network wants to see. value = (colour - mean) * scale, colour in 0..255. */
struct prepare_settings {
    int              width_px; /* of the tensor, 1..LIMIT_PICTURE_PX */
    int              height_px;
    enum prepare_fit fit;
    bool             rgb;      /* order of the channels; otherwise B, G, R */
    float            pad;      /* colour around the picture, 0..255 */
    float            mean[3];  /* in the tensor's channel order */
    float            scale[3]; /* above 0 */
};

/* The picture's place in the tensor. */
struct prepare_area {
    int x_px, y_px, width_px, height_px; /* of the tensor's pixels */
    int picture_width_px, picture_height_px;
};

/* A plan for pictures like `frame` (size, format, matrix, range). ERR_INVALID for a picture without
 * a usable size or planes, ERR_MEMORY. Allocates; prepare_run() does not. */
int  prepare_plan_open(struct prepare_plan **out, const struct prepare_settings *settings,
                       const struct frame *frame, struct why *why);
void prepare_plan_close(struct prepare_plan **plan); /* NULL-safe, sets *plan = NULL */

/* Whether prepare_run() may be used with this picture. */
bool prepare_plan_fits(const struct prepare_plan *plan, const struct frame *frame);

struct prepare_area prepare_plan_area(const struct prepare_plan *plan);

/* Fill what lies around the picture. Needed once for a tensor, until another plan writes to it. */
void prepare_pad(const struct prepare_plan *plan, float *tensor /* 3×H×W */);

/* Write the picture's area of the tensor. */
void prepare_run(struct prepare_plan *plan, const struct frame *frame, float *tensor /* 3×H×W */);

/* From the tensor's pixels to the picture's. */
void prepare_box_to_picture(const struct prepare_area *area, struct box *box);

/* Which kernels this machine uses: "avx512", "avx2" or "c". The best that it has, or what
 * SIGHTLINE_CPU_ISA limits the CPU backend to (gpu/cpu/backend_cpu.h). */
const char *prepare_kernels_name(void);

#endif
