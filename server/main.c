/* sightline: one program for the server and its tools.
 *
 * `sightline serve` starts the modules of this table in order, runs the loop until a signal, and
 * stops them in reverse. A failed start is fatal, with its reason. Everything else is a command
 * (server/commands.c). */
#include "config/heap.h"
#include "config/log.h"
#include "config/settings.h"
#include "server/camera/source.h"
#include "server/commands.h"
#include "server/server.h"

#include <stdio.h>
#include <string.h>

static const struct server_module MODULES[] = {
    {"settings", settings_start, settings_stop},    /* reads and checks the file */
    {"signals", signals_start, signals_stop},       /* SIGTERM and SIGINT stop the loop */
    {"token", token_start, NULL},                   /* who may come in */
    {"ledger", ledger_start, ledger_stop},          /* history; continues every count */
    {"live", live_start, live_stop},                /* current counts; Redis if configured */
    {"detector", detector_start, detector_stop},    /* the model */
    {"pipeline", pipeline_start, pipeline_stop},    /* decode and inference workers */
    {"jobs", jobs_start, jobs_stop},                /* what users ask for and wait for */
    {"snapshots", snapshots_start, snapshots_stop}, /* pictures that are waited for */
    {"api", api_start, api_stop},                   /* HTTP, WebSocket, dashboard */
    {"cameras", cameras_start, NULL},               /* connect; stopped with the pipeline */
    {"reload", reload_start, reload_stop},          /* watches the file */
};
#define MODULE_COUNT (int)(sizeof MODULES / sizeof MODULES[0])

static void stop_modules(struct server *server, int started)
{
    while (started-- > 0) {
        if (MODULES[started].stop != NULL)
            MODULES[started].stop(server);
    }
    /* What was closed above finishes its closing on the loop. */
    while (uv_run(&server->loop, UV_RUN_DEFAULT) != 0)
        continue;
}

static int serve(const char *settings_file)
{
    struct server server = {.settings_file = settings_file};
    struct why    why    = {.text = "no reason given"};
    int           started;
    int           rc = 0;

    if (uv_loop_init(&server.loop) != 0) {
        log_error("main", "the event loop cannot be made: too few descriptors or memory");
        return 1;
    }
    for (started = 0; started < MODULE_COUNT; started++) {
        rc = MODULES[started].start(&server, &why);
        if (rc != 0) {
            log_error("main", "cannot start: %s: %s", MODULES[started].name, why.text);
            break;
        }
    }
    if (rc == 0)
        uv_run(&server.loop, UV_RUN_DEFAULT);
    stop_modules(&server, started);
    /* Only what was wrong with the start is a failure: a server that was told to stop has succeeded. */
    if (uv_loop_close(&server.loop) != 0)
        log_warning("main", "something was still open at the end");
    if (rc == 0)
        log_info("main", "stopped");
    return rc == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *settings_file = NULL;
    int         exit_code     = 0;

    heap_settle();
    settings_judge_addresses(source_check);
    if (commands_parse_serve(argc, argv, &settings_file, &exit_code))
        return serve(settings_file);
    if (exit_code != 0)
        return exit_code;
    return commands_run(argc, argv);
}
