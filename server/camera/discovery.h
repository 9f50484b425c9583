/* server/camera/discovery.h: which ONVIF cameras are on the network (WS-Discovery 2005/04).
 *
 * One question, asked ROUNDS times from every network of this machine by IPv4 multicast (cameras and
 * switches lose some), or of one address directly. What answers is believed about its name, not about
 * its place: the device's address is the one that the answer came from. At most DISCOVERY_DEVICES_MAX
 * devices; more are counted and not kept.
 *
 * Thread: the loop's. Callbacks come from the loop, never from within discovery_start(). */
#ifndef SIGHTLINE_SERVER_CAMERA_DISCOVERY_H
#define SIGHTLINE_SERVER_CAMERA_DISCOVERY_H

#include "config/limits.h"
#include "config/why.h"
#include "server/camera/onvif_message.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define DISCOVERY_DEVICES_MAX  256
#define DISCOVERY_NETWORKS_MAX 16
#define DISCOVERY_WAIT_MS      4000 /* a device may take 500 ms by the standard; some take 3 s */
#define DISCOVERY_ROUNDS       3
#define DISCOVERY_ROUND_MS     700

struct discovery_device {
    char endpoint[ONVIF_TEXT_BYTES]; /* stays when the address changes */
    char name[ONVIF_TEXT_BYTES];     /* "" when it tells none, as the two below */
    char hardware[ONVIF_TEXT_BYTES];
    char location[ONVIF_TEXT_BYTES];
    char host[64];                 /* the address that answered */
    char service[LIMIT_URL_BYTES]; /* its device service, at that address */
};

struct discovery_settings {
    const char *at;      /* "address[:port]": ask this one alone; NULL: every network */
    int         wait_ms; /* 0: DISCOVERY_WAIT_MS */
    unsigned    reach;   /* which addresses count, see camera_url.h; 0: the default */
    void (*found)(void *arg, const struct discovery_device *device); /* each device once */
    /* After wait_ms; not after discovery_stop(). `networks`: from how many was asked. */
    void (*ended)(void *arg, int networks, int dropped);
    void *arg;
};

struct discovery;

/* ERR_INVALID (`at` is no address), ERR_NOT_FOUND (no network to ask on), ERR_IO, ERR_MEMORY; *out
 * is NULL then. */
int discovery_start(struct discovery **out, uv_loop_t *loop,
                    const struct discovery_settings *settings, struct why *why);
/* At any time, also after it has ended; NULL-safe. The memory goes with the loop's next turn. */
void discovery_stop(struct discovery **discovery);

/* 0 to 1: how much of its time is over. */
double discovery_progress(const struct discovery *discovery);

#endif
