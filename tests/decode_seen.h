/* tests/decode_seen.h: a decode stream without a loop: what it gives out, and how to wait for
 * it. */
#ifndef SIGHTLINE_TESTS_DECODE_SEEN_H
#define SIGHTLINE_TESTS_DECODE_SEEN_H

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "server/camera/decode.h"
#include "tests/clip.h"
#include "tests/tap.h"

#include <pthread.h>

#define MAX_FRAMES 4096

/* What a stream gave out; the pool's threads write, the test reads after the end. */
struct seen {
    pthread_mutex_t   lock;
    pthread_cond_t    changed;
    unsigned          wakes;
    int               count;
    uint64_t          numbers[MAX_FRAMES];
    int64_t           pts_ns[MAX_FRAMES];
    unsigned          generations[MAX_FRAMES];
    int64_t           seen_ns[MAX_FRAMES];
    int               drawn[MAX_FRAMES]; /* the number in the picture */
    int               width_px, height_px;
    enum frame_format format;
    enum frame_matrix matrix;
    bool              blocked; /* the sink waits while this is set */
    int               on_card; /* pictures in a card's memory */
    uint64_t          luma;    /* sum over all pictures: the same pictures, the same sum */
};

static struct decode_pool *pool;

static void on_frame(void *arg, struct frame *frame)
{
    struct seen        *seen = arg;
    const struct frame *host = frame_in_host(frame, FRAME_COPY_VIEW);

    pthread_mutex_lock(&seen->lock);
    seen->on_card += frame->device != NULL;
    while (seen->blocked)
        pthread_cond_wait(&seen->changed, &seen->lock);
    if (seen->count < MAX_FRAMES) {
        seen->numbers[seen->count]     = frame->number;
        seen->pts_ns[seen->count]      = frame->pts_ns;
        seen->generations[seen->count] = frame->generation;
        seen->seen_ns[seen->count]     = clock_monotonic_ns();
        seen->drawn[seen->count]       = clip_number(host->plane[0], host->stride_bytes[0]);
    }
    seen->count++;
    seen->width_px  = frame->width_px;
    seen->height_px = frame->height_px;
    seen->format    = frame->format;
    seen->matrix    = frame->matrix;
    for (int y = 0; y < frame->height_px; y += 8) {
        for (int x = 0; x < frame->width_px; x += 8)
            seen->luma += host->plane[0][y * host->stride_bytes[0] + x];
    }
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
    frame_unref(&frame);
}

static void on_wake(void *arg)
{
    struct seen *seen = arg;

    pthread_mutex_lock(&seen->lock);
    seen->wakes++;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

__attribute__((unused)) static struct decode_stream *open_stream(struct seen *seen, double fps)
{
    struct decode_settings settings = {
        .slot = 7, .fps = fps, .arg = seen, .frame = on_frame, .wake = on_wake};
    struct decode_stream *stream;
    struct why            why;

    memset(seen, 0, sizeof *seen);
    pthread_mutex_init(&seen->lock, NULL);
    pthread_cond_init(&seen->changed, NULL);
    if (decode_stream_open(&stream, pool, &settings, &why) != 0) {
        diag("%s", why.text);
        exit(1);
    }
    return stream;
}

__attribute__((unused)) static void wait_for_frames(struct seen *seen, int count)
{
    pthread_mutex_lock(&seen->lock);
    while (seen->count < count)
        pthread_cond_wait(&seen->changed, &seen->lock);
    pthread_mutex_unlock(&seen->lock);
}

/* Until the newest picture, of those from the from-th on, is the one with this number in it. */
__attribute__((unused)) static void wait_for_drawn(struct seen *seen, int from, int number)
{
    pthread_mutex_lock(&seen->lock);
    while (seen->count <= from || seen->drawn[seen->count - 1] != number)
        pthread_cond_wait(&seen->changed, &seen->lock);
    pthread_mutex_unlock(&seen->lock);
}

/* What a stream does with every picture can be seen only while the machine has time for every
 * picture: a decoder that is seconds behind leaves some out, as it should. */
#define all_decoded(status) ((status)->relief == CAMERA_DECODES_ALL)
#define skip_behind(what)   skip_one("%s: this machine has no time for every picture", (what))

__attribute__((unused)) static struct decode_status wait_for_end(struct decode_stream *stream,
                                                                 struct seen          *seen)
{
    struct decode_status status;
    unsigned             wakes;

    for (;;) {
        pthread_mutex_lock(&seen->lock);
        wakes = seen->wakes;
        pthread_mutex_unlock(&seen->lock);
        decode_stream_status(stream, &status);
        if (status.ended)
            return status;
        pthread_mutex_lock(&seen->lock);
        while (seen->wakes == wakes)
            pthread_cond_wait(&seen->changed, &seen->lock);
        pthread_mutex_unlock(&seen->lock);
    }
}

__attribute__((unused)) static struct decode_status play_all(const char *path, double fps,
                                                             struct seen *seen)
{
    struct decode_stream *stream = open_stream(seen, fps);
    struct decode_status  status;

    decode_stream_play(stream, path, PACE_FASTEST, false);
    status = wait_for_end(stream, seen);
    decode_stream_close(&stream);
    return status;
}

__attribute__((unused)) static void open_pool(int workers)
{
    struct why why;

    log_set_level(LOG_ERROR);
    if (decode_pool_open_isolated(&pool, workers,
                                  getenv("SIGHTLINE_TEST_PROCESSES") != NULL ? ISOLATION_PROCESS
                                                                             : ISOLATION_THREAD,
                                  &why) != 0) {
        diag("%s", why.text);
        exit(1);
    }
}

__attribute__((unused)) static int close_pool(void)
{
    decode_pool_close(&pool);
    ok(pool == NULL, "the pool closes");
    rmdir(clip_path(""));
    return done_testing();
}

#endif
