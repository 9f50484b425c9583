/* config/settings_camera.h: the part of the file under `cameras:`. Inside of config/ only. */
#ifndef SIGHTLINE_CONFIG_SETTINGS_CAMERA_H
#define SIGHTLINE_CONFIG_SETTINGS_CAMERA_H

#include "config/settings_yaml.h"

#include <stddef.h>

/* What reading works on: the settings, and the defaults that cameras begin with. `settings` is the
 * first member, so that offsets into struct settings hold. */
struct settings_read_target {
    struct settings settings;
    unsigned        default_classes;
};

/* yaml_read_fn for one entry of `cameras`; target: struct settings_read_target. */
void settings_read_camera(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                          void *target);
/* A list of class names into the bits at *target (unsigned). */
void settings_read_classes(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                           void *target);

#define TOKEN_MIN_BYTES 16 /* 16 random characters cannot be guessed at 5 tries a minute */

/* The keys of a camera and of what it has (those of an input: settings_input.h). A test walks them,
 * to see that each is written back for cameras that were added through the API. */
extern const struct yaml_key SETTINGS_CAMERA_KEYS[], SETTINGS_LINE_KEYS[], SETTINGS_ZONE_KEYS[],
    SETTINGS_MOTION_KEYS[]; /* each ends with a NULL name */

#endif
