#include "server/decoder/demuxer.h"

#include "config/err.h"
#include "config/limits.h"
#include "server/camera/decode_wire_av.h"
#include "server/camera/file_demux.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In place of the C library's, which opens files of its own: containers hold names of channels in
 * alphabets of all kinds, and nobody here reads them. */
iconv_t iconv_open(const char *to, const char *from)
{
    (void)to;
    (void)from;
    errno = EINVAL;
    return (iconv_t)-1;
}

struct demuxer {
    struct file_demux *file;
    int                fd;
};

int demuxer_open(struct demuxer **out, int fd, struct why *why)
{
    struct demuxer *demuxer = calloc(1, sizeof *demuxer);
    int             rc      = ERR_MEMORY;

    *out = NULL;
    if (demuxer == NULL) {
        close(fd);
        return why_set(why, rc, "no memory to read the file");
    }
    demuxer->fd = fd;
    rc          = file_demux_open(&demuxer->file, fd, NULL, why);
    if (rc != 0)
        demuxer_close(&demuxer);
    *out = demuxer;
    return rc;
}

void demuxer_close(struct demuxer **out)
{
    struct demuxer *demuxer = *out;

    if (demuxer == NULL)
        return;
    file_demux_close(&demuxer->file);
    close(demuxer->fd);
    free(demuxer);
    *out = NULL;
}

static int tell_coding(const struct demuxer *demuxer, struct decode_wire_file *told, uint8_t *back,
                       struct why *why)
{
    const AVCodecParameters *coding = file_demux_parameters(demuxer->file);
    AVRational               rate   = file_demux_frame_rate(demuxer->file);
    AVRational               base   = file_demux_time_base(demuxer->file);

    if (coding->width > LIMIT_PICTURE_PX || coding->height > LIMIT_PICTURE_PX)
        return why_set(why, ERR_LIMIT, "its pictures have %dx%d pixels, at most %d a side are read",
                       coding->width, coding->height, LIMIT_PICTURE_PX);
    if (coding->width < 0 || coding->height < 0 || base.num <= 0 || base.den <= 0)
        return why_set(why, ERR_CORRUPT, "the file is damaged");
    told->changed    = 1;
    told->duration_s = file_demux_duration_s(demuxer->file);
    told->rate_num   = rate.num;
    told->rate_den   = rate.den;
    if (decode_wire_write_coding(back, DECODE_WIRE_AREA_BYTES, coding, base, &told->coding) == 0)
        return 0;
    memset(told, 0, sizeof *told);
    return why_set(why, ERR_CORRUPT, "the file is damaged: its parameters are too large");
}

static int read_packet(struct demuxer *demuxer, struct decode_wire_file *told, AVPacket *packet,
                       uint8_t *back, struct why *why)
{
    int rc = file_demux_read(demuxer->file, packet, why);

    if (rc == FILE_DEMUX_CHANGED)
        return tell_coding(demuxer, told, back, why);
    if (rc != 0)
        return rc;
    decode_wire_write_packet(back, packet, &told->packet);
    told->progress = file_demux_progress(demuxer->file, packet);
    return 0;
}

int demuxer_handle(struct demuxer *demuxer, const struct decode_wire_request *request,
                   struct decode_wire_file *told, AVPacket *packet, uint8_t *back, struct why *why)
{
    int rc = 0;

    switch (request->kind) {
    case DECODE_WIRE_FILE_READ:
        return read_packet(demuxer, told, packet, back, why);
    case DECODE_WIRE_FILE_SEEK:
        return file_demux_seek(demuxer->file, request->packet.dts, why);
    case DECODE_WIRE_FILE_REWIND:
        rc = file_demux_rewind(demuxer->file, why);
        break;
    default:
        break;
    }
    return rc == 0 ? tell_coding(demuxer, told, back, why) : rc;
}
