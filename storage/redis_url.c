#include "storage/redis_url.h"

#include "config/err.h"
#include "config/hexadecimal.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define SCHEME       "redis://"
#define DEFAULT_PORT "6379"

/* Percent-decodes [from, to) into a text of at most room - 1 bytes. */
static bool decode(char *out, size_t room, const char *from, const char *to)
{
    size_t count = 0;

    while (from < to) {
        char c = *from++;

        if (c == '%') {
            int byte = to - from >= 2 ? hexadecimal_byte(from) : -1;

            if (byte <= 0)
                return false;
            c = (char)byte;
            from += 2;
        }
        if (count + 1 >= room)
            return false;
        out[count++] = c;
    }
    out[count] = '\0';
    return true;
}

/* 1 to `digits` digits, up to `most`. */
static bool take_number(char *out, const char *from, const char *to, int digits, long most)
{
    long number = 0;

    if (from == to || to - from > digits)
        return false;
    for (const char *at = from; at < to; at++) {
        if (*at < '0' || *at > '9')
            return false;
        number = number * 10 + (*at - '0');
    }
    memcpy(out, from, (size_t)(to - from));
    out[to - from] = '\0';
    return number <= most;
}

static bool take_credentials(struct redis_url *url, const char *from, const char *to)
{
    const char *colon = memchr(from, ':', (size_t)(to - from));

    /* "redis://secret@host" is read as a user by some and as a password by others: say which. */
    if (colon == NULL)
        return false;
    return decode(url->user, sizeof url->user, from, colon) &&
           decode(url->password, sizeof url->password, colon + 1, to) && url->password[0] != '\0';
}

static bool take_host(struct redis_url *url, const char *from, const char *to)
{
    const char *end = from, *port = NULL;

    if (from < to && *from == '[') {
        end = memchr(from, ']', (size_t)(to - from));
        if (end == NULL)
            return false;
        port = end + 1;
        from++;
    } else {
        end = memchr(from, ':', (size_t)(to - from));
        if (end == NULL)
            end = to;
        port = end;
    }
    if (end == from || (size_t)(end - from) >= sizeof url->host)
        return false;
    for (const char *at = from; at < end; at++) {
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f)
            return false;
    }
    memcpy(url->host, from, (size_t)(end - from));
    if (port == to) {
        memcpy(url->port, DEFAULT_PORT, sizeof DEFAULT_PORT);
        return true;
    }
    return *port == ':' && take_number(url->port, port + 1, to, 5, 65535);
}

int redis_url_parse(struct redis_url *url, const char *text, struct why *why)
{
    const char *rest, *end, *at = NULL;

    memset(url, 0, sizeof *url);
    if (strncmp(text, "rediss://", 9) == 0)
        return why_set(
            why, ERR_UNSUPPORTED,
            "Redis over TLS (rediss://) is not supported: use redis:// in a network that you "
            "trust, or a tunnel");
    if (strncmp(text, SCHEME, strlen(SCHEME)) != 0)
        return why_set(why, ERR_INVALID, "the address of Redis must begin with redis://");
    rest = text + strlen(SCHEME);
    end  = rest + strcspn(rest, "/");
    /* The last @: an unencoded one may be in a password. */
    for (const char *c = rest; c < end; c++) {
        if (*c == '@')
            at = c;
    }
    if (at != NULL && !take_credentials(url, rest, at))
        return why_set(why, ERR_INVALID,
                       "the address of Redis needs its password as redis://:password@host or "
                       "redis://user:password@host, with special characters percent-encoded");
    if (!take_host(url, at != NULL ? at + 1 : rest, end))
        return why_set(why, ERR_INVALID, "the address of Redis has no valid host and port");
    if (*end == '/' && end[1] != '\0' &&
        !take_number(url->database, end + 1, end + strlen(end), 5, 65535))
        return why_set(why, ERR_INVALID,
                       "the address of Redis must end with the number of a database");
    return 0;
}
