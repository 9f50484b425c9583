#include "config/url_credentials.h"

#include "config/err.h"
#include "config/hexadecimal.h"
#include "config/json_writer.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool url_has_scheme(const char *text)
{
    const char *c = text;

    if (!isalpha((unsigned char)*c))
        return false;
    while (isalnum((unsigned char)*c) || *c == '+' || *c == '-' || *c == '.')
        c++;
    return strncmp(c, "://", 3) == 0;
}

/* False when it does not fit or holds a control character (a line break in a user's name would
 * become a line of a request). */
static bool percent_decode(const char *text, size_t bytes, char *decoded, size_t room)
{
    size_t used = 0;

    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '%' && i + 2 < bytes && hexadecimal_byte(text + i + 1) >= 0) {
            c = (unsigned char)hexadecimal_byte(text + i + 1);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f || used + 1 >= room)
            return false;
        decoded[used++] = (char)c;
    }
    memset(decoded + used, 0, room - used);
    return true;
}

int url_split_credentials(const char *text, char url[static LIMIT_URL_BYTES],
                          char user[static LIMIT_NAME_BYTES], struct secret *password,
                          struct why *why)
{
    const char *authority = strstr(text, "://");
    const char *end;
    const char *at = NULL;
    const char *colon;

    memset(url, 0, LIMIT_URL_BYTES);
    if (authority == NULL)
        return why_set(why, ERR_INVALID, "not a URL: no \"://\"");
    authority += 3;
    /* A '?' or '#' before it belongs to a password that nobody encoded: camera_url.h reads it so, too. */
    end = authority + strcspn(authority, "/");
    for (const char *c = authority; c < end; c++) {
        if (*c == '@')
            at = c;
    }
    if ((size_t)snprintf(url, LIMIT_URL_BYTES, "%.*s%s", (int)(authority - text), text,
                         at == NULL ? authority : at + 1) >= LIMIT_URL_BYTES)
        return why_set(why, ERR_INVALID, "the URL is longer than %d bytes", LIMIT_URL_BYTES - 1);
    if (at == NULL)
        return 0;
    colon = memchr(authority, ':', (size_t)(at - authority));
    /* The user's name is shown and kept as text; a password may be any bytes. */
    if (!percent_decode(authority, (size_t)((colon == NULL ? at : colon) - authority), user,
                        LIMIT_NAME_BYTES) ||
        !json_utf8_printable(user, strlen(user)))
        return why_set(why, ERR_INVALID, "the user name in the URL is too long or not text");
    if (colon != NULL && !percent_decode(colon + 1, (size_t)(at - colon - 1), password->value,
                                         sizeof password->value))
        return why_set(why, ERR_INVALID, "the password in the URL is too long or not text");
    return 0;
}
