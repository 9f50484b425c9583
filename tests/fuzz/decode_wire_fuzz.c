// links: camera
// Any bytes as a message of a decoder process: what is taken for good makes frames whose every row
// lies inside the decoder's memory, no slot is held twice, and packets and parameters out of a file lie
// inside their area.
#include "config/assert.h"
#include "config/err.h"
#include "server/camera/decode_arena.h"
#include "server/camera/decode_wire.h"
#include "server/camera/decode_wire_av.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SLOT_BYTES (64 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static volatile unsigned seen; /* so that no read is left out */

/* Reads the first and the last byte of each row: a sanitizer or the system sees what lies outside. */
static unsigned touch(const struct frame *frame)
{
    unsigned sum = 0;

    for (int plane = 0; plane < 3; plane++) {
        uint32_t row_bytes, rows;

        decode_wire_plane(frame->format, plane, (uint32_t)frame->width_px,
                          (uint32_t)frame->height_px, &row_bytes, &rows);
        for (uint32_t row = 0; row < rows; row++) {
            const uint8_t *first = frame->plane[plane] +
                                   (ptrdiff_t)row * frame->stride_bytes[plane];

            sum += first[0] + first[row_bytes - 1];
        }
    }
    return sum;
}

/* The area ends where the memory ends: one byte too many is seen. */
static void take_file(const struct decode_wire_file *file)
{
    static uint8_t    *area;
    static AVPacket   *packet;
    AVCodecParameters *parameters;

    if (area == NULL) {
        area   = calloc(1, DECODE_WIRE_AREA_BYTES);
        packet = av_packet_alloc();
        ASSERT(area != NULL && packet != NULL);
    }
    ASSERT(file->progress >= 0 && file->progress <= 1 && file->duration_s >= 0);
    ASSERT(file->rate_num >= 0 && file->rate_den >= 0);
    if (file->changed != 0) {
        ASSERT(file->coding.time_base_num > 0 && file->coding.time_base_den > 0);
        parameters = decode_wire_read_coding(&file->coding, area);
        ASSERT(parameters != NULL);
        avcodec_parameters_free(&parameters);
    } else if (decode_wire_read_packet(packet, area, &file->packet) == 0) {
        ASSERT(packet->size == (int)file->packet.bytes);
    }
    av_packet_unref(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct decode_arena      *arena;
    static struct decode_wire_answer answer;
    struct frame                    *frames[DECODE_WIRE_PICTURES];
    bool                             held[DECODE_WIRE_SLOTS] = {false};
    int                              fd;

    if (arena == NULL) {
        ASSERT(decode_arena_open(&arena, SLOT_BYTES, &fd, NULL) == 0);
        close(fd);
    }
    if (bytes > sizeof answer)
        return 0;
    memset(&answer, 0, sizeof answer);
    memcpy(&answer, data, bytes);
    if (!decode_wire_check(&answer, bytes, decode_arena_slot_bytes(arena),
                           decode_arena_slots(arena)))
        return 0;
    ASSERT(memchr(answer.head.text, '\0', sizeof answer.head.text) != NULL);
    ASSERT((answer.head.kind != DECODE_WIRE_FILE && answer.head.kind != DECODE_WIRE_DONE) ||
           (answer.head.rc <= 0 && answer.head.rc != ERR_CLOSED && answer.head.rc != ERR_AGAIN &&
            answer.head.rc != ERR_DEVICE_LOST));
    if (answer.head.kind == DECODE_WIRE_FILE)
        take_file(&answer.file);
    if (answer.head.kind != DECODE_WIRE_DONE)
        return 0;
    for (uint32_t i = 0; i < answer.head.count; i++) {
        const struct decode_wire_picture *picture = &answer.picture[i];

        frames[i] = NULL;
        if ((picture->flags & DECODE_WIRE_LOST) != 0)
            continue;
        ASSERT((decode_arena_frame(arena, picture, &frames[i]) == 0) == !held[picture->slot]);
        held[picture->slot] = true;
        if (frames[i] != NULL)
            seen = touch(frames[i]);
    }
    for (uint32_t i = 0; i < answer.head.count; i++)
        frame_unref(&frames[i]);
    return 0;
}
