/* server/camera/decode_wire.h: what the server and a decoder process say to each other.
 *
 * Messages are whole packets of a SOCK_SEQPACKET socket pair: the kernel copies each one, so what
 * was checked is what is used. Only bulk data lies in shared memory: the bytes of one packet to be
 * decoded (the server writes, the decoder reads), the bytes of one packet out of a file (the decoder
 * writes, the server reads, once) and the pictures (likewise, in place).
 *
 *   server -> decoder   OPEN, DECODE, DRAIN, FLUSH: one at a time, each answered by DONE
 *                       FILE_OPEN (with the file's descriptor), FILE_READ, FILE_SEEK, FILE_REWIND:
 *                       likewise, answered by FILE
 *                       CLOSE: no answer
 *                       ARENA: the answer to WANT, with the memory's descriptor
 *   decoder -> server   READY, once; then for each request any number of LOG and WANT, and DONE
 *                       or FILE
 *
 * The number of a decoder is one's or a file's. The decoder reads hostile video, so whatever comes
 * from it may be hostile: decode_wire_check() decides. A decoder may still scribble over a picture
 * that it has handed out; that spoils its own camera's picture and nothing else. Pure. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_WIRE_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_WIRE_H

#include "gpu/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sanitizer's runtime needs more of the system than a decoder may have otherwise. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DECODE_WIRE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DECODE_WIRE_SANITIZED 1
#endif
#endif
#ifndef DECODE_WIRE_SANITIZED
#define DECODE_WIRE_SANITIZED 0
#endif

#define DECODE_WIRE_VERSION    2U /* server and decoder are built together */
#define DECODE_WIRE_SOCKET     3  /* the decoder's descriptors */
#define DECODE_WIRE_PACKET     4
#define DECODE_WIRE_BACK       5
#define DECODE_WIRE_DECODERS   1024        /* of one process, files among them */
#define DECODE_WIRE_FILES      512         /* that one process has open */
#define DECODE_WIRE_PICTURES   32          /* out of one packet; H.264 and H.265 hold back 16 */
#define DECODE_WIRE_SIDE       4           /* side data of one packet */
#define DECODE_WIRE_TEXT_BYTES 160         /* with its NUL */
#define DECODE_WIRE_SLOTS      64          /* pictures of one decoder */
#define DECODE_WIRE_SLOTS_MIN  20          /* a legal stream refers to 16 */
#define DECODE_WIRE_PAGE_BYTES 4096        /* slots begin at multiples of it */
#define DECODE_WIRE_SLOT_BYTES (160 << 20) /* 4:4:4 of the largest picture that is decoded */
#define DECODE_WIRE_AREA_BYTES \
    (20 << 20) /* a packet of DECODE_PACKET_BYTES and what goes with it */

#define DECODE_WIRE_DURATION_S 1e9 /* a file that says more does not say how long it is */

enum decode_wire_request_kind {
    DECODE_WIRE_OPEN = 1, /* the packet's area: struct decode_wire_coding, then the extradata */
    DECODE_WIRE_DECODE,   /* the packet's area: the packet, then its side data */
    DECODE_WIRE_DRAIN,    /* give out what is held back */
    DECODE_WIRE_FLUSH,    /* forget what is held back */
    DECODE_WIRE_CLOSE,
    DECODE_WIRE_ARENA, /* `bytes` of each slot, `slots` of them; 0: refused */
    DECODE_WIRE_FILE_OPEN,
    DECODE_WIRE_FILE_READ,   /* the next packet */
    DECODE_WIRE_FILE_SEEK,   /* to the key picture at or before the packet's dts */
    DECODE_WIRE_FILE_REWIND, /* the next packet is the first one again */
};

enum decode_wire_answer_kind {
    DECODE_WIRE_READY = 101, /* `bytes`: DECODE_WIRE_VERSION */
    DECODE_WIRE_DONE, /* `count` pictures follow the head; `bytes` more were lost to damage */
    DECODE_WIRE_WANT, /* memory for pictures of so many `bytes` */
    DECODE_WIRE_LOG,  /* `text` */
    DECODE_WIRE_FILE, /* `file` follows the head; it says where in the area back to look */
};

/* What of a picture is decoded at all: the last resort when time is short. */
enum decode_wire_skip { DECODE_WIRE_SKIP_NONE, DECODE_WIRE_SKIP_NONREF, DECODE_WIRE_SKIP_NONKEY };

struct decode_wire_coding {
    int32_t  codec_id, format, profile, level, width, height, field_order, video_delay;
    int32_t  color_range, color_primaries, color_trc, color_space, chroma_location;
    int32_t  bits_per_coded_sample, bits_per_raw_sample, time_base_num, time_base_den;
    uint32_t codec_tag, extradata_bytes, reserved;
    int64_t  bit_rate;
};

/* One packet: its bytes lie at the beginning of an area, its side data behind them. */
struct decode_wire_packet {
    int64_t  pts, dts, duration;
    uint32_t bytes, side_count;
    uint32_t flags, reserved; /* AVPacket's */
    struct {
        uint32_t type, bytes;
    } side[DECODE_WIRE_SIDE];
};

struct decode_wire_request {
    uint32_t                  kind, decoder;
    uint32_t                  bytes; /* of the extradata or a slot */
    uint32_t                  slots;
    uint32_t                  skip, reserved;
    struct decode_wire_packet packet;
};

/* What of a file an answer tells. After FILE_OPEN, and wherever `changed` is set, the extradata of
 * `coding` lies in the area back and there is no packet; else the packet. */
struct decode_wire_file {
    struct decode_wire_packet packet;
    double                    progress, duration_s;
    int32_t                   rate_num, rate_den;
    uint32_t                  changed, reserved;
    struct decode_wire_coding coding;
};

#define DECODE_WIRE_DAMAGED    1U /* concealed, or flagged as corrupt */
#define DECODE_WIRE_BT709      2U
#define DECODE_WIRE_FULL_RANGE 4U
#define DECODE_WIRE_LOST       8U /* there was a picture, but it could not be given out */

struct decode_wire_picture {
    uint32_t slot, format; /* enum frame_format */
    uint32_t width_px, height_px;
    uint32_t offset[3]; /* of each plane in the slot */
    uint32_t stride_bytes[3];
    uint32_t flags, reserved;
    int64_t  timestamp, best_effort; /* AV_NOPTS_VALUE: none */
};

struct decode_wire_head {
    uint32_t kind;
    int32_t  rc; /* of DONE and FILE: 0, or an ERR_ code about the video: none of CLOSED, AGAIN and
                  * DEVICE_LOST */
    uint32_t count;
    uint32_t bytes;
    char     text[DECODE_WIRE_TEXT_BYTES];
};

struct decode_wire_answer {
    struct decode_wire_head head;
    union {
        struct decode_wire_picture picture[DECODE_WIRE_PICTURES];
        struct decode_wire_file    file;
    };
};
#define DECODE_WIRE_FILE_BYTES (sizeof(struct decode_wire_head) + sizeof(struct decode_wire_file))
#define DECODE_WIRE_ANSWER_BYTES(count) \
    (sizeof(struct decode_wire_head) + (count) * sizeof(struct decode_wire_picture))

/* Whether a message of so many bytes is one that a decoder may send now; makes its text printable
 * ASCII that ends, and a file's figures ones that can be reckoned with. `slot_bytes`, `slots`: of the arena that its pictures must lie in; 0: it has
 * none, and may send none. */
bool decode_wire_check(struct decode_wire_answer *answer, size_t bytes, size_t slot_bytes,
                       unsigned slots);

/* Rows of a plane and the bytes of one; 0 rows: the format has no such plane. */
void decode_wire_plane(enum frame_format format, int plane, uint32_t width_px, uint32_t height_px,
                       uint32_t *row_bytes, uint32_t *rows);

#endif
