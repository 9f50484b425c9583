#include "storage/store.h"

#include "config/assert.h"
#include "config/clock.h"
#include "config/err.h"
#include "storage/rollup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW_KEY_BYTES 8

struct commit {
    struct chain        chain;
    struct store       *store;
    MDB_txn            *txn;
    struct store_tail  *next;     /* becomes the tail if all goes well */
    struct bytes_writer coverage; /* records for the link */
    uint32_t            coverage_count;
};

/* At the end of a table, pages are filled; a put in the middle would leave them half empty. */
static int put(MDB_txn *txn, MDB_dbi table, MDB_val *key, MDB_val *value)
{
    int rc = mdb_put(txn, table, key, value, MDB_APPEND);

    return rc == MDB_KEYEXIST ? mdb_put(txn, table, key, value, 0) : rc;
}

static int put_names(struct commit *commit)
{
    struct store *store = commit->store;
    uint32_t      count = names_count(store->names);

    for (uint32_t id = commit->next->names + 1; id <= count; id++) {
        char    text[2 * LIMIT_NAME_BYTES];
        char    camera[LIMIT_NAME_BYTES], counter[LIMIT_NAME_BYTES];
        uint8_t id_bytes[4];
        MDB_val key = {.mv_data = id_bytes, .mv_size = sizeof id_bytes}, value;
        int     rc;

        ASSERT(names_get(store->names, id, camera, counter));
        big_endian_put(id_bytes, id, sizeof id_bytes);
        /* The last NUL is not stored. */
        value.mv_size = (size_t)snprintf(text, sizeof text, "%s%c%s", camera, '\0', counter);
        value.mv_data = text;
        if ((rc = put(commit->txn, store->tables[STORE_NAMES], &key, &value)) != 0)
            return rc;
    }
    commit->next->names = count;
    return 0;
}

static int put_block(struct commit *commit)
{
    struct block *block = &commit->next->block;
    uint8_t       seq[8];
    MDB_val       key   = {.mv_data = seq, .mv_size = sizeof seq};
    MDB_val       value = {.mv_data = block->data, .mv_size = block->bytes};

    big_endian_put(seq, block->first_seq, sizeof seq);
    return put(commit->txn, commit->store->tables[STORE_EVENTS], &key, &value);
}

/* Adds `more` to the row's bucket that holds time_s. */
static int add_to_bucket(struct commit *commit, enum rollup_bucket bucket, uint32_t id,
                         int64_t time_s, const struct rollup *more)
{
    static const uint8_t nothing[1];
    MDB_dbi              table  = commit->store->tables[STORE_MINUTES + bucket];
    int64_t              number = time_s / rollup_bucket_s(bucket);
    uint8_t              row_key[ROW_KEY_BYTES];
    uint8_t              row[ROLLUP_ROW_BYTES];
    MDB_val              key = {.mv_data = row_key, .mv_size = sizeof row_key}, value;
    int                  rc, bytes;

    big_endian_put(row_key, (uint64_t)(number / rollup_row_slots(bucket)), 4);
    big_endian_put(row_key + 4, id, 4);
    rc = mdb_get(commit->txn, table, &key, &value);
    if (rc == MDB_NOTFOUND)
        bytes = rollup_row_add(nothing, 0, (int)(number % rollup_row_slots(bucket)), more, row);
    else if (rc == 0)
        bytes = rollup_row_add(value.mv_data, value.mv_size,
                               (int)(number % rollup_row_slots(bucket)), more, row);
    else
        return rc;
    if (bytes < 0)
        return MDB_CORRUPTED;
    value.mv_data = row;
    value.mv_size = (size_t)bytes;
    return put(commit->txn, table, &key, &value);
}

static int add_to_buckets(struct commit *commit, uint32_t id, int64_t time_s,
                          const struct rollup *more)
{
    int rc = 0;

    for (int bucket = ROLLUP_MINUTE; bucket <= ROLLUP_DAY && rc == 0; bucket++)
        rc = add_to_bucket(commit, (enum rollup_bucket)bucket, id, time_s, more);
    return rc;
}

static int add_to_total(struct commit *commit, uint32_t id, const struct rollup *more)
{
    MDB_dbi             table = commit->store->tables[STORE_TOTALS];
    struct rollup       sum   = {0};
    uint8_t             bytes[VARINT_MAX_BYTES + ROLLUP_ENCODED_BYTES];
    struct bytes_writer out = {.at = bytes, .end = bytes + sizeof bytes};
    uint8_t             id_bytes[4];
    MDB_val             key = {.mv_data = id_bytes, .mv_size = sizeof id_bytes}, value;
    int                 rc;

    big_endian_put(id_bytes, id, sizeof id_bytes);
    rc = mdb_get(commit->txn, table, &key, &value);
    if (rc == 0) {
        struct bytes_reader in = {.at = value.mv_data};

        in.end = in.at + value.mv_size;
        varint_take(&in);
        if (!rollup_take(&in, &sum))
            return MDB_CORRUPTED;
    } else if (rc != MDB_NOTFOUND) {
        return rc;
    }
    rollup_add(&sum, more);
    varint_put(&out, more->last_seq);
    rollup_put(&out, &sum);
    value.mv_data = bytes;
    value.mv_size = (size_t)(out.at - bytes);
    return put(commit->txn, table, &key, &value);
}

static int add_event(struct commit *commit, struct event *event, uint32_t id)
{
    struct block *block = &commit->next->block;
    struct rollup one   = {0};
    int           rc;

    event->seq = ++commit->next->seq;
    if (block->first_seq == 0)
        block_begin(block, event->seq);
    if (!block_append(block, id, event)) {
        if ((rc = put_block(commit)) != 0)
            return rc;
        block_begin(block, event->seq);
        ASSERT(block_append(block, id, event));
    }
    chain_event(&commit->chain, event);
    rollup_add_event(&one, event);
    if ((rc = add_to_buckets(commit, id, event->time_ns / NS_PER_S, &one)) != 0)
        return rc;
    return add_to_total(commit, id, &one);
}

static int add_coverage(struct commit *commit, const struct store_coverage *waiting)
{
    struct coverage record = {
        .minute      = waiting->minute,
        .analysed_ms = waiting->analysed_ms,
        .elapsed_ms  = waiting->elapsed_ms,
    };
    struct rollup one = {
        .analysed_ms = waiting->analysed_ms,
        .elapsed_ms  = waiting->elapsed_ms,
    };
    int rc = 0;

    record.id_count = (uint32_t)names_of_camera(commit->store->names, waiting->camera, record.ids);
    /* A name that was added after put_names() waits for the next commit with its coverage. */
    for (uint32_t i = 0; i < record.id_count;) {
        if (record.ids[i] > commit->next->names)
            record.ids[i] = record.ids[--record.id_count];
        else
            i++;
    }
    if (record.id_count == 0)
        return 0;
    chain_put_coverage(&commit->coverage, &record);
    commit->coverage_count++;
    if (chain_coverage(&commit->chain, commit->store->names, &record) != 0)
        return MDB_CORRUPTED;
    for (uint32_t i = 0; i < record.id_count && rc == 0; i++)
        rc = add_to_buckets(commit, record.ids[i], waiting->minute * 60, &one);
    return rc;
}

static int put_link(struct commit *commit, uint8_t *bytes, size_t room)
{
    struct bytes_writer out = {.at = bytes, .end = bytes + room};
    uint8_t             number[8];
    MDB_val             key   = {.mv_data = number, .mv_size = sizeof number}, value;
    size_t              count = (size_t)(commit->coverage.at - (bytes + room));

    chain_end(&commit->chain, commit->next->hash);
    big_endian_put(number, commit->next->commit, sizeof number);
    chain_put_link(&out, commit->next->seq, commit->next->hash, commit->coverage_count);
    ASSERT(!out.failed && !commit->coverage.failed);
    /* The coverage was written behind the room for the head, whose length is known only now. */
    memmove(out.at, bytes + room, count);
    value.mv_data = bytes;
    value.mv_size = (size_t)(out.at - bytes) + count;
    return put(commit->txn, commit->store->tables[STORE_COMMITS], &key, &value);
}

#define HEAD_BYTES (2 + 2 * VARINT_MAX_BYTES + CHAIN_HASH_BYTES)

static int fill(struct commit *commit, const struct store_group *group, uint8_t *link)
{
    int rc;

    commit->next->commit++;
    commit->coverage.at  = link + HEAD_BYTES;
    commit->coverage.end = link + HEAD_BYTES + CHAIN_LINK_BYTES;
    chain_begin(&commit->chain, commit->next->hash, commit->next->commit);
    if ((rc = put_names(commit)) != 0)
        return rc;
    for (int i = 0; i < group->event_count; i++) {
        if ((rc = add_event(commit, &group->events[i], group->event_ids[i])) != 0)
            return rc;
    }
    if (group->event_count > 0 && (rc = put_block(commit)) != 0)
        return rc;
    for (int i = 0; i < group->coverage_count; i++) {
        if ((rc = add_coverage(commit, &group->coverage[i])) != 0)
            return rc;
    }
    return put_link(commit, link, HEAD_BYTES);
}

int store_commit(struct store *store, struct store_tail *tail, const struct store_group *group)
{
    struct store_tail *next   = malloc(sizeof *next);
    uint8_t           *link   = malloc(HEAD_BYTES + CHAIN_LINK_BYTES);
    struct commit      commit = {.store = store, .next = next};
    int                rc     = ENOMEM;

    ASSERT(group->coverage_count <= CHAIN_COVERAGE_MAX);
    if (next == NULL || link == NULL)
        goto fail;
    memcpy(next, tail, sizeof *next);
    if ((rc = mdb_txn_begin(store->env, NULL, 0, &commit.txn)) != 0)
        goto fail;
    if ((rc = fill(&commit, group, link)) != 0) {
        mdb_txn_abort(commit.txn);
        goto fail;
    }
    /* Frees the transaction whatever it returns; only 0 means that all of it is on the disk. */
    if ((rc = mdb_txn_commit(commit.txn)) == 0)
        memcpy(tail, next, sizeof *tail);

fail:
    free(next);
    free(link);
    return rc;
}
