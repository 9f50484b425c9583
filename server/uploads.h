/* server/uploads.h: the files of videos that came through the API, on the disk.
 *
 * The place and the names are config/upload_place.h's. All of this waits for the disk: on a worker,
 * or before the loop runs. */
#ifndef SIGHTLINE_SERVER_UPLOADS_H
#define SIGHTLINE_SERVER_UPLOADS_H

#include "config/settings.h"
#include "config/upload_place.h"
#include "config/why.h"

#include <stdint.h>

/* So much of the disk stays free for the ledger, whatever is uploaded. */
#define UPLOADS_FREE_BYTES (INT64_C(512) << 20)

struct upload_file {
    char name[UPLOAD_NAME_BYTES];
    int  fd; /* negative: closed */
};

/* Makes the folder and an empty file of that size, for which the disk has room: beside what is there
 * at most `total_bytes`. ERR_NO_SPACE, ERR_LIMIT, ERR_IO. */
int uploads_create(struct upload_file *file, const char *data, uint64_t bytes, uint64_t total_bytes,
                   struct why *why);
int uploads_write(const struct upload_file *file, uint64_t at, const void *bytes, size_t count,
                  struct why *why);
/* All of it is on the disk; closes it. */
int uploads_finish(struct upload_file *file, struct why *why);

/* It is a camera's from now on; as it is when it already was. ERR_NOT_FOUND, ERR_IO. */
int uploads_keep(const char *data, const char *name, struct why *why);
/* Nobody's any more: gone with all that belongs to it. */
void uploads_remove(const char *data, const char *name);
/* A camera plays it, or has to its end: UPLOAD_BEGUN, UPLOAD_PLAYED. */
void uploads_mark(const char *data, const char *name, enum upload_kind kind);

/* At the start: what an end without warning has left. A video that no camera names is removed. */
void uploads_sweep(const struct settings *settings);

#endif
