#include "config/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t clock_monotonic_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

void clock_format_utc(int64_t wall_ns, char text[static 32])
{
    int64_t   seconds = wall_ns / NS_PER_S;
    int64_t   rest_ns = wall_ns % NS_PER_S;
    struct tm utc;
    time_t    when;
    size_t    used;

    if (rest_ns < 0) {
        rest_ns += NS_PER_S;
        seconds -= 1;
    }
    when = (time_t)seconds;
    if (gmtime_r(&when, &utc) == NULL || utc.tm_year > 9999 - 1900 || utc.tm_year < -1900) {
        snprintf(text, 32, "1970-01-01T00:00:00.000Z");
        return;
    }
    used = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + used, 32 - used, ".%03dZ", (int)(rest_ns / NS_PER_MS));
}
