/* links: storage Sudden ends. tests/crash/ runs this at length; without arguments it is a short
 * run of both.
 *
 *   ledger_crash_test kill ROUNDS [SEED]      a writer is killed at random moments, again and again
 *   ledger_crash_test power STATES [SEED]     the power is cut: disks are rebuilt with any part of what was not synced
 *
 * kill -9 shows that nothing is told before it is with the kernel, but not that it is on the
 * disk: the kernel lives on. So the writes and syncs of a run are recorded (this file's calls
 * stand in for libc's), and disks are made from them as a power cut could leave them: all that
 * was synced, and of the rest any sectors of any writes. Two controls, with the record's syncs
 * left out, must fail. */

/* Both names of each call are to be defined here. */
#undef _FILE_OFFSET_BITS

#include "tests/tap.h"

#include "config/log.h"
#include "storage/ledger.h"
#include "tests/storage_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define START_NS (INT64_C(1767225600) * NS_PER_S)
#define SECTOR   512

/* Event number `seq` is always the same one. */
static struct event event_of(uint64_t seq)
{
    uint64_t     state = seq * UINT64_C(0x9e3779b97f4a7c15) | 1;
    struct event event;

    kit_random(&state);
    event       = kit_event(&state, 5, START_NS + (int64_t)seq * 700 * NS_PER_MS);
    event.track = seq;
    return event;
}

static struct ledger *open_or_say(const char *path, struct why *why)
{
    struct ledger_settings settings = {0};
    struct ledger         *ledger;

    if (ledger_open(&ledger, path, &settings, why) != 0)
        printf("# %s\n", why->text);
    return ledger;
}

/* Everything acknowledged is there, once, as it was; sums and chain agree. NULL, or what is
 * wrong. */
static const char *check_ledger(const char *path, uint64_t acknowledged, uint64_t *last)
{
    static struct event  events[500];
    struct ledger_report report;
    struct why           why    = {""};
    struct ledger       *ledger = open_or_say(path, &why);
    const char          *wrong  = NULL;
    uint64_t             seq    = 0;
    int                  count;

    if (ledger == NULL)
        return "it does not open";
    if (ledger_last_seq(ledger) < acknowledged)
        wrong = "acknowledged events are missing";
    while (wrong == NULL && (count = ledger_read_events(ledger, seq, events, 500)) > 0) {
        for (int i = 0; i < count && wrong == NULL; i++) {
            struct event expected = event_of(++seq);

            if (events[i].seq != seq || !kit_event_equal(&events[i], &expected))
                wrong = "an event is double, missing or another";
        }
    }
    if (wrong == NULL && seq != ledger_last_seq(ledger))
        wrong = "events cannot be read";
    if (wrong == NULL && ledger_verify(ledger, &report, NULL, NULL, &why) != 0)
        wrong = "verify fails";
    *last = seq;
    ledger_close(&ledger);
    return wrong;
}

/* ---- the writer that is killed ---- */

static void print_acknowledged(void *arg, const struct event *event)
{
    (void)arg;
    if (write(STDOUT_FILENO, &event->seq, sizeof event->seq) != sizeof event->seq)
        _exit(2);
}

static int append_for_ever(const char *path)
{
    struct why     why;
    struct ledger *ledger = open_or_say(path, &why);
    uint64_t       seq, state = (uint64_t)getpid();

    if (ledger == NULL)
        return 1;
    seq = ledger_last_seq(ledger);
    for (;;) {
        /* From single events to full groups. */
        uint64_t burst = 1 + kit_below(&state, 100);

        for (uint64_t i = 0; i < burst; i++) {
            struct event event = event_of(++seq);

            if (ledger_append(ledger, &event) != 0)
                return 1;
            ledger_append_coverage(ledger, event.camera, event.time_ns, 700, 700);
        }
        if (kit_below(&state, 2) == 0)
            ledger_flush(ledger, 10000);
        while (seq - ledger_last_seq(ledger) > 2000)
            ledger_flush(ledger, 10000);
        ledger_dispatch(ledger, print_acknowledged, NULL);
    }
}

static pid_t start_writer(const char *path, int *acknowledgements)
{
    int   ends[2];
    pid_t child;

    if (pipe(ends) != 0)
        exit(1);
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "ledger_crash_test", "append", path, (char *)NULL);
        _exit(99);
    }
    close(ends[1]);
    *acknowledgements = ends[0];
    return child;
}

/* Reads what is acknowledged for `run_ns`, kills, and reads the rest. */
static uint64_t run_and_kill(const char *path, int64_t run_ns, uint64_t acknowledged)
{
    int64_t  until_ns = clock_monotonic_ns() + run_ns;
    int      from;
    pid_t    child  = start_writer(path, &from);
    bool     killed = false;
    uint64_t seq;

    for (;;) {
        fd_set         set;
        int64_t        left_ns = until_ns - clock_monotonic_ns();
        struct timeval wait    = {.tv_usec = left_ns > 0 ? left_ns / NS_PER_US : 0};

        if (!killed && left_ns <= 0) {
            kill(child, SIGKILL);
            killed = true;
        }
        FD_ZERO(&set);
        FD_SET(from, &set);
        if (!killed && select(from + 1, &set, NULL, NULL, &wait) == 0)
            continue;
        if (read(from, &seq, sizeof seq) != sizeof seq)
            break;
        if (seq > acknowledged)
            acknowledged = seq;
    }
    if (!killed)
        kill(child, SIGKILL);
    close(from);
    waitpid(child, NULL, 0);
    return acknowledged;
}

static void kill_loop(int rounds, uint64_t seed)
{
    char        path[64];
    uint64_t    state = seed, acknowledged = 0, last = 0;
    const char *wrong = NULL;
    int         round = 0;

    kit_folder(path);
    for (; round < rounds && wrong == NULL; round++) {
        /* A third of the time so early that the ledger is just being opened. */
        int64_t run_ns = (int64_t)kit_below(&state, round % 3 == 0 ? 15 : 150) * NS_PER_MS;

        acknowledged = run_and_kill(path, run_ns, acknowledged);
        wrong        = check_ledger(path, acknowledged, &last);
        /* What was committed and not told any more is there to stay. */
        if (last > acknowledged)
            acknowledged = last;
    }
    ok(wrong == NULL,
       "killed %d times, %llu events: nothing acknowledged is lost, nothing double%s%s", round,
       (unsigned long long)last, wrong != NULL ? ": " : "", wrong != NULL ? wrong : "");
    ok(acknowledged > (uint64_t)rounds, "and it was writing");
    kit_remove(path);
}

/* ---- the record ---- */

enum what { WRITE, WRITE_DURABLE, SYNC, SYNC_FOLDER, TRUNCATE, ACKNOWLEDGE };
enum file { DATA_FILE, LOCK_FILE, FILES };

struct operation {
    enum what what;
    enum file file;
    uint64_t  offset; /* or length, or number of the acknowledged event */
    size_t    bytes;
    uint8_t  *data;
};

static struct {
    bool              on;
    struct operation *list;
    size_t            count, room;
} record;

/* LMDB's writer thread and the opening thread never run at once: no lock. */
static struct operation *note(enum what what, enum file file, uint64_t offset, size_t bytes)
{
    struct operation *operation;

    if (record.count == record.room) {
        record.room = record.room == 0 ? 1024 : record.room * 2;
        record.list = realloc(record.list, record.room * sizeof *record.list);
        if (record.list == NULL)
            abort();
    }
    operation  = &record.list[record.count++];
    *operation = (struct operation){.what = what, .file = file, .offset = offset, .bytes = bytes};
    if (bytes > 0 && (operation->data = malloc(bytes)) == NULL)
        abort();
    return operation;
}

/* FILES: none of ours. */
static enum file file_of(int fd)
{
    char    link[32], path[512];
    ssize_t bytes;

    if (!record.on)
        return FILES;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    bytes = readlink(link, path, sizeof path - 1);
    if (bytes < 9)
        return FILES;
    path[bytes] = '\0';
    if (strcmp(path + bytes - 9, "/data.mdb") == 0)
        return DATA_FILE;
    return bytes > 12 && strcmp(path + bytes - 12, "/writer.lock") == 0 ? LOCK_FILE : FILES;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    enum file file = file_of(fd);

    if (file != FILES)
        memcpy(note((fcntl(fd, F_GETFL) & O_DSYNC) != 0 ? WRITE_DURABLE : WRITE, file,
                    (uint64_t)offset, count)
                   ->data,
               bytes, count);
    return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return pwrite(fd, bytes, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    enum file file = file_of(fd);
    uint64_t  at   = file != FILES ? (uint64_t)lseek(fd, 0, SEEK_CUR) : 0;

    for (int i = 0; i < count && file != FILES; i++) {
        memcpy(note(WRITE, file, at, parts[i].iov_len)->data, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    return syscall(SYS_writev, fd, parts, count);
}

int fdatasync(int fd)
{
    enum file file = file_of(fd);
    int       rc   = (int)syscall(SYS_fdatasync, fd);

    if (file != FILES && rc == 0)
        note(SYNC, file, 0, 0);
    return rc;
}

int fsync(int fd)
{
    enum file   file = file_of(fd);
    struct stat info;
    int         rc = (int)syscall(SYS_fsync, fd);

    if (file != FILES && rc == 0)
        note(SYNC, file, 0, 0);
    else if (record.on && rc == 0 && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode))
        note(SYNC_FOLDER, FILES, 0, 0);
    return rc;
}

int ftruncate(int fd, off_t length)
{
    enum file file = file_of(fd);

    if (file != FILES)
        note(TRUNCATE, file, (uint64_t)length, 0);
    return (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off64_t length)
{
    return ftruncate(fd, length);
}

static void note_acknowledged(void *arg, const struct event *event)
{
    (void)arg;
    note(ACKNOWLEDGE, FILES, event->seq, 0);
}

/* A run from an empty folder: single events and groups, two openings. */
static void make_record(uint64_t seed)
{
    char       path[64];
    uint64_t   seq = 0, state = seed;
    struct why why;

    kit_folder(path);
    record.on = true;
    for (int opening = 0; opening < 3; opening++) {
        struct ledger *ledger = open_or_say(path, &why);

        for (int group = 0; group < 40 && ledger != NULL; group++) {
            for (uint64_t left = 1 + kit_below(&state, group % 4 == 0 ? 60 : 4); left > 0; left--) {
                struct event event = event_of(++seq);

                ledger_append(ledger, &event);
                ledger_append_coverage(ledger, event.camera, event.time_ns, 700, 700);
            }
            /* Between two commits, so that the record is in the order in which things happened. */
            ledger_flush(ledger, 10000);
            ledger_dispatch(ledger, note_acknowledged, NULL);
        }
        ledger_close(&ledger);
    }
    record.on = false;
    kit_remove(path);
}

/* ---- the disks ---- */

enum control { AS_IT_IS, NO_SYNC, NO_ROOT_SYNC };

struct disk {
    uint8_t *data[FILES];
    size_t   bytes[FILES];
    bool     exists[FILES];
};

static void put_sectors(struct disk *disk, const struct operation *operation, int chance,
                        uint64_t *state)
{
    enum file file = operation->file;
    size_t    end  = (size_t)operation->offset + operation->bytes;

    if (end > disk->bytes[file]) {
        disk->data[file] = realloc(disk->data[file], end);
        if (disk->data[file] == NULL)
            abort();
        memset(disk->data[file] + disk->bytes[file], 0, end - disk->bytes[file]);
        disk->bytes[file] = end;
    }
    for (size_t at = 0; at < operation->bytes; at += SECTOR) {
        size_t part = operation->bytes - at < SECTOR ? operation->bytes - at : SECTOR;

        if ((int)kit_below(state, 100) < chance)
            memcpy(disk->data[file] + operation->offset + at, operation->data + at, part);
    }
}

/* Is operation `at` on the disk for certain when the power fails before operation `cut`? */
static bool durable(size_t at, size_t cut, enum control control)
{
    const struct operation *operation = &record.list[at];

    if (control == NO_SYNC)
        return false;
    if (operation->what == WRITE_DURABLE && control != NO_ROOT_SYNC)
        return at + 1 < cut;
    for (size_t i = at + 1; i < cut; i++) {
        if (record.list[i].what == SYNC && record.list[i].file == operation->file)
            return true;
    }
    return false;
}

static bool folder_synced(size_t cut)
{
    for (size_t i = 0; i < cut; i++) {
        if (record.list[i].what == SYNC_FOLDER)
            return true;
    }
    return false;
}

static void build_disk(struct disk *disk, size_t cut, enum control control, uint64_t *state)
{
    /* How much of what is in doubt arrived: nothing, all, or any part. */
    static const int chances[] = {0, 50, 10, 90, 100};
    int              chance    = chances[kit_below(state, control == AS_IT_IS ? 5 : 4)];

    memset(disk, 0, sizeof *disk);
    for (size_t i = 0; i < cut; i++) {
        const struct operation *operation = &record.list[i];

        if (operation->what == TRUNCATE && kit_below(state, 2) == 0 &&
            operation->offset < disk->bytes[operation->file])
            disk->bytes[operation->file] = (size_t)operation->offset;
        if (operation->what != WRITE && operation->what != WRITE_DURABLE)
            continue;
        disk->exists[operation->file] = true;
        if (durable(i, cut, control))
            put_sectors(disk, operation, 100, state);
        else if (chance == 50 || (int)kit_below(state, 100) < chance) /* torn, or whole writes */
            put_sectors(disk, operation, chance == 50 ? 50 : 100, state);
    }
    for (int file = 0; file < FILES && !folder_synced(cut); file++)
        disk->exists[file] = disk->exists[file] && kit_below(state, 2) == 0;
}

static void write_disk(struct disk *disk, const char *path)
{
    static const char *const names[FILES] = {"data.mdb", "writer.lock"};

    for (int file = 0; file < FILES; file++) {
        char name[128];
        int  fd;

        snprintf(name, sizeof name, "%s/%s", path, names[file]);
        if (disk->exists[file]) {
            fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
            if (fd < 0 ||
                write(fd, disk->data[file], disk->bytes[file]) != (ssize_t)disk->bytes[file])
                exit(1);
            close(fd);
        }
        free(disk->data[file]);
    }
}

static uint64_t acknowledged_before(size_t cut)
{
    uint64_t seq = 0;

    for (size_t i = 0; i < cut; i++) {
        if (record.list[i].what == ACKNOWLEDGE)
            seq = record.list[i].offset;
    }
    return seq;
}

/* In a process of its own: a broken disk of a control may crash LMDB. */
static bool survives(size_t cut, enum control control, uint64_t *state)
{
    struct disk disk;
    char        path[64];
    pid_t       child;
    int         status;

    build_disk(&disk, cut, control, state);
    write_disk(&disk, kit_folder(path));
    fflush(stdout);
    child = fork();
    if (child == 0) {
        uint64_t    last;
        const char *wrong;

        log_set_level(LOG_ERROR);
        if (control != AS_IT_IS)
            fclose(stdout);
        wrong = check_ledger(path, acknowledged_before(cut), &last);
        if (wrong != NULL && control == AS_IT_IS) {
            printf("# cut at %zu of %zu: %s\n", cut, record.count, wrong);
            fflush(stdout);
        }
        _exit(wrong == NULL ? 0 : 1);
    }
    waitpid(child, &status, 0);
    kit_remove(path);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int count_broken(int states, enum control control, uint64_t *state)
{
    int broken = 0;

    for (int i = 0; i < states; i++)
        broken += !survives(kit_below(state, record.count + 1), control, state);
    return broken;
}

static void power_cuts(int states, uint64_t seed)
{
    uint64_t state    = seed;
    int      controls = states / 5, broken;

    make_record(seed);
    diag("%zu operations, %llu acknowledged events", record.count,
         (unsigned long long)acknowledged_before(record.count));
    ok(acknowledged_before(record.count) > 100, "a run was recorded");
    is_int(count_broken(states, AS_IT_IS, &state), 0,
           "%d power cuts: every disk opens, with all that was acknowledged", states);
    broken = count_broken(controls, NO_SYNC, &state);
    ok(broken * 4 > controls * 3, "control without syncs: %d of %d disks broken", broken, controls);
    broken = count_broken(controls, NO_ROOT_SYNC, &state);
    ok(broken * 20 > controls, "control without syncs of the root: %d of %d lost something", broken,
       controls);
    for (size_t i = 0; i < record.count; i++)
        free(record.list[i].data);
    free(record.list);
}

int main(int argc, char **argv)
{
    int      count = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    uint64_t seed  = argc > 3 ? strtoull(argv[3], NULL, 10) : (uint64_t)clock_wall_ns() | 1;

    if (argc == 3 && strcmp(argv[1], "append") == 0)
        return append_for_ever(argv[2]);
    diag("seed %llu", (unsigned long long)seed);
    if (argc == 1 || strcmp(argv[1], "kill") == 0)
        kill_loop(argc == 1 ? 6 : count, seed);
    if (argc == 1 || strcmp(argv[1], "power") == 0)
        power_cuts(argc == 1 ? 40 : count, seed);
    return done_testing();
}
