/* storage/publisher.h: keeps Redis equal to the live counts (storage/live.h).
 *
 * It holds no queue: what is to be told is a flag for each counter and a place in the ledger.
 * One round is under way at a time, at most some 200 commands; while Redis hangs, nothing grows.
 * Loop thread only. */
#ifndef SIGHTLINE_STORAGE_PUBLISHER_H
#define SIGHTLINE_STORAGE_PUBLISHER_H

#include "storage/live.h"

struct publisher;

/* `applied_seq`: the counts hold up to here. Errors as redis_link_open(). */
int  publisher_open(struct publisher **out, const struct live_settings *settings,
                    const struct live *live, uint64_t applied_seq, struct why *why);
void publisher_close(struct publisher **publisher);

/* Counter `index` of live_counters() has changed, or is new. ERR_MEMORY. */
int  publisher_changed(struct publisher *publisher, int index);
void publisher_applied(struct publisher *publisher, uint64_t seq);

struct live_health publisher_health(const struct publisher *publisher);

#endif
