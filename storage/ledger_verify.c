/* Counting and proving: `sightline ledger stats` and `verify`.
 *
 * That the roll-ups are the sums of the events is proved without holding them: each event adds,
 * and each roll-up's cell takes away, a number that a keyed hash gives for (bucket, cell). Per
 * counter and kind of bucket one sum is kept; it ends at zero if all agree, and by chance with a
 * probability of 2^-64. */
#include "config/clock.h"
#include "config/err.h"
#include "storage/ledger_state.h"
#include "storage/page_check.h"
#include "storage/rollup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The three kinds of bucket, and the totals. */
#define KINDS 4
#define TOTAL ROLLUP_BUCKETS

/* Parts of the work, for the progress. */
#define PAGES_SHARE 0.4

/* A writer commits several times a second; a check of the pages begins again if it was too slow
 * to start. */
#define SNAPSHOT_TRIES 100

enum weight { WEIGHT_DWELL = 4 * OBJECT_CLASSES, WEIGHT_ANALYSED, WEIGHT_ELAPSED };

struct balance {
    uint64_t sums[KINDS];
};

struct verify {
    struct ledger        *ledger;
    struct ledger_report *report;
    struct why           *why;
    uint8_t               key[crypto_shorthash_KEYBYTES];
    struct balance       *balances; /* [counter's number] */
    uint32_t              names;
    void (*progress)(void *arg, double done);
    void *arg;
};

static uint64_t weight(const struct verify *verify, uint64_t bucket, unsigned what)
{
    uint8_t  text[9], hash[crypto_shorthash_BYTES];
    uint64_t number;

    big_endian_put(text, bucket, 8);
    text[8] = (uint8_t)what;
    crypto_shorthash(hash, text, sizeof text, verify->key);
    memcpy(&number, hash, sizeof number);
    return number;
}

static uint64_t weigh(const struct verify *verify, uint64_t bucket, const struct rollup *rollup)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < OBJECT_CLASSES; i++) {
        uint32_t cells[4] = {rollup->crossings[i][0], rollup->crossings[i][1], rollup->entries[i],
                             rollup->exits[i]};

        for (unsigned cell = 0; cell < 4; cell++) {
            if (cells[cell] != 0)
                sum += cells[cell] * weight(verify, bucket, 4 * i + cell);
        }
    }
    if (rollup->dwell_ms != 0)
        sum += rollup->dwell_ms * weight(verify, bucket, WEIGHT_DWELL);
    if (rollup->analysed_ms != 0)
        sum += rollup->analysed_ms * weight(verify, bucket, WEIGHT_ANALYSED);
    if (rollup->elapsed_ms != 0)
        sum += rollup->elapsed_ms * weight(verify, bucket, WEIGHT_ELAPSED);
    return sum;
}

static int add(struct verify *verify, uint32_t id, int64_t time_s, const struct rollup *one)
{
    if (id > verify->names)
        return why_set(verify->why, ERR_CORRUPT,
                       "the ledger in %s is damaged: no counter has number %u",
                       verify->ledger->store.path, (unsigned)id);
    for (int bucket = 0; bucket < ROLLUP_BUCKETS; bucket++)
        verify->balances[id].sums[bucket] += weigh(
            verify, (uint64_t)(time_s / rollup_bucket_s((enum rollup_bucket)bucket)), one);
    return 0;
}

static int count_event(void *arg, const struct event *event, uint32_t id)
{
    struct verify        *verify = arg;
    struct ledger_report *report = verify->report;
    struct rollup         one    = {0};
    int                   rc;

    if (report->events++ == 0) {
        report->first_seq     = event->seq;
        report->first_time_ns = event->time_ns;
    }
    report->last_seq     = event->seq;
    report->last_time_ns = event->time_ns;
    rollup_add_event(&one, event);
    if ((rc = add(verify, id, event->time_ns / NS_PER_S, &one)) != 0)
        return rc;
    verify->balances[id].sums[TOTAL] += weigh(verify, 0, &one);
    return 0;
}

static int count_coverage(void *arg, const struct coverage *coverage)
{
    struct verify *verify = arg;
    struct rollup  one = {.analysed_ms = coverage->analysed_ms, .elapsed_ms = coverage->elapsed_ms};
    int            rc  = 0;

    for (uint32_t i = 0; i < coverage->id_count && rc == 0; i++)
        rc = add(verify, coverage->ids[i], coverage->minute * 60, &one);
    return rc;
}

/* ---- the roll-ups ---- */

static bool subtract_row(struct verify *verify, int bucket, uint64_t row, uint32_t id,
                         const MDB_val *value)
{
    struct bytes_reader in   = {.at = value->mv_data, .end = value->mv_data};
    int                 slot = -1, before = -1;
    struct rollup       rollup;

    in.end += value->mv_size;
    while (rollup_row_next(&in, before, &slot, &rollup)) {
        uint64_t number = row * (uint64_t)rollup_row_slots((enum rollup_bucket)bucket) +
                          (uint64_t)slot;

        if (slot >= rollup_row_slots((enum rollup_bucket)bucket))
            return false;
        before = slot;
        verify->balances[id].sums[bucket] -= weigh(verify, number, &rollup);
    }
    return !in.failed;
}

static bool subtract_total(struct verify *verify, uint32_t id, const MDB_val *value)
{
    struct bytes_reader in = {.at = value->mv_data, .end = value->mv_data};
    struct rollup       total;

    in.end += value->mv_size;
    varint_take(&in);
    if (!rollup_take(&in, &total) || in.at != in.end)
        return false;
    verify->balances[id].sums[TOTAL] -= weigh(verify, 0, &total);
    return true;
}

static const char *kind_name(int kind)
{
    static const char *const names[KINDS] = {"minute", "hour", "day", "total"};

    return names[kind];
}

static int subtract_table(struct verify *verify, MDB_txn *txn, int kind)
{
    MDB_dbi table =
        verify->ledger->store.tables[kind == TOTAL ? STORE_TOTALS : STORE_MINUTES + kind];
    size_t      key_bytes = kind == TOTAL ? 4 : 8;
    MDB_cursor *cursor;
    MDB_val     key, value;
    int         rc = mdb_cursor_open(txn, table, &cursor);

    if (rc != 0)
        return store_why(verify->why, rc, verify->ledger->store.path, "read its roll-ups");
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        uint64_t row = 0, id = 0;
        bool     good = key.mv_size == key_bytes;

        if (good) {
            row  = kind == TOTAL ? 0 : big_endian_get(key.mv_data, 4);
            id   = big_endian_get((const uint8_t *)key.mv_data + key_bytes - 4, 4);
            good = id >= 1 && id <= verify->names;
        }
        if (good)
            good = kind == TOTAL ? subtract_total(verify, (uint32_t)id, &value)
                                 : subtract_row(verify, kind, row, (uint32_t)id, &value);
        if (!good) {
            mdb_cursor_close(cursor);
            return why_set(verify->why, ERR_CORRUPT,
                           "the ledger in %s is damaged: unreadable roll-up (%s) of counter %llu",
                           verify->ledger->store.path, kind_name(kind), (unsigned long long)id);
        }
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND
               ? 0
               : store_why(verify->why, rc, verify->ledger->store.path, "read its roll-ups");
}

static int check_balances(struct verify *verify)
{
    for (uint32_t id = 1; id <= verify->names; id++) {
        for (int kind = 0; kind < KINDS; kind++) {
            char camera[LIMIT_NAME_BYTES], counter[LIMIT_NAME_BYTES];

            if (verify->balances[id].sums[kind] == 0)
                continue;
            if (!names_get(verify->ledger->store.names, id, camera, counter))
                camera[0] = counter[0] = '\0';
            return why_set(
                verify->why, ERR_CORRUPT,
                "the ledger in %s is damaged: the roll-ups by %s of %s/%s are not the sums of "
                "its events",
                verify->ledger->store.path, kind_name(kind), camera, counter);
        }
    }
    return 0;
}

/* ---- the whole ---- */

static void report_pages(void *arg, double done)
{
    struct verify *verify = arg;

    verify->progress(verify->arg, done * PAGES_SHARE);
}

static void report_chain(void *arg, double done)
{
    struct verify *verify = arg;

    verify->progress(verify->arg, PAGES_SHARE + done * (1 - PAGES_SHARE));
}

static uint64_t file_bytes(const struct ledger *ledger)
{
    char        path[LIMIT_PATH_BYTES + 16];
    struct stat info;

    snprintf(path, sizeof path, "%s/data.mdb", ledger->store.path);
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* The pages of one snapshot, on which the rest of the check then stands. */
static int begin_checked(struct verify *verify, MDB_txn **txn)
{
    int rc = ERR_AGAIN;

    for (int i = 0; i < SNAPSHOT_TRIES && rc == ERR_AGAIN; i++) {
        if ((rc = store_begin_read(&verify->ledger->store, txn, verify->why)) != 0)
            return rc;
        rc = page_check_snapshot(verify->ledger->store.path, mdb_txn_id(*txn), true,
                                 verify->progress != NULL ? report_pages : NULL, verify,
                                 verify->why);
        if (rc != 0)
            mdb_txn_abort(*txn);
    }
    if (rc == ERR_AGAIN)
        why_set(verify->why, rc, "the ledger in %s changes too fast to be checked: try again",
                verify->ledger->store.path);
    return rc;
}

static int verify_snapshot(struct verify *verify, MDB_txn *txn)
{
    struct store_check check = {.event        = count_event,
                                .coverage     = count_coverage,
                                .progress     = verify->progress != NULL ? report_chain : NULL,
                                .arg          = verify,
                                .progress_arg = verify};
    struct store      *store = &verify->ledger->store;
    struct chain_link  link;
    int                rc;

    /* A writer's own names may be ahead of the file. */
    verify->names    = names_count(store->names);
    verify->balances = calloc((size_t)verify->names + 1, sizeof verify->balances[0]);
    if (verify->balances == NULL)
        return why_set(verify->why, ERR_MEMORY, "out of memory to check the ledger in %s",
                       store->path);
    rc = store_check_chain(store, txn, 1, &check, verify->why);
    for (int kind = 0; kind < KINDS && rc == 0; kind++)
        rc = subtract_table(verify, txn, kind);
    if (rc == 0)
        rc = check_balances(verify);
    if (rc == 0) {
        rc = store_last_link(store, txn, &verify->report->commits, &link);
        rc = rc == MDB_NOTFOUND ? 0
                                : store_why(verify->why, rc, store->path, "read its last commit");
    }
    free(verify->balances);
    return rc;
}

int ledger_verify(struct ledger *ledger, struct ledger_report    *report,
                  void (*progress)(void *arg, double done), void *arg, struct why *why)
{
    struct verify verify = {
        .ledger = ledger, .report = report, .why = why, .progress = progress, .arg = arg};
    MDB_txn *txn;
    int      rc;

    memset(report, 0, sizeof *report);
    crypto_shorthash_keygen(verify.key);
    pthread_rwlock_rdlock(&ledger->env_lock);
    if ((rc = begin_checked(&verify, &txn)) == 0) {
        rc = verify_snapshot(&verify, txn);
        mdb_txn_abort(txn);
    }
    pthread_rwlock_unlock(&ledger->env_lock);
    report->file_bytes = file_bytes(ledger);
    report->counters   = verify.names;
    if (rc == 0 && progress != NULL)
        progress(arg, 1);
    return rc;
}

/* The time of one event; 0 when it cannot be read. */
static int64_t time_of(struct ledger *ledger, uint64_t seq)
{
    struct event event;

    return ledger_read_events(ledger, seq - 1, &event, 1) == 1 ? event.time_ns : 0;
}

int ledger_stats(struct ledger *ledger, struct ledger_report *report, struct why *why)
{
    struct chain_link link = {.last_seq = 0};
    MDB_txn          *txn;
    int               rc;

    memset(report, 0, sizeof *report);
    pthread_rwlock_rdlock(&ledger->env_lock);
    if ((rc = store_begin_read(&ledger->store, &txn, why)) == 0) {
        rc = store_last_link(&ledger->store, txn, &report->commits, &link);
        rc = rc == MDB_NOTFOUND ? 0
                                : store_why(why, rc, ledger->store.path, "read its last commit");
        mdb_txn_abort(txn);
    }
    pthread_rwlock_unlock(&ledger->env_lock);
    if (rc != 0)
        return rc;
    report->counters   = names_count(ledger->store.names);
    report->file_bytes = file_bytes(ledger);
    /* Dense from 1. */
    report->events = report->last_seq = link.last_seq;
    if (link.last_seq > 0) {
        report->first_seq     = 1;
        report->first_time_ns = time_of(ledger, 1);
        report->last_time_ns  = time_of(ledger, link.last_seq);
    }
    return 0;
}
