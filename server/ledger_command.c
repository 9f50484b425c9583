/* `sightline ledger verify|stats|export`: looks at the history; may run beside a server. */
#include "config/clock.h"
#include "config/err.h"
#include "config/settings.h"
#include "server/commands.h"
#include "storage/export.h"
#include "storage/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char USAGE[] =
    "usage: sightline ledger verify [-c FILE | --data FOLDER]\n"
    "       sightline ledger stats  [-c FILE | --data FOLDER]\n"
    "       sightline ledger export [-c FILE | --data FOLDER] --format csv|json\n"
    "\n"
    "  verify   reads everything: no event missing or doubled, nothing changed, sums right\n"
    "  stats    how many events, since when, how large\n"
    "  export   every event, oldest first, to standard output\n"
    "\n"
    "The folder is --data, or \"data:\" of the configuration (-c, or the one that \"serve\" would\n"
    "take), or ./data where there is none. A server may be running.\n";

struct arguments {
    const char        *action;
    char               data[LIMIT_PATH_BYTES];
    enum export_format format;
};

static int read_data_folder(const char *file, char data[LIMIT_PATH_BYTES])
{
    static struct settings_problems problems;
    struct settings                *settings;

    if (settings_load(&settings, file, &problems) != 0) {
        fprintf(stderr, "%s\n", problems.problem[0].text);
        return ERR_INVALID;
    }
    memcpy(data, settings->data, LIMIT_PATH_BYTES);
    settings_free(&settings);
    return 0;
}

/* The folder that a server started here would take. */
static int default_data_folder(char data[LIMIT_PATH_BYTES])
{
    const char *file = commands_default_settings_file();

    if (access(file, F_OK) == 0)
        return read_data_folder(file, data);
    memcpy(data, "data", sizeof "data");
    return 0;
}

static int wrong(const char *what, const char *word)
{
    fprintf(stderr, "sightline ledger: %s%s (see: sightline ledger --help)\n", what, word);
    return ERR_INVALID;
}

static bool is_action(const char *word)
{
    return strcmp(word, "verify") == 0 || strcmp(word, "stats") == 0 || strcmp(word, "export") == 0;
}

/* Says itself what is wrong. */
static int parse(struct arguments *arguments, int argc, char **argv)
{
    *arguments = (struct arguments){.format = EXPORT_CSV};
    if (argc < 2 || !is_action(argv[1]))
        return wrong("verify, stats or export, not ", argc < 2 ? "nothing" : argv[1]);
    arguments->action = argv[1];
    for (int i = 2; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value == NULL)
            return wrong("a value is missing after ", argv[i]);
        if (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) {
            if (read_data_folder(value, arguments->data) != 0)
                return ERR_INVALID;
        } else if (strcmp(argv[i], "--data") == 0) {
            snprintf(arguments->data, sizeof arguments->data, "%s", value);
        } else if (strcmp(argv[i], "--format") == 0 && strcmp(value, "json") == 0) {
            arguments->format = EXPORT_JSON;
        } else if (strcmp(argv[i], "--format") != 0) {
            return wrong("no option ", argv[i]);
        } else if (strcmp(value, "csv") != 0) {
            return wrong("--format is csv or json, not ", value);
        }
    }
    return arguments->data[0] != '\0' ? 0 : default_data_folder(arguments->data);
}

static void print_report(const struct ledger_report *report)
{
    char first[32], last[32];

    printf("events    %" PRIu64 " (seq %" PRIu64 " to %" PRIu64 ")\n", report->events,
           report->first_seq, report->last_seq);
    if (report->events > 0) {
        clock_format_utc(report->first_time_ns, first);
        clock_format_utc(report->last_time_ns, last);
        printf("from      %s\nto        %s\n", first, last);
    }
    printf("commits   %" PRIu64 "\ncounters  %" PRIu64 "\nfile      %" PRIu64 " bytes\n",
           report->commits, report->counters, report->file_bytes);
}

static void show_progress(void *arg, double done)
{
    (void)arg;
    fprintf(stderr, "\r%3.0f %%", done * 100);
}

static int verify(struct ledger *ledger, struct why *why)
{
    struct ledger_report report;
    bool                 terminal = isatty(STDERR_FILENO);
    int rc = ledger_verify(ledger, &report, terminal ? show_progress : NULL, NULL, why);

    if (terminal)
        fputc('\n', stderr);
    if (rc != 0)
        return rc;
    print_report(&report);
    puts("good: nothing is missing, doubled or changed, and the sums are right");
    return 0;
}

static int stats(struct ledger *ledger, struct why *why)
{
    struct ledger_report report;
    int                  rc = ledger_stats(ledger, &report, why);

    if (rc == 0)
        print_report(&report);
    return rc;
}

int command_ledger(int argc, char **argv)
{
    struct ledger_settings settings = {.read_only = true};
    struct arguments       arguments;
    struct ledger         *ledger;
    struct why             why;
    int                    rc;

    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(USAGE, stdout);
        return 0;
    }
    if (parse(&arguments, argc, argv) != 0)
        return 2;
    rc = ledger_open(&ledger, arguments.data, &settings, &why);
    if (rc == 0) {
        if (strcmp(arguments.action, "verify") == 0)
            rc = verify(ledger, &why);
        else if (strcmp(arguments.action, "stats") == 0)
            rc = stats(ledger, &why);
        else
            rc = ledger_export(ledger, arguments.format, stdout, &why);
        ledger_close(&ledger);
    }
    if (rc == 0 && fflush(stdout) != 0)
        rc = why_set(&why, ERR_IO, "standard output cannot be written");
    if (rc != 0)
        fprintf(stderr, "sightline ledger: %s\n", why.text);
    return rc == 0 ? 0 : 1;
}
