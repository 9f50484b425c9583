#include "server/count_report.h"

#include "config/err.h"
#include "config/json_writer.h"
#include "config/plural.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define JSON_MAX_BYTES (1 << 20)

void count_report_begin(struct count_report *report, const struct settings_camera *camera)
{
    memset(report, 0, sizeof *report);
    report->camera = camera;
}

void count_report_event(struct count_report *report, const struct event *event)
{
    const struct settings_camera *camera = report->camera;

    report->events++;
    for (int i = 0; i < camera->line_count && event->kind == EVENT_LINE_CROSSING; i++) {
        if (strcmp(camera->lines[i].name, event->counter) == 0)
            report->lines[i]
                .crossings[event->object_class][event->direction == DIRECTION_A_TO_B ? 0 : 1]++;
    }
    for (int i = 0; i < camera->zone_count && event->kind != EVENT_LINE_CROSSING; i++) {
        struct count_report_zone *zone = &report->zones[i];
        if (strcmp(camera->zones[i].name, event->counter) != 0)
            continue;
        if (event->kind == EVENT_ZONE_ENTRY)
            zone->entries[event->object_class]++;
        if (event->kind == EVENT_ZONE_EXIT) {
            zone->exits[event->object_class]++;
            zone->dwell_ms += event->dwell_ms;
        }
    }
}

void count_report_occupancy(struct count_report *report, const char *name,
                            const uint32_t inside[OBJECT_CLASSES])
{
    for (int i = 0; i < report->camera->zone_count; i++) {
        struct count_report_zone *zone = &report->zones[i];
        uint32_t                  sum  = 0;
        if (strcmp(report->camera->zones[i].name, name) != 0)
            continue;
        memcpy(zone->occupancy, inside, sizeof zone->occupancy);
        for (int c = 0; c < OBJECT_CLASSES; c++)
            sum += inside[c];
        if (sum > zone->occupancy_max)
            zone->occupancy_max = sum;
    }
}

static uint64_t sum(const uint64_t *values, int stride)
{
    uint64_t total = 0;

    for (int c = 0; c < OBJECT_CLASSES; c++)
        total += values[(ptrdiff_t)c * stride];
    return total;
}

static double duration_s(const struct count_report *report)
{
    return report->duration_s > 0 ? report->duration_s : (double)report->last_pts_ns / 1e9;
}

static double mean_dwell_s(const struct count_report_zone *zone)
{
    uint64_t exits = sum(zone->exits, 1);

    return exits == 0 ? 0 : (double)zone->dwell_ms / 1e3 / (double)exits;
}

/* ---- JSON ---- */

static void json_pair(struct json_writer *json, const char *key_a, uint64_t a, const char *key_b,
                      uint64_t b)
{
    json_key(json, key_a);
    json_put_uint(json, a);
    json_key(json, key_b);
    json_put_uint(json, b);
}

static void json_line(struct json_writer *json, const char *name,
                      const struct count_report_line *line)
{
    json_begin_object(json);
    json_key(json, "name");
    json_put_string(json, name);
    json_key(json, "total");
    json_begin_object(json);
    json_pair(json, "a_to_b", sum(&line->crossings[0][0], 2), "b_to_a",
              sum(&line->crossings[0][1], 2));
    json_end_object(json);
    json_key(json, "classes");
    json_begin_object(json);
    for (int c = 0; c < OBJECT_CLASSES; c++) {
        if (line->crossings[c][0] + line->crossings[c][1] == 0)
            continue;
        json_key(json, object_class_name((enum object_class)c));
        json_begin_object(json);
        json_pair(json, "a_to_b", line->crossings[c][0], "b_to_a", line->crossings[c][1]);
        json_end_object(json);
    }
    json_end_object(json);
    json_end_object(json);
}

static void json_zone(struct json_writer *json, const char *name,
                      const struct count_report_zone *zone)
{
    json_begin_object(json);
    json_key(json, "name");
    json_put_string(json, name);
    json_key(json, "total");
    json_begin_object(json);
    json_pair(json, "entries", sum(zone->entries, 1), "exits", sum(zone->exits, 1));
    json_end_object(json);
    json_key(json, "classes");
    json_begin_object(json);
    for (int c = 0; c < OBJECT_CLASSES; c++) {
        if (zone->entries[c] + zone->exits[c] == 0)
            continue;
        json_key(json, object_class_name((enum object_class)c));
        json_begin_object(json);
        json_pair(json, "entries", zone->entries[c], "exits", zone->exits[c]);
        json_end_object(json);
    }
    json_end_object(json);
    json_key(json, "occupancy_max");
    json_put_uint(json, zone->occupancy_max);
    json_key(json, "dwell_mean_s");
    json_put_fixed(json, mean_dwell_s(zone), 3);
    json_end_object(json);
}

static int print_json(const struct count_report *report, const char *source)
{
    const struct settings_camera *camera = report->camera;
    struct json_writer            json;
    const char                   *text;

    json_init(&json, JSON_MAX_BYTES);
    json_begin_object(&json);
    json_key(&json, "source");
    json_put_string(&json, source);
    json_pair(&json, "frames", report->frames_decoded, "frames_analysed", report->frames_analysed);
    json_key(&json, "duration_s");
    json_put_fixed(&json, duration_s(report), 3);
    json_key(&json, "complete");
    json_put_bool(&json, report->missing.text[0] == '\0');
    json_key(&json, "why");
    json_put_string(&json, report->missing.text[0] == '\0' ? NULL : report->missing.text);
    json_key(&json, "lines");
    json_begin_array(&json);
    for (int i = 0; i < camera->line_count; i++)
        json_line(&json, camera->lines[i].name, &report->lines[i]);
    json_end_array(&json);
    json_key(&json, "zones");
    json_begin_array(&json);
    for (int i = 0; i < camera->zone_count; i++)
        json_zone(&json, camera->zones[i].name, &report->zones[i]);
    json_end_array(&json);
    json_key(&json, "wall_s");
    json_put_fixed(&json, report->wall_s, 3);
    json_end_object(&json);
    text = json_text(&json, NULL);
    if (text != NULL)
        puts(text);
    json_free(&json);
    return text == NULL ? ERR_MEMORY : 0;
}

/* ---- text ---- */

static void print_line(const char *name, const struct count_report_line *line)
{
    printf("\nline %-20.40s %10s %10s\n", name, "a_to_b", "b_to_a");
    for (int c = 0; c < OBJECT_CLASSES; c++) {
        if (line->crossings[c][0] + line->crossings[c][1] > 0)
            printf("  %-23s %10" PRIu64 " %10" PRIu64 "\n", object_class_name((enum object_class)c),
                   line->crossings[c][0], line->crossings[c][1]);
    }
    printf("  %-23s %10" PRIu64 " %10" PRIu64 "\n", "total", sum(&line->crossings[0][0], 2),
           sum(&line->crossings[0][1], 2));
}

static void print_zone(const char *name, const struct count_report_zone *zone)
{
    printf("\nzone %-20.40s %10s %10s\n", name, "entries", "exits");
    for (int c = 0; c < OBJECT_CLASSES; c++) {
        if (zone->entries[c] + zone->exits[c] > 0)
            printf("  %-23s %10" PRIu64 " %10" PRIu64 "\n", object_class_name((enum object_class)c),
                   zone->entries[c], zone->exits[c]);
    }
    printf("  %-23s %10" PRIu64 " %10" PRIu64 "\n", "total", sum(zone->entries, 1),
           sum(zone->exits, 1));
    printf("  at most %u at once; mean dwell %.1f s\n", zone->occupancy_max, mean_dwell_s(zone));
}

int count_report_print(const struct count_report *report, const struct count_options *options)
{
    const struct settings_camera *camera = report->camera;
    /* Without the credentials that an address may hold. */
    const char *source = strstr(camera->url, "://") != NULL ? camera->url : options->source;

    if (options->json)
        return print_json(report, source);
    printf("%s: %" PRIu64 " picture%s, %" PRIu64 " analysed, %.1f s%s\n", source,
           report->frames_decoded, plural(report->frames_decoded), report->frames_analysed,
           duration_s(report), report->missing.text[0] == '\0' ? "" : "; not complete");
    for (int i = 0; i < camera->line_count; i++)
        print_line(camera->lines[i].name, &report->lines[i]);
    for (int i = 0; i < camera->zone_count; i++)
        print_zone(camera->zones[i].name, &report->zones[i]);
    fprintf(stderr, "counted in %.1f s\n", report->wall_s);
    return 0;
}
