#include "config/settings_camera.h"

#include "config/err.h"
#include "config/object_class.h"
#include "config/settings_input.h"
#include "config/settings_source.h"
#include "config/settings_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Pictures a second that anybody analyses; faster cameras exist, counting needs no more. */
#define DETECT_FPS_MAX 120.0
#define INERTIA_MAX    100

/* ---- classes ---- */

static void add_class(struct yaml_reader *reader, yaml_node_t *node, unsigned *classes)
{
    enum object_class object_class;
    char              name[32];

    if (!yaml_text(reader, node, name, sizeof name))
        return;
    if (object_class_from_name(name, &object_class))
        *classes |= 1U << object_class;
    else
        yaml_problem(reader, node,
                     "\"%s\" is no class: person, bicycle, car, motorcycle, bus or truck", name);
}

void settings_read_classes(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                           void *target)
{
    unsigned     classes = 0;
    yaml_node_t *item;

    if (value->type == YAML_SEQUENCE_NODE) {
        for (int i = 0; (item = yaml_item(reader, value, i)) != NULL; i++)
            add_class(reader, item, &classes);
    } else {
        add_class(reader, value, &classes);
    }
    if (classes == 0)
        yaml_problem(reader, key, "no class is left to count");
    *(unsigned *)target = classes;
}

/* ---- points ---- */

/* "x,y,x,y", or a list whose items are "x,y" or single numbers, as Frigate has them. */
static bool points_text(struct yaml_reader *reader, yaml_node_t *value, char *text, size_t room)
{
    size_t       used = 0;
    yaml_node_t *item;
    char         part[64];

    if (value->type != YAML_SEQUENCE_NODE)
        return yaml_text(reader, value, text, room);
    text[0] = '\0';
    for (int i = 0; (item = yaml_item(reader, value, i)) != NULL; i++) {
        if (!yaml_text(reader, item, part, sizeof part))
            return false;
        used += (size_t)snprintf(text + used, room - used, "%s%s", used == 0 ? "" : ",", part);
        if (used >= room) {
            yaml_problem(reader, value, "too many points");
            return false;
        }
    }
    return true;
}

static int read_points(struct yaml_reader *reader, yaml_node_t *value,
                       struct settings_point *points, int capacity)
{
    char       text[LIMIT_ZONE_POINTS * 32];
    struct why why;
    int        count;

    if (!points_text(reader, value, text, sizeof text))
        return 0;
    count = settings_parse_points(text, points, capacity, &why);
    if (count < 0) {
        yaml_problem(reader, value, "%s", why.text);
        return 0;
    }
    return count;
}

/* ---- lines ---- */

static void read_line_points(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                             void *target)
{
    struct settings_line *line = target;

    (void)key;
    line->point_count = read_points(reader, value, line->points, LIMIT_LINE_POINTS);
    if (line->point_count == 1)
        yaml_problem(reader, value, "a line needs at least 2 points");
    for (int i = 1; i < line->point_count; i++) {
        if (line->points[i].x == line->points[i - 1].x &&
            line->points[i].y == line->points[i - 1].y)
            yaml_problem(reader, value, "points %d and %d of the line are the same", i, i + 1);
    }
}

static void read_direction_name(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                                void *target)
{
    char       name[LIMIT_NAME_BYTES];
    struct why why;

    (void)key;
    if (!yaml_text(reader, value, name, sizeof name))
        return;
    if (settings_check_name(name, &why) != 0)
        yaml_problem(reader, value, "%s", why.text);
    else
        memcpy(target, name, sizeof name);
}

static const struct yaml_key DIRECTION_KEYS[] = {
    {"a_to_b", read_direction_name, offsetof(struct settings_line, a_to_b), NULL},
    {"b_to_a", read_direction_name, offsetof(struct settings_line, b_to_a), NULL},
    {0},
};

const struct yaml_key SETTINGS_LINE_KEYS[] = {
    {"coordinates", read_line_points, 0, NULL},
    {"objects", settings_read_classes, offsetof(struct settings_line, classes), NULL},
    {"directions", NULL, 0, DIRECTION_KEYS},
    {0},
};

static bool name_is_free(const struct settings_camera *camera, const char *name)
{
    for (int i = 0; i < camera->line_count; i++) {
        if (strcmp(camera->lines[i].name, name) == 0)
            return false;
    }
    for (int i = 0; i < camera->zone_count; i++) {
        if (strcmp(camera->zones[i].name, name) == 0)
            return false;
    }
    return true;
}

static void read_line(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                      void *target)
{
    struct settings_camera *camera = target;
    struct settings_line   *line   = &camera->lines[camera->line_count];
    char                    name[LIMIT_NAME_BYTES];
    int                     problems = reader->problems->count;

    settings_line_default(line);
    if (!yaml_text(reader, key, name, sizeof name))
        return;
    if (!name_is_free(camera, name))
        yaml_problem(reader, key, "\"%s\" names another line or zone of this camera", name);
    memcpy(line->name, name, sizeof name);
    yaml_read_table(reader, value, "a line", SETTINGS_LINE_KEYS, line);
    if (line->point_count == 0 && reader->problems->count == problems)
        yaml_problem(reader, key, "line \"%s\" has no coordinates", name);
    camera->line_count++;
}

/* ---- zones ---- */

static void read_zone_points(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                             void *target)
{
    struct settings_zone *zone = target;
    struct why            why;

    (void)key;
    zone->point_count = read_points(reader, value, zone->points, LIMIT_ZONE_POINTS);
    if (zone->point_count > 0 && settings_check_polygon(zone->points, zone->point_count, &why) != 0)
        yaml_problem(reader, value, "%s", why.text);
}

static void read_inertia(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                         void *target)
{
    long inertia;

    (void)key;
    if (yaml_int(reader, value, 1, INERTIA_MAX, &inertia))
        *(int *)target = (int)inertia;
}

const struct yaml_key SETTINGS_ZONE_KEYS[] = {
    {"coordinates", read_zone_points, 0, NULL},
    {"objects", settings_read_classes, offsetof(struct settings_zone, classes), NULL},
    {"inertia", read_inertia, offsetof(struct settings_zone, inertia), NULL},
    {0},
};

static void read_zone(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                      void *target)
{
    struct settings_camera *camera = target;
    struct settings_zone   *zone   = &camera->zones[camera->zone_count];
    char                    name[LIMIT_NAME_BYTES];
    int                     problems = reader->problems->count;

    settings_zone_default(zone);
    if (!yaml_text(reader, key, name, sizeof name))
        return;
    if (!name_is_free(camera, name))
        yaml_problem(reader, key, "\"%s\" names another line or zone of this camera", name);
    memcpy(zone->name, name, sizeof name);
    yaml_read_table(reader, value, "a zone", SETTINGS_ZONE_KEYS, zone);
    if (zone->point_count == 0 && reader->problems->count == problems)
        yaml_problem(reader, key, "zone \"%s\" has no coordinates", name);
    camera->zone_count++;
}

static const struct yaml_key FFMPEG_KEYS[] = {{"inputs", settings_read_inputs, 0, NULL}, {0}};

/* ---- the camera ---- */

static void read_fps(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value, void *target)
{
    (void)key;
    yaml_number(reader, value, 0, DETECT_FPS_MAX, target);
}

static void read_pace(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                      void *target)
{
    int pace = settings_choose(reader, value, "pace", SETTINGS_PACES, "real_time or fastest");

    (void)key;
    if (pace >= 0)
        *(enum settings_pace *)target = (enum settings_pace)pace;
}

static const struct yaml_key DETECT_KEYS[] = {
    {"fps", read_fps, offsetof(struct settings_camera, detect_fps), NULL},
    {0},
};

static const struct yaml_key OBJECTS_KEYS[] = {
    {"track", settings_read_classes, offsetof(struct settings_camera, classes), NULL},
    {0},
};

static void read_lines(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                       void *target)
{
    (void)key;
    yaml_read_names(reader, value, "lines", LIMIT_LINES, read_line, target);
}

static void read_zones(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                       void *target)
{
    (void)key;
    yaml_read_names(reader, value, "zones", LIMIT_ZONES, read_zone, target);
}

const struct yaml_key SETTINGS_CAMERA_KEYS[] = {
    {"enabled", settings_read_flag, offsetof(struct settings_camera, enabled), NULL},
    {"ffmpeg", NULL, 0, FFMPEG_KEYS},
    {"user", settings_read_user, offsetof(struct settings_camera, user), NULL},
    {"password", settings_read_secret, offsetof(struct settings_camera, password), NULL},
    {"transport", settings_read_transport, offsetof(struct settings_camera, transport), NULL},
    {"tls_verify", settings_read_tls_verify, offsetof(struct settings_camera, tls_unverified),
     NULL},
    {"tls_fingerprint", settings_read_fingerprint,
     offsetof(struct settings_camera, tls_fingerprint), NULL},
    {"loop", settings_read_flag, offsetof(struct settings_camera, loop), NULL},
    {"pace", read_pace, offsetof(struct settings_camera, pace), NULL},
    {"detect", NULL, 0, DETECT_KEYS},
    {"objects", NULL, 0, OBJECTS_KEYS},
    {"lines", read_lines, 0, NULL},
    {"zones", read_zones, 0, NULL},
    {"motion", NULL, offsetof(struct settings_camera, motion), SETTINGS_MOTION_KEYS},
    {0},
};

void settings_read_camera(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                          void *target)
{
    struct settings_read_target *read     = target;
    struct settings             *settings = &read->settings;
    int                          problems = reader->problems->count;
    struct settings_camera      *cameras;
    struct settings_camera      *camera;

    cameras = realloc(settings->cameras, ((size_t)settings->camera_count + 1) * sizeof *cameras);
    if (cameras == NULL) {
        yaml_problem(reader, key, "out of memory");
        return;
    }
    settings->cameras = cameras;
    camera            = &cameras[settings->camera_count++];
    settings_camera_default(camera);
    camera->classes = read->default_classes;
    camera->managed = reader->managed;
    camera->reach   = settings->cameras_allowed;
    yaml_text(reader, key, camera->name, sizeof camera->name);
    for (int i = 0; i < settings->camera_count - 1; i++) {
        if (strcmp(settings->cameras[i].name, camera->name) == 0)
            yaml_problem(reader, key, "camera \"%s\" stands in %s already", camera->name,
                         settings->file);
    }
    yaml_read_table(reader, value, "a camera", SETTINGS_CAMERA_KEYS, camera);
    if (camera->url[0] == '\0' && reader->problems->count == problems)
        yaml_problem(reader, key, "camera \"%s\" has no ffmpeg.inputs", camera->name);
}
