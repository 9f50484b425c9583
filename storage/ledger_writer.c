/* The writer thread: takes groups from the queue and makes them durable, one after the other. A
 * group leaves the queue only after its commit, so that a failed one loses nothing and keeps its
 * place. */
#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "config/log.h"
#include "config/plural.h"
#include "storage/ledger_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

/* Events of one picture come within microseconds: a group that waits so long has them all, and
 * nobody notices. Under load the groups fill by themselves while the one before is being synced. */
#define LINGER_NS (2 * NS_PER_MS)
_Static_assert(LINGER_NS <= LIMIT_LEDGER_GROUP_MS * NS_PER_MS,
               "a group waits no longer than promised");
/* Coverage is told by the minute; without events it may wait a little to be one commit for all
 * cameras. */
#define COVERAGE_WAITS_NS (10 * NS_PER_S)
#define RETRY_MS          1000
/* While closing, so that a disk that has room again is used within the time left. */
#define RETRY_CLOSING_NS (100 * NS_PER_MS)
#define READER_CHECK_NS  (60 * NS_PER_S)
/* Doublings of the address space for one group. */
#define GROW_MAX 8

struct ledger_work {
    struct event          events[LIMIT_LEDGER_GROUP];
    uint32_t              ids[LIMIT_LEDGER_GROUP];
    struct store_coverage coverage[CHAIN_COVERAGE_MAX];
    struct store_group    group;
    bool                  pending; /* the group failed: the same one is tried again */
    struct store_tail     found;
    uint64_t              safe_commit; /* the last one that is known to be durable */
    uint8_t               safe_hash[CHAIN_HASH_BYTES];
};

static void wait_until(struct ledger *ledger, int64_t until_ns)
{
    struct timespec until = {.tv_sec  = (time_t)(until_ns / NS_PER_S),
                             .tv_nsec = (long)(until_ns % NS_PER_S)};

    pthread_cond_timedwait(&ledger->work, &ledger->lock, &until);
}

static bool coverage_due(const struct ledger *ledger, int64_t now_ns)
{
    if (ledger->coverage_count == 0)
        return false;
    return ledger->queue_count > 0 || ledger->stopping || ledger->flushing > 0 ||
           ledger->coverage_count >= CHAIN_COVERAGE_MAX ||
           now_ns - ledger->coverage_since_ns >= COVERAGE_WAITS_NS;
}

/* Waits for something to do. False at the end. */
static bool wait_for_work(struct ledger *ledger)
{
    int64_t now_ns = clock_monotonic_ns();

    while (ledger->queue_count == 0 && !coverage_due(ledger, now_ns) && !ledger->stopping &&
           now_ns < ledger->reader_check_ns) {
        int64_t until_ns = ledger->reader_check_ns;

        if (ledger->coverage_count > 0 && ledger->coverage_since_ns + COVERAGE_WAITS_NS < until_ns)
            until_ns = ledger->coverage_since_ns + COVERAGE_WAITS_NS;
        wait_until(ledger, until_ns);
        now_ns = clock_monotonic_ns();
    }
    if (ledger->queue_count > 0) {
        int64_t full_ns = now_ns + LINGER_NS;

        while (ledger->queue_count < LIMIT_LEDGER_GROUP && !ledger->stopping &&
               ledger->flushing == 0 && now_ns < full_ns) {
            wait_until(ledger, full_ns);
            now_ns = clock_monotonic_ns();
        }
    }
    return ledger->queue_count > 0 || ledger->coverage_count > 0 || !ledger->stopping;
}

static void take_group(struct ledger *ledger, struct ledger_work *work)
{
    struct store_group *group = &work->group;

    memset(group, 0, sizeof *group);
    group->events    = work->events;
    group->event_ids = work->ids;
    group->coverage  = work->coverage;
    while (group->event_count < LIMIT_LEDGER_GROUP &&
           (size_t)group->event_count < ledger->queue_count) {
        size_t at = (ledger->queue_first + (size_t)group->event_count) % ledger->queue_room;

        work->events[group->event_count] = ledger->queue[at].event;
        work->ids[group->event_count]    = ledger->queue[at].id;
        group->event_count++;
    }
    if (coverage_due(ledger, clock_monotonic_ns())) {
        size_t count = ledger->coverage_count;

        if (count > CHAIN_COVERAGE_MAX)
            count = CHAIN_COVERAGE_MAX;
        memcpy(work->coverage, ledger->coverage, count * sizeof work->coverage[0]);
        group->coverage_count = (int)count;
    }
    ledger->coverage_busy = (size_t)group->coverage_count;
}

static void drop_group(struct ledger *ledger, const struct store_group *group)
{
    size_t events   = (size_t)group->event_count;
    size_t coverage = (size_t)group->coverage_count;

    ASSERT(events <= ledger->queue_count && coverage <= ledger->coverage_count);
    if (events > 0)
        ledger->queue_first = (ledger->queue_first + events) % ledger->queue_room;
    ledger->queue_count -= events;
    ledger->queue_done += events;
    if (coverage > 0)
        memmove(ledger->coverage, ledger->coverage + coverage,
                (ledger->coverage_count - coverage) * sizeof ledger->coverage[0]);
    ledger->coverage_count -= coverage;
    ledger->coverage_done += coverage;
    ledger->coverage_busy = 0;
}

/* ---- committing ---- */

static int grow(struct ledger *ledger, struct why *why)
{
    int rc;

    pthread_rwlock_wrlock(&ledger->env_lock);
    rc = store_grow(&ledger->store, why);
    pthread_rwlock_unlock(&ledger->env_lock);
    return rc;
}

/* After a failed commit LMDB's memory and the kernel's cache may hold what the disk does not.
 * All of it is dropped and read again, and the file is compared with what was acknowledged. */
static int recover(struct ledger *ledger, const struct store_group *group, struct why *why)
{
    struct ledger_work *work  = ledger->work_memory;
    struct store_tail  *found = &work->found;
    int                 rc;

    pthread_rwlock_wrlock(&ledger->env_lock);
    rc = store_reopen(&ledger->store, why);
    pthread_rwlock_unlock(&ledger->env_lock);
    if (rc == 0)
        rc = store_read_tail(&ledger->store, found, why);
    if (rc != 0)
        return rc;
    if (found->commit == work->safe_commit)
        ledger->broken = memcmp(found->hash, work->safe_hash, sizeof found->hash) != 0;
    else
        ledger->broken = found->commit < work->safe_commit ||
                         found->seq != ledger->last_seq + (uint64_t)group->event_count;
    /* A failed group may be in the file all the same. To write it again would count it twice: it is
     * durable as soon as a further commit succeeds. */
    ledger->in_doubt = found->commit > work->safe_commit;
    if (!ledger->broken)
        ledger->tail = *found;
    return 0;
}

static int commit(struct ledger *ledger, const struct store_group *group, struct why *why)
{
    static const struct store_group nothing;
    struct ledger_work             *work = ledger->work_memory;
    int                             rc   = EIO;

    if (ledger->store.env == NULL && (rc = recover(ledger, group, why)) != 0)
        return rc;
    if (ledger->broken)
        return why_set(
            why, ERR_CORRUPT,
            "the disk has lost acknowledged events of the ledger in %s: put back a copy, or "
            "move the folder away to go on with an empty one",
            ledger->store.path);
    for (int i = 0; i <= GROW_MAX; i++) {
        rc = store_commit(&ledger->store, &ledger->tail, ledger->in_doubt ? &nothing : group);
        if (rc != MDB_MAP_FULL || grow(ledger, why) != 0)
            break;
    }
    if (rc == 0) {
        ledger->in_doubt  = false;
        work->safe_commit = ledger->tail.commit;
        memcpy(work->safe_hash, ledger->tail.hash, sizeof work->safe_hash);
        return 0;
    }
    rc = store_why(why, rc, ledger->store.path, "commit");
    /* What stopped this commit is what an operator must know; troubles of the reopening show
     * next time. */
    if (recover(ledger, group, NULL) != 0)
        log_debug("ledger", "not open after a failed commit");
    return rc;
}

static void note_success(struct ledger *ledger, const struct store_group *group, int64_t took_ns)
{
    pthread_mutex_lock(&ledger->lock);
    drop_group(ledger, group);
    if (!ledger->health.writable)
        log_info("ledger", "writes again, with %zu event%s that waited", ledger->queue_count,
                 plural(ledger->queue_count));
    ledger->health.writable       = true;
    ledger->health.problem[0]     = '\0';
    ledger->health.last_commit_ns = took_ns;
    ledger->health.commits++;
    ledger->last_seq = ledger->tail.seq;
    pthread_cond_broadcast(&ledger->written);
    pthread_mutex_unlock(&ledger->lock);
    if (group->event_count > 0 && ledger->settings.wake != NULL)
        ledger->settings.wake(ledger->settings.arg);
}

/* Tells, then pauses. False when there is no time left. */
static bool note_failure(struct ledger *ledger, const struct why *why)
{
    int64_t until_ns, now_ns = clock_monotonic_ns();
    bool    go_on;

    pthread_mutex_lock(&ledger->lock);
    if (ledger->health.writable)
        log_error("ledger", "%s", why->text);
    ledger->health.writable = false;
    snprintf(ledger->health.problem, sizeof ledger->health.problem, "%.255s", why->text);
    ledger->health.failed_commits++;
    until_ns = now_ns +
               (ledger->settings.retry_ms != 0 ? ledger->settings.retry_ms : RETRY_MS) * NS_PER_MS;
    while (now_ns < until_ns) {
        if (ledger->stopping && until_ns > now_ns + RETRY_CLOSING_NS)
            until_ns = now_ns + RETRY_CLOSING_NS;
        wait_until(ledger, until_ns);
        now_ns = clock_monotonic_ns();
    }
    go_on = !ledger->stopping || now_ns < ledger->stop_ns;
    pthread_mutex_unlock(&ledger->lock);
    return go_on;
}

/* Here, as the loop must not wait for a disk. */
static void check_disk(struct ledger *ledger)
{
    struct statvfs disk;

    if (statvfs(ledger->store.path, &disk) != 0)
        return;
    pthread_mutex_lock(&ledger->lock);
    ledger->health.disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    ledger->health.disk_bytes      = (uint64_t)disk.f_blocks * disk.f_frsize;
    pthread_mutex_unlock(&ledger->lock);
}

static void check_readers(struct ledger *ledger)
{
    int     dead   = 0;
    int64_t now_ns = clock_monotonic_ns();

    if (now_ns < ledger->reader_check_ns)
        return;
    ledger->reader_check_ns = now_ns + READER_CHECK_NS;
    check_disk(ledger);
    /* A killed reader would keep every page that it saw from being used again. */
    if (ledger->store.env != NULL && mdb_reader_check(ledger->store.env, &dead) == 0 && dead > 0)
        log_info("ledger", "%d dead readers cleared", dead);
}

/* The next group, or the one that failed. False at the end. */
static bool next_group(struct ledger *ledger, struct ledger_work *work)
{
    bool go_on = true;

    if (work->pending)
        return true;
    pthread_mutex_lock(&ledger->lock);
    go_on = wait_for_work(ledger);
    take_group(ledger, work);
    pthread_mutex_unlock(&ledger->lock);
    check_readers(ledger);
    return go_on;
}

static void *writer_main(void *arg)
{
    struct ledger      *ledger = arg;
    struct ledger_work *work   = ledger->work_memory;
    struct why          why;

    pthread_setname_np(pthread_self(), "ledger");
    while (next_group(ledger, work)) {
        int64_t started_ns = clock_monotonic_ns();

        if (work->group.event_count == 0 && work->group.coverage_count == 0)
            continue;
        work->pending = commit(ledger, &work->group, &why) != 0;
        if (!work->pending)
            note_success(ledger, &work->group, clock_monotonic_ns() - started_ns);
        else if (!note_failure(ledger, &why))
            break;
    }
    return NULL;
}

int ledger_writer_start(struct ledger *ledger)
{
    struct ledger_work *work = calloc(1, sizeof *work);

    if (work == NULL)
        return ERR_MEMORY;
    work->safe_commit = ledger->tail.commit;
    memcpy(work->safe_hash, ledger->tail.hash, sizeof work->safe_hash);
    ledger->work_memory     = work;
    ledger->reader_check_ns = clock_monotonic_ns() + READER_CHECK_NS;
    check_disk(ledger);
    if (pthread_create(&ledger->writer, NULL, writer_main, ledger) != 0) {
        free(work);
        return ERR_MEMORY;
    }
    ledger->writer_runs = true;
    return 0;
}

void ledger_writer_stop(struct ledger *ledger)
{
    pthread_join(ledger->writer, NULL);
    free(ledger->work_memory);
    ledger->writer_runs = false;
}
