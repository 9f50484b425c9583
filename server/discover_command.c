/* `sightline discover`: lists the ONVIF cameras of the network as they answer. */
#include "config/json_writer.h"
#include "config/plural.h"
#include "server/camera/discovery.h"
#include "server/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_S_MAX        60
#define JSON_DEVICE_BYTES 8192 /* more than one can take, every byte of it escaped */

struct look {
    struct discovery  *discovery;
    bool               json;
    int                count;
    struct json_writer out; /* --json: the list so far */
};

static const char USAGE[] =
    "usage: sightline discover [--at ADDRESS[:PORT]] [--wait SECONDS] [--json]\n"
    "\n"
    "Asks every network of this machine which cameras are there (ONVIF, WS-Discovery), or the one\n"
    "address. A camera answers only if ONVIF is switched on in it. Networks behind a router and\n"
    "containers without the host's network are not reached by the question: use --at there.\n";

static void write_json(struct json_writer *json, const struct discovery_device *device)
{
    json_begin_object(json);
    json_put_pair(json, "name", device->name);
    json_put_pair(json, "hardware", device->hardware);
    json_put_pair(json, "location", device->location);
    json_put_pair(json, "host", device->host);
    json_put_pair(json, "service", device->service);
    json_put_pair(json, "endpoint", device->endpoint);
    json_end_object(json);
}

static void on_found(void *arg, const struct discovery_device *device)
{
    struct look *look = arg;

    look->count++;
    if (look->json) {
        write_json(&look->out, device);
        return;
    }
    if (look->count == 1)
        printf("%-16s %-28s %-24s %s\n", "ADDRESS", "NAME", "HARDWARE", "DEVICE SERVICE");
    printf("%-16s %-28s %-24s %s\n", device->host, device->name, device->hardware, device->service);
    fflush(stdout);
}

static void on_ended(void *arg, int networks, int dropped)
{
    struct look *look = arg;

    fprintf(stderr, "%d camera%s; asked on %d network%s\n", look->count,
            plural((uint64_t)look->count), networks, plural((uint64_t)networks));
    if (dropped > 0)
        fprintf(stderr, "%d more than %d answered\n", dropped, DISCOVERY_DEVICES_MAX);
    discovery_stop(&look->discovery);
}

static bool parse(int argc, char **argv, struct discovery_settings *settings, bool *json)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            *json = true;
        } else if (strcmp(argv[i], "--at") == 0 && i + 1 < argc) {
            settings->at = argv[++i];
        } else if (strcmp(argv[i], "--wait") == 0 && i + 1 < argc) {
            char  *end;
            double seconds = strtod(argv[++i], &end);
            if (*end != '\0' || !(seconds >= 0.1 && seconds <= WAIT_S_MAX))
                return false;
            settings->wait_ms = (int)(seconds * 1000);
        } else {
            return false;
        }
    }
    return true;
}

int command_discover(int argc, char **argv)
{
    struct look               look     = {.json = false};
    struct discovery_settings settings = {.found = on_found, .ended = on_ended, .arg = &look};
    struct why                why;
    uv_loop_t                 loop;
    int                       rc;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(USAGE, stdout);
        return 0;
    }
    if (!parse(argc, argv, &settings, &look.json)) {
        fputs(USAGE, stderr);
        return 2;
    }
    if (uv_loop_init(&loop) != 0) {
        fputs("sightline: too few descriptors\n", stderr);
        return 1;
    }
    json_init(&look.out, DISCOVERY_DEVICES_MAX * JSON_DEVICE_BYTES);
    json_begin_array(&look.out);
    rc = discovery_start(&look.discovery, &loop, &settings, &why);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    json_end_array(&look.out);
    if (rc != 0)
        fprintf(stderr, "sightline: %s\n", why.text);
    else if (look.json)
        puts(json_text(&look.out, NULL));
    json_free(&look.out);
    return rc == 0 ? 0 : 1;
}
