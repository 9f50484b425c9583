/* What a fault in FFmpeg's demultiplexers would do, in a decoder program for the tests: a file whose
 * title asks for it crashes or hangs the process, as it is opened or as it is read; or the process is
 * somebody else's from then on, and lies to the server, or talks and never answers. */
#include "config/err.h"
#include "server/camera/decode_wire.h"

#include <libavformat/avformat.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

int     __real_avformat_open_input(AVFormatContext **context, const char *url,
                                   const AVInputFormat *container, AVDictionary **options);
int     __wrap_avformat_open_input(AVFormatContext **context, const char *url,
                                   const AVInputFormat *container, AVDictionary **options);
int     __real_av_read_frame(AVFormatContext *context, AVPacket *packet);
int     __wrap_av_read_frame(AVFormatContext *context, AVPacket *packet);
ssize_t __real_send(int sock, const void *bytes, size_t count, int flags);
ssize_t __wrap_send(int sock, const void *bytes, size_t count, int flags);

static enum { HONEST, SAYS_CLOSED, TALKS } self;

/* "crash" and "hang" behind the word that says when. */
static void do_as_asked(const AVFormatContext *context, const char *when)
{
    const AVDictionaryEntry *title = av_dict_get(context->metadata, "title", NULL, 0);
    const char              *what  = title != NULL && strncmp(title->value, when, strlen(when)) == 0
                                         ? title->value + strlen(when)
                                         : "";

    if (strcmp(what, "closed") == 0)
        self = SAYS_CLOSED;
    if (strcmp(what, "talks") == 0)
        self = TALKS;
    if (strcmp(what, "crash") == 0)
        __builtin_trap();
    /* Without using the processor: a machine that has no time for others cannot be the reason. */
    while (strcmp(what, "hang") == 0)
        poll(NULL, 0, -1);
}

int __wrap_avformat_open_input(AVFormatContext **context, const char *url,
                               const AVInputFormat *container, AVDictionary **options)
{
    int av_code = __real_avformat_open_input(context, url, container, options);

    if (av_code >= 0)
        do_as_asked(*context, "opened: ");
    return av_code;
}

int __wrap_av_read_frame(AVFormatContext *context, AVPacket *packet)
{
    int av_code = __real_av_read_frame(context, packet);

    /* Not at the first packet: by then it plays. */
    if (av_code >= 0 && packet->dts > 0)
        do_as_asked(context, "played: ");
    return av_code;
}

ssize_t __wrap_send(int sock, const void *bytes, size_t count, int flags)
{
    struct decode_wire_answer     answer;
    struct decode_wire_head      *head = &answer.head;
    const struct decode_wire_head log  = {.kind = DECODE_WIRE_LOG};
    const struct timespec         tick = {.tv_nsec = 100000000};

    if (self == HONEST || count > sizeof answer)
        return __real_send(sock, bytes, count, flags);
    memcpy(&answer, bytes, count);
    if (head->kind == DECODE_WIRE_DONE)
        head->rc = ERR_CLOSED;
    while (self == TALKS && head->kind == DECODE_WIRE_DONE) {
        if (__real_send(sock, &log, sizeof log, flags) < 0)
            return -1;
        nanosleep(&tick, NULL);
    }
    return __real_send(sock, &answer, count, flags);
}
