/* storage/chain.h: the hash chain over the commits, and the link that each commit leaves.
 *
 * A link's hash is BLAKE2b-256 over the hash before it, the commit's number, its events in the
 * bytes of event_encode() and its coverage with all names spelled out: whoever changes, removes
 * or adds a record must change every link after it. */
#ifndef SIGHTLINE_STORAGE_CHAIN_H
#define SIGHTLINE_STORAGE_CHAIN_H

#include "storage/event.h"
#include "storage/names.h"
#include "storage/varint.h"

#include <sodium.h>

#define CHAIN_HASH_BYTES 32
/* Coverage records of one commit. */
#define CHAIN_COVERAGE_MAX 64
/* Head, and per coverage record four numbers and a number for each counter. */
#define CHAIN_LINK_BYTES \
    (64 + CHAIN_COVERAGE_MAX * VARINT_MAX_BYTES * 4 + CHAIN_COVERAGE_MAX * NAMES_OF_CAMERA_MAX * 3)

struct coverage {
    int64_t  minute; /* since 1970 */
    uint32_t analysed_ms;
    uint32_t elapsed_ms;
    uint32_t id_count;
    uint32_t ids[NAMES_OF_CAMERA_MAX]; /* counters that it was added to */
};

struct chain {
    crypto_generichash_state state;
};

void chain_begin(struct chain *chain, const uint8_t before[static CHAIN_HASH_BYTES],
                 uint64_t commit);
void chain_event(struct chain *chain, const struct event *event);
/* ERR_CORRUPT when a number has no name. */
int  chain_coverage(struct chain *chain, struct names *names, const struct coverage *coverage);
void chain_end(struct chain *chain, uint8_t hash[static CHAIN_HASH_BYTES]);

/* The stored link: last_seq, hash, then the coverage records. */
struct chain_link {
    uint64_t last_seq; /* after this commit */
    uint8_t  hash[CHAIN_HASH_BYTES];
    uint32_t coverage_count;
    struct bytes_reader
        coverage; /* the records: chain_take_coverage(), points into the bytes given */
};

void chain_put_link(struct bytes_writer *out, uint64_t last_seq,
                    const uint8_t hash[static CHAIN_HASH_BYTES], uint32_t coverage_count);
void chain_put_coverage(struct bytes_writer *out, const struct coverage *coverage);
int  chain_take_link(struct chain_link *link, const void *data, size_t bytes);
/* ERR_CORRUPT for what chain_put_coverage() does not write. */
int chain_take_coverage(struct chain_link *link, struct coverage *coverage);

#endif
