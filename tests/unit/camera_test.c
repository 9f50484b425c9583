// links: camera
// A camera's states, driven by a source that does what the test says: connecting, stalls, the
// growing pause, reasons without secrets.
#include "tests/camera_watch.h"
#include "tests/tap.h"

#include "config/err.h"
#include "server/camera/camera_backoff.h"
#include "server/camera/source_file.h"

#include <unistd.h>

/* ---- a source that does what the test says ---- */

static struct fake {
    struct source        base;
    struct source_events events;
    bool                 open;
    bool                 refuses;
    int                  opens;
    int64_t              opened_ns[64];
} fake;

static int fake_open(struct source **out, uv_loop_t *on, const struct settings_camera *settings,
                     const struct source_events *events, struct why *why)
{
    (void)on;
    (void)settings;
    *out = NULL;
    if (fake.opens < 64)
        fake.opened_ns[fake.opens] = clock_monotonic_ns();
    fake.opens++;
    if (fake.refuses)
        return why_set(why, ERR_IO, "no route to rtsp://admin:hunter2@10.0.0.9/1");
    fake.events = *events;
    fake.open   = true;
    *out        = &fake.base;
    return 0;
}

static void fake_close(struct source **source)
{
    fake.open = false;
    *source   = NULL;
}

static void fake_counters(const struct source *source, struct source_counters *counters)
{
    (void)source;
    counters->rtp_lost = 2;
}

static const struct source_ops FAKE = {
    .name = "fake", .open = fake_open, .close = fake_close, .counters = fake_counters};

static const struct camera_tuning QUICK = {.connect_ms     = 60,
                                           .stall_ms       = 80,
                                           .stall_grace_ms = 60,
                                           .backoff_min_ms = 8,
                                           .backoff_max_ms = 60,
                                           .good_ms        = 100000,
                                           .seed           = 42,
                                           .source         = &FAKE};

/* The pictures that the fake source sends. */
static struct {
    AVCodecParameters *parameters;
    AVRational         time_base;
    AVPacket          *packet[32];
    int                count;
} recorded;

static bool record(void)
{
    static const struct clip clip = {
        "libx264", "preset=ultrafast:tune=zerolatency", AV_PIX_FMT_YUV420P, 192, 128, 30, 25, 10,
        0};
    static const atomic_bool never = false;
    struct source_file      *file;

    if (!clip_make(clip_path("fake.mkv"), "matroska", &clip) ||
        source_file_open(&file, NULL, clip_path("fake.mkv"), &never, NULL) != 0)
        return false;
    recorded.parameters = avcodec_parameters_alloc();
    avcodec_parameters_copy(recorded.parameters, source_file_parameters(file));
    recorded.time_base = source_file_time_base(file);
    for (; recorded.count < 30; recorded.count++) {
        recorded.packet[recorded.count] = av_packet_alloc();
        if (source_file_read(file, recorded.packet[recorded.count], NULL) != 0)
            break;
    }
    source_file_close(&file);
    unlink(clip_path("fake.mkv"));
    return true;
}

static void fake_stream(void)
{
    fake.events.stream(fake.events.arg, recorded.parameters, recorded.time_base,
                       (AVRational){25, 1});
}

static void fake_packets(int from, int count)
{
    for (int i = from; i < from + count; i++) {
        AVPacket *packet = av_packet_clone(recorded.packet[i]);

        fake.events.packet(fake.events.arg, packet, clock_wall_ns());
        av_packet_free(&packet);
    }
}

/* ---- tests ---- */

static void test_backoff(void)
{
    uint64_t seed = 7, other = 8, same = 7;
    bool     bounded = true, differs = false, repeats = true;

    for (unsigned failures = 0; failures < 64; failures++) {
        unsigned ms      = camera_backoff_ms(failures, 500, 30000, &seed);
        unsigned ceiling = failures < 5 ? 1000U << failures : 30000;

        bounded = bounded && ms >= ceiling / 2 && ms <= ceiling;
        repeats = repeats && ms == camera_backoff_ms(failures, 500, 30000, &same);
        differs = differs || ms != camera_backoff_ms(failures, 500, 30000, &other);
    }
    ok(bounded, "the wait doubles from 0.5..1 s to 15..30 s, also after 64 failures");
    ok(repeats, "a seed gives the same jitter again");
    ok(differs, "another seed another one");
}

static void test_unreachable(void)
{
    struct camera_tuning tuning = QUICK;
    struct camera       *camera;
    struct camera_stats  stats;
    uint64_t             seed  = QUICK.seed;
    bool                 waits = true;

    memset(&fake, 0, sizeof fake);
    camera = open_camera("rtsp://10.0.0.9/1", PACE_REAL_TIME, false, &tuning);
    is_int(stats_of(camera).state, CAMERA_IDLE, "a camera does nothing before it is started");
    camera_start(camera, 5);
    RUN_UNTIL(fake.opens == 5);
    stats = stats_of(camera);
    for (int i = 0; i < 4; i++) {
        int64_t least_ns = (tuning.connect_ms +
                            (int64_t)camera_backoff_ms((unsigned)i, 8, 60, &seed)) *
                           NS_PER_MS;

        waits = waits && fake.opened_ns[i + 1] - fake.opened_ns[i] >= least_ns - 2 * NS_PER_MS;
    }
    ok(waits, "each attempt has its time, then its growing pause");
    is_text(
        states(),
        "connecting backoff connecting backoff connecting backoff connecting backoff connecting",
        "states of a camera that does not answer");
    is_int(stats.connects, 5, "attempts are counted");
    is_int(stats.reconnects, 0, "but no reconnect");
    fake.events.progress(fake.events.arg, "DESCRIBE");
    is_text(stats_of(camera).reason, "DESCRIBE", "the step is its reason");
    RUN_UNTIL(stats_of(camera).state == CAMERA_BACKOFF);
    ok(strstr(stats_of(camera).reason, "no picture within") != NULL &&
           strstr(stats_of(camera).reason, "DESCRIBE") != NULL,
       "a timeout says how far it came: %s", stats_of(camera).reason);
    fake.refuses = true;
    RUN_UNTIL(strstr(stats_of(camera).reason, "no route") != NULL);
    ok(strstr(stats_of(camera).reason, "hunter2") == NULL, "no secret in a reason: %s",
       stats_of(camera).reason);
    camera_close(&camera);
    ok(!fake.open && camera == NULL, "closing closes the source");
}

static void test_refused(void)
{
    struct camera_tuning tuning = QUICK;
    struct camera       *camera;

    memset(&fake, 0, sizeof fake);
    tuning.backoff_max_ms = 5000;
    camera                = open_camera("rtsp://10.0.0.9/1", PACE_REAL_TIME, false, &tuning);
    camera_start(camera, 0);
    RUN_UNTIL(fake.open);
    fake.events.ended(fake.events.arg, SOURCE_END_REFUSED, "wrong password");
    is_text(stats_of(camera).reason, "wrong password; next try in 5.0 s",
            "who is refused waits for the longest time at once");
    ok(!fake.open, "and the source is closed");
    camera_close(&camera);
}

static void test_stream(void)
{
    struct camera      *camera;
    struct camera_stats stats;

    memset(&fake, 0, sizeof fake);
    camera = open_camera("rtsp://10.0.0.9/1", PACE_REAL_TIME, false, &QUICK);
    camera_start(camera, 0);
    RUN_UNTIL(fake.open);
    fake_stream();
    fake_packets(0, 5);
    RUN_UNTIL(stats_of(camera).state == CAMERA_STREAMING && atomic_load(&frames) == 5);
    stats = stats_of(camera);
    ok(stats.width_px == 192 && stats.height_px == 128 && stats.packets == 5 && stats.bytes > 0 &&
           stats.frames_decoded == 5 && stats.frames_analysed == 5 && stats.source_fps == 25 &&
           stats.rtp_lost == 2 && stats.decoded_fps > 0 && stats.analysed_fps > 0 &&
           stats.last_frame_ns > 0 && stats.own_video == CAMERA_VIDEO_H264,
       "the figures of a stream");
    is_text(stats.codec, "h264", "its codec");
    is_text(stats.reason, "h264 192x128", "its reason");

    RUN_UNTIL(stats_of(camera).state == CAMERA_STALLED);
    ok(fake.open, "stalled: the source is kept for a moment");
    fake_packets(5, 1);
    RUN_UNTIL(stats_of(camera).state == CAMERA_STREAMING);
    is_int(fake.opens, 1, "a picture comes: nothing was opened again");
    RUN_UNTIL(fake.opens == 2);
    fake_stream();
    fake_packets(0, 3);
    RUN_UNTIL(stats_of(camera).state == CAMERA_STREAMING);
    is_text(states(), "connecting streaming stalled streaming stalled backoff connecting streaming",
            "states of a stream that stops twice");
    stats = stats_of(camera);
    is_int(stats.reconnects, 1, "one reconnect");
    is_int(stats.rtp_lost, 4, "the counters of gone sources are kept");
    fake.events.ended(fake.events.arg, SOURCE_END_CLOSED, "the camera hung up");
    ok(stats_of(camera).state == CAMERA_BACKOFF &&
           strncmp(stats_of(camera).reason, "the camera hung up; next try", 28) == 0,
       "the other side's end is a reason to try again");
    camera_close(&camera);
}

/* Longest pause after so many good or bad streams. */
static int64_t pause_after_streams(unsigned good_ms)
{
    struct camera_tuning tuning = QUICK;
    struct camera       *camera;
    int64_t              pause_ns = 0;

    memset(&fake, 0, sizeof fake);
    tuning.good_ms = good_ms;
    camera         = open_camera("rtsp://10.0.0.9/1", PACE_REAL_TIME, false, &tuning);
    camera_start(camera, 0);
    for (int i = 0; i < 6; i++) {
        int64_t began_ns;

        RUN_UNTIL(fake.open);
        fake_stream();
        fake_packets(0, 2);
        RUN_UNTIL(stats_of(camera).state == CAMERA_STREAMING);
        began_ns = clock_monotonic_ns();
        fake.events.ended(fake.events.arg, SOURCE_END_CLOSED, "gone");
        RUN_UNTIL(fake.open);
        pause_ns = clock_monotonic_ns() - began_ns;
    }
    camera_close(&camera);
    return pause_ns;
}

static void test_backoff_reset(void)
{
    int64_t bad_ns  = pause_after_streams(100000);
    int64_t good_ns = pause_after_streams(0);

    ok(bad_ns >= 29 * NS_PER_MS, "streams that break at once: the pause grows to %d ms",
       (int)(bad_ns / NS_PER_MS));
    ok(good_ns < bad_ns, "streams that were good: it does not, %d ms", (int)(good_ns / NS_PER_MS));
}

/* ---- what comes is not what is wanted ---- */

enum junk { LATER_PICTURES, DAMAGED_KEYS, DAMAGED_PICTURES };

static struct {
    uv_timer_t timer;
    enum junk  kind;
    int        sent;
} dripping;

/* Bytes without end, and never a picture. */
static void on_drip(uv_timer_t *timer)
{
    AVPacket *packet;

    (void)timer;
    if (!fake.open)
        return;
    packet = av_packet_clone(recorded.packet[1 + dripping.sent++ % 9]);
    if (dripping.kind != LATER_PICTURES) {
        av_packet_make_writable(packet);
        memset(packet->data + 5, 0xff, (size_t)packet->size - 5);
    }
    if (dripping.kind == DAMAGED_KEYS)
        packet->flags |= AV_PKT_FLAG_KEY;
    fake.events.packet(fake.events.arg, packet, clock_wall_ns());
    av_packet_free(&packet);
}

static void drip(enum junk kind)
{
    dripping.kind = kind;
    uv_timer_start(&dripping.timer, on_drip, 0, 5);
}

static void gives_up(enum junk kind, const char *reason)
{
    struct camera *camera;

    memset(&fake, 0, sizeof fake);
    camera = open_camera("rtsp://10.0.0.9/1", PACE_REAL_TIME, false, &QUICK);
    camera_start(camera, 0);
    RUN_UNTIL(fake.open);
    fake_stream();
    drip(kind);
    RUN_UNTIL(stats_of(camera).state == CAMERA_BACKOFF);
    ok(strncmp(stats_of(camera).reason, reason, strlen(reason)) == 0, "connecting ends: %s",
       stats_of(camera).reason);
    is_int((int64_t)stats_of(camera).losses[CAMERA_LOSS_NO_PICTURE], 1, "and is counted as that");
    uv_timer_stop(&dripping.timer);
    camera_close(&camera);
}

static void test_no_pictures(void)
{
    struct camera *camera;

    uv_timer_init(&loop, &dripping.timer);
    gives_up(LATER_PICTURES, "no key frame for 0 s, though ");
    gives_up(DAMAGED_KEYS, "decoder: no picture for 0 s out of ");

    memset(&fake, 0, sizeof fake);
    camera = open_camera("rtsp://10.0.0.9/1", PACE_REAL_TIME, false, &QUICK);
    camera_start(camera, 0);
    RUN_UNTIL(fake.open);
    fake_stream();
    fake_packets(0, 1);
    RUN_UNTIL(stats_of(camera).state == CAMERA_STREAMING);
    drip(DAMAGED_PICTURES);
    RUN_UNTIL(stats_of(camera).state == CAMERA_STALLED);
    ok(fake.open && strncmp(stats_of(camera).reason, "no picture for 0.1 s", 20) == 0,
       "bytes go on and pictures do not: stalled, %s", stats_of(camera).reason);
    RUN_UNTIL(stats_of(camera).state == CAMERA_BACKOFF);
    ok(strncmp(stats_of(camera).reason, "the pictures stopped, though packets still come;", 48) ==
           0,
       "and given up: %s", stats_of(camera).reason);
    is_int((int64_t)stats_of(camera).losses[CAMERA_LOSS_STALLED], 1, "counted as a stall");
    uv_close((uv_handle_t *)&dripping.timer, NULL);
    camera_close(&camera);
}

static void test_wrong_settings(void)
{
    struct settings_camera *settings = calloc(1, sizeof *settings);
    struct camera          *camera;
    struct why              why = {""};

    snprintf(settings->name, sizeof settings->name, "x");
    snprintf(settings->url, sizeof settings->url, "gopher://host/video");
    is_int(camera_open(&camera, &loop, pool, settings, 0, &SINK, &why), ERR_UNSUPPORTED,
           "an unknown scheme is refused: %s", why.text);
    ok(camera == NULL, "and nothing is open");
    free(settings);
}

int main(void)
{
    open_loop();
    test_backoff();
    test_wrong_settings();
    if (record()) {
        test_unreachable();
        test_refused();
        test_stream();
        test_backoff_reset();
        test_no_pictures();
    } else {
        skip_one("no H.264 encoder");
    }
    for (int i = 0; i < 32; i++)
        av_packet_free(&recorded.packet[i]);
    avcodec_parameters_free(&recorded.parameters);
    return close_loop();
}
