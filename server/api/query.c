#include "server/api/query.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "config/err.h"
#include "config/hexadecimal.h"

/* 9999-12-31T23:59:59Z: later than that the text forms of other programs break. */
#define LAST_SECOND INT64_C(253402300799)

/* Into `text`, NUL-terminated; false if it does not fit or holds a control character or a broken escape. */
static bool decode(struct http_text from, char *text, size_t room)
{
    size_t used = 0;

    for (size_t i = 0; i < from.bytes; i++) {
        int c = (unsigned char)from.at[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%') {
            c = from.bytes - i < 3 ? -1 : hexadecimal_byte(from.at + i + 1);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f || used + 1 >= room)
            return false;
        text[used++] = (char)c;
    }
    text[used] = '\0';
    return true;
}

static bool parse_number(const char *text, uint64_t *number)
{
    size_t   digits = strspn(text, "0123456789");
    uint64_t value  = 0;

    if (digits == 0 || digits > 18 || text[digits] != '\0')
        return false;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    *number = value;
    return true;
}

/* `count` digits as a number in first..last; moves *text past them. */
static bool take_digits(const char **text, int count, int first, int last, int *number)
{
    int value = 0;

    for (int i = 0; i < count; i++) {
        char c = (*text)[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (c - '0');
    }
    *text += count;
    *number = value;
    return value >= first && value <= last;
}

static bool take(const char **text, char c)
{
    if (**text != c)
        return false;
    (*text)++;
    return true;
}

static bool take_zone(const char **text, int *offset_s)
{
    int sign = **text == '-' ? -1 : 1;
    int hours, minutes;

    *offset_s = 0;
    if (take(text, 'Z'))
        return true;
    /* A '+' that was not escaped arrives as a blank. */
    if (**text != '+' && **text != '-' && **text != ' ')
        return false;
    (*text)++;
    if (!take_digits(text, 2, 0, 23, &hours) || !take(text, ':') ||
        !take_digits(text, 2, 0, 59, &minutes))
        return false;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool query_parse_time(const char *text, int64_t *time_s)
{
    struct tm day = {0};
    struct tm check;
    uint64_t  seconds;
    time_t    moment;
    int       year, month, offset_s;

    if (parse_number(text, &seconds)) {
        *time_s = (int64_t)seconds;
        return *time_s <= LAST_SECOND;
    }
    if (!take_digits(&text, 4, 1970, 9999, &year) || !take(&text, '-') ||
        !take_digits(&text, 2, 1, 12, &day.tm_mon) || !take(&text, '-') ||
        !take_digits(&text, 2, 1, 31, &day.tm_mday) || !take(&text, 'T') ||
        !take_digits(&text, 2, 0, 23, &day.tm_hour) || !take(&text, ':') ||
        !take_digits(&text, 2, 0, 59, &day.tm_min))
        return false;
    if (take(&text, ':')) {
        if (!take_digits(&text, 2, 0, 60, &day.tm_sec))
            return false;
        if (take(&text, '.')) {
            size_t digits = strspn(text, "0123456789");
            if (digits == 0 || digits > 9)
                return false;
            text += digits;
        }
    }
    if (!take_zone(&text, &offset_s) || *text != '\0')
        return false;
    day.tm_year = year - 1900;
    day.tm_mon -= 1;
    month  = day.tm_mon;
    moment = timegm(&day);
    /* The 31st of a short month would have become the 1st of the next. */
    if (gmtime_r(&moment, &check) == NULL || check.tm_mon != month)
        return false;
    *time_s = (int64_t)moment - offset_s;
    return *time_s >= 0 && *time_s <= LAST_SECOND;
}

static int read_choice(const struct query_rule *rule, struct query_value *value, struct why *why)
{
    char   all[128];
    size_t used = 0;

    for (uint64_t i = 0; rule->choices[i] != NULL; i++) {
        if (strcmp(rule->choices[i], value->text) == 0) {
            value->number = i;
            return 0;
        }
    }
    for (int i = 0; rule->choices[i] != NULL && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? "" : ", ",
                                 rule->choices[i]);
    return why_set(why, ERR_INVALID, "%s is one of: %s", rule->name, all);
}

static int read_value(const struct query_rule *rule, struct http_text raw,
                      struct query_value *value, struct why *why)
{
    if (value->present)
        return why_set(why, ERR_INVALID, "%s is given twice", rule->name);
    if (!decode(raw, value->text, sizeof value->text) || value->text[0] == '\0')
        return why_set(why, ERR_INVALID, "%s must have 1 to %d bytes without control characters",
                       rule->name, LIMIT_NAME_BYTES - 1);
    value->present = true;
    switch (rule->kind) {
    case QUERY_NAME:
        return 0;
    case QUERY_NUMBER:
        if (!parse_number(value->text, &value->number) || value->number > rule->max)
            return why_set(why, ERR_INVALID, "%s must be a number from 0 to %llu", rule->name,
                           (unsigned long long)rule->max);
        return 0;
    case QUERY_TIME:
        if (!query_parse_time(value->text, &value->time_s))
            return why_set(why, ERR_INVALID,
                           "%s must be a time such as 2026-11-21T03:04:05Z or Unix seconds",
                           rule->name);
        return 0;
    case QUERY_CHOICE:
        return read_choice(rule, value, why);
    }
    return why_set(why, ERR_INVALID, "%s cannot be read", rule->name);
}

static int read_pair(struct http_text pair, const struct query_rule *rules,
                     struct query_value *values, struct why *why)
{
    const char      *equals = memchr(pair.at, '=', pair.bytes);
    struct http_text key    = pair;
    struct http_text raw    = {0};
    char             name[LIMIT_NAME_BYTES];

    if (equals != NULL) {
        key.bytes = (size_t)(equals - pair.at);
        raw       = (struct http_text){equals + 1, pair.bytes - key.bytes - 1};
    }
    if (!decode(key, name, sizeof name))
        return why_set(why, ERR_INVALID, "a parameter's name cannot be read");
    for (int i = 0; rules != NULL && i < QUERY_MAX_RULES && rules[i].name != NULL; i++) {
        if (strcmp(rules[i].name, name) == 0)
            return read_value(&rules[i], raw, &values[i], why);
    }
    return why_set(why, ERR_INVALID, "there is no parameter \"%s\" here", name);
}

int query_parse(struct http_text query, const struct query_rule *rules,
                struct query_value values[QUERY_MAX_RULES], struct why *why)
{
    size_t from = 0;
    int    rc;

    memset(values, 0, QUERY_MAX_RULES * sizeof values[0]);
    for (size_t i = 0; i <= query.bytes && query.bytes > 0; i++) {
        if (i < query.bytes && query.at[i] != '&')
            continue;
        rc = read_pair((struct http_text){query.at + from, i - from}, rules, values, why);
        if (rc != 0)
            return rc;
        from = i + 1;
    }
    for (int i = 0; rules != NULL && i < QUERY_MAX_RULES && rules[i].name != NULL; i++) {
        if (rules[i].required && !values[i].present)
            return why_set(why, ERR_INVALID, "the parameter %s is needed", rules[i].name);
    }
    return 0;
}
