// links: camera
// Which files say that they are cut off, and which cannot: made of what their containers begin with.
#include "server/camera/file_end.h"
#include "tests/tap.h"

#include <sys/mman.h>
#include <unistd.h>

#define ROOM 8192

static uint8_t    bytes[ROOM];
static struct why why;

/* Whether the first `count` bytes are a cut file. */
static bool is_cut(const char *container, size_t count)
{
    int  fd = memfd_create("file-end", 0);
    bool cut;

    why = (struct why){.text = ""};
    if (fd < 0 || write(fd, bytes, count) != (ssize_t)count || lseek(fd, 3, SEEK_SET) != 3)
        ok(false, "a file in memory");
    cut = file_end_is_cut(fd, container, &why);
    if (lseek(fd, 0, SEEK_CUR) != 3)
        ok(false, "the descriptor is where it was");
    close(fd);
    return cut;
}

/* Whether it can be known, of the first 500 bytes. */
static bool is_known(const char *container)
{
    int  fd = memfd_create("file-end", 0);
    bool known;

    if (fd < 0 || write(fd, bytes, 500) != 500 || lseek(fd, 3, SEEK_SET) != 3)
        ok(false, "a file in memory");
    known = file_end_is_known(fd, container);
    if (lseek(fd, 0, SEEK_CUR) != 3)
        ok(false, "the descriptor is where it was");
    close(fd);
    return known;
}

static size_t put_riff(size_t at, uint32_t count)
{
    memcpy(bytes + at, "RIFF", 4);
    for (int i = 0; i < 4; i++)
        bytes[at + 4 + (size_t)i] = (uint8_t)(count >> 8 * i);
    memcpy(bytes + at + 8, "AVI ", 4);
    return at + 8 + count;
}

static void test_avi(void)
{
    size_t end;

    memset(bytes, 0, sizeof bytes);
    end = put_riff(0, 2000);
    ok(!is_cut("avi", end), "an AVI file with all its bytes");
    ok(is_cut("avi", end - 100), "and without the last: %s", why.text);
    ok(strstr(why.text, "2008") != NULL && strstr(why.text, "1908") != NULL, "both sizes are told");
    ok(!is_cut("avi", end + 500), "what stands behind it is not its own");
    put_riff(0, 2008);
    ok(!is_cut("avi", end), "one that counts its header is not cut");
    put_riff(0, 2001);
    ok(!is_cut("avi", end + 1), "an odd one without its padding is not cut");
    put_riff(0, 0);
    ok(!is_cut("avi", 500) && !is_known("avi"), "one that was never closed says nothing");
    put_riff(0, UINT32_MAX);
    ok(!is_cut("avi", 500) && !is_known("avi"), "neither with all bits set");
    ok(is_known("matroska"), "in another container they mean something else");
    put_riff(0, 2000);
    ok(is_known("avi"), "a closed one says something, if only that it is cut");
    end = put_riff(2008, 3000);
    ok(!is_cut("avi", end), "a long one, of several parts");
    ok(is_cut("avi", end - 1000), "whose last one is cut: %s", why.text);
    ok(!is_cut("avi", 10), "hardly a file");
    ok(!is_cut("matroska", 1000), "other containers are not looked at");
}

static void put_packets(int unit, int before)
{
    memset(bytes, 0x46, sizeof bytes);
    for (int at = before; at < ROOM; at += unit)
        bytes[at] = 0x47;
}

static void test_ts(void)
{
    put_packets(188, 0);
    ok(!is_cut("mpegts", 20 * 188), "a transport stream of whole packets");
    ok(is_cut("mpegts", 20 * 188 + 1), "with one byte more: %s", why.text);
    ok(is_cut("mpegts", 21 * 188 - 1), "with one byte less: %s", why.text);
    put_packets(188, 77);
    ok(!is_cut("mpegts", 77 + 20 * 188), "behind something else");
    put_packets(192, 4);
    ok(!is_cut("mpegts", 20 * 192), "with times before its packets");
    ok(!is_cut("mpegts", 20 * 192 + 4), "and no packet behind the last one");
    ok(is_cut("mpegts", 20 * 192 + 100), "cut, too: %s", why.text);
    put_packets(204, 0);
    ok(!is_cut("mpegts", 20 * 204), "with sums behind its packets");
    ok(is_cut("mpegts", 20 * 204 + 150), "cut, too: %s", why.text);
    put_packets(188, 0);
    memset(bytes + 3000, 0, ROOM - 3000);
    ok(!is_cut("mpegts", 6001), "a file with room at its end says nothing");
    ok(!is_cut("mpegts", 400), "nor does a short one");
    ok(!is_cut("mpegts", 1), "nor hardly a file");
}

int main(void)
{
    test_avi();
    test_ts();
    return done_testing();
}
