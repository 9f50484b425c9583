/* config/settings_yaml.h: the reading of a YAML document by a table of keys, with every problem
 * reported at its place. Inside of config/ only.
 *
 * A value that cannot be read leaves its target as it was and adds a problem; reading goes on, so
 * that a user sees everything that is wrong at once. Aliases (*name) are followed; merge keys (<<) are refused. */
#ifndef SIGHTLINE_CONFIG_SETTINGS_YAML_H
#define SIGHTLINE_CONFIG_SETTINGS_YAML_H

#include "config/settings.h"

#include <libfyaml.h>
#include <stdbool.h>
#include <stddef.h>

struct yaml_reader {
    const char               *file;                     /* as it is shown in problems */
    char                      folder[LIMIT_PATH_BYTES]; /* relative paths begin here */
    struct settings_problems *problems;
};

/* Adds "file:line:column: text" for the place of `node` (NULL: the beginning of the file). */
void yaml_problem(struct yaml_reader *reader, struct fy_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

typedef void yaml_read_fn(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                          void *target);
struct yaml_key {
    const char   *name;
    yaml_read_fn *read;
    size_t        offset; /* added to the target that the table is read into */
};
/* Reads a mapping by a table that ends with a NULL name; unknown keys are problems that name the nearest known
 * one. `what` names the mapping in messages: "http". */
void yaml_read_table(struct yaml_reader *reader, struct fy_node *mapping, const char *what,
                     const struct yaml_key *table, void *target);

/* Calls `read` for each key of a mapping whose keys are names of the user's, at most `limit`. */
void yaml_read_names(struct yaml_reader *reader, struct fy_node *mapping, const char *what,
                     int limit, yaml_read_fn *read, void *target);

/* The node an alias stands for; the node itself otherwise. May be NULL for a dangling alias. */
struct fy_node *yaml_resolve(struct fy_node *node);

/* Copies a scalar's text; a problem when it is no scalar, too long, or holds a NUL or newline. */
bool yaml_text(struct yaml_reader *reader, struct fy_node *node, char *text, size_t room);
bool yaml_int(struct yaml_reader *reader, struct fy_node *node, long low, long high, long *value);
bool yaml_number(struct yaml_reader *reader, struct fy_node *node, double low, double high,
                 double *value);
bool yaml_bool(struct yaml_reader *reader, struct fy_node *node, bool *value);

/* Replaces {SIGHTLINE_NAME}, {FRIGATE_NAME} (environment, then secret files) and {file:PATH} in place. What is put
 * into the user part of a URL is percent-encoded. False with a problem when a name is unknown. */
bool yaml_substitute(struct yaml_reader *reader, struct fy_node *node, char *text, size_t room);

/* Makes a relative path begin at the configuration file's folder. */
bool yaml_path(struct yaml_reader *reader, struct fy_node *node, char *path, size_t room);

/* Smallest number of edits that make `a` into `b`, for "did you mean". */
int yaml_edit_distance(const char *a, const char *b);

#endif
