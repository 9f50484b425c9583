/* storage/ledger_state.h: what the files of the ledger share, and which lock holds what.
 *
 * Order: env_lock, then lock. The writer thread takes env_lock for writing only to close and
 * open LMDB's environment again; whoever reads holds it for reading while his transaction lives. */
#ifndef SIGHTLINE_STORAGE_LEDGER_STATE_H
#define SIGHTLINE_STORAGE_LEDGER_STATE_H

#include "storage/ledger.h"
#include "storage/store.h"

#include <pthread.h>
#include <stdatomic.h>

/* Coverage that waits: ten minutes of every camera; past it a minute is a gap in the history. */
#define LEDGER_COVERAGE_QUEUE ((size_t)10 * LIMIT_CAMERAS)

struct ledger_queued {
    struct event event;
    uint32_t     id; /* of its counter */
};

struct ledger {
    struct store           store; /* opened and closed under env_lock; the writer alone commits */
    struct ledger_settings settings; /* immutable */
    pthread_rwlock_t       env_lock;
    pthread_t              writer;
    bool                   writer_runs;
    _Atomic uint64_t       last_seq; /* acknowledged */

    /* The writer thread's own. */
    void             *work_memory; /* struct ledger_work */
    struct store_tail tail;
    bool    in_doubt; /* a failed commit was found in the file: not yet known to be durable */
    bool    broken;   /* acknowledged events are gone: nothing may be written over it */
    int64_t reader_check_ns;

    /* The loop thread's own. */
    uint64_t      dispatched_seq;
    bool          dispatch_failed;
    struct event *dispatching; /* [LIMIT_LEDGER_GROUP] */

    pthread_mutex_t        lock;    /* a leaf; all below is under it */
    pthread_cond_t         work;    /* something to write, or the end */
    pthread_cond_t         written; /* something was committed */
    struct ledger_queued  *queue;   /* a ring that grows up to LIMIT_LEDGER_QUEUE */
    size_t                 queue_room, queue_first, queue_count;
    uint64_t               queue_put, queue_done; /* events that ever came and went */
    struct store_coverage *coverage;
    size_t                 coverage_room, coverage_count;
    size_t                 coverage_busy; /* the first ones, in the commit under way */
    uint64_t               coverage_put, coverage_done;
    int64_t                coverage_since_ns; /* when the oldest came */
    int                    flushing;          /* callers of ledger_flush() */
    bool                   stopping;
    int64_t                stop_ns; /* when the writer gives up */
    struct ledger_health   health;
};

/* The writer thread (storage/ledger_writer.c). */
int  ledger_writer_start(struct ledger *ledger);
void ledger_writer_stop(struct ledger *ledger);

#endif
