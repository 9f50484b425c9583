/* gpu/detector_internal.h: what the files of the detector share; and a detector of given parts, for
 * tests with a backend of their own. */
#ifndef SIGHTLINE_GPU_DETECTOR_INTERNAL_H
#define SIGHTLINE_GPU_DETECTOR_INTERNAL_H

#include "gpu/detector.h"
#include "gpu/detector_shape.h"
#include "gpu/head.h"

/* All outlive the detector, which closes none of them. */
struct detector_parts {
    const struct model_info  *info;
    const struct model       *model; /* goes to backend->open() untouched; may be NULL in a test */
    const struct backend_ops *backend;
};

struct detector {
    struct detector_parts   parts;
    struct model           *own_model; /* NULL when the parts are another's */
    enum precision          precision;
    struct head             head;   /* at the model's own size */
    struct detector_shapes *shapes; /* has a lock of its own */
    struct class_names      names;
    struct class_map        classes;
    float                   min_score;
    float                   nms_iou;
};

/* As detector_open(); of `settings` the path and the backend are not looked at. */
int detector_open_with(struct detector **out, const struct detector_settings *settings,
                       const struct detector_parts *parts, struct why *why);

/* Pictures of so many kinds (size, format, colours) a session keeps plans for. */
#define DETECTOR_PLANS_MAX 32

#endif
