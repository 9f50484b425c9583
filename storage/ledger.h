/* storage/ledger.h: the append-only record of what was counted, and its roll-ups (LMDB).
 *
 * Shape:   seq -> event (dense, from 1); (counter, bucket) -> roll-up for minute, hour and day,
 *          written in the same transaction as the events they sum; one hash-chain link per commit.
 * Threads: one writer thread owns every write transaction and commits groups: at most
 *          LIMIT_LEDGER_GROUP events or LIMIT_LEDGER_GROUP_MS. ledger_append() may be called from
 *          any thread; `acknowledged` callbacks run where ledger_dispatch() is called (the loop).
 *          Readers (events, history, totals) open short read transactions on the caller's thread.
 * Owner:   the caller keeps the event; the ledger copies it before returning.
 * Truth:   an event is acknowledged after the fsync of its group, never before. Default LMDB
 *          flags only.
 * Errors:  0 or a negative ERR_ code. Nothing here asserts on stored bytes. A commit that fails
 *          (disk full, EIO) acknowledges nothing: its events wait in memory, within
 *          LIMIT_LEDGER_QUEUE, and are tried again after a pause; ledger_health() tells. */
#ifndef SIGHTLINE_STORAGE_LEDGER_H
#define SIGHTLINE_STORAGE_LEDGER_H

#include "config/why.h"
#include "storage/event.h"

#include <stdbool.h>
#include <stdint.h>

struct ledger;

struct ledger_settings {
    bool read_only; /* for `sightline ledger ...` beside a running server: no writer thread */
    /* Called on the writer thread when ledger_dispatch() has work; may only unblock. */
    void (*wake)(void *arg);
    void    *arg;
    uint64_t map_bytes; /* address space for the file, 0: the default. It grows when it is full. */
    unsigned retry_ms;  /* pause after a failed commit, 0: a second */
};

/* Open or create the ledger in the folder `path` (created with mode 0700), check its pages and
 * its tail and continue. Refuses a network file system, a second writer, and a second handle in
 * the same process (LMDB's locks would break). On failure *out is NULL and `why` says what an
 * operator can do. */
int ledger_open(struct ledger **out, const char *path, const struct ledger_settings *settings,
                struct why *why);
/* Commits what is queued (within 10 s) and stops the writer. No other thread may be inside a
 * call. Events that nobody dispatched are in the ledger; whoever needs them reads on from the
 * last he saw. */
void ledger_close(struct ledger **ledger);

/* Waits until all that was appended before is committed: 0, or ERR_TIMEOUT. For the end and for
 * tests: never on the loop. */
int ledger_flush(struct ledger *ledger, int timeout_ms);

/* Called by ledger_dispatch() after the commit is durable; event->seq is set. In order of seq. */
typedef void ledger_acknowledged_fn(void *arg, const struct event *event);

/* Makes a counter known, so that coverage is kept for it from now on, also before its first event.
 * Idempotent; any thread. ERR_INVALID, ERR_LIMIT, ERR_MEMORY. */
int ledger_register(struct ledger *ledger, const char *camera, const char *counter);

/* Queue one event. ERR_INVALID when event_valid() says so, ERR_DENIED when read-only, ERR_CLOSED
 * once closing, ERR_FULL when LIMIT_LEDGER_QUEUE events wait: the caller counts the loss and
 * says so. */
int ledger_append(struct ledger *ledger, const struct event *event);

/* How much of a minute was really analysed for one camera: added to the coverage of all its
 * counters that were registered, or had an event, since the ledger was opened. `analysed_ms` of
 * `elapsed_ms`, both 0..60000, within the minute of `time_ns`; several calls for one minute add
 * up. ERR_INVALID, ERR_DENIED, ERR_CLOSED as above; ERR_FULL when ten minutes of every camera that
 * there may be wait: counted in ledger_health(). */
int ledger_append_coverage(struct ledger *ledger, const char *camera, int64_t time_ns,
                           uint32_t analysed_ms, uint32_t elapsed_ms);

/* Loop thread: hands every event committed since the last call, or since the opening, to
 * `acknowledged`. What cannot be read back now comes with a later call. */
void ledger_dispatch(struct ledger *ledger, ledger_acknowledged_fn *acknowledged, void *arg);

/* Highest acknowledged sequence number, 0 when empty. Any thread. */
uint64_t ledger_last_seq(const struct ledger *ledger);

/* Reads up to `capacity` acknowledged events with seq > since, in order; returns how many, or a
 * negative code. */
int ledger_read_events(struct ledger *ledger, uint64_t since, struct event *events, int capacity);

/* ---- roll-ups ---- */

enum rollup_bucket { ROLLUP_MINUTE, ROLLUP_HOUR, ROLLUP_DAY };

/* Days are UTC days. */
struct rollup {
    int64_t  start_s;                      /* of the bucket, UTC seconds */
    uint32_t crossings[OBJECT_CLASSES][2]; /* [class][0: a_to_b, 1: b_to_a] */
    uint32_t entries[OBJECT_CLASSES];
    uint32_t exits[OBJECT_CLASSES];
    uint64_t dwell_ms;    /* summed over the exits */
    uint32_t analysed_ms; /* coverage = analysed_ms / length of the bucket (capped at now) */
    uint32_t elapsed_ms;
    uint64_t last_seq; /* totals only: the last event that is in it */
};

/* Buckets of one counter with from_s <= start_s < to_s, oldest first, only those that hold
 * something. Returns how many were written (at most `capacity`), or a negative code. */
int ledger_read_history(struct ledger *ledger, const char *camera, const char *counter,
                        enum rollup_bucket bucket, int64_t from_s, int64_t to_s,
                        struct rollup *rollups, int capacity);

/* Sum of everything ever counted by one counter; start_s and the coverage are 0. Zero when
 * unknown. */
int ledger_read_total(struct ledger *ledger, const char *camera, const char *counter,
                      struct rollup *total);

struct ledger_health {
    bool     writable;      /* false after a failed commit until one succeeds */
    char     problem[256];  /* what an operator can do; empty when writable */
    uint64_t waiting;       /* events queued and not committed */
    uint64_t lost;          /* events refused because too many waited, since start */
    uint64_t coverage_lost; /* minutes of a camera, likewise: they are gaps in the history */
    uint64_t commits;
    uint64_t failed_commits;
    int64_t  last_commit_ns;              /* duration */
    uint64_t disk_free_bytes, disk_bytes; /* where the ledger lies; both 0: not known (yet) */
};
struct ledger_health ledger_health(struct ledger *ledger);

/* ---- the command line: `sightline ledger ...` ---- */

struct ledger_report {
    uint64_t events;
    uint64_t commits;
    uint64_t first_seq, last_seq;
    int64_t  first_time_ns, last_time_ns;
    uint64_t file_bytes;
    uint64_t counters;
};

/* Counts and sizes. */
int ledger_stats(struct ledger *ledger, struct ledger_report *report, struct why *why);
/* Reads everything: pages sound and used once, sequence dense, hash chain unbroken, every record
 * readable, sums of roll-ups = events. 0, or ERR_CORRUPT with the first thing that is wrong.
 * `progress` (may be NULL) gets 0..1. */
int ledger_verify(struct ledger *ledger, struct ledger_report    *report,
                  void (*progress)(void *arg, double done), void *arg, struct why *why);

#endif
