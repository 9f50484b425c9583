/* gpu/quantize.h: finds the ranges of a network's numbers on real pictures, and whether 8 bits do.
 *
 * Two thirds of the pictures are run in float32 to see every range; the others are held back. Layers
 * that hurt the boxes most are kept in float32, until the boxes of both precisions agree on those
 * held back and on all. The result is a copy of the ONNX file with the ranges and the agreement
 * measured on the pictures held back in its metadata (gpu/calibration.h). Same pictures, same result.
 *
 * Two boxes agree when they are of one class, overlap by 0.9 (intersection over union), the one
 * scores above 0.4 and the other above 0.3. Each box above 0.4 of either side is asked for. */
#ifndef SIGHTLINE_GPU_QUANTIZE_H
#define SIGHTLINE_GPU_QUANTIZE_H

#include "gpu/calibration.h"
#include "gpu/detector.h"

#define QUANTIZE_SCORE         0.4F
#define QUANTIZE_PARTNER_SCORE 0.3F
#define QUANTIZE_IOU           0.9F

/* What is wanted unasked, and what is enough once much of the work is in float32 (quantize_search.c).
 * Both are more than CALIBRATION_AGREEMENT_MIN: pictures that chose the layers are kinder to them than
 * others. */
#define QUANTIZE_AGREEMENT_WANTED 0.99F
#define QUANTIZE_AGREEMENT_ENOUGH 0.975F

#define QUANTIZE_PICTURES_MIN   6
#define LIMIT_QUANTIZE_PICTURES 1000

struct quantize_settings {
    struct detector_settings detector;      /* its backend and precision are not looked at */
    const char              *out_path;      /* NULL: measure only; else replaced when all is done */
    float                    agreement_min; /* 0: QUANTIZE_AGREEMENT_WANTED */
    int                      picture_count;
    /* Picture `index` of 0..picture_count-1, several times each; the frame is given back with
     * frame_unref(). 0 or a negative code. */
    int (*picture)(void *context, int index, struct frame **frame, struct why *why);
    void *context;
    /* May be NULL: how far it is, 0..1, and with what; after every picture, that is, every few times
     * 10 ms. False: stop (ERR_CLOSED), and nothing is written. */
    bool (*progress)(void *context, float done, const char *what);
};

struct quantize_report {
    int   pictures, compared; /* all of them; those held back */
    int   boxes;              /* compared, of both sides */
    float agreement;          /* 0..1 */
    float agreement_all;      /* before any layer was kept in float32 */
    int   layers, kept;       /* with a range; of these in float32 */
};

/* ERR_LIMIT: too few or too many pictures, or no box on those held back. A model whose boxes do not
 * agree is written all the same, with what was measured: it runs in 8 bits only when asked to. */
int quantize_model(const struct quantize_settings *settings, struct quantize_report *report,
                   struct why *why);

/* How many of the boxes above QUANTIZE_SCORE of either side have a partner on the other; *asked is
 * how many there are. */
int quantize_matches(const struct box *a, int a_count, const struct box *b, int b_count,
                     int *asked);

#endif
