/* The order in which cameras are served: each slot with frames stands in the round once, gives one
 * frame when it comes to the head, and goes to the end. */
#include <stdlib.h>

#include "config/assert.h"
#include "config/clock.h"
#include "gpu/inference_pool_internal.h"

void job_list_append(struct job_list *list, struct job *job)
{
    job->next = NULL;
    if (list->last != NULL)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
}

struct job *job_list_take(struct job_list *list)
{
    struct job *job = list->first;

    if (job == NULL)
        return NULL;
    list->first = job->next;
    if (list->first == NULL)
        list->last = NULL;
    return job;
}

bool slot_is_full(const struct inference_pool *pool, const struct slot *slot)
{
    return slot->waiting_count == pool->settings.waiting_per_slot;
}

void slot_set_generation(struct slot *slot, const struct frame *frame)
{
    if (slot->generation != frame->generation)
        slot->cleared = false;
    slot->generation = frame->generation;
}

void slot_put(struct inference_pool *pool, struct slot *slot, struct frame *frame)
{
    int place = (slot->waiting_first + slot->waiting_count) % pool->settings.waiting_per_slot;

    ASSERT(!slot_is_full(pool, slot));
    slot->waiting[place] = (struct waiting_frame){frame, clock_monotonic_ns()};
    slot->waiting_count++;
    pool->stats.submitted++;
    pool->stats.waiting++;
    if (slot->queued)
        pool->round_frames++;
    else
        round_enter(pool, slot);
    pthread_cond_signal(&pool->work);
}

struct frame *slot_take_oldest(struct inference_pool *pool, struct slot *slot,
                               int64_t *submitted_ns)
{
    struct waiting_frame oldest = slot->waiting[slot->waiting_first];

    ASSERT(slot->waiting_count > 0);
    if (submitted_ns != NULL)
        *submitted_ns = oldest.submitted_ns;
    slot->waiting_first = (slot->waiting_first + 1) % pool->settings.waiting_per_slot;
    slot->waiting_count--;
    pool->stats.waiting--;
    if (slot->queued)
        pool->round_frames--;
    if (slot->queued && slot->waiting_count == 0)
        round_leave(pool, slot);
    return oldest.frame;
}

void round_enter(struct inference_pool *pool, struct slot *slot)
{
    if (slot->queued || slot->waiting_count == 0 ||
        slot->running_count >= pool->running_per_slot_max)
        return;
    slot->queued = true;
    slot->next   = NULL;
    if (pool->round_last != NULL)
        pool->round_last->next = slot;
    else
        pool->round_first = slot;
    pool->round_last = slot;
    pool->round_frames += slot->waiting_count;
}

void round_leave(struct inference_pool *pool, struct slot *slot)
{
    struct slot **link = &pool->round_first, *before = NULL;

    while (*link != slot) {
        before = *link;
        link   = &before->next;
    }
    *link = slot->next;
    if (pool->round_last == slot)
        pool->round_last = before;
    slot->queued = false;
    pool->round_frames -= slot->waiting_count;
}

int64_t round_oldest_ns(const struct inference_pool *pool)
{
    int64_t oldest = INT64_MAX;

    for (const struct slot *slot = pool->round_first; slot != NULL; slot = slot->next)
        if (slot->waiting[slot->waiting_first].submitted_ns < oldest)
            oldest = slot->waiting[slot->waiting_first].submitted_ns;
    return oldest;
}
