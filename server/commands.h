/* server/commands.h: the command line. `serve` runs the server; the rest do one thing and end.
 *
 * Exit codes: 0 done, 1 it went wrong (the reason is on standard error), 2 wrong usage, 3 `count`
 * could not count all of a video. Results go to standard output, everything else to standard error. */
#ifndef SIGHTLINE_SERVER_COMMANDS_H
#define SIGHTLINE_SERVER_COMMANDS_H

#include <stdbool.h>

/* True when the command is `serve`; *settings_file is then its file. Wrong usage of it sets *exit_code. */
bool commands_parse_serve(int argc, char **argv, const char **settings_file, int *exit_code);

/* Any other command. Returns the exit code. */
int commands_run(int argc, char **argv);

/* $SIGHTLINE_CONFIG, ./sightline.yml, /data/sightline.yml or /etc/sightline/sightline.yml. */
const char *commands_default_settings_file(void);

/* argv[0] is the command's own name. */
int command_health(int argc, char **argv);   /* health_command.c */
int command_discover(int argc, char **argv); /* discover_command.c */
int command_count(int argc, char **argv);    /* count_command.c */
int command_config(int argc, char **argv);   /* commands.c */
int command_ledger(int argc, char **argv);   /* ledger_command.c */
int command_model(int argc, char **argv);    /* model_command.c */

#endif
