/* GET /metrics in the OpenMetrics text format. */
#include "server/api/routes.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/clock.h"
#include "config/log.h"
#include "server/api/documents.h"
#include "server/api/hub.h"
#include "server/camera/camera_gate.h"

#define ESCAPED_BYTES ((size_t)2 * LIMIT_NAME_BYTES) /* every byte of a name with a backslash */
#define MAX_BYTES     (64 << 20) /* a full server: 1,024 cameras with 64 counters and 6 classes each */

struct page {
    char  *text;
    size_t used_bytes, room_bytes;
    bool   failed;
};

static void append(void *arg, const char *text, size_t bytes)
{
    struct page *page = arg;
    size_t       room = page->room_bytes == 0 ? (size_t)16 << 10 : page->room_bytes;
    char        *grown;

    if (page->failed)
        return;
    while (room < page->used_bytes + bytes && room <= MAX_BYTES)
        room *= 2;
    if (room > page->room_bytes) {
        grown = room > MAX_BYTES ? NULL : realloc(page->text, room);
        if (grown == NULL) {
            page->failed = true;
            return;
        }
        page->text       = grown;
        page->room_bytes = room;
    }
    memcpy(page->text + page->used_bytes, text, bytes);
    page->used_bytes += bytes;
}

__attribute__((format(printf, 2, 3))) static void put(struct page *page, const char *format, ...)
{
    char    line[1024];
    va_list arguments;
    int     used;

    va_start(arguments, format);
    used = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (used < 0 || used >= (int)sizeof line)
        page->failed = true;
    else
        append(page, line, (size_t)used);
}

/* `unit` is the last part of the name, or NULL. */
static void family(struct page *page, const char *name, const char *type, const char *unit,
                   const char *help)
{
    put(page, "# TYPE %s %s\n", name, type);
    if (unit != NULL)
        put(page, "# UNIT %s %s\n", name, unit);
    put(page, "# HELP %s %s\n", name, help);
}

/* A label's value: backslash, quote and line feed are escaped. */
static const char *escape(const char *value, char text[static ESCAPED_BYTES])
{
    size_t used = 0;

    for (; *value != '\0' && used + 2 < ESCAPED_BYTES; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            text[used++] = '\\';
        text[used++] = *value == '\n' ? 'n' : *value;
    }
    text[used] = '\0';
    return text;
}

static void one(struct page *page, const char *name, const char *type, const char *unit,
                const char *help, double value)
{
    family(page, name, type, unit, help);
    put(page, "%s%s %.15g\n", name, strcmp(type, "counter") == 0 ? "_total" : "", value);
}

/* ---- counters ---- */

static void put_counter_labels(struct page *page, const char *name,
                               const struct live_counter *counter, const char *kind,
                               int object_class)
{
    char camera[ESCAPED_BYTES], label[ESCAPED_BYTES];

    put(page, "%s{camera=\"%s\",%s=\"%s\",class=\"%s\"", name, escape(counter->camera, camera),
        kind, escape(counter->counter, label), object_class_name((enum object_class)object_class));
}

static void put_crossings(struct page *page, const struct live_counter *counters, int count,
                          const bool *zones)
{
    family(page, "sightline_crossings", "counter", NULL, "Objects that crossed a line.");
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < OBJECT_CLASSES * 2 && !zones[i]; j++) {
            put_counter_labels(page, "sightline_crossings_total", &counters[i], "line", j / 2);
            put(page, ",direction=\"%s\"} %" PRIu64 "\n", j % 2 == 0 ? "a_to_b" : "b_to_a",
                counters[i].crossings[j / 2][j % 2]);
        }
    }
}

enum zone_figure { ZONE_ENTRIES, ZONE_EXITS, ZONE_OCCUPANCY };

static void put_zones(struct page *page, const struct live_counter *counters, int count,
                      const bool *zones, enum zone_figure figure)
{
    static const struct {
        const char *family, *type, *sample, *help;
    } kinds[] = {{"sightline_zone_entries", "counter", "sightline_zone_entries_total",
                  "Objects that entered a zone."},
                 {"sightline_zone_exits", "counter", "sightline_zone_exits_total",
                  "Objects that left a zone."},
                 {"sightline_zone_occupancy", "gauge", "sightline_zone_occupancy",
                  "Objects inside a zone now."}};

    family(page, kinds[figure].family, kinds[figure].type, NULL, kinds[figure].help);
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < OBJECT_CLASSES && zones[i]; j++) {
            uint64_t value = figure == ZONE_ENTRIES ? counters[i].entries[j]
                             : figure == ZONE_EXITS ? counters[i].exits[j]
                                                    : counters[i].occupancy[j];
            put_counter_labels(page, kinds[figure].sample, &counters[i], "zone", j);
            put(page, "} %" PRIu64 "\n", value);
        }
    }
}

static void put_counts(struct page *page, const struct api *api)
{
    int                        count;
    const struct live_counter *counters = live_counters(api->settings.live, &count);
    bool                      *zones    = malloc((size_t)count + 1);

    if (zones == NULL) {
        page->failed = true;
        return;
    }
    for (int i = 0; i < count; i++)
        zones[i] = document_is_zone(&api->house, &counters[i]);
    put_crossings(page, counters, count, zones);
    put_zones(page, counters, count, zones, ZONE_ENTRIES);
    put_zones(page, counters, count, zones, ZONE_EXITS);
    put_zones(page, counters, count, zones, ZONE_OCCUPANCY);
    free(zones);
}

/* ---- cameras ---- */

static double value_up(const struct api_camera *camera)
{
    return camera->stats.state == CAMERA_STREAMING ? 1 : 0;
}

static double value_reconnects(const struct api_camera *camera)
{
    return (double)camera->stats.reconnects;
}

static double value_decoded(const struct api_camera *camera)
{
    return (double)camera->stats.frames_decoded;
}

static double value_analysed(const struct api_camera *camera)
{
    return (double)camera->stats.frames_analysed;
}

static double value_skipped(const struct api_camera *camera)
{
    return (double)camera->stats.frames_skipped;
}

static double value_still(const struct api_camera *camera)
{
    return (double)camera->stats.frames_still;
}

static double value_wanted(const struct api_camera *camera)
{
    return camera->settings->detect_fps;
}

static double value_given(const struct api_camera *camera)
{
    return camera->given_fps;
}

static double value_on_card(const struct api_camera *camera)
{
    return camera->stats.decoder == CAMERA_DECODER_NONE   ? -1
           : camera->stats.decoder == CAMERA_DECODER_CARD ? 1
                                                          : 0;
}

static double value_relief(const struct api_camera *camera)
{
    return (double)camera->stats.relief;
}

static double value_dropped(const struct api_camera *camera)
{
    return (double)camera->frames_dropped;
}

static double value_failed(const struct api_camera *camera)
{
    return (double)camera->frames_failed;
}

static double value_errors(const struct api_camera *camera)
{
    return (double)camera->stats.decode_errors;
}

static double value_lost(const struct api_camera *camera)
{
    return (double)camera->stats.rtp_lost;
}

static double value_loss(const struct api_camera *camera)
{
    return camera->packet_loss;
}

static double value_received(const struct api_camera *camera)
{
    return (double)camera->stats.rtp_received;
}

static double value_reordered(const struct api_camera *camera)
{
    return (double)camera->stats.rtp_reordered;
}

static double value_duplicates(const struct api_camera *camera)
{
    return (double)camera->stats.rtp_duplicates;
}

static double value_late(const struct api_camera *camera)
{
    return (double)camera->stats.rtp_late;
}

static double value_jitter(const struct api_camera *camera)
{
    return camera->stats.jitter_ms / 1000;
}

static double value_packets_dropped(const struct api_camera *camera)
{
    return (double)camera->stats.packets_dropped;
}

static double value_bytes(const struct api_camera *camera)
{
    return (double)camera->stats.bytes;
}

static double value_coverage(const struct api_camera *camera)
{
    return camera->coverage;
}

static const struct camera_family {
    const char *name, *type, *unit, *help;
    double (*value)(const struct api_camera *camera); /* negative: not known yet, left out */
} camera_families[] = {
    {"sightline_camera_up", "gauge", NULL, "1 while pictures arrive.", value_up},
    {"sightline_camera_reconnects", "counter", NULL, "Streams lost and begun again.",
     value_reconnects},
    {"sightline_camera_received_bytes", "counter", "bytes", "Received from the camera.",
     value_bytes},
    {"sightline_frames_decoded", "counter", NULL, "Pictures decoded.", value_decoded},
    {"sightline_frames_analysed", "counter", NULL, "Pictures analysed.", value_analysed},
    {"sightline_frames_skipped", "counter", NULL,
     "Pictures decoded and not analysed, as the wanted rate is lower.", value_skipped},
    {"sightline_frames_still", "counter", NULL, "Pictures not analysed, as nothing moved.",
     value_still},
    {"sightline_frames_dropped", "counter", NULL, "Pictures given up for newer ones under load.",
     value_dropped},
    {"sightline_frames_failed", "counter", NULL, "Pictures that could not be analysed.",
     value_failed},
    {"sightline_analysis_wanted_rate", "gauge", NULL,
     "Pictures a second that are to be analysed; 0: all.", value_wanted},
    {"sightline_analysis_given_rate", "gauge", NULL,
     "Pictures a second that the detector has time for; 0: all.", value_given},
    {"sightline_decode_relief", "gauge", NULL,
     "What is decoded under load: 0 all, 1 not what no other refers to, 2 key frames only.",
     value_relief},
    {"sightline_decode_on_card", "gauge", NULL,
     "1 where a card decodes the video, 0 where processors do.", value_on_card},
    {"sightline_decode_errors", "counter", NULL, "Pictures that could not be decoded.",
     value_errors},
    {"sightline_decode_packets_dropped", "counter", NULL,
     "Coded pictures dropped before the decoder: the queue was full, or a key frame was awaited.",
     value_packets_dropped},
    {"sightline_rtp_packets_received", "counter", NULL, "RTP packets.", value_received},
    {"sightline_rtp_packets_lost", "counter", NULL, "RTP packets that never arrived.", value_lost},
    {"sightline_rtp_loss_ratio", "gauge", "ratio",
     "Share of the RTP packets of the last seconds that never arrived.", value_loss},
    {"sightline_rtp_packets_reordered", "counter", NULL, "RTP packets put in order again.",
     value_reordered},
    {"sightline_rtp_packets_duplicate", "counter", NULL, "RTP packets that came twice.",
     value_duplicates},
    {"sightline_rtp_packets_late", "counter", NULL, "RTP packets that came too late.", value_late},
    {"sightline_rtp_jitter_seconds", "gauge", "seconds", "Interarrival jitter.", value_jitter},
    {"sightline_count_coverage_ratio", "gauge", "ratio",
     "Share of the last full minute that was analysed.", value_coverage},
};

static void put_cameras(struct page *page, const struct api_house *house)
{
    char name[ESCAPED_BYTES];

    for (size_t i = 0; i < sizeof camera_families / sizeof camera_families[0]; i++) {
        const struct camera_family *kind = &camera_families[i];
        bool                        sums = strcmp(kind->type, "counter") == 0;
        family(page, kind->name, kind->type, kind->unit, kind->help);
        for (int j = 0; j < house->camera_count(house->arg); j++) {
            struct api_camera camera;
            if (!house->camera(house->arg, j, &camera) || kind->value(&camera) < 0)
                continue;
            put(page, "%s%s{camera=\"%s\"} %.15g\n", kind->name, sums ? "_total" : "",
                escape(camera.settings->name, name), kind->value(&camera));
        }
    }
}

static void put_losses(struct page *page, const struct api_house *house)
{
    struct camera_gate_stats gate = camera_gate_stats();
    char                     name[ESCAPED_BYTES];

    family(page, "sightline_camera_losses", "counter", NULL,
           "Attempts that failed and streams that were lost, by reason.");
    for (int j = 0; j < house->camera_count(house->arg); j++) {
        struct api_camera camera;

        if (!house->camera(house->arg, j, &camera))
            continue;
        for (int i = 0; i < CAMERA_LOSSES; i++)
            put(page, "sightline_camera_losses_total{camera=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                escape(camera.settings->name, name), camera_loss_name((enum camera_loss)i),
                camera.stats.losses[i]);
    }
    one(page, "sightline_camera_connects_waiting", "gauge", NULL,
        "Cameras that wait for others to connect first.", gate.waiting);
    one(page, "sightline_camera_connects_delayed", "counter", NULL,
        "Times that a camera waited for others to connect first.", (double)gate.delayed);
}

/* ---- storage ---- */

static void put_storage(struct page *page, const struct api *api)
{
    struct ledger_health ledger = ledger_health(api->settings.ledger);
    struct live_health   live   = live_health(api->settings.live);

    one(page, "sightline_ledger_writable", "gauge", NULL,
        "0 after a failed commit until one succeeds.", ledger.writable ? 1 : 0);
    one(page, "sightline_ledger_disk_free_bytes", "gauge", "bytes",
        "Room on the disk that the ledger lies on.", (double)ledger.disk_free_bytes);
    one(page, "sightline_ledger_commits", "counter", NULL, "Groups of events written durably.",
        (double)ledger.commits);
    one(page, "sightline_ledger_failed_commits", "counter", NULL, "Commits that failed.",
        (double)ledger.failed_commits);
    one(page, "sightline_ledger_events_waiting", "gauge", NULL, "Events that wait for a commit.",
        (double)ledger.waiting);
    one(page, "sightline_ledger_events_lost", "counter", NULL,
        "Events refused because the queue was full.", (double)ledger.lost);
    one(page, "sightline_ledger_coverage_lost", "counter", NULL,
        "Spans of analysed time refused because the queue was full: gaps in the history.",
        (double)ledger.coverage_lost);
    one(page, "sightline_ledger_last_commit_seconds", "gauge", "seconds",
        "Duration of the last commit.", (double)ledger.last_commit_ns / 1e9);
    one(page, "sightline_ledger_last_seq", "gauge", NULL, "Number of the last acknowledged event.",
        (double)ledger_last_seq(api->settings.ledger));
    family(page, "sightline_redis_state", "stateset", NULL, "Connection to Redis.");
    for (int i = LIVE_REDIS_OFF; i <= LIVE_REDIS_UP; i++) {
        static const char *const names[] = {"off", "connecting", "syncing", "up"};
        put(page, "sightline_redis_state{sightline_redis_state=\"%s\"} %d\n", names[i],
            (int)live.redis == i);
    }
    one(page, "sightline_redis_reconnects", "counter", NULL,
        "Connections to Redis lost and made again.", (double)live.reconnects);
    one(page, "sightline_redis_published_seq", "gauge", NULL,
        "Last event that Redis has confirmed.", (double)live.published_seq);
}

/* ---- the API itself ---- */

static void put_http(struct page *page, const struct http_server_stats *stats)
{
    family(page, "sightline_http_requests", "counter", NULL, "Requests answered, by status.");
    for (int i = 0; i < HTTP_STATUSES; i++) {
        if (stats->responses[i] > 0)
            put(page, "sightline_http_requests_total{status=\"%d\"} %" PRIu64 "\n", i,
                stats->responses[i]);
    }
    family(page, "sightline_http_refusals", "counter", NULL,
           "Requests and connections refused before anybody saw them, by reason.");
    for (int i = REFUSE_NOTHING + 1; i < HTTP_REFUSALS; i++)
        put(page, "sightline_http_refusals_total{reason=\"%s\"} %" PRIu64 "\n",
            http_refusal_label((enum http_refusal)i), stats->refusals[i]);
    one(page, "sightline_http_connections", "gauge", NULL, "Open connections, WebSockets included.",
        stats->connections);
    one(page, "sightline_http_accepted", "counter", NULL, "Connections accepted.",
        (double)stats->accepted);
    one(page, "sightline_http_evicted", "counter", NULL,
        "Connections without a request that made room for others.", (double)stats->evicted);
}

static void put_websocket(struct page *page, const struct hub_stats *stats)
{
    one(page, "sightline_ws_clients", "gauge", NULL, "WebSocket clients.", stats->clients);
    one(page, "sightline_ws_subscriptions", "gauge", NULL, "Topics that clients subscribe to.",
        stats->subscriptions);
    one(page, "sightline_ws_messages_received", "counter", NULL, "Messages from clients.",
        (double)stats->messages_in);
    one(page, "sightline_ws_messages_sent", "counter", NULL, "Messages to clients.",
        (double)stats->messages_out);
    one(page, "sightline_ws_sent_bytes", "counter", "bytes", "Bytes to clients.",
        (double)stats->bytes_out);
    one(page, "sightline_ws_messages_dropped", "counter", NULL,
        "Times that a client was skipped on to the next key frame.",
        (double)stats->video_units_dropped);
    family(page, "sightline_ws_clients_closed", "counter", NULL,
           "Clients closed by us, by reason.");
    put(page, "sightline_ws_clients_closed_total{reason=\"behind\"} %" PRIu64 "\n",
        stats->closed_behind);
    put(page, "sightline_ws_clients_closed_total{reason=\"silent\"} %" PRIu64 "\n",
        stats->closed_silent);
    put(page, "sightline_ws_clients_closed_total{reason=\"policy\"} %" PRIu64 "\n",
        stats->closed_policy);
    put(page, "sightline_ws_clients_closed_total{reason=\"too_large\"} %" PRIu64 "\n",
        stats->closed_oversized);
}

/* ---- the process ---- */

static double resident_bytes(void)
{
    FILE         *file  = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int open_files(void)
{
    DIR           *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    int            count = 0;

    if (folder == NULL)
        return 0;
    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - 1; /* without the one that reads */
}

static void put_process(struct page *page)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    one(page, "process_resident_memory_bytes", "gauge", "bytes", "Resident memory.",
        resident_bytes());
    one(page, "process_cpu_seconds", "counter", "seconds", "User and system time.",
        (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
            (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    one(page, "process_open_fds", "gauge", NULL, "Open file descriptors.", open_files());
    one(page, "sightline_log_suppressed", "counter", NULL,
        "Log lines not written because of a burst.", (double)log_suppressed());
}

void handle_metrics(struct call *call)
{
    const struct api       *api   = call->api;
    const struct api_house *house = &api->house;
    struct page             page  = {0};
    struct hub_stats        stats;
    struct server_status    status;

    document_read_status(&status, house);
    hub_stats(api->hub, &stats);
    family(&page, "sightline_build", "info", NULL, "The program.");
    put(&page, "sightline_build_info{version=\"%s\"} 1\n", SIGHTLINE_VERSION);
    one(&page, "sightline_ready", "gauge", NULL, "1 while /api/v1/ready answers 200.",
        status.ready ? 1 : 0);
    one(&page, "sightline_problems", "gauge", NULL, "Problems that an operator should know.",
        status.problem_count);
    put_counts(&page, api);
    put_cameras(&page, house);
    put_losses(&page, house);
    put_storage(&page, api);
    put_http(&page, http_server_stats(api->server));
    put_websocket(&page, &stats);
    put_process(&page);
    house->metrics(house->arg, append, &page);
    append(&page, "# EOF\n", 6);
    if (page.failed) {
        free(page.text);
        reply_error(&call->exchange->reply, 503, "the metrics do not fit into memory");
        return;
    }
    reply_static(&call->exchange->reply, 200,
                 "application/openmetrics-text; version=1.0.0; charset=utf-8", page.text,
                 page.used_bytes);
    call->exchange->reply.owned = page.text;
}
