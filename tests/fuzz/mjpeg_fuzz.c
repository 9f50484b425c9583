// links: camera
// Any body as a stream of JPEGs and as an HLS playlist. The first byte says how it is cut.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "config/assert.h"
#include "config/err.h"
#include "server/camera/hls_playlist.h"
#include "server/camera/mjpeg_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct seen {
    int pictures, close_at;
};

static bool on_picture(void *arg, const uint8_t *data, size_t bytes)
{
    struct seen *seen = arg;

    ASSERT(mjpeg_is_picture(data, bytes) && bytes <= MJPEG_PICTURE_BYTES + MJPEG_BOUNDARY_BYTES);
    return ++seen->pictures != seen->close_at;
}

static void check_parts(const uint8_t *data, size_t bytes, size_t cut, struct seen *seen)
{
    struct mjpeg_parts *parts;
    struct why          why = {""};
    int                 rc  = mjpeg_parts_open(&parts, on_picture, seen);

    while (rc == 0 && bytes > 0) {
        size_t part = bytes < cut ? bytes : cut;

        rc = mjpeg_parts_feed(parts, data, part, &why);
        ASSERT(rc == 0 || why.text[0] != '\0');
        data += part;
        bytes -= part;
    }
    mjpeg_parts_close(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct hls_playlist playlist;
    struct why                 why;
    struct seen                whole = {0}, cut = {0};

    if (bytes < 1)
        return 0;
    check_parts(data + 1, bytes - 1, bytes, &whole);
    check_parts(data + 1, bytes - 1, 1 + (data[0] & 31), &cut);
    /* How it is cut changes nothing. */
    ASSERT(whole.pictures == cut.pictures);
    cut = (struct seen){.close_at = 1};
    check_parts(data + 1, bytes - 1, 1 + (data[0] >> 3), &cut);
    if (hls_playlist_read(&playlist, (const char *)data + 1, bytes - 1, &why) == 0) {
        ASSERT(playlist.count >= 0 && playlist.count <= HLS_SEGMENTS);
        for (int i = 0; i < playlist.count; i++)
            ASSERT(strlen(playlist.segments[i].uri) < LIMIT_URL_BYTES);
    }
    return 0;
}
