/* server/api/query.h: the arguments of a request, checked against what its route allows.
 *
 * A parameter that the route does not name, one given twice and a value that does not parse are errors
 * with a message: a mistyped `form=` must not silently answer for all time. Pure functions. */
#ifndef SIGHTLINE_SERVER_API_QUERY_H
#define SIGHTLINE_SERVER_API_QUERY_H

#include "config/limits.h"
#include "config/why.h"
#include "server/api/http_door.h"

#include <stdbool.h>
#include <stdint.h>

#define QUERY_MAX_RULES 6

enum query_kind {
    QUERY_NAME,   /* of a camera or counter: 1..63 bytes of UTF-8 */
    QUERY_NUMBER, /* 0..max */
    QUERY_TIME,   /* ISO 8601 with a zone, or Unix seconds */
    QUERY_CHOICE, /* one of `choices`; the number is its place */
};

struct query_rule {
    const char        *name; /* NULL ends a list */
    enum query_kind    kind;
    bool               required;
    uint64_t           max;     /* QUERY_NUMBER */
    const char *const *choices; /* QUERY_CHOICE, NULL-terminated */
};

struct query_value {
    bool     present;
    char     text[LIMIT_NAME_BYTES]; /* decoded, as given */
    uint64_t number;                 /* QUERY_NUMBER, QUERY_CHOICE */
    int64_t  time_s;                 /* QUERY_TIME, UTC */
};

/* values[i] belongs to rules[i]. 0, or ERR_INVALID with a message that names the parameter. */
int query_parse(struct http_text query, const struct query_rule *rules,
                struct query_value values[QUERY_MAX_RULES], struct why *why);

/* "2026-11-21T03:04:05Z", "...T03:04:05.678+01:00", "...T03:04Z" or "1795230245". False if it is none. */
bool query_parse_time(const char *text, int64_t *time_s);

#endif
