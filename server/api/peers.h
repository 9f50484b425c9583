/* server/api/peers.h: how many connections each address holds.
 *
 * An IPv6 client counts by its /64: that is what one household or machine is given. Loop thread only. */
#ifndef SIGHTLINE_SERVER_API_PEERS_H
#define SIGHTLINE_SERVER_API_PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct peer {
    uint8_t key[16];  /* IPv4-mapped or the upper half of IPv6 */
    char    text[48]; /* for the log */
    bool    loopback;
};

/* AF_INET, AF_INET6; anything else (a local socket) counts as loopback. */
void peer_from_address(struct peer *peer, const struct sockaddr *address);
bool peer_equal(const struct peer *a, const struct peer *b);

struct peers;

/* Room for `capacity` addresses at once. ERR_MEMORY. */
int  peers_open(struct peers **out, int capacity);
void peers_close(struct peers **peers);

/* One connection more; false, and nothing counted, if the address would hold more than `share`. */
bool peers_enter(struct peers *peers, const struct peer *peer, int share);
void peers_leave(struct peers *peers, const struct peer *peer);

#endif
