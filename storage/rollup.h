/* storage/rollup.h: the bytes of roll-ups. Pure; used under the ledger's transactions.
 *
 * A row holds the buckets of one counter over one span: 60 minutes, 24 hours or 32 days. A
 * history of a day by the minute is 24 rows, and a row that grows during its hour is one page.
 * In a row, each bucket that holds something is its slot (one byte) and its values: only those
 * that are not zero. Nothing here trusts the bytes: ERR_CORRUPT for what rollup_row_add() does
 * not write. */
#ifndef SIGHTLINE_STORAGE_ROLLUP_H
#define SIGHTLINE_STORAGE_ROLLUP_H

#include "storage/ledger.h"
#include "storage/varint.h"

#define ROLLUP_BUCKETS       3 /* minute, hour, day */
#define ROLLUP_ENCODED_BYTES (1 + 3 * VARINT_MAX_BYTES + 4 * OBJECT_CLASSES * 6)
#define ROLLUP_SLOTS         60
#define ROLLUP_ROW_BYTES     ((size_t)ROLLUP_SLOTS * (1 + ROLLUP_ENCODED_BYTES))

/* Seconds of one bucket; buckets of one row. */
int64_t rollup_bucket_s(enum rollup_bucket bucket);
int64_t rollup_row_slots(enum rollup_bucket bucket);

/* Adds one event, or one roll-up, to another. Sums stop at the largest number instead of
 * wrapping. */
void rollup_add_event(struct rollup *rollup, const struct event *event);
void rollup_add(struct rollup *rollup, const struct rollup *more);

/* One roll-up's values (without start_s and last_seq). */
void rollup_put(struct bytes_writer *out, const struct rollup *rollup);
/* Sets every field, start_s and last_seq to 0. False for damaged bytes. */
bool rollup_take(struct bytes_reader *in, struct rollup *rollup);

/* The next bucket of a row. False at the end and for damaged bytes (then in->failed is set).
 * `before` is the slot before, -1 at first. */
bool rollup_row_next(struct bytes_reader *in, int before, int *slot, struct rollup *rollup);

/* Adds `more` to bucket `slot` of a row of `count` bytes (0: none yet); the new row is in `out`.
 * Returns its length or ERR_CORRUPT. */
int rollup_row_add(const uint8_t *row, size_t count, int slot, const struct rollup *more,
                   uint8_t out[static ROLLUP_ROW_BYTES]);

#endif
