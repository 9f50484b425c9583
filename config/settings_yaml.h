/* config/settings_yaml.h: the reading of a YAML document by a table of keys, with every problem
 * reported at its place. Inside of config/ only.
 *
 * A value that cannot be read leaves its target as it was and adds a problem; reading goes on, so
 * that a user sees everything that is wrong at once. An alias (*name) is the node that it stands for, even
 * when that is around itself: a document may be a ring, so reading goes by the tables' depth alone. Merge
 * keys (<<) are refused. */
#ifndef SIGHTLINE_CONFIG_SETTINGS_YAML_H
#define SIGHTLINE_CONFIG_SETTINGS_YAML_H

#include "config/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <yaml.h>

struct yaml_reader {
    yaml_document_t          *document;                 /* owns every node */
    const char               *file;                     /* as it is shown in problems */
    char                      folder[LIMIT_PATH_BYTES]; /* relative paths begin here */
    struct settings_problems *problems;
    /* The file is the server's own, with what came through the API: nothing in it stands for
     * something else on this machine (no placeholders, no paths of files). */
    bool managed;
    char data[LIMIT_PATH_BYTES]; /* the data folder, where the key of sealed passwords lies */
};

/* Adds "file:line:column: text" for the place of `node` (NULL: the beginning of the file). */
void yaml_problem(struct yaml_reader *reader, yaml_node_t *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

typedef void yaml_read_fn(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                          void *target);
struct yaml_key {
    const char            *name;
    yaml_read_fn          *read;   /* NULL: the value is a mapping, read by `keys` */
    size_t                 offset; /* added to the target that the table is read into */
    const struct yaml_key *keys;
};
/* Reads a mapping by a table that ends with a NULL name; unknown keys are problems that name the nearest known
 * one. `what` names the mapping in messages: "http". */
void yaml_read_table(struct yaml_reader *reader, yaml_node_t *mapping, const char *what,
                     const struct yaml_key *table, void *target);

/* Calls `read` for each key of a mapping whose keys are names of the user's, at most `limit`. */
void yaml_read_names(struct yaml_reader *reader, yaml_node_t *mapping, const char *what, int limit,
                     yaml_read_fn *read, void *target);

/* Item number `index` of a sequence; NULL past the end, and when it is no sequence. */
yaml_node_t *yaml_item(struct yaml_reader *reader, yaml_node_t *sequence, int index);
/* The value of a key; NULL when there is none, or when `mapping` is NULL or no mapping. */
yaml_node_t *yaml_child(struct yaml_reader *reader, yaml_node_t *mapping, const char *name);
/* "key:" with nothing behind it, or null. */
bool yaml_is_empty(const yaml_node_t *node);

/* Copies a scalar's text; a problem when it is no scalar, too long, or holds a NUL or newline. */
bool yaml_text(struct yaml_reader *reader, yaml_node_t *node, char *text, size_t room);
bool yaml_int(struct yaml_reader *reader, yaml_node_t *node, long low, long high, long *value);
bool yaml_number(struct yaml_reader *reader, yaml_node_t *node, double low, double high,
                 double *value);
bool yaml_bool(struct yaml_reader *reader, yaml_node_t *node, bool *value);

/* Replaces {SIGHTLINE_NAME}, {FRIGATE_NAME} (environment, then secret files) and {file:PATH} in place. What is put
 * into the user part of a URL is percent-encoded. False with a problem when a name is unknown. */
bool yaml_substitute(struct yaml_reader *reader, yaml_node_t *node, char *text, size_t room);

/* A password: sealed, as text, or with placeholders. */
void yaml_secret(struct yaml_reader *reader, yaml_node_t *node, struct secret *secret);

/* Makes a relative path begin at the configuration file's folder. */
bool yaml_path(struct yaml_reader *reader, yaml_node_t *node, char *path, size_t room);

/* Smallest number of edits that make `a` into `b`, for "did you mean". */
int yaml_edit_distance(const char *a, const char *b);

#endif
