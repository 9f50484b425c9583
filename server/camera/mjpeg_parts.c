#include "server/camera/mjpeg_parts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/err.h"

#define PICTURE_MIN_BYTES (64 << 10)

enum part_step { PART_BOUNDARY, PART_HEADERS, PART_BODY };

struct mjpeg_parts {
    mjpeg_picture_fn *picture;
    void             *arg;
    enum part_step    step;
    char              line[MJPEG_LINE_BYTES];
    size_t            line_bytes;
    char              boundary[MJPEG_BOUNDARY_BYTES + 1]; /* "\n--name"; empty: not seen yet */
    size_t            boundary_bytes;
    int               headers;
    size_t            length; /* of the part; 0: not said */
    uint8_t          *body;
    size_t            body_bytes, capacity, searched;
};

bool mjpeg_is_picture(const uint8_t *data, size_t bytes)
{
    return bytes > 4 && data[0] == 0xff && data[1] == 0xd8 && data[2] == 0xff;
}

int mjpeg_parts_open(struct mjpeg_parts **out, mjpeg_picture_fn *picture, void *arg)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return ERR_MEMORY;
    (*out)->picture = picture;
    (*out)->arg     = arg;
    return 0;
}

void mjpeg_parts_close(struct mjpeg_parts **parts)
{
    if (*parts != NULL)
        free((*parts)->body);
    free(*parts);
    *parts = NULL;
}

/* ---- lines ---- */

static bool is_boundary(const struct mjpeg_parts *parts)
{
    /* Behind the name may be spaces, or "--" at the end of all. */
    return parts->boundary_bytes > 0 && parts->line_bytes + 1 >= parts->boundary_bytes &&
           memcmp(parts->line, parts->boundary + 1, parts->boundary_bytes - 1) == 0;
}

static int take_boundary(struct mjpeg_parts *parts, struct why *why)
{
    if (parts->boundary_bytes == 0) {
        if (parts->line_bytes == 0)
            return 0;
        if (parts->line_bytes < 3 || memcmp(parts->line, "--", 2) != 0 ||
            parts->line_bytes >= MJPEG_BOUNDARY_BYTES)
            return why_set(why, ERR_CORRUPT, "the camera's stream of pictures has no boundary");
        parts->boundary[0] = '\n';
        memcpy(parts->boundary + 1, parts->line, parts->line_bytes);
        parts->boundary_bytes = parts->line_bytes + 1;
    } else if (!is_boundary(parts)) {
        return 0; /* what stands between parts */
    }
    parts->step    = PART_HEADERS;
    parts->headers = 0;
    parts->length  = 0;
    return 0;
}

static int take_header(struct mjpeg_parts *parts, struct why *why)
{
    static const char name[] = "content-length:";
    size_t            length = 0;

    if (parts->line_bytes == 0) {
        /* Some write an empty line right behind the boundary, before the headers. */
        if (parts->headers == 0)
            return 0;
        parts->step       = PART_BODY;
        parts->body_bytes = parts->searched = 0;
        return 0;
    }
    if (++parts->headers > MJPEG_HEADERS)
        return why_set(why, ERR_LIMIT, "a picture of the camera has more than %d header lines",
                       MJPEG_HEADERS);
    if (parts->line_bytes < sizeof name || strncasecmp(parts->line, name, sizeof name - 1) != 0)
        return 0;
    for (size_t i = sizeof name - 1; i < parts->line_bytes; i++) {
        char c = parts->line[i];

        if (c >= '0' && c <= '9' && length <= MJPEG_PICTURE_BYTES)
            length = length * 10 + (size_t)(c - '0');
        else if (c != ' ' && c != '\t')
            return 0; /* no number: as if it were not there */
    }
    if (length > MJPEG_PICTURE_BYTES)
        return why_set(why, ERR_LIMIT, "a picture of the camera has more than %d MiB",
                       MJPEG_PICTURE_BYTES >> 20);
    parts->length = length;
    return 0;
}

/* Bytes used of `data`, at least 1, or an error. */
static int feed_line(struct mjpeg_parts *parts, const uint8_t *data, size_t bytes, struct why *why)
{
    const uint8_t *feed = memchr(data, '\n', bytes);
    size_t         used = feed != NULL ? (size_t)(feed - data) + 1 : bytes;
    size_t         kept = feed != NULL ? used - 1 : used;
    int            rc;

    /* Behind a picture whose length was a lie, its rest is no line. */
    if (parts->line_bytes + kept > sizeof parts->line && parts->step == PART_BOUNDARY &&
        parts->boundary_bytes > 0)
        kept = sizeof parts->line - parts->line_bytes;
    if (parts->line_bytes + kept > sizeof parts->line)
        return why_set(why, ERR_LIMIT,
                       "the camera's stream of pictures has a line of more than "
                       "%d bytes",
                       MJPEG_LINE_BYTES);
    memcpy(parts->line + parts->line_bytes, data, kept);
    parts->line_bytes += kept;
    if (feed == NULL)
        return (int)used;
    if (parts->line_bytes > 0 && parts->line[parts->line_bytes - 1] == '\r')
        parts->line_bytes--;
    rc = parts->step == PART_BOUNDARY ? take_boundary(parts, why) : take_header(parts, why);
    parts->line_bytes = 0;
    return rc != 0 ? rc : (int)used;
}

/* ---- pictures ---- */

static int append(struct mjpeg_parts *parts, const uint8_t *data, size_t bytes, struct why *why)
{
    size_t   needed = parts->body_bytes + bytes, capacity = parts->capacity;
    uint8_t *grown;

    if (needed > MJPEG_PICTURE_BYTES + MJPEG_BOUNDARY_BYTES)
        return why_set(why, ERR_LIMIT, "a picture of the camera has more than %d MiB",
                       MJPEG_PICTURE_BYTES >> 20);
    while (capacity < needed)
        capacity = capacity == 0 ? PICTURE_MIN_BYTES : capacity * 2;
    if (capacity != parts->capacity) {
        if ((grown = realloc(parts->body, capacity)) == NULL)
            return why_set(why, ERR_MEMORY, "out of memory");
        parts->body     = grown;
        parts->capacity = capacity;
    }
    memcpy(parts->body + parts->body_bytes, data, bytes);
    parts->body_bytes = needed;
    return 0;
}

/* False: closed. */
static bool end_part(struct mjpeg_parts *parts, size_t bytes)
{
    bool goes_on = true;

    if (bytes > 0 && parts->body[bytes - 1] == '\r')
        bytes--;
    if (mjpeg_is_picture(parts->body, bytes))
        goes_on = parts->picture(parts->arg, parts->body, bytes);
    parts->body_bytes = parts->searched = 0;
    parts->step                         = PART_BOUNDARY;
    return goes_on;
}

/* The boundary in what came: bytes before it, or -1. */
static ptrdiff_t find_boundary(struct mjpeg_parts *parts)
{
    const uint8_t *found;

    if (parts->body_bytes < parts->boundary_bytes)
        return -1;
    found = memmem(parts->body + parts->searched, parts->body_bytes - parts->searched,
                   parts->boundary, parts->boundary_bytes);
    if (found != NULL)
        return found - parts->body;
    parts->searched = parts->body_bytes - parts->boundary_bytes + 1;
    return -1;
}

/* Bytes used of `data`, or an error; *goes_on false: closed. */
static int feed_body(struct mjpeg_parts *parts, const uint8_t *data, size_t bytes, bool *goes_on,
                     struct why *why)
{
    size_t    before = parts->body_bytes, left = parts->length - before;
    ptrdiff_t end;
    int       rc;

    if (parts->length > 0) {
        if (bytes > left)
            bytes = left;
        if ((rc = append(parts, data, bytes, why)) != 0)
            return rc;
        if (parts->body_bytes == parts->length)
            *goes_on = end_part(parts, parts->length);
        return (int)bytes;
    }
    if ((rc = append(parts, data, bytes, why)) != 0)
        return rc;
    if ((end = find_boundary(parts)) < 0)
        return (int)bytes;
    /* The line of the boundary is read again, as a line. */
    bytes    = (size_t)end + 1 > before ? (size_t)end + 1 - before : 0;
    *goes_on = end_part(parts, (size_t)end);
    if (*goes_on && bytes == 0)
        memcpy(parts->line, parts->boundary + 1, parts->line_bytes = before - (size_t)end - 1);
    return (int)bytes;
}

int mjpeg_parts_feed(struct mjpeg_parts *parts, const uint8_t *data, size_t bytes, struct why *why)
{
    bool goes_on = true;

    while (bytes > 0 && goes_on) {
        int used = parts->step == PART_BODY ? feed_body(parts, data, bytes, &goes_on, why)
                                            : feed_line(parts, data, bytes, why);

        if (used < 0)
            return used;
        data += used;
        bytes -= (size_t)used;
    }
    return 0;
}
