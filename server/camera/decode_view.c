#include "server/camera/decode_view.h"

#include "config/err.h"
#include "server/camera/decode_annexb.h"
#include "server/camera/decode_sps.h"

#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PARAMETER_BYTES 4096 /* VPS, SPS and PPS are some dozens of bytes each */
#define H264_IDR            5    /* the type of such a part */

struct decode_view {
    bool          hevc;
    AVBSFContext *to_annexb; /* NULL: the packets are Annex B already */
    AVPacket     *packet;
    int           width_px, height_px;
    char          codec[32];                       /* empty until an SPS was seen */
    uint8_t       parameters[MAX_PARAMETER_BYTES]; /* the newest sets, Annex B */
    size_t        parameter_bytes;
};

static const uint8_t START_CODE[4] = {0, 0, 0, 1};

/* Remembers the parameter sets in `data`, if an SPS is among them. */
static void learn_parameters(struct decode_view *view, const uint8_t *data, size_t bytes)
{
    uint8_t           found[MAX_PARAMETER_BYTES];
    size_t            used = 0;
    size_t            at   = 0;
    bool              sps  = false;
    struct annexb_nal nal;

    while (annexb_next(data, bytes, view->hevc, &at, &nal)) {
        if (!nal.parameters)
            continue;
        if (used + sizeof START_CODE + nal.bytes > sizeof found)
            return;
        memcpy(found + used, START_CODE, sizeof START_CODE);
        memcpy(found + used + sizeof START_CODE, nal.data, nal.bytes);
        used += sizeof START_CODE + nal.bytes;
        if (!nal.sps)
            continue;
        sps = annexb_codec(&nal, view->hevc, view->codec) || sps;
        decode_sps_size(&nal, view->hevc, &view->width_px, &view->height_px);
    }
    if (!sps)
        return;
    memcpy(view->parameters, found, used);
    view->parameter_bytes = used;
}

static int open_filter(struct decode_view *view, const AVCodecParameters *parameters,
                       AVRational time_base)
{
    const AVBitStreamFilter *filter = av_bsf_get_by_name(view->hevc ? "hevc_mp4toannexb"
                                                                    : "h264_mp4toannexb");

    if (filter == NULL)
        return ERR_UNSUPPORTED;
    if (parameters->extradata_size > MAX_PARAMETER_BYTES)
        return ERR_CORRUPT;
    if (av_bsf_alloc(filter, &view->to_annexb) < 0 ||
        avcodec_parameters_copy(view->to_annexb->par_in, parameters) < 0)
        return ERR_MEMORY;
    view->to_annexb->time_base_in = time_base;
    if (av_bsf_init(view->to_annexb) < 0)
        return ERR_CORRUPT;
    parameters = view->to_annexb->par_out;
    if (parameters->extradata_size > 0)
        learn_parameters(view, parameters->extradata, (size_t)parameters->extradata_size);
    return 0;
}

int decode_view_open(struct decode_view **out, const AVCodecParameters *parameters,
                     AVRational time_base)
{
    struct decode_view *view;
    int                 rc = 0;

    *out = NULL;
    if (parameters->codec_id != AV_CODEC_ID_H264 && parameters->codec_id != AV_CODEC_ID_HEVC)
        return ERR_UNSUPPORTED;
    view = calloc(1, sizeof *view);
    if (view == NULL || (view->packet = av_packet_alloc()) == NULL) {
        decode_view_close(&view);
        return ERR_MEMORY;
    }
    view->hevc      = parameters->codec_id == AV_CODEC_ID_HEVC;
    view->width_px  = parameters->width;
    view->height_px = parameters->height;
    if (parameters->extradata_size > 0 &&
        !annexb_is(parameters->extradata, (size_t)parameters->extradata_size))
        rc = open_filter(view, parameters, time_base);
    else if (parameters->extradata_size > 0)
        learn_parameters(view, parameters->extradata, (size_t)parameters->extradata_size);
    if (rc != 0)
        decode_view_close(&view);
    *out = view;
    return rc;
}

void decode_view_close(struct decode_view **view)
{
    if (*view == NULL)
        return;
    av_bsf_free(&(*view)->to_annexb);
    av_packet_free(&(*view)->packet);
    free(*view);
    *view = NULL;
}

enum camera_video decode_view_video(const struct decode_view *view)
{
    return view->hevc ? CAMERA_VIDEO_H265 : CAMERA_VIDEO_H264;
}

static struct camera_unit *build_unit(struct decode_view *view, const AVPacket *packet)
{
    bool                key = false;
    bool                sps = false;
    size_t              at  = 0;
    size_t              head;
    struct annexb_nal   nal;
    struct camera_unit *unit;

    /* Parameter sets come before the first slice. */
    while (annexb_next(packet->data, (size_t)packet->size, view->hevc, &at, &nal)) {
        sps = sps || nal.sps;
        key = nal.key;
        if (nal.slice)
            break;
    }
    if (sps)
        learn_parameters(view, packet->data, (size_t)packet->size);
    if (view->codec[0] == '\0')
        return NULL;
    head = key && !sps ? view->parameter_bytes : 0;
    unit = camera_unit_alloc(head + (size_t)packet->size);
    if (unit == NULL)
        return NULL;
    unit->video     = decode_view_video(view);
    unit->key       = key;
    unit->width_px  = view->width_px;
    unit->height_px = view->height_px;
    memcpy(unit->codec, view->codec, sizeof unit->codec);
    memcpy(unit->data, view->parameters, head);
    memcpy(unit->data + head, packet->data, (size_t)packet->size);
    return unit;
}

/* The H.264 filter puts the parameter sets before each part that could begin a key picture: a packet of
 * nothing but such would grow by a factor of hundreds. */
static bool grows_too_much(const struct decode_view *view, const AVPacket *packet)
{
    const AVCodecParameters *parameters   = view->to_annexb->par_in;
    size_t                   length_bytes = (parameters->extradata[4] & 3U) + 1;
    size_t                   size = (size_t)packet->size, grown = size;

    for (size_t at = 0; !view->hevc && size - at > length_bytes;) {
        size_t bytes = 0;

        for (size_t i = 0; i < length_bytes; i++)
            bytes = bytes << 8 | packet->data[at++];
        if (bytes > size - at)
            break;
        if (bytes > 0 && (packet->data[at] & 0x1f) == H264_IDR)
            grown += (size_t)parameters->extradata_size;
        at += bytes;
    }
    return grown > CAMERA_KEEP_BYTES;
}

int decode_view_unit(struct decode_view *view, const AVPacket *packet, struct camera_unit **out)
{
    *out = NULL;
    if (view->to_annexb == NULL) {
        if (annexb_is(packet->data, (size_t)packet->size))
            *out = build_unit(view, packet);
        return *out != NULL ? 0 : ERR_CORRUPT;
    }
    if (grows_too_much(view, packet))
        return ERR_CORRUPT;
    if (av_packet_ref(view->packet, packet) < 0)
        return ERR_MEMORY;
    if (av_bsf_send_packet(view->to_annexb, view->packet) < 0) {
        av_packet_unref(view->packet);
        return ERR_CORRUPT;
    }
    /* The filter gives one packet for each. */
    while (av_bsf_receive_packet(view->to_annexb, view->packet) == 0) {
        if (*out == NULL)
            *out = build_unit(view, view->packet);
        av_packet_unref(view->packet);
    }
    return *out != NULL ? 0 : ERR_CORRUPT;
}

/* ---- the units since the last key frame ---- */

static struct camera_unit **unit_at(struct decode_units *units, size_t index)
{
    return &units->ring[(units->first + index) % DECODE_UNITS];
}

static void forget_first(struct decode_units *units, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        units->bytes -= (*unit_at(units, 0))->bytes;
        camera_unit_unref(unit_at(units, 0));
        units->first = (units->first + 1) % DECODE_UNITS;
    }
    units->count -= count;
    units->cursor = units->cursor > count ? units->cursor - count : 0;
    units->key    = units->key >= count ? units->key - count : units->count;
}

void decode_units_clear(struct decode_units *units)
{
    forget_first(units, units->count);
    camera_unit_unref(&units->jpeg);
    units->waits_for_key = true;
}

void decode_units_free(struct decode_units *units)
{
    decode_units_clear(units);
    free(units->ring);
    units->ring = NULL;
}

void decode_units_want(struct decode_units *units, bool wanted)
{
    if (units->wanted == wanted)
        return;
    units->wanted        = wanted;
    units->cursor        = wanted ? units->key : units->count;
    units->waits_for_key = wanted && units->key == units->count;
}

/* Room for a unit of so many bytes, at the cost of what was taken, then of what was not. */
static void make_room(struct decode_units *units, size_t bytes)
{
    if (units->count < DECODE_UNITS && units->bytes + bytes <= CAMERA_KEEP_BYTES)
        return;
    /* A group that is longer than the bound is not kept: it cannot be joined without its
     * beginning. */
    if (units->key < units->cursor)
        units->key = SIZE_MAX;
    forget_first(units, units->cursor);
    if (units->key > units->count)
        units->key = units->count;
    if (units->count < DECODE_UNITS && units->bytes + bytes <= CAMERA_KEEP_BYTES)
        return;
    units->dropped += units->count;
    forget_first(units, units->count);
    units->waits_for_key = true;
}

bool decode_units_put(struct decode_units *units, struct camera_unit *unit)
{
    if (units->ring == NULL) {
        units->ring  = calloc(DECODE_UNITS, sizeof(struct camera_unit *));
        units->first = units->count = units->cursor = units->key = 0;
        units->waits_for_key                                     = true;
    }
    if (units->ring == NULL || unit->bytes > CAMERA_KEEP_BYTES) {
        units->waits_for_key = true;
        camera_unit_unref(&unit);
        return false;
    }
    if (unit->key)
        forget_first(units, units->cursor); /* the group before; all of it if nobody wants it */
    make_room(units, unit->bytes);
    if (!unit->key && (units->waits_for_key || (!units->wanted && units->key == units->count))) {
        camera_unit_unref(&unit);
        return false;
    }
    if (unit->key) {
        units->key           = units->count;
        units->waits_for_key = false;
    } else if (units->key == units->count) {
        units->key++; /* still none is held */
    }
    *unit_at(units, units->count++) = unit;
    units->bytes += unit->bytes;
    if (!units->wanted)
        units->cursor = units->count;
    return units->wanted;
}

struct camera_unit *decode_units_take(struct decode_units *units)
{
    struct camera_unit *jpeg = units->jpeg;

    if (units->cursor < units->count)
        return camera_unit_ref(*unit_at(units, units->cursor++));
    units->jpeg = NULL;
    return jpeg;
}

struct camera_unit *decode_units_replay(struct decode_units *units, size_t index)
{
    if (units->key >= units->cursor || index >= units->cursor - units->key)
        return NULL;
    return *unit_at(units, units->key + index);
}

size_t decode_units_since_key(const struct decode_units *units)
{
    return units->key < units->count ? units->count - units->key : 0;
}

struct camera_unit *decode_units_from_key(struct decode_units *units, size_t index)
{
    return index < decode_units_since_key(units) ? *unit_at(units, units->key + index) : NULL;
}
