/* server/model_arguments.h: the command line of `sightline model`. */
#ifndef SIGHTLINE_SERVER_MODEL_ARGUMENTS_H
#define SIGHTLINE_SERVER_MODEL_ARGUMENTS_H

#include "config/why.h"
#include "gpu/detector.h"

#define MODEL_ARGUMENTS_THREADS 256
#define MODEL_ARGUMENTS_BATCH   1024
#define MODEL_ARGUMENTS_IMAGES  256

struct model_arguments {
    const char              *action; /* "check", "bench", "compare", "quantize" */
    struct detector_settings detector;
    struct class_rule        rules[CLASS_RULES_MAX];
    bool                     json, help;
    bool                     backend_given, precision_given;
    int                      batch;   /* 0: the backend's best */
    int                      threads; /* 1 unless given */
    double                   seconds;
    const char              *calibrate;         /* folder of pictures */
    int                      agreement_percent; /* 0: the quantizer's own */
    const char              *output;
    int                      image_count;
    const char              *images[MODEL_ARGUMENTS_IMAGES]; /* files to compare on */
};

extern const char MODEL_USAGE[];

/* argv[0] is "model". ERR_INVALID with the reason. The options point into argv. */
int model_arguments_parse(struct model_arguments *options, int argc, char **argv, struct why *why);

#endif
