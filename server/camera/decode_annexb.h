/* server/camera/decode_annexb.h: looks into H.264 and H.265 access units in Annex B form: which
 * parts they have, and what the stream is called in a browser. Reads hostile bytes; writes
 * nothing. Pure. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_ANNEXB_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_ANNEXB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins with a start code: not the length-prefixed form of MP4. */
bool annexb_is(const uint8_t *data, size_t bytes);

struct annexb_nal {
    const uint8_t *data; /* from the NAL header on, without the start code */
    size_t         bytes;
    int            type;
    bool           key;        /* a slice at which decoding can begin: IDR, or IRAP of H.265 */
    bool           slice;      /* of a picture; all of one access unit are alike */
    bool           parameters; /* VPS, SPS or PPS */
    bool           sps;
};
/* The next unit from *at on, which it moves behind it; 0 to begin. False at the end. */
bool annexb_next(const uint8_t *data, size_t bytes, bool hevc, size_t *at, struct annexb_nal *nal);

/* The WebCodecs name: "avc1.64001f", "hev1.1.6.L93.B0". False when the SPS is too short. */
bool annexb_codec(const struct annexb_nal *sps, bool hevc, char codec[static 32]);

#endif
