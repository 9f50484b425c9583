// links: server
// The life of a main stream: it is there while somebody wants it and a little longer, one for all, within a bound.
// What it shows is tested with real cameras (tests/integration/main_stream.t).
#include "server/main_stream.h"

#include "config/log.h"
#include "server/camera/decode.h"
#include "tests/tap.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static uv_loop_t           loop;
static struct decode_pool *pool;
static struct camera      *other;
static struct main_streams all;
static int                 changes;

/* A port that nobody listens on. */
static int closed_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t          bytes   = sizeof address;
    int                fd      = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(fd, (struct sockaddr *)&address, bytes) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        exit(1);
    close(fd);
    return ntohs(address.sin_port);
}

static void on_frame(void *arg, struct frame *frame)
{
    (void)arg;
    frame_unref(&frame);
}

static void on_camera_changed(void *arg, struct camera *camera)
{
    (void)arg;
    (void)camera;
}

static void on_unit(void *arg, struct camera_unit *unit, int64_t shift_ns)
{
    (void)arg;
    (void)unit;
    (void)shift_ns;
    ok(false, "nothing is there to be shown");
}

static void on_changed(void *arg)
{
    (void)arg;
    changes++;
}

static struct main_stream_state state_of(const struct main_stream *main)
{
    struct main_stream_state state;

    main_stream_state(main, &state);
    return state;
}

static struct main_stream *open_stream(const struct settings_camera *camera)
{
    const struct main_stream_settings settings = {.loop      = &loop,
                                                  .pool      = pool,
                                                  .camera    = camera,
                                                  .other     = other,
                                                  .all       = &all,
                                                  .linger_ms = 1,
                                                  .unit      = on_unit,
                                                  .changed   = on_changed};
    struct main_stream               *main;
    struct why                        why;

    if (main_stream_open(&main, &settings, &why) != 0) {
        diag("%s", why.text);
        exit(1);
    }
    return main;
}

static void test_life(const struct settings_camera *camera)
{
    struct main_stream *main = open_stream(camera);

    ok(!state_of(main).connected && all.open == 0, "nobody wants it: nothing is connected");
    main_stream_want(main, true);
    main_stream_want(main, true);
    ok(state_of(main).connected && all.open == 1, "wanted: one connection is tried");
    while (state_of(main).state != CAMERA_BACKOFF)
        uv_run(&loop, UV_RUN_ONCE);
    ok(changes > 0 && strstr(state_of(main).reason, "refused") != NULL, "it says why not: %s",
       state_of(main).reason);
    ok(!state_of(main).shown, "and shows nothing");
    ok(strstr(state_of(main).source, "secret") == NULL, "its source: %s", state_of(main).source);
    main_stream_want(main, false);
    main_stream_want(main, true);
    main_stream_want(main, false);
    ok(state_of(main).connected, "it lingers");
    while (state_of(main).connected)
        uv_run(&loop, UV_RUN_ONCE);
    ok(all.open == 0 && state_of(main).reason[0] == '\0', "and goes");
    main_stream_want(main, true);
    is_int(all.open, 1, "wanted again it is there again");
    main_stream_close(&main);
    is_int(all.open, 0, "closed with its connection");
    main_stream_close(&main);
}

static void test_bounds(const struct settings_camera *camera)
{
    struct main_stream *main = open_stream(camera);
    int                 before;

    all.open = MAIN_STREAMS_MAX;
    before   = changes;
    main_stream_want(main, true);
    is_text(state_of(main).reason, "64 main streams are watched already", "a bound of all");
    ok(all.refused == 1 && all.open == MAIN_STREAMS_MAX && changes > before, "counted and told");
    main_stream_want(main, false);
    all.open = 0;
    main_stream_want(main, true);
    ok(state_of(main).connected && state_of(main).reason[0] != '6', "and tried again later");
    main_stream_close(&main);
}

static void test_bad_address(const struct settings_camera *camera)
{
    struct settings_camera bad = *camera;
    struct main_stream    *main;

    snprintf(bad.view.url, sizeof bad.view.url, "gopher://127.0.0.1/");
    main = open_stream(&bad);
    main_stream_want(main, true);
    ok(!state_of(main).connected && state_of(main).reason[0] != '\0' && all.open == 0,
       "an address of no camera: %s", state_of(main).reason);
    main_stream_close(&main);
}

int main(void)
{
    struct camera_sink     sink = {.frame = on_frame, .changed = on_camera_changed};
    struct settings_camera camera;
    struct why             why;

    log_set_level(LOG_ERROR);
    uv_loop_init(&loop);
    settings_camera_default(&camera);
    snprintf(camera.name, sizeof camera.name, "gate");
    snprintf(camera.url, sizeof camera.url, "/nonexistent");
    snprintf(camera.view.url, sizeof camera.view.url, "rtsp://127.0.0.1:%d/main", closed_port());
    snprintf(camera.view.user, sizeof camera.view.user, "viewer");
    snprintf(camera.view.password.value, sizeof camera.view.password.value, "secret");
    if (decode_pool_open(&pool, 1, &why) != 0 ||
        camera_open(&other, &loop, pool, &camera, 0, &sink, &why) != 0) {
        diag("%s", why.text);
        return 1;
    }
    test_life(&camera);
    test_bounds(&camera);
    test_bad_address(&camera);
    camera_close(&other);
    uv_run(&loop, UV_RUN_DEFAULT);
    decode_pool_close(&pool);
    is_int(uv_loop_close(&loop), 0, "nothing is left open");
    return done_testing();
}
