/* tests/clip.h: small videos made at test time, each picture with its number drawn into it, so
 * that a test can tell which picture came out and not only how many.
 *
 * The number is ten blocks of 16x16 pixels at the top left, bright for a one: it survives every
 * lossy codec. */
#ifndef SIGHTLINE_TESTS_CLIP_H
#define SIGHTLINE_TESTS_CLIP_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The H.265 encoder, which only tests use, keeps some memory for ever and synchronises its
 * threads in ways that a sanitizer cannot see from outside. */
const char                       *__lsan_default_suppressions(void);
const char                       *__tsan_default_suppressions(void);
__attribute__((used)) const char *__lsan_default_suppressions(void)
{
    return "leak:libx265.so";
}
__attribute__((used)) const char *__tsan_default_suppressions(void)
{
    return "race:libx265.so";
}

#define CLIP_BLOCK_PX 16
#define CLIP_BITS     10

struct clip {
    const char        *encoder; /* "libx264" */
    const char        *options; /* of the encoder: "preset=ultrafast:bf=2" */
    enum AVPixelFormat format;
    int                width_px, height_px;
    int                frames, fps, gop;
    int64_t            first_pts; /* in pictures */
};

/* A folder of this test's own in TMPDIR, made on the first call. The test unlinks what it
 * makes there, and the folder, clip_path(""), at its end. */
__attribute__((unused)) static const char *clip_path(const char *name)
{
    static char folder[256];
    static char paths[8][512];
    static int  next;

    if (folder[0] == '\0') {
        const char *base = getenv("TMPDIR");

        snprintf(folder, sizeof folder, "%s/sightline-clip-XXXXXX", base != NULL ? base : "/tmp");
        if (mkdtemp(folder) == NULL)
            exit(1);
    }
    next = (next + 1) % 8;
    snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
    return paths[next];
}

__attribute__((unused)) static void clip_draw(AVFrame *picture, int number)
{
    int depth = av_pix_fmt_desc_get((enum AVPixelFormat)picture->format)->comp[0].depth;

    for (int plane = 0; plane < 4 && picture->data[plane] != NULL; plane++) {
        int rows = plane == 0 || picture->format == AV_PIX_FMT_YUV422P ||
                           picture->format == AV_PIX_FMT_YUV444P
                       ? picture->height
                       : (picture->height + 1) / 2;

        for (int y = 0; y < rows; y++) {
            for (int x = 0; x < picture->linesize[plane] / (depth > 8 ? 2 : 1); x++) {
                int bit   = x / CLIP_BLOCK_PX;
                int value = plane != 0 ? 128 : 96 + (x / 7 + y / 5 + number) % 32;

                if (plane == 0 && y < CLIP_BLOCK_PX && bit < CLIP_BITS)
                    value = (number >> bit & 1) != 0 ? 220 : 30;
                if (depth > 8)
                    ((uint16_t *)(void *)(picture->data[plane] + y * picture->linesize[plane]))[x] =
                        (uint16_t)(value << (depth - 8));
                else
                    picture->data[plane][y * picture->linesize[plane] + x] = (uint8_t)value;
            }
        }
    }
}

/* The number in an 8-bit luma plane. */
__attribute__((unused)) static int clip_number(const uint8_t *luma, int stride_bytes)
{
    int number = 0;

    for (int bit = 0; bit < CLIP_BITS; bit++) {
        if (luma[CLIP_BLOCK_PX / 2 * stride_bytes + bit * CLIP_BLOCK_PX + CLIP_BLOCK_PX / 2] > 125)
            number |= 1 << bit;
    }
    return number;
}

static int clip_write(AVFormatContext *out, AVCodecContext *encoder, AVFrame *picture,
                      AVPacket *packet)
{
    int rc = avcodec_send_frame(encoder, picture);

    while (rc >= 0) {
        rc = avcodec_receive_packet(encoder, packet);
        if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF)
            return 0;
        if (rc < 0)
            return rc;
        if (packet->duration == 0)
            packet->duration = 1;
        av_packet_rescale_ts(packet, encoder->time_base, out->streams[0]->time_base);
        rc = av_interleaved_write_frame(out, packet);
    }
    return rc;
}

/* With pictures as `draw` makes them. False when this FFmpeg has no such encoder or container: the
 * test skips. */
__attribute__((unused)) static bool clip_make_drawn(const char *path, const char *container,
                                                    const struct clip *clip,
                                                    void (*draw)(AVFrame *picture, int number))
{
    const AVCodec   *codec   = avcodec_find_encoder_by_name(clip->encoder);
    AVCodecContext  *encoder = NULL;
    AVFormatContext *out     = NULL;
    AVFrame         *picture = av_frame_alloc();
    AVPacket        *packet  = av_packet_alloc();
    bool             made    = false;

    if (codec == NULL || avformat_alloc_output_context2(&out, NULL, container, path) < 0)
        goto done;
    encoder               = avcodec_alloc_context3(codec);
    encoder->width        = clip->width_px;
    encoder->height       = clip->height_px;
    encoder->pix_fmt      = clip->format;
    encoder->time_base    = (AVRational){1, clip->fps};
    encoder->framerate    = (AVRational){clip->fps, 1};
    encoder->gop_size     = clip->gop;
    encoder->thread_count = 1;
    encoder->bit_rate     = 800000;
    if (clip->format == AV_PIX_FMT_YUVJ420P)
        encoder->color_range = AVCOL_RANGE_JPEG;
    if ((out->oformat->flags & AVFMT_GLOBALHEADER) != 0)
        encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    if (clip->options != NULL &&
        av_set_options_string(encoder->priv_data, clip->options, "=", ":") < 0)
        goto done;
    if (avcodec_open2(encoder, codec, NULL) < 0 || avformat_new_stream(out, NULL) == NULL ||
        avcodec_parameters_from_context(out->streams[0]->codecpar, encoder) < 0)
        goto done;
    out->streams[0]->time_base      = encoder->time_base;
    out->streams[0]->avg_frame_rate = encoder->framerate;
    if (avio_open(&out->pb, path, AVIO_FLAG_WRITE) < 0 || avformat_write_header(out, NULL) < 0)
        goto done;
    picture->width  = clip->width_px;
    picture->height = clip->height_px;
    picture->format = clip->format;
    for (int i = 0; i < clip->frames; i++) {
        if (av_frame_get_buffer(picture, 0) < 0)
            goto done;
        draw(picture, i);
        picture->pts = clip->first_pts + i;
        if (clip_write(out, encoder, picture, packet) < 0)
            goto done;
        for (int plane = 0; plane < AV_NUM_DATA_POINTERS; plane++)
            av_buffer_unref(&picture->buf[plane]);
    }
    made = clip_write(out, encoder, NULL, packet) >= 0 && av_write_trailer(out) >= 0;

done:
    avcodec_free_context(&encoder);
    if (out != NULL)
        avio_closep(&out->pb);
    avformat_free_context(out);
    av_frame_free(&picture);
    av_packet_free(&packet);
    if (!made)
        unlink(path);
    return made;
}

__attribute__((unused)) static bool clip_make(const char *path, const char *container,
                                              const struct clip *clip)
{
    return clip_make_drawn(path, container, clip, clip_draw);
}

#endif
