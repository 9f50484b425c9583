/* server/api/reply.h: one HTTP response, built in memory before its first byte is sent.
 *
 * The head is written in one place, so that no answer can leave without its length, its cache
 * policy and the security headers. Nothing here sends. */
#ifndef SIGHTLINE_SERVER_API_REPLY_H
#define SIGHTLINE_SERVER_API_REPLY_H

#include "config/json_writer.h"
#include "config/why.h"
#include "server/api/http_door.h"

#include <stdbool.h>
#include <stddef.h>

#define REPLY_HEAD_BYTES 2048

struct reply {
    int         status;
    const char *content_type; /* NULL: no body */
    const char *cache;        /* Cache-Control */
    char        headers[512]; /* further lines, each with its CR LF */
    size_t      header_bytes;
    const void *body;
    size_t      body_bytes;
    void       *owned; /* what reply_free() gives to free() */
    bool        close; /* end the connection after it */
};

void reply_init(struct reply *reply);
void reply_free(struct reply *reply);

/* One more header line, "Name: value", without its end. ASSERTs that it fits: lines are short and ours. */
void reply_header(struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Bytes that outlive the reply. */
void reply_static(struct reply *reply, int status, const char *content_type, const void *bytes,
                  size_t count);
/* Bytes that are copied; a copy that finds no memory becomes a 503. */
void reply_copy(struct reply *reply, int status, const char *content_type, const void *bytes,
                size_t count);
/* Takes the writer's text over; json_free() may follow. A writer that met a limit becomes a 503. */
void reply_json(struct reply *reply, int status, struct json_writer *json);
/* {"error":"not_found","message":"..."}; the name follows from the status. */
void reply_error(struct reply *reply, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for an ERR_ code and its message. */
void reply_failure(struct reply *reply, int code, const struct why *why);

/* The word that stands in "error" for a status; shared with the WebSocket. */
const char *reply_error_name(int status);

/* Status line to empty line; returns its length. The body is left out for HEAD but its length is told. */
size_t reply_head(const struct reply *reply, bool keep_alive, char head[static REPLY_HEAD_BYTES]);

#endif
