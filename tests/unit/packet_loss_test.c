// links: server
// Packets that are lost now, told from those that were lost once.
#include "server/packet_loss.h"
#include "tests/tap.h"

int main(void)
{
    struct packet_loss loss = {.share = 0};

    ok(packet_loss_is_due(&loss, PACKET_LOSS_NS) && !packet_loss_is_due(&loss, PACKET_LOSS_NS - 1),
       "it is due after its span");
    packet_loss_note(&loss, 800, 200, PACKET_LOSS_NS);
    is_near(loss.share, 0.2, 1e-9, "a fifth is lost");
    ok(!packet_loss_is_due(&loss, 2 * PACKET_LOSS_NS - 1), "the next span begins");
    packet_loss_note(&loss, 1800, 200, 2 * PACKET_LOSS_NS);
    is_near(loss.share, 0, 1e-9, "then none any more, whatever was before");
    packet_loss_note(&loss, 1800 + PACKET_LOSS_PACKETS / 2, 210, 3 * PACKET_LOSS_NS);
    is_near(loss.share, 0, 1e-9, "a handful of packets says nothing");
    packet_loss_note(&loss, 1800 + PACKET_LOSS_PACKETS / 2, 210, 4 * PACKET_LOSS_NS);
    is_near(loss.share, 0, 1e-9, "nor does silence");
    packet_loss_note(&loss, 1800 + PACKET_LOSS_PACKETS / 2, 310, 5 * PACKET_LOSS_NS);
    is_near(loss.share, 1, 1e-9, "all can be lost");
    packet_loss_note(&loss, 2800 + PACKET_LOSS_PACKETS / 2, 305, 6 * PACKET_LOSS_NS);
    is_near(loss.share, 0, 1e-9, "what came after all was not lost");
    return done_testing();
}
