/* config/err.h: the error codes of the whole program.
 *
 * A function that can fail returns 0 or one of these negative codes. The number says what kind of
 * failure it is; what a person can do about it travels beside it in a `struct why`. */
#ifndef SIGHTLINE_CONFIG_ERR_H
#define SIGHTLINE_CONFIG_ERR_H

/* name, number, text, HTTP status with which the API answers it */
#define ERR_TABLE(X)                                       \
    X(ERR_MEMORY, -1, "out of memory", 503)                \
    X(ERR_FULL, -2, "queue is full", 503)                  \
    X(ERR_INVALID, -3, "invalid value", 400)               \
    X(ERR_NOT_FOUND, -4, "not found", 404)                 \
    X(ERR_IO, -5, "input/output error", 500)               \
    X(ERR_TIMEOUT, -6, "timed out", 504)                   \
    X(ERR_UNSUPPORTED, -7, "not supported", 501)           \
    X(ERR_CORRUPT, -8, "data is damaged", 500)             \
    X(ERR_DENIED, -9, "not allowed", 403)                  \
    X(ERR_CLOSED, -10, "closed", 503)                      \
    X(ERR_AGAIN, -11, "try again", 503)                    \
    X(ERR_LIMIT, -12, "limit exceeded", 413)               \
    X(ERR_UNAUTHORIZED, -13, "credentials needed", 401)    \
    X(ERR_NO_SPACE, -14, "no space left on the disk", 507) \
    X(ERR_DEVICE_LOST, -15, "the device is lost", 503)     \
    X(ERR_CONFLICT, -16, "changed meanwhile", 409)

enum err {
#define X(name, number, text, status) name = number,
    ERR_TABLE(X)
#undef X
};

/* Text of a code, never NULL; "unknown error" for a number that is none. */
const char *err_text(int code);

/* HTTP status for a code; 500 for a number that is none, 200 for 0. */
int err_http_status(int code);

#endif
