/* server/model_place.h: which model file is used. */
#ifndef SIGHTLINE_SERVER_MODEL_PLACE_H
#define SIGHTLINE_SERVER_MODEL_PLACE_H

#include "config/limits.h"
#include "config/why.h"

/* `wanted` if it names a file, else the first of: models/default.onnx in the current folder,
 * ../share/sightline/default.onnx beside the program, /usr/share/sightline/default.onnx. ERR_NOT_FOUND with
 * words that say where to put one. */
int model_place(const char *wanted, char path[static LIMIT_PATH_BYTES], struct why *why);

#endif
