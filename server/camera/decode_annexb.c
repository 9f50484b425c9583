#include "server/camera/decode_annexb.h"

#include <stdio.h>

/* NAL unit types: H.264 table 7-1, H.265 table 7-1. */
enum { AVC_SLICE_FIRST = 1, AVC_IDR = 5, AVC_SPS = 7, AVC_PPS = 8 };
enum {
    HEVC_IRAP_FIRST = 16,
    HEVC_IRAP_LAST  = 21,
    HEVC_SLICE_LAST = 31,
    HEVC_VPS        = 32,
    HEVC_SPS        = 33,
    HEVC_PPS        = 34
};

bool annexb_is(const uint8_t *data, size_t bytes)
{
    return bytes >= 4 && data[0] == 0 && data[1] == 0 &&
           (data[2] == 1 || (data[2] == 0 && data[3] == 1));
}

/* Index of the next 00 00 01 from `at` on, or `bytes`. */
static size_t find_start_code(const uint8_t *data, size_t bytes, size_t at)
{
    for (; at + 3 <= bytes; at++) {
        /* Most bytes are larger than 1: then no start code can hold this one. */
        if (data[at + 2] > 1)
            at += 2;
        else if (data[at] == 0 && data[at + 1] == 0 && data[at + 2] == 1)
            return at;
    }
    return bytes;
}

bool annexb_next(const uint8_t *data, size_t bytes, bool hevc, size_t *at, struct annexb_nal *nal)
{
    size_t start = find_start_code(data, bytes, *at);
    size_t end   = bytes;

    for (; bytes - start >= 4; start = end) {
        end = find_start_code(data, bytes, start + 3);
        if (end > start + 3) /* an empty one: two start codes in a row */
            break;
    }
    *at = end;
    if (bytes - start < 4) {
        *at = bytes;
        return false;
    }
    /* Zeros before the next start code belong to it, not to the unit. */
    while (end < bytes && end > start + 4 && data[end - 1] == 0)
        end--;
    nal->data  = data + start + 3;
    nal->bytes = end - (start + 3);
    if (hevc) {
        nal->type       = (nal->data[0] >> 1) & 0x3f;
        nal->key        = nal->type >= HEVC_IRAP_FIRST && nal->type <= HEVC_IRAP_LAST;
        nal->slice      = nal->type <= HEVC_SLICE_LAST;
        nal->parameters = nal->type >= HEVC_VPS && nal->type <= HEVC_PPS;
        nal->sps        = nal->type == HEVC_SPS;
    } else {
        nal->type       = nal->data[0] & 0x1f;
        nal->key        = nal->type == AVC_IDR;
        nal->slice      = nal->type >= AVC_SLICE_FIRST && nal->type <= AVC_IDR;
        nal->parameters = nal->type == AVC_SPS || nal->type == AVC_PPS;
        nal->sps        = nal->type == AVC_SPS;
    }
    return true;
}

/* Copies without emulation prevention bytes (00 00 03 stands for 00 00). */
static size_t unescape(const struct annexb_nal *nal, uint8_t *out, size_t room)
{
    size_t used  = 0;
    int    zeros = 0;

    for (size_t i = 0; i < nal->bytes && used < room; i++) {
        if (zeros >= 2 && nal->data[i] == 3) {
            zeros = 0;
            continue;
        }
        zeros       = nal->data[i] == 0 ? zeros + 1 : 0;
        out[used++] = nal->data[i];
    }
    return used;
}

/* ISO 14496-15 annex E: profile, compatibility flags in reverse bit order, tier and level, and the
 * constraint bytes without trailing zeros. */
static bool hevc_codec(const uint8_t *sps, size_t bytes, char codec[static 32])
{
    static const char *const SPACES[] = {"", "A", "B", "C"};
    const uint8_t           *profile  = sps + 3; /* after the NAL header and the ids */
    uint32_t                 flags    = 0;
    int                      last     = 5;
    int                      used;

    if (bytes < 15)
        return false;
    for (int bit = 0; bit < 32; bit++)
        flags |= (uint32_t)(profile[1 + bit / 8] >> (7 - bit % 8) & 1) << bit;
    used = snprintf(codec, 32, "hev1.%s%d.%X.%c%d", SPACES[profile[0] >> 6], profile[0] & 0x1f,
                    (unsigned)flags, (profile[0] & 0x20) != 0 ? 'H' : 'L', profile[11]);
    while (last >= 0 && profile[5 + last] == 0)
        last--;
    for (int i = 0; i <= last && used < 32; i++)
        used += snprintf(codec + used, (size_t)(32 - used), ".%X", profile[5 + i]);
    return used < 32;
}

bool annexb_codec(const struct annexb_nal *sps, bool hevc, char codec[static 32])
{
    uint8_t bytes[32];
    size_t  count = unescape(sps, bytes, sizeof bytes);

    if (hevc)
        return hevc_codec(bytes, count, codec);
    if (count < 4)
        return false;
    snprintf(codec, 32, "avc1.%02x%02x%02x", bytes[1], bytes[2], bytes[3]);
    return true;
}
