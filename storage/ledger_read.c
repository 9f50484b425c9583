/* Reading: short transactions on the caller's thread, that touch only what was asked for. */
#include "config/assert.h"
#include "config/err.h"
#include "storage/ledger_state.h"
#include "storage/rollup.h"

#include <string.h>

static int begin(struct ledger *ledger, MDB_txn **txn)
{
    int rc;

    pthread_rwlock_rdlock(&ledger->env_lock);
    rc = store_begin_read(&ledger->store, txn, NULL);
    if (rc != 0)
        pthread_rwlock_unlock(&ledger->env_lock);
    return rc;
}

static void end(struct ledger *ledger, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    pthread_rwlock_unlock(&ledger->env_lock);
}

uint64_t ledger_last_seq(const struct ledger *ledger)
{
    /* Beside another process's writer the file itself is asked. */
    struct ledger    *readable = (struct ledger *)(uintptr_t)ledger;
    struct chain_link link     = {.last_seq = 0};
    uint64_t          commit;
    MDB_txn          *txn;

    if (!ledger->settings.read_only)
        return ledger->last_seq;
    if (begin(readable, &txn) != 0)
        return 0;
    if (store_last_link(&readable->store, txn, &commit, &link) != 0)
        link.last_seq = 0;
    end(readable, txn);
    return link.last_seq;
}

/* ---- events ---- */

static int read_blocks(struct ledger *ledger, MDB_cursor *cursor, uint64_t since, uint64_t until,
                       struct event *events, int capacity)
{
    MDB_val key, value;
    int     count = 0;
    int     rc    = store_seek_events(cursor, since + 1, &key, &value);

    while (rc == 0 && count < capacity) {
        struct block_reader reader;
        int                 more;

        if (key.mv_size != 8 ||
            block_open(&reader, ledger->store.names, big_endian_get(key.mv_data, 8), value.mv_data,
                       value.mv_size) != 0)
            return ERR_CORRUPT;
        while (count < capacity && (more = block_next(&reader, &events[count])) != 0) {
            if (more < 0)
                return ERR_CORRUPT;
            if (events[count].seq > until)
                return count;
            if (events[count].seq > since)
                count++;
        }
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return rc == 0 || rc == MDB_NOTFOUND ? count : ERR_IO;
}

int ledger_read_events(struct ledger *ledger, uint64_t since, struct event *events, int capacity)
{
    /* What a commit under way has written is not acknowledged yet. */
    uint64_t    until = ledger->settings.read_only ? UINT64_MAX : ledger->last_seq;
    MDB_cursor *cursor;
    MDB_txn    *txn;
    int         rc;

    if (since >= until || capacity <= 0)
        return 0;
    if ((rc = begin(ledger, &txn)) != 0)
        return rc;
    if (mdb_cursor_open(txn, ledger->store.tables[STORE_EVENTS], &cursor) != 0) {
        rc = ERR_IO;
    } else {
        memset(events, 0, (size_t)capacity * sizeof events[0]);
        rc = read_blocks(ledger, cursor, since, until, events, capacity);
        mdb_cursor_close(cursor);
    }
    end(ledger, txn);
    return rc;
}

/* ---- roll-ups ---- */

struct history {
    enum rollup_bucket bucket;
    uint32_t           id;
    int64_t            from_s, to_s;
    struct rollup     *rollups;
    int                capacity, count;
};

static int read_row(struct history *history, uint32_t row, const MDB_val *value)
{
    struct bytes_reader in   = {.at = value->mv_data};
    int                 slot = -1, before = -1;
    struct rollup       rollup;

    in.end = in.at + value->mv_size;
    while (rollup_row_next(&in, before, &slot, &rollup)) {
        before         = slot;
        rollup.start_s = ((int64_t)row * rollup_row_slots(history->bucket) + slot) *
                         rollup_bucket_s(history->bucket);
        if (rollup.start_s >= history->to_s || history->count == history->capacity)
            return 0;
        if (rollup.start_s >= history->from_s)
            history->rollups[history->count++] = rollup;
    }
    return in.failed ? ERR_CORRUPT : 0;
}

/* Row by row; a stretch without any counter's rows is skipped in one step. */
static int read_rows(struct history *history, MDB_cursor *cursor)
{
    int64_t row_s = rollup_row_slots(history->bucket) * rollup_bucket_s(history->bucket);
    int64_t row   = history->from_s / row_s;
    int     rc    = 0;

    while (row <= UINT32_MAX && row * row_s < history->to_s && history->count < history->capacity) {
        uint8_t  row_key[8];
        MDB_val  key = {.mv_data = row_key, .mv_size = sizeof row_key}, value;
        uint32_t found_row, found_id;

        big_endian_put(row_key, (uint64_t)row, 4);
        big_endian_put(row_key + 4, history->id, 4);
        rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        if (rc != 0)
            return rc == MDB_NOTFOUND ? 0 : ERR_IO;
        if (key.mv_size != 8)
            return ERR_CORRUPT;
        found_row = (uint32_t)big_endian_get(key.mv_data, 4);
        found_id  = (uint32_t)big_endian_get((const uint8_t *)key.mv_data + 4, 4);
        if (found_row == row && found_id == history->id) {
            if ((rc = read_row(history, found_row, &value)) != 0)
                return rc;
            row++;
        } else {
            row = (int64_t)found_row + (found_id > history->id);
        }
    }
    return 0;
}

int ledger_read_history(struct ledger *ledger, const char *camera, const char *counter,
                        enum rollup_bucket bucket, int64_t from_s, int64_t to_s,
                        struct rollup *rollups, int capacity)
{
    struct history history = {.bucket   = bucket,
                              .from_s   = from_s < 0 ? 0 : from_s,
                              .to_s     = to_s,
                              .rollups  = rollups,
                              .capacity = capacity};
    MDB_cursor    *cursor;
    MDB_txn       *txn;
    int            rc;

    ASSERT(bucket >= ROLLUP_MINUTE && bucket <= ROLLUP_DAY);
    if ((rc = begin(ledger, &txn)) != 0)
        return rc;
    if (names_find(ledger->store.names, camera, counter, &history.id)) {
        if (mdb_cursor_open(txn, ledger->store.tables[STORE_MINUTES + bucket], &cursor) != 0) {
            rc = ERR_IO;
        } else {
            rc = read_rows(&history, cursor);
            mdb_cursor_close(cursor);
        }
    }
    end(ledger, txn);
    return rc != 0 ? rc : history.count;
}

int ledger_read_total(struct ledger *ledger, const char *camera, const char *counter,
                      struct rollup *total)
{
    uint8_t  id_bytes[4];
    MDB_val  key = {.mv_data = id_bytes, .mv_size = sizeof id_bytes}, value;
    MDB_txn *txn;
    uint32_t id;
    int      rc;

    memset(total, 0, sizeof *total);
    if ((rc = begin(ledger, &txn)) != 0)
        return rc;
    if (names_find(ledger->store.names, camera, counter, &id)) {
        big_endian_put(id_bytes, id, sizeof id_bytes);
        rc = mdb_get(txn, ledger->store.tables[STORE_TOTALS], &key, &value);
        if (rc == 0) {
            struct bytes_reader in = {.at = value.mv_data, .end = value.mv_data};
            uint64_t            last_seq;

            in.end += value.mv_size;
            last_seq = varint_take(&in);
            if (!rollup_take(&in, total)) {
                rc = ERR_CORRUPT;
                memset(total, 0, sizeof *total);
            }
            total->last_seq = last_seq;
        } else {
            rc = rc == MDB_NOTFOUND ? 0 : ERR_IO;
        }
    }
    end(ledger, txn);
    return rc;
}
