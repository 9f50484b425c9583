/* config/settings_model.h: which network is used and how, as the file says it. Inside of config/
 * only.
 *
 *   model: street.onnx
 *   model: {file: street.onnx, head: yolov8, classes: names.txt, class_map: {van: car}, ...} */
#ifndef SIGHTLINE_CONFIG_SETTINGS_MODEL_H
#define SIGHTLINE_CONFIG_SETTINGS_MODEL_H

#include "config/settings_yaml.h"

/* yaml_read_fn; target: struct settings_model. */
void settings_read_model(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                         void *target);

#endif
