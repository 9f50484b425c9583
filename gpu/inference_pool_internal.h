/* gpu/inference_pool_internal.h: what the files of the pool share.
 *
 *   inference_pool.c    the outside: open, submit, take, close
 *   inference_round.c   who waits, and whose turn it is
 *   inference_worker.c  the threads
 *   inference_swap.c    another model, and a lost device */
#ifndef SIGHTLINE_GPU_INFERENCE_POOL_INTERNAL_H
#define SIGHTLINE_GPU_INFERENCE_POOL_INTERNAL_H

#include "gpu/frame.h"
#include "gpu/inference_pool.h"

#include <pthread.h>

/* One frame from the moment a worker takes it; the result that the taker gets is its first field. */
struct job {
    struct inference_result result;
    struct inference_pool  *pool;
    struct job             *next; /* in whatever list it is */
    bool                    done;
};

struct job_list {
    struct job *first, *last;
};

struct waiting_frame {
    struct frame *frame;
    int64_t       submitted_ns;
};

struct slot {
    struct waiting_frame *waiting; /* ring of waiting_per_slot */
    int                   waiting_first;
    int                   waiting_count;
    struct job_list       running; /* in the order of submission, done or not */
    int                   running_count;
    bool                  queued; /* stands in the round */
    struct slot          *next;   /* in the round */
    unsigned              generation;
    bool                  cleared; /* since the last frame of another generation */
};

struct worker {
    struct inference_pool *pool;
    pthread_t              thread;
    int                    number;

    /* The worker's own. */
    const struct detector   *detector;
    struct detector_session *session; /* NULL: none could be opened */
    bool                     lost;    /* its device is: the session is on the fallback, or none */
    int64_t                  retry_at_ns, retry_after_ns;

    /* Under the pool's lock. */
    const struct detector   *next_detector;
    struct detector_session *next; /* to be taken between two batches */
};

struct inference_pool {
    struct inference_pool_settings settings; /* immutable, as the next four */
    int                            best_batch;
    int                            running_per_slot_max;
    int                            worker_count;
    struct worker                 *workers;
    pthread_mutex_t                opening; /* one session opens at a time */

    pthread_mutex_t             lock;  /* guards all below */
    pthread_cond_t              work;  /* a frame or a free result came, or the end */
    pthread_cond_t              room;  /* a slot has room, a waiter left, a worker has opened */
    struct slot                *slots; /* LIMIT_CAMERAS */
    struct waiting_frame       *waiting_memory;
    struct slot                *round_first, *round_last;
    int                         round_frames; /* that wait in the slots of the round */
    struct job                 *jobs;
    struct job_list             free_jobs;
    struct job_list             ready;
    int                         taken;   /* results that the taker holds */
    int                         waiters; /* threads in submit_or_wait */
    int                         opened;
    int                         open_error;
    struct why                  open_why;
    bool                        swapping; /* a thread is in inference_pool_swap() */
    int                         changing; /* workers that have not taken their next session */
    bool                        closing;
    bool                        closed; /* by its owner: only results that were taken keep it */
    struct inference_pool_stats stats;
};

/* ---- inference_round.c; all under the lock ---- */

void        job_list_append(struct job_list *list, struct job *job);
struct job *job_list_take(struct job_list *list); /* NULL when empty */

bool slot_is_full(const struct inference_pool *pool, const struct slot *slot);
void slot_set_generation(struct slot *slot, const struct frame *frame);
/* The slot has room. */
void slot_put(struct inference_pool *pool, struct slot *slot, struct frame *frame);
/* The slot has a frame; one left without leaves the round. */
struct frame *slot_take_oldest(struct inference_pool *pool, struct slot *slot,
                               int64_t *submitted_ns);
/* At its end, if the slot has frames and may have one more of them running. */
void round_enter(struct inference_pool *pool, struct slot *slot);
void round_leave(struct inference_pool *pool, struct slot *slot);
/* When the frame that waits longest came; INT64_MAX without one. */
int64_t round_oldest_ns(const struct inference_pool *pool);

/* ---- inference_worker.c ---- */

void *inference_worker_main(void *worker);

/* ---- inference_swap.c; without the lock ---- */

/* Takes the next session, if there is one, in the place of the worker's. */
void worker_take_next(struct worker *worker);
/* The device is gone: closes the session and opens one on the fallback. True: go on with that. */
bool worker_lose_device(struct worker *worker, const struct why *reason);
/* Before a batch: tries a lost device again when its time has come. */
void worker_try_device(struct worker *worker);

#endif
