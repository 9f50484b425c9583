/* bench/isolation_bench.c: what it costs to decode in a process of its own instead of in a thread,
 * and what it costs to look for motion.
 * links: camera
 *
 * isolation_bench FILE [ROUNDS]: rounds that take turns, thread and process. In each, the whole
 * file as fast as one worker can (processor time of the server and its decoder for each picture),
 * then its packets one at a time (from the packet's arrival to the picture in the sink). Prints the
 * medians as TSV. The file holds no B frames: each packet gives its picture. */
#include "config/clock.h"
#include "config/log.h"
#include "server/camera/decode.h"
#include "server/camera/motion.h"
#include "server/camera/source_file.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define ROUNDS_MAX  50
#define PACKETS_MAX 600
#define MOTION_RUNS 2000

static pthread_mutex_t lock    = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  changed = PTHREAD_COND_INITIALIZER;
static int             frames, wakes;
static int64_t         frame_ns;
static struct frame   *kept; /* for the motion's turn */

static void on_frame(void *arg, struct frame *frame)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    frame_ns = clock_monotonic_ns();
    frames++;
    if (kept == NULL)
        kept = frame_ref(frame);
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    frame_unref(&frame);
}

static void on_wake(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    wakes++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

/* Of this process and of the decoders that run now. */
static int64_t cpu_ns(struct decode_pool *pool)
{
    struct timespec used;
    int             pids[4];
    int             count = decode_pool_pids(pool, pids, 4);
    int64_t         sum;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    sum = used.tv_sec * NS_PER_S + used.tv_nsec;
    for (int i = 0; i < count; i++) {
        clockid_t clock;

        if (clock_getcpuclockid(pids[i], &clock) == 0 && clock_gettime(clock, &used) == 0)
            sum += used.tv_sec * NS_PER_S + used.tv_nsec;
    }
    return sum;
}

static void fail(const char *what)
{
    fprintf(stderr, "isolation_bench: %s\n", what);
    exit(1);
}

static struct decode_stream *open_stream(struct decode_pool *pool)
{
    struct decode_settings settings = {.fps = 0, .frame = on_frame, .wake = on_wake};
    struct decode_stream  *stream;
    struct why             why;

    if (decode_stream_open(&stream, pool, &settings, &why) != 0)
        fail(why.text);
    return stream;
}

/* Microseconds of processor time for each picture. */
static double whole_file_us(struct decode_pool *pool, const char *path)
{
    struct decode_stream *stream = open_stream(pool);
    struct decode_status  status = {.ended = false};
    int64_t               began  = cpu_ns(pool);

    decode_stream_play(stream, path, PACE_FASTEST, false);
    while (!status.ended) {
        int seen;

        pthread_mutex_lock(&lock);
        seen = wakes;
        pthread_mutex_unlock(&lock);
        decode_stream_status(stream, &status);
        pthread_mutex_lock(&lock);
        while (!status.ended && seen == wakes)
            pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
    }
    began = cpu_ns(pool) - began;
    decode_stream_close(&stream);
    if (status.frames_decoded == 0)
        fail(status.reason);
    return (double)began / 1e3 / (double)status.frames_decoded;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof values[0], compare);
    return values[count / 2];
}

/* Median microseconds from a packet to its picture; and the 99th of a hundred. */
static double one_at_a_time_us(struct decode_pool *pool, const char *path, double *p99_us)
{
    static const atomic_bool never = false;
    static double            us[PACKETS_MAX];
    struct decode_stream    *stream = open_stream(pool);
    AVPacket                *packet = av_packet_alloc();
    struct source_file      *file;
    struct why               why;
    int                      count = 0;

    if (source_file_open(&file, NULL, path, &never, &why) != 0)
        fail(why.text);
    decode_stream_begin(stream);
    decode_stream_parameters(stream, source_file_parameters(file), source_file_time_base(file),
                             source_file_frame_rate(file));
    while (count < PACKETS_MAX && source_file_read(file, packet, &why) == 0) {
        int64_t began_ns = clock_monotonic_ns();
        int     seen;

        pthread_mutex_lock(&lock);
        seen = frames;
        pthread_mutex_unlock(&lock);
        decode_stream_packet(stream, packet, 0);
        pthread_mutex_lock(&lock);
        while (seen == frames)
            pthread_cond_wait(&changed, &lock);
        us[count++] = (double)(frame_ns - began_ns) / 1e3;
        pthread_mutex_unlock(&lock);
        av_packet_unref(packet);
    }
    source_file_close(&file);
    decode_stream_close(&stream);
    av_packet_free(&packet);
    median(us, count);
    *p99_us = us[count * 99 / 100];
    return us[count / 2];
}

static double motion_us(void)
{
    struct settings_motion settings = {.enabled = true};
    struct motion         *motion   = motion_open(&settings);
    int64_t                began_ns;

    motion_look(motion, kept);
    began_ns = clock_monotonic_ns();
    for (int i = 0; i < MOTION_RUNS; i++)
        motion_look(motion, kept);
    began_ns = clock_monotonic_ns() - began_ns;
    motion_close(&motion);
    return (double)began_ns / 1e3 / MOTION_RUNS;
}

int main(int count, char **arguments)
{
    static const char *const NAMES[] = {"process", "thread"};
    static double            cpu[2][ROUNDS_MAX], latency[2][ROUNDS_MAX], tail[2][ROUNDS_MAX];
    struct decode_pool      *pool[2];
    struct why               why;
    int                      rounds = count > 2 ? (int)strtol(arguments[2], NULL, 10) : 7;

    if (count < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: isolation_bench FILE [ROUNDS]\n");
        return 2;
    }
    log_set_level(LOG_ERROR);
    for (int i = 0; i < 2; i++) {
        if (decode_pool_open_isolated(&pool[i], 1, i == 0 ? ISOLATION_PROCESS : ISOLATION_THREAD,
                                      &why) != 0)
            fail(why.text);
        whole_file_us(pool[i], arguments[1]);
    }
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < 2; i++) {
            cpu[i][round]     = whole_file_us(pool[i], arguments[1]);
            latency[i][round] = one_at_a_time_us(pool[i], arguments[1], &tail[i][round]);
        }
    }
    for (int i = 0; i < 2; i++)
        printf("%s\t%dx%d\t%.0f us of processor time a picture\t%.0f us from packet to picture\t"
               "%.0f us p99\n",
               NAMES[i], kept->width_px, kept->height_px, median(cpu[i], rounds),
               median(latency[i], rounds), median(tail[i], rounds));
    printf("motion\t%dx%d\t%.1f us a picture\n", kept->width_px, kept->height_px, motion_us());
    frame_unref(&kept);
    for (int i = 0; i < 2; i++)
        decode_pool_close(&pool[i]);
    return 0;
}
