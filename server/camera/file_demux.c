#include "server/camera/file_demux.h"

#include "config/err.h"
#include "server/camera/file_end.h"

#include <errno.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IO_BYTES      (64 << 10)
#define MAX_STREAMS   64
#define MAX_BAD_READS 64 /* unreadable packets in a row before the rest is given up */
#define TS_BACK_BYTES \
    (8 * 188)                 /* the tables of a transport stream stand before its first picture */
#define HEAD_BYTES 64         /* of a picture, in which its parameter sets begin */
#define MAX_PIXELS "37748736" /* 8192 x 4608 */

/* FFmpeg's names of the containers that are read. Not here: hls, dash, concat, image2, sdp and all
 * others that lead to further files or addresses, and those that nobody records video in. */
static const char *const CONTAINERS =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,ivf,mjpeg,h264,hevc,m4v,"
    "mpegvideo,obu,dhav";

struct file_demux {
    const atomic_bool *stop; /* NULL: nobody stops it */
    int                fd;   /* the caller's */
    AVIOContext       *io;
    AVFormatContext   *format;
    AVStream          *stream;
    bool               any;         /* a packet was read since the open or rewind */
    bool               first_known; /* of the first pass: */
    int64_t            first_dts;
    int                first_bytes;
    bool               end_known;  /* what it says of its length means something */
    int64_t            changed_at; /* byte at which the coding changed last; 0: not in this pass */
};

static bool is_stopped(const struct file_demux *file)
{
    return file->stop != NULL && atomic_load_explicit(file->stop, memory_order_relaxed);
}

static int read_bytes(void *opaque, uint8_t *bytes, int count)
{
    struct file_demux *file = opaque;
    ssize_t            got;

    if (is_stopped(file))
        return AVERROR_EXIT;
    do {
        got = read(file->fd, bytes, (size_t)count);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return AVERROR(errno);
    return got == 0 ? AVERROR_EOF : (int)got;
}

static int64_t seek_bytes(void *opaque, int64_t offset, int whence)
{
    struct file_demux *file = opaque;
    off_t              at, end;

    if (whence != AVSEEK_SIZE) {
        at = lseek(file->fd, offset, whence & ~AVSEEK_FORCE);
        return at < 0 ? AVERROR(errno) : at;
    }
    at  = lseek(file->fd, 0, SEEK_CUR);
    end = lseek(file->fd, 0, SEEK_END);
    if (at < 0 || end < 0 || lseek(file->fd, at, SEEK_SET) < 0)
        return AVERROR(errno);
    return end;
}

/* FFmpeg asks for another file or address that this one names. */
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

static int why_av(struct why *why, int code, const char *what, int av_code)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";

    av_strerror(av_code, text, sizeof text);
    return why_set(why, av_code == AVERROR_EXIT ? ERR_CLOSED : code, "%s: %s", what, text);
}

static int open_container(struct file_demux *file, int64_t at, struct why *why)
{
    const AVInputFormat *container = NULL;
    unsigned char       *buffer    = av_malloc(IO_BYTES);
    int                  av_code   = 0;

    if (lseek(file->fd, 0, SEEK_SET) < 0) {
        av_free(buffer);
        return why_set(why, ERR_IO, "the file cannot be read: %s", strerror(errno));
    }
    if (buffer == NULL)
        return why_set(why, ERR_MEMORY, "no memory to read the file");
    file->io = avio_alloc_context(buffer, IO_BYTES, 0, file, read_bytes, NULL, seek_bytes);
    if (file->io == NULL) {
        av_free(buffer);
        return why_set(why, ERR_MEMORY, "no memory to read the file");
    }
    if (at > 0 && avio_seek(file->io, at, SEEK_SET) < 0)
        return why_set(why, ERR_IO, "the file cannot be read from its middle");
    /* Without the name, so that the content alone decides; the middle of one is what its beginning was. */
    if (at > 0)
        container = av_find_input_format("mpegts");
    else
        av_code = av_probe_input_buffer2(file->io, &container, "", NULL, 0, 0);
    if (av_code < 0 || container == NULL)
        return why_av(why, ERR_UNSUPPORTED, "this is not a video file", av_code);
    if (av_match_list(container->name, CONTAINERS, ',') <= 0)
        return why_set(why, ERR_UNSUPPORTED, "files of type \"%s\" are not read", container->name);
    file->format = avformat_alloc_context();
    if (file->format == NULL)
        return why_set(why, ERR_MEMORY, "no memory to read the file");
    file->format->pb                 = file->io;
    file->format->io_open            = refuse_open;
    file->format->max_streams        = MAX_STREAMS;
    file->format->protocol_whitelist = av_strdup("");
    file->format->format_whitelist   = av_strdup(CONTAINERS);
    if (file->format->protocol_whitelist == NULL || file->format->format_whitelist == NULL)
        return why_set(why, ERR_MEMORY, "no memory to read the file");
    av_code = avformat_open_input(&file->format, "", container, NULL);
    if (av_code < 0)
        return why_av(why, ERR_CORRUPT, "the file is damaged", av_code);
    return 0;
}

/* One thread and a bound for the decoders that FFmpeg opens to look into the streams. */
static int find_stream_info(struct file_demux *file)
{
    unsigned       count   = file->format->nb_streams;
    AVDictionary **options = calloc(count + 1, sizeof(AVDictionary *));
    int            av_code;

    if (options == NULL)
        return AVERROR(ENOMEM);
    for (unsigned i = 0; i < count; i++) {
        av_dict_set(&options[i], "max_pixels", MAX_PIXELS, 0);
        if (file->format->streams[i]->codecpar->codec_type != AVMEDIA_TYPE_VIDEO)
            file->format->streams[i]->discard = AVDISCARD_ALL;
    }
    av_code = avformat_find_stream_info(file->format, options);
    for (unsigned i = 0; i < count; i++)
        av_dict_free(&options[i]);
    free(options);
    return av_code;
}

static int find_video(struct file_demux *file, struct why *why)
{
    int av_code = find_stream_info(file);
    int index;

    if (av_code < 0)
        return why_av(why, ERR_CORRUPT, "the file is damaged", av_code);
    index = av_find_best_stream(file->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (index < 0)
        return why_set(why, ERR_UNSUPPORTED, "there is no video in this file");
    for (unsigned i = 0; i < file->format->nb_streams; i++)
        file->format->streams[i]->discard = (int)i == index ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    file->stream = file->format->streams[index];
    return 0;
}

static void close_container(struct file_demux *file)
{
    file->stream = NULL;
    avformat_close_input(&file->format);
    if (file->io != NULL) {
        av_freep(&file->io->buffer);
        avio_context_free(&file->io);
    }
}

static int open_all(struct file_demux *file, int64_t at, struct why *why)
{
    int rc = open_container(file, at, why);

    if (rc == 0)
        rc = find_video(file, why);
    if (rc == 0)
        file->end_known = file_end_is_known(file->fd, file->format->iformat->name);
    else
        close_container(file);
    return rc;
}

int file_demux_open(struct file_demux **out, int fd, const atomic_bool *stop, struct why *why)
{
    struct file_demux *file = calloc(1, sizeof *file);
    int                rc;

    *out = NULL;
    if (file == NULL)
        return why_set(why, ERR_MEMORY, "no memory to read the file");
    file->stop = stop;
    file->fd   = fd;
    rc         = open_all(file, 0, why);
    if (rc != 0) {
        free(file);
        return rc;
    }
    *out = file;
    return 0;
}

void file_demux_close(struct file_demux **file)
{
    if (*file == NULL)
        return;
    close_container(*file);
    free(*file);
    *file = NULL;
}

const AVCodecParameters *file_demux_parameters(const struct file_demux *file)
{
    return file->stream->codecpar;
}

AVRational file_demux_time_base(const struct file_demux *file)
{
    return file->stream->time_base;
}

AVRational file_demux_frame_rate(const struct file_demux *file)
{
    if (file->stream->avg_frame_rate.num > 0 && file->stream->avg_frame_rate.den > 0)
        return file->stream->avg_frame_rate;
    return file->stream->r_frame_rate;
}

double file_demux_duration_s(const struct file_demux *file)
{
    if (!file->end_known)
        return 0;
    if (file->stream->duration > 0)
        return (double)file->stream->duration * av_q2d(file->stream->time_base);
    if (file->format->duration > 0)
        return (double)file->format->duration / AV_TIME_BASE;
    return 0;
}

/* What the parameter sets at the head of a picture say; NONE: there are none. In H.264 an SPS is 7 with a
 * reference count, in H.265 a VPS is 0x40 0x01: neither means anything in the other one. */
static enum AVCodecID coding_of(const AVPacket *packet)
{
    const uint8_t *bytes = packet->data;
    int            end   = packet->size < HEAD_BYTES ? packet->size : HEAD_BYTES;

    for (int i = 0; i + 4 < end; i++) {
        if (bytes[i] != 0 || bytes[i + 1] != 0 || bytes[i + 2] != 1)
            continue;
        if (bytes[i + 3] == 0x40 && bytes[i + 4] == 0x01)
            return AV_CODEC_ID_HEVC;
        if (bytes[i + 3] == 0x67 || bytes[i + 3] == 0x47 || bytes[i + 3] == 0x27)
            return AV_CODEC_ID_H264;
    }
    return AV_CODEC_ID_NONE;
}

/* FFmpeg keeps to the codec that a transport stream had at first, and would give the rest to its
 * decoder, which makes nothing of it. */
static bool coding_changes(const struct file_demux *file, const AVPacket *packet)
{
    enum AVCodecID now = file->stream->codecpar->codec_id;
    enum AVCodecID seen;

    if ((now != AV_CODEC_ID_H264 && now != AV_CODEC_ID_HEVC) ||
        strcmp(file->format->iformat->name, "mpegts") != 0 || packet->pos <= file->changed_at)
        return false;
    seen = coding_of(packet);
    return seen != AV_CODEC_ID_NONE && seen != now;
}

static int follow_coding(struct file_demux *file, AVPacket *packet, struct why *why)
{
    int64_t at = packet->pos;
    int     rc;

    av_packet_unref(packet);
    close_container(file);
    file->changed_at = at;
    rc               = open_all(file, at > TS_BACK_BYTES ? at - TS_BACK_BYTES : 0, why);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? ERR_IO : rc; /* it is no end of the file */
    return FILE_DEMUX_CHANGED;
}

int file_demux_read(struct file_demux *file, AVPacket *packet, struct why *why)
{
    int av_code = AVERROR_INVALIDDATA;

    /* It could not be opened again, after what was read last. */
    for (int bad = 0; bad < MAX_BAD_READS && file->stream != NULL;) {
        if (is_stopped(file))
            return ERR_CLOSED;
        av_code = av_read_frame(file->format, packet);
        if (av_code == AVERROR_EOF)
            return file_end_is_cut(file->fd, file->format->iformat->name, why) ? ERR_CORRUPT
                                                                               : ERR_NOT_FOUND;
        if (av_code == AVERROR_EXIT)
            return ERR_CLOSED;
        if (av_code < 0) {
            bad++;
            continue;
        }
        if (packet->stream_index == file->stream->index && coding_changes(file, packet))
            return follow_coding(file, packet, why);
        if (packet->stream_index == file->stream->index && packet->size > 0 &&
            packet->size <= FILE_DEMUX_PACKET_BYTES && av_packet_make_refcounted(packet) == 0) {
            if (!file->any && !file->first_known) {
                file->first_known = true;
                file->first_dts   = packet->dts;
                file->first_bytes = packet->size;
            }
            file->any = true;
            return 0;
        }
        av_packet_unref(packet);
    }
    return why_av(why, file->io != NULL && file->io->error != 0 ? ERR_IO : ERR_CORRUPT,
                  "the rest of the file cannot be read", av_code);
}

double file_demux_progress(const struct file_demux *file, const AVPacket *packet)
{
    double  duration_s = file_demux_duration_s(file);
    int64_t start      = file->stream->start_time == AV_NOPTS_VALUE ? 0 : file->stream->start_time;
    int64_t at         = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
    double  progress;

    if (duration_s > 0 && at != AV_NOPTS_VALUE && file->changed_at == 0)
        progress = ((double)at - (double)start) * av_q2d(file->stream->time_base) / duration_s;
    else if (avio_size(file->io) > 0)
        progress = (double)avio_tell(file->io) / (double)avio_size(file->io);
    else
        progress = 0;
    return progress < 0 ? 0 : progress > 1 ? 1 : progress;
}

/* Seeking is quick but some containers land elsewhere; opening again always works. */
static int seek_to_first(struct file_demux *file)
{
    AVPacket *packet = av_packet_alloc();
    int64_t   start  = file->stream->start_time == AV_NOPTS_VALUE ? 0 : file->stream->start_time;
    bool      there  = false;

    if (packet == NULL)
        return ERR_MEMORY;
    for (int attempt = 0; attempt < 2 && !there; attempt++) {
        /* The first try only looks; the second leaves the file where the first one was right. */
        if (av_seek_frame(file->format, file->stream->index, start, AVSEEK_FLAG_BACKWARD) < 0)
            break;
        if (attempt == 1) {
            there = true;
        } else if (file_demux_read(file, packet, NULL) != 0 || packet->dts != file->first_dts ||
                   packet->size != file->first_bytes) {
            break;
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    return there ? 0 : ERR_UNSUPPORTED;
}

int file_demux_rewind(struct file_demux *file, struct why *why)
{
    int rc = 0;

    if (file->stream == NULL || !file->first_known || file->changed_at > 0 ||
        seek_to_first(file) != 0) {
        close_container(file);
        rc = open_all(file, 0, why);
    }
    file->any        = false;
    file->changed_at = 0;
    return rc;
}

int file_demux_seek(struct file_demux *file, int64_t dts, struct why *why)
{
    int av_code = AVERROR_INVALIDDATA;

    if (file->stream != NULL)
        av_code = av_seek_frame(file->format, file->stream->index, dts, AVSEEK_FLAG_BACKWARD);
    return av_code >= 0 ? 0 : why_av(why, ERR_UNSUPPORTED, "the file cannot be searched", av_code);
}
