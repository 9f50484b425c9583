// links: camera
// Many cameras at once: those that nobody answers for give reasons and leave nothing behind.
//
// With arguments it is the client of the tests that need real cameras:
//   camera_crowd_test watch SECONDS FPS [--isolated] URL...
// prints a line for each change of the state of the first 16, one for each second, and one for each camera at the
// end. CROWD_SETTLE_S: longer gaps before it are not counted. A URL "user:password@@rtsp://..." has its credentials apart. Ends early when standard input closes.
#include "tests/tap.h"

#include <dirent.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "config/clock.h"
#include "config/heap.h"
#include "config/log.h"
#include "server/camera/camera.h"
#include "server/camera/camera_gate.h"
#include "server/camera/camera_tuning.h"
#include "server/camera/decode.h"

#define MEMBERS_MAX 512

struct member {
    struct camera    *camera;
    int               index;
    enum camera_state state;
    _Atomic uint64_t  frames;
    _Atomic int64_t   last_ns, gap_ns, gap_at_ns; /* between frames, the longest */
    _Atomic int       width, height;
    int64_t           first_ns;
};

static struct {
    uv_loop_t           loop;
    uv_timer_t          tick, limit;
    uv_pipe_t           input;
    struct decode_pool *pool;
    struct member       members[MEMBERS_MAX];
    int                 count;
    bool                quiet;
    int64_t             started_ns, settle_ns;
    char                discard[64];
} crowd;

static double seconds(void)
{
    return (double)(clock_monotonic_ns() - crowd.started_ns) / 1e9;
}

static void on_frame(void *arg, struct frame *frame)
{
    struct member *member = arg;
    int64_t        now_ns = clock_monotonic_ns();
    int64_t        gap_ns = now_ns - atomic_load(&member->last_ns);

    if (atomic_load(&member->last_ns) != 0 && gap_ns > atomic_load(&member->gap_ns) &&
        now_ns - crowd.started_ns > crowd.settle_ns) {
        atomic_store(&member->gap_ns, gap_ns);
        atomic_store(&member->gap_at_ns, now_ns - crowd.started_ns);
    }
    if (atomic_fetch_add(&member->frames, 1) == 0)
        member->first_ns = now_ns;
    atomic_store(&member->last_ns, now_ns);
    atomic_store(&member->width, frame->width_px);
    atomic_store(&member->height, frame->height_px);
    frame_unref(&frame);
}

static void on_changed(void *arg, struct camera *camera)
{
    struct member      *member = arg;
    struct camera_stats stats;

    camera_stats(camera, &stats);
    if (!crowd.quiet && member->index < 16 &&
        (stats.state != member->state || stats.state == CAMERA_STREAMING))
        printf("change %d %.3f %s %s\n", member->index, seconds(), camera_state_name(stats.state),
               stats.reason);
    member->state = stats.state;
}

/* A picture of a camera that is only shown. */
static void on_unit(void *arg, struct camera *camera, struct camera_unit *unit)
{
    struct member *member = arg;

    (void)camera;
    if (atomic_fetch_add(&member->frames, 1) == 0)
        member->first_ns = clock_monotonic_ns();
    atomic_store(&member->width, unit->width_px);
    atomic_store(&member->height, unit->height_px);
}

/* With CROWD_VIEW nothing is decoded: what a camera takes without its decoder. */
static int open_one(struct member *member, const struct settings_camera *settings,
                    const struct camera_sink *sink, struct why *why)
{
    if (getenv("CROWD_VIEW") != NULL)
        return camera_open_view(&member->camera, &crowd.loop, crowd.pool, settings, sink, why);
    return camera_open(&member->camera, &crowd.loop, crowd.pool, settings, (unsigned)member->index,
                       sink, why);
}

static int open_members(int count, char **urls, double fps)
{
    static struct settings_camera settings;
    struct why                    why;

    for (int i = 0; i < count && i < MEMBERS_MAX; i++) {
        struct member     *member = &crowd.members[i];
        struct camera_sink sink   = {
              .arg = member, .frame = on_frame, .changed = on_changed, .unit = on_unit};
        const char *url = strstr(urls[i], "@@");

        member->index = i;
        settings_camera_default(&settings);
        snprintf(settings.name, sizeof settings.name, "camera%d", i);
        settings.detect_fps = fps;
        if (url != NULL)
            sscanf(urls[i], "%63[^:]:%255[^@]", settings.user, settings.password.value);
        snprintf(settings.url, sizeof settings.url, "%s", url != NULL ? url + 2 : urls[i]);
        if (getenv("CROWD_TRANSPORT") != NULL && strcmp(getenv("CROWD_TRANSPORT"), "udp") == 0)
            settings.transport = TRANSPORT_UDP;
        if (open_one(member, &settings, &sink, &why) != 0) {
            printf("not opened: %s\n", why.text);
            return 1;
        }
        /* Those behind the first CROWD_PATIENT come back at once, whatever happens. */
        if (getenv("CROWD_PATIENT") != NULL && i >= strtol(getenv("CROWD_PATIENT"), NULL, 10)) {
            struct camera_tuning tuning = camera_tuning_default;

            tuning.connect_ms     = 1000;
            tuning.stall_ms       = 500;
            tuning.stall_grace_ms = 100;
            tuning.backoff_min_ms = 5;
            tuning.backoff_max_ms = 20;
            tuning.seed           = (uint64_t)i;
            camera_tune(member->camera, &tuning);
        }
        crowd.count++;
        camera_start(member->camera, 0);
    }
    return 0;
}

static int count_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int  count  = 0;

    if (folder == NULL)
        return -1;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count - 3; /* ".", "..", and the folder itself */
}

/* A line of /proc/PID/status; 0: it is not there. Of all that is resident ("VmRSS") some is the
 * programs' code, read from files as it is first used, and pictures shared with the decoders;
 * "RssAnon" is what was allocated. */
static long status_kb(int pid, const char *name)
{
    char  path[48], line[128];
    long  kilobytes = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if ((file = fopen(path, "re")) == NULL)
        return 0;
    while (kilobytes == 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            kilobytes = strtol(line + strlen(name) + 1, NULL, 10);
    }
    fclose(file);
    return kilobytes;
}

static long decoders_kb(void)
{
    int  pids[16];
    int  count     = decode_pool_pids(crowd.pool, pids, 16);
    long kilobytes = 0;

    for (int i = 0; i < count; i++)
        kilobytes += status_kb(pids[i], "RssAnon");
    return kilobytes;
}

/* What is allocated and not freed, whatever the allocator keeps besides. */
static size_t heap_kb(void)
{
    struct mallinfo2 info = mallinfo2();

    return (info.uordblks + info.hblkhd) / 1024;
}

/* Of this thread, which is the loop: what the transport costs. */
static double loop_cpu_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void on_tick(uv_timer_t *timer)
{
    uint64_t frames    = 0;
    int      states[8] = {0};

    (void)timer;
    for (int i = 0; i < crowd.count; i++) {
        frames += atomic_load(&crowd.members[i].frames);
        states[crowd.members[i].state & 7]++;
    }
    printf("second %.1f streaming %d connecting %d stalled %d backoff %d frames %llu rss_kb %ld "
           "files %d loop_cpu_s %.3f waiting %u anon_kb %ld heap_kb %zu decoders_kb %ld",
           seconds(), states[CAMERA_STREAMING], states[CAMERA_CONNECTING], states[CAMERA_STALLED],
           states[CAMERA_BACKOFF], (unsigned long long)frames, status_kb(getpid(), "VmRSS"),
           count_files(), loop_cpu_s(), camera_gate_stats().waiting, status_kb(getpid(), "RssAnon"),
           heap_kb(), decoders_kb());
    if (crowd.count <= 8) { /* pictures of each camera */
        printf(" each");
        for (int i = 0; i < crowd.count; i++)
            printf(" %llu", (unsigned long long)atomic_load(&crowd.members[i].frames));
    }
    printf("\n");
}

static void print_members(void)
{
    for (int i = 0; i < crowd.count; i++) {
        struct member      *member = &crowd.members[i];
        struct camera_stats stats;

        camera_stats(member->camera, &stats);
        printf("camera %d state %s frames %llu size %dx%d first_s %.3f gap_ms %lld gap_at_s %.1f "
               "connects %llu "
               "reconnects %llu lost %llu received %llu errors %llu decoded %llu transport %s",
               i, camera_state_name(stats.state), (unsigned long long)atomic_load(&member->frames),
               atomic_load(&member->width), atomic_load(&member->height),
               member->first_ns != 0 ? (double)(member->first_ns - crowd.started_ns) / 1e9 : -1.0,
               (long long)(atomic_load(&member->gap_ns) / NS_PER_MS),
               (double)atomic_load(&member->gap_at_ns) / 1e9, (unsigned long long)stats.connects,
               (unsigned long long)stats.reconnects, (unsigned long long)stats.rtp_lost,
               (unsigned long long)stats.rtp_received, (unsigned long long)stats.decode_errors,
               (unsigned long long)stats.frames_decoded,
               stats.transport[0] != '\0' ? stats.transport : "none");
        for (int j = 0; j < CAMERA_LOSSES; j++)
            printf(" %s %llu", camera_loss_name((enum camera_loss)j),
                   (unsigned long long)stats.losses[j]);
        printf(" reason %s\n", stats.reason);
    }
}

static void close_crowd(void)
{
    for (int i = 0; i < crowd.count; i++)
        camera_close(&crowd.members[i].camera);
    crowd.count = 0;
}

static void stop(void)
{
    if (uv_is_closing((uv_handle_t *)&crowd.limit))
        return;
    print_members();
    close_crowd();
    uv_close((uv_handle_t *)&crowd.tick, NULL);
    uv_close((uv_handle_t *)&crowd.limit, NULL);
    uv_close((uv_handle_t *)&crowd.input, NULL);
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    stop();
}

static void on_input_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(crowd.discard, sizeof crowd.discard);
}

static void on_input(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    (void)stream;
    (void)buffer;
    if (count < 0)
        stop();
}

static int watch_crowd(int count, char **arguments)
{
    int  workers  = getenv("CROWD_WORKERS") != NULL ? (int)strtol(getenv("CROWD_WORKERS"), NULL, 10)
                                                    : 2;
    bool isolated = count > 2 && strcmp(arguments[2], "--isolated") == 0;
    struct why why;
    int        rc;

    crowd.started_ns = clock_monotonic_ns();
    if (getenv("CROWD_SETTLE_S") != NULL)
        crowd.settle_ns = strtol(getenv("CROWD_SETTLE_S"), NULL, 10) * NS_PER_S;
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_set_level(getenv("CROWD_LOG") != NULL ? LOG_DEBUG : LOG_ERROR);
    uv_loop_init(&crowd.loop);
    rc = isolated ? decode_pool_open_isolated(&crowd.pool, workers, ISOLATION_PROCESS, &why)
                  : decode_pool_open(&crowd.pool, workers, &why);
    if (rc != 0) {
        printf("no decoder: %s\n", why.text);
        return 1;
    }
    uv_timer_init(&crowd.loop, &crowd.tick);
    uv_timer_init(&crowd.loop, &crowd.limit);
    uv_pipe_init(&crowd.loop, &crowd.input, 0);
    if (getenv("CROWD_INPUT") != NULL && uv_pipe_open(&crowd.input, 0) == 0)
        uv_read_start((uv_stream_t *)&crowd.input, on_input_room, on_input);
    uv_timer_start(&crowd.tick, on_tick, 1000, 1000);
    uv_timer_start(&crowd.limit, on_limit, (uint64_t)(strtod(arguments[0], NULL) * 1000), 0);
    rc = open_members(count - (isolated ? 3 : 2), arguments + (isolated ? 3 : 2),
                      strtod(arguments[1], NULL));
    if (rc != 0)
        return rc;
    uv_run(&crowd.loop, UV_RUN_DEFAULT);
    rc = uv_loop_close(&crowd.loop);
    decode_pool_close(&crowd.pool);
    printf("loop closed %d files %d\n", rc, count_files());
    return 0;
}

/* ---- the test ---- */

static void on_done(uv_timer_t *timer)
{
    int tried = 0;

    for (int i = 0; i < crowd.count; i++)
        tried += crowd.members[i].state == CAMERA_BACKOFF;
    if (tried == crowd.count || seconds() > 20)
        uv_close((uv_handle_t *)timer, NULL);
}

static void test_nobody_answers(void)
{
    static char         url[64];
    static char        *urls[60];
    struct sockaddr_in  address = {.sin_family = AF_INET};
    socklen_t           bytes   = sizeof address;
    int                 bound = socket(AF_INET, SOCK_STREAM, 0), wrong = 0;
    int                 files = count_files();
    struct camera_stats stats;
    struct why          why;
    uv_timer_t          timer;

    /* The first loop of a process opens what it keeps for all. */
    uv_loop_init(&crowd.loop);
    uv_loop_close(&crowd.loop);
    files                   = count_files();
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(bound, (struct sockaddr *)&address, sizeof address);
    getsockname(bound, (struct sockaddr *)&address, &bytes);
    snprintf(url, sizeof url, "rtsp://127.0.0.1:%u/", (unsigned)ntohs(address.sin_port));
    for (int i = 0; i < 60; i++)
        urls[i] = url;
    crowd.quiet      = true;
    crowd.started_ns = clock_monotonic_ns();
    uv_loop_init(&crowd.loop);
    if (decode_pool_open(&crowd.pool, 1, &why) != 0)
        exit(1);
    is_int(open_members(60, urls, 1), 0, "60 cameras where nobody listens");
    uv_timer_init(&crowd.loop, &timer);
    uv_timer_start(&timer, on_done, 10, 10);
    while (!uv_is_closing((uv_handle_t *)&timer))
        uv_run(&crowd.loop, UV_RUN_ONCE);
    for (int i = 0; i < 60; i++) {
        camera_stats(crowd.members[i].camera, &stats);
        wrong += stats.losses[CAMERA_LOSS_UNREACHABLE] == 0 ||
                 strstr(stats.reason, "connection refused") == NULL || stats.connects == 0;
    }
    is_int(wrong, 0, "each says that it was refused");
    ok(camera_gate_stats().delayed >= 50, "%llu had to wait for their turn",
       (unsigned long long)camera_gate_stats().delayed);
    close_crowd();
    uv_run(&crowd.loop, UV_RUN_DEFAULT);
    is_int(uv_loop_close(&crowd.loop), 0, "nothing is left on the loop");
    decode_pool_close(&crowd.pool);
    is_int((int)camera_gate_stats().waiting, 0, "nobody waits any more");
    close(bound);
    is_int(count_files() + 1, files, "no descriptor is left open");
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    heap_settle();
    if (argc > 4 && strcmp(argv[1], "watch") == 0)
        return watch_crowd(argc - 2, argv + 2);
    log_set_level(LOG_ERROR);
    test_nobody_answers();
    return done_testing();
}
