/* config/settings_value.h: readers of single values that several tables of keys share. Inside of
 * config/ only; each but the last is a yaml_read_fn with the target that it names. */
#ifndef SIGHTLINE_CONFIG_SETTINGS_VALUE_H
#define SIGHTLINE_CONFIG_SETTINGS_VALUE_H

#include "config/settings_yaml.h"

/* bool. */
void settings_read_flag(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target);
/* char[LIMIT_NAME_BYTES]: as it stands there. */
void settings_read_name(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target);
/* char[LIMIT_NAME_BYTES], with placeholders. */
void settings_read_user(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target);
/* char[LIMIT_PATH_BYTES], with placeholders; a relative one begins at the file's folder. */
void settings_read_path(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target);
/* struct secret. */
void settings_read_secret(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                          void *target);

/* The number of the word among `words`, which end with NULL; -1 with the problem that it is no
 * `what`: `listed`. */
int settings_choose(struct yaml_reader *reader, yaml_node_t *value, const char *what,
                    const char *const *words, const char *listed);

#endif
