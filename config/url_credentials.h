/* config/url_credentials.h: takes the user and the password out of a URL as soon as it is read, so that
 * nothing later can show them. */
#ifndef SIGHTLINE_CONFIG_URL_CREDENTIALS_H
#define SIGHTLINE_CONFIG_URL_CREDENTIALS_H

#include "config/settings.h"
#include "config/why.h"

#include <stdbool.h>

/* "scheme://..." as RFC 3986 has schemes; a file's path has none. */
bool url_has_scheme(const char *text);

/* `text` without "user:password@" into url; the two, percent-decoded, into user and password (empty when there
 * are none). The last '@' before the first '/' ends the user part, so that a password may hold
 * an '@', '?' or '#' that nobody encoded. ERR_INVALID with a reason that shows no part of them. */
int url_split_credentials(const char *text, char url[static LIMIT_URL_BYTES],
                          char user[static LIMIT_NAME_BYTES], struct secret *password,
                          struct why *why);

#endif
