/* gpu/model_about.h: what stands in an ONNX file, whether it can be run or not.
 *
 * model_load() stops at the first thing that it cannot use; a person who chooses an export wants to
 * hear of all of them. The file is hostile: everything is copied within the bounds below. */
#ifndef SIGHTLINE_GPU_MODEL_ABOUT_H
#define SIGHTLINE_GPU_MODEL_ABOUT_H

#include "config/why.h"

#include <stdbool.h>
#include <stdint.h>

#define MODEL_ABOUT_OPERATORS 256 /* kinds; ONNX has about 200 */
#define MODEL_ABOUT_TENSORS   32  /* inputs or outputs */

struct model_about_operator {
    char        name[64]; /* with its domain when that is not ONNX's own */
    int         count;
    bool        known;
    const char *advice; /* of one that is not known: what to do; static */
};

struct model_about_tensor {
    char name[64];
    char shape[64]; /* "1x3x416x416", "?" where the file leaves it open */
    char type[16];  /* "float32" */
};

struct model_about {
    char                        producer[96]; /* empty: not said */
    int64_t                     ir_version, opset;
    int64_t                     file_bytes, node_count;
    int                         input_count, output_count; /* those kept below */
    struct model_about_tensor   input[MODEL_ABOUT_TENSORS], output[MODEL_ABOUT_TENSORS];
    int                         operator_count;
    struct model_about_operator operators[MODEL_ABOUT_OPERATORS]; /* most used first */
    int                         unknown_count;                    /* kinds that are not known */
};

/* ERR_NOT_FOUND, ERR_IO, ERR_INVALID (no ONNX file), ERR_LIMIT, ERR_MEMORY. */
int model_about_read(struct model_about *about, const char *path, struct why *why);

/* The operators that a model may use, by number from 0 on, in order of their names; NULL behind the
 * last. */
const char *model_about_known(int number);

#endif
