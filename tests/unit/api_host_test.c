/* The whole API in one process, on a house with two cameras and a real ledger.
 * links: api
 *
 * Without arguments it checks itself over its own sockets. `api_host_test --serve FOLDER [--token T] [--fast]
 * [--clients N]` serves until its standard input ends, for the scripts in tests/integration; it prints "port N"
 * and obeys lines on standard input, each answered by "ok":
 *
 *   events N            N crossings of gate's line, acknowledged before the answer
 *   flow N              N crossings, a few each millisecond; answers at once
 *   occupancy N         persons in gate's zone
 *   tracks CAMERA N     a picture with N tracks
 *   unit CAMERA KIND BYTES KEY   a picture for viewers: h264 or jpeg, KEY 0 or 1
 *   problem TEXT | problem!TEXT | problem    degraded | not ready | none
 *   rename NAME         camera yard is now called NAME
 *   want                "want GATE YARD": the kinds of video asked for, as bits */
#include "tests/tap.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/clock.h"
#include "config/err.h"
#include "server/api/api.h"
#include "server/api/routes.h"

struct host {
    uv_loop_t              loop;
    uv_async_t             ledger_wake;
    uv_timer_t             flow;
    uv_pipe_t              input;
    char                   line[512];
    size_t                 line_bytes;
    struct ledger         *ledger;
    struct live           *live;
    struct api            *api;
    struct api_house       house;
    struct settings_camera cameras[2];
    struct api_problem     problem;
    unsigned               wanted[2];
    uint64_t               appended, acknowledged, frames;
    uint64_t               flow_left;
    uint64_t               answer_at; /* print "ok" when so many are acknowledged */
};

/* ---- the house ---- */

static int camera_count(void *arg)
{
    (void)arg;
    return 2;
}

static bool camera(void *arg, int index, struct api_camera *out)
{
    struct host *host = arg;

    if (index < 0 || index > 1)
        return false;
    memset(out, 0, sizeof *out);
    out->settings              = &host->cameras[index];
    out->coverage              = index == 0 ? 0.98 : -1;
    out->frames_dropped        = 3;
    out->stats.state           = index == 0 ? CAMERA_STREAMING : CAMERA_BACKOFF;
    out->stats.own_video       = index == 0 ? CAMERA_VIDEO_H264 : CAMERA_VIDEO_JPEG;
    out->stats.width_px        = 1280;
    out->stats.height_px       = 720;
    out->stats.source_fps      = 25;
    out->stats.frames_decoded  = 1000;
    out->stats.frames_analysed = 200;
    snprintf(out->stats.reason, sizeof out->stats.reason, "%s",
             index == 0 ? "" : "no route to host");
    snprintf(out->stats.codec, sizeof out->stats.codec, "h264");
    snprintf(out->stats.source, sizeof out->stats.source, "rtsp://camera.example/%d", index);
    return true;
}

static int camera_index(void *arg, const char *name)
{
    struct host *host = arg;

    for (int i = 0; i < 2; i++) {
        if (strcmp(host->cameras[i].name, name) == 0)
            return i;
    }
    return -1;
}

static void want_video(void *arg, int index, unsigned kinds)
{
    ((struct host *)arg)->wanted[index] = kinds;
}

static void replay_units(void *arg, int                                                index,
                         void (*unit)(void *unit_arg, struct camera_unit *unit), void *unit_arg)
{
    (void)arg;
    (void)index;
    (void)unit;
    (void)unit_arg;
}

static int problems(void *arg, struct api_problem *out, int capacity)
{
    struct host *host = arg;

    if (host->problem.text[0] == '\0' || capacity < 1)
        return 0;
    out[0] = host->problem;
    return 1;
}

static void metrics(void *arg, void (*write)(void *write_arg, const char *text, size_t bytes),
                    void *write_arg)
{
    static const char text[] = "# TYPE sightline_pool_batches counter\n"
                               "# HELP sightline_pool_batches Batches run.\n"
                               "sightline_pool_batches_total 7\n";

    (void)arg;
    write(write_arg, text, sizeof text - 1);
}

static const char *model_text(void *arg)
{
    (void)arg;
    return "tiny \"test\" (yolox, cpu)";
}

static void set_up_cameras(struct host *host)
{
    struct settings_camera *gate = &host->cameras[0];

    snprintf(gate->name, sizeof gate->name, "gate");
    snprintf(host->cameras[1].name, sizeof host->cameras[1].name, "yard");
    gate->detect_fps           = 5;
    gate->line_count           = 1;
    gate->lines[0].classes     = SETTINGS_ALL_CLASSES;
    gate->lines[0].point_count = 2;
    gate->lines[0].points[1]   = (struct settings_point){1, 0.5F};
    snprintf(gate->lines[0].name, LIMIT_NAME_BYTES, "door \"A\"");
    snprintf(gate->lines[0].a_to_b, LIMIT_NAME_BYTES, "in");
    snprintf(gate->lines[0].b_to_a, LIMIT_NAME_BYTES, "out");
    gate->zone_count           = 1;
    gate->zones[0].classes     = 1;
    gate->zones[0].point_count = 3;
    gate->zones[0].points[1]   = (struct settings_point){1, 0};
    gate->zones[0].points[2]   = (struct settings_point){1, 1};
    snprintf(gate->zones[0].name, LIMIT_NAME_BYTES, "hall");
}

/* ---- the ledger ---- */

static void acknowledged(void *arg, const struct event *event)
{
    struct host *host = arg;

    live_apply(host->live, event);
    api_event_committed(host->api, event);
    host->acknowledged++;
    if (host->answer_at == host->acknowledged) {
        printf("ok\n");
        fflush(stdout);
    }
}

static void on_ledger(uv_async_t *async)
{
    struct host *host = async->data;

    if (host->api != NULL)
        ledger_dispatch(host->ledger, acknowledged, host);
}

static void wake(void *arg)
{
    uv_async_send(&((struct host *)arg)->ledger_wake);
}

static int append(struct host *host)
{
    struct event event = {.time_ns      = clock_wall_ns(),
                          .kind         = EVENT_LINE_CROSSING,
                          .direction    = host->appended % 3 == 0 ? DIRECTION_B_TO_A
                                                                  : DIRECTION_A_TO_B,
                          .object_class = OBJECT_PERSON,
                          .confidence   = 0.8F,
                          .class_share  = 1,
                          .track        = host->appended,
                          .path_count   = 2,
                          .path         = {{0.1F, 0.2F}, {0.3F, 0.4F}}};

    snprintf(event.camera, sizeof event.camera, "gate");
    snprintf(event.counter, sizeof event.counter, "door \"A\"");
    if (ledger_append(host->ledger, &event) != 0)
        return ERR_FULL;
    host->appended++;
    return 0;
}

static void on_flow(uv_timer_t *timer)
{
    struct host *host = timer->data;

    for (int i = 0; i < 5 && host->flow_left > 0; i++) {
        if (append(host) != 0)
            return;
        host->flow_left--;
    }
    if (host->flow_left == 0)
        uv_timer_stop(timer);
}

/* ---- commands ---- */

static void send_tracks(struct host *host, int index, int count)
{
    static struct track tracks[LIMIT_TRACKS];
    struct frame       *frame = frame_alloc(FRAME_GRAY8, 1280, 720);

    for (int i = 0; i < count && i < LIMIT_TRACKS; i++)
        tracks[i] = (struct track){
            .id = (uint64_t)i + 1, .box = {64, 72, 128, 144, 0.5F, OBJECT_CAR}, .seen = i % 2 == 0};
    frame->number = ++host->frames;
    frame->pts_ns = (int64_t)host->frames * 40 * NS_PER_MS;
    api_tracks(host->api, index, frame, tracks, count < LIMIT_TRACKS ? count : LIMIT_TRACKS);
    frame_unref(&frame);
}

static void send_unit(struct host *host, int index, enum camera_video video, size_t bytes, bool key)
{
    struct camera_unit *unit = calloc(1, sizeof *unit + bytes);

    atomic_init(&unit->references, 1);
    unit->video     = video;
    unit->key       = key;
    unit->width_px  = 1280;
    unit->height_px = 720;
    unit->pts_ns    = (int64_t)++host->frames * 40 * NS_PER_MS;
    unit->wall_ns   = clock_wall_ns();
    unit->bytes     = bytes;
    snprintf(unit->codec, sizeof unit->codec, "%s",
             video == CAMERA_VIDEO_H264 ? "avc1.64001f" : "jpeg");
    for (size_t i = 0; i < bytes; i++)
        unit->data[i] = (uint8_t)(i * 7);
    api_unit(host->api, index, unit);
    camera_unit_unref(&unit);
}

static void set_problem(struct host *host, const char *text)
{
    host->problem.not_ready = text[0] == '!';
    snprintf(host->problem.what, sizeof host->problem.what, "ledger");
    snprintf(host->problem.text, sizeof host->problem.text, "%s", text[0] == '\0' ? "" : text + 1);
    api_health_changed(host->api);
}

static void obey(struct host *host, char *line)
{
    char     name[64], kind[16];
    unsigned count, key;

    if (sscanf(line, "events %u", &count) == 1) {
        host->answer_at = host->appended + count;
        for (unsigned i = 0; i < count; i++) {
            if (append(host) != 0)
                printf("full\n");
        }
        return;
    }
    if (sscanf(line, "flow %u", &count) == 1) {
        host->flow_left = count;
        uv_timer_start(&host->flow, on_flow, 1, 1);
    } else if (sscanf(line, "occupancy %u", &count) == 1) {
        uint32_t inside[OBJECT_CLASSES] = {count};
        live_set_occupancy(host->live, "gate", "hall", inside);
        api_counts_changed(host->api);
    } else if (sscanf(line, "tracks %63s %u", name, &count) == 2) {
        send_tracks(host, camera_index(host, name), (int)count);
    } else if (sscanf(line, "unit %63s %15s %u %u", name, kind, &count, &key) == 4) {
        send_unit(host, camera_index(host, name),
                  strcmp(kind, "h264") == 0 ? CAMERA_VIDEO_H264 : CAMERA_VIDEO_JPEG, count,
                  key != 0);
    } else if (strncmp(line, "problem", 7) == 0) {
        set_problem(host, line + 7);
    } else if (sscanf(line, "rename %63s", name) == 1) {
        memcpy(host->cameras[1].name, name, sizeof name);
        api_cameras_changed(host->api);
    } else if (strcmp(line, "want") == 0) {
        printf("want %u %u\n", host->wanted[0], host->wanted[1]);
        fflush(stdout);
        return;
    } else {
        printf("what?\n");
    }
    printf("ok\n");
    fflush(stdout);
}

/* ---- start and stop ---- */

static void host_open(struct host *host, const char *folder, struct api_settings *settings)
{
    struct why             why    = {0};
    struct ledger_settings ledger = {.wake = wake, .arg = host};
    struct live_settings   live   = {.loop = &host->loop};

    uv_loop_init(&host->loop);
    uv_async_init(&host->loop, &host->ledger_wake, on_ledger);
    uv_timer_init(&host->loop, &host->flow);
    uv_pipe_init(&host->loop, &host->input, 0);
    host->ledger_wake.data = host->flow.data = host->input.data = host;
    set_up_cameras(host);
    if (ledger_open(&host->ledger, folder, &ledger, &why) != 0) {
        printf("Bail out! %s\n", why.text);
        exit(2);
    }
    live.ledger = host->ledger;
    if (live_open(&host->live, &live, &why) != 0) {
        printf("Bail out! %s\n", why.text);
        exit(2);
    }
    live_register(host->live, "gate", "door \"A\"");
    live_register(host->live, "gate", "hall");
    host->house      = (struct api_house){.arg          = host,
                                          .camera_count = camera_count,
                                          .camera       = camera,
                                          .camera_index = camera_index,
                                          .want_video   = want_video,
                                          .replay_units = replay_units,
                                          .problems     = problems,
                                          .metrics      = metrics,
                                          .model_text   = model_text};
    settings->loop   = &host->loop;
    settings->listen = settings->listen == NULL ? "127.0.0.1" : settings->listen;
    settings->ledger = host->ledger;
    settings->live   = host->live;
    settings->house  = &host->house;
    if (api_open(&host->api, settings, &why) != 0) {
        printf("Bail out! %s\n", why.text);
        exit(2);
    }
}

/* True if nothing was left on the loop. */
static bool host_close(struct host *host)
{
    api_close(&host->api);
    live_close(&host->live);
    uv_close((uv_handle_t *)&host->flow, NULL);
    uv_close((uv_handle_t *)&host->input, NULL);
    ledger_close(&host->ledger);
    uv_close((uv_handle_t *)&host->ledger_wake, NULL);
    uv_run(&host->loop, UV_RUN_DEFAULT);
    return uv_loop_close(&host->loop) == 0;
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    static char room[4096];

    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(room, sizeof room);
}

static void on_input(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct host *host = stream->data;

    if (count < 0)
        uv_stop(&host->loop);
    for (ssize_t i = 0; i < count; i++) {
        if (buffer->base[i] != '\n') {
            if (host->line_bytes + 1 < sizeof host->line)
                host->line[host->line_bytes++] = buffer->base[i];
            continue;
        }
        host->line[host->line_bytes] = '\0';
        host->line_bytes             = 0;
        obey(host, host->line);
    }
}

static int serve(int argc, char **argv)
{
    static struct host  host;
    struct api_settings settings = {0};

    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--token") == 0 && i + 1 < argc)
            settings.token = argv[++i];
        else if (strcmp(argv[i], "--clients") == 0 && i + 1 < argc)
            settings.max_clients = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--fast") == 0)
            settings.patience = (struct api_patience){700, 700, 700, 700, 1000, 3000, 2000};
    }
    host_open(&host, argv[2], &settings);
    printf("port %u\n", api_port(host.api));
    fflush(stdout);
    uv_pipe_open(&host.input, 0);
    uv_read_start((uv_stream_t *)&host.input, give_room, on_input);
    uv_run(&host.loop, UV_RUN_DEFAULT);
    return host_close(&host) ? 0 : 1;
}

/* The table of routes, for the test that asks every one of them as everybody. */
static int print_routes(void)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "DELETE"};

    for (int i = 0; i < ROUTE_COUNT; i++)
        printf("%s %s %s\n", methods[ROUTES[i].method], ROUTES[i].path,
               ROUTES[i].rights == RIGHTS_OPEN ? "open" : "token");
    return 0;
}

/* ---- the checks in this process ---- */

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int                fd      = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return -1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Turns the loop until `wanted` is in what has come, the other side closed, or 5 s are over. */
static bool hear(struct host *host, int fd, char *heard, size_t room, const char *wanted)
{
    int64_t until_ns = clock_monotonic_ns() + 5 * NS_PER_S;
    size_t  used     = 0;

    while (clock_monotonic_ns() < until_ns) {
        ssize_t count;
        uv_run(&host->loop, UV_RUN_NOWAIT);
        count = read(fd, heard + used, room - used - 1);
        if (count == 0)
            break;
        if (count > 0)
            used += (size_t)count;
        heard[used] = '\0';
        if (memmem(heard, used, wanted, strlen(wanted)) != NULL)
            return true;
    }
    return false;
}

static bool ask(struct host *host, const char *request, const char *wanted)
{
    static char heard[1 << 20];
    int         fd = connect_to(api_port(host->api));
    bool        good;

    if (write(fd, request, strlen(request)) < 0)
        return false;
    good = hear(host, fd, heard, sizeof heard, wanted);
    if (!good)
        diag("heard: %.300s", heard);
    close(fd);
    return good;
}

static void remove_folder(const char *folder)
{
    DIR           *dir = opendir(folder);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(folder);
}

static void check_http(struct host *host)
{
    ok(ask(host, "GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n", "{\"status\":\"live\"}"),
       "live");
    ok(ask(host, "GET /api/v1/ready HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK"),
       "ready");
    ok(ask(host, "GET /api/v1/version HTTP/1.1\r\nHost: localhost\r\n\r\n",
           "\"tiny \\\"test\\\" (yolox, cpu)\""),
       "version");
    ok(ask(host, "GET /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\n\r\n",
           "\"reason\":\"no route to host\""),
       "cameras");
    ok(ask(host, "GET /api/v1/counts HTTP/1.1\r\nHost: localhost\r\n\r\n",
           "\"a_to_b\":20,\"b_to_a\":10"),
       "counts");
    ok(ask(host, "GET /api/v1/events?since=29&limit=5 HTTP/1.1\r\nHost: localhost\r\n\r\n",
           "{\"events\":[{\"seq\":30,"),
       "events");
    ok(ask(host, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "# EOF\n"), "metrics");
    ok(ask(host, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "<!doctype html>"), "the page");
    ok(ask(host, "GET /api/v1/live HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "), "no Host: refused");
    ok(ask(host, "GET /api/v1/cameras?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 400 "),
       "an unknown parameter: refused");
}

static void check_websocket(struct host *host)
{
    static const char upgrade[] =
        "GET /api/v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    static const char subscribe[] =
        "{\"type\":\"subscribe\",\"topics\":[\"events\",\"counts\"],\"since\":28}";
    unsigned char frame[256] = {0x81, 0x80 | (sizeof subscribe - 1)}; /* mask of zeros */
    static char   heard[1 << 20];
    int           fd = connect_to(api_port(host->api));

    memcpy(frame + 6, subscribe, sizeof subscribe - 1);
    ok(write(fd, upgrade, sizeof upgrade - 1) > 0 &&
           hear(host, fd, heard, sizeof heard, "\"type\":\"hello\""),
       "the upgrade is answered and greeted");
    ok(write(fd, frame, 6 + sizeof subscribe - 1) > 0 &&
           hear(host, fd, heard, sizeof heard, "\"topic\":\"counts\""),
       "counts come at once");
    ok(strstr(heard, "{\"topic\":\"events\",\"seq\":29,") != NULL ||
           memmem(heard, sizeof heard, "\"seq\":29,", 9),
       "events since 28 are replayed");
    append(host);
    ok(hear(host, fd, heard, sizeof heard, "\"topic\":\"events\",\"seq\":31,"),
       "a new event is told");
    close(fd);
}

int main(int argc, char **argv)
{
    static struct host  host;
    struct api_settings settings = {0};
    char                folder[] = "/tmp/sightline-api-XXXXXX";

    if (argc > 1 && strcmp(argv[1], "--routes") == 0)
        return print_routes();
    if (argc > 2 && strcmp(argv[1], "--serve") == 0)
        return serve(argc, argv);
    if (mkdtemp(folder) == NULL)
        return 2;
    host_open(&host, folder, &settings);
    for (int i = 0; i < 30; i++)
        append(&host);
    while (host.acknowledged < 30)
        uv_run(&host.loop, UV_RUN_ONCE);
    check_http(&host);
    check_websocket(&host);
    ok(host_close(&host), "everything is closed and freed");
    remove_folder(folder);
    return done_testing();
}
