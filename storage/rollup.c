#include "storage/rollup.h"

#include "config/assert.h"
#include "config/err.h"

#include <string.h>

/* A cell of a roll-up is stored under class * 4 + what, so that new classes only append. */
enum cell { CELL_A_TO_B, CELL_B_TO_A, CELL_ENTRIES, CELL_EXITS, CELLS_PER_CLASS };
#define CELLS (CELLS_PER_CLASS * OBJECT_CLASSES)

/* First byte of a roll-up: how many cells follow, and which of the sums. */
#define CELL_COUNT_BITS 0x3f
#define HAS_DWELL       0x40
#define HAS_GAPS        0x80 /* analysed_ms differs from elapsed_ms: both are stored */
_Static_assert(CELLS <= CELL_COUNT_BITS, "the count of cells fits its bits");

static const int64_t BUCKET_S[] = {
    [ROLLUP_MINUTE] = 60, [ROLLUP_HOUR] = 3600, [ROLLUP_DAY] = 86400};
static const int64_t ROW_SLOTS[] = {[ROLLUP_MINUTE] = 60, [ROLLUP_HOUR] = 24, [ROLLUP_DAY] = 32};

int64_t rollup_bucket_s(enum rollup_bucket bucket)
{
    return BUCKET_S[bucket];
}

int64_t rollup_row_slots(enum rollup_bucket bucket)
{
    return ROW_SLOTS[bucket];
}

static uint32_t *cell_at(struct rollup *rollup, int cell)
{
    int object_class = cell / CELLS_PER_CLASS;

    switch ((enum cell)(cell % CELLS_PER_CLASS)) {
    case CELL_A_TO_B:
        return &rollup->crossings[object_class][0];
    case CELL_B_TO_A:
        return &rollup->crossings[object_class][1];
    case CELL_ENTRIES:
        return &rollup->entries[object_class];
    default:
        return &rollup->exits[object_class];
    }
}

static uint32_t cell_value(const struct rollup *rollup, int cell)
{
    return *cell_at((struct rollup *)(uintptr_t)rollup, cell);
}

static uint32_t sum32(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static uint64_t sum64(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void rollup_add(struct rollup *rollup, const struct rollup *more)
{
    for (int cell = 0; cell < CELLS; cell++) {
        uint32_t *at = cell_at(rollup, cell);

        *at = sum32(*at, cell_value(more, cell));
    }
    rollup->dwell_ms    = sum64(rollup->dwell_ms, more->dwell_ms);
    rollup->analysed_ms = sum32(rollup->analysed_ms, more->analysed_ms);
    rollup->elapsed_ms  = sum32(rollup->elapsed_ms, more->elapsed_ms);
    if (more->last_seq > rollup->last_seq)
        rollup->last_seq = more->last_seq;
}

void rollup_add_event(struct rollup *rollup, const struct event *event)
{
    struct rollup one          = {.last_seq = event->seq};
    int           object_class = (int)event->object_class;

    ASSERT(object_class >= 0 && object_class < OBJECT_CLASSES);
    switch (event->kind) {
    case EVENT_LINE_CROSSING:
        one.crossings[object_class][event->direction == DIRECTION_B_TO_A] = 1;
        break;
    case EVENT_ZONE_ENTRY:
        one.entries[object_class] = 1;
        break;
    case EVENT_ZONE_EXIT:
        one.exits[object_class] = 1;
        one.dwell_ms            = event->dwell_ms;
        break;
    }
    rollup_add(rollup, &one);
}

void rollup_put(struct bytes_writer *out, const struct rollup *rollup)
{
    unsigned head = 0;

    for (int cell = 0; cell < CELLS; cell++)
        head += cell_value(rollup, cell) != 0;
    if (rollup->dwell_ms != 0)
        head |= HAS_DWELL;
    if (rollup->analysed_ms != rollup->elapsed_ms)
        head |= HAS_GAPS;
    byte_put(out, (uint8_t)head);
    varint_put(out, rollup->elapsed_ms);
    if ((head & HAS_GAPS) != 0)
        varint_put(out, rollup->analysed_ms);
    if ((head & HAS_DWELL) != 0)
        varint_put(out, rollup->dwell_ms);
    for (int cell = 0; cell < CELLS; cell++) {
        if (cell_value(rollup, cell) != 0) {
            byte_put(out, (uint8_t)cell);
            varint_put(out, cell_value(rollup, cell));
        }
    }
}

static uint32_t take32(struct bytes_reader *in)
{
    uint64_t value = varint_take(in);

    if (value > UINT32_MAX)
        in->failed = true;
    return (uint32_t)value;
}

bool rollup_take(struct bytes_reader *in, struct rollup *rollup)
{
    unsigned head = byte_take(in);
    int      last = -1;

    memset(rollup, 0, sizeof *rollup);
    rollup->elapsed_ms  = take32(in);
    rollup->analysed_ms = (head & HAS_GAPS) != 0 ? take32(in) : rollup->elapsed_ms;
    rollup->dwell_ms    = (head & HAS_DWELL) != 0 ? varint_take(in) : 0;
    for (unsigned i = 0; i < (head & CELL_COUNT_BITS); i++) {
        int cell = byte_take(in);

        if (in->failed || cell <= last || cell >= CELLS) {
            in->failed = true;
            return false;
        }
        *cell_at(rollup, cell) = take32(in);
        last                   = cell;
    }
    return !in->failed;
}

bool rollup_row_next(struct bytes_reader *in, int before, int *slot, struct rollup *rollup)
{
    if (in->failed || in->at == in->end)
        return false;
    *slot = byte_take(in);
    if (*slot <= before || *slot >= ROLLUP_SLOTS) {
        in->failed = true;
        return false;
    }
    return rollup_take(in, rollup);
}

int rollup_row_add(const uint8_t *row, size_t count, int slot, const struct rollup *more,
                   uint8_t out[static ROLLUP_ROW_BYTES])
{
    struct bytes_reader in    = {.at = row, .end = row + count};
    struct bytes_writer to    = {.at = out, .end = out + ROLLUP_ROW_BYTES};
    const uint8_t      *place = row, *after;
    struct rollup       sum   = {0}, found;
    int                 at    = -1;

    /* Only what stands before the slot is read; the rest of the row is copied as it is. */
    while (place != in.end && rollup_row_next(&in, at, &at, &found) && at < slot)
        place = in.at;
    if (in.failed)
        return ERR_CORRUPT;
    after = place;
    if (place != in.end && at == slot) {
        sum   = found;
        after = in.at;
    }
    rollup_add(&sum, more);
    bytes_put(&to, row, (size_t)(place - row));
    byte_put(&to, (uint8_t)slot);
    rollup_put(&to, &sum);
    bytes_put(&to, after, (size_t)(in.end - after));
    return to.failed ? ERR_CORRUPT : (int)(to.at - out);
}
