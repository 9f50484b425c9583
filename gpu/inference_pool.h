/* gpu/inference_pool.h: many cameras into few devices.
 *
 * Frames wait per camera (slot): at most one in the server, where a newer frame takes the place of
 * one that waits (oldest dropped, counted). Workers collect a batch across cameras, up to the
 * backend's best batch or until the oldest frame has waited the deadline. Fair: the slots are served
 * round robin, nobody gets a second frame in while another waits for a first. Results of one
 * slot come out in the order in which its frames went in, whatever worker finished first.
 *
 * Everything is bounded and allocated at the start. There are as many results as inference_pool_stats()
 * says in `results`; while the taker holds or leaves them all, the workers wait and frames are
 * dropped (submit) or wait too (submit_or_wait). So the thread that takes must never call
 * submit_or_wait.
 *
 * The model can be changed while frames come: inference_pool_swap(). A device that is lost does not
 * stop the pool: its worker goes on with the fallback backend, the very pictures of that run
 * first, and tries the device again after 1 s, 2 s, and so on to INFERENCE_RETRY_MAX_S.
 *
 * Threads: submit from any thread; take from one (the loop); free results on any. The wake function
 * is called on a worker when there is something to take; it may only unblock. */
#ifndef SIGHTLINE_GPU_INFERENCE_POOL_H
#define SIGHTLINE_GPU_INFERENCE_POOL_H

#include "config/why.h"
#include "gpu/detector.h"
#include "gpu/latency.h"

#include <stdbool.h>
#include <stdint.h>

struct inference_pool;

#define INFERENCE_WORKERS_MAX 256
#define INFERENCE_WAITING_MAX 64 /* frames in one slot */
#define INFERENCE_RETRY_MAX_S 60

struct inference_pool_settings {
    const struct detector *detector; /* outlives the pool, or the swap that ends its use */
    /* Takes over while a device is lost; NULL: the CPU, unless that is the detector's own. */
    const struct backend_ops *fallback;
    int64_t retry_ns;        /* before a lost device is tried again the first time; 0: 1 s */
    int     workers;         /* threads; 0: one for each processor that we may use */
    int waiting_per_slot;    /* frames that may wait in one slot; 1 in the server, more for files */
    int64_t deadline_ns;     /* longest wait for a fuller batch; 0 with a best batch of 1 */
    void (*wake)(void *arg); /* may be NULL */
    void *arg;
};

struct inference_result {
    struct frame          *frame; /* the pool's reference passes to the taker */
    int                    box_count;
    struct box             boxes[LIMIT_BOXES];
    int64_t                submitted_ns; /* monotonic clock, as below */
    int64_t                started_ns;
    int64_t                finished_ns;
    struct detector_timing timing; /* of the run in which it was */
    int                    error;  /* 0, or why there are no boxes */
};

enum inference_stage {
    INFERENCE_QUEUE,   /* from submit to the start of its run; per frame */
    INFERENCE_PREPARE, /* per run, as those below */
    INFERENCE_NETWORK,
    INFERENCE_DECODE,
    INFERENCE_STAGES
};

struct inference_pool_stats {
    uint64_t submitted;
    uint64_t finished; /* results given out or ready to be taken, failed ones too */
    uint64_t dropped; /* a newer frame of the same camera took the place, or its slot was cleared */
    uint64_t failed;
    uint64_t batches;
    int      workers;
    int      results;             /* how many there are in all */
    int      waiting;             /* frames that wait now */
    int      running;             /* frames taken by workers whose results are not out yet */
    uint64_t swaps;               /* models that took the place of another */
    uint64_t device_losses;       /* sessions that ended with a lost device */
    int      fallback_workers;    /* that do without their device now */
    char     device_problem[160]; /* of the last loss; empty: all workers have their device */
    struct latency latency[INFERENCE_STAGES];
};

/* "queue", "prepare", "network", "decode". */
const char *inference_stage_name(enum inference_stage stage);

/* Starts the workers and waits until each has its session. ERR_INVALID, ERR_MEMORY, or what
 * detector_session_open() says. */
int inference_pool_open(struct inference_pool **out, const struct inference_pool_settings *settings,
                        struct why *why);
/* Finishes what runs, drops what waits, frees results not taken; those taken stay valid until they
 * are freed. Whoever waits in submit_or_wait gets ERR_CLOSED; no new call may begin. */
void inference_pool_close(struct inference_pool **pool);

/* Puts another model in the place of the one that runs, between two batches of each worker: no frame
 * is lost for it. First a session for every worker is opened and a picture run on one: what fails
 * there is the answer, and the old model stays. Waits until all workers have changed: when it
 * returns 0 the pool uses nothing of the old detector, and the new one outlives the pool or its own
 * swap; otherwise the pool uses nothing of the new one. Never more pictures are run at once than the
 * first detector's best batch. Any thread but the taker's. ERR_AGAIN: another swap is on its way.
 * ERR_CLOSED: the pool is closed meanwhile, which waits for this call; both detectors may be in use
 * until it is. */
int inference_pool_swap(struct inference_pool *pool, const struct detector *detector,
                        struct why *why);

/* Takes over the caller's reference in every case. When the slot is full the oldest waiting frame
 * is dropped. Returns 0, or 1 when a frame was dropped for it, or ERR_CLOSED. */
int inference_pool_submit(struct inference_pool *pool, struct frame *frame);
/* As above, but waits for room: for files that are analysed as fast as possible. 1: this frame was
 * dropped, as its slot was cleared. */
int inference_pool_submit_or_wait(struct inference_pool *pool, struct frame *frame);

/* NULL when nothing is ready. Free with inference_result_free(). */
struct inference_result *inference_pool_take(struct inference_pool *pool);
/* NULL-safe, sets *result = NULL; gives its frame's reference back if it is still there. */
void inference_result_free(struct inference_result **result);

/* Drops what waits in a slot; results of older generations still come out and are the taker's to
 * ignore. Until a frame of another generation comes, submit_or_wait never waits there: who closes a
 * camera calls this first, and its decoder comes free. */
void inference_pool_clear_slot(struct inference_pool *pool, unsigned slot);

struct inference_pool_stats inference_pool_stats(struct inference_pool *pool);

#endif
