/* config/plain_file.h: opens a file that somebody named, to be read.
 *
 * Only a regular file: a FIFO would keep its reader waiting for ever, and merely to open a device can
 * do things. Any thread; does not wait, but for the disk, and PLAIN_FILE_LENT_MS at most for another who
 * was lent the file. */
#ifndef SIGHTLINE_CONFIG_PLAIN_FILE_H
#define SIGHTLINE_CONFIG_PLAIN_FILE_H

#include "config/why.h"

#include <stdint.h>
#include <stdio.h>

#define PLAIN_FILE_LENT_MS 1000

enum plain_file_links { PLAIN_FILE_LINKS, PLAIN_FILE_NO_LINKS /* a symbolic link is refused */ };

/* The descriptor, the caller's to close, or a negative code: ERR_NOT_FOUND, ERR_DENIED, ERR_INVALID (no
 * regular file), ERR_IO. `why` says it without the path. `bytes` may be NULL: what the file holds. */
int plain_file_open(const char *path, enum plain_file_links links, int64_t *bytes, struct why *why);

/* The same, through stdio. On failure *file is NULL. Also ERR_MEMORY. */
int plain_file_stream(const char *path, FILE **file, struct why *why);

#endif
