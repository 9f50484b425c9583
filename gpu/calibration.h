/* gpu/calibration.h: the ranges of a network's numbers, which 8-bit layers need.
 *
 * They travel in the metadata of the ONNX file, as text, so that the file stays whole and every
 * other reader sees the ordinary network. The text is outside data like the rest of the file. */
#ifndef SIGHTLINE_GPU_CALIBRATION_H
#define SIGHTLINE_GPU_CALIBRATION_H

#include "gpu/graph.h"

#define CALIBRATION_KEY "sightline.calibration"

/* The share of boxes that must agree with float32 before 8 bits are chosen unasked. */
#define CALIBRATION_AGREEMENT_MIN 0.97F

#define LIMIT_CALIBRATION_VALUES   LIMIT_MODEL_VALUES
#define LIMIT_CALIBRATION_CHANNELS 65536
#define LIMIT_CALIBRATION_RANGE    1e6F

/* One value of the graph: the least, the greatest and the mean number of each channel, low <= 0 <=
 * high. */
struct calibrated {
    const char *name;
    bool        keep_float; /* whoever computes it does so in float32 */
    int         channels;
    float      *low, *high, *mean;
};

struct calibration {
    struct graph_memory memory;
    int                 count;
    struct calibrated  *values;    /* by name, each once */
    float               agreement; /* measured share of boxes, 0..1 */
    int                 boxes;     /* of how many */
    /* Not in a file: layers run in 8 bits even where all who read them want floats, which is no gain,
     * but shows what one layer alone does. */
    bool eager;
};

/* From the metadata of a model. ERR_NOT_FOUND when it has none; ERR_CORRUPT when it makes no sense.
 */
int  calibration_read(struct calibration *calibration, const struct model_info *info,
                      struct why *why);
int  calibration_parse(struct calibration *calibration, const char *text, struct why *why);
void calibration_free(struct calibration *calibration);

/* NULL when there is none of that name. */
const struct calibrated *calibration_find(const struct calibration *calibration, const char *name);

/* The text; to be freed. NULL: out of memory. Ranges lose a little: what is read back from it is
 * what counts. */
char *calibration_text(const struct calibration *calibration);

/* A copy of an ONNX file with `text` as the only calibration. To be freed; NULL with the reason. */
uint8_t *calibration_attach(const uint8_t *file, size_t count, const char *text, size_t *new_count,
                            struct why *why);

#endif
