#include "server/camera/ffmpeg_log.h"

#include "config/clock.h"
#include "config/log.h"
#include "server/camera/camera_url.h"

#include <libavutil/log.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 512

/* Second and lines in it, in one word so that no lock is needed: second * 256 + lines. */
static _Atomic int64_t rate_state;

static bool rate_allows(void)
{
    int64_t second = clock_monotonic_ns() / NS_PER_S;
    int64_t old    = atomic_load_explicit(&rate_state, memory_order_relaxed);
    int64_t next;

    do {
        next = old / 256 == second ? old + 1 : second * 256 + 1;
        if (next % 256 > FFMPEG_LOG_PER_S)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&rate_state, &old, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* FFmpeg's own prefix ("[h264 @ 0x..]") would print an address of our memory: only the name of
 * the part is kept. */
static void write_message(void *context, int level, const char *format, va_list arguments)
{
    char text[LINE_BYTES];
    char clean[LINE_BYTES];
    const AVClass *class = context != NULL ? *(const AVClass *const *)context : NULL;
    size_t used;

    if (level > AV_LOG_WARNING || !rate_allows())
        return;
    vsnprintf(text, sizeof text, format, arguments);
    used = strlen(text);
    while (used > 0 && (text[used - 1] == '\n' || text[used - 1] == ' '))
        text[--used] = '\0';
    if (used == 0)
        return;
    camera_url_redact(text, clean, sizeof clean);
    log_write(level <= AV_LOG_FATAL ? LOG_ERROR : LOG_DEBUG, "ffmpeg", "%s: %s",
              class != NULL && class->item_name != NULL ? class->item_name(context) : "library",
              clean);
}

void ffmpeg_log_install(void)
{
    av_log_set_callback(write_message);
}
