/* Makes what runs (cameras, counters known to the ledger and the live store) that of the settings. */
#include "config/log.h"
#include "server/server.h"
#include "server/uploads.h"

static int register_counter(struct server *server, const char *camera, const char *counter,
                            struct why *why)
{
    int rc = ledger_register(server->ledger, camera, counter);

    if (rc == 0)
        rc = live_register(server->live, camera, counter);
    if (rc != 0)
        return why_set(why, rc, "counter %s/%s cannot be registered", camera, counter);
    return 0;
}

int cameras_apply(struct server *server, const struct settings *settings, struct why *why)
{
    int rc = 0;

    for (int i = 0; i < settings->camera_count && rc == 0; i++) {
        const struct settings_camera *camera = &settings->cameras[i];
        for (int j = 0; j < camera->line_count && rc == 0; j++)
            rc = register_counter(server, camera->name, camera->lines[j].name, why);
        for (int j = 0; j < camera->zone_count && rc == 0; j++)
            rc = register_counter(server, camera->name, camera->zones[j].name, why);
    }
    if (rc == 0)
        rc = pipeline_apply(server->pipeline, settings->cameras, settings->camera_count, why);
    if (server->api != NULL) {
        api_cameras_changed(server->api);
        api_counts_changed(server->api);
    }
    return rc;
}

int cameras_start(struct server *server, struct why *why)
{
    if (server->settings->camera_count == 0)
        log_warning("cameras", "no camera yet: add one under \"cameras:\" in %s",
                    server->settings_file);
    uploads_sweep(server->settings);
    return cameras_apply(server, server->settings, why);
}
