/* server/model_tools.h: what `sightline model` does, one function for each action. Results go to
 * standard output; each returns the exit code, the reason of a failure is on standard error. */
#ifndef SIGHTLINE_SERVER_MODEL_TOOLS_H
#define SIGHTLINE_SERVER_MODEL_TOOLS_H

#include "config/json_writer.h"
#include "server/model_arguments.h"

#define MODEL_JSON_MAX_BYTES (4 << 20)

int model_check(const struct model_arguments *options);    /* model_check.c */
int model_bench(const struct model_arguments *options);    /* model_bench.c */
int model_compare(const struct model_arguments *options);  /* model_compare.c */
int model_quantize(const struct model_arguments *options); /* model_quantize.c */

/* "sightline model: reason", and 1. */
int model_fail(const struct why *why);
/* Writes the document and a line's end; frees it. The exit code. */
int model_print_json(struct json_writer *json);

#endif
