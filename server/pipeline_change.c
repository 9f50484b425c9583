/* What changes of a camera while its stream goes on. */
#include "server/pipeline_inside.h"

#include <string.h>

bool pipeline_same_stream(const struct settings_camera *a, const struct settings_camera *b)
{
    struct settings_camera copy = *a;

    copy.view       = b->view;
    copy.classes    = b->classes;
    copy.detect_fps = b->detect_fps;
    copy.begun      = b->begun;
    copy.played     = b->played;
    copy.line_count = b->line_count;
    copy.zone_count = b->zone_count;
    memcpy(copy.lines, b->lines, sizeof copy.lines);
    memcpy(copy.zones, b->zones, sizeof copy.zones);
    memcpy(copy.version, b->version, sizeof copy.version);
    return settings_camera_equal(&copy, b);
}

static int zone_by_name(const struct settings_camera *camera, const char *name)
{
    for (int i = 0; i < camera->zone_count; i++) {
        if (strcmp(camera->zones[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* What was told of a zone stays with its name; of one that is gone, that nobody is in it. */
static void move_occupancy(struct pipeline_camera *camera, const struct settings_camera *settings)
{
    const struct pipeline_output *output = &camera->pipeline->settings.output;
    static const uint32_t         nobody[OBJECT_CLASSES];
    uint32_t                      moved[LIMIT_ZONES][OBJECT_CLASSES] = {{0}};

    for (int i = 0; i < camera->settings.zone_count; i++) {
        const char *name = camera->settings.zones[i].name;
        int         to   = zone_by_name(settings, name);

        if (to >= 0)
            memcpy(moved[to], camera->occupancy[i], sizeof moved[to]);
        else if (memcmp(camera->occupancy[i], nobody, sizeof nobody) != 0)
            output->occupancy(output->arg, camera->settings.name, name, nobody);
    }
    memcpy(camera->occupancy, moved, sizeof moved);
}

/* The tracker goes on, and with it every line and zone that is not among what differs. */
static int change_rules(struct pipeline_camera *camera, const struct settings_camera *settings,
                        struct why *why)
{
    int rc = 0;

    if (camera->counter != NULL)
        rc = counter_change(camera->counter, settings, pipeline_on_event, camera, why);
    if (rc != 0)
        return rc;
    move_occupancy(camera, settings);
    camera->settings = *settings;
    if (camera->counter != NULL)
        pipeline_tell_occupancy(camera);
    return 0;
}

static void change_rate(struct pipeline_camera *camera, double fps)
{
    if (camera->settings.detect_fps == fps)
        return;
    camera->settings.detect_fps = fps;
    coverage_set_rate(&camera->coverage, fps);
    camera_ask_at(camera->camera, fps);
    pipeline_give_rate(camera);
}

int pipeline_change_camera(struct pipeline_camera *camera, const struct settings_camera *settings,
                           struct why *why)
{
    struct settings_view   view  = settings->view;
    struct settings_camera other = *settings;

    change_rate(camera, settings->detect_fps);
    other.view   = camera->settings.view;
    other.begun  = camera->settings.begun; /* notes on the disk: whoever is counted goes on */
    other.played = camera->settings.played;
    memcpy(other.version, camera->settings.version, sizeof other.version);
    if (!settings_camera_equal(&camera->settings, &other)) {
        int rc = change_rules(camera, &other, why);
        if (rc != 0)
            return rc;
    }
    camera->settings.begun  = settings->begun;
    camera->settings.played = settings->played;
    memcpy(camera->settings.version, settings->version, sizeof settings->version);
    // As settings_camera_equal().
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c)
    if (memcmp(&camera->settings.view, &view, sizeof view) == 0)
        return 0;
    main_stream_close(&camera->main_stream);
    camera->settings.view = view;
    return pipeline_open_main(camera, why);
}
