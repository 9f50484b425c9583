#include "server/camera/rtsp_message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/assert.h"
#include "config/err.h"

#define FRAME_HEADER_BYTES 4

int rtsp_parser_init(struct rtsp_parser *parser)
{
    memset(parser, 0, sizeof *parser);
    parser->buffer = malloc(RTSP_BUFFER_BYTES);
    return parser->buffer != NULL ? 0 : ERR_MEMORY;
}

void rtsp_parser_fini(struct rtsp_parser *parser)
{
    free(parser->buffer);
    memset(parser, 0, sizeof *parser);
}

void rtsp_parser_reset(struct rtsp_parser *parser)
{
    *parser = (struct rtsp_parser){.buffer = parser->buffer};
}

/* Forgets the message that was handed out last. */
static void drop_taken(struct rtsp_parser *parser)
{
    parser->start += parser->taken;
    parser->taken = 0;
    if (parser->start == parser->end)
        parser->start = parser->end = 0;
}

uint8_t *rtsp_parser_room(struct rtsp_parser *parser, size_t *bytes)
{
    drop_taken(parser);
    /* Moving is rare: only when what is left of the buffer could not hold the rest of a message. */
    if (parser->start > 0 && RTSP_BUFFER_BYTES - parser->end < RTSP_BUFFER_BYTES / 4) {
        memmove(parser->buffer, parser->buffer + parser->start, parser->end - parser->start);
        parser->end -= parser->start;
        parser->start = 0;
    }
    *bytes = RTSP_BUFFER_BYTES - parser->end;
    return parser->buffer + parser->end;
}

void rtsp_parser_added(struct rtsp_parser *parser, size_t bytes)
{
    ASSERT(bytes <= RTSP_BUFFER_BYTES - parser->end);
    parser->end += bytes;
}

/* ---- text ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct rtsp_text rtsp_text_trim(struct rtsp_text text)
{
    while (text.bytes > 0 && is_space(text.at[0])) {
        text.at++;
        text.bytes--;
    }
    while (text.bytes > 0 && is_space(text.at[text.bytes - 1]))
        text.bytes--;
    return text;
}

bool rtsp_text_is(struct rtsp_text text, const char *word)
{
    return text.bytes == strlen(word) && strncasecmp(text.at, word, text.bytes) == 0;
}

int64_t rtsp_text_number(struct rtsp_text text, int64_t max)
{
    int64_t number = 0;

    text = rtsp_text_trim(text);
    if (text.bytes == 0)
        return -1;
    for (size_t i = 0; i < text.bytes; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        if (number > (max - (text.at[i] - '0')) / 10)
            return -1;
        number = number * 10 + (text.at[i] - '0');
    }
    return number;
}

bool rtsp_text_split(struct rtsp_text *rest, char separator, struct rtsp_text *part)
{
    size_t used   = 0;
    bool   quoted = false;

    if (rest->bytes == 0)
        return false;
    while (used < rest->bytes && (quoted || rest->at[used] != separator)) {
        if (quoted && rest->at[used] == '\\' && used + 1 < rest->bytes)
            used++;
        else if (rest->at[used] == '"')
            quoted = !quoted;
        used++;
    }
    *part = rtsp_text_trim((struct rtsp_text){rest->at, used});
    if (used < rest->bytes)
        used++;
    rest->at += used;
    rest->bytes -= used;
    return true;
}

bool rtsp_text_parameter(struct rtsp_text part, const char *name, struct rtsp_text *value)
{
    const char *equals = part.bytes > 0 ? memchr(part.at, '=', part.bytes) : NULL;
    size_t      name_bytes;

    if (equals == NULL)
        return false;
    name_bytes = (size_t)(equals - part.at);
    if (!rtsp_text_is(rtsp_text_trim((struct rtsp_text){part.at, name_bytes}), name))
        return false;
    *value = rtsp_text_trim((struct rtsp_text){equals + 1, part.bytes - name_bytes - 1});
    return true;
}

void rtsp_text_copy(struct rtsp_text text, char *out, size_t out_bytes)
{
    size_t length = text.bytes < out_bytes ? text.bytes : out_bytes - 1;

    for (size_t i = 0; i < length; i++)
        out[i] = text.at[i] >= 0x20 && text.at[i] < 0x7f ? text.at[i] : '?';
    out[length] = '\0';
}

const struct rtsp_text *rtsp_header(const struct rtsp_message *message, const char *name, int index)
{
    for (int i = 0; i < message->header_count; i++) {
        if (rtsp_text_is(message->header[i].name, name) && index-- == 0)
            return &message->header[i].value;
    }
    return NULL;
}

/* ---- messages ---- */

/* Bytes of the head with its empty line; 0: not there yet. Goes on where the last call stopped, so that
 * a head that comes byte by byte costs no more than one that comes at once. */
static size_t find_head_end(struct rtsp_parser *parser)
{
    const uint8_t *data  = parser->buffer + parser->start;
    size_t         bytes = parser->end - parser->start;
    size_t         from  = parser->scanned;

    while (from < bytes) {
        const uint8_t *feed = memchr(data + from, '\n', bytes - from);
        size_t         at;

        if (feed == NULL)
            break;
        at = (size_t)(feed - data);
        if (at + 1 < bytes && data[at + 1] == '\n')
            return at + 2;
        if (at + 2 < bytes && data[at + 1] == '\r' && data[at + 2] == '\n')
            return at + 3;
        if (at + 2 >= bytes) {
            parser->scanned = at;
            return 0;
        }
        from = at + 1;
    }
    parser->scanned = bytes;
    return 0;
}

/* Takes the line at *at, without its end. */
static struct rtsp_text take_line(const char **at, const char *end)
{
    struct rtsp_text line = {*at, 0};
    const char      *feed = memchr(*at, '\n', (size_t)(end - *at));

    if (feed == NULL)
        feed = end;
    line.bytes = (size_t)(feed - *at);
    if (line.bytes > 0 && line.at[line.bytes - 1] == '\r')
        line.bytes--;
    *at = feed < end ? feed + 1 : end;
    return line;
}

static struct rtsp_text take_word(struct rtsp_text *line)
{
    struct rtsp_text word;

    *line = rtsp_text_trim(*line);
    word  = (struct rtsp_text){line->at, 0};
    while (word.bytes < line->bytes && !is_space(word.at[word.bytes]))
        word.bytes++;
    line->at += word.bytes;
    line->bytes -= word.bytes;
    return word;
}

static bool is_version(struct rtsp_text word)
{
    return word.bytes > 5 && strncasecmp(word.at, "RTSP/", 5) == 0;
}

static int parse_first_line(struct rtsp_text line, struct rtsp_message *message, struct why *why)
{
    struct rtsp_text word = take_word(&line);
    int64_t          status;

    if (is_version(word)) {
        message->kind = RTSP_RESPONSE;
        status        = rtsp_text_number(take_word(&line), 599);
        if (status < 100)
            return why_set(why, ERR_CORRUPT, "the camera's answer has no valid status");
        message->status = (int)status;
        message->reason = rtsp_text_trim(line);
        return 0;
    }
    if (word.bytes >= 5 && strncasecmp(word.at, "HTTP/", 5) == 0)
        return why_set(why, ERR_CORRUPT, "the address answers HTTP, not RTSP: check the port");
    message->kind   = RTSP_REQUEST;
    message->method = word;
    take_word(&line);
    if (!is_version(take_word(&line)))
        return why_set(why, ERR_CORRUPT, "the camera sent data that is not RTSP");
    return 0;
}

/* A line that begins with a space belongs to the header before it. */
static void fold(struct rtsp_message *message, struct rtsp_text line)
{
    struct rtsp_text *value = &message->header[message->header_count - 1].value;

    if (line.bytes > 0)
        value->bytes = (size_t)(line.at + line.bytes - value->at);
}

static int parse_headers(const char *at, const char *end, struct rtsp_message *message,
                         struct why *why)
{
    while (at < end) {
        struct rtsp_text line = take_line(&at, end);
        const char      *colon;
        size_t           name_bytes;

        if (line.bytes == 0)
            break;
        if (is_space(line.at[0]) && message->header_count > 0) {
            fold(message, rtsp_text_trim(line));
            continue;
        }
        colon = memchr(line.at, ':', line.bytes);
        if (colon == NULL || memchr(line.at, '\0', line.bytes) != NULL)
            return why_set(why, ERR_CORRUPT, "the camera sent a header line that is none");
        if (message->header_count == RTSP_HEADERS)
            return why_set(why, ERR_LIMIT, "the camera sent more than %d header lines",
                           RTSP_HEADERS);
        name_bytes                                  = (size_t)(colon - line.at);
        message->header[message->header_count].name = rtsp_text_trim(
            (struct rtsp_text){line.at, name_bytes});
        message->header[message->header_count].value = rtsp_text_trim(
            (struct rtsp_text){colon + 1, line.bytes - name_bytes - 1});
        message->header_count++;
    }
    return 0;
}

static int parse_length(const struct rtsp_message *message, size_t *bytes, struct why *why)
{
    const struct rtsp_text *text;
    int64_t                 length = 0;

    for (int i = 0; (text = rtsp_header(message, "Content-Length", i)) != NULL; i++) {
        int64_t number = rtsp_text_number(*text, INT32_MAX);

        if (number < 0 || (i > 0 && number != length))
            return why_set(why, ERR_CORRUPT, "the camera sent a wrong Content-Length");
        length = number;
    }
    if (length > RTSP_BODY_BYTES)
        return why_set(why, ERR_LIMIT, "the camera sent a body of more than %d KiB",
                       RTSP_BODY_BYTES >> 10);
    *bytes = (size_t)length;
    return 0;
}

static int next_frame(struct rtsp_parser *parser, struct rtsp_message *message)
{
    const uint8_t *data  = parser->buffer + parser->start;
    size_t         bytes = parser->end - parser->start, length;

    if (bytes < FRAME_HEADER_BYTES)
        return 0;
    length = (size_t)data[2] << 8 | data[3];
    if (bytes < FRAME_HEADER_BYTES + length)
        return 0;
    message->kind       = RTSP_FRAME;
    message->channel    = data[1];
    message->body       = data + FRAME_HEADER_BYTES;
    message->body_bytes = length;
    parser->taken       = FRAME_HEADER_BYTES + length;
    return 1;
}

/* What can no longer become a message is refused at once, not after 16 KiB or a timeout. */
static bool may_be_message(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes && i < 8; i++) {
        if (data[i] == ' ' || data[i] == '/' || (data[i] == '_' && i > 0))
            return i > 0;
        if (!((data[i] | 0x20) >= 'a' && (data[i] | 0x20) <= 'z'))
            return false;
    }
    return true;
}

static int next_message(struct rtsp_parser *parser, struct rtsp_message *message, struct why *why)
{
    size_t      bytes = parser->end - parser->start, body_bytes = 0;
    const char *at = (const char *)parser->buffer + parser->start, *end;
    int         rc;

    if (bytes < parser->needed)
        return 0;
    if (!may_be_message(parser->buffer + parser->start, bytes))
        return why_set(why, ERR_CORRUPT, "the camera sent data that is not RTSP");
    if (parser->head_bytes == 0)
        parser->head_bytes = find_head_end(parser);
    if (parser->head_bytes > RTSP_HEAD_BYTES ||
        (parser->head_bytes == 0 && bytes >= RTSP_HEAD_BYTES))
        return why_set(why, ERR_LIMIT, "the camera sent more than %d KiB of header lines",
                       RTSP_HEAD_BYTES >> 10);
    if (parser->head_bytes == 0)
        return 0;
    end = at + parser->head_bytes;
    if ((rc = parse_first_line(take_line(&at, end), message, why)) != 0 ||
        (rc = parse_headers(at, end, message, why)) != 0 ||
        (rc = parse_length(message, &body_bytes, why)) != 0)
        return rc;
    parser->needed = parser->head_bytes + body_bytes;
    if (bytes < parser->needed)
        return 0;
    message->body       = parser->buffer + parser->start + parser->head_bytes;
    message->body_bytes = body_bytes;
    parser->taken       = parser->needed;
    parser->head_bytes = parser->scanned = parser->needed = 0;
    return 1;
}

int rtsp_parser_next(struct rtsp_parser *parser, struct rtsp_message *message, struct why *why)
{
    drop_taken(parser);
    /* Empty lines between messages mean nothing. */
    while (parser->start < parser->end && parser->scanned == 0 && parser->head_bytes == 0 &&
           (parser->buffer[parser->start] == '\r' || parser->buffer[parser->start] == '\n'))
        parser->start++;
    if (parser->start == parser->end) {
        parser->start = parser->end = 0;
        return 0;
    }
    message->header_count = 0;
    message->status       = 0;
    message->reason = message->method = (struct rtsp_text){"", 0};
    message->channel                  = 0;
    message->body                     = NULL;
    message->body_bytes               = 0;
    if (parser->buffer[parser->start] == '$')
        return next_frame(parser, message);
    return next_message(parser, message, why);
}
