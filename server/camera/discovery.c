#include "server/camera/discovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/assert.h"
#include "config/err.h"
#include "server/camera/camera_url.h"

struct asker { /* one network */
    uv_udp_t udp;
    bool     open;
};

struct discovery {
    uv_loop_t                *loop;
    struct discovery_settings settings;
    char                      uuid[ONVIF_UUID_BYTES];
    char                      question[ONVIF_REQUEST_BYTES];
    size_t                    question_bytes;
    struct sockaddr_in        to;
    struct asker              askers[DISCOVERY_NETWORKS_MAX];
    int                       asker_count; /* places taken, also by what could not be opened */
    int                       open_count;
    uv_timer_t                timer;
    int                       handles; /* open or closing */
    int                       rounds;
    uint64_t                  started_ms;
    struct discovery_device   devices[DISCOVERY_DEVICES_MAX];
    int                       device_count, dropped;
    bool                      stopped;
    char                      datagram[ONVIF_DATAGRAM_BYTES];
};

/* ---- the end ---- */

static void handle_closed(uv_handle_t *handle)
{
    struct discovery *discovery = handle->data;

    if (--discovery->handles == 0)
        free(discovery);
}

void discovery_stop(struct discovery **out)
{
    struct discovery *discovery = *out;

    *out = NULL;
    if (discovery == NULL)
        return;
    ASSERT(!discovery->stopped);
    discovery->stopped = true;
    for (int i = 0; i < discovery->asker_count; i++) {
        if (discovery->askers[i].open)
            uv_close((uv_handle_t *)&discovery->askers[i].udp, handle_closed);
    }
    uv_close((uv_handle_t *)&discovery->timer, handle_closed);
}

static int wait_ms(const struct discovery *discovery)
{
    return discovery->settings.wait_ms > 0 ? discovery->settings.wait_ms : DISCOVERY_WAIT_MS;
}

double discovery_progress(const struct discovery *discovery)
{
    double passed = (double)(uv_now(discovery->loop) - discovery->started_ms) / wait_ms(discovery);

    return passed < 1 ? passed : 1;
}

/* ---- answers ---- */

static void add_device(struct discovery *discovery, const struct onvif_match *match,
                       const char *host)
{
    struct discovery_device device = {{0}, {0}, {0}, {0}, {0}, {0}};
    struct why              why;
    int                     placed = -1;

    for (int i = 0; i < discovery->device_count; i++) {
        if (strcmp(discovery->devices[i].endpoint, match->endpoint) == 0)
            return;
    }
    for (int i = 0; i < match->address_count && placed != 0; i++)
        placed = onvif_place_at(match->address[i], host, "http https", device.service, &why);
    if (placed != 0)
        snprintf(device.service, sizeof device.service, "http://%s%s", host, ONVIF_DEVICE_PATH);
    if (discovery->device_count == DISCOVERY_DEVICES_MAX) {
        discovery->dropped++;
        return;
    }
    memcpy(device.endpoint, match->endpoint, sizeof device.endpoint);
    memcpy(device.name, match->name, sizeof device.name);
    memcpy(device.hardware, match->hardware, sizeof device.hardware);
    memcpy(device.location, match->location, sizeof device.location);
    snprintf(device.host, sizeof device.host, "%s", host);
    discovery->devices[discovery->device_count++] = device;
    discovery->settings.found(discovery->settings.arg, &device);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct discovery *discovery = handle->data;

    (void)suggested;
    *buffer = uv_buf_init(discovery->datagram, sizeof discovery->datagram);
}

static void receive(uv_udp_t *udp, ssize_t bytes, const uv_buf_t *buffer,
                    const struct sockaddr *from, unsigned flags)
{
    struct discovery  *discovery = udp->data;
    struct onvif_match matches[4]; /* a device answers for itself; some for two of its services */
    struct why         why;
    char               host[64];
    unsigned           reach;
    int                count;

    if (bytes <= 0 || from == NULL || discovery->stopped || (flags & UV_UDP_PARTIAL) != 0)
        return;
    reach = discovery->settings.reach != 0 ? discovery->settings.reach : SETTINGS_REACH_DEFAULT;
    if (camera_url_allow(from, reach, &why) != 0 ||
        uv_ip4_name((const struct sockaddr_in *)from, host, sizeof host) != 0)
        return;
    count = onvif_read_matches(buffer->base, (size_t)bytes, discovery->uuid, matches,
                               (int)(sizeof matches / sizeof matches[0]), &why);
    for (int i = 0; i < count && !discovery->stopped; i++)
        add_device(discovery, &matches[i], host);
}

/* ---- questions ---- */

static void ask(struct discovery *discovery)
{
    uv_buf_t buffer = uv_buf_init(discovery->question, (unsigned)discovery->question_bytes);

    /* Not sent (a network that has just gone, a full buffer): the next round tries again. */
    for (int i = 0; i < discovery->asker_count; i++) {
        if (discovery->askers[i].open)
            (void)uv_udp_try_send(&discovery->askers[i].udp, &buffer, 1,
                                  (const struct sockaddr *)&discovery->to);
    }
    discovery->rounds++;
}

static void on_timer(uv_timer_t *timer)
{
    struct discovery *discovery = timer->data;

    if (discovery->rounds < DISCOVERY_ROUNDS)
        ask(discovery);
    if (uv_now(discovery->loop) - discovery->started_ms < (uint64_t)wait_ms(discovery))
        return;
    uv_timer_stop(timer);
    for (int i = 0; i < discovery->asker_count; i++) {
        if (discovery->askers[i].open)
            uv_udp_recv_stop(&discovery->askers[i].udp);
    }
    discovery->settings.ended(discovery->settings.arg, discovery->open_count, discovery->dropped);
}

/* A network that cannot be asked is passed over: there may be others. */
static void add_asker(struct discovery *discovery, const struct sockaddr_in *own, bool multicast)
{
    struct asker *asker = &discovery->askers[discovery->asker_count];
    char          name[64];
    int           rc;

    if (discovery->asker_count == DISCOVERY_NETWORKS_MAX ||
        uv_udp_init(discovery->loop, &asker->udp) != 0)
        return;
    asker->udp.data = discovery;
    discovery->handles++;
    discovery->asker_count++;
    rc = uv_udp_bind(&asker->udp, (const struct sockaddr *)own, 0);
    if (rc == 0 && multicast && (rc = uv_ip4_name(own, name, sizeof name)) == 0)
        rc = uv_udp_set_multicast_interface(&asker->udp, name);
    if (rc == 0)
        rc = uv_udp_recv_start(&asker->udp, give_buffer, receive);
    asker->open = rc == 0;
    discovery->open_count += rc == 0;
    if (rc != 0)
        uv_close((uv_handle_t *)&asker->udp, handle_closed);
}

static int ask_everywhere(struct discovery *discovery, struct why *why)
{
    uv_interface_address_t *interfaces;
    int                     count;
    int                     rc = uv_interface_addresses(&interfaces, &count);

    if (rc != 0)
        return why_set(why, ERR_IO, "cannot list the networks of this machine: %s",
                       uv_strerror(rc));
    for (int i = 0; i < count; i++) {
        struct sockaddr_in own = interfaces[i].address.address4;
        if (interfaces[i].is_internal || own.sin_family != AF_INET)
            continue;
        own.sin_port = 0;
        add_asker(discovery, &own, true);
    }
    uv_free_interface_addresses(interfaces, count);
    uv_ip4_addr(ONVIF_DISCOVERY_GROUP, ONVIF_DISCOVERY_PORT, &discovery->to);
    if (discovery->open_count == 0)
        return why_set(why, ERR_NOT_FOUND,
                       "this machine is on no IPv4 network to look for cameras on");
    return 0;
}

static int ask_one(struct discovery *discovery, struct why *why)
{
    const char        *at    = discovery->settings.at;
    const char        *colon = strchr(at, ':');
    struct sockaddr_in any;
    char               host[64];
    char              *end  = NULL;
    long               port = colon == NULL ? ONVIF_DISCOVERY_PORT : strtol(colon + 1, &end, 10);

    snprintf(host, sizeof host, "%.*s", (int)(colon == NULL ? strlen(at) : (size_t)(colon - at)),
             at);
    if ((colon != NULL && (end == colon + 1 || *end != '\0')) || port < 1 || port > 65535 ||
        uv_ip4_addr(host, (int)port, &discovery->to) != 0)
        return why_set(why, ERR_INVALID,
                       "\"%.60s\" is no IPv4 address to ask, with or without :port", at);
    uv_ip4_addr("0.0.0.0", 0, &any);
    add_asker(discovery, &any, false);
    return discovery->open_count == 1 ? 0
                                      : why_set(why, ERR_IO, "cannot open a socket to ask from");
}

int discovery_start(struct discovery **out, uv_loop_t *loop,
                    const struct discovery_settings *settings, struct why *why)
{
    struct discovery *discovery = calloc(1, sizeof *discovery);
    int               rc;

    *out = NULL;
    if (discovery == NULL)
        return why_set(why, ERR_MEMORY, "no memory to look for cameras");
    discovery->loop       = loop;
    discovery->settings   = *settings;
    discovery->handles    = 1;
    discovery->timer.data = discovery;
    uv_timer_init(loop, &discovery->timer);
    onvif_uuid(discovery->uuid);
    discovery->question_bytes = onvif_write_probe(discovery->uuid, discovery->question,
                                                  sizeof discovery->question);
    uv_update_time(loop);
    discovery->started_ms = uv_now(loop);
    rc = settings->at != NULL ? ask_one(discovery, why) : ask_everywhere(discovery, why);
    if (rc == 0) {
        /* No reason to wait: the first round goes out with the loop's next turn. */
        uv_timer_start(&discovery->timer, on_timer, 0,
                       (uint64_t)(wait_ms(discovery) < DISCOVERY_ROUND_MS * DISCOVERY_ROUNDS
                                      ? wait_ms(discovery) / (DISCOVERY_ROUNDS + 1) + 1
                                      : DISCOVERY_ROUND_MS));
        *out = discovery;
        return 0;
    }
    discovery_stop(&discovery);
    return rc;
}
