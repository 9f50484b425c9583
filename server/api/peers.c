#include "server/api/peers.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "config/assert.h"
#include "config/err.h"

struct entry {
    uint8_t key[16];
    int     connections; /* 0: free */
};

struct peers {
    int          capacity;
    int          used;
    struct entry entries[]; /* unordered: a few dozen addresses are the rule */
};

void peer_from_address(struct peer *peer, const struct sockaddr *address)
{
    memset(peer, 0, sizeof *peer);
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        peer->key[10] = peer->key[11] = 0xff;
        memcpy(peer->key + 12, &in->sin_addr, 4);
        uv_ip4_name(in, peer->text, sizeof peer->text);
        peer->loopback = peer->key[12] == 127;
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6    = (const struct sockaddr_in6 *)(const void *)address;
        bool                       mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
        memcpy(peer->key, &in6->sin6_addr, mapped ? 16 : 8);
        uv_ip6_name(in6, peer->text, sizeof peer->text);
        peer->loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) || (mapped && peer->key[12] == 127);
    } else {
        memcpy(peer->text, "local", sizeof "local");
        peer->loopback = true;
    }
}

bool peer_equal(const struct peer *a, const struct peer *b)
{
    return memcmp(a->key, b->key, sizeof a->key) == 0;
}

int peers_open(struct peers **out, int capacity)
{
    *out = calloc(1, sizeof **out + (size_t)capacity * sizeof(struct entry));
    if (*out == NULL)
        return ERR_MEMORY;
    (*out)->capacity = capacity;
    return 0;
}

void peers_close(struct peers **peers)
{
    free(*peers);
    *peers = NULL;
}

static struct entry *find(struct peers *peers, const struct peer *peer)
{
    for (int i = 0; i < peers->used; i++) {
        if (memcmp(peers->entries[i].key, peer->key, sizeof peer->key) == 0)
            return &peers->entries[i];
    }
    return NULL;
}

bool peers_enter(struct peers *peers, const struct peer *peer, int share)
{
    struct entry *entry = find(peers, peer);

    if (entry == NULL) {
        if (peers->used == peers->capacity)
            return false;
        entry = &peers->entries[peers->used++];
        memcpy(entry->key, peer->key, sizeof entry->key);
        entry->connections = 0;
    }
    if (entry->connections >= share)
        return false;
    entry->connections++;
    return true;
}

void peers_leave(struct peers *peers, const struct peer *peer)
{
    struct entry *entry = find(peers, peer);

    ASSERT(entry != NULL && entry->connections > 0);
    if (--entry->connections == 0)
        *entry = peers->entries[--peers->used];
}
