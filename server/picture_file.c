#include "server/picture_file.h"

#include "config/err.h"
#include "config/limits.h"
#include "config/plain_file.h"
#include "server/camera/decode_codec.h"
#include "server/camera/frame_av.h"
#include "server/camera/source_file.h"

#include <libavcodec/avcodec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What goes from function to function. */
struct reading {
    const char                *path;
    int                        most;
    picture_file_fn           *each;
    void                      *arg;
    struct why                *why;
    struct frame_av_converter *converter;
    int                        seen, given;
};

static int read_still(struct reading *reading, FILE *file, enum AVCodecID id);
static int read_video(struct reading *reading);

static enum AVCodecID kind_of(const unsigned char *head, size_t bytes)
{
    if (bytes >= 3 && memcmp(head, "\xff\xd8\xff", 3) == 0)
        return AV_CODEC_ID_MJPEG;
    if (bytes >= 8 && memcmp(head, "\x89PNG\r\n\x1a\n", 8) == 0)
        return AV_CODEC_ID_PNG;
    if (bytes >= 12 && memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "WEBP", 4) == 0)
        return AV_CODEC_ID_WEBP;
    return AV_CODEC_ID_NONE;
}

int picture_file_read(const char *path, int most, picture_file_fn *each, void *arg, struct why *why)
{
    struct reading reading = {.path = path, .most = most, .each = each, .arg = arg, .why = why};
    unsigned char  head[12];
    FILE          *file;
    enum AVCodecID id;
    int            rc = plain_file_stream(path, &file, why);

    if (rc != 0) {
        why_prefix(why, "%s", path);
        return rc;
    }
    id = kind_of(head, fread(head, 1, sizeof head, file));
    rc = id == AV_CODEC_ID_NONE ? read_video(&reading) : read_still(&reading, file, id);
    fclose(file);
    frame_av_converter_close(&reading.converter);
    if (rc == 0 && reading.given == 0)
        return why_set(why, ERR_CORRUPT, "%s: no picture in it could be decoded", path);
    return rc;
}

static int give(struct reading *reading, AVFrame *picture)
{
    struct frame *frame = NULL;
    int           rc;

    if (reading->seen++ % PICTURE_FILE_STEP != 0)
        return 0;
    rc = frame_av_wrap(&frame, picture, &reading->converter);
    if (rc != 0)
        return why_set(reading->why, rc, "%s: its pictures have a format that cannot be used",
                       reading->path);
    frame->number = (uint64_t)reading->given;
    return reading->each(reading->arg, frame, reading->given++);
}

static int read_bytes(struct reading *reading, FILE *file, AVPacket *packet)
{
    long bytes;

    if (fseek(file, 0, SEEK_END) != 0 || (bytes = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0)
        return why_set(reading->why, ERR_IO, "%s cannot be read", reading->path);
    if (bytes > PICTURE_FILE_BYTES_MAX)
        return why_set(reading->why, ERR_LIMIT, "%s: %ld bytes, at most %d are possible",
                       reading->path, bytes, PICTURE_FILE_BYTES_MAX);
    if (av_new_packet(packet, (int)bytes) != 0)
        return why_set(reading->why, ERR_MEMORY, "%s: out of memory", reading->path);
    if (fread(packet->data, 1, (size_t)bytes, file) != (size_t)bytes)
        return why_set(reading->why, ERR_IO, "%s could not be read to its end", reading->path);
    return 0;
}

static int read_still(struct reading *reading, FILE *file, enum AVCodecID id)
{
    const AVCodec  *codec   = avcodec_find_decoder(id);
    AVCodecContext *context = codec != NULL ? avcodec_alloc_context3(codec) : NULL;
    AVPacket       *packet  = av_packet_alloc();
    AVFrame        *picture = av_frame_alloc();
    int             rc      = ERR_MEMORY;

    if (context == NULL || packet == NULL || picture == NULL) {
        why_set(reading->why, rc, "%s: no memory or no decoder for it", reading->path);
        goto done;
    }
    context->thread_count = 1;
    context->max_pixels   = (int64_t)LIMIT_PICTURE_PX * LIMIT_PICTURE_PX;
    rc                    = read_bytes(reading, file, packet);
    if (rc != 0)
        goto done;
    if (avcodec_open2(context, codec, NULL) != 0 || avcodec_send_packet(context, packet) != 0 ||
        avcodec_receive_frame(context, picture) != 0) {
        rc = why_set(reading->why, ERR_CORRUPT, "%s: the picture cannot be decoded", reading->path);
        goto done;
    }
    rc = give(reading, picture);

done:
    av_frame_free(&picture);
    av_packet_free(&packet);
    avcodec_free_context(&context);
    return rc;
}

/* What the decoder has after a packet (NULL: the end). */
static int take_pictures(struct reading *reading, struct decode_codec *codec,
                         const AVPacket *packet, AVFrame *picture)
{
    int rc;

    decode_codec_send(codec, packet); /* a packet that is broken gives no picture, that is all */
    while ((rc = decode_codec_receive(codec, picture)) != ERR_AGAIN && rc != ERR_NOT_FOUND) {
        if (rc == 0 && reading->given < reading->most)
            rc = give(reading, picture);
        else if (rc == ERR_CORRUPT)
            rc = 0;
        av_frame_unref(picture);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int read_video(struct reading *reading)
{
    atomic_bool          stop    = false;
    struct source_file  *file    = NULL;
    struct decode_codec *codec   = NULL;
    AVPacket            *packet  = av_packet_alloc();
    AVFrame             *picture = av_frame_alloc();
    int                  rc      = ERR_MEMORY;

    if (packet == NULL || picture == NULL) {
        why_set(reading->why, rc, "%s: out of memory", reading->path);
        goto done;
    }
    rc = source_file_open(&file, NULL, reading->path, &stop, reading->why);
    if (rc == 0)
        rc = decode_codec_open(&codec, source_file_parameters(file), source_file_time_base(file),
                               reading->why);
    while (rc == 0 && reading->given < reading->most) {
        struct why end;

        rc = source_file_read(file, packet, &end);
        if (rc != 0)
            break;
        rc = take_pictures(reading, codec, packet, picture);
        av_packet_unref(packet);
    }
    /* The end of the file, or of what can be read of it. */
    if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT || rc == ERR_IO)
        rc = codec != NULL ? take_pictures(reading, codec, NULL, picture) : rc;

done:
    decode_codec_close(&codec);
    source_file_close(&file);
    av_frame_free(&picture);
    av_packet_free(&packet);
    return rc;
}
