/* server/camera/decode_actor.h: who runs when on the decode workers.
 *
 * An actor is a thing with a step function. At most one worker runs it at a time; woken while it
 * runs, it runs again. Runnable actors wait in a FIFO, those that wait for a time in a heap; one
 * sleeping worker keeps the time. All fields belong to the pool's lock. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_ACTOR_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_ACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct decode_device;
struct decode_pool;
struct decode_process;

/* The workers that share one run queue: all of them, when they decode by themselves; one, with its
 * process, otherwise. */
struct decode_group;

/* What a step returns: when to step again, on the monotonic clock, or one of these. */
#define DECODE_STEP_NOW  INT64_C(0)
#define DECODE_STEP_IDLE INT64_MAX /* when woken */

struct decode_actor {
    int64_t (*step)(struct decode_actor *actor); /* immutable */
    struct decode_actor *next;                   /* in the run queue */
    enum decode_actor_state {
        DECODE_ACTOR_IDLE,
        DECODE_ACTOR_WAITING, /* in the heap */
        DECODE_ACTOR_QUEUED,
        DECODE_ACTOR_RUNNING,
    } state;
    struct decode_group *group;
    bool                 quarantine; /* wanted by the actor itself, in its step */
    bool                 quarantined;
    bool                 woken; /* while running */
    bool                 leaving;
    int64_t              due_ns;
    size_t               heap_index;
};

/* The pool keeps room for its time. ERR_MEMORY. */
int decode_actor_join(struct decode_pool *pool, struct decode_actor *actor,
                      int64_t (*step)(struct decode_actor *actor));
/* Waits for the step that runs. No step after it. */
void decode_actor_leave(struct decode_pool *pool, struct decode_actor *actor);
/* Something is there to do. Any thread. */
void decode_actor_wake(struct decode_pool *pool, struct decode_actor *actor);

/* In the actor's own step: where its worker decodes; NULL: in this process. */
struct decode_process *decode_actor_process(const struct decode_actor *actor);
/* The card that decodes what it can; NULL: the pool has none. */
struct decode_device *decode_actor_device(const struct decode_actor *actor);
/* In the actor's own step: it goes to the workers of the quarantine after it, or back. */
void decode_actor_quarantine(struct decode_actor *actor, bool wanted);

#endif
