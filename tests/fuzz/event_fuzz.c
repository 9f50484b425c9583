/* links: storage Any bytes as an event, as a block of events and as a row of roll-ups. What is
 * read must be valid, and writing it again must give something that is read as the same. */
#include "config/assert.h"
#include "config/json_writer.h"
#include "storage/block.h"
#include "storage/chain.h"
#include "storage/rollup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_event(const uint8_t *data, size_t size)
{
    uint8_t            bytes[EVENT_ENCODED_MAX_BYTES], again[EVENT_ENCODED_MAX_BYTES];
    struct json_writer json;
    struct event       event;
    size_t             count;

    if (event_decode(&event, data, size) != 0)
        return;
    ASSERT(event_valid(&event));
    count = event_encode(&event, bytes);
    ASSERT(event_decode(&event, bytes, count) == 0);
    ASSERT(event_encode(&event, again) == count && memcmp(bytes, again, count) == 0);
    json_init(&json, 4096);
    event_write_json(&event, &json);
    ASSERT(json_text(&json, NULL) != NULL);
    json_free(&json);
}

static void try_block(const uint8_t *data, size_t size)
{
    static struct names *names;
    struct block_reader  reader;
    struct event         event;
    uint32_t             id;

    if (names == NULL) {
        ASSERT(names_open(&names) == 0);
        ASSERT(names_intern(names, "camera", "line", &id) == 0);
        ASSERT(names_intern(names, "camera", "zone", &id) == 0);
    }
    if (block_open(&reader, names, 1, data, size) != 0)
        return;
    while (block_next(&reader, &event) == 1)
        ASSERT(event_valid(&event));
}

static void try_row(const uint8_t *data, size_t size)
{
    struct bytes_reader in   = {.at = data, .end = data + size};
    struct rollup       more = {.elapsed_ms = 60000, .analysed_ms = 59000, .exits = {1}};
    int                 slot = -1;
    uint8_t             row[ROLLUP_ROW_BYTES];
    struct rollup       rollup;

    while (rollup_row_next(&in, slot, &slot, &rollup))
        ASSERT(slot >= 0 && slot < ROLLUP_SLOTS);
    (void)rollup_row_add(data, size, size > 0 ? data[0] % ROLLUP_SLOTS : 0, &more, row);
}

static void try_link(const uint8_t *data, size_t size)
{
    struct chain_link link;
    struct coverage   coverage;

    if (chain_take_link(&link, data, size) != 0)
        return;
    for (uint32_t i = 0; i < link.coverage_count; i++) {
        if (chain_take_coverage(&link, &coverage) != 0)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_event(data, size);
    try_block(data, size);
    try_row(data, size);
    try_link(data, size);
    return 0;
}
