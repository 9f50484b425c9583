// links: camera
// What viewers get: Annex B units that a decoder understands from any key frame on, their WebCodecs
// names, the kept group of pictures, JPEG; and that FFmpeg's messages come through our log without
// passwords.
#include "tests/clip.h"
#include "tests/tap.h"

#include "config/err.h"
#include "config/log.h"
#include "server/camera/decode_annexb.h"
#include "server/camera/decode_view.h"
#include "server/camera/ffmpeg_log.h"
#include "server/camera/frame_av.h"
#include "server/camera/picture_jpeg.h"
#include "server/camera/source_file.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#define MAX_UNITS 64

static const atomic_bool never = false;

/* ---- Annex B ---- */

static void test_annexb(void)
{
    static const uint8_t AVC[]   = {0,    0,    0, 1, 0x09, 0xf0, 0,    0,    1, 0x67, 0x64, 0x00,
                                    0x1f, 0,    0, 0, 1,    0x68, 0xee, 0x3c, 0, 0,    0,    1,
                                    0x65, 0x88, 0, 0, 3,    1,    0,    0,    1, 0x41, 0x9a};
    static const uint8_t HEVC[]  = {0, 0,    0, 1, 0x42, 0x01, 0x01, 0x01, 0x60, 0,    0,   3,
                                    0, 0x90, 0, 0, 3,    0,    0,    3,    0,    0x5d, 0xa0};
    static const int     TYPES[] = {9, 7, 8, 5, 1};
    struct annexb_nal    nal;
    char                 codec[32] = "";
    size_t               at        = 0;
    int                  count     = 0;
    bool                 right     = true;

    while (annexb_next(AVC, sizeof AVC, false, &at, &nal)) {
        right = right && count < 5 && nal.type == TYPES[count] && nal.key == (nal.type == 5) &&
                nal.parameters == (nal.type == 7 || nal.type == 8) && nal.sps == (nal.type == 7);
        if (nal.sps)
            ok(annexb_codec(&nal, false, codec), "an SPS is read");
        count++;
    }
    is_int(count, 5, "five units are found");
    ok(right, "and what they are");
    is_text(codec, "avc1.64001f", "High at level 3.1");
    at = 0;
    ok(annexb_next(HEVC, sizeof HEVC, true, &at, &nal) && nal.sps, "an H.265 SPS is found");
    ok(annexb_codec(&nal, true, codec), "and read");
    is_text(codec, "hev1.1.6.L93.90", "Main at level 3.1, through the emulation prevention bytes");
    nal.bytes = 8;
    ok(!annexb_codec(&nal, true, codec), "a short one is refused");
    /* Every cut of it: the sanitizers watch. */
    for (size_t bytes = 0; bytes <= sizeof AVC; bytes++) {
        for (at = 0, count = 0; annexb_next(AVC, bytes, false, &at, &nal); count++)
            right = right && nal.bytes > 0 && nal.data + nal.bytes <= AVC + bytes;
    }
    ok(right, "no cut leads past the end");
    at = 0;
    ok(annexb_next((const uint8_t *)"\320\0\0\1\0\0\1\101\1", 9, false, &at, &nal) &&
           nal.type == 1 && nal.bytes == 2,
       "an empty unit is passed over");
    ok(!annexb_is((const uint8_t *)"\1\144\0\37", 4) && annexb_is(AVC, sizeof AVC),
       "avcC is told from Annex B");
}

/* ---- units of real streams ---- */

/* Decodes the units with a decoder that knows nothing but them; counts pictures with the right
 * number. */
static int decode_units(enum AVCodecID id, struct camera_unit *const *units, int count, int first)
{
    AVCodecContext *decoder = avcodec_alloc_context3(avcodec_find_decoder(id));
    AVPacket       *packet  = av_packet_alloc();
    AVFrame        *picture = av_frame_alloc();
    int             right   = 0;

    decoder->thread_count = 1;
    if (avcodec_open2(decoder, NULL, NULL) < 0)
        exit(1);
    for (int i = first; i <= count; i++) {
        if (i < count && (av_new_packet(packet, (int)units[i]->bytes) < 0))
            exit(1);
        if (i < count)
            memcpy(packet->data, units[i]->data, units[i]->bytes);
        avcodec_send_packet(decoder, i < count ? packet : NULL);
        av_packet_unref(packet);
        while (avcodec_receive_frame(decoder, picture) == 0) {
            right += clip_number(picture->data[0], picture->linesize[0]) == first + right;
            av_frame_unref(picture);
        }
    }
    avcodec_free_context(&decoder);
    av_packet_free(&packet);
    av_frame_free(&picture);
    return right;
}

static int make_units(const char *path, struct camera_unit **units, char expected[static 32])
{
    struct source_file      *file;
    struct decode_view      *view;
    AVPacket                *packet = av_packet_alloc();
    const AVCodecParameters *parameters;
    int                      count = 0;

    if (source_file_open(&file, NULL, path, &never, NULL) != 0)
        exit(1);
    parameters = source_file_parameters(file);
    if (parameters->codec_id == AV_CODEC_ID_H264)
        snprintf(expected, 32, "avc1.%02x", (unsigned)parameters->profile & 0xff);
    else
        snprintf(expected, 32, "hev1.%d.6.L%d", parameters->profile, parameters->level);
    if (decode_view_open(&view, parameters, source_file_time_base(file)) != 0)
        exit(1);
    while (count < MAX_UNITS && source_file_read(file, packet, NULL) == 0) {
        if (decode_view_unit(view, packet, &units[count]) == 0)
            count++;
        av_packet_unref(packet);
    }
    decode_view_close(&view);
    source_file_close(&file);
    av_packet_free(&packet);
    return count;
}

static void check_units(const char *name, const char *container, const struct clip *clip,
                        enum AVCodecID id)
{
    struct camera_unit *units[MAX_UNITS];
    char                expected[32];
    int                 count;
    int                 keys = 0;

    if (!clip_make(clip_path(name), container, clip)) {
        skip_one("no encoder %s", clip->encoder);
        return;
    }
    count = make_units(clip_path(name), units, expected);
    is_int(count, clip->frames, "%s: a unit for each picture", name);
    for (int i = 0; i < count; i++) {
        keys += units[i]->key;
        if (units[i]->key != (i % clip->gop == 0))
            diag("unit %d is %s", i, units[i]->key ? "key" : "not key");
    }
    is_int(keys, clip->frames / clip->gop, "%s: the key frames are known", name);
    ok(strncmp(units[0]->codec, expected, strlen(expected)) == 0, "%s: %s is %s...", name,
       units[0]->codec, expected);
    is_int(decode_units(id, units, count, 0), clip->frames, "%s: they decode by themselves", name);
    is_int(decode_units(id, units, count, clip->gop), clip->frames - clip->gop,
           "%s: also from the second key frame on", name);
    for (int i = 0; i < count; i++)
        camera_unit_unref(&units[i]);
    unlink(clip_path(name));
}

static void test_units(void)
{
    static const struct clip AVC = {
        "libx264",
        "preset=veryfast:x264-params=scenecut=0\\:bframes=2\\:open-gop=0",
        AV_PIX_FMT_YUV420P,
        192,
        128,
        40,
        10,
        10,
        0};
    static const struct clip HEVC = {
        "libx265",
        "preset=ultrafast:x265-params=log-level=none\\:scenecut=0\\:open-gop=0",
        AV_PIX_FMT_YUV420P,
        192,
        128,
        40,
        10,
        10,
        0};
    AVCodecParameters  *parameters = avcodec_parameters_alloc();
    struct decode_view *view;

    check_units("u.mp4", "mp4", &AVC, AV_CODEC_ID_H264);
    check_units("u.ts", "mpegts", &AVC, AV_CODEC_ID_H264);
    check_units("u.mkv", "matroska", &HEVC, AV_CODEC_ID_HEVC);
    check_units("h.ts", "mpegts", &HEVC, AV_CODEC_ID_HEVC);
    parameters->codec_id = AV_CODEC_ID_MSMPEG4V3;
    is_int(decode_view_open(&view, parameters, (AVRational){1, 25}), ERR_UNSUPPORTED,
           "browsers do not decode MS-MPEG4");
    avcodec_parameters_free(&parameters);
}

static void test_real_codec(void)
{
    static struct camera_unit *units[MAX_UNITS];
    char                       path[1024];
    char                       expected[32];
    int                        count;

    if (material() == NULL) {
        skip_one("no material");
        return;
    }
    snprintf(path, sizeof path, "%s/videos/opendatacam_street.mp4", material());
    count = make_units(path, units, expected);
    is_int(count, MAX_UNITS, "a real clip has units");
    ok(units[0]->key, "the first one is a key frame");
    is_text(units[0]->codec, "avc1.64001e", "High at level 3.0");
    for (int i = 0; i < count; i++)
        camera_unit_unref(&units[i]);
}

/* ---- the units that are kept ---- */

static void put(struct decode_units *units, bool key, size_t bytes, int64_t number)
{
    struct camera_unit *unit = camera_unit_alloc(bytes);

    unit->key    = key;
    unit->pts_ns = number;
    decode_units_put(units, unit);
}

/* The numbers of all that can be taken, as text. */
static const char *taken(struct decode_units *units)
{
    static char         text[256];
    struct camera_unit *unit;
    size_t              used = 0;

    text[0] = '\0';
    while ((unit = decode_units_take(units)) != NULL) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%d ", (int)unit->pts_ns);
        camera_unit_unref(&unit);
    }
    return text;
}

static const char *replayed(struct decode_units *units)
{
    static char         text[256];
    struct camera_unit *unit;
    size_t              used = 0;

    text[0] = '\0';
    for (size_t i = 0; (unit = decode_units_replay(units, i)) != NULL; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%d ", (int)unit->pts_ns);
    return text;
}

static void test_kept(void)
{
    struct decode_units units = {0};

    put(&units, false, 10, 1);
    put(&units, true, 10, 2);
    put(&units, false, 10, 3);
    is_text(taken(&units), "", "unwanted: nothing is given");
    decode_units_want(&units, true);
    is_text(taken(&units), "2 3 ", "wanted: first what came since the last key frame");
    put(&units, false, 10, 4);
    is_text(taken(&units), "4 ", "then each as it comes");
    is_text(replayed(&units), "2 3 4 ", "a second viewer gets the group again");
    put(&units, false, 10, 5);
    is_text(replayed(&units), "2 3 4 ", "without what it will be given anyway");
    put(&units, true, 10, 6);
    put(&units, false, 10, 7);
    is_text(taken(&units), "5 6 7 ", "a new group loses nothing of the old");
    is_text(replayed(&units), "6 7 ", "and is what a viewer begins with");
    put(&units, false, CAMERA_KEEP_BYTES - 25, 8);
    is_text(taken(&units), "8 ", "a large group still goes to who watches");
    put(&units, false, 100, 9);
    is_text(taken(&units), "9 ", "past the bound as well");
    is_text(replayed(&units), "", "but is not kept");
    decode_units_want(&units, false);
    put(&units, false, 10, 10);
    decode_units_want(&units, true);
    put(&units, false, 10, 11);
    is_text(taken(&units), "", "who comes then waits for a key frame");
    put(&units, true, 10, 12);
    is_text(taken(&units), "12 ", "which comes");
    for (int i = 0; i < 3 * DECODE_UNITS; i++)
        put(&units, i % 2000 == 1999, 10, 100 + i);
    ok(units.count <= DECODE_UNITS && units.dropped > 0, "nobody takes: bounded, %d dropped",
       (int)units.dropped);
    taken(&units);
    decode_units_clear(&units);
    put(&units, false, 10, 1);
    is_text(taken(&units), "", "after another connection: from a key frame on");
    put(&units, true, 10, 2);
    is_text(taken(&units), "2 ", "and it goes on");
    decode_units_free(&units);
}

/* ---- JPEG ---- */

static void check_jpeg(enum frame_format format, int width_px, int height_px, int out_width_px,
                       int out_height_px)
{
    struct frame        *frame   = frame_alloc(format, width_px, height_px);
    struct picture_jpeg *jpeg    = NULL;
    struct camera_unit  *unit    = NULL;
    AVCodecContext      *decoder = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_MJPEG));
    AVPacket            *packet  = av_packet_alloc();
    AVFrame             *picture = av_frame_alloc();
    bool                 decoded;

    for (int plane = 0; plane < 3 && frame->plane[plane] != NULL; plane++) {
        int rows = plane == 0 || format != FRAME_I420 ? height_px : (height_px + 1) / 2;

        if (format == FRAME_NV12 && plane == 1)
            rows = (height_px + 1) / 2;
        /* White in studio range: JPEG's full range shows it as 255. */
        memset((void *)(uintptr_t)frame->plane[plane], plane == 0 ? 235 : 128,
               (size_t)frame->stride_bytes[plane] * (size_t)rows);
    }
    frame->pts_ns = 77;
    for (int i = 0; i < 3; i++) {
        camera_unit_unref(&unit);
        if (picture_jpeg_encode(&jpeg, frame, PICTURE_JPEG_WIDTH_PX, &unit) != 0)
            exit(1);
    }
    avcodec_open2(decoder, NULL, NULL);
    av_new_packet(packet, (int)unit->bytes);
    memcpy(packet->data, unit->data, unit->bytes);
    decoded = avcodec_send_packet(decoder, packet) == 0 &&
              avcodec_receive_frame(decoder, picture) == 0;
    ok(decoded && picture->width == out_width_px && picture->height == out_height_px &&
           unit->width_px == out_width_px && unit->pts_ns == 77 && unit->key,
       "format %d, %dx%d becomes a JPEG of %dx%d", (int)format, width_px, height_px, unit->width_px,
       unit->height_px);
    if (format < FRAME_BGR24 && decoded)
        is_near(picture->data[0][picture->linesize[0] * (out_height_px / 2) + out_width_px / 2],
                255, 2, "and its white is white");
    av_frame_free(&picture);
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    camera_unit_unref(&unit);
    picture_jpeg_close(&jpeg);
    frame_unref(&frame);
}

static void test_jpeg(void)
{
    check_jpeg(FRAME_I420, 640, 360, 640, 360);
    check_jpeg(FRAME_I420, 627, 361, 627, 361);
    check_jpeg(FRAME_I420, 1920, 1080, 960, 540);
    check_jpeg(FRAME_I444, 320, 240, 320, 240);
    check_jpeg(FRAME_I422, 320, 240, 320, 240);
    check_jpeg(FRAME_NV12, 320, 240, 320, 240);
    check_jpeg(FRAME_GRAY8, 320, 240, 320, 240);
    check_jpeg(FRAME_BGR24, 1280, 720, 960, 540);
    check_jpeg(FRAME_I420, 8000, 2, 960, 1);
}

/* ---- pictures of a decoder ---- */

static void test_frames(void)
{
    struct frame_av_converter *converter = NULL;
    AVFrame                   *picture   = av_frame_alloc();
    AVBufferRef               *watched;
    struct frame              *frame;
    struct frame              *second;
    const uint8_t             *luma;

    picture->format      = AV_PIX_FMT_YUV420P;
    picture->width       = 64;
    picture->height      = 48;
    picture->colorspace  = AVCOL_SPC_BT709;
    picture->color_range = AVCOL_RANGE_JPEG;
    av_frame_get_buffer(picture, 0);
    watched = av_buffer_ref(picture->buf[0]);
    luma    = picture->data[0];
    is_int(frame_av_wrap(&frame, picture, &converter), 0, "a picture is wrapped");
    ok(frame->plane[0] == luma && converter == NULL, "without a copy");
    ok(frame->matrix == FRAME_BT709 && frame->full_range && frame->format == FRAME_I420,
       "with its colours");
    second = frame_ref(frame);
    frame_unref(&frame);
    is_int(av_buffer_get_ref_count(watched), 2, "held while anybody holds the frame");
    frame_unref(&second);
    is_int(av_buffer_get_ref_count(watched), 1, "and given back with the last");
    av_buffer_unref(&watched);

    picture->format = AV_PIX_FMT_RGBA;
    picture->width  = 65;
    picture->height = 47;
    av_frame_get_buffer(picture, 0);
    memset(picture->data[0], 255, (size_t)picture->linesize[0] * 47);
    is_int(frame_av_wrap(&frame, picture, &converter), 0, "another format is converted");
    ok(frame->format == FRAME_I420 && frame->width_px == 65 && frame->height_px == 47 &&
           !frame->full_range && frame->matrix == FRAME_BT601,
       "to studio range I420 of the same size");
    is_near(frame->plane[0][46 * frame->stride_bytes[0] + 64], 235, 2, "white stays white");
    frame_av_converter_close(&converter);
    frame_unref(&frame);
    picture->format = AV_PIX_FMT_VAAPI;
    is_int(frame_av_wrap(&frame, picture, &converter), ERR_UNSUPPORTED,
           "a picture in a device's memory is refused");
    frame_av_converter_close(&converter);
    av_frame_free(&picture);
}

/* ---- FFmpeg's messages ---- */

static void test_log(void)
{
    char   text[16384];
    FILE  *file;
    size_t used;
    int    lines = 0;
    int    kept  = dup(STDERR_FILENO);
    int    fd    = open(clip_path("log"), O_CREAT | O_RDWR | O_TRUNC, 0600);

    log_set_level(LOG_DEBUG);
    ffmpeg_log_install();
    fflush(stderr);
    dup2(fd, STDERR_FILENO);
    av_log(NULL, AV_LOG_ERROR, "rtsp://admin:hunter2@10.0.0.9/live: Server returned 401\n");
    av_log(NULL, AV_LOG_INFO, "Input #0, rtsp, from 'rtsp://admin:hunter2@10.0.0.9/live'\n");
    for (int i = 0; i < 200; i++)
        av_log(NULL, AV_LOG_WARNING, "burst %d\n", i);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(fd);
    log_set_level(LOG_ERROR);
    file       = fopen(clip_path("log"), "r");
    used       = fread(text, 1, sizeof text - 1, file);
    text[used] = '\0';
    fclose(file);
    unlink(clip_path("log"));
    for (size_t i = 0; i < used; i++)
        lines += text[i] == '\n';
    ok(strstr(text, "10.0.0.9") != NULL, "FFmpeg's messages come through our log");
    ok(strstr(text, "hunter2") == NULL && strstr(text, "admin") == NULL, "without credentials");
    ok(strstr(text, "Input") == NULL, "its chatter does not");
    /* Two seconds may have been touched. */
    ok(lines > 0 && lines <= 2 * FFMPEG_LOG_PER_S, "a burst of 200 becomes %d lines", lines);
}

int main(void)
{
    test_log();
    test_annexb();
    test_units();
    test_real_codec();
    test_kept();
    test_jpeg();
    test_frames();
    rmdir(clip_path(""));
    return done_testing();
}
