#include "gpu/detector_device.h"

#include <string.h>

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"

static void say_processor(struct detector_device *device, const struct why *reason)
{
    if (!device->told)
        log_info("detector",
                 "pictures are prepared and boxes found on the processor, not by %s: %s",
                 device->backend->name, reason->text);
    device->told = true;
}

int detector_device_open(struct detector_device *device, const struct backend_ops *backend,
                         struct runner *runner, const struct boxes_settings *settings,
                         struct why *why)
{
    struct why reason = {""};
    int        rc;

    *device = (struct detector_device){.backend = backend, .runner = runner};
    if (backend->open_boxes == NULL)
        return 0;
    rc                  = backend->open_boxes(runner, settings, &reason);
    device->gives_boxes = rc == 0;
    if (rc == ERR_UNSUPPORTED)
        say_processor(device, &reason);
    else if (rc != 0)
        return why_set(why, rc, "%s", reason.text);
    return 0;
}

bool detector_device_reads(const struct detector_device *device, const struct frame *frame)
{
    return device->gives_boxes && device->backend->reads != NULL &&
           device->backend->reads(device->runner, frame);
}

int detector_device_run(struct detector_device *device, struct frame *const *frames, int batch,
                        struct box (*boxes)[LIMIT_BOXES], int *counts,
                        struct detector_timing *timing, struct why *why)
{
    int64_t    started_ns = clock_monotonic_ns();
    struct why reason     = {""};
    int        rc;

    if (!device->gives_boxes)
        return ERR_UNSUPPORTED;
    rc = device->backend->run_boxes(device->runner, frames, batch, boxes, counts,
                                    &timing->prepare_ns, &reason);
    if (rc == ERR_UNSUPPORTED) {
        say_processor(device, &reason);
        return rc;
    }
    timing->network_ns = clock_monotonic_ns() - started_ns - timing->prepare_ns;
    if (rc == 0)
        return 0;
    memset(counts, 0, (size_t)batch * sizeof *counts);
    return why_set(why, rc, "%s", reason.text);
}
