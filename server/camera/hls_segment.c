#include "server/camera/hls_segment.h"

#include <stdlib.h>
#include <string.h>

#include <libavformat/avformat.h>
#include <libavutil/mem.h>

#include "config/err.h"

#define IO_BYTES    (32 << 10)
#define PROBE_BYTES (512 << 10)

struct hls_segment {
    uint8_t         *data;
    size_t           bytes, at;
    AVIOContext     *io;
    AVFormatContext *format;
    int              stream;
};

static int read_data(void *opaque, uint8_t *out, int capacity)
{
    struct hls_segment *segment = opaque;
    size_t              left    = segment->bytes - segment->at;

    if (left == 0)
        return AVERROR_EOF;
    if (left > (size_t)capacity)
        left = (size_t)capacity;
    memcpy(out, segment->data + segment->at, left);
    segment->at += left;
    return (int)left;
}

static int64_t seek_data(void *opaque, int64_t offset, int whence)
{
    struct hls_segment *segment = opaque;

    if (whence == AVSEEK_SIZE)
        return (int64_t)segment->bytes;
    if (whence == SEEK_CUR)
        offset += (int64_t)segment->at;
    else if (whence == SEEK_END)
        offset += (int64_t)segment->bytes;
    if (offset < 0 || offset > (int64_t)segment->bytes)
        return AVERROR(EINVAL);
    segment->at = (size_t)offset;
    return offset;
}

/* Nothing that a piece names is opened. */
static int refuse_open(AVFormatContext *format, AVIOContext **io, const char *url, int flags,
                       AVDictionary **options)
{
    (void)format;
    (void)url;
    (void)flags;
    (void)options;
    *io = NULL;
    return AVERROR(EPERM);
}

static int find_video(struct hls_segment *segment, struct why *why)
{
    segment->stream = -1;
    for (unsigned i = 0; i < segment->format->nb_streams; i++) {
        const AVCodecParameters *parameters = segment->format->streams[i]->codecpar;

        if (parameters->codec_type == AVMEDIA_TYPE_VIDEO && segment->stream < 0)
            segment->stream = (int)i;
        else
            segment->format->streams[i]->discard = AVDISCARD_ALL;
    }
    if (segment->stream < 0)
        return why_set(why, ERR_UNSUPPORTED, "the camera's stream has no video");
    return 0;
}

int hls_segment_open(struct hls_segment **out, uint8_t *data, size_t bytes, struct why *why)
{
    struct hls_segment *segment = calloc(1, sizeof *segment);
    const char         *kind    = bytes > 0 && data[0] == 0x47 ? "mpegts" : "mov";
    unsigned char      *buffer  = av_malloc(IO_BYTES);
    int                 rc      = ERR_MEMORY;

    *out = NULL;
    if (segment == NULL || buffer == NULL) {
        free(data);
        free(segment);
        av_free(buffer);
        return why_set(why, ERR_MEMORY, "out of memory");
    }
    segment->data   = data;
    segment->bytes  = bytes;
    segment->io     = avio_alloc_context(buffer, IO_BYTES, 0, segment, read_data, NULL, seek_data);
    segment->format = avformat_alloc_context();
    if (segment->io == NULL || segment->format == NULL) {
        if (segment->io == NULL)
            av_free(buffer);
        why_set(why, rc, "out of memory");
        goto fail;
    }
    segment->format->pb        = segment->io;
    segment->format->io_open   = refuse_open;
    segment->format->probesize = PROBE_BYTES;
    segment->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    rc = avformat_open_input(&segment->format, "", av_find_input_format(kind), NULL);
    if (rc < 0) {
        rc = why_set(why, ERR_CORRUPT, "the camera sent a piece of video that is damaged");
        goto fail;
    }
    if ((rc = find_video(segment, why)) != 0)
        goto fail;
    *out = segment;
    return 0;

fail:
    hls_segment_close(&segment);
    return rc;
}

void hls_segment_close(struct hls_segment **out)
{
    struct hls_segment *segment = *out;

    if (segment == NULL)
        return;
    *out = NULL;
    avformat_close_input(&segment->format);
    if (segment->io != NULL)
        av_freep(&segment->io->buffer);
    avio_context_free(&segment->io);
    free(segment->data);
    free(segment);
}

const AVCodecParameters *hls_segment_parameters(const struct hls_segment *segment)
{
    return segment->format->streams[segment->stream]->codecpar;
}

AVRational hls_segment_time_base(const struct hls_segment *segment)
{
    return segment->format->streams[segment->stream]->time_base;
}

AVRational hls_segment_rate(const struct hls_segment *segment)
{
    const AVStream *stream = segment->format->streams[segment->stream];
    AVRational      rate   = stream->avg_frame_rate;

    return rate.num > 0 && rate.den > 0 ? rate : (AVRational){0, 1};
}

bool hls_segment_next(struct hls_segment *segment, AVPacket *packet)
{
    while (av_read_frame(segment->format, packet) >= 0) {
        if (packet->stream_index == segment->stream && packet->size > 0) {
            packet->stream_index = 0;
            return true;
        }
        av_packet_unref(packet);
    }
    return false;
}
