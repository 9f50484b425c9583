#include "server/camera/rtsp_udp.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/clock.h"
#include "config/err.h"

#define PORT_TRIES 32

struct rtsp_udp {
    uv_udp_t                 rtp, rtcp;
    uv_timer_t               timer;
    int                      open_handles;
    bool                     closed;
    struct rtsp_udp_events   events;
    struct sockaddr_storage  own, peer;
    struct sockaddr_storage  peer_rtp, peer_rtcp; /* family 0: not said */
    uint16_t                 port;
    struct rtsp_reorder     *reorder;
    struct rtsp_udp_counters counters;
    uint8_t                  buffer[RTSP_UDP_PACKET_BYTES];
};

static void on_closed(uv_handle_t *handle)
{
    struct rtsp_udp *udp = handle->data;

    if (--udp->open_handles > 0 || !udp->closed)
        return;
    rtsp_reorder_close(&udp->reorder);
    free(udp);
}

static void close_handle(uv_handle_t *handle)
{
    if (handle->data != NULL && !uv_is_closing(handle))
        uv_close(handle, on_closed);
}

void rtsp_udp_close(struct rtsp_udp **out)
{
    struct rtsp_udp *udp = *out;

    if (udp == NULL)
        return;
    *out        = NULL;
    udp->closed = true;
    if (udp->open_handles == 0) {
        rtsp_reorder_close(&udp->reorder);
        free(udp);
        return;
    }
    close_handle((uv_handle_t *)&udp->rtp);
    close_handle((uv_handle_t *)&udp->rtcp);
    close_handle((uv_handle_t *)&udp->timer);
}

/* ---- addresses ---- */

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)address)->sin_port = htons(port);
}

static uint16_t get_port(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

static bool same_host(const struct sockaddr *a, const struct sockaddr_storage *b)
{
    if (a->sa_family != b->ss_family)
        return false;
    if (a->sa_family == AF_INET6)
        return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                      &((const struct sockaddr_in6 *)b)->sin6_addr, 16) == 0;
    return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
           ((const struct sockaddr_in *)b)->sin_addr.s_addr;
}

/* ---- packets ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct rtsp_udp *udp = handle->data;

    (void)suggested;
    *buffer = uv_buf_init((char *)udp->buffer, sizeof udp->buffer);
}

static void on_gap_timer(uv_timer_t *timer);

static void watch_gap(struct rtsp_udp *udp, int64_t now_ns)
{
    int64_t left_ns = rtsp_reorder_tick(udp->reorder, now_ns);

    if (udp->closed)
        return;
    if (left_ns < 0)
        uv_timer_stop(&udp->timer);
    else if (!uv_is_active((uv_handle_t *)&udp->timer))
        uv_timer_start(&udp->timer, on_gap_timer, (uint64_t)(left_ns / NS_PER_MS) + 1, 0);
}

static void on_gap_timer(uv_timer_t *timer)
{
    watch_gap(timer->data, clock_monotonic_ns());
}

static void on_ordered(void *arg, const uint8_t *packet, size_t bytes)
{
    struct rtsp_udp *udp = arg;

    if (!udp->closed)
        udp->events.rtp(udp->events.arg, packet, bytes);
}

static void on_packet(uv_udp_t *handle, ssize_t count, const uv_buf_t *buffer,
                      const struct sockaddr *from, unsigned flags)
{
    struct rtsp_udp *udp = handle->data;
    int64_t          now_ns;

    if (udp->closed || count <= 0 || from == NULL)
        return; /* an ICMP error (nobody listens there yet) is no end: silence is noticed */
    if (!same_host(from, &udp->peer) || (flags & UV_UDP_PARTIAL) != 0) {
        udp->counters.strangers++;
        return;
    }
    if (handle == &udp->rtcp) {
        udp->events.rtcp(udp->events.arg, (const uint8_t *)buffer->base, (size_t)count);
        return;
    }
    udp->counters.packets++;
    now_ns = clock_monotonic_ns();
    rtsp_reorder_add(udp->reorder, (const uint8_t *)buffer->base, (size_t)count, now_ns);
    if (!udp->closed)
        watch_gap(udp, now_ns);
}

static void send_best_effort(uv_udp_t *handle, const struct sockaddr_storage *to,
                             const uint8_t *packet, size_t bytes)
{
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)packet, (unsigned)bytes);

    if (to->ss_family != 0)
        uv_udp_try_send(handle, &buffer, 1, (const struct sockaddr *)to);
}

void rtsp_udp_open_way(struct rtsp_udp *udp, uint16_t rtp_port, uint16_t rtcp_port)
{
    /* An RTP packet without content, and an empty receiver report (RFC 3550). */
    static const uint8_t rtp[12] = {0x80};
    static const uint8_t rtcp[8] = {0x80, 201, 0, 1};

    if (rtp_port != 0) {
        udp->peer_rtp = udp->peer;
        set_port(&udp->peer_rtp, rtp_port);
    }
    if (rtcp_port != 0) {
        udp->peer_rtcp = udp->peer;
        set_port(&udp->peer_rtcp, rtcp_port);
    }
    send_best_effort(&udp->rtp, &udp->peer_rtp, rtp, sizeof rtp);
    send_best_effort(&udp->rtcp, &udp->peer_rtcp, rtcp, sizeof rtcp);
}

void rtsp_udp_send_rtcp(struct rtsp_udp *udp, const uint8_t *packet, size_t bytes)
{
    send_best_effort(&udp->rtcp, &udp->peer_rtcp, packet, bytes);
}

/* ---- ports ---- */

static int bind_port(struct rtsp_udp *udp, uv_loop_t *loop, uv_udp_t *handle, uint16_t port)
{
    struct sockaddr_storage address = udp->own;

    if (uv_udp_init(loop, handle) != 0)
        return ERR_IO;
    handle->data = udp;
    udp->open_handles++;
    set_port(&address, port);
    if (uv_udp_bind(handle, (struct sockaddr *)&address, 0) != 0)
        return ERR_IO;
    return 0;
}

/* A port of the system's choice, until one is found whose neighbour is free, too. */
static int find_pair(const struct sockaddr_storage *own, uint16_t *port)
{
    for (int i = 0; i < PORT_TRIES; i++) {
        struct sockaddr_storage address = *own;
        socklen_t               bytes   = own->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                     : sizeof(struct sockaddr_in);
        int                     first   = socket(own->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        int                     other   = socket(own->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        bool                    found   = false;

        set_port(&address, 0);
        if (first >= 0 && other >= 0 && bind(first, (struct sockaddr *)&address, bytes) == 0 &&
            getsockname(first, (struct sockaddr *)&address, &bytes) == 0) {
            *port = get_port(&address);
            set_port(&address, *port ^ 1);
            found = bind(other, (struct sockaddr *)&address, bytes) == 0;
            *port &= 0xfffe;
        }
        if (first >= 0)
            close(first);
        if (other >= 0)
            close(other);
        if (found)
            return 0;
    }
    return ERR_IO;
}

static int open_ports(struct rtsp_udp *udp, uv_loop_t *loop)
{
    int size = RTSP_UDP_RECEIVE_BYTES;

    if (find_pair(&udp->own, &udp->port) != 0 || bind_port(udp, loop, &udp->rtp, udp->port) != 0 ||
        bind_port(udp, loop, &udp->rtcp, (uint16_t)(udp->port + 1)) != 0 ||
        uv_timer_init(loop, &udp->timer) != 0)
        return ERR_IO;
    udp->timer.data = udp;
    udp->open_handles++;
    /* The kernel gives what it allows (net.core.rmem_max). */
    uv_recv_buffer_size((uv_handle_t *)&udp->rtp, &size);
    if (uv_udp_recv_start(&udp->rtp, on_room, on_packet) != 0 ||
        uv_udp_recv_start(&udp->rtcp, on_room, on_packet) != 0)
        return ERR_IO;
    return 0;
}

int rtsp_udp_open(struct rtsp_udp **out, uv_loop_t *loop, const struct sockaddr_storage *own,
                  const struct sockaddr_storage *peer, const struct rtsp_udp_events *events,
                  struct why *why)
{
    struct rtsp_udp *udp = calloc(1, sizeof *udp);
    int              rc  = ERR_MEMORY;

    *out = NULL;
    if (udp == NULL || rtsp_reorder_open(&udp->reorder, on_ordered, udp) != 0) {
        free(udp);
        return why_set(why, ERR_MEMORY, "out of memory");
    }
    udp->events = *events;
    udp->own    = *own;
    udp->peer   = *peer;
    if ((rc = open_ports(udp, loop)) != 0) {
        rtsp_udp_close(&udp);
        return why_set(why, rc, "no pair of UDP ports is free on this machine");
    }
    *out = udp;
    return 0;
}

uint16_t rtsp_udp_port(const struct rtsp_udp *udp)
{
    return udp->port;
}

void rtsp_udp_counters(const struct rtsp_udp *udp, struct rtsp_udp_counters *counters)
{
    *counters = udp->counters;
    rtsp_reorder_counters(udp->reorder, &counters->reorder);
}
