#include "server/camera/decode_wire_av.h"

#include "config/err.h"

#include <libavcodec/defs.h>
#include <libavutil/mem.h>
#include <string.h>

/* Others say how memory of the sender's own is to be used. */
#define FLAGS (AV_PKT_FLAG_KEY | AV_PKT_FLAG_CORRUPT | AV_PKT_FLAG_DISCARD | AV_PKT_FLAG_DISPOSABLE)

void decode_wire_write_packet(uint8_t *area, const AVPacket *packet,
                              struct decode_wire_packet *described)
{
    size_t at = (size_t)packet->size;

    *described = (struct decode_wire_packet){
        .pts      = packet->pts,
        .dts      = packet->dts,
        .duration = packet->duration,
        .bytes    = (uint32_t)packet->size,
        .flags    = (uint32_t)(packet->flags & FLAGS),
    };
    memcpy(area, packet->data, at);
    for (int i = 0; i < packet->side_data_elems && described->side_count < DECODE_WIRE_SIDE; i++) {
        const AVPacketSideData *side = &packet->side_data[i];

        if (side->size > DECODE_WIRE_AREA_BYTES - at)
            continue;
        memcpy(area + at, side->data, side->size);
        at += side->size;
        described->side[described->side_count].type    = side->type;
        described->side[described->side_count++].bytes = (uint32_t)side->size;
    }
}

int decode_wire_read_packet(AVPacket *packet, const uint8_t *area,
                            const struct decode_wire_packet *described)
{
    size_t at = described->bytes;

    av_packet_unref(packet);
    if (at > DECODE_WIRE_AREA_BYTES || described->side_count > DECODE_WIRE_SIDE)
        return ERR_CORRUPT;
    if (av_new_packet(packet, (int)described->bytes) < 0)
        return ERR_MEMORY;
    memcpy(packet->data, area, at);
    packet->flags    = (int)described->flags & FLAGS;
    packet->pts      = described->pts;
    packet->dts      = described->dts;
    packet->duration = described->duration;
    for (uint32_t i = 0; i < described->side_count; i++) {
        size_t   bytes = described->side[i].bytes;
        uint8_t *side;

        if (bytes > DECODE_WIRE_AREA_BYTES - at || described->side[i].type >= AV_PKT_DATA_NB)
            return ERR_CORRUPT;
        side = av_packet_new_side_data(packet, (enum AVPacketSideDataType)described->side[i].type,
                                       bytes);
        if (side == NULL)
            return ERR_MEMORY;
        memcpy(side, area + at, bytes);
        at += bytes;
    }
    return 0;
}

int decode_wire_write_coding(uint8_t *at, size_t room, const AVCodecParameters *from,
                             AVRational time_base, struct decode_wire_coding *coding)
{
    *coding = (struct decode_wire_coding){
        .codec_id              = (int32_t)from->codec_id,
        .format                = from->format,
        .profile               = from->profile,
        .level                 = from->level,
        .width                 = from->width,
        .height                = from->height,
        .field_order           = (int32_t)from->field_order,
        .video_delay           = from->video_delay,
        .color_range           = (int32_t)from->color_range,
        .color_primaries       = (int32_t)from->color_primaries,
        .color_trc             = (int32_t)from->color_trc,
        .color_space           = (int32_t)from->color_space,
        .chroma_location       = (int32_t)from->chroma_location,
        .bits_per_coded_sample = from->bits_per_coded_sample,
        .bits_per_raw_sample   = from->bits_per_raw_sample,
        .time_base_num         = time_base.num,
        .time_base_den         = time_base.den,
        .codec_tag             = from->codec_tag,
        .extradata_bytes       = from->extradata_size > 0 ? (uint32_t)from->extradata_size : 0,
        .bit_rate              = from->bit_rate,
    };

    if (coding->extradata_bytes > room)
        return ERR_LIMIT;
    if (coding->extradata_bytes > 0)
        memcpy(at, from->extradata, coding->extradata_bytes);
    return 0;
}

AVCodecParameters *decode_wire_read_coding(const struct decode_wire_coding *coding,
                                           const uint8_t                   *at)
{
    AVCodecParameters *parameters = avcodec_parameters_alloc();

    if (parameters == NULL)
        return NULL;
    parameters->codec_type            = AVMEDIA_TYPE_VIDEO;
    parameters->codec_id              = (enum AVCodecID)coding->codec_id;
    parameters->codec_tag             = coding->codec_tag;
    parameters->format                = coding->format;
    parameters->bit_rate              = coding->bit_rate;
    parameters->bits_per_coded_sample = coding->bits_per_coded_sample;
    parameters->bits_per_raw_sample   = coding->bits_per_raw_sample;
    parameters->profile               = coding->profile;
    parameters->level                 = coding->level;
    parameters->width                 = coding->width;
    parameters->height                = coding->height;
    parameters->field_order           = (enum AVFieldOrder)coding->field_order;
    parameters->video_delay           = coding->video_delay;
    parameters->color_range           = (enum AVColorRange)coding->color_range;
    parameters->color_primaries       = (enum AVColorPrimaries)coding->color_primaries;
    parameters->color_trc             = (enum AVColorTransferCharacteristic)coding->color_trc;
    parameters->color_space           = (enum AVColorSpace)coding->color_space;
    parameters->chroma_location       = (enum AVChromaLocation)coding->chroma_location;
    if (coding->extradata_bytes > 0) {
        parameters->extradata = av_mallocz(coding->extradata_bytes + AV_INPUT_BUFFER_PADDING_SIZE);
        if (parameters->extradata == NULL) {
            avcodec_parameters_free(&parameters);
            return NULL;
        }
        memcpy(parameters->extradata, at, coding->extradata_bytes);
        parameters->extradata_size = (int)coding->extradata_bytes;
    }
    return parameters;
}
