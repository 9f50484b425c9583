#include "server/camera/file_end.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* ---- AVI ---- */

#define RIFF_HEAD_BYTES 12
#define RIFF_MAX        4096 /* chunks of 1 GB each, as long files are made of */
/* Above: a recorder has not written it yet; there stands 0, or all bits are set. */
#define RIFF_KNOWN_MAX UINT32_C(0xFFFFFF00)
/* Some count their own header, or the last chunk's padding, that is not there. */
#define RIFF_SLACK_BYTES 16

/* ---- MPEG transport stream ---- */

#define TS_SYNC        0x47
#define TS_BYTES       188
#define TS_UNIT_MAX    204
#define TS_GRID        6 /* sync bytes at one distance: never by chance */
#define TS_TAIL_BYTES  ((TS_GRID + 1) * TS_UNIT_MAX)
#define TS_UNITS_COUNT 3

/* Bare, with times before or behind each packet, with sums for the ether behind it. */
static const int TS_UNITS[TS_UNITS_COUNT] = {TS_BYTES, 192, TS_UNIT_MAX};

static bool read_at(int fd, int64_t at, uint8_t *bytes, size_t count)
{
    if (lseek(fd, (off_t)at, SEEK_SET) < 0)
        return false;
    for (size_t done = 0; done < count;) {
        ssize_t got = read(fd, bytes + done, count - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

/* False: there is no such chunk. */
static bool read_riff(int fd, int64_t at, uint32_t *bytes, bool *known)
{
    uint8_t head[RIFF_HEAD_BYTES];

    if (!read_at(fd, at, head, sizeof head) || memcmp(head, "RIFF", 4) != 0)
        return false;
    *bytes = (uint32_t)head[4] | (uint32_t)head[5] << 8 | (uint32_t)head[6] << 16 |
             (uint32_t)head[7] << 24;
    *known = *bytes != 0 && *bytes < RIFF_KNOWN_MAX;
    return true;
}

static bool avi_is_cut(int fd, int64_t size, struct why *why)
{
    int64_t at = 0;

    for (int i = 0; i < RIFF_MAX && size - at >= RIFF_HEAD_BYTES; i++) {
        uint32_t bytes;
        bool     known;
        if (!read_riff(fd, at, &bytes, &known) || !known)
            return false;
        at += 8 + (int64_t)bytes;
        if (at > size + RIFF_SLACK_BYTES) {
            why_set(why, 0,
                    "the file is cut off: it says that it has %lld bytes, but ends after %lld",
                    (long long)at, (long long)size);
            return true;
        }
        at += bytes & 1;
    }
    return false;
}

/* How many bytes follow the last sync byte, itself among them; 0: there is no grid of such. */
static int after_last_sync(const uint8_t *tail, int count, int unit)
{
    for (int behind = 1; behind <= unit; behind++) {
        int at = count - behind, found = 0;
        while (found < TS_GRID && at >= 0 && tail[at] == TS_SYNC) {
            found++;
            at -= unit;
        }
        if (found == TS_GRID)
            return behind;
    }
    return 0;
}

static bool ts_is_cut(int fd, int64_t size, struct why *why)
{
    uint8_t tail[TS_TAIL_BYTES];
    int     count = size < TS_TAIL_BYTES ? (int)size : TS_TAIL_BYTES;

    if (!read_at(fd, size - count, tail, (size_t)count))
        return false;
    for (int i = 0; i < TS_UNITS_COUNT; i++) {
        int behind = after_last_sync(tail, count, TS_UNITS[i]);
        if (behind == 0)
            continue;
        if (behind >= TS_BYTES) /* to its end, or into what stands between two */
            return false;
        why_set(why, 0, "the file is cut off: of its last packet there are %d of %d bytes", behind,
                TS_BYTES);
        return true;
    }
    return false;
}

bool file_end_is_cut(int fd, const char *container, struct why *why)
{
    off_t at   = lseek(fd, 0, SEEK_CUR);
    off_t size = lseek(fd, 0, SEEK_END);
    bool  cut  = false;

    if (at < 0 || size < 0)
        return false;
    if (strcmp(container, "avi") == 0)
        cut = avi_is_cut(fd, (int64_t)size, why);
    else if (strcmp(container, "mpegts") == 0)
        cut = ts_is_cut(fd, (int64_t)size, why);
    lseek(fd, at, SEEK_SET);
    return cut;
}

bool file_end_is_known(int fd, const char *container)
{
    off_t    at = lseek(fd, 0, SEEK_CUR);
    uint32_t bytes;
    bool     known = true;

    if (at < 0 || strcmp(container, "avi") != 0)
        return true;
    if (!read_riff(fd, 0, &bytes, &known))
        known = true;
    lseek(fd, at, SEEK_SET);
    return known;
}
