/* storage/live.h: the counts of this moment, shared with other programs and nodes through Redis.
 *
 * Without Redis configured the store is in this process alone, behind the same interface. The
 * ledger is the truth: everything here can be rebuilt from it. Values are absolute ("set to 42
 * at sequence 1,017"), so that telling one twice changes nothing. Redis down costs nothing but
 * freshness elsewhere: nothing waits for it, nothing queues up for it; when it is back, all
 * state is published again and the event stream continues from the last sequence number that
 * Redis holds, read from the ledger.
 *
 * Loop thread only. Keys (prefix "sightline:" by default):
 *   sightline:counts                    hash: "camera/counter/class/a_to_b" -> total; also /b_to_a, /entries, /exits;
 *                                       what never occurred has no field
 *   sightline:occupancy                 hash: "camera/zone/class" -> objects inside now
 *   sightline:events                    stream of event JSON, id "<seq>-0", capped
 *   sightline:last_seq                  sequence number up to which the above holds */
#ifndef SIGHTLINE_STORAGE_LIVE_H
#define SIGHTLINE_STORAGE_LIVE_H

#include "config/why.h"
#include "storage/event.h"
#include "storage/ledger.h"

#include <stdbool.h>
#include <uv.h>

struct live;

struct live_settings {
    uv_loop_t *loop;
    /* redis://[[user]:password@]host[:port][/database], or NULL for this process alone. User and
     * password may be percent-encoded. They appear in no log and no reason. */
    const char    *redis_url;
    struct ledger *ledger; /* outlives the store */
};

/* ERR_INVALID for a URL that is none, ERR_UNSUPPORTED for rediss://. A Redis that is down is no
 * error. */
int live_open(struct live **out, const struct live_settings *settings, struct why *why);
/* Starts closing; the store is freed when its handles are closed on the loop. */
void live_close(struct live **live);

/* Names a counter, so that its totals are loaded from the ledger and published. Idempotent. */
int live_register(struct live *live, const char *camera, const char *counter);

/* An acknowledged event: adds to the totals, and to the zone's occupancy until live_set_occupancy() has told it. */
void live_apply(struct live *live, const struct event *event);
/* The true occupancy of a zone, by class: overrides what entries and exits gave (track loss,
 * restart). */
void live_set_occupancy(struct live *live, const char *camera, const char *zone,
                        const uint32_t inside[OBJECT_CLASSES]);

struct live_counter {
    char     camera[LIMIT_NAME_BYTES];
    char     counter[LIMIT_NAME_BYTES];
    uint64_t crossings[OBJECT_CLASSES][2];
    uint64_t entries[OBJECT_CLASSES];
    uint64_t exits[OBJECT_CLASSES];
    uint32_t occupancy[OBJECT_CLASSES];
    bool     occupancy_told; /* live_set_occupancy() has spoken: events leave it alone */
    uint64_t last_seq;       /* of the last event in it */
};
/* All counters, in order of registration; valid until the next call into the store. */
const struct live_counter *live_counters(const struct live *live, int *count);

enum live_redis_state { LIVE_REDIS_OFF, LIVE_REDIS_CONNECTING, LIVE_REDIS_SYNCING, LIVE_REDIS_UP };
struct live_health {
    enum live_redis_state redis;
    char                  reason[256]; /* why it is not up; no credentials */
    uint64_t              reconnects;
    uint64_t              published_seq; /* events up to here are in Redis, as Redis confirmed */
};
struct live_health live_health(const struct live *live);

#endif
