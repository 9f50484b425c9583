/* storage/block.h: events as they lie in the ledger, many in one value.
 *
 * One page of LMDB holds one block; the newest is rewritten until it is full. In it an event is
 * the number of its counter and a body whose time is relative to the event before it
 * (storage/event_codec.h). Reading trusts no byte. */
#ifndef SIGHTLINE_STORAGE_BLOCK_H
#define SIGHTLINE_STORAGE_BLOCK_H

#include "storage/event.h"
#include "storage/names.h"
#include "storage/varint.h"

/* What fits one page of 4096 bytes beside LMDB's page header: an overflow page without waste. */
#define BLOCK_BYTES 4080

struct block {
    uint64_t first_seq; /* 0: nothing in it */
    int64_t  last_ns;   /* time of its last event */
    size_t   bytes;
    uint8_t  data[BLOCK_BYTES];
};

/* Begins an empty block with event first_seq to come. */
void block_begin(struct block *block, uint64_t first_seq);
/* False when it is full: the block is as before. */
bool block_append(struct block *block, uint32_t id, const struct event *event);

struct block_reader {
    struct bytes_reader in;
    struct names       *names;
    uint64_t            seq; /* of the next event */
    int64_t             last_ns;
    uint32_t            id; /* of the last event's counter */
};

/* ERR_CORRUPT for a block of an unknown version. `data` must outlive the reader. */
int block_open(struct block_reader *reader, struct names *names, uint64_t first_seq,
               const void *data, size_t bytes);
/* 1 and an event, 0 at the end, or ERR_CORRUPT. */
int block_next(struct block_reader *reader, struct event *event);

#endif
