#include "storage/live.h"

#include "config/assert.h"
#include "config/err.h"
#include "config/log.h"
#include "storage/names.h"
#include "storage/publisher.h"

#include <stdlib.h>
#include <string.h>

struct live {
    struct ledger       *ledger;
    struct names        *names; /* (camera, counter) -> place in `counters`, from 1 */
    struct live_counter *counters;
    int                  count, room;
    struct publisher    *publisher; /* NULL without Redis */
};

static void free_live(struct live *live)
{
    names_close(&live->names);
    free(live->counters);
    free(live);
}

int live_open(struct live **out, const struct live_settings *settings, struct why *why)
{
    struct live *live = calloc(1, sizeof *live);
    int          rc;

    *out = NULL;
    if (live == NULL)
        return why_set(why, ERR_MEMORY, "out of memory");
    live->ledger = settings->ledger;
    if ((rc = names_open(&live->names)) != 0)
        why_set(why, rc, "out of memory");
    else if (settings->redis_url != NULL && settings->redis_url[0] != '\0')
        rc = publisher_open(&live->publisher, settings, live, ledger_last_seq(live->ledger), why);
    if (rc != 0) {
        free_live(live);
        return rc;
    }
    *out = live;
    return 0;
}

void live_close(struct live **live)
{
    if (*live == NULL)
        return;
    publisher_close(&(*live)->publisher);
    free_live(*live);
    *live = NULL;
}

static void add_totals(struct live_counter *counter, const struct rollup *total)
{
    for (int i = 0; i < OBJECT_CLASSES; i++) {
        counter->crossings[i][0] = total->crossings[i][0];
        counter->crossings[i][1] = total->crossings[i][1];
        counter->entries[i]      = total->entries[i];
        counter->exits[i]        = total->exits[i];
    }
    counter->last_seq = total->last_seq;
}

static int make_room(struct live *live)
{
    int                  room = live->room == 0 ? 64 : live->room * 2;
    struct live_counter *counters;

    if (live->count < live->room)
        return 0;
    counters = realloc(live->counters, (size_t)room * sizeof *counters);
    if (counters == NULL)
        return ERR_MEMORY;
    live->counters = counters;
    live->room     = room;
    return 0;
}

static int add_counter(struct live *live, const char *camera, const char *counter)
{
    struct live_counter *place;
    struct rollup        total;
    uint32_t             id;
    int                  rc;

    if (strnlen(camera, LIMIT_NAME_BYTES) == LIMIT_NAME_BYTES ||
        strnlen(counter, LIMIT_NAME_BYTES) == LIMIT_NAME_BYTES)
        return ERR_INVALID;
    /* The ledger first: should anything fail here, nothing is known and the next call tries
     * again. */
    if ((rc = ledger_register(live->ledger, camera, counter)) != 0 ||
        (rc = ledger_read_total(live->ledger, camera, counter, &total)) != 0 ||
        (rc = make_room(live)) != 0 ||
        (live->publisher != NULL && (rc = publisher_changed(live->publisher, live->count)) != 0) ||
        (rc = names_intern(live->names, camera, counter, &id)) != 0)
        return rc;
    ASSERT(live->counters != NULL); /* there is room */
    place = &live->counters[live->count++];
    memset(place, 0, sizeof *place);
    memcpy(place->camera, camera, strlen(camera));
    memcpy(place->counter, counter, strlen(counter));
    add_totals(place, &total);
    return 0;
}

static struct live_counter *find(struct live *live, const char *camera, const char *counter)
{
    uint32_t id;

    return names_find(live->names, camera, counter, &id) ? &live->counters[id - 1] : NULL;
}

int live_register(struct live *live, const char *camera, const char *counter)
{
    return find(live, camera, counter) != NULL ? 0 : add_counter(live, camera, counter);
}

static void count_event(struct live_counter *counter, const struct event *event)
{
    int object_class = (int)event->object_class;

    switch (event->kind) {
    case EVENT_LINE_CROSSING:
        counter->crossings[object_class][event->direction == DIRECTION_B_TO_A]++;
        break;
    case EVENT_ZONE_ENTRY:
        counter->entries[object_class]++;
        if (!counter->occupancy_told)
            counter->occupancy[object_class]++;
        break;
    case EVENT_ZONE_EXIT:
        counter->exits[object_class]++;
        if (!counter->occupancy_told && counter->occupancy[object_class] > 0)
            counter->occupancy[object_class]--;
        break;
    }
    counter->last_seq = event->seq;
}

static void tell(struct live *live, const struct live_counter *counter)
{
    if (live->publisher != NULL &&
        publisher_changed(live->publisher, (int)(counter - live->counters)) != 0)
        log_warning("redis", "out of memory");
}

void live_apply(struct live *live, const struct event *event)
{
    struct live_counter *counter = find(live, event->camera, event->counter);
    int                  rc      = 0;

    if (counter == NULL && (rc = add_counter(live, event->camera, event->counter)) == 0)
        counter = find(live, event->camera, event->counter);
    if (counter == NULL)
        log_warning("live", "%s/%s is not shown: %s", event->camera, event->counter, err_text(rc));
    /* A counter that was registered after the commit has the event in its total. */
    else if (event->seq > counter->last_seq) {
        count_event(counter, event);
        tell(live, counter);
    }
    if (live->publisher != NULL)
        publisher_applied(live->publisher, event->seq);
}

void live_set_occupancy(struct live *live, const char *camera, const char *zone,
                        const uint32_t inside[OBJECT_CLASSES])
{
    struct live_counter *counter = find(live, camera, zone);

    if (counter == NULL)
        return;
    /* The event of a change is acknowledged after the change was told here: counting it once more
     * would show one too many inside. */
    counter->occupancy_told = true;
    if (memcmp(counter->occupancy, inside, sizeof counter->occupancy) == 0)
        return;
    memcpy(counter->occupancy, inside, sizeof counter->occupancy);
    tell(live, counter);
}

const struct live_counter *live_counters(const struct live *live, int *count)
{
    *count = live->count;
    return live->counters;
}

struct live_health live_health(const struct live *live)
{
    struct live_health none = {.redis = LIVE_REDIS_OFF};

    return live->publisher == NULL ? none : publisher_health(live->publisher);
}
