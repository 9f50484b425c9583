/* gpu/detector.h: pictures in, boxes out. A model, its head, and the way into and out of it.
 *
 * The detector is immutable and shared; each worker thread opens its own detector_session. What is
 * done per picture: one fused pass from YUV to the network's tensor (letterbox), the network, the
 * head's decode, non-maximum suppression, and the mapping to the classes that Sightline counts. */
#ifndef SIGHTLINE_GPU_DETECTOR_H
#define SIGHTLINE_GPU_DETECTOR_H

#include "config/limits.h"
#include "config/why.h"
#include "gpu/backend.h"
#include "gpu/box.h"
#include "gpu/frame.h"
#include "gpu/model.h"

struct detector;
struct detector_session;

struct detector_settings {
    const char *model_path;
    const char *backend; /* "auto", "cpu" */
    const char
        *head; /* "auto" recognises it from the outputs; else "yolox", "fastestdet", "nanodet" */
    float
        min_score; /* boxes below are never given out; 0.1 keeps what the tracker's second stage needs; 0: the default */
    float
        nms_iou; /* boxes of one group of classes that overlap more are one object; 0: the default */
};

#define DETECTOR_MIN_SCORE_DEFAULT 0.10F
#define DETECTOR_NMS_IOU_DEFAULT   0.50F

int detector_open(struct detector **out, const struct detector_settings *settings, struct why *why);
void detector_close(struct detector **detector);

const struct model_info *detector_model(const struct detector *detector);
const char              *detector_head_name(const struct detector *detector);
const char              *detector_backend_name(const struct detector *detector);
int                      detector_best_batch(const struct detector *detector);

/* Where the time of one run went. */
struct detector_timing {
    int64_t prepare_ns;
    int64_t network_ns;
    int64_t decode_ns; /* head and suppression */
};

/* One per worker thread; used only there. */
int  detector_session_open(struct detector_session **out, const struct detector *detector,
                           struct why *why);
void detector_session_close(struct detector_session **session);
int  detector_session_best_batch(const struct detector_session *session);

/* `frames`: `batch` pictures. `boxes[i]` receives at most LIMIT_BOXES boxes of picture i, best
 * first, in that picture's pixels; counts[i] says how many. Allocates only for a kind of picture (size, format,
 * colours) that it has not seen lately. 0 or a negative code: then all counts are 0. */
int detector_session_run(struct detector_session *session, struct frame *const *frames, int batch,
                         struct box (*boxes)[LIMIT_BOXES], int *counts,
                         struct detector_timing *timing, struct why *why);

#endif
