/* The logger holds one small state (level, the current second and its line count) behind a mutex:
 * it is never on the per-frame path. */
#include "config/log.h"

#include "config/clock.h"
#include "config/plural.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 1024

static const char *const LEVEL_NAMES[] = {"error", "warning", "info", "debug"};

static _Atomic int level_now = LOG_INFO;

static pthread_mutex_t burst_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t         burst_second;     /* under burst_lock */
static unsigned        burst_lines;      /* under burst_lock */
static uint64_t        suppressed_burst; /* under burst_lock */
static uint64_t        suppressed_total; /* under burst_lock */

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

bool log_level_from_text(const char *text, enum log_level *level)
{
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (strcmp(text, LEVEL_NAMES[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* Returns whether a line may be written now, and how many were swallowed in the second before. */
static bool burst_allows(int64_t now_ns, uint64_t *swallowed)
{
    bool allowed;

    *swallowed = 0;
    pthread_mutex_lock(&burst_lock);
    if (now_ns / NS_PER_S != burst_second) {
        burst_second     = now_ns / NS_PER_S;
        burst_lines      = 0;
        *swallowed       = suppressed_burst;
        suppressed_burst = 0;
    }
    allowed = burst_lines < LOG_BURST;
    if (allowed) {
        burst_lines++;
    } else {
        suppressed_burst++;
        suppressed_total++;
    }
    pthread_mutex_unlock(&burst_lock);
    return allowed;
}

static void write_line(char *line, size_t used)
{
    for (size_t i = 0; i < used; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    line[used++] = '\n';
    /* One write() per line keeps lines of several threads whole. A failed write has nowhere to be
     * reported. */
    if (write(STDERR_FILENO, line, used) < 0)
        return;
}

void log_write(enum log_level level, const char *who, const char *format, ...)
{
    char     line[LINE_BYTES];
    char     when[32];
    int64_t  now_ns = clock_wall_ns();
    uint64_t swallowed;
    va_list  arguments;
    int      head;
    int      body;
    size_t   used;

    if ((int)level > atomic_load_explicit(&level_now, memory_order_relaxed))
        return;
    if (!burst_allows(now_ns, &swallowed))
        return;
    clock_format_utc(now_ns, when);
    if (swallowed > 0) {
        head = snprintf(line, sizeof line - 1, "%s warning log: left out: %llu line%s", when,
                        (unsigned long long)swallowed, plural(swallowed));
        write_line(line, (size_t)head);
    }
    head = snprintf(line, sizeof line - 1, "%s %s %s: ", when, LEVEL_NAMES[level], who);
    if (head < 0 || (size_t)head >= sizeof line - 1)
        return;
    va_start(arguments, format);
    body = vsnprintf(line + head, sizeof line - 1 - (size_t)head, format, arguments);
    va_end(arguments);
    if (body < 0)
        return;
    used = (size_t)head + (size_t)body;
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    write_line(line, used);
}

uint64_t log_suppressed(void)
{
    uint64_t total;

    pthread_mutex_lock(&burst_lock);
    total = suppressed_total;
    pthread_mutex_unlock(&burst_lock);
    return total;
}
