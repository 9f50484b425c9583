/* storage/names.h: the numbers that stand for (camera, counter) inside the ledger.
 *
 * Numbers are dense from 1 and never given twice. The dictionary is in memory; the writer puts
 * what is new into its next transaction, so that a failed one has nothing to take back. Any
 * thread: one lock inside, a leaf. */
#ifndef SIGHTLINE_STORAGE_NAMES_H
#define SIGHTLINE_STORAGE_NAMES_H

#include "config/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* Counters that ever were: every line and zone of every camera, renamed a few times. */
#define NAMES_MAX 262144U
/* Counters of one camera in one run that coverage is kept for; the newest, if there are more. */
#define NAMES_OF_CAMERA_MAX 256

struct names;

int  names_open(struct names **out);
void names_close(struct names **names);

/* What the ledger holds: numbers must come in order. ERR_CORRUPT, ERR_MEMORY. */
int names_load(struct names *names, uint32_t id, const char *camera, const char *counter);

/* The number of a counter, a new one if it has none yet; it takes part in coverage from now on.
 * ERR_LIMIT, ERR_MEMORY. */
int names_intern(struct names *names, const char *camera, const char *counter, uint32_t *id);

bool     names_find(struct names *names, const char *camera, const char *counter, uint32_t *id);
bool     names_get(struct names *names, uint32_t id, char camera[static LIMIT_NAME_BYTES],
                   char counter[static LIMIT_NAME_BYTES]);
uint32_t names_count(struct names *names);

/* Numbers of the counters of one camera that take part in coverage; returns how many. */
int names_of_camera(struct names *names, const char *camera,
                    uint32_t ids[static NAMES_OF_CAMERA_MAX]);

#endif
