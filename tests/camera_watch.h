/* tests/camera_watch.h: cameras on a loop of the test's own, and all that they tell their sink. */
#ifndef SIGHTLINE_TESTS_CAMERA_WATCH_H
#define SIGHTLINE_TESTS_CAMERA_WATCH_H

#include "config/clock.h"
#include "config/log.h"
#include "server/camera/camera.h"
#include "server/camera/camera_tuning.h"
#include "server/camera/decode.h"
#include "tests/clip.h"
#include "tests/tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define MAX_STATES 256
#define MAX_UNITS  256

static uv_loop_t           loop;
static struct decode_pool *pool;

/* ---- what a camera tells ---- */

static struct watch {
    int                 states[MAX_STATES];
    int                 state_count;
    struct camera_unit *units[MAX_UNITS];
    int                 unit_count;
    struct camera     **close_at_change; /* the camera is closed from within its callback */
    int                 close_at_state;
    struct camera     **close_at_unit;
} watch;

static atomic_int      frames;
static atomic_bool     blocked;
static pthread_mutex_t block_lock    = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  block_changed = PTHREAD_COND_INITIALIZER;

static void on_frame(void *arg, struct frame *frame)
{
    (void)arg;
    frame_unref(&frame);
    pthread_mutex_lock(&block_lock);
    atomic_fetch_add(&frames, 1);
    while (atomic_load(&blocked))
        pthread_cond_wait(&block_changed, &block_lock);
    pthread_mutex_unlock(&block_lock);
}

static void on_changed(void *arg, struct camera *camera)
{
    struct camera_stats stats;

    (void)arg;
    camera_stats(camera, &stats);
    if (watch.state_count < MAX_STATES)
        watch.states[watch.state_count++] = (int)stats.state;
    if (watch.close_at_change != NULL && (int)stats.state == watch.close_at_state) {
        camera_close(watch.close_at_change);
        watch.close_at_change = NULL;
    }
}

static void on_unit(void *arg, struct camera *camera, struct camera_unit *unit)
{
    (void)arg;
    (void)camera;
    if (watch.unit_count < MAX_UNITS)
        watch.units[watch.unit_count++] = camera_unit_ref(unit);
    if (watch.close_at_unit != NULL) {
        camera_close(watch.close_at_unit);
        watch.close_at_unit = NULL;
    }
}

__attribute__((unused)) static const struct camera_sink SINK = {
    .arg = NULL, .frame = on_frame, .changed = on_changed, .unit = on_unit};

static void forget(void)
{
    for (int i = 0; i < watch.unit_count; i++)
        camera_unit_unref(&watch.units[i]);
    memset(&watch, 0, sizeof watch);
    atomic_store(&frames, 0);
}

/* "connecting streaming ended", without repetitions. */
__attribute__((unused)) static const char *states(void)
{
    static char text[1024];
    size_t      used = 0;

    text[0] = '\0';
    for (int i = 0; i < watch.state_count && used < sizeof text; i++) {
        if (i == 0 || watch.states[i] != watch.states[i - 1])
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? " " : "",
                                     camera_state_name((enum camera_state)watch.states[i]));
    }
    return text;
}

/* ---- the loop ---- */

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Runs the loop until it is true; the tick only makes the loop come back to look. */
#define RUN_UNTIL(condition)                                          \
    do {                                                              \
        int64_t    run_end_ns = clock_monotonic_ns() + 20 * NS_PER_S; \
        uv_timer_t tick;                                              \
        uv_timer_init(&loop, &tick);                                  \
        uv_timer_start(&tick, on_tick, 1, 1);                         \
        while (!(condition) && clock_monotonic_ns() < run_end_ns)     \
            uv_run(&loop, UV_RUN_ONCE);                               \
        uv_close((uv_handle_t *)&tick, NULL);                         \
        uv_run(&loop, UV_RUN_NOWAIT);                                 \
        if (clock_monotonic_ns() >= run_end_ns)                       \
            diag("waited in vain for %s", #condition);                \
    } while (0)

__attribute__((unused)) static struct camera_stats stats_of(const struct camera *camera)
{
    struct camera_stats stats;

    camera_stats(camera, &stats);
    return stats;
}

__attribute__((unused)) static struct camera *open_camera(const char *url, enum settings_pace pace,
                                                          bool                        looping,
                                                          const struct camera_tuning *tuning)
{
    static struct settings_camera settings;
    struct camera                *camera;
    struct why                    why;

    forget();
    memset(&settings, 0, sizeof settings);
    snprintf(settings.name, sizeof settings.name, "gate");
    snprintf(settings.url, sizeof settings.url, "%s", url);
    settings.pace = pace;
    settings.loop = looping;
    if (camera_open(&camera, &loop, pool, &settings, 3, &SINK, &why) != 0) {
        diag("%s", why.text);
        exit(1);
    }
    if (tuning != NULL)
        camera_tune(camera, tuning);
    return camera;
}

__attribute__((unused)) static void open_loop(void)
{
    struct why why;

    log_set_level(LOG_ERROR);
    uv_loop_init(&loop);
    if (decode_pool_open(&pool, 2, &why) != 0)
        exit(1);
}

__attribute__((unused)) static int close_loop(void)
{
    forget();
    uv_run(&loop, UV_RUN_DEFAULT);
    is_int(uv_loop_close(&loop), 0, "no handle is left");
    decode_pool_close(&pool);
    rmdir(clip_path(""));
    return done_testing();
}

#endif
