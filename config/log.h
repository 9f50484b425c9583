/* config/log.h: one line per thing that an operator may want to know, on standard error.
 *
 *   2026-11-21T03:04:05.678Z warning camera/gate: stalled: no frame for 5 s
 *
 * Any thread may call. A line is at most 1 KiB, control characters in it are written as '?', and a
 * burst is bounded: past LOG_BURST lines in a second the rest are counted and reported in one line.
 * Nothing else writes to standard error: libraries' messages come through here. Never a secret. */
#ifndef SIGHTLINE_CONFIG_LOG_H
#define SIGHTLINE_CONFIG_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

#define LOG_BURST 200

void log_set_level(enum log_level level);
bool log_level_from_text(const char *text, enum log_level *level);

/* `who` is the room or thing: "ledger", "camera/gate". */
void log_write(enum log_level level, const char *who, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(who, ...)   log_write(LOG_ERROR, who, __VA_ARGS__)
#define log_warning(who, ...) log_write(LOG_WARNING, who, __VA_ARGS__)
#define log_info(who, ...)    log_write(LOG_INFO, who, __VA_ARGS__)
#define log_debug(who, ...)   log_write(LOG_DEBUG, who, __VA_ARGS__)

/* Lines that were not written because of the burst bound, since start. */
uint64_t log_suppressed(void);

#endif
