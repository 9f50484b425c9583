/* gpu/head.h: what a family of networks gives out, and what it wants to see.
 *
 * A head knows one family: it recognises the family by the shapes of the outputs, states how pictures
 * must be prepared, and turns the numbers into boxes. The outputs are hostile: NaN, infinite and
 * absurd values are dropped, and nothing is read outside the shapes that were recognised.
 *
 * What tells families apart whose outputs have the same shape, in this order: how many boxes there
 * are for the cells of the strides (one: YOLOX, YOLOv6, YOLOv8; three: YOLOv5, YOLOv7), whether the
 * graph itself places the boxes on its grid, whether its last step bounds the numbers to 0..1
 * (struct model_traits), how many classes the file names, and what the outputs are called. What
 * these do not settle is said in head->note, and the configuration can name the head.
 *
 * head          outputs                                              picture that it wants
 * sightline     cells8, cells16, cells32: 1x(4+C)xRxC                RGB - 114, top left, pad 114
 * yolox         1xNx(5+C), N cells, raw or placed by the graph       BGR 0..255, top left, pad 114
 * fastestdet    1x(5+C)xRxC                                          BGR 0..1, stretched
 * nanodet       1xNxC and 1xNx32 for each stride                     BGR, mean and deviation, centred
 * yolov5        1xNx(5+C), N = 3 cells, or placed and N = cells;     RGB 0..1, centred, pad 114
 *               or 1x3xRxCx(5+C) for each stride
 * yolov7        as yolov5, with its own anchors when raw             as yolov5
 * yolov8        1x(4+C)xN or 1xNx(4+C), N cells;                     RGB 0..1, centred, pad 114
 *               or 1x(64+C)xRxC for each stride, also apart
 * end_to_end    1xNx6: corners, score, class; Nx7: picture,          RGB 0..1, centred, pad 114
 *               corners, class, score
 * detr          logits 1xQxC and boxes 1xQx4, or both in 1xQx(4+C);  RGB 0..1, stretched; with 91
 *               or labels 1xQ, boxes 1xQx4, scores 1xQ               or 92 classes mean and deviation
 * ssd           boxes 1xNx4 (corners in 0..1) and scores 1xNxC;      RGB (x - 127) / 128, stretched;
 *               or y before x, for bytes;                            or 0..255, stretched
 *               or boxes (y, x), scores 1xN, classes 1xN, count      or 0..255, stretched
 *
 * To add a head: a file head_NAME.c with its recognise and decode, its line in HEADS (head.c) and
 * here, and its boxes there and back in tests/unit/head_families_test.c. */
#ifndef SIGHTLINE_GPU_HEAD_H
#define SIGHTLINE_GPU_HEAD_H

#include "config/why.h"
#include "gpu/class_map.h"
#include "gpu/model.h"
#include "gpu/prepare.h"
#include "gpu/suppress.h"

#define HEAD_STAGES_MAX 4
#define HEAD_NOTE_BYTES 240

struct head_ops;

/* head->layout of the heads that a device may decode by itself (struct boxes_settings). */
enum { YOLOX_RAW, YOLOX_PLACED };
enum { YOLOV8_PLANES, YOLOV8_ROWS, YOLOV8_RAW };
#define YOLOV8_DISTANCES 16 /* of each side, raw */

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
    int                     class_count; /* the one for nothing among them */
    enum class_background   background;
    int                     stage_count;
    struct head_stage       stages[HEAD_STAGES_MAX];
    /* The boxes are one for each object already: only what lies exactly upon another goes. */
    bool distinct;
    char note[HEAD_NOTE_BYTES]; /* what was not certain, and how to say it; empty: nothing */

    /* What the head asked of the model, and its own notes between recognise and decode. */
    int          names_count; /* classes that the file names; 0: it names none */
    bool         named;       /* the head is the user's choice */
    int          layout;      /* the head's own */
    int          row_count;   /* boxes in the output */
    int          row_numbers; /* of each */
    int          boxes_output, scores_output, classes_output, count_output; /* -1: none */
    bool         logits;  /* scores are before their sigmoid or softmax */
    const float *anchors; /* pairs of width and height, three for each stage */
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

extern const struct head_ops HEAD_SIGHTLINE, HEAD_YOLOX, HEAD_FASTESTDET, HEAD_NANODET, HEAD_YOLOV5,
    HEAD_YOLOV7, HEAD_YOLOV8, HEAD_END_TO_END, HEAD_DETR, HEAD_SSD;

/* NULL-terminated, in the order in which "auto" tries them. */
extern const struct head_ops *const HEADS[];

/* `name`: NULL or "auto" takes the first that recognises the model. `names_count`: classes that the
 * model or the user names, 0 when nobody does. ERR_NOT_FOUND for a name that is none,
 * ERR_UNSUPPORTED when the model does not fit. */
int head_open(struct head *head, const char *name, const struct model_info *model, int names_count,
              struct why *why);

/* ---- for the heads ---- */

/* The class with the highest score among `count` that lie `step` apart, or -1 when none is a number. */
int head_best_class(const float *scores, ptrdiff_t step, int count, float *best);

/* Grids of a network whose strides are those given; returns how many cells. */
int head_add_stage(struct head *head, int stride_px);
/* Finds the usual strides (8 to 32, to 64, or from 4) of which the cells, `each` boxes in every one,
 * are `rows`, and sets the stages. */
bool head_find_strides(struct head *head, int64_t rows, int each);

/* How the pictures are wanted: every channel alike. value = (colour - mean) * scale. */
void head_want(struct head *head, enum prepare_fit fit, bool rgb, float mean, float scale);
/* Red, green, blue with the mean and deviation of the photographs that most networks learn first. */
void head_want_photograph(struct head *head, enum prepare_fit fit);

float head_sigmoid(float x);
/* The least number whose sigmoid reaches `score`. */
float head_logit(float score);

/* A box by its centre and size, of a class of the model's: added if that is counted. */
void head_add_centred(struct candidates *candidates, const struct class_map *classes,
                      const float centre_size[4], float score, int model_class, int number);
void head_add_corners(struct candidates *candidates, const struct class_map *classes,
                      const float corners[4], float score, int model_class, int number);

/* Whether an output is 1×a×b (-1: any), its classes within CLASS_MAP_MAX checked by the caller. */
bool head_output_is(const struct model_tensor *output, int64_t a, int64_t b);
/* The first output whose name holds one of the words, or -1. `words` ends with NULL. */
int head_output_called(const struct model_info *model, const char *const *words);

#endif
