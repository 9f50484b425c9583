#include "server/packet_loss.h"

bool packet_loss_is_due(const struct packet_loss *loss, int64_t now_ns)
{
    return now_ns - loss->since_ns >= PACKET_LOSS_NS;
}

void packet_loss_note(struct packet_loss *loss, uint64_t received, uint64_t lost, int64_t now_ns)
{
    /* One that was taken for lost may still have come. */
    uint64_t came = received - loss->received, gone = lost > loss->lost ? lost - loss->lost : 0;

    loss->share    = came + gone >= PACKET_LOSS_PACKETS ? (double)gone / (double)(came + gone) : 0;
    loss->received = received;
    loss->lost     = lost;
    loss->since_ns = now_ns;
}
