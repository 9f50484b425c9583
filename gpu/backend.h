/* gpu/backend.h: what a device must do to run a model.
 *
 * Backends stand in one table (backend.c): "cuda", a plug-in that is loaded at start, and "cpu" (our
 * own kernels and oneDNN). A runner belongs to one thread: it holds the memory arena of one stream of
 * pictures. The model is shared and outlives its runners. */
#ifndef SIGHTLINE_GPU_BACKEND_H
#define SIGHTLINE_GPU_BACKEND_H

#include "config/limits.h"
#include "config/why.h"
#include "gpu/box.h"
#include "gpu/model.h"

#include <stdbool.h>

struct runner; /* each backend embeds this as the first field of its own struct */

/* What the numbers between layers are. Inputs and outputs of a runner are float32 in each of them.
 */
enum precision {
    PRECISION_AUTO, /* the fastest that keeps its bound of agreement with F32 on this machine */
    PRECISION_F32,
    PRECISION_F16,
    PRECISION_BF16,
    PRECISION_INT8,
    PRECISION_COUNT,
};

/* "auto", "f32", "f16", "bf16", "int8". */
const char *precision_name(enum precision precision);
/* False when no precision is called so. */
bool precision_find(const char *name, enum precision *precision);

#define DEVICE_ANY (-1) /* the one with the fewest runners */

/* All zero: the first device, the precision chosen by the backend. */
struct runner_settings {
    int            device;
    enum precision precision;
};

struct class_map;
struct frame;
struct head;

/* What a backend must know to go from pictures to boxes by itself; the pointers outlive the runner.
 */
struct boxes_settings {
    const struct head      *head; /* also how pictures are prepared */
    const struct class_map *classes;
    float                   min_score, nms_iou; /* as in struct detector_settings, both above 0 */
    float                   min_logit;          /* min_score before its sigmoid: head_logit() */
    float                   side_px_max;        /* as in struct candidates */
};

struct backend_ops {
    const char *name; /* shown in /api/v1/version and the logs */
    /* Required. False, with the reason, when this machine cannot run it (no device, no driver). */
    bool (*available)(struct why *why);
    /* Required. Pictures that one run takes at best: 1 on a CPU, where a batch gains nothing. */
    int (*best_batch)(const struct model *model);
    /* NULL: one for each processor. Threads, each with a runner, that keep all devices busy. */
    int (*best_workers)(void);
    /* NULL: F32 (and AUTO) only. 0 when open() would take this precision for this model on this
     * machine when it is asked for by name; otherwise ERR_UNSUPPORTED with the reason. */
    int (*supports)(const struct model *model, const struct runner_settings *settings,
                    struct why *why);
    /* Required. Primitives, weights and arena; after it, run() allocates nothing, but that oneDNN, at
     * each call, allocates and frees a small table of its arguments (tests/unit/cpu_models_test.c).
     * ERR_UNSUPPORTED for a precision that is asked for by name and not there. */
    int (*open)(struct runner **out, const struct model *model,
                const struct runner_settings *settings, struct why *why);
    /* Required. `input`: batch×3×H×W float32, contiguous, in the scale that the model wants.
     * Outputs stay valid until the next run. Same bytes in, same bytes out. ERR_MEMORY: not this
     * time; the outputs mean nothing. ERR_DEVICE_LOST: this runner will never run again; close it
     * and open another, on this device later or on another backend now. */
    int (*run)(struct runner *runner, const float *input, int batch, struct why *why);
    /* Required. batch×... float32 in the output's dimensions, contiguous. */
    const float *(*output)(const struct runner *runner, int index);
    /* NULL, as then the next: pictures are prepared and boxes found by the detector, on the
     * processor. At most once, after open(); allocates all that run_boxes() needs. ERR_UNSUPPORTED
     * with the reason: it does not know this head; the runner then runs as it would have without.
     * Every other error as open()'s. */
    int (*open_boxes)(struct runner *runner, const struct boxes_settings *settings,
                      struct why *why);
    /* NULL: none. Whether run_boxes() reads this picture in the device memory where it lies. */
    bool (*reads)(const struct runner *runner, const struct frame *frame);
    /* `batch` pictures, in host memory or such as reads() says yes to, to what
     * detector_session_run() gives out, the same boxes in the same order; *prepare_ns: until the
     * pictures were with the device. What output() gives is not touched. ERR_UNSUPPORTED: one of
     * them is larger than it takes, and nothing was done; ERR_INVALID: one cannot be analysed;
     * ERR_DEVICE_LOST: as run(). */
    int (*run_boxes)(struct runner *runner, struct frame *const *frames, int batch,
                     struct box (*boxes)[LIMIT_BOXES], int *counts, int64_t *prepare_ns,
                     struct why *why);
    /* Required. NULL-safe, sets *runner = NULL. */
    void (*close)(struct runner **runner);
    /* NULL, as then the next two: nobody else in this process can use its devices. A decoder is about
     * to use this one, in `context` (CUDA's primary one), until let_go(): a device that has failed is
     * used again only when nobody holds it. Any thread, as the next two. ERR_UNSUPPORTED: there is no
     * such device; ERR_DEVICE_LOST: it has failed. */
    int (*hold)(int device, void **context, struct why *why);
    void (*let_go)(int device);
    /* The planes of a picture in a device's memory, once they are written, into those of `to`, of the
     * same format and size. ERR_DEVICE_LOST. */
    int (*copy_out)(const struct frame *frame, struct frame *to, struct why *why);
};

struct runner {
    const struct backend_ops *ops;
    const struct model       *model;
    enum precision
        precision; /* what it runs in: AUTO, as a backend that knows one only leaves it, is F32 */
};

/* 0 when `backend` runs the model in this precision on this machine, else ERR_UNSUPPORTED with the
 * reason. */
int backend_supports(const struct backend_ops *backend, const struct model *model,
                     const struct runner_settings *settings, struct why *why);
/* The precision that a runner chose. */
enum precision runner_precision(const struct runner *runner);

/* NULL-terminated, best first. */
extern const struct backend_ops *const BACKENDS[];

/* By name, or the first available one when `name` is NULL or "auto"; NULL with the reason. */
const struct backend_ops *backend_find(const char *name, struct why *why);
/* The same for a model, among `among` (BACKENDS but in tests): where nobody names a backend, one that
 * does not run this model is passed over, and the log says why. */
const struct backend_ops *backend_find_for(const struct backend_ops *const *among, const char *name,
                                           const struct model           *model,
                                           const struct runner_settings *settings, struct why *why);

#endif
