// links: camera
// Real clips and clips made here through the decode workers: every picture, the right ones at a rate, and
// damage in every form without a crash.
#include "tests/clip.h"
#include "tests/tap.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "server/camera/decode.h"
#include "server/camera/decode_clock.h"
#include "server/camera/decode_queue.h"
#include "server/camera/source.h"
#include "server/camera/source_file.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

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
    uint64_t          luma;    /* sum over all pictures: the same pictures, the same sum */
};

static struct decode_pool *pool;

static void on_frame(void *arg, struct frame *frame)
{
    struct seen *seen = arg;

    pthread_mutex_lock(&seen->lock);
    while (seen->blocked)
        pthread_cond_wait(&seen->changed, &seen->lock);
    if (seen->count < MAX_FRAMES) {
        seen->numbers[seen->count]     = frame->number;
        seen->pts_ns[seen->count]      = frame->pts_ns;
        seen->generations[seen->count] = frame->generation;
        seen->seen_ns[seen->count]     = clock_monotonic_ns();
        seen->drawn[seen->count]       = clip_number(frame->plane[0], frame->stride_bytes[0]);
    }
    seen->count++;
    seen->width_px  = frame->width_px;
    seen->height_px = frame->height_px;
    seen->format    = frame->format;
    seen->matrix    = frame->matrix;
    for (int y = 0; y < frame->height_px; y += 8) {
        for (int x = 0; x < frame->width_px; x += 8)
            seen->luma += frame->plane[0][y * frame->stride_bytes[0] + x];
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

static struct decode_stream *open_stream(struct seen *seen, double fps)
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

static void wait_for_frames(struct seen *seen, int count)
{
    pthread_mutex_lock(&seen->lock);
    while (seen->count < count)
        pthread_cond_wait(&seen->changed, &seen->lock);
    pthread_mutex_unlock(&seen->lock);
}

static struct decode_status wait_for_end(struct decode_stream *stream, struct seen *seen)
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

static struct decode_status play_all(const char *path, double fps, struct seen *seen)
{
    struct decode_stream *stream = open_stream(seen, fps);
    struct decode_status  status;

    decode_stream_play(stream, path, PACE_FASTEST, false);
    status = wait_for_end(stream, seen);
    decode_stream_close(&stream);
    return status;
}

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
    is_int(source_choose(&ops, "http://camera/video.mp4", NULL), ERR_UNSUPPORTED,
           "http is not served");
    is_int(source_choose(&ops, "", NULL), ERR_INVALID, "nothing is not served");
    ok(source_choose(&ops, "RTSP://camera/1", NULL) == 0 && ops == &source_rtsp, "rtsp is");
    ok(source_choose(&ops, "/videos/a:b.mp4", NULL) == 0 && ops == NULL, "a path is a file");
}

/* ---- live packets ---- */

#define MAX_PACKETS 512

struct packets {
    AVCodecParameters *parameters;
    AVRational         time_base;
    AVPacket          *packet[MAX_PACKETS];
    int                count;
};

static bool load_packets(struct packets *packets, const struct clip *clip)
{
    static const atomic_bool never = false;
    struct source_file      *file;

    memset(packets, 0, sizeof *packets);
    if (!clip_make(clip_path("live.mkv"), "matroska", clip) ||
        source_file_open(&file, clip_path("live.mkv"), &never, NULL) != 0)
        return false;
    packets->parameters = avcodec_parameters_alloc();
    avcodec_parameters_copy(packets->parameters, source_file_parameters(file));
    packets->time_base = source_file_time_base(file);
    for (; packets->count < MAX_PACKETS; packets->count++) {
        packets->packet[packets->count] = av_packet_alloc();
        if (source_file_read(file, packets->packet[packets->count], NULL) != 0)
            break;
    }
    source_file_close(&file);
    unlink(clip_path("live.mkv"));
    return true;
}

static void free_packets(struct packets *packets)
{
    for (int i = 0; i < MAX_PACKETS; i++)
        av_packet_free(&packets->packet[i]);
    avcodec_parameters_free(&packets->parameters);
}

static void send_packet(struct decode_stream *stream, const struct packets *packets, int index)
{
    AVPacket *copy = av_packet_clone(packets->packet[index]);

    decode_stream_packet(stream, copy, 1000 + index);
    av_packet_free(&copy);
}

static void test_queue(const struct packets *packets)
{
    struct decode_queue queue  = {0};
    struct decode_entry entry  = {.packet = av_packet_alloc()};
    AVPacket           *packet = av_packet_alloc();
    int                 taken  = 0;

    for (int i = 0; i < DECODE_QUEUE_PACKETS; i++) {
        av_packet_ref(packet, packets->packet[1]);
        decode_queue_put(&queue, packet, 0, 0);
    }
    is_int(queue.packets, DECODE_QUEUE_PACKETS, "the queue takes %d packets", DECODE_QUEUE_PACKETS);
    av_packet_ref(packet, packets->packet[1]);
    decode_queue_put(&queue, packet, 0, 0);
    ok(queue.dropped == 1 && queue.packets == DECODE_QUEUE_PACKETS && packet->data == NULL,
       "one more is dropped and counted");
    decode_queue_take(&queue, &entry);
    av_packet_ref(packet, packets->packet[1]);
    decode_queue_put(&queue, packet, 0, 0);
    is_int(queue.dropped, 2, "and the next ones as well, though there is room: they refer to it");
    av_packet_ref(packet, packets->packet[0]);
    decode_queue_put(&queue, packet, 0, 0);
    is_int(queue.packets, 1, "a key frame throws out what waited");
    is_int(queue.dropped, 2 + DECODE_QUEUE_PACKETS - 1, "all of it counted");
    ok(decode_queue_take(&queue, &entry) && entry.gap, "the key frame says that there is a gap");
    ok(!decode_queue_take(&queue, &entry), "then the queue is empty");

    for (int i = 0; i < 40; i++) {
        av_new_packet(packet, 256 << 10);
        memset(packet->data, 0, (size_t)packet->size);
        decode_queue_put(&queue, packet, 0, 0);
    }
    is_int(queue.bytes, DECODE_QUEUE_BYTES, "the bound in bytes holds");
    while (decode_queue_take(&queue, &entry))
        taken++;
    is_int(taken, 16, "and what is in comes out");
    decode_queue_free(&queue);
    av_packet_free(&entry.packet);
    av_packet_free(&packet);
}

static void test_live(const struct packets *packets)
{
    struct decode_stream *stream = open_stream(&seen, 0);
    struct decode_status  status;
    AVRational            fps = {25, 1};

    decode_stream_begin(stream);
    decode_stream_parameters(stream, packets->parameters, packets->time_base, fps);
    for (int i = 3; i < 30; i++) /* from the middle of a group on */
        send_packet(stream, packets, i);
    wait_for_frames(&seen, 20);
    decode_stream_status(stream, &status);
    is_int(seen.drawn[0], 10, "decoding begins at the first key frame");
    is_int(status.packets_dropped, 7, "what came before is dropped and counted");
    is_int(seen.numbers[19], 19, "numbers count the decoded");
    is_int(status.own_video, CAMERA_VIDEO_H264, "its video is its own H.264");
    is_int(status.pictures, 20, "the loop can see that pictures came");

    decode_stream_begin(stream);
    decode_stream_parameters(stream, packets->parameters, packets->time_base, fps);
    for (int i = 0; i < 10; i++)
        send_packet(stream, packets, i);
    wait_for_frames(&seen, 30);
    ok(seen.generations[20] > seen.generations[19] && seen.numbers[20] == 0,
       "another connection is another generation, numbered from 0");
    ok(seen.pts_ns[20] > seen.pts_ns[19], "its times go on");
    decode_stream_close(&stream);
}

static void test_overflow(const struct packets *packets)
{
    struct decode_stream *stream = open_stream(&seen, 0);
    struct decode_status  status;
    int                   last;

    decode_stream_begin(stream);
    decode_stream_parameters(stream, packets->parameters, packets->time_base, (AVRational){25, 1});
    seen.blocked = true; /* stands for a worker that has no time */
    for (int i = 0; i < 256; i++)
        send_packet(stream, packets, i);
    decode_stream_status(stream, &status);
    ok(status.packets_dropped >= 256 - DECODE_QUEUE_PACKETS - 10, "a full queue drops, here %d",
       (int)status.packets_dropped);
    pthread_mutex_lock(&seen.lock);
    seen.blocked = false;
    pthread_cond_broadcast(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
    do {
        pthread_mutex_lock(&seen.lock);
        while (seen.count == 0)
            pthread_cond_wait(&seen.changed, &seen.lock);
        last = seen.drawn[seen.count - 1];
        pthread_mutex_unlock(&seen.lock);
    } while (last != 255);
    decode_stream_status(stream, &status);
    is_int(status.frames_decoded + status.packets_dropped, 256,
           "every packet is decoded or counted as dropped");
    is_int(status.decode_errors, 0, "and nothing is decoded without what it refers to");
    decode_stream_close(&stream);
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
    static const struct clip LIVE = {
        "libx264", "preset=ultrafast:tune=zerolatency", AV_PIX_FMT_YUV420P, 192, 128, 256, 25, 10,
        0};
    static struct packets packets;
    struct why            why;

    log_set_level(LOG_ERROR);
    if (decode_pool_open(&pool, 2, &why) != 0) {
        diag("%s", why.text);
        return 1;
    }
    test_clock();
    test_rate();
    test_real_counts();
    test_chosen_pictures();
    test_kinds();
    test_loops();
    test_real_time();
    test_damage();
    test_refusals();
    if (load_packets(&packets, &LIVE)) {
        test_queue(&packets);
        test_live(&packets);
        test_overflow(&packets);
        free_packets(&packets);
    } else {
        skip_one("no H.264 encoder");
    }
    test_fairness();
    test_close_any_time();
    decode_pool_close(&pool);
    ok(pool == NULL, "the pool closes");
    rmdir(clip_path(""));
    return done_testing();
}
