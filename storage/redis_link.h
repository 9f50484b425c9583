/* storage/redis_link.h: one connection to Redis that comes back by itself.
 *
 * Resolves, connects, signs in, and tells that it is up. Everything has a deadline of its own
 * (hiredis has none): a Redis that hangs is dropped after REDIS_LINK_TIMEOUT_MS and tried again,
 * with pauses that grow and are spread by chance, so that many servers do not return at once.
 * What is under way is bounded: a send past the bound is refused, never queued. Loop thread
 * only. */
#ifndef SIGHTLINE_STORAGE_REDIS_LINK_H
#define SIGHTLINE_STORAGE_REDIS_LINK_H

#include "config/why.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define REDIS_LINK_TIMEOUT_MS 3000
#define REDIS_LINK_COMMANDS   256
#define REDIS_LINK_BYTES      (1 << 20)

struct redis_link;

struct redis_link_events {
    /* Signed in: commands may be sent. */
    void (*up)(void *arg);
    /* Gone, after up(): nothing that was sent and not answered is known to have happened. */
    void (*down)(void *arg);
    /* The answer to a command sent with this number (0 or more). Never NULL, may be an error.
     * Valid during the call. */
    void (*reply)(void *arg, int request, const redisReply *reply);
    void *arg;
};

/* ERR_INVALID, ERR_UNSUPPORTED (TLS), ERR_MEMORY. The first attempt is made from the loop. */
int redis_link_open(struct redis_link **out, uv_loop_t *loop, const char *url,
                    const struct redis_link_events *events, struct why *why);
/* No call comes after this; freed when its handles are closed on the loop. NULL-safe, sets *link
 * = NULL. */
void redis_link_close(struct redis_link **link);

/* False when it is not up or too much is under way; true: reply() or down() follows. */
bool redis_link_send(struct redis_link *link, int request, int count, const char *const *parts,
                     const size_t *bytes);

/* Gives the connection up, for a reason of the caller's, and tries again after a pause. */
void redis_link_fail(struct redis_link *link, const char *reason);

/* What was sent works: the next pause is short again. Not before, or a Redis that takes
 * connections but refuses all else would be called without pause. */
void redis_link_settled(struct redis_link *link);

bool redis_link_is_up(const struct redis_link *link);
const char          *
redis_link_reason(const struct redis_link *link); /* why it is not up; empty when it is */
uint64_t redis_link_reconnects(const struct redis_link *link);

#endif
