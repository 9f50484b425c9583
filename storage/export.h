/* storage/export.h: the whole history as a file: `sightline ledger export`. */
#ifndef SIGHTLINE_STORAGE_EXPORT_H
#define SIGHTLINE_STORAGE_EXPORT_H

#include "config/why.h"
#include "storage/ledger.h"

#include <stdio.h>

enum export_format {
    EXPORT_CSV,  /* RFC 4180 with a header row; names that a spreadsheet would run are defused */
    EXPORT_JSON, /* {"events":[EVENT,...]} as the API gives them (server/api/protocol.md) */
};

/* Writes every event up to the last one at the call, in order. Reads in pages, each in a
 * transaction of its own, so that a running server is not held up. ERR_IO when the file cannot
 * be written. */
int ledger_export(struct ledger *ledger, enum export_format format, FILE *file, struct why *why);

#endif
