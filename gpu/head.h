/* gpu/head.h: what a family of networks gives out, and what it wants to see.
 *
 * A head knows one family: it recognises the family by the shapes of the outputs, states how pictures
 * must be prepared, and turns the numbers into boxes. The outputs are hostile: NaN, infinite and
 * absurd values are dropped, and nothing is read outside the shapes that were recognised. */
#ifndef SIGHTLINE_GPU_HEAD_H
#define SIGHTLINE_GPU_HEAD_H

#include "config/why.h"
#include "gpu/class_map.h"
#include "gpu/model.h"
#include "gpu/prepare.h"
#include "gpu/suppress.h"

#define HEAD_STAGES_MAX 4

struct head_ops;

/* One grid of cells. */
struct head_stage {
    int stride_px;
    int columns, rows;
    int first;         /* number of its first cell among those of all stages */
    int scores_output; /* index among the model's outputs */
    int sides_output;
};

/* Immutable once opened; any thread. */
struct head {
    const struct head_ops  *ops;
    struct prepare_settings input;
    int                     class_count;
    int                     stage_count;
    struct head_stage       stages[HEAD_STAGES_MAX];
};

struct head_ops {
    const char *name;
    /* Required. Fills `head` (but ops) when the model's outputs are of this family; otherwise false,
     * with what it expected. head->input has its size already. */
    bool (*recognise)(struct head *head, const struct model_info *model, struct why *why);
    /* Required. One picture: outputs[i] are the numbers of the model's output i. Boxes are in the
     * tensor's pixels. */
    void (*decode)(const struct head *head, const struct class_map *classes,
                   const float *const *outputs, struct candidates *candidates);
};

extern const struct head_ops HEAD_YOLOX, HEAD_FASTESTDET, HEAD_NANODET;

/* NULL-terminated, in the order in which "auto" tries them. */
extern const struct head_ops *const HEADS[];

/* `name`: NULL or "auto" takes the first that recognises the model. ERR_NOT_FOUND for a name that is
 * none, ERR_UNSUPPORTED when the model does not fit. */
int head_open(struct head *head, const char *name, const struct model_info *model, struct why *why);

/* The class with the highest score among `count` that lie `step` apart, or -1 when none is a number. */
int head_best_class(const float *scores, ptrdiff_t step, int count, float *best);

/* Grids of a network whose strides are those given; returns how many cells. */
int head_add_stage(struct head *head, int stride_px);

#endif
