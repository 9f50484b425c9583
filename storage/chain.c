#include "storage/chain.h"

#include "config/err.h"

#include <string.h>

#define LINK_VERSION 1

static void add_bytes(struct chain *chain, const void *bytes, size_t count)
{
    crypto_generichash_update(&chain->state, bytes, count);
}

static void add_number(struct chain *chain, uint64_t value)
{
    uint8_t bytes[8];

    big_endian_put(bytes, value, sizeof bytes);
    add_bytes(chain, bytes, sizeof bytes);
}

void chain_begin(struct chain *chain, const uint8_t before[static CHAIN_HASH_BYTES],
                 uint64_t commit)
{
    crypto_generichash_init(&chain->state, NULL, 0, CHAIN_HASH_BYTES);
    add_bytes(chain, before, CHAIN_HASH_BYTES);
    add_number(chain, commit);
}

void chain_event(struct chain *chain, const struct event *event)
{
    uint8_t bytes[EVENT_ENCODED_MAX_BYTES];
    size_t  count = event_encode(event, bytes);

    add_number(chain, event->seq);
    add_number(chain, count);
    add_bytes(chain, bytes, count);
}

int chain_coverage(struct chain *chain, struct names *names, const struct coverage *coverage)
{
    /* No sequence number is 0: an event and a coverage record never hash alike. */
    add_number(chain, 0);
    add_number(chain, (uint64_t)coverage->minute);
    add_number(chain, coverage->analysed_ms);
    add_number(chain, coverage->elapsed_ms);
    add_number(chain, coverage->id_count);
    for (uint32_t i = 0; i < coverage->id_count; i++) {
        char camera[LIMIT_NAME_BYTES];
        char counter[LIMIT_NAME_BYTES];

        if (!names_get(names, coverage->ids[i], camera, counter))
            return ERR_CORRUPT;
        add_bytes(chain, camera, strlen(camera) + 1);
        add_bytes(chain, counter, strlen(counter) + 1);
    }
    return 0;
}

void chain_end(struct chain *chain, uint8_t hash[static CHAIN_HASH_BYTES])
{
    crypto_generichash_final(&chain->state, hash, CHAIN_HASH_BYTES);
}

void chain_put_link(struct bytes_writer *out, uint64_t last_seq,
                    const uint8_t hash[static CHAIN_HASH_BYTES], uint32_t coverage_count)
{
    byte_put(out, LINK_VERSION);
    varint_put(out, last_seq);
    bytes_put(out, hash, CHAIN_HASH_BYTES);
    varint_put(out, coverage_count);
}

void chain_put_coverage(struct bytes_writer *out, const struct coverage *coverage)
{
    varint_put(out, (uint64_t)coverage->minute);
    varint_put(out, coverage->analysed_ms);
    varint_put(out, coverage->elapsed_ms);
    varint_put(out, coverage->id_count);
    for (uint32_t i = 0; i < coverage->id_count; i++)
        varint_put(out, coverage->ids[i]);
}

int chain_take_link(struct chain_link *link, const void *data, size_t bytes)
{
    struct bytes_reader in = {.at = data, .end = (const uint8_t *)data + bytes};
    const uint8_t      *hash;
    uint64_t            count;

    memset(link, 0, sizeof *link);
    if (byte_take(&in) != LINK_VERSION)
        return ERR_CORRUPT;
    link->last_seq = varint_take(&in);
    hash           = bytes_take(&in, CHAIN_HASH_BYTES);
    count          = varint_take(&in);
    if (in.failed || count > CHAIN_COVERAGE_MAX)
        return ERR_CORRUPT;
    memcpy(link->hash, hash, CHAIN_HASH_BYTES);
    link->coverage_count = (uint32_t)count;
    link->coverage       = in;
    return 0;
}

int chain_take_coverage(struct chain_link *link, struct coverage *coverage)
{
    struct bytes_reader *in       = &link->coverage;
    uint64_t             minute   = varint_take(in);
    uint64_t             analysed = varint_take(in);
    uint64_t             elapsed  = varint_take(in);
    uint64_t             count    = varint_take(in);

    if (in->failed || minute > INT64_MAX / 60 || analysed > UINT32_MAX || elapsed > UINT32_MAX ||
        count > NAMES_OF_CAMERA_MAX)
        return ERR_CORRUPT;
    coverage->minute      = (int64_t)minute;
    coverage->analysed_ms = (uint32_t)analysed;
    coverage->elapsed_ms  = (uint32_t)elapsed;
    coverage->id_count    = (uint32_t)count;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t id = varint_take(in);

        if (in->failed || id == 0 || id > NAMES_MAX)
            return ERR_CORRUPT;
        coverage->ids[i] = (uint32_t)id;
    }
    return 0;
}
