#include "server/camera/rtsp_demux.h"

#include <stdlib.h>
#include <string.h>

#include <libavformat/avformat.h>
#include <libavutil/mem.h>

#include "config/err.h"

#define IO_BYTES       2048 /* FFmpeg writes its own RTCP into it; reading goes past it */
#define UNIT_MIN_BYTES (64 << 10)

/* The access unit that is being put together. */
struct unit {
    uint8_t *data;
    size_t   bytes, capacity;
    size_t   scanned;
    bool     open;    /* a packet of it came */
    bool     picture; /* it holds a part of a picture, not parameter sets alone */
    bool     key;
    bool     corrupt;
    bool     oversize;
    uint32_t timestamp;
    int64_t  pts;
    int64_t  arrival_wall_ns;
};

struct rtsp_demux {
    AVFormatContext           *format;
    AVIOContext               *io;
    AVPacket                  *piece, *packet;
    const uint8_t             *input; /* what FFmpeg's next read gets; NULL: nothing */
    size_t                     input_bytes;
    rtsp_demux_unit_fn        *unit_fn;
    void                      *arg;
    enum sdp_codec             codec;
    int                        payload_type;
    struct rtp_receiver        receiver;
    struct rtp_clock           clock;
    uint32_t                   own_ssrc;
    struct unit                unit;
    bool                       emitted_by_marker;
    bool                       marker_lies; /* more of a picture came after its marker */
    uint32_t                   emitted_timestamp;
    struct rtsp_demux_counters counters;
};

/* ---- FFmpeg's side ---- */

static int read_input(void *opaque, uint8_t *out, int capacity)
{
    struct rtsp_demux *demux = opaque;
    int                bytes = (int)demux->input_bytes;

    if (demux->input == NULL)
        return AVERROR(EAGAIN);
    if (bytes > capacity)
        bytes = capacity;
    memcpy(out, demux->input, (size_t)bytes);
    demux->input = NULL;
    return bytes;
}

/* FFmpeg's own receiver reports: we send ours. */
static int discard_output(void *opaque, uint8_t *data, int bytes)
{
    (void)opaque;
    (void)data;
    return bytes;
}

struct text_input {
    const char *text;
    size_t      bytes;
};

static int read_text(void *opaque, uint8_t *out, int capacity)
{
    struct text_input *input = opaque;
    size_t             bytes = input->bytes < (size_t)capacity ? input->bytes : (size_t)capacity;

    if (bytes == 0)
        return AVERROR_EOF;
    memcpy(out, input->text, bytes);
    input->text += bytes;
    input->bytes -= bytes;
    return (int)bytes;
}

static AVIOContext *io_open(void *opaque, int writable,
                            int (*read)(void *opaque, uint8_t *out, int capacity))
{
    unsigned char *buffer = av_malloc(IO_BYTES);
    AVIOContext   *io;

    if (buffer == NULL)
        return NULL;
    io = avio_alloc_context(buffer, IO_BYTES, writable, opaque, read,
                            writable ? discard_output : NULL, NULL);
    if (io == NULL)
        av_free(buffer);
    return io;
}

static void io_close(AVIOContext **io)
{
    if (*io != NULL)
        av_freep(&(*io)->buffer);
    avio_context_free(io);
}

/* The description is read from memory once; from then on the same context reads packets. */
static int open_format(struct rtsp_demux *demux, const struct sdp_video *video, struct why *why)
{
    struct text_input input   = {video->text, strlen(video->text)};
    AVIOContext      *text_io = io_open(&input, 0, read_text);
    AVDictionary     *options = NULL;
    int               rc      = ERR_MEMORY;

    demux->io     = io_open(demux, 1, read_input);
    demux->format = avformat_alloc_context();
    if (text_io == NULL || demux->io == NULL || demux->format == NULL)
        goto done;
    demux->format->pb = text_io;
    demux->format->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_NONBLOCK | AVFMT_FLAG_NOPARSE |
                            AVFMT_FLAG_NOFILLIN;
    /* Over TCP nothing is out of order: a queue would only add delay. */
    if (av_dict_set(&options, "sdp_flags", "custom_io", 0) < 0 ||
        av_dict_set(&options, "reorder_queue_size", "0", 0) < 0)
        goto done;
    rc = avformat_open_input(&demux->format, "", av_find_input_format("sdp"), &options);
    if (rc == AVERROR(ENOMEM))
        rc = ERR_MEMORY;
    else if (rc < 0 || demux->format->nb_streams != 1)
        rc = why_set(why, ERR_CORRUPT, "the camera's description of its video is damaged");
    else
        rc = 0;
done:
    if (demux->format != NULL)
        demux->format->pb = demux->io;
    io_close(&text_io);
    av_dict_free(&options);
    if (rc == ERR_MEMORY)
        why_set(why, rc, "out of memory");
    return rc;
}

int rtsp_demux_open(struct rtsp_demux **out, const struct sdp_video *video,
                    rtsp_demux_unit_fn *unit, void *arg, struct why *why)
{
    struct rtsp_demux *demux = calloc(1, sizeof *demux);
    int                rc    = ERR_MEMORY;

    *out = NULL;
    if (demux == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    demux->unit_fn      = unit;
    demux->arg          = arg;
    demux->codec        = video->codec;
    demux->payload_type = video->payload_type;
    rtp_clock_init(&demux->clock, video->clock_hz);
    /* It must differ from the camera's own, no more. */
    demux->own_ssrc = (uint32_t)((uintptr_t)demux >> 4) * 2654435761U;
    demux->piece    = av_packet_alloc();
    demux->packet   = av_packet_alloc();
    if (demux->piece == NULL || demux->packet == NULL) {
        why_set(why, ERR_MEMORY, "out of memory");
        goto fail;
    }
    if ((rc = open_format(demux, video, why)) != 0)
        goto fail;
    *out = demux;
    return 0;

fail:
    rtsp_demux_close(&demux);
    return rc;
}

void rtsp_demux_close(struct rtsp_demux **out)
{
    struct rtsp_demux *demux = *out;

    if (demux == NULL)
        return;
    avformat_close_input(&demux->format);
    io_close(&demux->io);
    av_packet_free(&demux->piece);
    av_packet_free(&demux->packet);
    free(demux->unit.data);
    free(demux);
    *out = NULL;
}

const AVCodecParameters *rtsp_demux_parameters(const struct rtsp_demux *demux)
{
    return demux->format->streams[0]->codecpar;
}

/* ---- what is in a unit ---- */

/* A recovery point says that decoding may begin here, as in streams without IDR pictures. */
static bool is_recovery_point(const uint8_t *data, size_t bytes)
{
    return bytes > 1 && data[1] == 6;
}

static void look_at_h264(struct unit *unit, const uint8_t *nal, size_t bytes)
{
    int type = nal[0] & 31;

    if (type == 5 || type == 7 || (type == 6 && is_recovery_point(nal, bytes)))
        unit->key = true;
    unit->picture = type >= 1 && type <= 5;
}

static void look_at_h265(struct unit *unit, const uint8_t *nal)
{
    int type = nal[0] >> 1 & 63;

    if (type >= 16 && type <= 23)
        unit->key = true;
    unit->picture = type < 32;
}

/* MPEG-4: a video object plane; its first two bits are 0 in an intra picture. */
static void look_at_mpeg4(struct unit *unit, const uint8_t *code, size_t bytes)
{
    if (code[0] != 0xb6 || bytes < 2)
        return;
    unit->picture = true;
    unit->key     = code[1] >> 6 == 0;
}

/* Goes through the start codes up to the first picture; goes on where it stopped. */
static void look(struct rtsp_demux *demux)
{
    struct unit *unit = &demux->unit;

    if (demux->codec == SDP_JPEG)
        unit->picture = unit->key = true;
    while (!unit->picture && unit->scanned + 4 < unit->bytes) {
        const uint8_t *at   = unit->data + unit->scanned;
        size_t         left = unit->bytes - unit->scanned - 3;

        if (at[2] > 1) {
            unit->scanned += 3;
        } else if (at[0] != 0 || at[1] != 0 || at[2] != 1) {
            unit->scanned++;
        } else {
            if (demux->codec == SDP_H264)
                look_at_h264(unit, at + 3, left);
            else if (demux->codec == SDP_H265)
                look_at_h265(unit, at + 3);
            else
                look_at_mpeg4(unit, at + 3, left);
            unit->scanned += 3;
        }
    }
}

/* ---- units ---- */

static int append(struct rtsp_demux *demux, const uint8_t *data, size_t bytes)
{
    struct unit *unit   = &demux->unit;
    size_t       needed = unit->bytes + bytes, capacity = unit->capacity;
    uint8_t     *grown;

    if (needed > RTSP_UNIT_BYTES)
        unit->oversize = true;
    if (unit->oversize)
        return 0;
    while (capacity < needed)
        capacity = capacity == 0 ? UNIT_MIN_BYTES : capacity * 2;
    if (capacity != unit->capacity) {
        if ((grown = realloc(unit->data, capacity)) == NULL)
            return ERR_MEMORY;
        unit->data     = grown;
        unit->capacity = capacity;
    }
    memcpy(unit->data + unit->bytes, data, bytes);
    unit->bytes += bytes;
    look(demux);
    return 0;
}

static void begin_unit(struct unit *unit)
{
    unit->bytes = unit->scanned = 0;
    unit->open = unit->picture = unit->key = unit->corrupt = unit->oversize = false;
}

static int emit_unit(struct rtsp_demux *demux)
{
    struct unit *unit = &demux->unit;
    int64_t      wall_ns;

    if (unit->oversize) {
        demux->counters.oversize++;
        begin_unit(unit);
        unit->corrupt = true;
        return 0;
    }
    if (av_new_packet(demux->packet, (int)unit->bytes) < 0)
        return ERR_MEMORY;
    memcpy(demux->packet->data, unit->data, unit->bytes);
    demux->packet->pts          = unit->pts;
    demux->packet->stream_index = 0;
    if (unit->key)
        demux->packet->flags |= AV_PKT_FLAG_KEY;
    if (unit->corrupt)
        demux->packet->flags |= AV_PKT_FLAG_CORRUPT;
    wall_ns                  = rtp_clock_wall(&demux->clock, unit->pts, unit->arrival_wall_ns);
    demux->emitted_timestamp = unit->timestamp;
    begin_unit(unit);
    demux->counters.units++;
    demux->unit_fn(demux->arg, demux->packet, wall_ns);
    av_packet_unref(demux->packet);
    return 0;
}

/* Parameter sets that came alone, maybe with a time of their own, belong to the picture after them. */
static int turn_to(struct rtsp_demux *demux, const struct rtp_header *header, unsigned missing,
                   struct rtsp_moment now)
{
    struct unit *unit = &demux->unit;
    int          rc   = 0;

    if (missing > 0)
        unit->corrupt = true;
    if (unit->open && unit->timestamp == header->timestamp)
        return 0;
    if (!unit->open && demux->emitted_by_marker && header->timestamp == demux->emitted_timestamp)
        demux->marker_lies = true;
    if (unit->open && (unit->picture || unit->oversize)) {
        demux->emitted_by_marker = false;
        rc                       = emit_unit(demux);
        unit->corrupt |= missing > 0;
    }
    unit->open            = true;
    unit->timestamp       = header->timestamp;
    unit->pts             = rtp_clock_pts(&demux->clock, header->timestamp, now.monotonic_ns);
    unit->arrival_wall_ns = now.wall_ns;
    return rc;
}

static int feed(struct rtsp_demux *demux, const uint8_t *packet, size_t bytes)
{
    int rc = 0;

    demux->input       = packet;
    demux->input_bytes = bytes;
    for (;;) {
        demux->io->eof_reached = 0;
        demux->io->error       = 0;
        if (av_read_frame(demux->format, demux->piece) < 0)
            break;
        if (rc == 0 && demux->piece->size > 0)
            rc = append(demux, demux->piece->data, (size_t)demux->piece->size);
        av_packet_unref(demux->piece);
    }
    demux->input = NULL;
    return rc;
}

int rtsp_demux_rtp(struct rtsp_demux *demux, const uint8_t *packet, size_t bytes,
                   struct rtsp_moment now)
{
    struct rtp_header header;
    unsigned          missing;
    int               rc;

    if (!rtp_read(&header, packet, bytes) || header.payload_type != demux->payload_type) {
        demux->counters.ignored++;
        return 0;
    }
    demux->counters.packets++;
    demux->counters.bytes += bytes;
    missing = rtp_receiver_add(&demux->receiver, &header, demux->clock.clock_hz, now.monotonic_ns);
    if ((rc = turn_to(demux, &header, missing, now)) != 0 || (rc = feed(demux, packet, bytes)) != 0)
        return rc;
    if (header.marker && !demux->marker_lies && (demux->unit.picture || demux->unit.oversize)) {
        demux->emitted_by_marker = true;
        rc                       = emit_unit(demux);
    }
    return rc;
}

int rtsp_demux_rtcp(struct rtsp_demux *demux, const uint8_t *packet, size_t bytes,
                    struct rtsp_moment now)
{
    struct rtcp_report report;

    if (!rtcp_read(&report, packet, bytes)) {
        demux->counters.ignored++;
        return 0;
    }
    if (report.has_sender) {
        demux->receiver.report_middle_ntp = (uint32_t)(report.ntp >> 16);
        demux->receiver.report_ns         = now.monotonic_ns;
        rtp_clock_report(&demux->clock, &report, now.wall_ns);
    }
    return report.bye ? ERR_CLOSED : 0;
}

size_t rtsp_demux_report(struct rtsp_demux *demux, int64_t now_ns,
                         uint8_t out[static RTCP_REPORT_BYTES])
{
    return rtcp_write(&demux->receiver, demux->own_ssrc, now_ns, out);
}

void rtsp_demux_counters(const struct rtsp_demux *demux, struct rtsp_demux_counters *counters)
{
    *counters           = demux->counters;
    counters->lost      = demux->receiver.lost;
    counters->jitter_ms = demux->receiver.jitter * 1000 / demux->clock.clock_hz;
}
