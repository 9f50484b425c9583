/* gpu/detector_device.h: the part of a detector that a backend does on its device: pictures in, boxes
 * out, where it has that and knows the head (struct backend_ops). What it leaves is done on the
 * processor, and the log says so once for each session. */
#ifndef SIGHTLINE_GPU_DETECTOR_DEVICE_H
#define SIGHTLINE_GPU_DETECTOR_DEVICE_H

#include "gpu/backend.h"
#include "gpu/detector.h"

/* Of one runner; one thread. */
struct detector_device {
    const struct backend_ops *backend;
    struct runner            *runner;
    bool                      gives_boxes; /* may be switched off at any time */
    bool                      told;        /* the log knows that the processor does it */
};

/* Finds out whether the runner gives boxes. Negative: it cannot be used. */
int detector_device_open(struct detector_device *device, const struct backend_ops *backend,
                         struct runner *runner, const struct boxes_settings *settings,
                         struct why *why);

/* Whether detector_device_run() takes a picture where it is, in a device's memory. */
bool detector_device_reads(const struct detector_device *device, const struct frame *frame);

/* As detector_session_run(), with counts and timing at 0 before. ERR_UNSUPPORTED: nothing was done,
 * the processor is to do it. */
int detector_device_run(struct detector_device *device, struct frame *const *frames, int batch,
                        struct box (*boxes)[LIMIT_BOXES], int *counts,
                        struct detector_timing *timing, struct why *why);

#endif
