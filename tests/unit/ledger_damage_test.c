/* links: storage Ledgers whose file was damaged: bits flipped, pages zeroed, swapped or cut off.
 * Each is tried in a process of its own; it is refused or reported with a reason, or the damage
 * was where nothing is kept. It never crashes, and what is read after a verify that passed is
 * what was written. */
#include "tests/tap.h"

#include "config/err.h"
#include "config/log.h"
#include "storage/ledger.h"
#include "tests/storage_kit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define START_NS (INT64_C(1767225600) * NS_PER_S)
#define EVENTS   3000
#define PAGE     4096

static struct event written[EVENTS];

static struct ledger *open_plain(const char *path, bool read_only, struct why *why)
{
    struct ledger_settings settings = {.read_only = read_only};
    struct ledger         *ledger;

    ledger_open(&ledger, path, &settings, why);
    return ledger;
}

static void write_ledger(const char *path)
{
    uint64_t       state  = 17;
    struct why     why    = {""};
    struct ledger *ledger = open_plain(path, false, &why);

    if (ledger == NULL) {
        printf("Bail out! %s\n", why.text);
        exit(1);
    }
    for (int i = 0; i < EVENTS; i++) {
        written[i] = kit_event(&state, 40, START_NS + i * INT64_C(45) * NS_PER_S);
        ledger_append(ledger, &written[i]);
        ledger_append_coverage(ledger, written[i].camera, written[i].time_ns, 40000, 45000);
        if (i % 40 == 0)
            ledger_flush(ledger, 10000);
    }
    ledger_close(&ledger);
}

/* ---- in the child ---- */

enum outcome { REFUSED = 10, REPORTED, UNHARMED, LIED, NO_REASON };

static bool reads_as_written(struct ledger *ledger)
{
    static struct event read[256];
    int                 done = 0, count;

    while ((count = ledger_read_events(ledger, (uint64_t)done, read, 256)) > 0) {
        for (int i = 0; i < count; i++, done++) {
            if (done >= EVENTS || !kit_event_equal(&read[i], &written[done]))
                return false;
        }
    }
    return count == 0 && done == EVENTS;
}

static void read_everything(struct ledger *ledger)
{
    static struct rollup rollups[2000];

    (void)reads_as_written(ledger);
    for (int camera = 0; camera < 40; camera++) {
        char name[LIMIT_NAME_BYTES];

        snprintf(name, sizeof name, "camera %d", camera);
        for (int bucket = ROLLUP_MINUTE; bucket <= ROLLUP_DAY; bucket++)
            (void)ledger_read_history(ledger, name, "line 1", (enum rollup_bucket)bucket, 0,
                                      INT64_MAX, rollups, 2000);
        (void)ledger_read_total(ledger, name, "line 1", rollups);
    }
}

static int try_ledger(const char *path, bool read_only)
{
    struct ledger_report report;
    struct why           why    = {""};
    struct ledger       *ledger = open_plain(path, read_only, &why);
    int                  rc;

    log_set_level(LOG_ERROR);
    if (ledger == NULL)
        return why.text[0] != '\0' ? REFUSED : NO_REASON;
    rc = ledger_verify(ledger, &report, NULL, NULL, &why);
    if (rc != 0)
        return why.text[0] != '\0' ? REPORTED : NO_REASON;
    read_everything(ledger);
    if (!reads_as_written(ledger))
        return LIED;
    if (!read_only) {
        ledger_append(ledger, &written[0]);
        if (ledger_flush(ledger, 10000) != 0)
            return LIED;
    }
    ledger_close(&ledger);
    return UNHARMED;
}

/* ---- damage ---- */

static uint8_t *load(const char *path, size_t *bytes)
{
    struct stat info;
    int         fd = open(path, O_RDONLY);
    uint8_t    *data;

    if (fd < 0 || fstat(fd, &info) != 0)
        exit(1);
    data = malloc((size_t)info.st_size);
    if (data == NULL || read(fd, data, (size_t)info.st_size) != info.st_size)
        exit(1);
    close(fd);
    *bytes = (size_t)info.st_size;
    return data;
}

static void store(const char *path, const uint8_t *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
        exit(1);
    close(fd);
}

static size_t damage(uint8_t *data, size_t bytes, int kind, uint64_t *state)
{
    size_t pages = bytes / PAGE;
    size_t page = kit_below(state, pages), other = kit_below(state, pages);

    switch (kind) {
    case 0: /* one bit anywhere */
        data[kit_below(state, bytes)] ^= (uint8_t)(1U << kit_below(state, 8));
        break;
    case 1: /* some bytes of a page's head and first records: what LMDB trusts most */
        for (int i = 0; i < 4; i++)
            data[page * PAGE + kit_below(state, 64)] = (uint8_t)kit_random(state);
        break;
    case 2: /* a page of zeros: a write that never reached the disk */
        memset(data + page * PAGE, 0, PAGE);
        break;
    case 3: /* a page in another's place */
        memcpy(data + page * PAGE, data + other * PAGE, PAGE);
        break;
    case 4: /* one of the two roots */
        data[(page % 2) * PAGE + kit_below(state, 160)] = (uint8_t)kit_random(state);
        break;
    case 5: /* the end is missing */
        return kit_below(state, bytes);
    default: /* many bytes */
        for (int i = 0; i < 64; i++)
            data[kit_below(state, bytes)] = (uint8_t)kit_random(state);
    }
    return bytes;
}

#define KINDS 7

static int outcome_of(const char *path, bool read_only)
{
    pid_t child = fork();
    int   status;

    if (child == 0)
        _exit(try_ledger(path, read_only));
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int main(int argc, char **argv)
{
    char     path[64], file[128], lock[128];
    int      rounds      = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 40;
    uint64_t state       = argc > 2 ? strtoull(argv[2], NULL, 10) : 23;
    int      counts[100] = {0}, crashed = 0;
    size_t   bytes;
    uint8_t *good, *bad;

    write_ledger(kit_folder(path));
    snprintf(file, sizeof file, "%s/data.mdb", path);
    snprintf(lock, sizeof lock, "%s/lock.mdb", path);
    good = load(file, &bytes);
    bad  = malloc(bytes);
    is_int(outcome_of(path, true), UNHARMED, "an undamaged ledger passes");
    for (int i = 0; i < rounds * KINDS; i++) {
        size_t left;
        int    outcome;

        memcpy(bad, good, bytes);
        left = damage(bad, bytes, i % KINDS, &state);
        store(file, bad, left);
        outcome = outcome_of(path, i % 2 == 0);
        if (outcome < 0 || outcome < REFUSED) {
            diag("damage %d of kind %d ends with %d", i, i % KINDS, outcome);
            crashed++;
        } else {
            counts[outcome]++;
            if (outcome == LIED)
                diag("damage %d of kind %d passes and lies", i, i % KINDS);
        }
    }
    is_int(crashed, 0, "%d damaged ledgers, none crashes", rounds * KINDS);
    is_int(counts[LIED], 0, "none passes and reads otherwise than written");
    is_int(counts[NO_REASON], 0, "none is refused without a reason");
    ok(counts[REFUSED] > 0 && counts[REPORTED] > 0 && counts[UNHARMED] > 0,
       "%d refused, %d reported by verify, %d damaged where nothing is kept", counts[REFUSED],
       counts[REPORTED], counts[UNHARMED]);
    free(good);
    free(bad);
    kit_remove(path);
    return done_testing();
}
