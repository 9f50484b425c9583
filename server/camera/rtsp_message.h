/* server/camera/rtsp_message.h: RTSP messages and '$' frames out of a stream of bytes.
 *
 * One parser for one connection. It owns one buffer of RTSP_BUFFER_BYTES, never grows, and hands out
 * slices of it: a message is valid until the next call on its parser. Everything that a camera sends is
 * checked here for form and size, nothing is trusted. Lines may end in LF alone, spaces may be missing or doubled, names
 * may have any case, as real cameras do; bytes that are neither a message nor a frame are an error. No clock, no socket. */
#ifndef SIGHTLINE_SERVER_CAMERA_RTSP_MESSAGE_H
#define SIGHTLINE_SERVER_CAMERA_RTSP_MESSAGE_H

#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTSP_HEAD_BYTES   (16 << 10) /* first line and headers */
#define RTSP_HEADERS      64
#define RTSP_BODY_BYTES   (64 << 10) /* an SDP has some hundred bytes; ONVIF metadata some thousand */
#define RTSP_FRAME_BYTES  65535      /* the field has 16 bits */
#define RTSP_BUFFER_BYTES (RTSP_HEAD_BYTES + RTSP_BODY_BYTES + (16 << 10))

/* Not terminated by a NUL. */
struct rtsp_text {
    const char *at;
    size_t      bytes;
};

enum rtsp_kind {
    RTSP_RESPONSE,
    RTSP_REQUEST, /* a camera may ask something, too */
    RTSP_FRAME,   /* '$', channel, length, data: RTP or RTCP */
};

struct rtsp_message {
    enum rtsp_kind   kind;
    int              status;     /* response: 100..599 */
    struct rtsp_text reason;     /* response: as sent */
    struct rtsp_text method;     /* request */
    uint8_t          channel;    /* frame */
    const uint8_t   *body;       /* frame: its data; else the body */
    size_t           body_bytes; /* 0: none */
    int              header_count;
    struct {
        struct rtsp_text name, value;
    } header[RTSP_HEADERS];
};

struct rtsp_parser {
    uint8_t *buffer;
    size_t   start, end; /* what is not taken yet */
    size_t   scanned;    /* from start: no end of the head before it */
    size_t   head_bytes; /* 0: the head's end is not found yet */
    size_t   needed;     /* head and body of the message at start; 0: not known yet */
    size_t   taken;      /* of the message that was handed out last */
};

int  rtsp_parser_init(struct rtsp_parser *parser); /* 0 or ERR_MEMORY */
void rtsp_parser_fini(struct rtsp_parser *parser);
void rtsp_parser_reset(struct rtsp_parser *parser); /* for another connection */

/* Where the next bytes go; never 0 bytes while rtsp_parser_next() returned 0 last. */
uint8_t *rtsp_parser_room(struct rtsp_parser *parser, size_t *bytes);
void     rtsp_parser_added(struct rtsp_parser *parser, size_t bytes);

/* 1: a message; 0: more bytes are needed; ERR_CORRUPT or ERR_LIMIT: the connection is of no use any more. */
int rtsp_parser_next(struct rtsp_parser *parser, struct rtsp_message *message, struct why *why);

/* The index-th header of that name (any case); NULL: there is none. */
const struct rtsp_text *rtsp_header(const struct rtsp_message *message, const char *name,
                                    int index);

bool rtsp_text_is(struct rtsp_text text, const char *word); /* any case */
/* A decimal number of the whole text, 0..max; -1 if it is none. */
int64_t rtsp_text_number(struct rtsp_text text, int64_t max);
/* The next part up to `separator`, trimmed, outside double quotes; false at the end. */
bool             rtsp_text_split(struct rtsp_text *rest, char separator, struct rtsp_text *part);
struct rtsp_text rtsp_text_trim(struct rtsp_text text);
/* The value of "name=value" if `part` is that; quotes around the value stay. */
bool rtsp_text_parameter(struct rtsp_text part, const char *name, struct rtsp_text *value);
/* Printable ASCII only, others become '?'; cut to fit. */
void rtsp_text_copy(struct rtsp_text text, char *out, size_t out_bytes);

#endif
