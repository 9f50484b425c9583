/* storage/store.h: the ledger's LMDB environment: its tables, its opening, and one group in one
 * transaction.
 *
 *   meta     "format" -> version of all below (little endian u32)
 *   names    number (u32) -> camera NUL counter
 *   events   seq of the first (u64) -> block of events            (storage/block.h)
 *   commits  number (u64) -> link of the hash chain, coverage     (storage/chain.h)
 *   totals   counter (u32) -> last seq, sum of all its events
 *   minutes, hours, days
 *            span (u32), counter (u32) -> row of buckets          (storage/rollup.h)
 * Keys are big endian, so that new records come at the end of their table.
 *
 * LMDB runs with its default flags: a commit returns after its pages and then its root were
 * synced. Never MDB_WRITEMAP: a full disk would be SIGBUS. Not thread-safe by itself: ledger.c
 * holds the locks. */
#ifndef SIGHTLINE_STORAGE_STORE_H
#define SIGHTLINE_STORAGE_STORE_H

#include "config/why.h"
#include "storage/block.h"
#include "storage/chain.h"
#include "storage/ledger.h"
#include "storage/names.h"

#include <lmdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STORE_FORMAT 1

enum store_table {
    STORE_META,
    STORE_NAMES,
    STORE_EVENTS,
    STORE_COMMITS,
    STORE_TOTALS,
    STORE_MINUTES, /* the three roll-ups in the order of enum rollup_bucket */
    STORE_HOURS,
    STORE_DAYS,
    STORE_TABLES,
};

struct store {
    char         *path;
    bool          read_only;
    uint64_t      map_bytes;
    struct names *names;
    MDB_env      *env; /* NULL between a failed commit and the reopening */
    MDB_dbi       tables[STORE_TABLES];
    int           folder_fd;
    int           lock_fd;    /* holds the writer's lock, or -1 */
    bool          born;       /* its first commit is on the disk, says writer.lock */
    bool          registered; /* in the list of this process's open ledgers */
    dev_t         device;
    ino_t         inode;
    struct store *next_open;
};

/* Where the next commit goes on. */
struct store_tail {
    uint64_t     commit; /* number of the last one, 0: none */
    uint64_t     seq;    /* of the last event */
    uint32_t     names;  /* how many are stored */
    uint8_t      hash[CHAIN_HASH_BYTES];
    struct block block; /* the newest, which the next event joins */
};

/* Coverage that waits for its commit. */
struct store_coverage {
    char     camera[LIMIT_NAME_BYTES];
    int64_t  minute;
    uint32_t analysed_ms;
    uint32_t elapsed_ms;
};

/* `store` is zeroed memory; after a failure store_close() has been done. */
int  store_open(struct store *store, const char *path, bool read_only, uint64_t map_bytes,
                struct why *why);
void store_close(struct store *store);

/* Drops what LMDB holds in memory and reads the file again: the only safe way on after a failed
 * sync. No transaction may be open. */
int store_reopen(struct store *store, struct why *why);
/* Makes the address space larger after MDB_MAP_FULL. No transaction may be open. */
int store_grow(struct store *store, struct why *why);

/* Reads the end of the ledger and checks it: the newest links, their hashes and their events. */
int store_read_tail(struct store *store, struct store_tail *tail, struct why *why);

/* What one commit writes. `events` get their seq; `event_ids` are their counters' numbers. */
struct store_group {
    struct event          *events;
    const uint32_t        *event_ids;
    int                    event_count;
    struct store_coverage *coverage;
    int                    coverage_count; /* at most CHAIN_COVERAGE_MAX */
};

/* One durable transaction. 0 only after it is on the disk; *tail moves on then and only then.
 * Otherwise an LMDB or errno code (store_why() gives words), and nothing of it may be called
 * written. */
int store_commit(struct store *store, struct store_tail *tail, const struct store_group *group);

/* A read transaction; loads names that another process added. mdb_txn_abort() ends it. */
int store_begin_read(struct store *store, MDB_txn **txn, struct why *why);

/* An LMDB code or errno in words that an operator can act on; returns the ERR_ code for it. */
int store_why(struct why *why, int rc, const char *path, const char *doing);

/* The links from commit `first` (1: from the start) to the last one: events, coverage and hashes
 * agree. Each event and coverage record is handed to `check` (its calls may be NULL), which may stop
 * it with a code other than 0. */
struct store_check {
    int (*event)(void *arg, const struct event *event, uint32_t id);
    int (*coverage)(void *arg, const struct coverage *coverage);
    void (*progress)(void *arg, double done);
    void *arg;
    void *progress_arg;
};
int store_check_chain(struct store *store, MDB_txn *txn, uint64_t first,
                      const struct store_check *check, struct why *why);

/* The number, link of the last commit and 0; MDB_NOTFOUND when there is none. */
int store_last_link(struct store *store, MDB_txn *txn, uint64_t *commit, struct chain_link *link);

/* Places `cursor` of the events table on the block that holds `seq`, or on the first one after
 * it. */
int store_seek_events(MDB_cursor *cursor, uint64_t seq, MDB_val *key, MDB_val *value);

#endif
