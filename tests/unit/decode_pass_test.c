// links: camera
// Streams that are passed on to viewers and never decoded: their units, sizes and times.
#include "tests/decode_seen.h"
#include "tests/tap.h"

#include "server/camera/decode_clock.h"
#include "server/camera/decode_sps.h"
#include "server/camera/source_file.h"

#include <stdatomic.h>
#include <unistd.h>

static struct seen seen;

#define WALL_NS INT64_C(1800000000000000000)

/* The packets of a clip, as a live camera would send them: each at its own time. */
static bool pass_clip(struct decode_stream *stream, const struct clip *clip, const char *container)
{
    static const atomic_bool never  = false;
    AVPacket                *packet = av_packet_alloc();
    char                     path[512];
    struct source_file      *file;
    AVRational               base;

    snprintf(path, sizeof path, "%s", clip_path("pass"));
    if (!clip_make(path, container, clip) ||
        source_file_open(&file, NULL, path, &never, NULL) != 0) {
        av_packet_free(&packet);
        return false;
    }
    base = source_file_time_base(file);
    decode_stream_begin(stream);
    decode_stream_parameters(stream, source_file_parameters(file), base, (AVRational){25, 1});
    while (source_file_read(file, packet, NULL) == 0) {
        int64_t ns = av_rescale_q(packet->pts, base, (AVRational){1, 1000000000});
        decode_stream_packet(stream, packet, WALL_NS + ns);
    }
    source_file_close(&file);
    unlink(path);
    av_packet_free(&packet);
    return true;
}

static struct decode_stream *open_passing(void)
{
    struct decode_settings settings = {.pass_on = true, .arg = &seen, .wake = on_wake};
    struct decode_stream  *stream;
    struct why             why;

    memset(&seen, 0, sizeof seen);
    pthread_mutex_init(&seen.lock, NULL);
    pthread_cond_init(&seen.changed, NULL);
    if (decode_stream_open(&stream, pool, &settings, &why) != 0)
        exit(1);
    decode_stream_want(stream, 1U << CAMERA_VIDEO_H264 | 1U << CAMERA_VIDEO_H265);
    return stream;
}

/* Waits for it. */
static struct camera_unit *take(struct decode_stream *stream)
{
    struct camera_unit *unit;
    unsigned            wakes;

    for (;;) {
        pthread_mutex_lock(&seen.lock);
        wakes = seen.wakes;
        pthread_mutex_unlock(&seen.lock);
        unit = decode_stream_take_unit(stream);
        if (unit != NULL)
            return unit;
        pthread_mutex_lock(&seen.lock);
        while (seen.wakes == wakes)
            pthread_cond_wait(&seen.changed, &seen.lock);
        pthread_mutex_unlock(&seen.lock);
    }
}

static void test_units(void)
{
    static const struct clip CLIP = {
        "libx264", "preset=ultrafast:tune=zerolatency", AV_PIX_FMT_YUV420P, 192, 128, 20, 25, 10,
        0};
    struct decode_stream *stream = open_passing();
    struct decode_status  status;
    int64_t               last_ns = -1;
    bool                  rising  = true;

    if (!pass_clip(stream, &CLIP, "matroska")) {
        skip_one("no H.264 encoder");
        decode_stream_close(&stream);
        return;
    }
    for (int i = 0; i < 20; i++) {
        struct camera_unit *unit = take(stream);
        if (i % 10 == 0)
            ok(unit->key && unit->video == CAMERA_VIDEO_H264 && unit->width_px == 192 &&
                   unit->height_px == 128 && memcmp(unit->data, "\0\0\0\1", 4) == 0,
               "unit %d is a key frame of its size, Annex B", i);
        rising  = rising && unit->pts_ns > last_ns;
        last_ns = unit->pts_ns;
        camera_unit_unref(&unit);
    }
    ok(rising, "their times rise");
    decode_stream_status(stream, &status);
    is_int(status.pictures, 20, "each is a picture to the state machine");
    is_int(status.frames_decoded, 0, "none was decoded");
    is_int(status.width_px, 192, "the size is known without a decoder");
    ok(status.has_lead && status.wall_lead_ns == WALL_NS, "and what its clock is ahead");
    ok(status.arrival_lead_ns > 0, "and when it came");
    decode_stream_begin(stream);
    decode_stream_status(stream, &status);
    ok(!status.has_lead && status.pictures == 0, "another connection begins anew");
    decode_stream_close(&stream);
}

static void test_codecs(void)
{
    static const struct clip JPEG   = {"mjpeg", "", AV_PIX_FMT_YUVJ420P, 96, 64, 3, 25, 1, 0};
    static const struct clip OLD    = {"mpeg4", "", AV_PIX_FMT_YUV420P, 96, 64, 3, 25, 3, 0};
    struct decode_stream    *stream = open_passing();
    struct decode_status     status;
    struct camera_unit      *unit;

    if (ok(pass_clip(stream, &JPEG, "matroska"), "a JPEG stream")) {
        unit = take(stream);
        ok(unit->video == CAMERA_VIDEO_JPEG && unit->key && unit->width_px == 96 &&
               memcmp(unit->data, "\xff\xd8", 2) == 0,
           "its pictures are units as they are");
        camera_unit_unref(&unit);
    }
    decode_stream_close(&stream);
    stream = open_passing();
    if (ok(pass_clip(stream, &OLD, "matroska"), "a codec that no browser knows")) {
        status = wait_for_end(stream, &seen);
        is_text(status.reason, "its video is mpeg4, which is not passed on as it is", "is told");
    }
    decode_stream_close(&stream);
}

/* Every width and height that the parameter sets of the encoders say. */
static void test_sizes(const char *encoder, const char *options, bool interlaced)
{
    static const int SIZES[][2] = {{192, 128}, {190, 126}, {1920, 1080}, {642, 362}, {34, 258}};

    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        const struct clip clip = {
            encoder, options, AV_PIX_FMT_YUV420P, SIZES[i][0], SIZES[i][1], 1, 25, 1, 0};
        struct decode_stream *stream;
        if (interlaced && SIZES[i][1] % 4 != 0) /* two fields of whole chroma lines */
            continue;
        stream = open_passing();
        if (pass_clip(stream, &clip, "matroska")) {
            struct camera_unit *unit = take(stream);
            ok(unit->width_px == clip.width_px && unit->height_px == clip.height_px,
               "%s%s %dx%d: %dx%d", encoder, interlaced ? " interlaced" : "", clip.width_px,
               clip.height_px, unit->width_px, unit->height_px);
            camera_unit_unref(&unit);
        } else {
            skip_one("no %s", encoder);
        }
        decode_stream_close(&stream);
    }
}

static void test_bad_sizes(void)
{
    static const uint8_t SPS[] = {0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x47, 0xfe, 0xc8};
    uint8_t              bytes[sizeof SPS];
    int                  width_px = 0, height_px = 0;
    int                  accepted = 0;
    struct annexb_nal    nal      = {.data = bytes};

    memcpy(bytes, SPS, sizeof SPS);
    for (nal.bytes = 1; nal.bytes < 5; nal.bytes++)
        accepted += decode_sps_size(&nal, false, &width_px, &height_px) ||
                    decode_sps_size(&nal, true, &width_px, &height_px);
    is_int(accepted, 0, "sets that are cut short have no size");
    memset(bytes, 0, sizeof bytes);
    nal.bytes = sizeof bytes;
    ok(!decode_sps_size(&nal, false, &width_px, &height_px) &&
           !decode_sps_size(&nal, true, &width_px, &height_px),
       "nor do zeros");
    ok(width_px == 0 && height_px == 0, "and nothing is written");
}

static void test_lead(void)
{
    struct decode_lead lead = {0};
    int64_t            s    = NS_PER_S;

    decode_lead_note(&lead, 100, 0);
    decode_lead_note(&lead, 130, s);
    decode_lead_note(&lead, 90, 2 * s);
    decode_lead_note(&lead, 140, 3 * s);
    is_int(decode_lead_ns(&lead), 90, "the least counts");
    decode_lead_note(&lead, 120, 5 * s);
    is_int(decode_lead_ns(&lead), 90, "for a span and the next one");
    decode_lead_note(&lead, 125, 9 * s);
    is_int(decode_lead_ns(&lead), 120, "then no more: clocks drift");
    decode_lead_note(&lead, 500, 40 * s);
    is_int(decode_lead_ns(&lead), 500, "after a pause it begins anew");
}

int main(void)
{
    open_pool(2);
    test_units();
    test_codecs();
    test_sizes("libx264", "preset=ultrafast:tune=zerolatency", false);
    test_sizes("libx264", "preset=ultrafast:profile=high:x264-params=interlaced=1", true);
    test_sizes("libx265", "preset=ultrafast:x265-params=log-level=none", false);
    test_bad_sizes();
    test_lead();
    return close_pool();
}
