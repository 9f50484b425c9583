/* gpu/inference_pool.h: many cameras into few devices.
 *
 * Frames wait per camera (slot): at most one in the server, where a newer frame takes the place of
 * one that waits (oldest dropped, counted). Workers collect a batch across cameras, up to the
 * backend's best batch or until the oldest frame has waited the deadline. Fair: the slots are served
 * round robin, nobody gets a second frame in while another waits for a first. Results of one
 * slot come out in the order in which its frames went in, whatever worker finished first.
 *
 * Threads: submit from any thread; take from one (the loop). The wake function is called on a
 * worker when there is something to take; it may only unblock. */
#ifndef SIGHTLINE_GPU_INFERENCE_POOL_H
#define SIGHTLINE_GPU_INFERENCE_POOL_H

#include "config/why.h"
#include "gpu/detector.h"

#include <stdbool.h>
#include <stdint.h>

struct inference_pool;

struct inference_pool_settings {
    const struct detector *detector; /* outlives the pool */
    int                    workers;  /* threads; 0: one for each processor */
    int                    waiting_per_slot; /* frames that may wait in one slot; 1 in the server, more for files */
    int64_t                deadline_ns; /* longest wait for a fuller batch; 0 with a best batch of 1 */
    void (*wake)(void *arg);
    void *arg;
};

struct inference_result {
    struct frame          *frame; /* the pool's reference passes to the taker */
    int                    box_count;
    struct box             boxes[LIMIT_BOXES];
    int64_t                submitted_ns; /* monotonic clock, as below */
    int64_t                started_ns;
    int64_t                finished_ns;
    struct detector_timing timing;
    int                    error; /* 0, or why there are no boxes */
};

struct inference_pool_stats {
    uint64_t submitted;
    uint64_t finished;
    uint64_t dropped; /* a newer frame of the same camera took the place */
    uint64_t failed;
    uint64_t batches;
};

int inference_pool_open(struct inference_pool **out, const struct inference_pool_settings *settings,
                        struct why *why);
/* Finishes what runs, drops what waits, frees results not taken. */
void inference_pool_close(struct inference_pool **pool);

/* Takes over the caller's reference in every case. When the slot is full the oldest waiting frame
 * is dropped. Returns 0, or 1 when a frame was dropped for it, or ERR_CLOSED. */
int inference_pool_submit(struct inference_pool *pool, struct frame *frame);
/* As above, but waits for room: for files that are analysed as fast as possible. */
int inference_pool_submit_or_wait(struct inference_pool *pool, struct frame *frame);

/* NULL when nothing is ready. Free with inference_result_free(). */
struct inference_result *inference_pool_take(struct inference_pool *pool);
void                     inference_result_free(struct inference_result **result);

/* Drops what waits in a slot; results of older generations still come out and are the taker's to ignore. */
void inference_pool_clear_slot(struct inference_pool *pool, unsigned slot);

struct inference_pool_stats inference_pool_stats(struct inference_pool *pool);

#endif
