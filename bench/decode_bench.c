/* bench/decode_bench.c: what decoding costs, and whether the workers keep up.
 * links: camera
 *
 * decode_bench FILE [CAMERAS [SECONDS [FPS]]]: first the file once at full speed, every picture;
 * then so many cameras (default 16) that loop it in real time for so many seconds (default 10),
 * analysed FPS times a second (default 5). Prints TSV: pictures a second of a core; then the
 * cores used, the share of the pictures that were decoded in their time, and how many were
 * analysed. */
#include "config/clock.h"
#include "config/log.h"
#include "server/camera/decode.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#define MAX_CAMERAS 1024

static uv_loop_t    loop;
static uv_async_t   async;
static atomic_ulong frames;

static double cpu_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void on_frame(void *arg, struct frame *frame)
{
    (void)arg;
    atomic_fetch_add_explicit(&frames, 1, memory_order_relaxed);
    frame_unref(&frame);
}

static void on_wake(void *arg)
{
    (void)arg;
    uv_async_send(&async);
}

static void on_async(uv_async_t *handle)
{
    (void)handle;
}

static void on_timer(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static struct decode_stream *open_stream(struct decode_pool *pool, unsigned slot, double fps)
{
    struct decode_settings settings = {
        .slot = slot, .fps = fps, .frame = on_frame, .wake = on_wake};
    struct decode_stream *stream;
    struct why            why;

    if (decode_stream_open(&stream, pool, &settings, &why) != 0) {
        fprintf(stderr, "decode_bench: %s\n", why.text);
        exit(1);
    }
    return stream;
}

static void bench_full_speed(struct decode_pool *pool, const char *path)
{
    struct decode_stream *stream   = open_stream(pool, 0, 0);
    struct decode_status  status   = {0};
    double                began_s  = cpu_s();
    int64_t               began_ns = clock_monotonic_ns();
    double                wall_s;

    decode_stream_play(stream, path, PACE_FASTEST, false);
    while (!status.ended) {
        uv_run(&loop, UV_RUN_ONCE);
        decode_stream_status(stream, &status);
    }
    wall_s = (double)(clock_monotonic_ns() - began_ns) / 1e9;
    if (status.frames_decoded == 0) {
        fprintf(stderr, "decode_bench: %s\n", status.reason);
        exit(1);
    }
    printf("full_speed\t%s\t%dx%d\t%llu pictures\t%.0f a second\t%.0f a second of a core\n",
           status.codec, status.width_px, status.height_px,
           (unsigned long long)status.frames_decoded, (double)status.frames_decoded / wall_s,
           (double)status.frames_decoded / (cpu_s() - began_s));
    decode_stream_close(&stream);
}

static void bench_real_time(struct decode_pool *pool, const char *path, int cameras, int seconds,
                            double fps)
{
    static struct decode_stream *streams[MAX_CAMERAS];
    struct decode_status         status;
    uv_timer_t                   timer;
    double                       began_s;
    int64_t                      began_ns;
    double                       elapsed_s;
    double                       wanted  = 0;
    uint64_t                     decoded = 0, analysed = 0;

    for (int i = 0; i < cameras; i++) {
        streams[i] = open_stream(pool, (unsigned)i, fps);
        decode_stream_play(streams[i], path, PACE_REAL_TIME, true);
    }
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_timer, (uint64_t)seconds * 1000, 0);
    began_s  = cpu_s();
    began_ns = clock_monotonic_ns();
    uv_run(&loop, UV_RUN_DEFAULT);
    began_s   = cpu_s() - began_s;
    elapsed_s = (double)(clock_monotonic_ns() - began_ns) / 1e9;
    for (int i = 0; i < cameras; i++) {
        decode_stream_status(streams[i], &status);
        decoded += status.frames_decoded;
        analysed += status.frames_analysed;
        wanted += status.source_fps * elapsed_s;
    }
    for (int i = 0; i < cameras; i++)
        decode_stream_close(&streams[i]);
    printf("real_time\t%d cameras\t%.3f cores\t%.1f%% of the pictures decoded\t%.2f analysed a "
           "second and camera\t%.1f s\n",
           cameras, began_s / elapsed_s, 100.0 * (double)decoded / wanted,
           (double)analysed / cameras / elapsed_s, elapsed_s);
    uv_close((uv_handle_t *)&timer, NULL);
}

int main(int count, char **arguments)
{
    int                 cameras = count > 2 ? (int)strtol(arguments[2], NULL, 10) : 16;
    int                 seconds = count > 3 ? (int)strtol(arguments[3], NULL, 10) : 10;
    double              fps     = count > 4 ? strtod(arguments[4], NULL) : 5;
    struct decode_pool *pool;
    struct why          why;

    if (count < 2 || cameras < 1 || cameras > MAX_CAMERAS || seconds < 1) {
        fprintf(stderr, "usage: decode_bench FILE [CAMERAS [SECONDS [FPS]]]\n");
        return 2;
    }
    log_set_level(LOG_ERROR);
    uv_loop_init(&loop);
    uv_async_init(&loop, &async, on_async);
    if (decode_pool_open(&pool, 0, &why) != 0) {
        fprintf(stderr, "decode_bench: %s\n", why.text);
        return 1;
    }
    bench_full_speed(pool, arguments[1]);
    bench_real_time(pool, arguments[1], cameras, seconds, fps);
    decode_pool_close(&pool);
    uv_close((uv_handle_t *)&async, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return 0;
}
