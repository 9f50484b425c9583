/* tests/counter_rules.h: lines and zones for tests of the counter. */
#ifndef SIGHTLINE_TESTS_COUNTER_RULES_H
#define SIGHTLINE_TESTS_COUNTER_RULES_H

#include "config/object_class.h"
#include "config/settings.h"
#include "server/count/counter.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* When the first picture was taken. */
#define WALL_NS INT64_C(1700000000000000000)

__attribute__((unused)) static struct settings_line make_line(const char *name, float x0, float y0,
                                                              float x1, float y1)
{
    struct settings_line line = {
        .point_count = 2, .points = {{x0, y0}, {x1, y1}}, .classes = SETTINGS_ALL_CLASSES};

    snprintf(line.name, sizeof line.name, "%s", name);
    return line;
}

__attribute__((unused)) static struct settings_zone make_zone(const char *name, float x0, float y0,
                                                              float x1, float y1)
{
    struct settings_zone zone = {.point_count = 4,
                                 .points      = {{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}},
                                 .classes     = SETTINGS_ALL_CLASSES,
                                 .inertia     = 3};

    snprintf(zone.name, sizeof zone.name, "%s", name);
    return zone;
}

__attribute__((unused)) static void add_line(struct settings_camera *camera,
                                             struct settings_line    line)
{
    camera->lines[camera->line_count++] = line;
}

__attribute__((unused)) static void add_zone(struct settings_camera *camera,
                                             struct settings_zone    zone)
{
    camera->zones[camera->zone_count++] = zone;
}

/* Two lines and two zones that the tests change no more: "keep..." */
__attribute__((unused)) static void make_kept(struct settings_camera *camera)
{
    struct settings_zone people = make_zone("keep people", 0.1F, 0.3F, 0.7F, 1.0F);

    memset(camera, 0, sizeof *camera);
    snprintf(camera->name, sizeof camera->name, "gate");
    camera->classes = SETTINGS_ALL_CLASSES;
    people.classes  = 1U << OBJECT_PERSON;
    add_line(camera, make_line("keep upright", 0.5F, 0, 0.5F, 1));
    add_line(camera, make_line("keep level", 0, 0.66F, 1, 0.66F));
    add_zone(camera, make_zone("keep middle", 0.25F, 0.4F, 0.75F, 0.9F));
    add_zone(camera, people);
}

/* The last ones first. */
__attribute__((unused)) static void turn_round(struct settings_camera *camera)
{
    struct settings_camera old = *camera;

    for (int i = 0; i < old.line_count; i++)
        camera->lines[i] = old.lines[old.line_count - 1 - i];
    for (int i = 0; i < old.zone_count; i++)
        camera->zones[i] = old.zones[old.zone_count - 1 - i];
}

/* How many are in the zone, of all classes. */
__attribute__((unused)) static int crowd(const struct counter *counter, int zone)
{
    uint32_t inside[OBJECT_CLASSES];
    int      sum = 0;

    counter_occupancy(counter, zone, inside);
    for (int i = 0; i < OBJECT_CLASSES; i++)
        sum += (int)inside[i];
    return sum;
}

#endif
