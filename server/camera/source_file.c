#include "server/camera/source_file.h"

#include "config/clock.h"
#include "config/err.h"
#include "config/limits.h"
#include "server/camera/decode_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <libavformat/avformat.h>
#include <libavutil/avstring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IO_BYTES      (64 << 10)
#define MAX_STREAMS   64
#define MAX_BAD_READS 64              /* unreadable packets in a row before the rest is given up */
#define MAX_LATE_NS   (2 * NS_PER_S)  /* behind by more: the schedule moves */
#define MAX_STEP_NS   (10 * NS_PER_S) /* of timestamps; nobody waits longer for a picture */
#define TS_BACK_BYTES \
    (8 * 188)                 /* the tables of a transport stream stand before its first picture */
#define HEAD_BYTES 64         /* of a picture, in which its parameter sets begin */
#define MAX_PIXELS "37748736" /* 8192 x 4608 */

/* FFmpeg's names of the containers that are read. Not here: hls, dash, concat, image2, sdp and all
 * others that lead to further files or addresses, and those that nobody records video in. */
static const char *const CONTAINERS =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,ivf,mjpeg,h264,hevc,m4v,"
    "mpegvideo,obu,dhav";

struct source_file {
    char                path[LIMIT_PATH_BYTES];
    const atomic_bool  *stop;
    int                 fd;
    AVIOContext        *io;
    AVFormatContext    *format;
    AVStream           *stream;
    bool                any;         /* a packet was read since the open or rewind */
    bool                first_known; /* of the first pass: */
    int64_t             first_dts;
    int                 first_bytes;
    int64_t             changed_at; /* byte at which the coding changed last; 0: not in this pass */
    struct decode_clock schedule;   /* of decoding timestamps */
    int64_t             schedule_start_ns;
    bool                scheduled;
};

static int read_bytes(void *opaque, uint8_t *bytes, int count)
{
    struct source_file *file = opaque;
    ssize_t             got;

    if (atomic_load_explicit(file->stop, memory_order_relaxed))
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
    struct source_file *file = opaque;
    struct stat         status;
    off_t               at;

    if (whence == AVSEEK_SIZE)
        return fstat(file->fd, &status) == 0 ? status.st_size : AVERROR(errno);
    at = lseek(file->fd, offset, whence & ~AVSEEK_FORCE);
    return at < 0 ? AVERROR(errno) : at;
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

static int why_av(struct why *why, int code, const char *path, const char *what, int av_code)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";

    av_strerror(av_code, text, sizeof text);
    return why_set(why, av_code == AVERROR_EXIT ? ERR_CLOSED : code, "%s: %s: %s", path, what,
                   text);
}

static int why_errno(struct why *why, const char *path)
{
    int code = ERR_IO;

    if (errno == ENOENT || errno == ENOTDIR)
        return why_set(why, ERR_NOT_FOUND, "%s: there is no such file", path);
    if (errno == EACCES || errno == EPERM)
        return why_set(why, ERR_DENIED, "%s: the server may not read this file", path);
    return why_set(why, code, "%s: %s", path, strerror(errno));
}

/* Looked at before it is opened, since opening a device or a FIFO can do things or wait; and again
 * after, since it may have been exchanged in between. */
static int open_descriptor(struct source_file *file, struct why *why)
{
    struct stat status;

    if (strncmp(file->path, "/dev/", 5) == 0 || strncmp(file->path, "/proc/", 6) == 0 ||
        strncmp(file->path, "/sys/", 5) == 0)
        return why_set(why, ERR_UNSUPPORTED, "%s: system files are not read as video", file->path);
    if (stat(file->path, &status) != 0)
        return why_errno(why, file->path);
    if (S_ISREG(status.st_mode)) {
        file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (file->fd < 0 || fstat(file->fd, &status) != 0)
            return why_errno(why, file->path);
    }
    if (!S_ISREG(status.st_mode))
        return why_set(why, ERR_UNSUPPORTED, "%s: this is not a regular file", file->path);
    if (status.st_size == 0)
        return why_set(why, ERR_CORRUPT, "%s: the file is empty", file->path);
    return 0;
}

static int open_container(struct source_file *file, int64_t at, struct why *why)
{
    const AVInputFormat *container = NULL;
    unsigned char       *buffer    = av_malloc(IO_BYTES);
    int                  av_code   = 0;

    if (buffer == NULL)
        return why_set(why, ERR_MEMORY, "%s: no memory to read the file", file->path);
    file->io = avio_alloc_context(buffer, IO_BYTES, 0, file, read_bytes, NULL, seek_bytes);
    if (file->io == NULL) {
        av_free(buffer);
        return why_set(why, ERR_MEMORY, "%s: no memory to read the file", file->path);
    }
    if (at > 0 && avio_seek(file->io, at, SEEK_SET) < 0)
        return why_set(why, ERR_IO, "%s: the file cannot be read from its middle", file->path);
    /* Without the name, so that the content alone decides; the middle of one is what its beginning was. */
    if (at > 0)
        container = av_find_input_format("mpegts");
    else
        av_code = av_probe_input_buffer2(file->io, &container, "", NULL, 0, 0);
    if (av_code < 0 || container == NULL)
        return why_av(why, ERR_UNSUPPORTED, file->path, "this is not a video file", av_code);
    if (av_match_list(container->name, CONTAINERS, ',') <= 0)
        return why_set(why, ERR_UNSUPPORTED, "%s: files of type \"%s\" are not read", file->path,
                       container->name);
    file->format = avformat_alloc_context();
    if (file->format == NULL)
        return why_set(why, ERR_MEMORY, "%s: no memory to read the file", file->path);
    file->format->pb                 = file->io;
    file->format->io_open            = refuse_open;
    file->format->max_streams        = MAX_STREAMS;
    file->format->protocol_whitelist = av_strdup("");
    file->format->format_whitelist   = av_strdup(CONTAINERS);
    if (file->format->protocol_whitelist == NULL || file->format->format_whitelist == NULL)
        return why_set(why, ERR_MEMORY, "%s: no memory to read the file", file->path);
    av_code = avformat_open_input(&file->format, "", container, NULL);
    if (av_code < 0)
        return why_av(why, ERR_CORRUPT, file->path, "the file is damaged", av_code);
    return 0;
}

/* One thread and a bound for the decoders that FFmpeg opens to look into the streams. */
static int find_stream_info(struct source_file *file)
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

static int find_video(struct source_file *file, struct why *why)
{
    int av_code = find_stream_info(file);
    int index;

    if (av_code < 0)
        return why_av(why, ERR_CORRUPT, file->path, "the file is damaged", av_code);
    index = av_find_best_stream(file->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (index < 0)
        return why_set(why, ERR_UNSUPPORTED, "%s: there is no video in this file", file->path);
    for (unsigned i = 0; i < file->format->nb_streams; i++)
        file->format->streams[i]->discard = (int)i == index ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    file->stream = file->format->streams[index];
    return 0;
}

static void close_container(struct source_file *file)
{
    file->stream = NULL;
    avformat_close_input(&file->format);
    if (file->io != NULL) {
        av_freep(&file->io->buffer);
        avio_context_free(&file->io);
    }
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

static int open_all(struct source_file *file, int64_t at, struct why *why)
{
    int rc = open_descriptor(file, why);

    if (rc == 0)
        rc = open_container(file, at, why);
    if (rc == 0)
        rc = find_video(file, why);
    if (rc != 0)
        close_container(file);
    return rc;
}

int source_file_open(struct source_file **out, const char *path, const atomic_bool *stop,
                     struct why *why)
{
    struct source_file *file;
    int                 rc;

    *out = NULL;
    if (strlen(path) >= sizeof file->path)
        return why_set(why, ERR_LIMIT, "the path of the file is too long");
    file = calloc(1, sizeof *file);
    if (file == NULL)
        return why_set(why, ERR_MEMORY, "%s: no memory to read the file", path);
    memcpy(file->path, path, strlen(path) + 1);
    file->stop = stop;
    file->fd   = -1;
    rc         = open_all(file, 0, why);
    if (rc != 0) {
        free(file);
        return rc;
    }
    decode_clock_restart(&file->schedule, file->stream->time_base, source_file_frame_rate(file),
                         MAX_STEP_NS, 0);
    *out = file;
    return 0;
}

void source_file_close(struct source_file **file)
{
    if (*file == NULL)
        return;
    close_container(*file);
    free(*file);
    *file = NULL;
}

const AVCodecParameters *source_file_parameters(const struct source_file *file)
{
    return file->stream->codecpar;
}

AVRational source_file_time_base(const struct source_file *file)
{
    return file->stream->time_base;
}

AVRational source_file_frame_rate(const struct source_file *file)
{
    if (file->stream->avg_frame_rate.num > 0 && file->stream->avg_frame_rate.den > 0)
        return file->stream->avg_frame_rate;
    return file->stream->r_frame_rate;
}

double source_file_duration_s(const struct source_file *file)
{
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
static bool coding_changes(const struct source_file *file, const AVPacket *packet)
{
    enum AVCodecID now = file->stream->codecpar->codec_id;
    enum AVCodecID seen;

    if ((now != AV_CODEC_ID_H264 && now != AV_CODEC_ID_HEVC) ||
        strcmp(file->format->iformat->name, "mpegts") != 0 || packet->pos <= file->changed_at)
        return false;
    seen = coding_of(packet);
    return seen != AV_CODEC_ID_NONE && seen != now;
}

static int follow_coding(struct source_file *file, AVPacket *packet, struct why *why)
{
    int64_t at = packet->pos;
    int     rc;

    av_packet_unref(packet);
    close_container(file);
    file->changed_at = at;
    rc               = open_all(file, at > TS_BACK_BYTES ? at - TS_BACK_BYTES : 0, why);
    if (rc != 0)
        return rc == ERR_NOT_FOUND ? ERR_IO : rc; /* it is no end of the file */
    decode_clock_restart(&file->schedule, file->stream->time_base, source_file_frame_rate(file),
                         MAX_STEP_NS, 0);
    return SOURCE_FILE_CHANGED;
}

int source_file_read(struct source_file *file, AVPacket *packet, struct why *why)
{
    int av_code;

    for (int bad = 0; bad < MAX_BAD_READS;) {
        if (atomic_load_explicit(file->stop, memory_order_relaxed))
            return ERR_CLOSED;
        av_code = av_read_frame(file->format, packet);
        if (av_code == AVERROR_EOF)
            return ERR_NOT_FOUND;
        if (av_code == AVERROR_EXIT)
            return ERR_CLOSED;
        if (av_code < 0) {
            bad++;
            continue;
        }
        if (packet->stream_index == file->stream->index && coding_changes(file, packet))
            return follow_coding(file, packet, why);
        if (packet->stream_index == file->stream->index && packet->size > 0 &&
            av_packet_make_refcounted(packet) == 0) {
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
    return why_av(why, file->io->error != 0 ? ERR_IO : ERR_CORRUPT, file->path,
                  "the rest of the file cannot be read", av_code);
}

int64_t source_file_due_ns(struct source_file *file, const AVPacket *packet, int64_t now_ns)
{
    int64_t media_ns = decode_clock_picture(
        &file->schedule, packet->dts != AV_NOPTS_VALUE ? packet->dts : packet->pts);

    if (!file->scheduled) {
        file->scheduled         = true;
        file->schedule_start_ns = now_ns - media_ns;
    }
    if (file->schedule_start_ns + media_ns < now_ns - MAX_LATE_NS)
        file->schedule_start_ns = now_ns - media_ns;
    return file->schedule_start_ns + media_ns;
}

double source_file_progress(const struct source_file *file, const AVPacket *packet)
{
    double  duration_s = source_file_duration_s(file);
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
static int seek_to_first(struct source_file *file)
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
        } else if (source_file_read(file, packet, NULL) != 0 || packet->dts != file->first_dts ||
                   packet->size != file->first_bytes) {
            break;
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    return there ? 0 : ERR_UNSUPPORTED;
}

int source_file_rewind(struct source_file *file, struct why *why)
{
    int rc = 0;

    if (!file->first_known || file->changed_at > 0 || seek_to_first(file) != 0) {
        close_container(file);
        rc = open_all(file, 0, why);
    }
    file->any        = false;
    file->changed_at = 0;
    if (rc == 0)
        decode_clock_restart(&file->schedule, file->stream->time_base, source_file_frame_rate(file),
                             MAX_STEP_NS, 0);
    return rc;
}
