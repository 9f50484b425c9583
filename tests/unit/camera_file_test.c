// links: camera
// Cameras that are files: played, looped, waited for, watched live, and closed at any moment, also
// from within their own callbacks.
#include "tests/camera_watch.h"
#include "tests/tap.h"

#include <stdatomic.h>
#include <unistd.h>

static const struct clip SECOND = {"libx264",
                                   "preset=veryfast:x264-params=bframes=2\\:scenecut=0",
                                   AV_PIX_FMT_YUV420P,
                                   192,
                                   128,
                                   25,
                                   25,
                                   25,
                                   0};

static void test_files(void)
{
    struct camera_tuning tuning = camera_tuning_default;
    struct camera       *camera;
    struct camera_stats  stats;

    tuning.backoff_min_ms = 20;
    tuning.backoff_max_ms = 40;
    camera                = open_camera(clip_path("later.mp4"), PACE_FASTEST, false, &tuning);
    camera_start(camera, 0);
    RUN_UNTIL(stats_of(camera).connects >= 3 && stats_of(camera).state == CAMERA_BACKOFF);
    ok(strstr(stats_of(camera).reason, "no such file") != NULL, "a missing file is tried again: %s",
       stats_of(camera).reason);
    clip_make(clip_path("part.mp4"), "mp4", &SECOND);
    rename(clip_path("part.mp4"), clip_path("later.mp4"));
    RUN_UNTIL(stats_of(camera).state == CAMERA_ENDED);
    stats = stats_of(camera);
    is_int(atomic_load(&frames), 25, "and played when it is there");
    is_text(stats.reason, "the file was played to its end", "until it has ended");
    is_int(stats.reconnects, 0, "without a reconnect");
    is_near(stats.duration_s, 1, 0.01, "its length is known");
    is_near(stats.progress, 0.96, 0.05, "and how far it was played");
    is_int(stats.own_video, CAMERA_VIDEO_JPEG, "at full speed nobody watches its H.264");
    ok(strstr(stats.source, "later.mp4") != NULL, "its source is its path");
    camera_close(&camera);

    camera = open_camera(clip_path("later.mp4"), PACE_REAL_TIME, true, NULL);
    camera_start(camera, 0);
    RUN_UNTIL(atomic_load(&frames) >= 60);
    stats = stats_of(camera);
    is_text(states(), "connecting streaming", "a loop goes on without a change of state");
    is_int(stats.reconnects, 0, "and is no reconnect");
    is_near(stats.decoded_fps, 25, 5, "in real time: %.1f pictures a second", stats.decoded_fps);
    camera_set_rate(camera, 5);
    atomic_store(&frames, 0);
    RUN_UNTIL(atomic_load(&frames) >= 10);
    ok(stats_of(camera).frames_skipped > 20, "a lower rate skips pictures");
    camera_close(&camera);
}

static void test_blocked_sink(void)
{
    struct camera *camera = open_camera(clip_path("later.mp4"), PACE_FASTEST, true, NULL);

    atomic_store(&blocked, true);
    camera_start(camera, 0);
    RUN_UNTIL(stats_of(camera).state == CAMERA_STREAMING && atomic_load(&frames) == 1);
    is_int(stats_of(camera).frames_decoded, 1, "a sink that blocks holds the file");
    pthread_mutex_lock(&block_lock);
    atomic_store(&blocked, false);
    pthread_cond_broadcast(&block_changed);
    pthread_mutex_unlock(&block_lock);
    RUN_UNTIL(atomic_load(&frames) > 60);
    is_int(stats_of(camera).packets_dropped + stats_of(camera).frames_skipped, 0,
           "and nothing is lost");
    camera_close(&camera);
}

static bool is_video(const struct camera_unit *unit, enum camera_video video)
{
    return unit->video == video;
}

static int units_of(enum camera_video video)
{
    int count = 0;

    for (int i = 0; i < watch.unit_count; i++)
        count += is_video(watch.units[i], video);
    return count;
}

static struct {
    int     count;
    bool    key_first;
    int64_t last_pts_ns;
} replay;

static void on_replay(void *arg, struct camera_unit *unit)
{
    (void)arg;
    if (replay.count++ == 0)
        replay.key_first = unit->key;
    replay.last_pts_ns = unit->pts_ns;
}

static void test_live_view(void)
{
    struct camera *camera = open_camera(clip_path("later.mp4"), PACE_REAL_TIME, true, NULL);
    bool           sound  = true;
    int            before;

    camera_start(camera, 0);
    RUN_UNTIL(atomic_load(&frames) >= 8);
    is_int(watch.unit_count, 0, "nobody watches: no units");
    camera_want_video(camera, 1U << CAMERA_VIDEO_H264);
    RUN_UNTIL(watch.unit_count >= 6);
    ok(watch.units[0]->key && watch.units[0]->pts_ns == 0,
       "who begins to watch gets the group from its key frame on");
    RUN_UNTIL(watch.unit_count >= 40);
    for (int i = 0; i < watch.unit_count; i++)
        sound = sound && watch.units[i]->key == (i % 25 == 0) &&
                strcmp(watch.units[i]->codec, watch.units[0]->codec) == 0 &&
                watch.units[i]->width_px == 192;
    ok(sound, "then unit by unit, over the loop's end");
    ok(strncmp(watch.units[0]->codec, "avc1.", 5) == 0, "called %s", watch.units[0]->codec);
    memset(&replay, 0, sizeof replay);
    camera_replay_units(camera, on_replay, NULL);
    before = watch.unit_count % 25 == 0 ? 25 : watch.unit_count % 25;
    ok(replay.count == before && replay.key_first &&
           replay.last_pts_ns == watch.units[watch.unit_count - 1]->pts_ns,
       "a second viewer gets the %d units since the key frame", replay.count);
    forget();
    camera_want_video(camera, 1U << CAMERA_VIDEO_JPEG);
    RUN_UNTIL(units_of(CAMERA_VIDEO_JPEG) >= 4);
    ok(watch.units[watch.unit_count - 1]->bytes > 200 &&
           watch.units[watch.unit_count - 1]->data[0] == 0xff &&
           watch.units[watch.unit_count - 1]->data[1] == 0xd8,
       "JPEG for who wants it");
    is_int(units_of(CAMERA_VIDEO_H264), 0, "and nothing else");
    ok(watch.units[3]->wall_ns - watch.units[0]->wall_ns > 200 * NS_PER_MS, "at most ten a second");
    camera_want_video(camera, 0);
    forget();
    before = (int)stats_of(camera).frames_decoded;
    RUN_UNTIL((int)stats_of(camera).frames_decoded >= before + 8);
    ok(units_of(CAMERA_VIDEO_JPEG) <= 1, "nobody watches: no units any more");
    camera_close(&camera);
}

static void test_close_inside(void)
{
    static const int STATES[] = {CAMERA_CONNECTING, CAMERA_STREAMING, CAMERA_ENDED};
    struct camera   *camera;

    for (size_t i = 0; i < sizeof STATES / sizeof STATES[0]; i++) {
        camera                = open_camera(clip_path("later.mp4"), PACE_FASTEST, false, NULL);
        watch.close_at_change = &camera;
        watch.close_at_state  = STATES[i];
        camera_start(camera, 0);
        RUN_UNTIL(camera == NULL);
        ok(camera == NULL, "closed from within its change to %s",
           camera_state_name((enum camera_state)STATES[i]));
    }
    camera              = open_camera(clip_path("later.mp4"), PACE_REAL_TIME, true, NULL);
    watch.close_at_unit = &camera;
    camera_want_video(camera, 1U << CAMERA_VIDEO_H264 | 1U << CAMERA_VIDEO_JPEG);
    camera_start(camera, 0);
    RUN_UNTIL(camera == NULL);
    is_int(watch.unit_count, 1, "closed from within its first unit");
    camera                = open_camera(clip_path("none.mp4"), PACE_REAL_TIME, true, NULL);
    watch.close_at_change = &camera;
    watch.close_at_state  = CAMERA_BACKOFF;
    camera_start(camera, 0);
    RUN_UNTIL(camera == NULL);
    ok(camera == NULL, "closed from within its change to backoff");
}

static void test_close_any_time(void)
{
    uint64_t   random = 1;
    int        closed = 0;
    uv_timer_t tick; /* the loop never waits for longer */

    uv_timer_init(&loop, &tick);
    uv_timer_start(&tick, on_tick, 1, 1);
    for (int i = 0; i < 200; i++) {
        struct camera *camera = open_camera(clip_path("later.mp4"),
                                            i % 2 == 0 ? PACE_FASTEST : PACE_REAL_TIME, true, NULL);
        int            turns;

        random = random * 6364136223846793005U + 1442695040888963407U;
        turns  = (int)(random >> 33) % 6;
        camera_want_video(camera, (unsigned)(random >> 40) % 16);
        if (i % 10 != 0)
            camera_start(camera, 0);
        for (int turn = 0; turn < turns; turn++)
            uv_run(&loop, turn % 2 == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
        camera_close(&camera);
        closed += camera == NULL;
        forget();
    }
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&loop, UV_RUN_NOWAIT);
    is_int(closed, 200, "closed 200 times at any moment");
}

int main(void)
{
    open_loop();
    if (avcodec_find_encoder_by_name(SECOND.encoder) != NULL) {
        test_files();
        test_blocked_sink();
        test_live_view();
        test_close_inside();
        test_close_any_time();
    } else {
        skip_one("no H.264 encoder");
    }
    unlink(clip_path("later.mp4"));
    return close_loop();
}
