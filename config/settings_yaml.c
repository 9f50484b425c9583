#include "config/settings_yaml.h"

#include "config/err.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Deeper than any valid document of ours; only for finding a place to show. */
#define DEPTH_MAX 16

static struct fy_token *first_scalar(struct fy_node *node, int depth)
{
    void                *iterator = NULL;
    struct fy_node_pair *pair;

    if (node == NULL || depth > DEPTH_MAX)
        return NULL;
    if (fy_node_is_scalar(node))
        return fy_node_get_scalar_token(node);
    if (fy_node_is_sequence(node))
        return first_scalar(fy_node_sequence_iterate(node, &iterator), depth + 1);
    pair = fy_node_mapping_iterate(node, &iterator);
    return pair == NULL ? NULL : first_scalar(fy_node_pair_key(pair), depth + 1);
}

static void add_problem(struct settings_problems *problems, const char *file, int line, int column,
                        const char *text)
{
    if (problems->count < SETTINGS_MAX_PROBLEMS)
        why_set(&problems->problem[problems->count], 0, "%s:%d:%d: %s", file, line, column, text);
    problems->count++;
}

void yaml_problem(struct yaml_reader *reader, struct fy_node *node, const char *format, ...)
{
    char                  text[400];
    va_list               arguments;
    struct fy_token      *token = first_scalar(node, 0);
    const struct fy_mark *mark  = token == NULL ? NULL : fy_token_start_mark(token);

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* libfyaml counts lines and columns from 0. */
    add_problem(reader->problems, reader->file, mark == NULL ? 1 : mark->line + 1,
                mark == NULL ? 1 : mark->column + 1, text);
}

struct fy_node *yaml_resolve(struct fy_node *node)
{
    for (int depth = 0; node != NULL && fy_node_is_alias(node); depth++) {
        if (depth > DEPTH_MAX)
            return NULL;
        node = fy_node_resolve_alias(node);
    }
    return node;
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

static void unknown_key(struct yaml_reader *reader, struct fy_node *key, const char *name,
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

static bool is_mapping(struct yaml_reader *reader, struct fy_node *node, const char *what)
{
    if (node != NULL && fy_node_is_mapping(node))
        return true;
    yaml_problem(reader, node, "%s must be a mapping (\"key: value\" lines)", what);
    return false;
}

void yaml_read_table(struct yaml_reader *reader, struct fy_node *mapping, const char *what,
                     const struct yaml_key *table, void *target)
{
    void                *iterator = NULL;
    struct fy_node_pair *pair;

    mapping = yaml_resolve(mapping);
    if (!is_mapping(reader, mapping, what))
        return;
    while ((pair = fy_node_mapping_iterate(mapping, &iterator)) != NULL) {
        struct fy_node        *key   = fy_node_pair_key(pair);
        struct fy_node        *value = yaml_resolve(fy_node_pair_value(pair));
        const struct yaml_key *known = table;
        char                   name[LIMIT_NAME_BYTES];
        if (!yaml_text(reader, key, name, sizeof name))
            continue;
        while (known->name != NULL && strcmp(known->name, name) != 0)
            known++;
        if (known->name == NULL)
            unknown_key(reader, key, name, what, table);
        else if (value == NULL)
            yaml_problem(reader, key, "\"%s\" has no value", name);
        else
            known->read(reader, key, value, (char *)target + known->offset);
    }
}

void yaml_read_names(struct yaml_reader *reader, struct fy_node *mapping, const char *what,
                     int limit, yaml_read_fn *read, void *target)
{
    void                *iterator = NULL;
    struct fy_node_pair *pair;
    int                  count = 0;

    mapping = yaml_resolve(mapping);
    if (!is_mapping(reader, mapping, what))
        return;
    while ((pair = fy_node_mapping_iterate(mapping, &iterator)) != NULL) {
        struct fy_node *key   = fy_node_pair_key(pair);
        struct fy_node *value = yaml_resolve(fy_node_pair_value(pair));
        struct why      why;
        char            name[LIMIT_NAME_BYTES];
        if (!yaml_text(reader, key, name, sizeof name))
            continue;
        if (settings_check_name(name, &why) != 0) {
            yaml_problem(reader, key, "%s", why.text);
        } else if (count == limit) {
            yaml_problem(reader, key, "more than %d %s", limit, what);
            return;
        } else if (value == NULL) {
            yaml_problem(reader, key, "\"%s\" has no value", name);
        } else {
            count++;
            read(reader, key, value, target);
        }
    }
}

bool yaml_text(struct yaml_reader *reader, struct fy_node *node, char *text, size_t room)
{
    size_t      bytes = 0;
    const char *value;

    node  = yaml_resolve(node);
    value = node == NULL || !fy_node_is_scalar(node) ? NULL : fy_node_get_scalar(node, &bytes);
    if (value == NULL) {
        yaml_problem(reader, node, "expected a single value here");
        return false;
    }
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

bool yaml_number(struct yaml_reader *reader, struct fy_node *node, double low, double high,
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

bool yaml_int(struct yaml_reader *reader, struct fy_node *node, long low, long high, long *value)
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

bool yaml_bool(struct yaml_reader *reader, struct fy_node *node, bool *value)
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

bool yaml_path(struct yaml_reader *reader, struct fy_node *node, char *path, size_t room)
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
