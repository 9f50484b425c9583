/* `sightline model check|bench|compare|quantize`: what a person wants to know of a model before it is
 * put into a server. */
#include "config/err.h"
#include "config/log.h"
#include "server/camera/ffmpeg_log.h"
#include "server/commands.h"
#include "server/model_tools.h"

#include <stdio.h>
#include <string.h>

int model_fail(const struct why *why)
{
    fprintf(stderr, "sightline model: %s\n", why->text);
    return 1;
}

int model_print_json(struct json_writer *json)
{
    size_t      bytes;
    const char *text = json_text(json, &bytes);
    int         rc   = text == NULL;

    if (text != NULL && (fwrite(text, 1, bytes, stdout) != bytes || fputc('\n', stdout) == EOF ||
                         fflush(stdout) != 0))
        rc = 1;
    if (rc != 0)
        fputs("sightline model: the result cannot be written\n", stderr);
    json_free(json);
    return rc;
}

int command_model(int argc, char **argv)
{
    static struct model_arguments options;
    static const struct {
        const char *name;
        int (*run)(const struct model_arguments *options);
    } ACTIONS[] = {
        {"check", model_check},
        {"bench", model_bench},
        {"compare", model_compare},
        {"quantize", model_quantize},
    };
    struct why why;

    if (model_arguments_parse(&options, argc, argv, &why) != 0) {
        fprintf(stderr, "sightline model: %s (see: sightline model --help)\n", why.text);
        return 2;
    }
    if (options.help) {
        fputs(MODEL_USAGE, stdout);
        return 0;
    }
    ffmpeg_log_install();
    log_set_level(LOG_ERROR);
    for (size_t i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++)
        if (strcmp(options.action, ACTIONS[i].name) == 0)
            return ACTIONS[i].run(&options);
    return 2;
}
