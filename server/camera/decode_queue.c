#include "server/camera/decode_queue.h"

#include "config/err.h"
#include "server/camera/decode.h"

#include <libavcodec/avcodec.h>
#include <stdlib.h>

#define MAX_PARAMETERS 8 /* changes of the stream that wait; more is nonsense and ends the stream */
#define RING           (DECODE_QUEUE_PACKETS + MAX_PARAMETERS)
#define MAX_SKIPPED    250 /* 10 s without a key frame: the stream marks none, go on regardless */

static int ring_open(struct decode_queue *queue)
{
    if (queue->ring != NULL)
        return 0;
    queue->ring = calloc(RING, sizeof queue->ring[0]);
    if (queue->ring == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < RING; i++) {
        queue->ring[i].packet = av_packet_alloc();
        if (queue->ring[i].packet == NULL) {
            decode_queue_free(queue);
            return ERR_MEMORY;
        }
    }
    return 0;
}

void decode_queue_free(struct decode_queue *queue)
{
    if (queue->ring == NULL)
        return;
    decode_queue_clear(queue);
    for (size_t i = 0; i < RING; i++)
        av_packet_free(&queue->ring[i].packet);
    free(queue->ring);
    queue->ring = NULL;
}

static struct decode_entry *entry_at(struct decode_queue *queue, size_t index)
{
    return &queue->ring[(queue->first + index) % RING];
}

void decode_queue_clear(struct decode_queue *queue)
{
    for (size_t i = 0; i < queue->count; i++) {
        av_packet_unref(entry_at(queue, i)->packet);
        avcodec_parameters_free(&entry_at(queue, i)->parameters);
    }
    queue->first = queue->count = queue->packets = queue->bytes = 0;
    queue->skipping                                             = false;
}

/* The packets that wait go, the parameters stay in their order. */
static void drop_waiting(struct decode_queue *queue)
{
    size_t kept = 0;

    for (size_t i = 0; i < queue->count; i++) {
        struct decode_entry *entry = entry_at(queue, i);

        if (entry->parameters == NULL) {
            av_packet_unref(entry->packet);
            queue->dropped++;
        } else if (kept++ != i) {
            struct decode_entry *to   = entry_at(queue, kept - 1);
            AVPacket            *swap = to->packet;

            *to               = *entry;
            entry->packet     = swap;
            entry->parameters = NULL;
        }
    }
    queue->count   = kept;
    queue->packets = queue->bytes = 0;
}

static bool is_full(const struct decode_queue *queue, size_t bytes)
{
    if (queue->count == RING || queue->packets == DECODE_QUEUE_PACKETS)
        return true;
    return queue->packets > 0 && queue->bytes + bytes > DECODE_QUEUE_BYTES;
}

int decode_queue_put(struct decode_queue *queue, AVPacket *packet, int64_t wall_ns,
                     int64_t arrival_ns)
{
    struct decode_entry *entry;
    bool                 key = (packet->flags & AV_PKT_FLAG_KEY) != 0;
    bool                 gap = false;

    if (ring_open(queue) != 0 || packet->size > DECODE_PACKET_BYTES ||
        av_packet_make_refcounted(packet) != 0) {
        queue->skipped  = queue->skipping ? queue->skipped : 0;
        queue->skipping = true; /* what follows refers to it */
        goto drop;
    }
    if (queue->skipping && queue->skipped >= MAX_SKIPPED)
        key = true;
    if (!queue->skipping && is_full(queue, (size_t)packet->size)) {
        queue->skipping = true;
        queue->skipped  = 0;
    }
    if (queue->skipping) {
        if (!key)
            goto drop;
        drop_waiting(queue);
        queue->skipping = false;
        gap             = true;
    }
    entry             = entry_at(queue, queue->count++);
    entry->parameters = NULL;
    entry->wall_ns    = wall_ns;
    entry->arrival_ns = arrival_ns;
    entry->gap        = gap;
    queue->packets++;
    queue->bytes += (size_t)packet->size;
    av_packet_move_ref(entry->packet, packet);
    return 0;

drop:
    queue->skipped++;
    queue->dropped++;
    av_packet_unref(packet);
    return queue->ring == NULL ? ERR_MEMORY : 0;
}

int decode_queue_put_parameters(struct decode_queue *queue, AVCodecParameters *parameters,
                                AVRational time_base, AVRational frame_rate)
{
    struct decode_entry *entry;

    if (ring_open(queue) != 0)
        return ERR_MEMORY;
    if (queue->count - queue->packets == MAX_PARAMETERS)
        return ERR_FULL;
    entry             = entry_at(queue, queue->count++);
    entry->parameters = parameters;
    entry->time_base  = time_base;
    entry->frame_rate = frame_rate;
    return 0;
}

bool decode_queue_take(struct decode_queue *queue, struct decode_entry *entry)
{
    struct decode_entry *from;
    AVPacket            *packet = entry->packet;

    if (queue->count == 0)
        return false;
    from          = entry_at(queue, 0);
    *entry        = *from;
    entry->packet = packet;
    av_packet_unref(packet);
    if (from->parameters == NULL) {
        queue->packets--;
        queue->bytes -= (size_t)from->packet->size;
        av_packet_move_ref(packet, from->packet);
    }
    from->parameters = NULL;
    queue->first     = (queue->first + 1) % RING;
    queue->count--;
    return true;
}
