/* links: storage */
#include "tests/tap.h"

#include "config/err.h"
#include "storage/export.h"
#include "storage/ledger.h"
#include "tests/storage_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define START_NS (INT64_C(1767225600) * NS_PER_S) /* 2026-01-01 */

static const struct ledger_settings WRITER = {0};
static const struct ledger_settings READER = {.read_only = true};

static struct ledger *open_or_die(const char *path, const struct ledger_settings *settings)
{
    struct ledger *ledger;
    struct why     why = {""};

    if (ledger_open(&ledger, path, settings, &why) != 0) {
        printf("Bail out! %s\n", why.text);
        exit(1);
    }
    return ledger;
}

/* ---- append, acknowledge, read ---- */

struct seen {
    uint64_t     seq;
    int          count;
    bool         ordered;
    struct event last;
};

static void see(void *arg, const struct event *event)
{
    struct seen *seen = arg;

    seen->ordered = (seen->count == 0 || event->seq == seen->seq + 1) &&
                    (seen->count == 0 || seen->ordered);
    seen->seq  = event->seq;
    seen->last = *event;
    seen->count++;
}

static void first_steps(void)
{
    char                 path[64];
    struct ledger       *ledger = open_or_die(kit_folder(path), &WRITER);
    struct seen          seen   = {.ordered = true};
    struct event         events[10], read[10];
    struct ledger_health health;
    uint64_t             state = 1;

    is_int(ledger_last_seq(ledger), 0, "a new ledger is empty");
    is_int(ledger_read_events(ledger, 0, read, 10), 0, "nothing to read");
    ledger_dispatch(ledger, see, &seen);
    is_int(seen.count, 0, "nothing to dispatch");
    for (int i = 0; i < 10; i++) {
        events[i] = kit_event(&state, 2, START_NS + i * NS_PER_S);
        is_int(ledger_append(ledger, &events[i]), 0, "event %d is queued", i);
    }
    is_int(ledger_flush(ledger, 10000), 0, "all is committed");
    is_int(ledger_last_seq(ledger), 10, "the last sequence number");
    ledger_dispatch(ledger, see, &seen);
    is_int(seen.count, 10, "each is dispatched");
    ok(seen.ordered && seen.seq == 10, "once and in order");
    ok(kit_event_equal(&seen.last, &events[9]), "as it was appended");
    ledger_dispatch(ledger, see, &seen);
    is_int(seen.count, 10, "and never again");
    is_int(ledger_read_events(ledger, 7, read, 10), 3, "reading goes on behind a number");
    ok(read[0].seq == 8 && kit_event_equal(&read[0], &events[7]) && read[2].seq == 10, "in order");
    is_int(ledger_read_events(ledger, 3, read, 2), 2, "as many as there is room for");
    is_int(read[1].seq, 5, "from the right one");
    is_int(ledger_read_events(ledger, 10, read, 10), 0, "nothing after the last one");
    is_int(ledger_read_events(ledger, UINT64_MAX, read, 10), 0, "nor after the last number");
    health = ledger_health(ledger);
    ok(health.writable && health.commits > 0 && health.failed_commits == 0 && health.lost == 0,
       "health is good after %d commits", (int)health.commits);
    ledger_close(&ledger);
    ok(ledger == NULL, "closed");
    kit_remove(path);
}

static void refusals(void)
{
    char           path[64], inside[128];
    struct ledger *ledger = open_or_die(kit_folder(path), &WRITER), *second;
    struct why     why;
    struct event   event = {0};
    struct stat    info;
    uint64_t       state = 2;

    is_int(ledger_append(ledger, &event), ERR_INVALID, "an event that is none is refused");
    is_int(ledger_open(&second, path, &WRITER, &why), ERR_DENIED, "a second handle is refused");
    ok(strstr(why.text, "already") != NULL, "with a reason: %s", why.text);
    is_int(ledger_append_coverage(ledger, "camera", -1, 1, 1), ERR_INVALID, "coverage before 1970");
    is_int(ledger_append_coverage(ledger, "camera", 1, 60001, 60000), ERR_INVALID,
           "too long a minute");
    is_int(ledger_register(ledger, "", "x"), ERR_INVALID, "a counter without a camera");
    ledger_close(&ledger);
    snprintf(inside, sizeof inside, "%s/data.mdb", path);
    ok(stat(inside, &info) == 0 && (info.st_mode & 0777) == 0600, "the file is the owner's alone");
    snprintf(inside, sizeof inside, "%s/writer.lock", path);
    ok(stat(inside, &info) == 0 && (info.st_mode & 0777) == 0600, "so is the lock");
    is_int(ledger_open(&second, "/proc/nowhere/ledger", &WRITER, &why), ERR_DENIED,
           "a folder that cannot be made: %s", why.text);
    is_int(ledger_open(&second, "", &WRITER, &why), ERR_INVALID, "no folder: %s", why.text);
    snprintf(inside, sizeof inside, "%s/absent", path);
    is_int(ledger_open(&second, inside, &READER, &why), ERR_NOT_FOUND, "nothing to read: %s",
           why.text);
    ledger = open_or_die(inside, &WRITER);
    ok(stat(inside, &info) == 0 && (info.st_mode & 0777) == 0700,
       "a new folder is the owner's alone");
    ledger_close(&ledger);
    ledger = open_or_die(inside, &READER);
    event  = kit_event(&state, 1, 1);
    is_int(ledger_append(ledger, &event), ERR_DENIED, "a reader cannot append");
    is_int(ledger_append_coverage(ledger, "camera", 1, 1, 1), ERR_DENIED, "nor tell coverage");
    is_int(ledger_register(ledger, "a", "b"), ERR_DENIED, "nor register");
    ledger_close(&ledger);
    kit_remove(inside);
    kit_remove(path);
}

static void set_format(const char *path, uint32_t format)
{
    MDB_val  key = {.mv_data = "format", .mv_size = 6}, value = {.mv_data = &format, .mv_size = 4};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi  meta;

    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 1) != 0 ||
        mdb_env_open(env, path, 0, 0600) != 0 || mdb_txn_begin(env, NULL, 0, &txn) != 0 ||
        mdb_dbi_open(txn, "meta", 0, &meta) != 0 || mdb_put(txn, meta, &key, &value, 0) != 0 ||
        mdb_txn_commit(txn) != 0)
        exit(1);
    mdb_env_close(env);
}

static void other_formats(void)
{
    char           path[64], file[128];
    struct ledger *ledger = open_or_die(kit_folder(path), &WRITER);
    struct why     why;

    ledger_close(&ledger);
    set_format(path, 2);
    is_int(ledger_open(&ledger, path, &WRITER, &why), ERR_UNSUPPORTED, "a newer format: %s",
           why.text);
    is_int(ledger_open(&ledger, path, &READER, &why), ERR_UNSUPPORTED, "nor is it read");
    set_format(path, 0);
    is_int(ledger_open(&ledger, path, &WRITER, &why), ERR_CORRUPT, "no format: %s", why.text);
    set_format(path, 1);
    ledger = open_or_die(path, &WRITER);
    ledger_close(&ledger);
    snprintf(file, sizeof file, "%s/data.mdb", path);
    is_int(truncate(file, 0), 0, "its file is emptied");
    is_int(ledger_open(&ledger, path, &WRITER, &why), ERR_CORRUPT, "and not begun anew: %s",
           why.text);
    unlink(file);
    is_int(ledger_open(&ledger, path, &WRITER, &why), ERR_CORRUPT, "nor when it is gone");
    is_int(ledger_open(&ledger, path, &READER, &why), ERR_NOT_FOUND, "nothing to read");
    kit_remove(path);
}

/* ---- against a naive model ---- */

struct model_bucket {
    char          camera[LIMIT_NAME_BYTES], counter[LIMIT_NAME_BYTES];
    struct rollup rollup;
};

struct model {
    struct event *events;
    int           count;
};

/* The roll-up of one counter over [from, to), straight from the events. */
static struct rollup model_sum(const struct model *model, const char *camera, const char *counter,
                               int64_t from_s, int64_t to_s)
{
    struct rollup sum = {.start_s = from_s};

    for (int i = 0; i < model->count; i++) {
        const struct event *event  = &model->events[i];
        int64_t             time_s = event->time_ns / NS_PER_S;

        if (time_s < from_s || time_s >= to_s || strcmp(event->camera, camera) != 0 ||
            strcmp(event->counter, counter) != 0)
            continue;
        if (event->kind == EVENT_LINE_CROSSING)
            sum.crossings[event->object_class][event->direction == DIRECTION_B_TO_A]++;
        if (event->kind == EVENT_ZONE_ENTRY)
            sum.entries[event->object_class]++;
        if (event->kind == EVENT_ZONE_EXIT) {
            sum.exits[event->object_class]++;
            sum.dwell_ms += event->dwell_ms;
        }
    }
    return sum;
}

static bool sums_equal(const struct rollup *a, const struct rollup *b)
{
    return a->start_s == b->start_s && a->dwell_ms == b->dwell_ms &&
           memcmp(a->crossings, b->crossings, sizeof a->crossings) == 0 &&
           memcmp(a->entries, b->entries, sizeof a->entries) == 0 &&
           memcmp(a->exits, b->exits, sizeof a->exits) == 0;
}

static bool sum_empty(const struct rollup *rollup)
{
    struct rollup none = {.start_s = rollup->start_s};

    return sums_equal(rollup, &none);
}

/* Every bucket of one kind over the whole span, compared. Returns the differences. */
static int compare_history(struct ledger *ledger, const struct model *model, const char *camera,
                           const char *counter, enum rollup_bucket bucket, int64_t from_s,
                           int64_t to_s)
{
    const int64_t  lengths[] = {60, 3600, 86400};
    int64_t        length    = lengths[bucket];
    struct rollup *got       = calloc(20000, sizeof *got);
    int count = ledger_read_history(ledger, camera, counter, bucket, from_s, to_s, got, 20000);
    int wrong = count < 0, at = 0;

    for (int64_t start = (from_s + length - 1) / length * length; start < to_s; start += length) {
        struct rollup sum = model_sum(model, camera, counter, start, start + length);

        if (at < count && got[at].start_s == start)
            wrong += !sums_equal(&got[at++], &sum);
        else
            wrong += !sum_empty(&sum);
    }
    wrong += at != count;
    free(got);
    return wrong;
}

static int compare_all(struct ledger *ledger, const struct model *model, int64_t from_s,
                       int64_t to_s)
{
    int wrong = 0;

    for (int camera = 0; camera < 3; camera++) {
        for (int counter = 0; counter < 3; counter++) {
            char          camera_name[LIMIT_NAME_BYTES], counter_name[LIMIT_NAME_BYTES];
            struct rollup total, sum;

            snprintf(camera_name, sizeof camera_name, "camera %d", camera);
            snprintf(counter_name, sizeof counter_name, "%s %d", counter < 2 ? "line" : "zone",
                     counter);
            for (int bucket = ROLLUP_MINUTE; bucket <= ROLLUP_DAY; bucket++)
                wrong += compare_history(ledger, model, camera_name, counter_name,
                                         (enum rollup_bucket)bucket, from_s, to_s);
            sum         = model_sum(model, camera_name, counter_name, 0, INT64_MAX);
            sum.start_s = 0;
            wrong += ledger_read_total(ledger, camera_name, counter_name, &total) != 0 ||
                     !sums_equal(&total, &sum);
        }
    }
    return wrong;
}

static int compare_events(struct ledger *ledger, const struct model *model)
{
    struct event *read  = calloc(1000, sizeof *read);
    int           wrong = 0, done = 0, count;

    while ((count = ledger_read_events(ledger, (uint64_t)done, read, 1 + done % 999)) > 0) {
        for (int i = 0; i < count; i++, done++)
            wrong += done >= model->count || read[i].seq != (uint64_t)done + 1 ||
                     !kit_event_equal(&read[i], &model->events[done]);
    }
    free(read);
    return wrong + (done != model->count);
}

static int append_some(struct ledger *ledger, struct model *model, uint64_t *state, int count,
                       int64_t span_s)
{
    int wrong = 0;

    for (int i = 0; i < count; i++) {
        struct event event = kit_event(
            state, 3, START_NS + (int64_t)kit_below(state, (uint64_t)span_s * 1000) * NS_PER_MS);

        model->events[model->count++] = event;
        wrong += ledger_append(ledger, &event) != 0;
    }
    return wrong;
}

static void against_model(void)
{
    char                 path[64];
    struct ledger       *ledger = open_or_die(kit_folder(path), &WRITER);
    struct model         model  = {.events = calloc(20000, sizeof(struct event))};
    struct ledger_report report;
    struct why           why    = {""};
    uint64_t             state  = 4;
    int64_t              from_s = START_NS / NS_PER_S, span_s = 3 * 86400;
    int                  wrong = 0;

    /* Out of order over three days, with the ledger closed and opened in between. */
    for (int round = 0; round < 6; round++) {
        wrong += append_some(ledger, &model, &state, round % 2 == 0 ? 700 : 33, span_s);
        if (round % 3 == 2) {
            ledger_close(&ledger);
            ledger = open_or_die(path, &WRITER);
        }
    }
    wrong += ledger_flush(ledger, 20000) != 0;
    is_int(wrong, 0, "%d random events are appended, over two restarts", model.count);
    is_int(compare_events(ledger, &model), 0, "all are read back, equal and in order");
    is_int(compare_all(ledger, &model, from_s, from_s + span_s), 0,
           "minutes, hours, days and totals equal the model's");
    is_int(compare_all(ledger, &model, from_s + 4000, from_s + 100000), 0,
           "also of a part of the span");
    is_int(ledger_verify(ledger, &report, NULL, NULL, &why), 0, "verify passes%s", why.text);
    is_int(report.events, model.count, "verify has read every event");
    is_int(report.counters, 9, "of nine counters");
    ledger_close(&ledger);
    ledger = open_or_die(path, &READER);
    is_int(compare_events(ledger, &model), 0, "a reader reads the same events");
    is_int(compare_all(ledger, &model, from_s, from_s + span_s), 0, "and the same roll-ups");
    is_int(ledger_stats(ledger, &report, &why), 0, "stats");
    ok(report.events == (uint64_t)model.count && report.first_seq == 1 &&
           report.last_seq == (uint64_t)model.count &&
           report.first_time_ns == model.events[0].time_ns &&
           report.last_time_ns == model.events[model.count - 1].time_ns && report.commits > 0,
       "with the right figures");
    diag("%.1f bytes an event in the file", (double)report.file_bytes / model.count);
    ledger_close(&ledger);
    free(model.events);
    kit_remove(path);
}

/* ---- coverage ---- */

static void coverage(void)
{
    char                 path[64];
    struct ledger       *ledger = open_or_die(kit_folder(path), &WRITER);
    struct rollup        rollups[10];
    struct ledger_report report;
    struct why           why     = {""};
    int64_t              start_s = START_NS / NS_PER_S;

    is_int(ledger_append_coverage(ledger, "gate", START_NS, 60000, 60000), 0,
           "coverage of a camera without counters is nothing");
    ledger_register(ledger, "gate", "in");
    ledger_register(ledger, "gate", "out");
    ledger_register(ledger, "yard", "in");
    ledger_append_coverage(ledger, "gate", START_NS, 20000, 30000);
    ledger_append_coverage(ledger, "gate", START_NS + 59 * NS_PER_S, 30000, 30000);
    ledger_append_coverage(ledger, "gate", START_NS + 120 * NS_PER_S, 60000, 60000);
    is_int(ledger_flush(ledger, 10000), 0, "coverage is committed");
    is_int(ledger_read_history(ledger, "gate", "out", ROLLUP_MINUTE, start_s, start_s + 3600,
                               rollups, 10),
           2, "two minutes hold something, the one between is a gap");
    ok(rollups[0].start_s == start_s && rollups[0].analysed_ms == 50000 &&
           rollups[0].elapsed_ms == 60000,
       "parts of a minute add up");
    ok(rollups[1].start_s == start_s + 120 && rollups[1].analysed_ms == 60000, "the other minute");
    is_int(
        ledger_read_history(ledger, "gate", "in", ROLLUP_HOUR, start_s, start_s + 1, rollups, 10),
        1, "one hour");
    is_int(rollups[0].analysed_ms, 110000, "has both");
    is_int(ledger_read_history(ledger, "yard", "in", ROLLUP_DAY, 0, INT64_MAX, rollups, 10), 0,
           "another camera has none");
    is_int(ledger_read_history(ledger, "nope", "in", ROLLUP_DAY, 0, INT64_MAX, rollups, 10), 0,
           "nor has one that does not exist");
    is_int(ledger_verify(ledger, &report, NULL, NULL, &why), 0, "verify passes%s", why.text);
    is_int(report.events, 0, "without an event");
    ledger_close(&ledger);
    ledger = open_or_die(path, &WRITER);
    is_int(ledger_read_history(ledger, "gate", "in", ROLLUP_DAY, 0, INT64_MAX, rollups, 10), 1,
           "coverage survives a restart");
    ledger_append_coverage(ledger, "gate", START_NS, 1000, 1000);
    ledger_flush(ledger, 10000);
    ledger_read_history(ledger, "gate", "in", ROLLUP_DAY, 0, INT64_MAX, rollups, 10);
    is_int(rollups[0].analysed_ms, 110000, "a counter that nobody registered since is not covered");
    ledger_close(&ledger);
    kit_remove(path);
}

/* ---- many threads ---- */

struct producer {
    struct ledger *ledger;
    pthread_t      thread;
    uint64_t       state;
    int            failed;
};

#define PRODUCERS 4
#define EACH      2000

static void *produce(void *arg)
{
    struct producer *producer = arg;

    for (int i = 0; i < EACH; i++) {
        struct event event = kit_event(&producer->state, 3, START_NS + i * NS_PER_S);

        producer->failed += ledger_append(producer->ledger, &event) != 0;
        if (i % 100 == 0)
            producer->failed += ledger_append_coverage(producer->ledger, event.camera,
                                                       event.time_ns, 100, 100) != 0;
    }
    return NULL;
}

static _Atomic int wakes;

static void count_wake(void *arg)
{
    (void)arg;
    wakes++;
}

static void threads(void)
{
    char                   path[64];
    struct ledger_settings settings = {.wake = count_wake};
    struct ledger         *ledger   = open_or_die(kit_folder(path), &settings);
    struct producer        producers[PRODUCERS];
    struct seen            seen = {.ordered = true};
    struct ledger_report   report;
    struct rollup          rollups[64];
    struct why             why    = {""};
    int                    failed = 0;

    for (int i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.ledger = ledger, .state = (uint64_t)i + 1};
        pthread_create(&producers[i].thread, NULL, produce, &producers[i]);
    }
    while (seen.count < PRODUCERS * EACH && ledger_health(ledger).failed_commits == 0) {
        ledger_dispatch(ledger, see, &seen);
        failed += ledger_read_history(ledger, "camera 0", "line 0", ROLLUP_MINUTE, 0, INT64_MAX,
                                      rollups, 64) < 0;
    }
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i].thread, NULL);
        failed += producers[i].failed;
    }
    is_int(failed, 0, "%d threads append while one reads", PRODUCERS);
    is_int(seen.count, PRODUCERS * EACH, "every event is acknowledged");
    ok(seen.ordered && seen.seq == PRODUCERS * EACH, "once and in order");
    ok(wakes > 0, "the loop was woken (%d times)", wakes);
    is_int(ledger_verify(ledger, &report, NULL, NULL, &why), 0, "verify passes%s", why.text);
    ok(report.commits < PRODUCERS * EACH / 4, "in groups: %d commits", (int)report.commits);
    ledger_close(&ledger);
    kit_remove(path);
}

/* ---- a reader in another process ---- */

static int read_in_child(const char *path, uint64_t expected)
{
    pid_t child = fork();
    int   status;

    if (child == 0) {
        char command[256];

        snprintf(command, sizeof command, "%llu", (unsigned long long)expected);
        execl("/proc/self/exe", "ledger_test", "read", path, command, (char *)NULL);
        _exit(99);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

/* Runs in the child: everything that the command line does beside a running server. */
static int reader_main(const char *path, uint64_t expected)
{
    struct ledger       *ledger;
    struct ledger_report report;
    struct why           why;
    struct event         event;
    FILE                *file = fopen("/dev/null", "w");

    if (file == NULL || ledger_open(&ledger, path, &READER, &why) != 0)
        return 1;
    if (ledger_stats(ledger, &report, &why) != 0 || report.events < expected)
        return 2;
    if (ledger_verify(ledger, &report, NULL, NULL, &why) != 0 || report.events < expected)
        return 3;
    if (ledger_read_events(ledger, expected - 1, &event, 1) != 1 || event.seq != expected)
        return 4;
    if (ledger_export(ledger, EXPORT_JSON, file, &why) != 0)
        return 5;
    ledger_close(&ledger);
    fclose(file);
    if (ledger_open(&ledger, path, &WRITER, &why) != ERR_DENIED ||
        strstr(why.text, "another") == NULL)
        return 6;
    return 0;
}

static void other_process(void)
{
    char            path[64];
    struct ledger  *ledger   = open_or_die(kit_folder(path), &WRITER);
    struct producer producer = {.ledger = ledger, .state = 77};
    uint64_t        state    = 5;
    struct event    event    = kit_event(&state, 3, START_NS);

    ledger_append(ledger, &event);
    ledger_flush(ledger, 10000);
    pthread_create(&producer.thread, NULL, produce, &producer);
    is_int(read_in_child(path, 1), 0,
           "another process reads, verifies and exports beside the writer");
    pthread_join(producer.thread, NULL);
    ledger_flush(ledger, 20000);
    is_int(read_in_child(path, EACH + 1), 0, "also when all is written; it may not write");
    ledger_close(&ledger);
    kit_remove(path);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "read") == 0)
        return reader_main(argv[2], strtoull(argv[3], NULL, 10));
    first_steps();
    refusals();
    other_formats();
    against_model();
    coverage();
    threads();
    other_process();
    return done_testing();
}
