/* links: storage The disk fails under the ledger: full, input/output errors, short writes, in
 * every place where LMDB writes or syncs. The calls are those of this file, which stand in for
 * libc's. */
/* Both names of each call are to be defined here. */
#undef _FILE_OFFSET_BITS

#include "tests/tap.h"

#include "config/err.h"
#include "config/log.h"
#include "storage/ledger.h"
#include "tests/storage_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define START_NS (INT64_C(1767225600) * NS_PER_S)

/* ---- the failing disk ---- */

enum call {
    CALL_PWRITE,
    CALL_ROOT,
    CALL_ROOT_BACK,
    CALL_WRITEV,
    CALL_FDATASYNC,
    CALL_FSYNC,
    CALL_FTRUNCATE,
    CALLS
};

static struct {
    _Atomic int calls;    /* in all */
    _Atomic int fail_at;  /* this one fails; 0: none */
    _Atomic int kinds;    /* bits of enum call that fail from now on */
    _Atomic int chance;   /* of 100, that a call fails */
    _Atomic int error;    /* errno of it */
    _Atomic int after;    /* the failing call does its work all the same */
    _Atomic int failures; /* so far */
    uint64_t    state;
} disk = {.state = 99};

static bool fails(enum call call)
{
    int  number = ++disk.calls;
    bool fail   = number == disk.fail_at || (disk.kinds & 1 << call) != 0;

    /* Only the writer thread gets here while a chance is set. */
    if (disk.chance > 0 && (int)kit_below(&disk.state, 100) < disk.chance)
        fail = true;
    disk.failures += fail;
    return fail;
}

/* LMDB writes its roots through a handle of their own; when that fails it puts back the old one through the
 * common handle, a small write. */
static enum call kind_of_write(int fd, size_t count)
{
    if ((fcntl(fd, F_GETFL) & O_DSYNC) != 0)
        return CALL_ROOT;
    return count < 512 ? CALL_ROOT_BACK : CALL_PWRITE;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    enum call call = kind_of_write(fd, count);
    bool      fail = fails(call);

    if (fail && disk.after == 2)
        return syscall(SYS_pwrite64, fd, bytes, count / 2, offset); /* a short write */
    if (!fail || (disk.after == 1 && call != CALL_ROOT_BACK)) {
        ssize_t done = syscall(SYS_pwrite64, fd, bytes, count, offset);

        if (!fail)
            return done;
    }
    errno = disk.error;
    return -1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return pwrite(fd, bytes, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (fails(CALL_WRITEV)) {
        if (disk.after == 2)
            return syscall(SYS_writev, fd, parts, 1);
        errno = disk.error;
        return -1;
    }
    return syscall(SYS_writev, fd, parts, count);
}

int fdatasync(int fd)
{
    bool fail = fails(CALL_FDATASYNC);

    if (fail) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    if (fails(CALL_FSYNC)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int ftruncate(int fd, off_t length)
{
    if (fails(CALL_FTRUNCATE)) {
        errno = disk.error;
        return -1;
    }
    return (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off64_t length)
{
    return ftruncate(fd, length);
}

static void disk_fails(int kinds, int error, int after)
{
    disk.error = error;
    disk.after = after;
    disk.kinds = kinds;
}

static void disk_works(void)
{
    disk.kinds   = 0;
    disk.chance  = 0;
    disk.fail_at = 0;
}

/* ---- a ledger on it ---- */

struct scene {
    struct ledger  *ledger;
    char            path[64];
    uint64_t        state;
    uint64_t        appended;
    uint64_t        seen; /* dispatched, which must be dense */
    int             wrong;
    pthread_mutex_t lock;
    pthread_cond_t  woken;
};

static void on_acknowledged(void *arg, const struct event *event)
{
    struct scene *scene = arg;

    scene->wrong += event->seq != ++scene->seen || event->track != event->seq;
}

static void open_scene(struct scene *scene, uint64_t map_bytes)
{
    struct ledger_settings settings = {.retry_ms = 2, .map_bytes = map_bytes};
    struct why             why;

    if (ledger_open(&scene->ledger, scene->path, &settings, &why) != 0) {
        printf("Bail out! %s\n", why.text);
        exit(1);
    }
}

/* The track's number says which event it is. */
static void append(struct scene *scene, int count)
{
    for (int i = 0; i < count; i++) {
        struct event event = kit_event(&scene->state, 3,
                                       START_NS + (int64_t)scene->appended * NS_PER_S);

        event.track = scene->appended + 1;
        if (ledger_append(scene->ledger, &event) == 0)
            scene->appended++;
    }
    ledger_append_coverage(scene->ledger, "camera 1", START_NS, 100, 100);
}

static void wait_for_failure(struct scene *scene, uint64_t failed_before)
{
    while (ledger_health(scene->ledger).failed_commits <= failed_before)
        usleep(200);
}

/* Everything is there, once, in order, and all agrees. */
static void expect_whole(struct scene *scene, const char *what)
{
    struct ledger_report report;
    struct why           why = {""};
    int                  rc  = ledger_flush(scene->ledger, 20000);

    ledger_dispatch(scene->ledger, on_acknowledged, scene);
    ok(rc == 0 && scene->seen == scene->appended && scene->wrong == 0,
       "%s: all %d events acknowledged, once and in order", what, (int)scene->appended);
    rc = ledger_verify(scene->ledger, &report, NULL, NULL, &why);
    ok(rc == 0 && report.events == scene->appended, "%s: verify passes%s", what, why.text);
}

/* While the disk fails nothing is acknowledged; then everything is. */
static void one_fault(int kinds, int error, int after, const char *what, const char *words)
{
    struct scene         scene = {.state = 5};
    struct ledger_health health;

    kit_folder(scene.path);
    open_scene(&scene, 0);
    append(&scene, 20);
    ledger_flush(scene.ledger, 10000);
    disk_fails(kinds, error, after);
    append(&scene, 100);
    wait_for_failure(&scene, 2);
    health = ledger_health(scene.ledger);
    ok(ledger_last_seq(scene.ledger) == 20 && health.waiting == 100 && !health.writable,
       "%s: nothing is acknowledged", what);
    ok(strstr(health.problem, words) != NULL, "%s: %s", what, health.problem);
    ledger_dispatch(scene.ledger, on_acknowledged, &scene);
    is_int(scene.seen, 20, "%s: nothing is dispatched", what);
    is_int(ledger_flush(scene.ledger, 5), ERR_TIMEOUT, "%s: a flush says so", what);
    disk_works();
    expect_whole(&scene, what);
    health = ledger_health(scene.ledger);
    ok(health.writable && health.problem[0] == '\0' && health.waiting == 0, "%s: health is good",
       what);
    ledger_close(&scene.ledger);
    kit_remove(scene.path);
}

/* Faults by chance, all kinds mixed, with restarts. */
static void by_chance(void)
{
    struct scene scene = {.state = 6};

    kit_folder(scene.path);
    open_scene(&scene, 0);
    for (int round = 0; round < 60; round++) {
        disk.error  = round % 2 == 0 ? ENOSPC : EIO;
        disk.after  = round % 3;
        disk.chance = 20;
        append(&scene, 30);
        ledger_flush(scene.ledger, 30);
        ledger_dispatch(scene.ledger, on_acknowledged, &scene);
        disk_works();
        if (round % 20 == 19) {
            ledger_flush(scene.ledger, 20000);
            ledger_dispatch(scene.ledger, on_acknowledged, &scene);
            ledger_close(&scene.ledger);
            open_scene(&scene, 0);
        }
    }
    ok(disk.failures > 50, "%d faults by chance", disk.failures);
    expect_whole(&scene, "by chance");
    ledger_close(&scene.ledger);
    kit_remove(scene.path);
}

/* Each single write and sync from the creation to the end fails once, in runs of their own. */
static void each_call(void)
{
    int calls = 1000, refused = 0, wrong = 0;

    for (int n = 1; n <= calls; n++) {
        struct ledger_settings settings = {.retry_ms = 1};
        struct scene           scene    = {.state = 7};
        struct ledger_report   report;
        struct why             why = {""};

        kit_folder(scene.path);
        disk.calls   = 0;
        disk.error   = n % 2 == 0 ? ENOSPC : EIO;
        disk.after   = n % 3;
        disk.fail_at = n;
        if (ledger_open(&scene.ledger, scene.path, &settings, &why) != 0) {
            refused++;
            wrong += why.text[0] == '\0' || scene.ledger != NULL;
            disk_works();
            open_scene(&scene, 0);
        }
        append(&scene, 3);
        wrong += ledger_flush(scene.ledger, 10000) != 0;
        append(&scene, 3);
        ledger_close(&scene.ledger);
        if (n == 1000 || disk.calls < n)
            calls = n; /* one more than there are: the last run had no fault */
        disk_works();
        open_scene(&scene, 0);
        wrong += ledger_last_seq(scene.ledger) != 6 ||
                 ledger_verify(scene.ledger, &report, NULL, NULL, &why) != 0;
        if (wrong > 0)
            diag("call %d: %s", n, why.text);
        ledger_close(&scene.ledger);
        kit_remove(scene.path);
    }
    ok(calls > 10 && calls < 1000 && refused > 0,
       "each of %d calls failed once, %d of them in the opening", calls - 1, refused);
    is_int(wrong, 0, "an opening that fails has a reason, and no event was lost or doubled");
}

static void full_queue(void)
{
    struct scene scene = {.state = 8};
    struct event event = kit_event(&scene.state, 3, START_NS);
    int          taken = 0, rc = 0;

    kit_folder(scene.path);
    open_scene(&scene, 0);
    disk_fails(1 << CALL_FDATASYNC, EIO, 0);
    for (; (rc = ledger_append(scene.ledger, &event)) == 0; taken++)
        event.track = (uint64_t)taken + 2;
    ok(rc == ERR_FULL && taken == LIMIT_LEDGER_QUEUE, "%d events wait, then it is full", taken);
    for (int i = 0; i < 9; i++)
        ledger_append(scene.ledger, &event);
    is_int(ledger_health(scene.ledger).lost, 10, "what is refused is counted");
    disk_works();
    is_int(ledger_flush(scene.ledger, 60000), 0, "what waited is stored");
    is_int(ledger_last_seq(scene.ledger), LIMIT_LEDGER_QUEUE, "all of it");
    ledger_close(&scene.ledger);
    kit_remove(scene.path);
}

/* Ten minutes of every camera that there may be wait for the disk; what is more is a gap, counted. */
static void full_coverage(void)
{
    struct scene scene = {.state = 8};
    int          taken = 0, rc = 0;

    kit_folder(scene.path);
    open_scene(&scene, 0);
    ledger_register(scene.ledger, "gate", "line");
    disk_fails(1 << CALL_FDATASYNC, EIO, 0);
    while ((rc = ledger_append_coverage(scene.ledger, "gate", START_NS + taken * 60 * NS_PER_S,
                                        60000, 60000)) == 0)
        taken++;
    ok(rc == ERR_FULL && taken == 10 * LIMIT_CAMERAS, "%d minutes wait, then it is full", taken);
    is_int(
        ledger_append_coverage(scene.ledger, "gate", START_NS + (taken - 1) * 60 * NS_PER_S, 0, 1),
        0, "a minute that waits still takes more");
    is_int(ledger_health(scene.ledger).coverage_lost, 1, "what is refused is counted");
    disk_works();
    is_int(ledger_flush(scene.ledger, 60000), 0, "what waited is stored");
    ledger_close(&scene.ledger);
    kit_remove(scene.path);
}

static void small_map(void)
{
    struct scene scene = {.state = 9};

    kit_folder(scene.path);
    open_scene(&scene, 256 << 10);
    for (int i = 0; i < 50; i++) {
        append(&scene, 400);
        ledger_dispatch(scene.ledger, on_acknowledged, &scene);
    }
    expect_whole(&scene, "an address space that grows");
    is_int(ledger_health(scene.ledger).failed_commits, 0, "and nobody notices");
    ledger_close(&scene.ledger);
    open_scene(&scene, 256 << 10);
    append(&scene, 1);
    expect_whole(&scene, "opened again with a small one");
    ledger_close(&scene.ledger);
    kit_remove(scene.path);
}

/* The disk is full when the server starts: it reads, says so, and writes later. */
static void start_on_full_disk(void)
{
    struct scene scene = {.state = 10};
    struct event event;

    kit_folder(scene.path);
    open_scene(&scene, 0);
    append(&scene, 10);
    ledger_close(&scene.ledger);
    disk_fails(1 << CALL_PWRITE | 1 << CALL_ROOT | 1 << CALL_WRITEV | 1 << CALL_FTRUNCATE, ENOSPC,
               0);
    open_scene(&scene, 0);
    is_int(ledger_read_events(scene.ledger, 9, &event, 1), 1, "a full disk can be read");
    append(&scene, 5);
    wait_for_failure(&scene, 0);
    is_int(ledger_last_seq(scene.ledger), 10, "and acknowledges nothing");
    disk_works();
    scene.seen = 10;
    expect_whole(&scene, "with room again");
    ledger_close(&scene.ledger);

    /* Closing while it is full ends in time; what was acknowledged stays. */
    open_scene(&scene, 0);
    disk_fails(1 << CALL_FDATASYNC, EIO, 0);
    append(&scene, 1);
    wait_for_failure(&scene, 0);
    disk_works();
    ledger_close(&scene.ledger);
    open_scene(&scene, 0);
    is_int(ledger_last_seq(scene.ledger), 16, "closing stores what still waits, when it can");
    ledger_close(&scene.ledger);
    kit_remove(scene.path);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    one_fault(1 << CALL_WRITEV | 1 << CALL_PWRITE, ENOSPC, 0, "disk full", "no space left");
    one_fault(1 << CALL_WRITEV | 1 << CALL_PWRITE, EFBIG, 0, "file too large", "no space left");
    one_fault(1 << CALL_WRITEV | 1 << CALL_PWRITE, EROFS, 0, "read-only disk", "no permission");
    one_fault(1 << CALL_FDATASYNC, EIO, 0, "failed sync", "disk of the ledger");
    one_fault(1 << CALL_ROOT, EIO, 0, "failed write of the root", "disk of the ledger");
    one_fault(1 << CALL_ROOT, EIO, 1, "root written and put back", "disk of the ledger");
    one_fault(1 << CALL_ROOT | 1 << CALL_ROOT_BACK, EIO, 1, "root written, error told",
              "disk of the ledger");
    one_fault(1 << CALL_PWRITE | 1 << CALL_WRITEV, EIO, 2, "short writes", "disk of the ledger");
    by_chance();
    each_call();
    full_queue();
    full_coverage();
    small_map();
    start_on_full_disk();
    return done_testing();
}
