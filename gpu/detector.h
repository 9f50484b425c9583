/* gpu/detector.h: pictures in, boxes out. A model, its head, and the way into and out of it.
 *
 * The detector is shared by all threads; each worker thread opens its own detector_session. A model
 * whose file leaves its size open runs in the size that shows a picture best (detector_shape.h): a
 * session meets each of them when the first such picture comes.
 *
 * What is done per picture: one fused pass from YUV to the network's tensor (letterbox), the network,
 * the head's decode, non-maximum suppression, and the mapping to the classes that Sightline counts;
 * all of it on a device whose backend has that (detector_device.h), with the same boxes. */
#ifndef SIGHTLINE_GPU_DETECTOR_H
#define SIGHTLINE_GPU_DETECTOR_H

#include "config/limits.h"
#include "config/why.h"
#include "gpu/backend.h"
#include "gpu/box.h"
#include "gpu/class_map.h"
#include "gpu/frame.h"
#include "gpu/model.h"

struct detector;
struct detector_session;
struct head;

/* How pictures are prepared, where the head's own way is not right. */
struct detector_input {
    enum { INPUT_FIT_HEAD, INPUT_FIT_TOP_LEFT, INPUT_FIT_CENTRED, INPUT_FIT_STRETCH } fit;
    bool fixed_shape; /* the model's own size for all pictures, though its file leaves it open */
    enum { INPUT_COLORS_HEAD, INPUT_COLORS_RGB, INPUT_COLORS_BGR } colors;
    bool has_mean, has_deviation, has_pad;
    float
        mean[3]; /* value = (colour - mean) / deviation, colour in 0..255, in the order of colors */
    float deviation[3]; /* not 0 */
    float pad;          /* 0..255 */
};

/* All zero but model_path: everything as the model says. What the pointers point to is copied. */
struct detector_settings {
    const char    *model_path;
    const char    *backend;   /* NULL, "auto", or a backend's name */
    enum precision precision; /* PRECISION_AUTO: the backend chooses */
    const char    *head; /* NULL or "auto": recognised from the outputs; else its name (head.h) */
    const char    *classes; /* NULL, or a file with the names of the classes */
    int            rule_count;
    const struct class_rule *rules; /* which of them are counted as what */
    struct detector_input    input;
    float
        min_score; /* boxes below are never given out; 0.1 keeps what the tracker's second stage needs; 0: the default */
    float
        nms_iou; /* boxes of one group of classes that overlap more are one object; 0: the default */
};

#define DETECTOR_MIN_SCORE_DEFAULT 0.10F
#define DETECTOR_NMS_IOU_DEFAULT   0.50F
/* Of networks that give one box for each object: only what lies upon another goes, such as one
 * box with two classes. */
#define DETECTOR_NMS_IOU_DISTINCT 0.90F

/* Sizes of input in which one detector's network runs, the model's own among them. */
#define DETECTOR_SHAPES_MAX 4

struct detector_shape_stats {
    int      count;   /* sizes in use */
    uint64_t refused; /* kinds of pictures that went into the nearest of them instead of another */
    int      failed;  /* sizes that do not work, at most DETECTOR_SHAPES_FAILED */
};
#define DETECTOR_SHAPES_FAILED 8 /* of so many it is told; then no further ones are tried */

int detector_open(struct detector **out, const struct detector_settings *settings, struct why *why);
void detector_close(struct detector **detector);

const struct model_info    *detector_model(const struct detector *detector);
const char                 *detector_head_name(const struct detector *detector);
const struct head          *detector_head(const struct detector *detector);
const struct class_map     *detector_classes(const struct detector *detector);
const struct class_names   *detector_class_names(const struct detector *detector);
const char                 *detector_backend_name(const struct detector *detector);
const struct backend_ops   *detector_backend(const struct detector *detector);
const struct model         *detector_graph(const struct detector *detector);
int                         detector_best_batch(const struct detector *detector);
struct detector_shape_stats detector_shape_stats(const struct detector *detector);
/* Which size does not work and why, of the index-th of `failed`. At once. */
void detector_shape_problem(const struct detector *detector, int index, struct why *why);
/* Whether it takes more sizes than the model's own. */
bool detector_is_shaped(const struct detector *detector);

/* Where the time of one run went. */
struct detector_timing {
    int64_t prepare_ns;
    int64_t network_ns;
    int64_t decode_ns; /* head and suppression; 0 where a device does them with the network */
};

/* One per worker thread; used only there. */
int detector_session_open(struct detector_session **out, const struct detector *detector,
                          struct why *why);
/* As above on another backend than the detector's, which must hold the whole model: what a worker
 * does while its device is lost. */
int  detector_session_open_on(struct detector_session **out, const struct detector *detector,
                              const struct backend_ops *backend, enum precision precision,
                              struct why *why);
void detector_session_close(struct detector_session **session);
int  detector_session_best_batch(const struct detector_session *session);

/* `frames`: `batch` pictures. `boxes[i]` receives at most LIMIT_BOXES boxes of picture i, best
 * first, in that picture's pixels; counts[i] says how many. Allocates only for a kind of picture (size, format,
 * colours) that it has not seen lately. Pictures that go through different sizes of input are run in
 * groups. 0 or a negative code: then all counts are 0.
 * ERR_DEVICE_LOST: this session will never run again. */
int detector_session_run(struct detector_session *session, struct frame *const *frames, int batch,
                         struct box (*boxes)[LIMIT_BOXES], int *counts,
                         struct detector_timing *timing, struct why *why);
/* Once, before a run: the outputs are looked at, so no backend may keep them on its device. */
void detector_session_keep_outputs(struct detector_session *session);
/* The model as picture `picture` of the last run went through it; lives as long as the detector. */
const struct model_info *detector_session_model(const struct detector_session *session,
                                                int                            picture);
/* Output `index` of picture `picture` of the last run; valid until the next. Its size is that of
 * detector_session_model(). For a session that keeps them. */
const float *detector_session_output(const struct detector_session *session, int picture,
                                     int index);

#endif
