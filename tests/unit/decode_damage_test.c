// links: camera
// Files that are damaged, cut, or no videos at all: never a crash, always an end with a reason, and
// nothing is opened that the file only points to.
#include "tests/decode_seen.h"
#include "tests/tap.h"

#include "server/camera/source.h"

#include <sys/stat.h>
#include <unistd.h>

static struct seen seen; /* too large for the stack of a sanitizer */

/* ---- damage ---- */

static size_t read_whole(const char *path, uint8_t **bytes)
{
    FILE  *file = fopen(path, "rb");
    long   size;
    size_t got;

    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
        exit(1);
    rewind(file);
    *bytes = malloc((size_t)size + 1);
    got    = fread(*bytes, 1, (size_t)size, file);
    fclose(file);
    return got;
}

static void write_whole(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");

    if (file == NULL || fwrite(bytes, 1, count, file) != count)
        exit(1);
    fclose(file);
}

static void check_damage(const char *name, const char *container, const struct clip *clip)
{
    uint8_t *sound;
    uint8_t *broken;
    size_t   bytes;
    int      ended = 0, with_pictures = 0, with_reason = 0;
    uint64_t random = 12345;

    if (!clip_make(clip_path(name), container, clip)) {
        skip_one("no encoder %s", clip->encoder);
        return;
    }
    bytes  = read_whole(clip_path(name), &sound);
    broken = malloc(bytes);
    for (int variant = 0; variant < 40; variant++) {
        struct decode_status status;
        size_t               length = bytes;

        memcpy(broken, sound, bytes);
        /* Odd ones: some bytes flipped, also in the header; even ones: cut. */
        for (int flip = 0; variant % 2 == 1 && flip < variant * 2; flip++) {
            random = random * 6364136223846793005U + 1442695040888963407U;
            broken[(random >> 20) % bytes] ^= (uint8_t)(1U << (random >> 60 & 7));
        }
        if (variant % 2 == 0)
            length = bytes * (size_t)variant / 40;
        write_whole(clip_path(name), broken, length);
        status = play_all(clip_path(name), 0, &seen);
        ended += status.ended;
        with_pictures += seen.count > 0;
        with_reason += status.reason[0] != '\0';
    }
    is_int(ended, 40, "%s: damaged in 40 ways, the end is always reported", name);
    is_int(with_reason, 40, "%s: with a reason", name);
    ok(with_pictures > 5, "%s: %d of them still gave pictures", name, with_pictures);
    free(sound);
    free(broken);
    unlink(clip_path(name));
}

static void test_damage(void)
{
    static const struct clip HEVC = {"libx265",
                                     "preset=ultrafast:x265-params=log-level=none",
                                     AV_PIX_FMT_YUV420P,
                                     192,
                                     128,
                                     30,
                                     10,
                                     10,
                                     0};
    static const struct clip MS   = {"msmpeg4", NULL, AV_PIX_FMT_YUV420P, 192, 128, 30, 10, 10, 0};
    static const struct clip AVC  = {
         "libx264", "preset=veryfast", AV_PIX_FMT_YUV420P, 192, 128, 30, 10, 10, 0};

    check_damage("broken.mp4", "mp4", &AVC);
    check_damage("broken.ts", "mpegts", &AVC);
    check_damage("broken.avi", "avi", &MS);
    check_damage("broken.mkv", "matroska", &HEVC);
}

static void check_refused(const char *path, const char *part)
{
    struct decode_status status = play_all(path, 0, &seen);

    ok(status.ended && status.end == SOURCE_END_ERROR && seen.count == 0 &&
           strstr(status.reason, part) != NULL,
       "refused: %s", status.reason);
}

static void test_refusals(void)
{
    static const char M3U8[] =
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n"
        "#EXT-X-ENDLIST\n";
    static const char CONCAT[] = "ffconcat version 1.0\nfile /etc/passwd\n";
    static const char SDP[]    = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
                                 "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    const struct source_ops *ops;

    check_refused(clip_path("none.mp4"), "no such file");
    check_refused("/", "not a regular file");
    check_refused("/dev/zero", "system files");
    check_refused("/proc/self/environ", "system files");
    check_refused("file:/etc/passwd", "no such file");
    check_refused("concat:/etc/passwd|/etc/group", "no such file");
    if (mkfifo(clip_path("fifo"), 0600) == 0)
        check_refused(clip_path("fifo"), "not a regular file");
    unlink(clip_path("fifo"));
    write_whole(clip_path("x.mp4"), "", 0);
    check_refused(clip_path("x.mp4"), "empty");
    write_whole(clip_path("x.mp4"), M3U8, sizeof M3U8 - 1);
    check_refused(clip_path("x.mp4"), "\"hls\" are not read");
    write_whole(clip_path("x.mp4"), CONCAT, sizeof CONCAT - 1);
    check_refused(clip_path("x.mp4"), "\"concat\" are not read");
    write_whole(clip_path("x.mp4"), SDP, sizeof SDP - 1);
    check_refused(clip_path("x.mp4"), "\"sdp\" are not read");
    write_whole(clip_path("x.mp4"), "hello, world\n", 13);
    check_refused(clip_path("x.mp4"), "not a video file");
    unlink(clip_path("x.mp4"));
    is_int(source_choose(&ops, "ftp://camera/video.mp4", NULL), ERR_UNSUPPORTED,
           "ftp is not served");
    is_int(source_choose(&ops, "", NULL), ERR_INVALID, "nothing is not served");
    ok(source_choose(&ops, "RTSP://camera/1", NULL) == 0 && ops == &source_rtsp, "rtsp is");
    ok(source_choose(&ops, "/videos/a:b.mp4", NULL) == 0 && ops == NULL, "a path is a file");
}

int main(void)
{
    open_pool(2);
    test_damage();
    test_refusals();
    return close_pool();
}
