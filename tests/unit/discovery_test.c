// links: camera
/* Looking for cameras: against devices of our own on loopback that answer as real ones do, twice,
 * late, for somebody else, or with rubbish. */
#include "server/camera/discovery.h"
#include "server/camera/xml_tree.h"

#include "config/err.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uv_loop_t loop;

struct device { /* answers every question with all of its datagrams */
    uv_udp_t udp;
    int      port;
    int      questions;
    bool     silent;
    char     asked[ONVIF_TEXT_BYTES]; /* MessageID of the last question */
    char     buffer[ONVIF_DATAGRAM_BYTES];
};

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct device *device = handle->data;

    (void)suggested;
    *buffer = uv_buf_init(device->buffer, sizeof device->buffer);
}

static void send_text(struct device *device, const struct sockaddr *to, const char *text)
{
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)text, (unsigned)strlen(text));

    uv_udp_try_send(&device->udp, &buffer, 1, to);
}

static void answer(struct device *device, const struct sockaddr *to, const char *relates,
                   const char *endpoint, const char *address)
{
    char text[2048];

    snprintf(text, sizeof text,
             "<Envelope><Header><RelatesTo>%s</RelatesTo></Header><Body><ProbeMatches><ProbeMatch>"
             "<EndpointReference><Address>%s</Address></EndpointReference>"
             "<Scopes>onvif://www.onvif.org/name/Gate</Scopes><XAddrs>%s</XAddrs>"
             "</ProbeMatch></ProbeMatches></Body></Envelope>",
             relates, endpoint, address);
    send_text(device, to, text);
}

static void receive(uv_udp_t *udp, ssize_t bytes, const uv_buf_t *buffer,
                    const struct sockaddr *from, unsigned flags)
{
    struct device   *device = udp->data;
    struct xml_tree *tree;
    struct why       why;

    (void)flags;
    if (bytes <= 0 || from == NULL || xml_tree_read(&tree, buffer->base, (size_t)bytes, &why) != 0)
        return;
    snprintf(device->asked, sizeof device->asked, "%s",
             xml_text(xml_tree_root(tree), "Header/MessageID"));
    xml_tree_free(&tree);
    device->questions++;
    if (device->silent)
        return;
    send_text(device, from, "<Envelope><Header>");
    answer(device, from, "urn:uuid:00000000-0000-4000-8000-000000000000", "urn:uuid:other",
           "http://127.0.0.1/");
    /* By its own belief it lives somewhere else. */
    answer(device, from, device->asked, "urn:uuid:gate", "http://192.168.7.7:8080/onvif/service");
    answer(device, from, device->asked, "urn:uuid:gate", "http://192.168.7.7:8080/onvif/service");
    answer(device, from, device->asked, "urn:uuid:bare", "ftp://x/");
}

static void device_start(struct device *device)
{
    struct sockaddr_in any;
    int                length = sizeof any;

    memset(device, 0, sizeof *device);
    uv_ip4_addr("127.0.0.1", 0, &any);
    uv_udp_init(&loop, &device->udp);
    device->udp.data = device;
    uv_udp_bind(&device->udp, (const struct sockaddr *)&any, 0);
    uv_udp_getsockname(&device->udp, (struct sockaddr *)&any, &length);
    device->port = ntohs(any.sin_port);
    uv_udp_recv_start(&device->udp, give_buffer, receive);
}

static struct {
    struct discovery       *discovery;
    struct discovery_device devices[8];
    int                     count, networks, ended;
    bool                    stop_at_first;
} seen;

static void on_found(void *arg, const struct discovery_device *device)
{
    (void)arg;
    if (seen.count < 8)
        seen.devices[seen.count] = *device;
    seen.count++;
    if (seen.stop_at_first)
        discovery_stop(&seen.discovery);
}

static void on_ended(void *arg, int networks, int dropped)
{
    (void)arg;
    (void)dropped;
    seen.networks = networks;
    seen.ended++;
    discovery_stop(&seen.discovery);
}

static void look(struct device *device, bool stop_at_first)
{
    struct discovery_settings settings = {.wait_ms = 200, .found = on_found, .ended = on_ended};
    struct why                why;
    char                      at[64];

    memset(&seen, 0, sizeof seen);
    seen.stop_at_first = stop_at_first;
    snprintf(at, sizeof at, "127.0.0.1:%d", device->port);
    settings.at = at;
    is_int(discovery_start(&seen.discovery, &loop, &settings, &why), 0, "it begins");
    while (seen.discovery != NULL)
        uv_run(&loop, UV_RUN_ONCE);
}

static void test_answers(void)
{
    struct device *device = calloc(1, sizeof *device);

    device_start(device);
    look(device, false);
    is_int(seen.count, 2, "each device once, however often it answers");
    is_text(seen.devices[0].endpoint, "urn:uuid:gate", "which");
    is_text(seen.devices[0].name, "Gate", "its name");
    is_text(seen.devices[0].service, "http://127.0.0.1:8080/onvif/service",
            "at the address that answered, not where it says");
    is_text(seen.devices[1].service, "http://127.0.0.1/onvif/device_service",
            "without an address: where cameras have it");
    is_int(seen.ended, 1, "it ends once");
    is_int(seen.networks, 1, "one place was asked");
    is_int(device->questions, DISCOVERY_ROUNDS, "asked again for what got lost");
    look(device, true);
    is_int(seen.count, 1, "stopped from within an answer");
    is_int(seen.ended, 0, "no end is told after that");
    device->silent = true;
    look(device, false);
    is_int(seen.count, 0, "silence finds nothing");
    is_int(seen.ended, 1, "and ends");
    uv_close((uv_handle_t *)&device->udp, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    free(device);
}

static void test_refusals(void)
{
    static const char *const  WRONG[]  = {"cam.example", "127.0.0.1:",      "127.0.0.1:0",
                                          "127.0.0.1:x", "127.0.0.1:65536", ""};
    struct discovery_settings settings = {.wait_ms = 100, .found = on_found, .ended = on_ended};
    struct discovery         *discovery;
    struct why                why;

    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        settings.at = WRONG[i];
        is_int(discovery_start(&discovery, &loop, &settings, &why), ERR_INVALID, "\"%s\": %s",
               WRONG[i], why.text);
    }
    ok(discovery == NULL, "nothing is left");
    discovery_stop(&discovery);
    uv_run(&loop, UV_RUN_DEFAULT);
}

int main(void)
{
    uv_loop_init(&loop);
    test_answers();
    test_refusals();
    is_int(uv_loop_close(&loop), 0, "no handle is left open");
    return done_testing();
}
