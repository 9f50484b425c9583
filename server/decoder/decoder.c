/* sightline-decode: takes files apart and decodes video for the server, in a process that can do
 * nothing else.
 *
 * The server starts one for each decode worker, with a socket (what is said:
 * server/camera/decode_wire.h) and the memory that packets come in. It is a program of its own, not
 * the server run again: no network, file or password code is in reach of hostile video, and it
 * starts in milliseconds. One thread; a request at a time. */
#include "config/err.h"
#include "config/heap.h"
#include "config/limits.h"
#include "server/camera/decode_codec.h"
#include "server/camera/decode_wire.h"
#include "server/camera/decode_wire_av.h"
#include "server/camera/frame_av.h"
#include "server/decoder/demuxer.h"
#include "server/decoder/sandbox.h"
#include "server/decoder/slots.h"

#include <libavcodec/avcodec.h>
#include <libavutil/cpu.h>
#include <libavutil/log.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LOGS_PER_REQUEST 4

struct decoder {
    struct demuxer            *demuxer; /* of a file; then none of the rest */
    struct decode_codec       *codec;
    struct slots              *slots;
    size_t                     refused_bytes; /* the server gives no slots of this size */
    struct frame_av_converter *converter;
};

static struct decoder           *decoders[DECODE_WIRE_DECODERS];
static const uint8_t            *area;
static uint8_t                  *back;
static AVFrame                  *picture, *copied;
static AVPacket                 *packet;
static struct decode_wire_answer answer;
static unsigned                  logs;                          /* in this request */
static uint32_t                  closing[DECODE_WIRE_DECODERS]; /* heard while busy */
static unsigned                  closing_count;

/* ---- the socket ---- */

/* The server is gone, or speaks another language: there is nobody to decode for. */
static _Noreturn void leave(void)
{
    _exit(0);
}

static void say(const struct decode_wire_answer *what, size_t bytes)
{
    if (send(DECODE_WIRE_SOCKET, what, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
        leave();
}

static void say_head(uint32_t kind, uint32_t bytes, const char *text)
{
    struct decode_wire_answer head = {.head = {.kind = kind, .bytes = bytes}};

    snprintf(head.head.text, sizeof head.head.text, "%s", text);
    say(&head, sizeof head.head);
}

/* *fd: -1, or the descriptor that came along. */
static void hear(struct decode_wire_request *request, int *fd)
{
    union {
        struct cmsghdr header;
        char           bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec    data    = {request, sizeof *request};
    struct msghdr   message = {.msg_iov        = &data,
                               .msg_iovlen     = 1,
                               .msg_control    = control.bytes,
                               .msg_controllen = sizeof control.bytes};
    struct cmsghdr *part;

    *fd = -1;
    if (recvmsg(DECODE_WIRE_SOCKET, &message, 0) != (ssize_t)sizeof *request)
        leave();
    part = CMSG_FIRSTHDR(&message);
    if (part != NULL && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS &&
        part->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(fd, CMSG_DATA(part), sizeof *fd);
    if (request->decoder >= DECODE_WIRE_DECODERS)
        leave();
}

static void write_log(void *context, int level, const char *format, va_list arguments)
{
    const AVClass *class = context != NULL ? *(const AVClass *const *)context : NULL;
    char text[DECODE_WIRE_TEXT_BYTES];
    int  used;

    if (level > AV_LOG_WARNING || logs >= LOGS_PER_REQUEST)
        return;
    logs++;
    used = snprintf(text, sizeof text, "%s: ", class != NULL ? class->class_name : "library");
    if (used > 0 && (size_t)used < sizeof text)
        vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
    text[strcspn(text, "\r\n")] = '\0';
    say_head(DECODE_WIRE_LOG, 0, text);
}

/* ---- memory for pictures ---- */

static bool want_slots(struct decoder *decoder, size_t bytes)
{
    struct decode_wire_request request;
    int                        fd;

    if (bytes > DECODE_WIRE_SLOT_BYTES || bytes == decoder->refused_bytes)
        return false;
    say_head(DECODE_WIRE_WANT, (uint32_t)bytes, "");
    for (;;) {
        hear(&request, &fd);
        if (request.kind != DECODE_WIRE_CLOSE)
            break;
        if (closing_count < DECODE_WIRE_DECODERS)
            closing[closing_count++] = request.decoder;
    }
    if (request.kind != DECODE_WIRE_ARENA)
        leave();
    slots_close(&decoder->slots);
    if (fd >= 0 && request.slots > 0 && request.slots <= DECODE_WIRE_SLOTS)
        decoder->slots = slots_open(fd, request.bytes, request.slots);
    if (fd >= 0)
        close(fd);
    decoder->refused_bytes = decoder->slots == NULL ? bytes : 0;
    return decoder->slots != NULL;
}

static bool buffer_in_slot(struct decoder *decoder, AVCodecContext *context, AVFrame *frame)
{
    int    line_bytes[4];
    size_t place[4];
    size_t bytes;

    if (slots_buffer(decoder->slots, context, frame))
        return true;
    bytes = slots_layout(context, (enum AVPixelFormat)frame->format, frame->width, frame->height,
                         line_bytes, place);
    if (bytes == 0 || (decoder->slots != NULL && bytes <= slots_bytes(decoder->slots)))
        return false; /* they are all in use */
    return want_slots(decoder, bytes) && slots_buffer(decoder->slots, context, frame);
}

/* Decoders that take our buffers decode straight into shared memory; formats that must be
 * converted, and pictures for which no slot is left, go through private memory. */
static int get_buffer(AVCodecContext *context, AVFrame *frame, int flags)
{
    if ((context->codec->capabilities & AV_CODEC_CAP_DR1) != 0 &&
        frame_av_is_direct(frame->format) && buffer_in_slot(context->opaque, context, frame))
        return 0;
    return avcodec_default_get_buffer2(context, frame, flags);
}

/* `picture` in a slot, as `copied`. */
static bool copy_to_slot(struct decoder *decoder)
{
    bool direct = frame_av_is_direct(picture->format);

    av_frame_unref(copied);
    copied->format = direct ? picture->format : AV_PIX_FMT_YUV420P;
    copied->width  = picture->width;
    copied->height = picture->height;
    if (!buffer_in_slot(decoder, NULL, copied))
        return false;
    if (direct)
        return av_frame_copy(copied, picture) >= 0 && av_frame_copy_props(copied, picture) >= 0;
    return frame_av_scale(&decoder->converter, picture, copied) == 0;
}

static bool is_plain(const AVFrame *frame)
{
    return frame_av_is_direct(frame->format) && frame->linesize[0] > 0 && frame->linesize[1] >= 0 &&
           frame->linesize[2] >= 0;
}

static void describe(struct decoder *decoder, const AVFrame *frame, int slot,
                     struct decode_wire_picture *out)
{
    enum frame_format format;
    enum frame_matrix matrix;
    bool              full_range;

    frame_av_describe(frame, &format, &matrix, &full_range);
    out->slot   = (uint32_t)slot;
    out->format = format;
    out->flags |= (matrix == FRAME_BT709 ? DECODE_WIRE_BT709 : 0) |
                  (full_range ? DECODE_WIRE_FULL_RANGE : 0);
    for (int i = 0; i < 3; i++) {
        uint32_t row_bytes, rows;

        decode_wire_plane(format, i, out->width_px, out->height_px, &row_bytes, &rows);
        if (rows == 0)
            continue;
        out->offset[i]       = (uint32_t)(frame->data[i] - slots_base(decoder->slots, slot));
        out->stride_bytes[i] = (uint32_t)frame->linesize[i];
    }
}

static void hand_out(struct decoder *decoder)
{
    struct decode_wire_picture *out   = &answer.picture[answer.head.count++];
    const AVFrame              *frame = picture;
    int slot = is_plain(picture) ? slots_hand_out(decoder->slots, picture) : -1;

    *out = (struct decode_wire_picture){
        .width_px    = (uint32_t)picture->width,
        .height_px   = (uint32_t)picture->height,
        .timestamp   = picture->pts != AV_NOPTS_VALUE ? picture->pts : picture->pkt_dts,
        .best_effort = picture->best_effort_timestamp,
    };
    if ((picture->flags & AV_FRAME_FLAG_CORRUPT) != 0 || picture->decode_error_flags != 0)
        out->flags = DECODE_WIRE_DAMAGED;
    if (slot < 0 && copy_to_slot(decoder)) {
        frame = copied;
        slot  = slots_hand_out(decoder->slots, copied);
    }
    if (slot < 0)
        out->flags |= DECODE_WIRE_LOST;
    else
        describe(decoder, frame, slot, out);
    av_frame_unref(copied);
}

/* ---- requests ---- */

static void close_decoder(uint32_t index)
{
    struct decoder *decoder = decoders[index];

    if (decoder == NULL)
        return;
    demuxer_close(&decoder->demuxer);
    decode_codec_close(&decoder->codec);
    frame_av_converter_close(&decoder->converter);
    slots_close(&decoder->slots);
    free(decoder);
    decoders[index] = NULL;
}

static int open_decoder(uint32_t index)
{
    struct decode_wire_coding coding;
    AVCodecParameters        *parameters;
    struct decoder           *decoder;
    struct why                why = {""};
    int                       rc  = ERR_MEMORY;

    close_decoder(index);
    memcpy(&coding, area, sizeof coding);
    if (coding.extradata_bytes > DECODE_WIRE_AREA_BYTES - sizeof coding)
        leave();
    decoder    = calloc(1, sizeof *decoder);
    parameters = decode_wire_read_coding(&coding, area + sizeof coding);
    if (decoder != NULL && parameters != NULL)
        rc = decode_codec_open(&decoder->codec, parameters,
                               (AVRational){coding.time_base_num, coding.time_base_den}, &why);
    avcodec_parameters_free(&parameters);
    snprintf(answer.head.text, sizeof answer.head.text, "%s", why.text);
    if (rc != 0) {
        free(decoder);
        return rc;
    }
    decode_codec_buffers(decoder->codec, get_buffer, decoder);
    decoders[index] = decoder;
    return 0;
}

static int read_packet(const struct decode_wire_request *request)
{
    int rc = decode_wire_read_packet(packet, area, &request->packet);

    if (rc == ERR_CORRUPT)
        leave();
    return rc;
}

static int decode(struct decoder *decoder, const struct decode_wire_request *request)
{
    int rc = 0;

    slots_begin(decoder->slots);
    decode_codec_skip(decoder->codec, request->skip == DECODE_WIRE_SKIP_NONKEY ? AVDISCARD_NONKEY
                                      : request->skip == DECODE_WIRE_SKIP_NONREF
                                          ? AVDISCARD_NONREF
                                          : AVDISCARD_DEFAULT);
    if (request->kind == DECODE_WIRE_DECODE)
        rc = read_packet(request);
    if (rc == 0)
        rc = decode_codec_send(decoder->codec, request->kind == DECODE_WIRE_DECODE ? packet : NULL);
    av_packet_unref(packet);
    while (answer.head.count < DECODE_WIRE_PICTURES) {
        int received = decode_codec_receive(decoder->codec, picture);

        if (received == ERR_AGAIN || received == ERR_NOT_FOUND)
            break;
        if (received == 0)
            hand_out(decoder);
        else
            answer.head.bytes++; /* pictures that were lost to damage */
        if (answer.head.bytes == DECODE_WIRE_PICTURES)
            break;
    }
    av_frame_unref(picture);
    return rc;
}

/* ---- files ---- */

static int open_file(uint32_t index, int fd, struct why *why)
{
    struct decoder *decoder = calloc(1, sizeof *decoder);
    int             rc;

    close_decoder(index);
    if (decoder == NULL) {
        close(fd);
        return why_set(why, ERR_MEMORY, "no memory to read the file");
    }
    rc = demuxer_open(&decoder->demuxer, fd, why);
    if (rc != 0) {
        free(decoder);
        return rc;
    }
    decoders[index] = decoder;
    return 0;
}

static void handle_file(const struct decode_wire_request *request, int fd)
{
    struct why why = {""};
    int        rc  = 0;

    memset(&answer, 0, DECODE_WIRE_FILE_BYTES);
    answer.head.kind = DECODE_WIRE_FILE;
    if (fd >= 0 && request->kind != DECODE_WIRE_FILE_OPEN)
        leave();
    logs = 0;
    if (request->kind == DECODE_WIRE_FILE_OPEN && fd < 0)
        rc = why_set(&why, ERR_FULL, "too many files are open in one decoder process");
    else if (request->kind == DECODE_WIRE_FILE_OPEN)
        rc = open_file(request->decoder, fd, &why);
    if (rc == 0) {
        struct decoder *decoder = decoders[request->decoder];

        if (decoder == NULL || decoder->demuxer == NULL)
            leave();
        rc = demuxer_handle(decoder->demuxer, request, &answer.file, packet, back, &why);
        av_packet_unref(packet);
    }
    answer.head.rc = rc;
    snprintf(answer.head.text, sizeof answer.head.text, "%s", why.text);
    say(&answer, DECODE_WIRE_FILE_BYTES);
}

static bool is_for_file(const struct decode_wire_request *request)
{
    return request->kind >= DECODE_WIRE_FILE_OPEN && request->kind <= DECODE_WIRE_FILE_REWIND;
}

/* ---- all of them ---- */

static void handle(const struct decode_wire_request *request)
{
    struct decoder *decoder = decoders[request->decoder];

    memset(&answer.head, 0, sizeof answer.head);
    answer.head.kind = DECODE_WIRE_DONE;
    logs             = 0;
    if (decoder != NULL && decoder->codec == NULL && request->kind != DECODE_WIRE_CLOSE &&
        request->kind != DECODE_WIRE_OPEN)
        leave();
    switch (request->kind) {
    case DECODE_WIRE_CLOSE:
        close_decoder(request->decoder);
        return;
    case DECODE_WIRE_OPEN:
        answer.head.rc = open_decoder(request->decoder);
        break;
    case DECODE_WIRE_FLUSH:
        if (decoder != NULL)
            decode_codec_flush(decoder->codec);
        break;
    case DECODE_WIRE_DECODE:
    case DECODE_WIRE_DRAIN:
        answer.head.rc = decoder != NULL ? decode(decoder, request) : ERR_INVALID;
        break;
    default:
        leave();
    }
    say(&answer, DECODE_WIRE_ANSWER_BYTES(answer.head.count));
    while (closing_count > 0)
        close_decoder(closing[--closing_count]);
}

/* What is inherited under that number; NULL: nothing is. */
static void *map_inherited(int fd, int protection)
{
    void *memory = mmap(NULL, DECODE_WIRE_AREA_BYTES, protection, MAP_SHARED, fd, 0);

    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

int main(int argc, char **argv)
{
    struct decode_wire_request request;
    const char                *refused;
    int                        fd;

    if (argc == 3 && strcmp(argv[1], "--try") == 0)
        return sandbox_try(argv[2]);
    heap_settle();
    area = map_inherited(DECODE_WIRE_PACKET, PROT_READ);
    back = map_inherited(DECODE_WIRE_BACK, PROT_READ | PROT_WRITE);
    if (area == NULL || back == NULL) {
        fputs("sightline-decode is started by the server, not by hand\n", stderr);
        return 2;
    }
    picture = av_frame_alloc();
    copied  = av_frame_alloc();
    packet  = av_packet_alloc();
    if (picture == NULL || copied == NULL || packet == NULL)
        return 1;
    av_log_set_callback(write_log);
    av_get_cpu_flags();
    /* Containers hold dates; the library looks for the zone's file when it is first asked for one. */
    setenv("TZ", "UTC0", 1);
    tzset();
    refused = sandbox_enter();
    if (refused != NULL) {
        say_head(DECODE_WIRE_LOG, 0, refused);
        return 1;
    }
    say_head(DECODE_WIRE_READY, DECODE_WIRE_VERSION, "");
    for (;;) {
        hear(&request, &fd);
        if (is_for_file(&request)) {
            handle_file(&request, fd); /* the descriptor is its own now */
            continue;
        }
        if (fd >= 0)
            close(fd);
        handle(&request);
    }
}
