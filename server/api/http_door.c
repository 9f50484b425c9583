#include "server/api/http_door.h"

#include <string.h>

#include "config/hexadecimal.h"

/* "DELETE " before and " HTTP/1.1" CR LF after the target. */
#define LINE_EXTRA_BYTES 18

int http_refusal_status(enum http_refusal refusal)
{
    static const int statuses[] = {
#define X(name, status, label, text) [name] = (status),
        HTTP_REFUSAL_TABLE(X)
#undef X
    };
    return statuses[refusal];
}

const char *http_refusal_label(enum http_refusal refusal)
{
    static const char *const labels[] = {
#define X(name, status, label, text) [name] = (label),
        HTTP_REFUSAL_TABLE(X)
#undef X
    };
    return labels[refusal];
}

const char *http_refusal_text(enum http_refusal refusal)
{
    static const char *const texts[] = {
#define X(name, status, label, text) [name] = (text),
        HTTP_REFUSAL_TABLE(X)
#undef X
    };
    return texts[refusal];
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool http_text_is(struct http_text text, const char *other)
{
    if (text.at == NULL || strlen(other) != text.bytes)
        return false;
    for (size_t i = 0; i < text.bytes; i++) {
        if (lower(text.at[i]) != lower(other[i]))
            return false;
    }
    return true;
}

static struct http_text trim(struct http_text text)
{
    while (text.bytes > 0 && (text.at[0] == ' ' || text.at[0] == '\t')) {
        text.at++;
        text.bytes--;
    }
    while (text.bytes > 0 && (text.at[text.bytes - 1] == ' ' || text.at[text.bytes - 1] == '\t'))
        text.bytes--;
    return text;
}

bool http_list_has(struct http_text list, const char *token)
{
    size_t from = 0;

    if (list.at == NULL)
        return false;
    for (size_t i = 0; i <= list.bytes; i++) {
        if (i < list.bytes && list.at[i] != ',')
            continue;
        if (http_text_is(trim((struct http_text){list.at + from, i - from}), token))
            return true;
        from = i + 1;
    }
    return false;
}

struct http_text http_header(const struct http_request *request, const char *name, int *count)
{
    struct http_text value = {0};
    int              found = 0;

    for (int i = 0; i < request->header_count; i++) {
        if (!http_text_is(request->headers[i].name, name))
            continue;
        if (found++ == 0)
            value = request->headers[i].value;
    }
    if (count != NULL)
        *count = found;
    return value;
}

long http_scan(const char *bytes, size_t count, size_t seen, enum http_refusal *refusal)
{
    size_t limit = count < LIMIT_HTTP_HEAD_BYTES ? count : LIMIT_HTTP_HEAD_BYTES;

    for (size_t i = seen; i < limit; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (i > 0 && bytes[i - 1] == '\r' && c != '\n') {
            *refusal = REFUSE_LINE_END;
            return -1;
        }
        if (c == '\n') {
            if (i == 0 || bytes[i - 1] != '\r') {
                *refusal = REFUSE_LINE_END;
                return -1;
            }
            if (i >= 3 && bytes[i - 2] == '\n')
                return (long)(i + 1);
        } else if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f) {
            *refusal = REFUSE_CONTROL;
            return -1;
        }
    }
    if (limit > LIMIT_HTTP_TARGET_BYTES + LINE_EXTRA_BYTES &&
        memchr(bytes, '\n', LIMIT_HTTP_TARGET_BYTES + LINE_EXTRA_BYTES) == NULL) {
        *refusal = REFUSE_TARGET_LONG;
        return -1;
    }
    if (count >= LIMIT_HTTP_HEAD_BYTES) {
        *refusal = REFUSE_HEAD_LONG;
        return -1;
    }
    return 0;
}

/* RFC 9110, 5.6.2. */
static bool is_token_character(char c)
{
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* The decoded character at *i, which moves past it; -1 for a broken escape. */
static int next_character(const char *at, size_t bytes, size_t *i)
{
    int c;

    if (at[*i] != '%')
        return (unsigned char)at[(*i)++];
    c = bytes - *i < 3 ? -1 : hexadecimal_byte(at + *i + 1);
    if (c >= 0)
        *i += 3;
    return c;
}

/* No way to climb: nothing that some reader might take for "..", for a separator or for the end of a text. A second round of
 * escapes ("%252e") is refused as well: we have no path that holds a percent sign. */
static bool path_is_good(struct http_text path)
{
    size_t i    = 0;
    int    dots = 0; /* dots since the last slash; -1: the segment holds something else */

    if (path.bytes == 0 || path.at[0] != '/')
        return false;
    while (i < path.bytes) {
        bool escaped = path.at[i] == '%';
        int  c       = next_character(path.at, path.bytes, &i);
        if (c < 0x21 || c >= 0x7f || c == '\\' || c == '%' || c == ';' || c == '#' ||
            (escaped && c == '/'))
            return false;
        if (c == '/') {
            if (dots == 1 || dots == 2)
                return false;
            dots = 0;
        } else if (c == '.' && dots >= 0) {
            dots++;
        } else {
            dots = -1;
        }
    }
    return dots != 1 && dots != 2;
}

static bool query_is_good(struct http_text query)
{
    size_t i = 0;

    while (i < query.bytes) {
        char raw = query.at[i];
        int  c   = next_character(query.at, query.bytes, &i);
        if (c < 0 || c == 0 || raw == '#' || raw == '\\' || raw <= 0x20)
            return false;
    }
    return true;
}

static bool read_method(struct http_text word, enum http_method *method)
{
    static const struct {
        const char      *name;
        enum http_method method;
    } methods[] = {
        {"GET", HTTP_GET}, {"HEAD", HTTP_HEAD}, {"POST", HTTP_POST}, {"DELETE", HTTP_DELETE}};

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strlen(methods[i].name) == word.bytes &&
            memcmp(methods[i].name, word.at, word.bytes) == 0) {
            *method = methods[i].method;
            return true;
        }
    }
    return false;
}

static enum http_refusal read_target(struct http_request *request, struct http_text target)
{
    const char *question;

    if (target.bytes > LIMIT_HTTP_TARGET_BYTES)
        return REFUSE_TARGET_LONG;
    request->path = target;
    question      = memchr(target.at, '?', target.bytes);
    if (question != NULL) {
        request->path.bytes  = (size_t)(question - target.at);
        request->query.at    = question + 1;
        request->query.bytes = target.bytes - request->path.bytes - 1;
    }
    return path_is_good(request->path) && query_is_good(request->query) ? REFUSE_NOTHING
                                                                        : REFUSE_TARGET;
}

static enum http_refusal read_request_line(struct http_request *request, struct http_text line)
{
    struct http_text word[3] = {{0}};
    int              words   = 0;
    size_t           from    = 0;

    for (size_t i = 0; i <= line.bytes; i++) {
        if (i < line.bytes && line.at[i] != ' ')
            continue;
        if (words == 3 || i == from)
            return REFUSE_REQUEST_LINE;
        word[words++] = (struct http_text){line.at + from, i - from};
        from          = i + 1;
    }
    if (words != 3)
        return REFUSE_REQUEST_LINE;
    for (size_t i = 0; i < word[0].bytes; i++) {
        if (!is_token_character(word[0].at[i]))
            return REFUSE_REQUEST_LINE;
    }
    if (word[2].bytes != 8 || memcmp(word[2].at, "HTTP/", 5) != 0 || word[2].at[6] != '.')
        return REFUSE_REQUEST_LINE;
    if (word[2].at[5] != '1' || (word[2].at[7] != '0' && word[2].at[7] != '1'))
        return REFUSE_VERSION;
    request->minor = word[2].at[7] - '0';
    if (!read_method(word[0], &request->method))
        return REFUSE_METHOD;
    return read_target(request, word[1]);
}

static enum http_refusal read_header(struct http_request *request, struct http_text line)
{
    struct http_header *header;
    const char         *colon = memchr(line.at, ':', line.bytes);

    if (request->header_count == HTTP_MAX_HEADERS)
        return REFUSE_HEADER_COUNT;
    /* Blanks at the start would be a folded line, before the colon the name would be read in two ways:
     * neither is a token character. */
    if (colon == NULL || colon == line.at)
        return REFUSE_HEADER;
    header        = &request->headers[request->header_count++];
    header->name  = (struct http_text){line.at, (size_t)(colon - line.at)};
    header->value = trim((struct http_text){colon + 1, line.bytes - header->name.bytes - 1});
    for (size_t i = 0; i < header->name.bytes; i++) {
        if (!is_token_character(header->name.at[i]))
            return REFUSE_HEADER;
    }
    return REFUSE_NOTHING;
}

static bool host_is_good(struct http_text host)
{
    if (host.bytes == 0 || host.bytes > 255)
        return false;
    for (size_t i = 0; i < host.bytes; i++) {
        char c = lower(host.at[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              (c != '\0' && strchr(".-_:[]", c) != NULL)))
            return false;
    }
    return true;
}

static enum http_refusal read_length(struct http_request *request)
{
    int              lengths, codings;
    struct http_text length = http_header(request, "content-length", &lengths);

    (void)http_header(request, "transfer-encoding", &codings);
    if (codings > 0)
        return lengths > 0 ? REFUSE_LENGTH_AND_CODING : REFUSE_CODING;
    if (lengths == 0)
        return REFUSE_NOTHING;
    if (lengths > 1 || length.bytes == 0)
        return REFUSE_LENGTH;
    for (size_t i = 0; i < length.bytes; i++) {
        if (length.at[i] < '0' || length.at[i] > '9')
            return REFUSE_LENGTH;
        /* Stays small enough to go on: digits that follow only make it larger. */
        if (request->body_bytes <= LIMIT_HTTP_BODY_BYTES)
            request->body_bytes = request->body_bytes * 10 + (uint64_t)(length.at[i] - '0');
    }
    if (request->body_bytes > LIMIT_HTTP_BODY_BYTES)
        return REFUSE_BODY_LONG;
    request->has_body_length = true;
    return REFUSE_NOTHING;
}

static enum http_refusal check_headers(struct http_request *request)
{
    int               hosts, expects;
    struct http_text  connection;
    enum http_refusal refusal;

    request->host = http_header(request, "host", &hosts);
    if (hosts > 1 || (hosts == 0 && request->minor == 1) ||
        (hosts == 1 && !host_is_good(request->host)))
        return REFUSE_HOST;
    if ((refusal = read_length(request)) != REFUSE_NOTHING)
        return refusal;
    (void)http_header(request, "expect", &expects);
    if (expects > 0)
        return REFUSE_EXPECT;
    connection          = http_header(request, "connection", NULL);
    request->keep_alive = request->minor == 1 && !http_list_has(connection, "close");
    return REFUSE_NOTHING;
}

enum http_refusal http_parse(struct http_request *request, const char *head, size_t head_bytes)
{
    const char       *at  = head;
    const char       *end = head + head_bytes - 2; /* the empty line */
    enum http_refusal refusal;

    memset(request, 0, sizeof *request);
    while (at < end) {
        const char      *cr   = memchr(at, '\r', (size_t)(end - at));
        struct http_text line = {at, cr == NULL ? 0 : (size_t)(cr - at)};
        if (cr == NULL)
            return REFUSE_LINE_END;
        refusal = at == head ? read_request_line(request, line) : read_header(request, line);
        if (refusal != REFUSE_NOTHING)
            return refusal;
        at = cr + 2;
    }
    return at == head ? REFUSE_REQUEST_LINE : check_headers(request);
}
