/* server/api/session_body.h: the body of POST /api/v1/session. In a file of its own, because jansson and
 * config/json_writer.h both have a function named json_string. */
#ifndef SIGHTLINE_SERVER_API_SESSION_BODY_H
#define SIGHTLINE_SERVER_API_SESSION_BODY_H

#include "config/limits.h"

#include <stdbool.h>
#include <stddef.h>

/* The token of {"token":"..."} and nothing else, NUL-terminated; false for any other text. */
bool session_body_parse(const char *text, size_t bytes, char token[static LIMIT_SECRET_BYTES]);

#endif
