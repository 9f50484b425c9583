#include "storage/store.h"

#include "config/err.h"

#include <stdlib.h>
#include <string.h>

/* Commits whose hashes and events are checked when a ledger is opened: the last ones are what a
 * crash could have touched. */
#define TAIL_COMMITS 64

static int load_name(struct store *store, const MDB_val *key, const MDB_val *value)
{
    char        text[2 * LIMIT_NAME_BYTES] = {0};
    const char *end;
    size_t      camera_bytes;

    if (key->mv_size != 4 || value->mv_size >= sizeof text)
        return ERR_CORRUPT;
    memcpy(text, value->mv_data, value->mv_size);
    end = memchr(text, '\0', value->mv_size);
    if (end == NULL)
        return ERR_CORRUPT;
    camera_bytes = (size_t)(end - text);
    if (camera_bytes == 0 || camera_bytes >= LIMIT_NAME_BYTES ||
        value->mv_size - camera_bytes - 1 >= LIMIT_NAME_BYTES ||
        strlen(end + 1) != value->mv_size - camera_bytes - 1 || end[1] == '\0')
        return ERR_CORRUPT;
    return names_load(store->names, (uint32_t)big_endian_get(key->mv_data, 4), text, end + 1);
}

/* Names that this process does not know yet: all at the start, later those of another process's
 * writer. */
static int load_names(struct store *store, MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val     key, value;
    uint8_t     id_bytes[4];
    int         rc = mdb_cursor_open(txn, store->tables[STORE_NAMES], &cursor);

    if (rc != 0)
        return rc;
    big_endian_put(id_bytes, names_count(store->names) + 1, sizeof id_bytes);
    key = (MDB_val){.mv_data = id_bytes, .mv_size = sizeof id_bytes};
    rc  = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (rc == 0) {
        if (load_name(store, &key, &value) != 0)
            rc = MDB_CORRUPTED;
        else
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int store_begin_read(struct store *store, MDB_txn **txn, struct why *why)
{
    int rc;

    *txn = NULL;
    if (store->env == NULL)
        return why_set(why, ERR_IO, "the ledger in %s is being opened again after a failed write",
                       store->path);
    rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, txn);
    if (rc == MDB_MAP_RESIZED && (rc = mdb_env_set_mapsize(store->env, 0)) == 0)
        rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, txn);
    if (rc == 0 && store->read_only && (rc = load_names(store, *txn)) != 0) {
        mdb_txn_abort(*txn);
        *txn = NULL;
    }
    return rc == 0 ? 0 : store_why(why, rc, store->path, "read it");
}

int store_last_link(struct store *store, MDB_txn *txn, uint64_t *commit, struct chain_link *link)
{
    MDB_cursor *cursor;
    MDB_val     key, value;
    int         rc = mdb_cursor_open(txn, store->tables[STORE_COMMITS], &cursor);

    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    if (rc == 0 && (key.mv_size != 8 || chain_take_link(link, value.mv_data, value.mv_size) != 0))
        rc = MDB_CORRUPTED;
    if (rc == 0)
        *commit = big_endian_get(key.mv_data, 8);
    mdb_cursor_close(cursor);
    return rc;
}

int store_seek_events(MDB_cursor *cursor, uint64_t seq, MDB_val *key, MDB_val *value)
{
    uint8_t seq_bytes[8];
    int     rc;

    big_endian_put(seq_bytes, seq, sizeof seq_bytes);
    *key = (MDB_val){.mv_data = seq_bytes, .mv_size = sizeof seq_bytes};
    rc   = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (rc == MDB_NOTFOUND)
        rc = mdb_cursor_get(cursor, key, value, MDB_LAST);
    else if (rc == 0 && key->mv_size == 8 && big_endian_get(key->mv_data, 8) != seq)
        rc = mdb_cursor_get(cursor, key, value, MDB_PREV);
    /* Before the first block: begin with it. */
    if (rc == MDB_NOTFOUND)
        rc = mdb_cursor_get(cursor, key, value, MDB_FIRST);
    return rc == 0 && key->mv_size != 8 ? MDB_CORRUPTED : rc;
}

/* ---- the chain ---- */

/* A walk over links and events side by side. */
struct walk {
    struct store             *store;
    MDB_cursor               *commits;
    MDB_cursor               *events;
    struct block_reader       block;
    bool                      block_is_open;
    uint64_t                  commit;
    uint64_t                  seq; /* events up to here were seen */
    uint64_t                  last_commit;
    uint8_t                   hash[CHAIN_HASH_BYTES];
    const struct store_check *check;
    struct why               *why;
};

static int damaged(struct walk *walk, const char *what, uint64_t number)
{
    return why_set(walk->why, ERR_CORRUPT, "the ledger in %s is damaged: %s %llu",
                   walk->store->path, what, (unsigned long long)number);
}

static int next_event(struct walk *walk, struct event *event)
{
    MDB_val key, value;
    int     rc = walk->block_is_open ? block_next(&walk->block, event) : 0;

    if (rc == 0) {
        if (mdb_cursor_get(walk->events, &key, &value,
                           walk->block_is_open ? MDB_NEXT : MDB_FIRST) != 0 ||
            key.mv_size != 8 || big_endian_get(key.mv_data, 8) != walk->seq + 1)
            return damaged(walk, "there is no event", walk->seq + 1);
        walk->block_is_open = true;
        if (block_open(&walk->block, walk->store->names, walk->seq + 1, value.mv_data,
                       value.mv_size) != 0)
            return damaged(walk, "unreadable event", walk->seq + 1);
        rc = block_next(&walk->block, event);
    }
    if (rc != 1)
        return damaged(walk, "unreadable event", walk->seq + 1);
    walk->seq++;
    return 0;
}

static int check_events(struct walk *walk, struct chain *chain, uint64_t last_seq)
{
    struct event event;
    int          rc;

    memset(&event, 0, sizeof event);
    if (last_seq < walk->seq)
        return damaged(walk, "wrong sequence number in commit", walk->commit);
    while (walk->seq < last_seq) {
        if ((rc = next_event(walk, &event)) != 0)
            return rc;
        chain_event(chain, &event);
        if (walk->check->event != NULL &&
            (rc = walk->check->event(walk->check->arg, &event, walk->block.id)) != 0)
            return rc;
    }
    return 0;
}

static int check_coverage(struct walk *walk, struct chain *chain, struct chain_link *link)
{
    struct coverage coverage;
    int             rc;

    for (uint32_t i = 0; i < link->coverage_count; i++) {
        if (chain_take_coverage(link, &coverage) != 0 ||
            chain_coverage(chain, walk->store->names, &coverage) != 0)
            return damaged(walk, "unreadable coverage in commit", walk->commit);
        if (walk->check->coverage != NULL &&
            (rc = walk->check->coverage(walk->check->arg, &coverage)) != 0)
            return rc;
    }
    if (link->coverage.at != link->coverage.end)
        return damaged(walk, "unreadable coverage in commit", walk->commit);
    return 0;
}

static int check_link(struct walk *walk, const MDB_val *key, const MDB_val *value)
{
    struct chain_link link;
    struct chain      chain;
    int               rc;

    if (key->mv_size != 8 || big_endian_get(key->mv_data, 8) != walk->commit + 1)
        return damaged(walk, "there is no commit", walk->commit + 1);
    walk->commit++;
    if (chain_take_link(&link, value->mv_data, value->mv_size) != 0)
        return damaged(walk, "unreadable commit", walk->commit);
    chain_begin(&chain, walk->hash, walk->commit);
    if ((rc = check_events(walk, &chain, link.last_seq)) != 0 ||
        (rc = check_coverage(walk, &chain, &link)) != 0)
        return rc;
    chain_end(&chain, walk->hash);
    if (memcmp(walk->hash, link.hash, CHAIN_HASH_BYTES) != 0)
        return damaged(walk, "something was changed in, or before, commit", walk->commit);
    return 0;
}

/* Places the walk behind commit `first` - 1, whose link is taken as it is. */
static int start_walk(struct walk *walk, uint64_t first)
{
    struct chain_link link;
    uint8_t           number[8];
    MDB_val           key = {.mv_data = number, .mv_size = sizeof number}, value;
    struct event      event;
    int               rc;

    if (first <= 1)
        return 0;
    big_endian_put(number, first - 1, sizeof number);
    if (mdb_cursor_get(walk->commits, &key, &value, MDB_SET) != 0 ||
        chain_take_link(&link, value.mv_data, value.mv_size) != 0)
        return damaged(walk, "there is no commit", first - 1);
    walk->commit = first - 1;
    memcpy(walk->hash, link.hash, CHAIN_HASH_BYTES);
    if (link.last_seq == 0)
        return 0;
    /* The block that holds the first event to come, read up to the one before it. */
    if (store_seek_events(walk->events, link.last_seq, &key, &value) != 0)
        return damaged(walk, "there is no event", link.last_seq);
    walk->seq           = big_endian_get(key.mv_data, 8) - 1;
    walk->block_is_open = true;
    if (walk->seq >= link.last_seq || block_open(&walk->block, walk->store->names, walk->seq + 1,
                                                 value.mv_data, value.mv_size) != 0)
        return damaged(walk, "unreadable event", link.last_seq);
    while (walk->seq < link.last_seq) {
        if ((rc = next_event(walk, &event)) != 0)
            return rc;
    }
    return 0;
}

static int walk_links(struct walk *walk, uint64_t first)
{
    MDB_val key, value;
    int     rc;

    if (mdb_cursor_get(walk->commits, &key, &value, MDB_LAST) == 0 && key.mv_size == 8)
        walk->last_commit = big_endian_get(key.mv_data, 8);
    if ((rc = start_walk(walk, first)) != 0)
        return rc;
    rc = mdb_cursor_get(walk->commits, &key, &value, first <= 1 ? MDB_FIRST : MDB_NEXT);
    while (rc == 0) {
        if ((rc = check_link(walk, &key, &value)) != 0)
            return rc;
        if (walk->check->progress != NULL && walk->commit % 256 == 0)
            walk->check->progress(walk->check->progress_arg,
                                  (double)walk->commit / (double)walk->last_commit);
        rc = mdb_cursor_get(walk->commits, &key, &value, MDB_NEXT);
    }
    if (rc != MDB_NOTFOUND)
        return store_why(walk->why, rc, walk->store->path, "read its commits");
    if (walk->block_is_open && walk->block.in.at != walk->block.in.end)
        return damaged(walk, "an event without a commit:", walk->seq + 1);
    rc = mdb_cursor_get(walk->events, &key, &value, walk->block_is_open ? MDB_NEXT : MDB_FIRST);
    if (rc != MDB_NOTFOUND)
        return damaged(walk, "an event without a commit:", walk->seq + 1);
    return 0;
}

int store_check_chain(struct store *store, MDB_txn *txn, uint64_t first,
                      const struct store_check *check, struct why *why)
{
    struct walk walk = {.store = store, .check = check, .why = why};
    int         rc   = mdb_cursor_open(txn, store->tables[STORE_COMMITS], &walk.commits);

    if (rc != 0)
        return store_why(why, rc, store->path, "read its commits");
    rc = mdb_cursor_open(txn, store->tables[STORE_EVENTS], &walk.events);
    if (rc == 0)
        rc = walk_links(&walk, first);
    else
        rc = store_why(why, rc, store->path, "read its events");
    if (walk.events != NULL)
        mdb_cursor_close(walk.events);
    mdb_cursor_close(walk.commits);
    return rc;
}

/* ---- the tail ---- */

/* Takes over the newest block, so that the next event joins it. */
static int load_block(struct store *store, MDB_txn *txn, struct store_tail *tail)
{
    MDB_cursor         *cursor;
    MDB_val             key, value;
    struct block_reader reader;
    struct event        event;
    int                 rc = mdb_cursor_open(txn, store->tables[STORE_EVENTS], &cursor);

    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    if (rc == 0 && (key.mv_size != 8 || value.mv_size > BLOCK_BYTES))
        rc = MDB_CORRUPTED;
    if (rc == 0) {
        tail->block.first_seq = big_endian_get(key.mv_data, 8);
        tail->block.bytes     = value.mv_size;
        memcpy(tail->block.data, value.mv_data, value.mv_size);
    }
    mdb_cursor_close(cursor);
    if (rc != 0)
        return rc == MDB_NOTFOUND ? 0 : rc;
    rc = block_open(&reader, store->names, tail->block.first_seq, tail->block.data,
                    tail->block.bytes);
    while (rc == 0 && (rc = block_next(&reader, &event)) == 1)
        rc = 0, tail->block.last_ns = event.time_ns;
    return rc == 0 && reader.seq == tail->seq + 1 ? 0 : MDB_CORRUPTED;
}

static int read_tail(struct store *store, MDB_txn *txn, struct store_tail *tail, struct why *why)
{
    static const struct store_check nothing_more;
    struct chain_link               link;
    int                             rc = load_names(store, txn);
    uint64_t                        first;
    MDB_stat                        names;

    if (rc == 0)
        rc = mdb_stat(txn, store->tables[STORE_NAMES], &names);
    if (rc != 0)
        return store_why(why, rc, store->path, "read its names");
    tail->names = (uint32_t)names.ms_entries;
    rc          = store_last_link(store, txn, &tail->commit, &link);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return store_why(why, rc, store->path, "read its last commit");
    if (rc == 0) {
        tail->seq = link.last_seq;
        memcpy(tail->hash, link.hash, CHAIN_HASH_BYTES);
    }
    first = tail->commit > TAIL_COMMITS ? tail->commit - TAIL_COMMITS + 1 : 1;
    if ((rc = store_check_chain(store, txn, first, &nothing_more, why)) != 0)
        return rc;
    if ((rc = load_block(store, txn, tail)) != 0)
        return store_why(why, rc, store->path, "read its last events");
    return 0;
}

int store_read_tail(struct store *store, struct store_tail *tail, struct why *why)
{
    MDB_txn *txn;
    int      rc;

    memset(tail, 0, sizeof *tail);
    if ((rc = store_begin_read(store, &txn, why)) != 0)
        return rc;
    rc = read_tail(store, txn, tail, why);
    mdb_txn_abort(txn);
    return rc;
}
