// links: camera
// Real clips and clips made here through the decode workers: every picture, the right ones at a
// rate, in their time, and workers that are shared fairly and let go at any moment.
#include "tests/decode_seen.h"
#include "tests/tap.h"

#include "server/camera/decode_clock.h"

#include <unistd.h>

static struct seen seen, again; /* too large for the stack of a sanitizer */

static void check_counts(const char *path, const char *name, int frames)
{
    struct decode_status status = play_all(path, 0, &seen);
    bool                 sound  = true;

    for (int i = 1; i < seen.count && i < MAX_FRAMES; i++)
        sound = sound && seen.numbers[i] == (uint64_t)i && seen.pts_ns[i] > seen.pts_ns[i - 1] &&
                seen.generations[i] == seen.generations[0];
    is_int(seen.count, frames, "%s has %d pictures", name, frames);
    ok(sound && seen.numbers[0] == 0 && seen.pts_ns[0] == 0,
       "%s: numbered from 0 without a gap, times from 0 and growing", name);
    is_int(status.decode_errors + status.packets_dropped + status.frames_skipped, 0,
           "%s: nothing lost", name);
    is_int(status.end, SOURCE_END_OF_FILE, "%s: ends as a file does", name);
    diag("%s: %s %dx%d, last at %.3f s of %.3f s", name, status.codec, status.width_px,
         status.height_px, (double)seen.pts_ns[seen.count - 1] / 1e9, status.duration_s);
}

static void test_real_counts(void)
{
    static const struct {
        const char *name;
        int         frames;
    } CLIPS[] = {
        {"opendatacam_street.mp4", 499},      {"one-by-one-person-detection.mp4", 1394},
        {"pedestrian_survaillance.mp4", 242}, {"vehicle_survaillance.mp4", 265},
        {"car-detection.mp4", 377},           {"night_street.mp4", 431},
    };
    const char *vtest = "/usr/share/doc/opencv-doc/examples/data/vtest.avi";
    char        path[1024];

    for (size_t i = 0; i < sizeof CLIPS / sizeof CLIPS[0]; i++) {
        if (material() == NULL) {
            skip_one("no material: %s", CLIPS[i].name);
            continue;
        }
        snprintf(path, sizeof path, "%s/videos/%s", material(), CLIPS[i].name);
        check_counts(path, CLIPS[i].name, CLIPS[i].frames);
    }
    if (access(vtest, R_OK) == 0)
        check_counts(vtest, "vtest.avi", 795);
    else
        skip_one("no vtest.avi");
}

/* ---- which pictures are analysed ---- */

static void test_clock(void)
{
    struct decode_clock clock = {0};

    decode_clock_restart(&clock, (AVRational){1, 90000}, (AVRational){25, 1}, NS_PER_S * 10, 0);
    decode_clock_anchor(&clock, 900000);
    is_int(decode_clock_picture(&clock, 900000), 0, "the stream's start is 0");
    is_int(decode_clock_picture(&clock, 903600), 40 * NS_PER_MS, "40 ms later is 40 ms");
    is_int(decode_clock_picture(&clock, AV_NOPTS_VALUE), 80 * NS_PER_MS,
           "a picture without a time comes at the nominal interval");
    is_int(decode_clock_picture(&clock, 903600), 80 * NS_PER_MS + 1, "time never stands still");
    is_int(decode_clock_picture(&clock, INT64_MAX), 120 * NS_PER_MS + 1,
           "an absurd time counts on");
    is_int(decode_clock_picture(&clock, INT64_MIN + 1), 160 * NS_PER_MS + 1,
           "and so does the other absurd one");
    is_int(decode_clock_picture(&clock, 0), 200 * NS_PER_MS + 1, "a reset time line goes on");
    is_int(decode_clock_picture(&clock, 3600), 240 * NS_PER_MS + 1, "at its own distances");
    decode_clock_restart(&clock, (AVRational){1, 1000}, (AVRational){0, 1}, NS_PER_S * 10,
                         NS_PER_S);
    decode_clock_anchor(&clock, 77);
    is_int(decode_clock_map(&clock, 87), 1250 * NS_PER_MS + 1,
           "a unit has the time of its picture");
    is_int(decode_clock_picture(&clock, 77), 1240 * NS_PER_MS + 1,
           "another stream begins after its pause");
}

static int chosen_of(double fps, double source_fps, int frames, int64_t jitter_ns)
{
    struct decode_rate rate   = {0};
    int                chosen = 0;

    decode_rate_set(&rate, fps);
    for (int i = 0; i < frames; i++) {
        int64_t pts_ns = (int64_t)(i * 1e9 / source_fps) + (i % 3 - 1) * jitter_ns;

        chosen += decode_rate_chooses(&rate, pts_ns < 0 ? 0 : pts_ns);
    }
    return chosen;
}

static void test_rate(void)
{
    is_int(chosen_of(0, 25, 1000, 0), 1000, "0: every picture");
    is_int(chosen_of(25, 25, 1000, 0), 1000, "the source's own rate: every picture");
    is_int(chosen_of(25, 25, 1000, 8 * NS_PER_MS), 1000, "also with jitter");
    is_int(chosen_of(60, 25, 1000, 0), 1000, "a higher rate: every picture");
    is_int(chosen_of(5, 25, 1000, 0), 200, "a fifth");
    is_int(chosen_of(10, 25, 1000, 0), 400, "10 of 25");
    is_int(chosen_of(10, 30000.0 / 1001, 30000, 0), 10010, "10 of 29.97, over 1001 s, no drift");
    is_int(chosen_of(7.5, 30, 3000, 3 * NS_PER_MS), 750, "7.5 of 30 with jitter");
    is_int(chosen_of(1, 0.5, 100, 0), 100, "a slow source");
}

static void test_chosen_pictures(void)
{
    static const double RATES[] = {5, 10, 12.5, 1};
    char                path[1024];

    if (material() == NULL) {
        skip_one("no material");
        return;
    }
    snprintf(path, sizeof path, "%s/videos/opendatacam_street.mp4", material());
    for (size_t i = 0; i < sizeof RATES / sizeof RATES[0]; i++) {
        struct decode_status status = play_all(path, RATES[i], &seen);

        is_near(seen.count, 19.96 * RATES[i], 1, "%g a second: %d pictures of 20 s", RATES[i],
                seen.count);
        is_int(status.frames_analysed + status.frames_skipped, 499, "and the rest is skipped");
        play_all(path, RATES[i], &again);
        ok(again.count == seen.count && again.luma == seen.luma &&
               memcmp(again.numbers, seen.numbers, sizeof seen.numbers[0] * (size_t)seen.count) ==
                   0,
           "%g a second: the same pictures again", RATES[i]);
    }
}

/* ---- clips of every kind ---- */

static bool sound_numbers(const struct seen *s, int frames)
{
    for (int i = 0; i < frames; i++) {
        if (s->drawn[i] != i || s->numbers[i] != (uint64_t)i)
            return false;
    }
    return s->count == frames;
}

static void test_kinds(void)
{
    static const struct {
        const char       *name;
        const char       *container;
        struct clip       clip;
        const char       *codec;
        enum frame_format format;
    } KINDS[] = {
        {"b.mp4",
         "mp4",
         {"libx264", "preset=veryfast:x264-params=bframes=3\\:b-pyramid=normal", AV_PIX_FMT_YUV420P,
          320, 240, 60, 25, 20, 0},
         "h264",
         FRAME_I420},
        {"late.ts",
         "mpegts",
         {"libx264", "preset=ultrafast", AV_PIX_FMT_YUV420P, 320, 240, 50, 25, 25, 250000},
         "h264",
         FRAME_I420},
        {"raw.h264",
         "h264",
         {"libx264", "preset=veryfast:x264-params=bframes=2", AV_PIX_FMT_YUV420P, 320, 240, 50, 25,
          25, 0},
         "h264",
         FRAME_I420},
        {"odd.mkv",
         "matroska",
         {"libx264", "preset=ultrafast", AV_PIX_FMT_YUV444P, 333, 241, 30, 10, 10, 0},
         "h264",
         FRAME_I444},
        {"ten.mkv",
         "matroska",
         {"libx264", "preset=ultrafast", AV_PIX_FMT_YUV420P10, 322, 242, 30, 10, 10, 0},
         "h264",
         FRAME_I420},
        {"422.mkv",
         "matroska",
         {"libx264", "preset=ultrafast", AV_PIX_FMT_YUV422P, 320, 240, 30, 10, 10, 0},
         "h264",
         FRAME_I422},
        {"hevc.mp4",
         "mp4",
         {"libx265", "preset=ultrafast:x265-params=log-level=none\\:bframes=2", AV_PIX_FMT_YUV420P,
          320, 240, 30, 10, 10, 0},
         "hevc",
         FRAME_I420},
        {"jpeg.avi",
         "avi",
         {"mjpeg", NULL, AV_PIX_FMT_YUVJ420P, 320, 240, 30, 10, 10, 0},
         "mjpeg",
         FRAME_I420},
        {"ms.avi",
         "avi",
         {"msmpeg4", NULL, AV_PIX_FMT_YUV420P, 320, 240, 40, 10, 10, 0},
         "msmpeg4v3",
         FRAME_I420},
        {"b4.avi",
         "avi",
         {"mpeg4", NULL, AV_PIX_FMT_YUV420P, 320, 240, 40, 10, 10, 0},
         "mpeg4",
         FRAME_I420},
        {"vp9.webm",
         "webm",
         {"libvpx-vp9", "deadline=realtime:cpu-used=8", AV_PIX_FMT_YUV420P, 320, 240, 20, 10, 10,
          0},
         "vp9",
         FRAME_I420},
        {"av1.mp4",
         "mp4",
         {"libaom-av1", "usage=realtime:cpu-used=8:lag-in-frames=0", AV_PIX_FMT_YUV420P, 320, 240,
          20, 10, 10, 0},
         "av1",
         FRAME_I420},
    };

    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        struct decode_status status;

        if (!clip_make(clip_path(KINDS[i].name), KINDS[i].container, &KINDS[i].clip)) {
            skip_one("no encoder %s", KINDS[i].clip.encoder);
            continue;
        }
        status = play_all(clip_path(KINDS[i].name), 0, &seen);
        ok(sound_numbers(&seen, KINDS[i].clip.frames), "%s: all %d pictures in their order",
           KINDS[i].name, KINDS[i].clip.frames);
        if (!sound_numbers(&seen, KINDS[i].clip.frames))
            diag("%d pictures, %s", seen.count, status.reason);
        is_text(status.codec, KINDS[i].codec, "%s: codec", KINDS[i].name);
        is_int(seen.format, KINDS[i].format, "%s: pixel format", KINDS[i].name);
        is_int(seen.pts_ns[0], 0, "%s: time begins at 0", KINDS[i].name);
        is_near((double)seen.pts_ns[seen.count > 0 ? seen.count - 1 : 0] / 1e9,
                (double)(KINDS[i].clip.frames - 1) / KINDS[i].clip.fps, 0.002,
                "%s: time keeps the source's distances", KINDS[i].name);
        is_int(status.decode_errors, 0, "%s: no errors", KINDS[i].name);
        unlink(clip_path(KINDS[i].name));
    }
}

/* ---- loops and pace ---- */

static const struct clip SHORT = {
    "libx264", "preset=veryfast:x264-params=bframes=2", AV_PIX_FMT_YUV420P, 320, 240, 20, 20, 10,
    5};

static void check_loop(const char *name, const char *container, const struct clip *clip)
{
    struct decode_stream *stream;
    bool                  sound  = true;
    int                   passes = 4;

    if (!clip_make(clip_path(name), container, clip)) {
        skip_one("no encoder %s", clip->encoder);
        return;
    }
    stream = open_stream(&seen, 0);
    decode_stream_play(stream, clip_path(name), PACE_FASTEST, true);
    wait_for_frames(&seen, passes * clip->frames);
    decode_stream_close(&stream);
    for (int i = 0; i < passes * clip->frames; i++) {
        sound = sound && seen.drawn[i] == i % clip->frames &&
                seen.numbers[i] == (uint64_t)(i % clip->frames);
        if (i > 0)
            sound = sound &&
                    llabs(seen.pts_ns[i] - seen.pts_ns[i - 1] - NS_PER_S / clip->fps) < NS_PER_MS;
        if (i >= clip->frames)
            sound = sound && seen.generations[i] > seen.generations[i - clip->frames];
    }
    ok(sound, "%s: four times round, every picture, numbers from 0 again, times going on", name);
    unlink(clip_path(name));
}

static void test_loops(void)
{
    static const struct clip MPEG4 = {"mpeg4", NULL, AV_PIX_FMT_YUV420P, 320, 240, 20, 10, 10, 0};

    check_loop("loop.mp4", "mp4", &SHORT);
    check_loop("loop.ts", "mpegts", &SHORT);
    check_loop("loop.mkv", "matroska", &SHORT);
    check_loop("loop.h264", "h264", &SHORT);
    check_loop("loop.avi", "avi", &MPEG4);
}

static void test_real_time(void)
{
    struct decode_stream *stream;
    struct decode_status  status;
    int64_t               worst_early_ns = 0;

    if (!clip_make(clip_path("pace.mp4"), "mp4", &SHORT)) {
        skip_one("no encoder");
        return;
    }
    stream = open_stream(&seen, 0);
    decode_stream_play(stream, clip_path("pace.mp4"), PACE_REAL_TIME, false);
    status = wait_for_end(stream, &seen);
    decode_stream_close(&stream);
    for (int i = 1; i < seen.count; i++) {
        int64_t early_ns = (seen.pts_ns[i] - seen.pts_ns[0]) - (seen.seen_ns[i] - seen.seen_ns[0]);

        if (early_ns > worst_early_ns)
            worst_early_ns = early_ns;
    }
    /* The last pictures come together, when the end of the file drains the decoder's reordering. */
    ok(worst_early_ns < 4 * NS_PER_S / SHORT.fps, "none comes earlier than its reordering");
    is_near((double)(seen.seen_ns[seen.count - 1] - seen.seen_ns[0]) / 1e9, 0.85, 0.35,
            "twenty pictures at twenty a second take a second");
    is_int(status.frames_decoded, 20, "all are decoded");
    unlink(clip_path("pace.mp4"));
}

/* ---- workers ---- */

static void test_fairness(void)
{
    struct decode_pool   *one;
    struct decode_pool   *kept = pool;
    struct decode_stream *first;
    struct decode_stream *second;
    struct why            why;
    int                   lead;

    if (!clip_make(clip_path("fair.mp4"), "mp4", &SHORT) || decode_pool_open(&one, 1, &why) != 0) {
        skip_one("no encoder");
        return;
    }
    pool   = one;
    first  = open_stream(&seen, 0);
    second = open_stream(&again, 0);
    pool   = kept;
    decode_stream_play(first, clip_path("fair.mp4"), PACE_FASTEST, true);
    decode_stream_play(second, clip_path("fair.mp4"), PACE_FASTEST, true);
    wait_for_frames(&again, 400);
    pthread_mutex_lock(&seen.lock);
    lead = seen.count;
    pthread_mutex_unlock(&seen.lock);
    pthread_mutex_lock(&again.lock);
    lead -= again.count;
    pthread_mutex_unlock(&again.lock);
    ok(abs(lead) < 100, "two cameras share one worker: after 400 pictures they are %d apart",
       abs(lead));
    decode_stream_close(&first);
    decode_stream_close(&second);
    decode_pool_close(&one);
    unlink(clip_path("fair.mp4"));
}

static void test_close_any_time(void)
{
    uint64_t random = 99;
    int      closed = 0;

    if (!clip_make(clip_path("close.mp4"), "mp4", &SHORT)) {
        skip_one("no encoder");
        return;
    }
    for (int i = 0; i < 200; i++) {
        struct decode_stream *stream = open_stream(&seen, i % 3 * 7);
        int                   frames;

        random = random * 6364136223846793005U + 1442695040888963407U;
        frames = (int)(random >> 33) % 40;
        decode_stream_want(stream, (unsigned)i % 16);
        decode_stream_play(stream, clip_path("close.mp4"),
                           i % 4 == 0 ? PACE_REAL_TIME : PACE_FASTEST, true);
        if (i % 4 != 0)
            wait_for_frames(&seen, frames);
        if (i % 5 == 0)
            decode_stream_begin(stream);
        decode_stream_close(&stream);
        closed += stream == NULL;
    }
    is_int(closed, 200, "closed 200 times at any moment");
    unlink(clip_path("close.mp4"));
}

int main(void)
{
    open_pool(2);
    test_clock();
    test_rate();
    test_real_counts();
    test_chosen_pictures();
    test_kinds();
    test_loops();
    test_real_time();
    test_fairness();
    test_close_any_time();
    return close_pool();
}
