/* links: storage */
#include "tests/tap.h"

#include "config/err.h"
#include "storage/rollup.h"
#include "tests/storage_kit.h"

static bool rollup_equal(const struct rollup *a, const struct rollup *b)
{
    return memcmp(a->crossings, b->crossings, sizeof a->crossings) == 0 &&
           memcmp(a->entries, b->entries, sizeof a->entries) == 0 &&
           memcmp(a->exits, b->exits, sizeof a->exits) == 0 && a->dwell_ms == b->dwell_ms &&
           a->analysed_ms == b->analysed_ms && a->elapsed_ms == b->elapsed_ms;
}

static struct rollup random_rollup(uint64_t *state)
{
    struct rollup rollup = {0};

    for (int i = 0; i < OBJECT_CLASSES; i++) {
        for (int side = 0; side < 2; side++) {
            if (kit_below(state, 3) == 0)
                rollup.crossings[i][side] = (uint32_t)(kit_random(state) >> kit_below(state, 64));
        }
        if (kit_below(state, 4) == 0)
            rollup.entries[i] = (uint32_t)kit_below(state, 100);
        if (kit_below(state, 4) == 0)
            rollup.exits[i] = (uint32_t)kit_below(state, 100000);
    }
    if (kit_below(state, 2) == 0)
        rollup.dwell_ms = kit_random(state) >> kit_below(state, 64);
    rollup.elapsed_ms  = (uint32_t)kit_below(state, 60001);
    rollup.analysed_ms = kit_below(state, 2) == 0 ? rollup.elapsed_ms
                                                  : (uint32_t)kit_below(state, 60001);
    return rollup;
}

static void values(void)
{
    uint64_t state = 5;
    int      wrong = 0;

    for (int i = 0; i < 20000; i++) {
        uint8_t             bytes[ROLLUP_ENCODED_BYTES];
        struct bytes_writer out    = {.at = bytes, .end = bytes + sizeof bytes};
        struct bytes_reader in     = {.at = bytes};
        struct rollup       rollup = random_rollup(&state), back;

        rollup_put(&out, &rollup);
        in.end = out.at;
        wrong += out.failed || !rollup_take(&in, &back) || in.at != in.end ||
                 !rollup_equal(&rollup, &back);
    }
    is_int(wrong, 0, "20000 roll-ups come back equal");
}

static void largest(void)
{
    uint8_t             bytes[ROLLUP_ENCODED_BYTES];
    struct bytes_writer out = {.at = bytes, .end = bytes + sizeof bytes};
    struct rollup       full;

    memset(&full, 0xff, sizeof full);
    full.analysed_ms = 1;
    rollup_put(&out, &full);
    ok(!out.failed, "the largest roll-up fits its bound (%zu bytes)", (size_t)(out.at - bytes));
}

/* A row against an array of roll-ups: the same additions in random order. */
static void rows(void)
{
    uint64_t       state = 9;
    uint8_t        row[2][ROLLUP_ROW_BYTES];
    int            bytes = 0, now = 0, wrong = 0, found = 0, expected = 0;
    struct rollup *naive             = calloc(ROLLUP_SLOTS, sizeof *naive);
    bool           has[ROLLUP_SLOTS] = {false};
    struct rollup  back;
    int            slot = -1;

    for (int i = 0; i < 2000; i++) {
        int           at  = (int)kit_below(&state, ROLLUP_SLOTS);
        struct rollup one = random_rollup(&state);

        rollup_add(&naive[at], &one);
        has[at] = true;
        bytes   = rollup_row_add(row[now], (size_t)bytes, at, &one, row[1 - now]);
        if (bytes < 0)
            break;
        now = 1 - now;
    }
    ok(bytes > 0, "2000 additions to a row");
    struct bytes_reader in = {.at = row[now], .end = row[now] + (bytes > 0 ? bytes : 0)};
    while (rollup_row_next(&in, slot, &slot, &back)) {
        found++;
        wrong += !has[slot] || !rollup_equal(&back, &naive[slot]);
    }
    for (int i = 0; i < ROLLUP_SLOTS; i++)
        expected += has[i];
    ok(!in.failed && wrong == 0, "each bucket is the sum of what was added");
    is_int(found, expected, "none is missing");
    free(naive);
}

static void saturation(void)
{
    struct rollup a = {.crossings = {{UINT32_MAX - 1, 0}}, .dwell_ms = UINT64_MAX};
    struct rollup b = {.crossings = {{5, 1}}, .dwell_ms = 7, .last_seq = 3};

    rollup_add(&a, &b);
    ok(a.crossings[0][0] == UINT32_MAX && a.crossings[0][1] == 1 && a.dwell_ms == UINT64_MAX,
       "sums stop at the largest number");
    is_int(a.last_seq, 3, "the newest sequence number stays");
}

static void damage(void)
{
    uint64_t             state = 13;
    struct rollup        one   = {.crossings = {{1, 2}}, .elapsed_ms = 60000, .analysed_ms = 60000};
    uint8_t              row[ROLLUP_ROW_BYTES], good[ROLLUP_ROW_BYTES], out[ROLLUP_ROW_BYTES];
    static const uint8_t nothing[1];
    int                  bytes = 0, refused = 0;

    for (int slot = 0; slot < 10; slot++) {
        bytes = rollup_row_add(slot == 0 ? nothing : good, (size_t)bytes, slot, &one, out);
        memcpy(good, out, (size_t)bytes);
    }
    for (int i = 0; i < 50000; i++) {
        memcpy(row, good, (size_t)bytes);
        row[kit_below(&state, (uint64_t)bytes)] = (uint8_t)kit_random(&state);
        refused += rollup_row_add(row, kit_below(&state, (uint64_t)bytes + 1), 30, &one, out) ==
                   ERR_CORRUPT;
    }
    ok(refused > 1000, "damaged rows are refused or read, never overrun (%d refused)", refused);
}

int main(void)
{
    is_int(rollup_bucket_s(ROLLUP_MINUTE), 60, "a minute");
    is_int(rollup_bucket_s(ROLLUP_HOUR), 3600, "an hour");
    is_int(rollup_bucket_s(ROLLUP_DAY), 86400, "a day");
    values();
    largest();
    rows();
    saturation();
    damage();
    return done_testing();
}
