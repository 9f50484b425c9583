/* config/settings_input.h: the streams of a camera, as the file lists them. Inside of config/ only.
 *
 *   inputs:
 *     - {path: "rtsp://user:password@192.0.2.1/sub", roles: [detect]}  # analysed, and on the wall
 *     - {path: "rtsp://user:password@192.0.2.1/main", roles: [view]}   # shown when looked at large
 *
 * One input alone has both roles. `user` and `password` may stand beside a path instead of in it. A
 * view has an address (a file is one stream), and without credentials of its own the camera's are
 * used for it at the camera's host, nowhere else. An input that has neither role is refused, as is
 * `record`: who writes it wants something that is not done here. */
#ifndef SIGHTLINE_CONFIG_SETTINGS_INPUT_H
#define SIGHTLINE_CONFIG_SETTINGS_INPUT_H

#include "config/settings_yaml.h"

/* yaml_read_fn for "inputs" into a struct settings_camera: url, user, password and view. */
void settings_read_inputs(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                          void *target);

extern const struct yaml_key SETTINGS_INPUT_KEYS[]; /* of one input; ends with a NULL name */

#endif
