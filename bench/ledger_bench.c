/* links: storage The ledger: durable inserts by group size, bytes of an event, and the latency
 * of its queries. TSV: name, value, unit.
 *
 *   ledger_bench [EVENTS] [FOLDER]     EVENTS (200000) for size and queries; FOLDER on the disk to be measured */
#include "config/clock.h"
#include "config/log.h"
#include "storage/ledger.h"
#include "tests/storage_kit.h"

#include <pthread.h>
#include <sys/resource.h>

#define START_NS (INT64_C(1767225600) * NS_PER_S)
#define CAMERAS  100
#define DAYS     30
#define REPEATS  2000
#define RUN_NS   (2 * NS_PER_S)

static void line(const char *name, double value, const char *unit)
{
    printf("%s\t%.6g\t%s\n", name, value, unit);
    fflush(stdout);
}

static struct ledger *open_or_die(const char *path)
{
    struct ledger_settings settings = {0};
    struct ledger         *ledger;
    struct why             why;

    if (ledger_open(&ledger, path, &settings, &why) != 0) {
        fprintf(stderr, "%s\n", why.text);
        exit(1);
    }
    return ledger;
}

static const char *fresh_folder(char path[static 256], const char *base)
{
    snprintf(path, 256, "%s/sightline-bench-XXXXXX", base);
    if (mkdtemp(path) == NULL) {
        perror(path);
        exit(1);
    }
    return path;
}

/* An event as a street gives it: a few paths, one class for most, growing frames. */
static struct event street_event(uint64_t *state, int64_t time_ns)
{
    struct event event = kit_event(state, CAMERAS, time_ns);

    event.rule       = 0x51a7e000U + (uint32_t)(event.camera[7] - '0');
    event.frame      = (uint64_t)((time_ns - START_NS) / (40 * NS_PER_MS));
    event.pts_ns     = (int64_t)event.frame * 40 * NS_PER_MS;
    event.path_count = LIMIT_EVENT_PATH_POINTS;
    for (int i = 1; i < event.path_count; i++) {
        event.path[i].x = event.path[i - 1].x + (float)kit_below(state, 40) / 2048;
        event.path[i].y = event.path[i - 1].y + (float)kit_below(state, 40) / 2048;
    }
    return event;
}

/* ---- durable inserts ---- */

static void insert_alone(const char *base)
{
    char           path[256];
    struct ledger *ledger = open_or_die(fresh_folder(path, base));
    uint64_t       state = 1, count = 0;
    int64_t        start_ns = clock_monotonic_ns(), worst_ns = 0;

    while (clock_monotonic_ns() - start_ns < RUN_NS) {
        struct event event    = street_event(&state, START_NS + (int64_t)count * NS_PER_S);
        int64_t      began_ns = clock_monotonic_ns(), took_ns;

        ledger_append(ledger, &event);
        ledger_flush(ledger, 10000);
        took_ns  = clock_monotonic_ns() - began_ns;
        worst_ns = took_ns > worst_ns ? took_ns : worst_ns;
        count++;
    }
    line("insert_group_1", (double)count * 1e9 / (double)(clock_monotonic_ns() - start_ns),
         "events/s");
    line("insert_group_1_worst", (double)worst_ns / 1e6, "ms");
    ledger_close(&ledger);
    kit_remove(path);
}

static void insert_full(const char *base)
{
    char           path[256];
    struct ledger *ledger = open_or_die(fresh_folder(path, base));
    uint64_t       state = 2, count = 0;
    int64_t        start_ns = clock_monotonic_ns();

    while (clock_monotonic_ns() - start_ns < RUN_NS) {
        for (int i = 0; i < 64; i++, count++) {
            struct event event = street_event(&state, START_NS + (int64_t)count * 100 * NS_PER_MS);

            ledger_append(ledger, &event);
        }
        if (ledger_health(ledger).waiting > 32768)
            ledger_flush(ledger, 10000);
    }
    ledger_flush(ledger, 60000);
    line("insert_group_64", (double)count * 1e9 / (double)(clock_monotonic_ns() - start_ns),
         "events/s");
    line("insert_group_64_commit", (double)ledger_health(ledger).last_commit_ns / 1e6, "ms");
    ledger_close(&ledger);
    kit_remove(path);
}

/* Many cameras that each wait for their own acknowledgement: what group commit is for. */
struct waiter {
    pthread_t      thread;
    struct ledger *ledger;
    uint64_t       state, count;
    int64_t        until_ns;
};

static void *insert_and_wait(void *arg)
{
    struct waiter *waiter = arg;

    while (clock_monotonic_ns() < waiter->until_ns) {
        struct event event = street_event(&waiter->state,
                                          START_NS + (int64_t)waiter->count * NS_PER_S);

        ledger_append(waiter->ledger, &event);
        ledger_flush(waiter->ledger, 10000);
        waiter->count++;
    }
    return NULL;
}

static void insert_together(const char *base)
{
    static struct waiter waiters[100];
    char                 path[256];
    struct ledger       *ledger   = open_or_die(fresh_folder(path, base));
    uint64_t             count    = 0;
    int64_t              until_ns = clock_monotonic_ns() + RUN_NS;

    for (int i = 0; i < 100; i++) {
        waiters[i] = (struct waiter){
            .ledger = ledger, .state = (uint64_t)i + 1, .until_ns = until_ns};
        pthread_create(&waiters[i].thread, NULL, insert_and_wait, &waiters[i]);
    }
    for (int i = 0; i < 100; i++) {
        pthread_join(waiters[i].thread, NULL);
        count += waiters[i].count;
    }
    line("insert_100_writers", (double)count * 1e9 / (double)RUN_NS, "events/s");
    ledger_close(&ledger);
    kit_remove(path);
}

/* ---- size and queries ---- */

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void latency(const char *name, int64_t *times_ns, int count)
{
    char text[64];

    qsort(times_ns, (size_t)count, sizeof *times_ns, compare_ns);
    snprintf(text, sizeof text, "%s_median", name);
    line(text, (double)times_ns[count / 2] / 1e3, "us");
    snprintf(text, sizeof text, "%s_p99", name);
    line(text, (double)times_ns[count * 99 / 100] / 1e3, "us");
}

static void query(struct ledger *ledger)
{
    static struct rollup rollups[1440];
    static int64_t       times_ns[REPEATS];
    int64_t              end_s = START_NS / NS_PER_S + (int64_t)DAYS * 86400;
    uint64_t             state = 5;
    struct rollup        total;

    for (int i = 0; i < REPEATS; i++) {
        char    camera[32];
        int64_t began_ns;

        snprintf(camera, sizeof camera, "camera %u", (unsigned)kit_below(&state, CAMERAS));
        began_ns = clock_monotonic_ns();
        ledger_read_history(ledger, camera, "line 1", ROLLUP_MINUTE, end_s - 86400, end_s, rollups,
                            1440);
        times_ns[i] = clock_monotonic_ns() - began_ns;
    }
    latency("q1_day_by_minute", times_ns, REPEATS);
    for (int i = 0; i < 50; i++) {
        int64_t began_ns = clock_monotonic_ns();

        for (int k = 0; k < CAMERAS; k++) {
            char camera[32];

            snprintf(camera, sizeof camera, "camera %d", k);
            ledger_read_history(ledger, camera, "line 1", ROLLUP_HOUR,
                                end_s - (int64_t)DAYS * 86400, end_s, rollups, 1440);
        }
        times_ns[i] = clock_monotonic_ns() - began_ns;
    }
    latency("q2_month_by_hour_100_cameras", times_ns, 50);
    for (int i = 0; i < REPEATS; i++) {
        int64_t began_ns = clock_monotonic_ns();

        ledger_read_total(ledger, "camera 7", "line 1", &total);
        times_ns[i] = clock_monotonic_ns() - began_ns;
    }
    latency("total", times_ns, REPEATS);
}

static void size_and_queries(const char *base, int events)
{
    char                 path[256];
    struct ledger       *ledger = open_or_die(fresh_folder(path, base));
    struct ledger_report report;
    struct why           why;
    uint64_t             state   = 3;
    int64_t              step_ns = (int64_t)DAYS * 86400 * NS_PER_S / events, began_ns;
    struct rusage        usage;

    for (int i = 0; i < events; i++) {
        struct event event = street_event(&state, START_NS + i * step_ns);

        ledger_append(ledger, &event);
        if (i % 20000 == 19999)
            ledger_flush(ledger, 60000);
    }
    ledger_flush(ledger, 60000);
    ledger_stats(ledger, &report, &why);
    line("file_bytes_per_event", (double)report.file_bytes / events, "bytes");
    query(ledger);
    began_ns = clock_monotonic_ns();
    if (ledger_verify(ledger, &report, NULL, NULL, &why) != 0)
        fprintf(stderr, "%s\n", why.text);
    line("verify", (double)events * 1e9 / (double)(clock_monotonic_ns() - began_ns), "events/s");
    ledger_close(&ledger);
    began_ns = clock_monotonic_ns();
    ledger   = open_or_die(path);
    line("open", (double)(clock_monotonic_ns() - began_ns) / 1e6, "ms");
    ledger_close(&ledger);
    getrusage(RUSAGE_SELF, &usage);
    line("peak_memory", (double)usage.ru_maxrss / 1024, "MiB");
    kit_remove(path);
}

int main(int argc, char **argv)
{
    int         events = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 200000;
    const char *base   = argc > 2 ? argv[2] : "/tmp";

    log_set_level(LOG_ERROR);
    insert_alone(base);
    insert_full(base);
    insert_together(base);
    size_and_queries(base, events > 0 ? events : 200000);
    return 0;
}
