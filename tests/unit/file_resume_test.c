// links: camera
// A file whose process dies while it is read goes on behind the packet that was read last: near its
// beginning and far on, in containers that can be searched and in ones that cannot.
#include "server/camera/decode_process.h"
#include "server/camera/source_file.h"
#include "tests/clip.h"
#include "tests/tap.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"

#include <signal.h>
#include <time.h>

#define PICTURES 900
#define NEAR     100
#define FAR      700

static const struct clip LONG = {
    "libx264", "preset=ultrafast", AV_PIX_FMT_YUV420P, 192, 128, PICTURES, 25, 50, 0};

struct read {
    int64_t dts;
    int     bytes;
};

static atomic_bool            stop;
static struct decode_process *process;

/* The next packet, however often the file has to be asked. */
static int next(struct source_file *file, AVPacket *packet)
{
    int rc;

    while ((rc = source_file_read(file, packet, NULL)) == ERR_AGAIN || rc == ERR_DEVICE_LOST)
        nanosleep(&(struct timespec){.tv_nsec = 5 * NS_PER_MS}, NULL);
    return rc;
}

/* `in`: NULL, here. The process is killed once after `killed` packets. How many were read. */
static int read_all(const char *path, struct decode_process *in, int killed, struct read *reads)
{
    AVPacket           *packet = av_packet_alloc();
    struct source_file *file   = NULL;
    struct why          why    = {""};
    int                 count  = 0;

    if (source_file_open(&file, in, path, &stop, &why) != 0)
        diag("%s", why.text);
    while (file != NULL && count < PICTURES + 1 && next(file, packet) == 0) {
        reads[count++] = (struct read){packet->dts, packet->size};
        av_packet_unref(packet);
        if (count == killed)
            kill(decode_process_pid(in), SIGKILL);
    }
    source_file_close(&file);
    av_packet_free(&packet);
    return count;
}

static void test_container(const char *container, const char *name)
{
    static struct read whole[PICTURES + 1], resumed[PICTURES + 1];
    const int          places[] = {NEAR, FAR};
    unsigned           restarts = decode_process_restarts(process);
    int                count;

    if (!clip_make(clip_path(name), container, &LONG)) {
        skip_one("no encoder");
        return;
    }
    count = read_all(clip_path(name), NULL, 0, whole);
    is_int(count, PICTURES, "%s: all of it is read", name);
    for (int i = 0; i < 2; i++) {
        int again = read_all(clip_path(name), process, places[i], resumed);
        int same  = 0;

        while (same < count && same < again && whole[same].dts == resumed[same].dts &&
               whole[same].bytes == resumed[same].bytes)
            same++;
        ok(again == count && same == count,
           "%s: killed behind packet %d, %d packets, the first %d as they should be", name,
           places[i], again, same);
    }
    ok(decode_process_restarts(process) >= restarts + 2, "%s: it was another process", name);
    unlink(clip_path(name));
}

int main(void)
{
    struct why why = {""};

    log_set_level(LOG_ERROR);
    av_log_set_level(AV_LOG_QUIET);
    if (decode_process_open(&process, &why) != 0) {
        diag("%s", why.text);
        return 1;
    }
    test_container("mp4", "long.mp4");
    test_container("matroska", "long.mkv");
    test_container("mpegts", "long.ts");
    test_container("h264", "long.h264");
    decode_process_close(&process);
    rmdir(clip_path(""));
    return done_testing();
}
