#include "config/settings_value.h"

#include <string.h>

void settings_read_flag(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target)
{
    (void)key;
    yaml_bool(reader, value, target);
}

void settings_read_name(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target)
{
    (void)key;
    yaml_text(reader, value, target, LIMIT_NAME_BYTES);
}

void settings_read_user(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target)
{
    (void)key;
    if (yaml_text(reader, value, target, LIMIT_NAME_BYTES))
        yaml_substitute(reader, value, target, LIMIT_NAME_BYTES);
}

void settings_read_path(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target)
{
    (void)key;
    if (yaml_text(reader, value, target, LIMIT_PATH_BYTES) &&
        yaml_substitute(reader, value, target, LIMIT_PATH_BYTES))
        yaml_path(reader, value, target, LIMIT_PATH_BYTES);
}

void settings_read_secret(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                          void *target)
{
    (void)key;
    yaml_secret(reader, value, target);
}

int settings_choose(struct yaml_reader *reader, yaml_node_t *value, const char *what,
                    const char *const *words, const char *listed)
{
    char text[32];

    if (!yaml_text(reader, value, text, sizeof text))
        return -1;
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0)
            return i;
    }
    yaml_problem(reader, value, "\"%s\" is no %s: %s", text, what, listed);
    return -1;
}
