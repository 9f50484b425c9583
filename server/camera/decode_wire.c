#include "server/camera/decode_wire.h"

#include "config/err.h"
#include "config/limits.h"

void decode_wire_plane(enum frame_format format, int plane, uint32_t width_px, uint32_t height_px,
                       uint32_t *row_bytes, uint32_t *rows)
{
    uint32_t half_width = (width_px + 1) / 2, half_height = (height_px + 1) / 2;

    *row_bytes = *rows = 0;
    if (plane == 0) {
        *row_bytes = format == FRAME_BGR24 || format == FRAME_RGB24 ? 3 * width_px : width_px;
        *rows      = height_px;
    } else if (format == FRAME_NV12 && plane == 1) {
        *row_bytes = 2 * half_width;
        *rows      = half_height;
    } else if (format == FRAME_I420 || format == FRAME_I422 || format == FRAME_I444) {
        *row_bytes = format == FRAME_I444 ? width_px : half_width;
        *rows      = format == FRAME_I420 ? half_height : height_px;
    }
}

static bool picture_is_good(const struct decode_wire_picture *picture, size_t slot_bytes,
                            unsigned slots)
{
    if (picture->width_px < 1 || picture->width_px > LIMIT_PICTURE_PX || picture->height_px < 1 ||
        picture->height_px > LIMIT_PICTURE_PX)
        return false;
    if ((picture->flags & DECODE_WIRE_LOST) != 0)
        return true;
    if (picture->slot >= slots || picture->format > FRAME_RGB24)
        return false;
    for (int i = 0; i < 3; i++) {
        uint32_t row_bytes, rows;
        uint64_t end;

        decode_wire_plane((enum frame_format)picture->format, i, picture->width_px,
                          picture->height_px, &row_bytes, &rows);
        if (rows == 0)
            continue;
        if (picture->stride_bytes[i] < row_bytes || picture->stride_bytes[i] > INT32_MAX)
            return false;
        end = (uint64_t)picture->offset[i] + (uint64_t)picture->stride_bytes[i] * (rows - 1) +
              row_bytes;
        if (end > slot_bytes)
            return false;
    }
    return true;
}

/* Whether it runs, and whether it is asked again, is the server's to say: these codes have a meaning
 * there that would be taken for the server's own. */
static bool code_is_good(int32_t rc)
{
    return rc <= 0 && rc != ERR_CLOSED && rc != ERR_AGAIN && rc != ERR_DEVICE_LOST;
}

static void clean_text(char text[DECODE_WIRE_TEXT_BYTES])
{
    text[DECODE_WIRE_TEXT_BYTES - 1] = '\0';
    for (char *at = text; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~')
            *at = '?';
    }
}

/* All of it lies in the area, in which there is room for no more than that. */
static bool packet_is_good(const struct decode_wire_packet *packet)
{
    uint64_t end = packet->bytes;

    if (packet->side_count > DECODE_WIRE_SIDE)
        return false;
    for (uint32_t i = 0; i < packet->side_count; i++)
        end += packet->side[i].bytes;
    return end <= DECODE_WIRE_AREA_BYTES;
}

static bool file_is_good(struct decode_wire_file *file)
{
    struct decode_wire_coding *coding = &file->coding;

    if (!(file->progress >= 0 && file->progress <= 1))
        file->progress = 0;
    if (!(file->duration_s >= 0 && file->duration_s <= DECODE_WIRE_DURATION_S))
        file->duration_s = 0;
    if (file->rate_num <= 0 || file->rate_den <= 0)
        file->rate_num = file->rate_den = 0;
    if (!packet_is_good(&file->packet) || file->changed > 1 ||
        coding->extradata_bytes > DECODE_WIRE_AREA_BYTES)
        return false;
    return file->changed == 0 || (coding->time_base_num > 0 && coding->time_base_den > 0 &&
                                  coding->width >= 0 && coding->width <= LIMIT_PICTURE_PX &&
                                  coding->height >= 0 && coding->height <= LIMIT_PICTURE_PX);
}

bool decode_wire_check(struct decode_wire_answer *answer, size_t bytes, size_t slot_bytes,
                       unsigned slots)
{
    const struct decode_wire_head *head = &answer->head;

    if (bytes < sizeof *head)
        return false;
    clean_text(answer->head.text);
    switch (head->kind) {
    case DECODE_WIRE_READY:
        return bytes == sizeof *head && head->bytes == DECODE_WIRE_VERSION;
    case DECODE_WIRE_WANT:
        return bytes == sizeof *head && head->bytes > 0 && head->bytes <= DECODE_WIRE_SLOT_BYTES;
    case DECODE_WIRE_LOG:
        return bytes == sizeof *head;
    case DECODE_WIRE_FILE:
        return bytes == DECODE_WIRE_FILE_BYTES && code_is_good(head->rc) &&
               file_is_good(&answer->file);
    case DECODE_WIRE_DONE:
        break;
    default:
        return false;
    }
    if (head->count > DECODE_WIRE_PICTURES || bytes != DECODE_WIRE_ANSWER_BYTES(head->count) ||
        !code_is_good(head->rc) || head->bytes > DECODE_WIRE_PICTURES)
        return false;
    for (uint32_t i = 0; i < head->count; i++) {
        if (!picture_is_good(&answer->picture[i], slot_bytes, slots))
            return false;
    }
    return true;
}
