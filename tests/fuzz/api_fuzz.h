/* tests/fuzz/api_fuzz.h: the whole API on one loop, for inputs that come through its real door: one end of a pair of
 * sockets is served, the other plays the client. */
#ifndef SIGHTLINE_TESTS_FUZZ_API_FUZZ_H
#define SIGHTLINE_TESTS_FUZZ_API_FUZZ_H

#include "config/assert.h"
#include "config/log.h"
#include "server/api/api.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct fuzz_api {
    uv_loop_t              loop;
    struct ledger         *ledger;
    struct live           *live;
    struct api            *api;
    struct settings_camera camera;
} fuzz;

static int fuzz_camera_count(void *arg)
{
    (void)arg;
    return 1;
}

static bool fuzz_camera(void *arg, int index, struct api_camera *camera)
{
    (void)arg;
    memset(camera, 0, sizeof *camera);
    camera->settings        = &fuzz.camera;
    camera->stats.own_video = CAMERA_VIDEO_H264;
    return index == 0;
}

static int fuzz_camera_index(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "gate") == 0 ? 0 : -1;
}

static void fuzz_want_video(void *arg, int index, unsigned kinds)
{
    (void)arg;
    ASSERT(index == 0 && (kinds & ~6U) == 0);
}

static void fuzz_replay_units(void *arg, int index,
                              void (*unit)(void *unit_arg, struct camera_unit *unit),
                              void *unit_arg)
{
    (void)arg;
    (void)index;
    (void)unit;
    (void)unit_arg;
}

static int fuzz_problems(void *arg, struct api_problem *problems, int capacity)
{
    (void)arg;
    (void)problems;
    (void)capacity;
    return 0;
}

static void fuzz_metrics(void *arg, void (*write)(void *write_arg, const char *text, size_t bytes),
                         void *write_arg)
{
    (void)arg;
    (void)write;
    (void)write_arg;
}

static const char *fuzz_model_text(void *arg)
{
    (void)arg;
    return "none";
}

static const struct api_house fuzz_house = {.camera_count = fuzz_camera_count,
                                            .camera       = fuzz_camera,
                                            .camera_index = fuzz_camera_index,
                                            .want_video   = fuzz_want_video,
                                            .replay_units = fuzz_replay_units,
                                            .problems     = fuzz_problems,
                                            .metrics      = fuzz_metrics,
                                            .model_text   = fuzz_model_text};

static void fuzz_acknowledged(void *arg, const struct event *event)
{
    (void)arg;
    live_apply(fuzz.live, event);
}

/* Once, at the first input. */
static void fuzz_open(void)
{
    char                   folder[] = "/tmp/sightline-fuzz-XXXXXX";
    char                   file[64];
    struct why             why    = {0};
    struct ledger_settings ledger = {0};
    struct live_settings   live   = {.loop = &fuzz.loop};
    struct api_settings    api = {.loop = &fuzz.loop, .listen = "127.0.0.1", .house = &fuzz_house};
    struct event event = {.kind = EVENT_LINE_CROSSING, .direction = DIRECTION_A_TO_B, .time_ns = 1};

    log_set_level(LOG_ERROR);
    ASSERT(mkdtemp(folder) != NULL);
    memcpy(fuzz.camera.name, "gate", sizeof "gate");
    fuzz.camera.line_count = 1;
    memcpy(fuzz.camera.lines[0].name, "door", sizeof "door");
    memcpy(event.camera, "gate", sizeof "gate");
    memcpy(event.counter, "door", sizeof "door");
    uv_loop_init(&fuzz.loop);
    ASSERT(ledger_open(&fuzz.ledger, folder, &ledger, &why) == 0);
    live.ledger = fuzz.ledger;
    ASSERT(live_open(&fuzz.live, &live, &why) == 0);
    live_register(fuzz.live, "gate", "door");
    for (int i = 0; i < 10; i++)
        ASSERT(ledger_append(fuzz.ledger, &event) == 0);
    while (ledger_last_seq(fuzz.ledger) < 10)
        ledger_dispatch(fuzz.ledger, fuzz_acknowledged, NULL);
    api.ledger = fuzz.ledger;
    api.live   = fuzz.live;
    ASSERT(api_open(&fuzz.api, &api, &why) == 0);
    /* The files stay open; their names go, so that nothing is left behind. */
    for (int i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s/%s", folder, i == 0 ? "data.mdb" : "lock.mdb");
        unlink(file);
    }
    rmdir(folder);
}

/* The client's end of a new connection, non-blocking. */
static int fuzz_connect(void)
{
    int ends[2];

    ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    api_take_connection(fuzz.api, ends[0]);
    return ends[1];
}

/* Sends everything, turns the loop and throws away what comes back. */
static void fuzz_say(int fd, const void *bytes, size_t count)
{
    static char heard[65536];

    for (int turn = 0; turn < 8; turn++) {
        ssize_t sent = count > 0 ? send(fd, bytes, count, MSG_NOSIGNAL) : 0;
        if (sent > 0) {
            bytes = (const char *)bytes + sent;
            count -= (size_t)sent;
            turn = 0;
        }
        uv_run(&fuzz.loop, UV_RUN_NOWAIT);
        while (recv(fd, heard, sizeof heard, 0) > 0)
            ;
    }
}

static void fuzz_hang_up(int fd)
{
    close(fd);
    for (int turn = 0; turn < 4; turn++)
        uv_run(&fuzz.loop, UV_RUN_NOWAIT);
}

#endif
