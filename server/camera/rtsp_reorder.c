#include "server/camera/rtsp_reorder.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "server/camera/rtsp_rtp.h"

#define LATE_MAX 3000 /* further behind is a restarted camera, not a late packet */

struct waiting {
    uint8_t *data; /* NULL: has not come */
    size_t   bytes;
    int64_t  arrival_ns;
};

struct rtsp_reorder {
    rtsp_reorder_fn             *packet;
    void                        *arg;
    bool                         started;
    uint32_t                     ssrc;
    uint16_t                     next;    /* sequence number */
    uint16_t                     highest; /* that waits */
    unsigned                     count;
    struct waiting               waiting[RTSP_REORDER_PACKETS]; /* by sequence number */
    struct rtsp_reorder_counters counters;
};

int rtsp_reorder_open(struct rtsp_reorder **out, rtsp_reorder_fn *packet, void *arg)
{
    struct rtsp_reorder *reorder = calloc(1, sizeof *reorder);

    *out = reorder;
    if (reorder == NULL)
        return ERR_MEMORY;
    reorder->packet = packet;
    reorder->arg    = arg;
    return 0;
}

void rtsp_reorder_close(struct rtsp_reorder **reorder)
{
    if (*reorder == NULL)
        return;
    for (size_t i = 0; i < RTSP_REORDER_PACKETS; i++)
        free((*reorder)->waiting[i].data);
    free(*reorder);
    *reorder = NULL;
}

static struct waiting *slot(struct rtsp_reorder *reorder, uint16_t sequence)
{
    return &reorder->waiting[sequence % RTSP_REORDER_PACKETS];
}

static void pass_waiting(struct rtsp_reorder *reorder, struct waiting *waiting)
{
    reorder->packet(reorder->arg, waiting->data, waiting->bytes);
    free(waiting->data);
    waiting->data = NULL;
    reorder->count--;
    reorder->next++;
}

/* What stands in order at `next`. */
static void pass_ready(struct rtsp_reorder *reorder)
{
    while (reorder->count > 0 && slot(reorder, reorder->next)->data != NULL)
        pass_waiting(reorder, slot(reorder, reorder->next));
}

/* Gives up the gap at `next`. */
static void skip_gap(struct rtsp_reorder *reorder)
{
    while (reorder->count > 0 && slot(reorder, reorder->next)->data == NULL)
        reorder->next++;
    pass_ready(reorder);
}

static void pass_all(struct rtsp_reorder *reorder)
{
    while (reorder->count > 0)
        skip_gap(reorder);
}

static void pass(struct rtsp_reorder *reorder, const uint8_t *packet, size_t bytes)
{
    if (reorder->count > 0)
        reorder->counters.reordered++;
    reorder->packet(reorder->arg, packet, bytes);
    reorder->next++;
    pass_ready(reorder);
}

static void hold(struct rtsp_reorder *reorder, uint16_t sequence, const uint8_t *packet,
                 size_t bytes, int64_t now_ns)
{
    struct waiting *waiting = slot(reorder, sequence);

    if (waiting->data != NULL) {
        reorder->counters.duplicates++;
        return;
    }
    /* A copy, as the buffer that it came in takes the next one: on loss and disorder alone. */
    if ((waiting->data = malloc(bytes)) == NULL)
        return;
    memcpy(waiting->data, packet, bytes);
    waiting->bytes      = bytes;
    waiting->arrival_ns = now_ns;
    if (reorder->count++ == 0 || (int16_t)(sequence - reorder->highest) > 0)
        reorder->highest = sequence;
    else
        reorder->counters.reordered++;
}

static void restart(struct rtsp_reorder *reorder, const struct rtp_header *header)
{
    pass_all(reorder);
    reorder->started = true;
    reorder->ssrc    = header->ssrc;
    reorder->next    = header->sequence;
}

void rtsp_reorder_add(struct rtsp_reorder *reorder, const uint8_t *packet, size_t bytes,
                      int64_t now_ns)
{
    struct rtp_header header;
    uint16_t          ahead;

    if (!rtp_read(&header, packet, bytes)) {
        reorder->packet(reorder->arg, packet, bytes);
        return;
    }
    ahead = (uint16_t)(header.sequence - reorder->next);
    if (!reorder->started || header.ssrc != reorder->ssrc ||
        (ahead >= LATE_MAX && ahead < 0x10000 - LATE_MAX)) {
        restart(reorder, &header);
        ahead = 0;
    }
    if (ahead >= 0x10000 - LATE_MAX) {
        reorder->counters.late++;
        return;
    }
    while (ahead >= RTSP_REORDER_PACKETS) {
        if (reorder->count == 0)
            reorder->next = header.sequence;
        else
            skip_gap(reorder);
        ahead = (uint16_t)(header.sequence - reorder->next);
    }
    if (ahead == 0)
        pass(reorder, packet, bytes);
    else
        hold(reorder, header.sequence, packet, bytes, now_ns);
    rtsp_reorder_tick(reorder, now_ns);
}

/* The first that waits behind the gap came some time ago: the gap is as old. */
static int64_t gap_left_ns(struct rtsp_reorder *reorder, int64_t now_ns)
{
    int64_t  oldest_ns = INT64_MAX;
    unsigned found     = 0;

    for (uint16_t sequence = reorder->next; found < reorder->count; sequence++) {
        const struct waiting *waiting = slot(reorder, sequence);

        if (waiting->data == NULL)
            continue;
        found++;
        if (waiting->arrival_ns < oldest_ns)
            oldest_ns = waiting->arrival_ns;
    }
    return oldest_ns + RTSP_REORDER_NS - now_ns;
}

int64_t rtsp_reorder_tick(struct rtsp_reorder *reorder, int64_t now_ns)
{
    int64_t left_ns;

    while (reorder->count > 0) {
        if ((left_ns = gap_left_ns(reorder, now_ns)) > 0)
            return left_ns;
        skip_gap(reorder);
    }
    return -1;
}

void rtsp_reorder_counters(const struct rtsp_reorder    *reorder,
                           struct rtsp_reorder_counters *counters)
{
    *counters = reorder->counters;
}
