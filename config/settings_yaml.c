#include "config/settings_yaml.h"

#include "config/err.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More keys than any mapping of ours has; it bounds the search for the same key twice. */
#define MAPPING_KEYS_MAX 4096

static void add_problem(struct settings_problems *problems, const char *file, int line, int column,
                        const char *text)
{
    if (problems->count < SETTINGS_MAX_PROBLEMS)
        why_set(&problems->problem[problems->count], 0, "%s:%d:%d: %s", file, line, column, text);
    problems->count++;
}

void yaml_problem(struct yaml_reader *reader, yaml_node_t *node, const char *format, ...)
{
    char    text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* libyaml counts lines and columns from 0. */
    add_problem(reader->problems, reader->file, node == NULL ? 1 : (int)node->start_mark.line + 1,
                node == NULL ? 1 : (int)node->start_mark.column + 1, text);
}

yaml_node_t *yaml_item(struct yaml_reader *reader, yaml_node_t *sequence, int index)
{
    if (sequence->type != YAML_SEQUENCE_NODE ||
        sequence->data.sequence.items.start + index >= sequence->data.sequence.items.top)
        return NULL;
    return yaml_document_get_node(reader->document, sequence->data.sequence.items.start[index]);
}

/* The key and value number `index` of a mapping; false past the end. */
static bool pair_at(struct yaml_reader *reader, yaml_node_t *mapping, int index, yaml_node_t **key,
                    yaml_node_t **value)
{
    yaml_node_pair_t *pair = mapping->data.mapping.pairs.start + index;

    if (pair >= mapping->data.mapping.pairs.top)
        return false;
    *key   = yaml_document_get_node(reader->document, pair->key);
    *value = yaml_document_get_node(reader->document, pair->value);
    return true;
}

static bool same_scalar(const yaml_node_t *a, const yaml_node_t *b)
{
    return a->type == YAML_SCALAR_NODE && b->type == YAML_SCALAR_NODE &&
           a->data.scalar.length == b->data.scalar.length &&
           memcmp(a->data.scalar.value, b->data.scalar.value, a->data.scalar.length) == 0;
}

yaml_node_t *yaml_child(struct yaml_reader *reader, yaml_node_t *mapping, const char *name)
{
    yaml_node_t *key;
    yaml_node_t *value;

    if (mapping == NULL || mapping->type != YAML_MAPPING_NODE)
        return NULL;
    for (int i = 0; pair_at(reader, mapping, i, &key, &value); i++) {
        if (key->type == YAML_SCALAR_NODE &&
            strcmp((const char *)key->data.scalar.value, name) == 0)
            return value;
    }
    return NULL;
}

bool yaml_is_empty(const yaml_node_t *node)
{
    const char *text;

    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    text = (const char *)node->data.scalar.value;
    return text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

int yaml_edit_distance(const char *a, const char *b)
{
    int    row[LIMIT_NAME_BYTES + 1];
    size_t a_count = strlen(a);
    size_t b_count = strlen(b);

    if (a_count > LIMIT_NAME_BYTES || b_count > LIMIT_NAME_BYTES)
        return LIMIT_NAME_BYTES;
    for (size_t j = 0; j <= b_count; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= a_count; i++) {
        int diagonal = row[0];
        row[0]       = (int)i;
        for (size_t j = 1; j <= b_count; j++) {
            int above  = row[j];
            int change = diagonal + (a[i - 1] != b[j - 1]);
            int best   = above + 1 < row[j - 1] + 1 ? above + 1 : row[j - 1] + 1;
            row[j]     = best < change ? best : change;
            diagonal   = above;
        }
    }
    return row[b_count];
}

static void unknown_key(struct yaml_reader *reader, yaml_node_t *key, const char *name,
                        const char *what, const struct yaml_key *table)
{
    const char *nearest  = NULL;
    int         distance = 4; /* more than three edits is another word */

    for (const struct yaml_key *known = table; known->name != NULL; known++) {
        int edits = yaml_edit_distance(name, known->name);
        if (edits < distance && edits < (int)strlen(known->name)) {
            distance = edits;
            nearest  = known->name;
        }
    }
    if (strcmp(name, "<<") == 0)
        yaml_problem(reader, key,
                     "merge keys (<<) are not supported; use an alias for a whole value");
    else if (nearest != NULL)
        yaml_problem(reader, key, "unknown key \"%s\" in %s; did you mean \"%s\"?", name, what,
                     nearest);
    else
        yaml_problem(reader, key, "unknown key \"%s\" in %s", name, what);
}

/* A mapping that is not absurd and gives no key twice; otherwise false and a problem. */
static bool is_mapping(struct yaml_reader *reader, yaml_node_t *node, const char *what)
{
    yaml_node_t *key;
    yaml_node_t *other;
    yaml_node_t *value;

    if (node == NULL || node->type != YAML_MAPPING_NODE) {
        yaml_problem(reader, node, "%s must be a mapping (\"key: value\" lines)", what);
        return false;
    }
    for (int i = 0; pair_at(reader, node, i, &key, &value); i++) {
        if (i == MAPPING_KEYS_MAX) {
            yaml_problem(reader, key, "more than %d keys in %s", MAPPING_KEYS_MAX, what);
            return false;
        }
        for (int j = 0; j < i && pair_at(reader, node, j, &other, &value); j++) {
            if (same_scalar(key, other)) {
                yaml_problem(reader, key, "this key of %s stands in line %zu already", what,
                             other->start_mark.line + 1);
                return false;
            }
        }
    }
    return true;
}

void yaml_read_table(struct yaml_reader *reader, yaml_node_t *mapping, const char *what,
                     const struct yaml_key *table, void *target)
{
    yaml_node_t *key;
    yaml_node_t *value;

    if (!is_mapping(reader, mapping, what))
        return;
    for (int i = 0; pair_at(reader, mapping, i, &key, &value); i++) {
        const struct yaml_key *known = table;
        char                   name[LIMIT_NAME_BYTES];
        if (!yaml_text(reader, key, name, sizeof name))
            continue;
        while (known->name != NULL && strcmp(known->name, name) != 0)
            known++;
        if (known->name == NULL)
            unknown_key(reader, key, name, what, table);
        else if (known->keys != NULL)
            yaml_read_table(reader, value, known->name, known->keys,
                            (char *)target + known->offset);
        else
            known->read(reader, key, value, (char *)target + known->offset);
    }
}

void yaml_read_names(struct yaml_reader *reader, yaml_node_t *mapping, const char *what, int limit,
                     yaml_read_fn *read, void *target)
{
    yaml_node_t *key;
    yaml_node_t *value;
    int          count = 0;

    if (!is_mapping(reader, mapping, what))
        return;
    for (int i = 0; pair_at(reader, mapping, i, &key, &value); i++) {
        struct why why;
        char       name[LIMIT_NAME_BYTES];
        if (!yaml_text(reader, key, name, sizeof name))
            continue;
        if (settings_check_name(name, &why) != 0) {
            yaml_problem(reader, key, "%s", why.text);
        } else if (count == limit) {
            yaml_problem(reader, key, "more than %d %s", limit, what);
            return;
        } else {
            count++;
            read(reader, key, value, target);
        }
    }
}

bool yaml_text(struct yaml_reader *reader, yaml_node_t *node, char *text, size_t room)
{
    size_t      bytes;
    const char *value;

    if (node == NULL || node->type != YAML_SCALAR_NODE) {
        yaml_problem(reader, node, "expected a single value here");
        return false;
    }
    value = (const char *)node->data.scalar.value;
    bytes = node->data.scalar.length;
    if (bytes >= room) {
        yaml_problem(reader, node, "value is longer than %zu bytes", room - 1);
        return false;
    }
    if (memchr(value, '\0', bytes) != NULL || memchr(value, '\n', bytes) != NULL) {
        yaml_problem(reader, node, "value must be one line of text");
        return false;
    }
    memset(text, 0, room);
    memcpy(text, value, bytes);
    return true;
}

bool yaml_number(struct yaml_reader *reader, yaml_node_t *node, double low, double high,
                 double *value)
{
    char   text[64];
    char  *end;
    double number;

    if (!yaml_text(reader, node, text, sizeof text))
        return false;
    number = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(number) || number < low || number > high) {
        yaml_problem(reader, node, "\"%s\" is not a number from %g to %g", text, low, high);
        return false;
    }
    *value = number;
    return true;
}

bool yaml_int(struct yaml_reader *reader, yaml_node_t *node, long low, long high, long *value)
{
    char  text[64];
    char *end;
    long  number;

    if (!yaml_text(reader, node, text, sizeof text))
        return false;
    errno  = 0;
    number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || number < low || number > high) {
        yaml_problem(reader, node, "\"%s\" is not a whole number from %ld to %ld", text, low, high);
        return false;
    }
    *value = number;
    return true;
}

bool yaml_bool(struct yaml_reader *reader, yaml_node_t *node, bool *value)
{
    char text[64];

    if (!yaml_text(reader, node, text, sizeof text))
        return false;
    /* What YAML 1.1 and 1.2 and people write. */
    if (strcasecmp(text, "true") == 0 || strcasecmp(text, "yes") == 0 ||
        strcasecmp(text, "on") == 0) {
        *value = true;
    } else if (strcasecmp(text, "false") == 0 || strcasecmp(text, "no") == 0 ||
               strcasecmp(text, "off") == 0) {
        *value = false;
    } else {
        yaml_problem(reader, node, "\"%s\" is neither true nor false", text);
        return false;
    }
    return true;
}

bool yaml_path(struct yaml_reader *reader, yaml_node_t *node, char *path, size_t room)
{
    char relative[LIMIT_PATH_BYTES];

    if (path[0] == '/' || path[0] == '\0' || reader->folder[0] == '\0')
        return true;
    snprintf(relative, sizeof relative, "%s", path);
    if ((size_t)snprintf(path, room, "%s/%s", reader->folder, relative) >= room) {
        yaml_problem(reader, node, "path is too long");
        return false;
    }
    return true;
}
