/* server/model_settings.h: from what the configuration says of the network to a detector. */
#ifndef SIGHTLINE_SERVER_MODEL_SETTINGS_H
#define SIGHTLINE_SERVER_MODEL_SETTINGS_H

#include "config/settings.h"
#include "gpu/detector.h"

#define MODEL_TEXT_BYTES 512

/* `text` receives what people are shown: file, head and backend. What detector_open() says, or
 * ERR_NOT_FOUND when there is no such file. Any thread. */
int model_settings_open(struct detector **out, const struct settings_model *model,
                        char text[MODEL_TEXT_BYTES], struct why *why);

#endif
