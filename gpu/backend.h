/* gpu/backend.h: what a device must do to run a model.
 *
 * Backends stand in one table (backend.c): "cpu" (oneDNN) now; "cuda" joins as a plug-in that is
 * loaded at start. A runner belongs to one thread: it holds the memory arena of one stream of
 * pictures. The model is shared and outlives its runners. */
#ifndef SIGHTLINE_GPU_BACKEND_H
#define SIGHTLINE_GPU_BACKEND_H

#include "config/why.h"
#include "gpu/model.h"

#include <stdbool.h>

struct runner; /* each backend embeds this as the first field of its own struct */

struct backend_ops {
    const char *name; /* shown in /api/v1/version and the logs */
    /* Required. False, with the reason, when this machine cannot run it (no device, no driver). */
    bool (*available)(struct why *why);
    /* Required. Pictures that one run takes at best: 1 on a CPU, where a batch gains nothing. */
    int (*best_batch)(const struct model *model);
    /* Required. Primitives, weights and arena; after it, run() allocates nothing. */
    int (*open)(struct runner **out, const struct model *model, int device, struct why *why);
    /* Required. `input`: batch×3×H×W float32, contiguous, in the scale that the model wants.
     * Outputs stay valid until the next run. Same bytes in, same bytes out. */
    int (*run)(struct runner *runner, const float *input, int batch, struct why *why);
    /* Required. batch×... float32 in the output's dimensions, contiguous. */
    const float *(*output)(const struct runner *runner, int index);
    /* Required. NULL-safe, sets *runner = NULL. */
    void (*close)(struct runner **runner);
};

struct runner {
    const struct backend_ops *ops;
    const struct model       *model;
};

/* NULL-terminated, best first. */
extern const struct backend_ops *const BACKENDS[];

/* By name, or the first available one when `name` is NULL or "auto"; NULL with the reason. */
const struct backend_ops *backend_find(const char *name, struct why *why);

#endif
