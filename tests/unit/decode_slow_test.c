// links: camera
// A machine that is too slow for a live stream: what its decoder leaves out is told, key frames still come, and all of it comes
// again when there is time. The sink takes longer for a picture than there is from one to the next.
#include "config/clock.h"
#include "server/camera/source_file.h"
#include "tests/clip.h"
#include "tests/tap.h"

#include "server/camera/decode.h"

#include <libavutil/log.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define FRAMES  60
#define GROUP   10
#define EACH_MS 40
#define SLOW_MS 130 /* three pictures come meanwhile */
#define LIMIT_S 60

static atomic_int  frames, last_drawn;
static atomic_bool slow;

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){0, ms * 1000000L}, NULL);
}

static void on_frame(void *arg, struct frame *frame)
{
    (void)arg;
    atomic_store(&last_drawn, clip_number(frame->plane[0], frame->stride_bytes[0]));
    atomic_fetch_add(&frames, 1);
    if (atomic_load(&slow))
        pause_ms(SLOW_MS); /* it stands for the work that a slow machine has with a picture */
    frame_unref(&frame);
}

static void on_wake(void *arg)
{
    (void)arg;
}

struct live {
    struct decode_stream *stream;
    struct decode_status  status;
    AVCodecParameters    *parameters;
    AVRational            time_base;
    AVPacket             *packet[FRAMES];
    int64_t               begun_ns;
    int                   sent;
};

static bool load(struct live *live)
{
    static const struct clip CLIP  = {"libx264",
                                      "preset=ultrafast:tune=zerolatency",
                                      AV_PIX_FMT_YUV420P,
                                      192,
                                      128,
                                      FRAMES,
                                      25,
                                      GROUP,
                                      0};
    static const atomic_bool never = false;
    const char              *path  = clip_path("slow.ts");
    struct source_file      *file;

    if (!clip_make(path, "mpegts", &CLIP) || source_file_open(&file, NULL, path, &never, NULL) != 0)
        return false;
    live->parameters = avcodec_parameters_alloc();
    avcodec_parameters_copy(live->parameters, source_file_parameters(file));
    live->time_base = source_file_time_base(file);
    for (int i = 0; i < FRAMES; i++) {
        live->packet[i] = av_packet_alloc();
        if (source_file_read(file, live->packet[i], NULL) != 0)
            return false;
    }
    source_file_close(&file);
    unlink(path);
    rmdir(clip_path(""));
    return true;
}

/* The next packet at its time, and what is known then. */
static void go_on(struct live *live)
{
    AVPacket *copy = av_packet_clone(live->packet[live->sent % FRAMES]);
    int64_t   left_ns;

    copy->pts = copy->dts = (int64_t)live->sent * EACH_MS * 90;
    while ((left_ns = live->begun_ns + live->sent * EACH_MS * NS_PER_MS - clock_monotonic_ns()) > 0)
        pause_ms((int)(left_ns / NS_PER_MS) + 1);
    decode_stream_packet(live->stream, copy, clock_wall_ns());
    av_packet_free(&copy);
    live->sent++;
    decode_stream_status(live->stream, &live->status);
}

static void until_level(struct live *live, enum camera_relief level, const char *what)
{
    int from = live->sent;

    while (live->status.relief != level && (live->sent - from) * EACH_MS < LIMIT_S * 1000)
        go_on(live);
    ok(live->status.relief == level, "%s, after %.1f s", what, (live->sent - from) * EACH_MS / 1e3);
}

static void test_slow(struct live *live, struct decode_pool *pool)
{
    const struct decode_settings settings = {.frame = on_frame, .wake = on_wake};
    struct why                   why;
    int                          between = 0;
    uint64_t                     before;

    if (decode_stream_open(&live->stream, pool, &settings, &why) != 0)
        exit(1);
    decode_stream_begin(live->stream);
    decode_stream_parameters(live->stream, live->parameters, live->time_base, (AVRational){25, 1});
    live->begun_ns = clock_monotonic_ns();
    for (int i = 0; i < 25; i++)
        go_on(live);
    atomic_store(&slow, true);
    until_level(live, CAMERA_SKIPS_UNREFERENCED, "late: pictures that no other refers to are left");
    until_level(live, CAMERA_KEY_FRAMES_ONLY, "still late: all but key frames are");
    for (int i = 0; i < 2 * GROUP; i++) /* what waits already goes its way */
        go_on(live);
    before = live->status.frames_decoded;
    for (int i = 0; i < 4 * GROUP && live->status.relief == CAMERA_KEY_FRAMES_ONLY; i++) {
        go_on(live);
        between += atomic_load(&last_drawn) % GROUP != 0;
    }
    ok(between == 0 && live->status.frames_decoded > before &&
           live->status.frames_decoded <= before + GROUP,
       "key frames still come, and they alone: %d in 40 pictures",
       (int)(live->status.frames_decoded - before));
    is_int((int64_t)live->status.decode_errors, 0, "nothing is decoded without what it refers to");
    atomic_store(&slow, false);
    until_level(live, CAMERA_DECODES_ALL, "with time again all are decoded");
    decode_stream_close(&live->stream);
}

int main(void)
{
    static struct live  live;
    struct decode_pool *pool;

    av_log_set_level(AV_LOG_QUIET);
    if (!load(&live) || decode_pool_open(&pool, 1, NULL) != 0) {
        skip_one("no H.264 encoder");
        return done_testing();
    }
    test_slow(&live, pool);
    decode_pool_close(&pool);
    for (int i = 0; i < FRAMES; i++)
        av_packet_free(&live.packet[i]);
    avcodec_parameters_free(&live.parameters);
    return done_testing();
}
