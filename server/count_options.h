/* server/count_options.h: the arguments of `sightline count`. */
#ifndef SIGHTLINE_SERVER_COUNT_OPTIONS_H
#define SIGHTLINE_SERVER_COUNT_OPTIONS_H

#include "config/settings.h"
#include "config/why.h"

#include <stdbool.h>

struct count_options {
    const char             *source; /* as it was given; credentials and all */
    const char             *model;  /* NULL: the default */
    bool                    json;
    bool                    help;
    enum settings_isolation isolation;
    struct settings_camera  camera; /* named "video"; lines and zones relative to the picture */
};

/* Lines and zones may be given in pixels of the video (any number above 1) instead of parts of the picture: then the
 * file is opened for its size. ERR_INVALID with what to do. */
int count_options_parse(struct count_options *options, int argc, char **argv, struct why *why);

extern const char COUNT_USAGE[];

#endif
