#include "server/api/documents.h"

#include <stdlib.h>
#include <string.h>

#include "config/clock.h"

static void key_uint(struct json_writer *json, const char *key, uint64_t number)
{
    json_key(json, key);
    json_put_uint(json, number);
}

static void key_number(struct json_writer *json, const char *key, double number, int decimals)
{
    json_key(json, key);
    json_put_fixed(json, number, decimals);
}

void document_time(struct json_writer *json, int64_t wall_ns)
{
    char text[32];

    clock_format_utc(wall_ns, text);
    json_put_string(json, text);
}

/* ---- status ---- */

void document_read_status(struct server_status *status, const struct api_house *house)
{
    status->problem_count = house->problems(house->arg, status->problems, DOCUMENT_PROBLEMS);
    status->ready         = true;
    for (int i = 0; i < status->problem_count; i++) {
        if (status->problems[i].not_ready)
            status->ready = false;
    }
    status->text = !status->ready ? "not_ready" : status->problem_count > 0 ? "degraded" : "ready";
}

static void write_problems(struct json_writer *json, const struct server_status *status)
{
    json_key(json, "problems");
    json_begin_array(json);
    for (int i = 0; i < status->problem_count; i++) {
        json_begin_object(json);
        json_put_pair(json, "what", status->problems[i].what);
        json_put_pair(json, "text", status->problems[i].text);
        json_end_object(json);
    }
    json_end_array(json);
}

void document_status(struct json_writer *json, const struct server_status *status,
                     bool with_problems)
{
    json_begin_object(json);
    json_put_pair(json, "status", status->text);
    if (with_problems)
        write_problems(json, status);
    json_end_object(json);
}

/* Why the pictures that are analysed are not those that are wanted. */
static const char *analysis_text(const struct api_camera *camera)
{
    if (camera->stats.relief == CAMERA_KEY_FRAMES_ONLY)
        return "key frames only: the processors cannot decode more";
    if (camera->stats.relief == CAMERA_SKIPS_UNREFERENCED)
        return "some pictures are not decoded: the processors cannot keep up";
    if (camera->stats.resting)
        return "resting: nothing moves";
    if (camera->share < 1)
        return "slowed down: the detector cannot keep up";
    return "as wanted";
}

static void write_state(struct json_writer *json, const struct api_camera *camera)
{
    json_put_pair(json, "state", camera_state_name(camera->stats.state));
    json_put_pair(json, "reason", camera->stats.reason);
}

static void write_coverage(struct json_writer *json, const struct api_camera *camera)
{
    json_key(json, "coverage");
    if (camera->coverage < 0)
        json_put_null(json);
    else
        json_put_fixed(json, camera->coverage, 4);
}

void document_health(struct json_writer *json, const struct api_house *house)
{
    struct server_status status;
    struct api_camera    camera;

    document_read_status(&status, house);
    json_begin_object(json);
    json_put_pair(json, "status", status.text);
    write_problems(json, &status);
    json_key(json, "cameras");
    json_begin_array(json);
    for (int i = 0; i < house->camera_count(house->arg); i++) {
        if (!house->camera(house->arg, i, &camera))
            continue;
        json_begin_object(json);
        json_put_pair(json, "name", camera.settings->name);
        write_state(json, &camera);
        json_key(json, "fps");
        json_begin_object(json);
        key_number(json, "decoded", camera.stats.decoded_fps, 2);
        key_number(json, "analysed", camera.stats.analysed_fps, 2);
        json_end_object(json);
        json_put_pair(json, "analysis", analysis_text(&camera));
        write_coverage(json, &camera);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}

/* ---- cameras ---- */

static const char *video_name(enum camera_video video)
{
    switch (video) {
    case CAMERA_VIDEO_H264:
        return "h264";
    case CAMERA_VIDEO_H265:
        return "h265";
    case CAMERA_VIDEO_JPEG:
    case CAMERA_VIDEO_NONE:
        break;
    }
    return "jpeg";
}

static void write_points(struct json_writer *json, const struct settings_point *points, int count)
{
    json_key(json, "coordinates");
    json_begin_array(json);
    for (int i = 0; i < count; i++) {
        json_begin_array(json);
        json_put_fixed(json, (double)points[i].x, 6);
        json_put_fixed(json, (double)points[i].y, 6);
        json_end_array(json);
    }
    json_end_array(json);
}

static void write_class_names(struct json_writer *json, unsigned classes)
{
    json_key(json, "classes");
    json_begin_array(json);
    for (int i = 0; i < OBJECT_CLASSES; i++) {
        if ((classes & (1U << i)) != 0)
            json_put_string(json, object_class_name((enum object_class)i));
    }
    json_end_array(json);
}

static void write_counters_of(struct json_writer *json, const struct settings_camera *settings)
{
    json_key(json, "lines");
    json_begin_array(json);
    for (int i = 0; i < settings->line_count; i++) {
        const struct settings_line *line = &settings->lines[i];
        json_begin_object(json);
        json_put_pair(json, "name", line->name);
        write_points(json, line->points, line->point_count);
        json_put_pair(json, "a_to_b", line->a_to_b);
        json_put_pair(json, "b_to_a", line->b_to_a);
        write_class_names(json, line->classes);
        json_end_object(json);
    }
    json_end_array(json);
    json_key(json, "zones");
    json_begin_array(json);
    for (int i = 0; i < settings->zone_count; i++) {
        const struct settings_zone *zone = &settings->zones[i];
        json_begin_object(json);
        json_put_pair(json, "name", zone->name);
        write_points(json, zone->points, zone->point_count);
        write_class_names(json, zone->classes);
        key_uint(json, "inertia", (uint64_t)zone->inertia);
        json_end_object(json);
    }
    json_end_array(json);
}

static void write_rates(struct json_writer *json, const struct api_camera *camera)
{
    const struct camera_stats *stats = &camera->stats;

    json_key(json, "fps");
    json_begin_object(json);
    key_number(json, "source", stats->source_fps, 3);
    key_number(json, "decoded", stats->decoded_fps, 2);
    key_number(json, "analysed", stats->analysed_fps, 2);
    key_number(json, "wanted", camera->settings->detect_fps, 3);
    key_number(json, "given", camera->given_fps, 3);
    json_end_object(json);
    json_put_pair(json, "analysis", analysis_text(camera));
    key_number(json, "progress", stats->progress, 4);
    write_coverage(json, camera);
    json_key(json, "frames");
    json_begin_object(json);
    key_uint(json, "decoded", stats->frames_decoded);
    key_uint(json, "analysed", stats->frames_analysed);
    key_uint(json, "skipped", stats->frames_skipped);
    key_uint(json, "still", stats->frames_still);
    key_uint(json, "dropped", camera->frames_dropped);
    key_uint(json, "failed", camera->frames_failed);
    json_end_object(json);
    key_uint(json, "reconnects", stats->reconnects);
    key_uint(json, "decode_errors", stats->decode_errors);
    key_uint(json, "packets_lost", stats->rtp_lost);
    key_number(json, "packet_loss", camera->packet_loss, 4);
    json_put_pair(json, "transport", stats->transport);
}

static void write_main(struct json_writer *json, const struct api_house *house, int index)
{
    struct api_main main;

    json_key(json, "main");
    if (house->main == NULL || !house->main(house->arg, index, &main)) {
        json_put_null(json);
        return;
    }
    json_begin_object(json);
    json_put_pair(json, "state", main.connected ? camera_state_name(main.state) : "idle");
    json_put_pair(json, "reason", main.reason);
    json_put_pair(json, "source", main.source);
    json_put_pair(json, "codec", main.codec);
    key_uint(json, "width", (uint64_t)main.width_px);
    key_uint(json, "height", (uint64_t)main.height_px);
    json_end_object(json);
}

void document_cameras(struct json_writer *json, const struct api_house *house)
{
    struct api_camera camera;

    json_begin_object(json);
    json_key(json, "cameras");
    json_begin_array(json);
    for (int i = 0; i < house->camera_count(house->arg); i++) {
        if (!house->camera(house->arg, i, &camera))
            continue;
        json_begin_object(json);
        json_put_pair(json, "name", camera.settings->name);
        json_key(json, "managed");
        json_put_bool(json, camera.settings->managed);
        json_put_pair(json, "version", camera.settings->version);
        write_state(json, &camera);
        json_put_pair(json, "source", camera.stats.source);
        json_put_pair(json, "codec", camera.stats.codec);
        json_put_pair(json, "decoder", camera_decoder_name(camera.stats.decoder));
        json_put_pair(json, "decoder_note", camera.stats.decoder_note);
        json_put_pair(json, "video", video_name(camera.stats.own_video));
        key_uint(json, "width", (uint64_t)camera.stats.width_px);
        key_uint(json, "height", (uint64_t)camera.stats.height_px);
        write_main(json, house, i);
        write_rates(json, &camera);
        write_class_names(json, camera.settings->classes);
        write_counters_of(json, camera.settings);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}

/* ---- counts ---- */

struct figures {
    uint64_t a_to_b, b_to_a, entries, exits, occupancy;
};

static void write_figures(struct json_writer *json, const struct figures *figures, bool zone)
{
    json_begin_object(json);
    if (zone) {
        key_uint(json, "entries", figures->entries);
        key_uint(json, "exits", figures->exits);
        key_uint(json, "occupancy", figures->occupancy);
    } else {
        key_uint(json, "a_to_b", figures->a_to_b);
        key_uint(json, "b_to_a", figures->b_to_a);
    }
    json_end_object(json);
}

static struct figures figures_of(const struct live_counter *counter, int object_class)
{
    return (struct figures){counter->crossings[object_class][0],
                            counter->crossings[object_class][1], counter->entries[object_class],
                            counter->exits[object_class], counter->occupancy[object_class]};
}

bool document_is_zone(const struct api_house *house, const struct live_counter *counter)
{
    int               index = house->camera_index(house->arg, counter->camera);
    struct api_camera camera;

    if (index >= 0 && house->camera(house->arg, index, &camera)) {
        for (int i = 0; i < camera.settings->zone_count; i++) {
            if (strcmp(camera.settings->zones[i].name, counter->counter) == 0)
                return true;
        }
        for (int i = 0; i < camera.settings->line_count; i++) {
            if (strcmp(camera.settings->lines[i].name, counter->counter) == 0)
                return false;
        }
    }
    for (int i = 0; i < OBJECT_CLASSES; i++) {
        if (counter->entries[i] + counter->exits[i] + counter->occupancy[i] > 0)
            return true;
    }
    return false;
}

void document_counts_begin(struct json_writer *json, uint64_t seq)
{
    json_begin_object(json);
    key_uint(json, "seq", seq);
    json_key(json, "counters");
    json_begin_array(json);
}

void document_counter(struct json_writer *json, const struct live_counter *counter, bool zone)
{
    struct figures total = {0};

    for (int i = 0; i < OBJECT_CLASSES; i++) {
        struct figures figures = figures_of(counter, i);
        total.a_to_b += figures.a_to_b;
        total.b_to_a += figures.b_to_a;
        total.entries += figures.entries;
        total.exits += figures.exits;
        total.occupancy += figures.occupancy;
    }
    json_begin_object(json);
    json_put_pair(json, "camera", counter->camera);
    json_put_pair(json, "counter", counter->counter);
    json_put_pair(json, "kind", zone ? "zone" : "line");
    json_key(json, "total");
    write_figures(json, &total, zone);
    json_key(json, "classes");
    json_begin_object(json);
    for (int i = 0; i < OBJECT_CLASSES; i++) {
        struct figures figures = figures_of(counter, i);
        if (figures.a_to_b + figures.b_to_a + figures.entries + figures.exits + figures.occupancy ==
            0)
            continue;
        json_key(json, object_class_name((enum object_class)i));
        write_figures(json, &figures, zone);
    }
    json_end_object(json);
    json_end_object(json);
}

void document_counts_end(struct json_writer *json)
{
    json_end_array(json);
    json_end_object(json);
}

/* ---- history ---- */

void document_bucket(struct json_writer *json, const struct rollup *rollup, bool zone,
                     int64_t length_s, int64_t now_s)
{
    int64_t  passed_s = now_s - rollup->start_s;
    uint64_t exits    = 0;
    double   coverage;

    for (int i = 0; i < OBJECT_CLASSES; i++)
        exits += rollup->exits[i];
    if (passed_s > length_s || passed_s < 1)
        passed_s = length_s;
    coverage = (double)rollup->analysed_ms / ((double)passed_s * 1000.0);
    json_begin_object(json);
    json_key(json, "start");
    document_time(json, rollup->start_s * NS_PER_S);
    key_number(json, "coverage", coverage > 1.0 ? 1.0 : coverage, 4);
    json_key(json, "classes");
    json_begin_object(json);
    for (int i = 0; i < OBJECT_CLASSES; i++) {
        const uint32_t *crossings = rollup->crossings[i];
        if (crossings[0] + crossings[1] + rollup->entries[i] + rollup->exits[i] == 0)
            continue;
        json_key(json, object_class_name((enum object_class)i));
        json_begin_object(json);
        if (zone) {
            key_uint(json, "entries", rollup->entries[i]);
            key_uint(json, "exits", rollup->exits[i]);
            if (rollup->exits[i] > 0)
                key_number(json, "dwell_s", (double)rollup->dwell_ms / 1000.0 / (double)exits, 3);
        } else {
            key_uint(json, "a_to_b", crossings[0]);
            key_uint(json, "b_to_a", crossings[1]);
        }
        json_end_object(json);
    }
    json_end_object(json);
    json_end_object(json);
}

/* ---- tracks ---- */

void document_tracks(struct json_writer *json, const struct frame *frame,
                     const struct track *tracks, int count)
{
    double width = frame->width_px, height = frame->height_px;

    json_begin_object(json);
    json_key(json, "pts_ms");
    json_put_int(json, frame->pts_ns / NS_PER_MS);
    json_key(json, "width");
    json_put_int(json, frame->width_px);
    json_key(json, "height");
    json_put_int(json, frame->height_px);
    json_key(json, "tracks");
    json_begin_array(json);
    for (int i = 0; i < count; i++) {
        const struct box *box = &tracks[i].box;
        json_begin_object(json);
        key_uint(json, "id", tracks[i].id);
        json_put_pair(json, "class", object_class_name(box->object_class));
        key_number(json, "score", (double)box->score, 3);
        json_key(json, "box");
        json_begin_array(json);
        json_put_fixed(json, (double)box->x0 / width, 4);
        json_put_fixed(json, (double)box->y0 / height, 4);
        json_put_fixed(json, (double)box->x1 / width, 4);
        json_put_fixed(json, (double)box->y1 / height, 4);
        json_end_array(json);
        json_key(json, "seen");
        json_put_bool(json, tracks[i].seen);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}
