/* What a fault in FFmpeg's demultiplexers would do, in a decoder program for the tests: a file whose
 * title asks for it crashes or hangs the process, as it is opened or as it is read. */
#include <libavformat/avformat.h>
#include <poll.h>
#include <string.h>

int __real_avformat_open_input(AVFormatContext **context, const char *url,
                               const AVInputFormat *container, AVDictionary **options);
int __wrap_avformat_open_input(AVFormatContext **context, const char *url,
                               const AVInputFormat *container, AVDictionary **options);
int __real_av_read_frame(AVFormatContext *context, AVPacket *packet);
int __wrap_av_read_frame(AVFormatContext *context, AVPacket *packet);

/* "crash" and "hang" behind the word that says when. */
static void do_as_asked(const AVFormatContext *context, const char *when)
{
    const AVDictionaryEntry *title = av_dict_get(context->metadata, "title", NULL, 0);
    const char              *what  = title != NULL && strncmp(title->value, when, strlen(when)) == 0
                                         ? title->value + strlen(when)
                                         : "";

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
