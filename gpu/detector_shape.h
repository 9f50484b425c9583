/* gpu/detector_shape.h: the sizes of input in which the network of one detector runs.
 *
 * The first is the model's own. A model whose file leaves its size open is loaded again, from the
 * same file, when a picture comes that another size shows better (gpu/input_shape.h): at most
 * DETECTOR_SHAPES_MAX in all, after which such pictures go through the nearest one that is there.
 * Where the network does not work at a size, or the file has changed meanwhile, that size is not tried
 * again, and its pictures go through another; further sizes are.
 *
 * What is given out stays as it is until all are closed. Any thread. */
#ifndef SIGHTLINE_GPU_DETECTOR_SHAPE_H
#define SIGHTLINE_GPU_DETECTOR_SHAPE_H

#include "config/why.h"
#include "gpu/backend.h"
#include "gpu/detector.h"
#include "gpu/head.h"

struct detector_shapes;

/* The network at one size. */
struct detector_shape {
    const struct model_info *info;
    const struct model      *model;
    struct head              head;
};

/* `own` is copied; its model and info outlive the shapes. `names_count`: as of head_open(). */
int  detector_shapes_open(struct detector_shapes **out, const struct detector_shape *own,
                          int names_count, bool may_grow, struct why *why);
void detector_shapes_close(struct detector_shapes **shapes); /* NULL-safe */

/* Number of the shape for pictures of this size; the model's own is 0. May load the model. */
int detector_shapes_find(struct detector_shapes *shapes, int picture_width_px,
                         int picture_height_px);
/* `number` came from detector_shapes_find(), or is 0. */
const struct detector_shape *detector_shapes_at(const struct detector_shapes *shapes, int number);
bool                         detector_shapes_may_grow(const struct detector_shapes *shapes);
/* Floats of the largest input there can be, of one picture. */
size_t detector_shapes_floats_max(const struct detector_shapes *shapes);

/* A runner for a shape. One opens at a time: a model is no two threads' at once. */
int detector_shapes_runner(struct detector_shapes *shapes, int number,
                           const struct backend_ops *backend, struct runner **runner,
                           const struct runner_settings *settings, struct why *why);

/* A session has no runner for this shape: its pictures go through the model's own. */
void detector_shapes_fail(struct detector_shapes *shapes, int number, const struct why *why);

/* At once, also while a model is loaded. */
struct detector_shape_stats detector_shapes_stats(struct detector_shapes *shapes);
/* Of the index-th that failed; 0 <= index < failed. */
void detector_shapes_problem(struct detector_shapes *shapes, int index, struct why *why);

#endif
