#include "server/camera/hls_playlist.h"

#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "server/camera/rtsp_message.h"

#define WIDTH_WANTED_PX 640

struct reader {
    struct hls_playlist *playlist;
    int64_t              sequence;
    bool                 variant_next; /* the next line that is no tag names it */
    bool                 segment_next;
    int64_t              width, best_width; /* px; -1: none yet, 0: not said */
    int64_t              rate, best_rate;   /* bits a second */
};

static bool tag(struct rtsp_text line, const char *name, struct rtsp_text *value)
{
    size_t bytes = strlen(name);

    if (line.bytes < bytes || memcmp(line.at, name, bytes) != 0)
        return false;
    *value = (struct rtsp_text){line.at + bytes, line.bytes - bytes};
    return true;
}

static double seconds(struct rtsp_text text)
{
    char   copy[32];
    double value;

    rtsp_text_copy(text, copy, sizeof copy);
    value = strtod(copy, NULL);
    return value > 0 && value < 3600 ? value : 0;
}

/* The value of an attribute, without its quotes. */
static bool attribute(struct rtsp_text list, const char *name, struct rtsp_text *value)
{
    struct rtsp_text part;

    while (rtsp_text_split(&list, ',', &part)) {
        if (!rtsp_text_parameter(part, name, value))
            continue;
        if (value->bytes >= 2 && value->at[0] == '"')
            *value = (struct rtsp_text){value->at + 1, value->bytes - 2};
        return true;
    }
    return false;
}

static int keep_uri(struct rtsp_text text, char out[static LIMIT_URL_BYTES], struct why *why)
{
    if (text.bytes >= LIMIT_URL_BYTES)
        return why_set(why, ERR_LIMIT, "the camera's playlist has an address of more than %d bytes",
                       LIMIT_URL_BYTES - 1);
    rtsp_text_copy(text, out, LIMIT_URL_BYTES);
    return 0;
}

static void read_variant(struct reader *reader, struct rtsp_text list)
{
    struct rtsp_text value, width;

    reader->playlist->is_master = true;
    reader->variant_next        = true;
    reader->width = reader->rate = 0;
    if (attribute(list, "RESOLUTION", &value) && rtsp_text_split(&value, 'x', &width))
        reader->width = rtsp_text_number(width, 100000);
    if (attribute(list, "BANDWIDTH", &value))
        reader->rate = rtsp_text_number(value, INT32_MAX);
}

/* Small pictures are cheap to decode; too small ones show no people. */
static bool is_better(const struct reader *reader)
{
    bool enough = reader->width >= WIDTH_WANTED_PX, had = reader->best_width >= WIDTH_WANTED_PX;

    if (reader->best_width < 0)
        return true;
    if (enough != had)
        return enough;
    if (reader->width != reader->best_width)
        return enough ? reader->width < reader->best_width : reader->width > reader->best_width;
    return reader->rate < reader->best_rate;
}

static int add_segment(struct reader *reader, struct rtsp_text line, struct why *why)
{
    struct hls_playlist *playlist = reader->playlist;

    if (playlist->count == HLS_SEGMENTS) {
        memmove(playlist->segments, playlist->segments + 1,
                (HLS_SEGMENTS - 1) * sizeof playlist->segments[0]);
        playlist->count--;
    }
    playlist->segments[playlist->count].sequence = reader->sequence++;
    return keep_uri(line, playlist->segments[playlist->count++].uri, why);
}

static int read_uri(struct reader *reader, struct rtsp_text line, struct why *why)
{
    if (reader->segment_next) {
        reader->segment_next = false;
        return add_segment(reader, line, why);
    }
    if (!reader->variant_next || !is_better(reader))
        return 0;
    reader->variant_next = false;
    reader->best_width   = reader->width;
    reader->best_rate    = reader->rate;
    return keep_uri(line, reader->playlist->variant, why);
}

static int read_tag(struct reader *reader, struct rtsp_text line, struct why *why)
{
    struct rtsp_text value, inner;

    if (tag(line, "#EXT-X-STREAM-INF:", &value)) {
        read_variant(reader, value);
    } else if (tag(line, "#EXTINF:", &value)) {
        reader->segment_next = true;
    } else if (tag(line, "#EXT-X-TARGETDURATION:", &value)) {
        reader->playlist->target_s = seconds(value);
    } else if (tag(line, "#EXT-X-MEDIA-SEQUENCE:", &value)) {
        reader->sequence = rtsp_text_number(value, INT64_MAX / 2);
    } else if (tag(line, "#EXT-X-ENDLIST", &value)) {
        reader->playlist->ended = true;
    } else if (tag(line, "#EXT-X-MAP:", &value)) {
        if (attribute(value, "BYTERANGE", &inner))
            return why_set(why, ERR_UNSUPPORTED, "the camera's playlist uses byte ranges");
        if (attribute(value, "URI", &inner))
            return keep_uri(inner, reader->playlist->map, why);
    } else if (tag(line, "#EXT-X-BYTERANGE", &value)) {
        return why_set(why, ERR_UNSUPPORTED, "the camera's playlist uses byte ranges");
    } else if (tag(line, "#EXT-X-KEY:", &value)) {
        if (!attribute(value, "METHOD", &inner) || !rtsp_text_is(inner, "NONE"))
            return why_set(why, ERR_UNSUPPORTED, "the camera's playlist is encrypted");
    }
    return 0;
}

int hls_playlist_read(struct hls_playlist *playlist, const char *text, size_t bytes,
                      struct why *why)
{
    struct reader reader = {.playlist = playlist, .best_width = -1};
    const char   *end    = text + bytes;
    int           rc     = 0;

    memset(playlist, 0, sizeof *playlist);
    playlist->target_s = 5;
    if (bytes < 7 || memcmp(text, "#EXTM3U", 7) != 0)
        return why_set(why, ERR_CORRUPT, "the camera's playlist is none (no #EXTM3U)");
    while (text < end && rc == 0) {
        const char      *feed = memchr(text, '\n', (size_t)(end - text));
        struct rtsp_text line = {text, (size_t)((feed != NULL ? feed : end) - text)};

        text = feed != NULL ? feed + 1 : end;
        line = rtsp_text_trim(line);
        if (line.bytes > 0)
            rc = line.at[0] == '#' ? read_tag(&reader, line, why) : read_uri(&reader, line, why);
    }
    if (rc == 0 && playlist->is_master && playlist->variant[0] == '\0')
        rc = why_set(why, ERR_CORRUPT, "the camera's playlist names no stream");
    return rc;
}
