#include "server/commands.h"

#include "config/err.h"
#include "config/plural.h"
#include "config/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char USAGE[] =
    "sightline counts people and vehicles on camera streams.\n"
    "\n"
    "  sightline serve [-c FILE]          run the server\n"
    "  sightline count SOURCE [OPTIONS]   count a video once (see: sightline count --help)\n"
    "  sightline discover [OPTIONS]       which cameras are on the network (see: sightline "
    "discover "
    "--help)\n"
    "  sightline config check [FILE]      say everything that is wrong with a configuration\n"
    "                                     (-: with what is piped in)\n"
    "  sightline ledger verify|stats|export [OPTIONS]   the history (see: sightline ledger "
    "--help)\n"
    "  sightline model check|bench|compare|quantize FILE [OPTIONS]   a network before it is used\n"
    "                                     (see: sightline model --help)\n"
    "  sightline health [-c FILE]         is the server on this machine ready?\n"
    "  sightline version\n"
    "\n"
    "Without -c the configuration is $SIGHTLINE_CONFIG, ./sightline.yml,\n"
    "/data/sightline.yml or /etc/sightline/sightline.yml, whichever is there first.\n";

const char *commands_default_settings_file(void)
{
    static const char *const PLACES[] = {"sightline.yml", "/data/sightline.yml",
                                         "/etc/sightline/sightline.yml"};
    const char              *set      = getenv("SIGHTLINE_CONFIG");

    if (set != NULL && set[0] != '\0')
        return set;
    for (size_t i = 0; i < sizeof PLACES / sizeof PLACES[0]; i++) {
        if (access(PLACES[i], R_OK) == 0)
            return PLACES[i];
    }
    return PLACES[0];
}

bool commands_parse_serve(int argc, char **argv, const char **settings_file, int *exit_code)
{
    if (argc < 2 || strcmp(argv[1], "serve") != 0)
        return false;
    if (argc == 2) {
        *settings_file = commands_default_settings_file();
        return true;
    }
    if (argc == 4 && (strcmp(argv[2], "-c") == 0 || strcmp(argv[2], "--config") == 0)) {
        *settings_file = argv[3];
        return true;
    }
    fputs("usage: sightline serve [-c FILE]\n", stderr);
    *exit_code = 2;
    return false;
}

/* What the program was handed when it was started is read as it is: a pipe, for whoever makes his
 * configuration out of something else. A server needs a file, as it reads it again. */
static int load_handed(struct settings **settings, const char *file,
                       struct settings_problems *problems)
{
    bool  standard = strcmp(file, "-") == 0 || strcmp(file, "/dev/stdin") == 0;
    FILE *stream;
    int   rc;

    if (standard)
        return settings_load_stream(settings, stdin, file, problems);
    if (strncmp(file, "/dev/fd/", 8) != 0 || (stream = fopen(file, "re")) == NULL)
        return settings_load(settings, file, problems);
    rc = settings_load_stream(settings, stream, file, problems);
    fclose(stream);
    return rc;
}

int command_config(int argc, char **argv)
{
    static struct settings_problems problems;
    struct settings                *settings = NULL;
    const char                     *file;
    int                             rc;

    if (argc < 2 || argc > 3 || strcmp(argv[1], "check") != 0) {
        fputs("usage: sightline config check [FILE]\n", stderr);
        return 2;
    }
    file = argc == 3 ? argv[2] : commands_default_settings_file();
    rc   = load_handed(&settings, file, &problems);
    for (int i = 0; i < problems.count && i < SETTINGS_MAX_PROBLEMS; i++)
        fprintf(stderr, "%s\n", problems.problem[i].text);
    if (problems.count > SETTINGS_MAX_PROBLEMS)
        fprintf(stderr, "and %d more\n", problems.count - SETTINGS_MAX_PROBLEMS);
    if (rc != 0)
        return 1;
    printf("%s: good: %d camera%s\n", file, settings->camera_count,
           plural((uint64_t)settings->camera_count));
    settings_free(&settings);
    return 0;
}

static int command_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("sightline %s\n", SIGHTLINE_VERSION);
    return 0;
}

static int command_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    fputs(USAGE, stdout);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} COMMANDS[] = {
    {"count", command_count},     {"config", command_config},     {"ledger", command_ledger},
    {"model", command_model},     {"discover", command_discover}, {"health", command_health},
    {"version", command_version}, {"--version", command_version}, {"help", command_help},
    {"--help", command_help},     {"-h", command_help},
};

int commands_run(int argc, char **argv)
{
    if (argc < 2) {
        fputs(USAGE, stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof COMMANDS / sizeof COMMANDS[0]; i++) {
        if (strcmp(argv[1], COMMANDS[i].name) == 0)
            return COMMANDS[i].run(argc - 1, argv + 1);
    }
    fprintf(stderr, "sightline: no command \"%s\" (see: sightline --help)\n", argv[1]);
    return 2;
}
