/* server/packet_loss.h: whether a camera's packets are lost on their way now: the counters since its start say
 * nothing of the last seconds. Pure. */
#ifndef SIGHTLINE_SERVER_PACKET_LOSS_H
#define SIGHTLINE_SERVER_PACKET_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#define PACKET_LOSS_NS      INT64_C(5000000000) /* over so long */
#define PACKET_LOSS_PACKETS 50                  /* fewer say nothing */
#define PACKET_LOSS_TOLD    0.01 /* a picture has dozens of packets: most of them are damaged then */

/* Zero at the beginning. */
struct packet_loss {
    int64_t  since_ns;
    uint64_t received, lost; /* until then */
    double   share;          /* of the span before, 0..1 */
};

/* Is it time for packet_loss_note()? */
bool packet_loss_is_due(const struct packet_loss *loss, int64_t now_ns);
/* So many were received and lost since the beginning. */
void packet_loss_note(struct packet_loss *loss, uint64_t received, uint64_t lost, int64_t now_ns);

#endif
