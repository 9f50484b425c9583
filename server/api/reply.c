#include "server/api/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/assert.h"
#include "config/err.h"

#define ERROR_JSON_BYTES 8192

static const struct status {
    int         number;
    const char *text; /* reason phrase */
    const char *name; /* in "error" */
} statuses[] = {
    {200, "OK", ""},
    {204, "No Content", ""},
    {304, "Not Modified", ""},
    {400, "Bad Request", "invalid"},
    {401, "Unauthorized", "unauthorized"},
    {403, "Forbidden", "denied"},
    {404, "Not Found", "not_found"},
    {405, "Method Not Allowed", "method_not_allowed"},
    {408, "Request Timeout", "timeout"},
    {413, "Content Too Large", "too_large"},
    {414, "URI Too Long", "target_too_long"},
    {417, "Expectation Failed", "expectation_failed"},
    {421, "Misdirected Request", "wrong_host"},
    {426, "Upgrade Required", "upgrade_required"},
    {429, "Too Many Requests", "too_many_attempts"},
    {431, "Request Header Fields Too Large", "head_too_large"},
    {500, "Internal Server Error", "internal"},
    {501, "Not Implemented", "not_implemented"},
    {503, "Service Unavailable", "unavailable"},
    {504, "Gateway Timeout", "timeout"},
    {505, "HTTP Version Not Supported", "version"},
    {507, "Insufficient Storage", "no_space"},
};

/* Scripts, styles and connections from this server alone; pictures also from memory, as live video is drawn from blobs. */
static const char security_headers[] =
    "Content-Security-Policy: default-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n";

static const struct status *find_status(int number)
{
    const struct status *internal = NULL;

    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].number == number)
            return &statuses[i];
        if (statuses[i].number == 500)
            internal = &statuses[i];
    }
    return internal;
}

const char *reply_error_name(int status)
{
    return find_status(status)->name;
}

void reply_init(struct reply *reply)
{
    memset(reply, 0, sizeof *reply);
    reply->status = 500;
    reply->cache  = "no-store";
}

void reply_free(struct reply *reply)
{
    free(reply->owned);
    memset(reply, 0, sizeof *reply);
}

void reply_header(struct reply *reply, const char *format, ...)
{
    size_t  room = sizeof reply->headers - reply->header_bytes;
    va_list arguments;
    int     used;

    va_start(arguments, format);
    used = vsnprintf(reply->headers + reply->header_bytes, room, format, arguments);
    va_end(arguments);
    ASSERT(used >= 0 && (size_t)used + 2 < room);
    reply->header_bytes += (size_t)used;
    memcpy(reply->headers + reply->header_bytes, "\r\n", 3);
    reply->header_bytes += 2;
}

static void set_body(struct reply *reply, int status, const char *content_type, const void *bytes,
                     size_t count)
{
    free(reply->owned);
    reply->owned        = NULL;
    reply->status       = status;
    reply->content_type = content_type;
    reply->body         = bytes;
    reply->body_bytes   = count;
}

void reply_static(struct reply *reply, int status, const char *content_type, const void *bytes,
                  size_t count)
{
    set_body(reply, status, content_type, bytes, count);
}

void reply_copy(struct reply *reply, int status, const char *content_type, const void *bytes,
                size_t count)
{
    void *copy = malloc(count > 0 ? count : 1);

    if (copy == NULL) {
        reply_error(reply, 503, "out of memory");
        return;
    }
    memcpy(copy, bytes, count);
    set_body(reply, status, content_type, copy, count);
    reply->owned = copy;
}

void reply_json(struct reply *reply, int status, struct json_writer *json)
{
    static const char too_much[] =
        "{\"error\":\"unavailable\",\"message\":\"the answer is too large\"}";
    size_t      bytes;
    const char *text = json_text(json, &bytes);

    if (text == NULL) {
        set_body(reply, 503, "application/json", too_much, sizeof too_much - 1);
        return;
    }
    set_body(reply, status, "application/json", text, bytes);
    reply->owned = json->text;
    json->text   = NULL; /* now the reply's */
}

void reply_error(struct reply *reply, int status, const char *format, ...)
{
    struct json_writer json;
    char               message[512];
    va_list            arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    json_init(&json, ERROR_JSON_BYTES);
    json_begin_object(&json);
    json_key(&json, "error");
    json_put_string(&json, reply_error_name(status));
    json_key(&json, "message");
    json_put_string(&json, message);
    json_end_object(&json);
    reply_json(reply, status, &json);
    json_free(&json);
}

void reply_failure(struct reply *reply, int code, const struct why *why)
{
    reply_error(reply, err_http_status(code), "%s",
                why != NULL && why->text[0] != '\0' ? why->text : err_text(code));
}

size_t reply_head(const struct reply *reply, bool keep_alive, char head[static REPLY_HEAD_BYTES])
{
    char      date[64];
    char      length[64] = "";
    char      type[128]  = "";
    time_t    now        = time(NULL);
    struct tm utc;
    int       used;

    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    if (reply->status != 304 && reply->status != 204)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", reply->body_bytes);
    if (reply->content_type != NULL)
        snprintf(type, sizeof type, "Content-Type: %s\r\n", reply->content_type);
    used = snprintf(
        head, REPLY_HEAD_BYTES,
        "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%sCache-Control: %s\r\n%.*s%sConnection: %s\r\n\r\n",
        reply->status, find_status(reply->status)->text, date, type, length, reply->cache,
        (int)reply->header_bytes, reply->headers, security_headers,
        keep_alive ? "keep-alive" : "close");
    ASSERT(used > 0 && used < REPLY_HEAD_BYTES);
    return (size_t)used;
}
