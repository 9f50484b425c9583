#include "server/camera/decode_sps.h"

#include "config/limits.h"

#define MAX_POC_CYCLE 255 /* num_ref_frames_in_pic_order_cnt_cycle */

/* Bits of a NAL unit, without its emulation prevention bytes. Past the end all bits are 0. */
struct bits {
    const uint8_t *at, *end;
    int            zeros; /* bytes before *at */
    int            left;  /* bits of *at */
    bool           bad;   /* read past the end, or a number that nobody means */
};

static unsigned read_bit(struct bits *bits)
{
    unsigned bit;

    if (bits->left == 8 && bits->zeros >= 2 && bits->at < bits->end && *bits->at == 3) {
        bits->at++;
        bits->zeros = 0;
    }
    if (bits->at >= bits->end) {
        bits->bad = true;
        return 0;
    }
    bit = *bits->at >> --bits->left & 1U;
    if (bits->left == 0) {
        bits->zeros = *bits->at == 0 ? bits->zeros + 1 : 0;
        bits->at++;
        bits->left = 8;
    }
    return bit;
}

static unsigned read_bits(struct bits *bits, int count)
{
    unsigned value = 0;

    while (count-- > 0)
        value = value << 1 | read_bit(bits);
    return value;
}

static void skip_bits(struct bits *bits, int count)
{
    while (count-- > 0 && !bits->bad)
        read_bit(bits);
}

/* Exp-Golomb, 9.1. Also what skips a signed one. */
static unsigned read_golomb(struct bits *bits)
{
    int zeros = 0;

    while (!bits->bad && read_bit(bits) == 0)
        zeros++;
    if (zeros > 31)
        bits->bad = true;
    return bits->bad ? 0 : (1U << zeros) - 1 + read_bits(bits, zeros);
}

static int read_signed(struct bits *bits)
{
    unsigned value = read_golomb(bits);

    return value % 2 == 0 ? -(int)(value / 2) : (int)(value / 2) + 1;
}

struct size {
    unsigned width_px, height_px; /* coded */
    unsigned chroma;              /* chroma_format_idc */
    unsigned crop[4];             /* left, right, top, bottom, in units */
    unsigned unit_x, unit_y;      /* of the crop */
};

static bool finish(struct bits *bits, struct size *size, int *width_px, int *height_px)
{
    unsigned crop_x, crop_y;

    if (read_bit(bits) != 0) {
        for (int i = 0; i < 4; i++)
            size->crop[i] = read_golomb(bits);
    }
    for (int i = 0; i < 4; i++) {
        if (size->crop[i] > LIMIT_PICTURE_PX)
            return false;
    }
    crop_x = (size->crop[0] + size->crop[1]) * size->unit_x;
    crop_y = (size->crop[2] + size->crop[3]) * size->unit_y;
    if (bits->bad || crop_x >= size->width_px || crop_y >= size->height_px ||
        size->width_px - crop_x > LIMIT_PICTURE_PX || size->height_px - crop_y > LIMIT_PICTURE_PX)
        return false;
    *width_px  = (int)(size->width_px - crop_x);
    *height_px = (int)(size->height_px - crop_y);
    return true;
}

static void chroma_units(struct size *size)
{
    size->unit_x = size->chroma == 1 || size->chroma == 2 ? 2 : 1;
    size->unit_y = size->chroma == 1 ? 2 : 1;
}

/* ---- H.264 ---- */

static void skip_scaling_list(struct bits *bits, int count)
{
    int next = 8;

    for (int i = 0; i < count && next != 0 && !bits->bad; i++) {
        int delta = read_signed(bits);

        if (delta < -128 || delta > 127) /* 7.4.2.1.1.1 */
            bits->bad = true;
        else
            next = (next + delta + 256) % 256;
    }
}

static bool has_chroma_fields(unsigned profile)
{
    static const unsigned char PROFILES[] = {100, 110, 122, 244, 44,  83, 86,
                                             118, 128, 138, 139, 134, 135};

    for (unsigned i = 0; i < sizeof PROFILES; i++) {
        if (PROFILES[i] == profile)
            return true;
    }
    return false;
}

static void read_chroma_fields(struct bits *bits, struct size *size)
{
    size->chroma = read_golomb(bits);
    if (size->chroma == 3)
        skip_bits(bits, 1);
    read_golomb(bits); /* depths */
    read_golomb(bits);
    skip_bits(bits, 1);
    if (read_bit(bits) == 0)
        return;
    for (int i = 0; i < (size->chroma == 3 ? 12 : 8); i++) {
        if (read_bit(bits) != 0)
            skip_scaling_list(bits, i < 6 ? 16 : 64);
    }
}

static void skip_picture_order(struct bits *bits)
{
    unsigned type = read_golomb(bits);
    unsigned cycle;

    if (type == 0)
        read_golomb(bits);
    if (type != 1)
        return;
    skip_bits(bits, 1);
    read_golomb(bits);
    read_golomb(bits);
    cycle = read_golomb(bits);
    if (cycle > MAX_POC_CYCLE)
        bits->bad = true;
    for (unsigned i = 0; i < cycle && !bits->bad; i++)
        read_golomb(bits);
}

static bool avc_size(struct bits *bits, int *width_px, int *height_px)
{
    struct size size = {.chroma = 1};
    unsigned    profile, wide, high, frames_only;

    skip_bits(bits, 8); /* the NAL header */
    profile = read_bits(bits, 8);
    skip_bits(bits, 16);
    read_golomb(bits); /* its number */
    if (has_chroma_fields(profile))
        read_chroma_fields(bits, &size);
    read_golomb(bits); /* frame numbers */
    skip_picture_order(bits);
    read_golomb(bits); /* reference frames */
    skip_bits(bits, 1);
    wide        = read_golomb(bits);
    high        = read_golomb(bits);
    frames_only = read_bit(bits);
    if (frames_only == 0)
        skip_bits(bits, 1);
    skip_bits(bits, 1);
    if (bits->bad || wide >= LIMIT_PICTURE_PX / 8 || high >= LIMIT_PICTURE_PX / 8)
        return false;
    size.width_px  = (wide + 1) * 16;
    size.height_px = (high + 1) * 16 * (2 - frames_only);
    chroma_units(&size);
    size.unit_y *= 2 - frames_only;
    return finish(bits, &size, width_px, height_px);
}

/* ---- H.265 ---- */

static void skip_profile_tier_level(struct bits *bits, unsigned sub_layers)
{
    bool profile[8] = {false}, level[8] = {false};

    skip_bits(bits, 96);
    for (unsigned i = 0; i < sub_layers; i++) {
        profile[i] = read_bit(bits) != 0;
        level[i]   = read_bit(bits) != 0;
    }
    if (sub_layers > 0)
        skip_bits(bits, 2 * (8 - (int)sub_layers));
    for (unsigned i = 0; i < sub_layers; i++)
        skip_bits(bits, (profile[i] ? 88 : 0) + (level[i] ? 8 : 0));
}

static bool hevc_size(struct bits *bits, int *width_px, int *height_px)
{
    struct size size = {0};
    unsigned    sub_layers;

    skip_bits(bits, 16 + 4);
    sub_layers = read_bits(bits, 3);
    skip_bits(bits, 1);
    skip_profile_tier_level(bits, sub_layers);
    read_golomb(bits); /* its number */
    size.chroma = read_golomb(bits);
    if (size.chroma == 3)
        skip_bits(bits, 1);
    size.width_px  = read_golomb(bits);
    size.height_px = read_golomb(bits);
    chroma_units(&size);
    return finish(bits, &size, width_px, height_px);
}

bool decode_sps_size(const struct annexb_nal *sps, bool hevc, int *width_px, int *height_px)
{
    struct bits bits = {.at = sps->data, .end = sps->data + sps->bytes, .left = 8};

    return hevc ? hevc_size(&bits, width_px, height_px) : avc_size(&bits, width_px, height_px);
}
