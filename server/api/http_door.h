/* server/api/http_door.h: the strict door: is this a request that we accept, and what does it say?
 *
 * RFC 9112 without its leniencies: what two programs could read in two ways is refused, so that
 * nothing can be smuggled past a proxy. Pure functions on bytes in memory, no allocation. The texts of a
 * request are views into the caller's buffer and live as long as it does. */
#ifndef SIGHTLINE_SERVER_API_HTTP_DOOR_H
#define SIGHTLINE_SERVER_API_HTTP_DOOR_H

#include "config/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_MAX_HEADERS 64 /* browsers send under 20, a chain of proxies adds a dozen */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_DELETE };

/* A view, not NUL-terminated; at is NULL when there is none. */
struct http_text {
    const char *at;
    size_t      bytes;
};

struct http_header {
    struct http_text name, value; /* the value without the blanks around it */
};

struct http_request {
    enum http_method method;
    int              minor; /* 0 or 1: HTTP/1.x */
    struct http_text
        path; /* origin-form, before '?', not decoded; holds no dot segment in any spelling */
    struct http_text   query; /* after '?', not decoded */
    struct http_text   host;  /* at is NULL with HTTP/1.0 only */
    bool               keep_alive;
    bool               has_body_length;
    uint64_t           body_bytes; /* Content-Length, at most LIMIT_HTTP_BODY_BYTES */
    int                header_count;
    struct http_header headers[HTTP_MAX_HEADERS];
};

/* Why a request is refused: name, HTTP status, label of the metric, what the client is told. */
#define HTTP_REFUSAL_TABLE(X)                                                                    \
    X(REFUSE_NOTHING, 200, "none", "")                                                           \
    X(REFUSE_LINE_END, 400, "line_end", "a line must end with CR LF")                            \
    X(REFUSE_CONTROL, 400, "control_character", "control characters are not allowed")            \
    X(REFUSE_REQUEST_LINE, 400, "request_line", "the request line is malformed")                 \
    X(REFUSE_METHOD, 501, "method", "this method is not implemented")                            \
    X(REFUSE_VERSION, 505, "version", "only HTTP/1.1 and HTTP/1.0 are spoken here")              \
    X(REFUSE_TARGET, 400, "target", "the path is malformed")                                     \
    X(REFUSE_TARGET_LONG, 414, "target_long", "the request target is longer than 4 KiB")         \
    X(REFUSE_HEAD_LONG, 431, "head_long", "the request head is longer than 16 KiB")              \
    X(REFUSE_HEADER_COUNT, 431, "header_count", "too many header lines")                         \
    X(REFUSE_HEADER, 400, "header", "a header line is malformed")                                \
    X(REFUSE_HOST, 400, "host", "exactly one valid Host header is needed")                       \
    X(REFUSE_LENGTH, 400, "content_length", "Content-Length must be given once, in digits")      \
    X(REFUSE_CODING, 501, "transfer_encoding", "send a Content-Length, not a Transfer-Encoding") \
    X(REFUSE_LENGTH_AND_CODING, 400, "length_and_coding",                                        \
      "Content-Length and Transfer-Encoding exclude each other")                                 \
    X(REFUSE_BODY_LONG, 413, "body_long", "the request body is too large")                       \
    X(REFUSE_EXPECT, 417, "expect", "Expect is not supported")                                   \
    X(REFUSE_SLOW, 408, "slow", "the request took too long to arrive")                           \
    X(REFUSE_FULL, 503, "full", "too many connections; try again soon")                          \
    X(REFUSE_ADDRESS_FULL, 503, "address_full", "too many connections from your address")

enum http_refusal {
#define X(name, status, label, text) name,
    HTTP_REFUSAL_TABLE(X)
#undef X
        HTTP_REFUSALS
};

int         http_refusal_status(enum http_refusal refusal);
const char *http_refusal_label(enum http_refusal refusal);
const char *http_refusal_text(enum http_refusal refusal);

/* Looks for the end of the head in `bytes`, of which the first `seen` were looked at by an earlier
 * call. Returns the length of the head with its empty line, 0 when it is not complete, or -1 with
 * *refusal when it can no longer become a good one. */
long http_scan(const char *bytes, size_t count, size_t seen, enum http_refusal *refusal);

/* Reads a head that http_scan() found complete. *request is only complete with REFUSE_NOTHING. */
enum http_refusal http_parse(struct http_request *request, const char *head, size_t head_bytes);

/* The value of a header (name in lower case), at == NULL if absent. *count (may be NULL) says how often it occurs. */
struct http_text http_header(const struct http_request *request, const char *name, int *count);

/* Comparison without regard to ASCII case, with a NUL-terminated text. */
bool http_text_is(struct http_text text, const char *other);
/* True if a comma-separated header value holds this token, without regard to case. */
bool http_list_has(struct http_text list, const char *token);

#endif
