/* The shape of sightline.yml: one table of keys per mapping, and what each value must be. */
#include "config/err.h"
#include "config/json_writer.h"
#include "config/log.h"
#include "config/object_class.h"
#include "config/settings_camera.h"
#include "config/settings_model.h"
#include "config/settings_source.h"
#include "config/settings_value.h"
#include "config/settings_yaml.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UPLOADS_MIB_MAX (64 << 20) /* 64 TiB */

static void read_port(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                      void *target)
{
    long port;

    (void)key;
    if (yaml_int(reader, value, 0, 65535, &port))
        *(uint16_t *)target = (uint16_t)port;
}

static void read_workers(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                         void *target)
{
    long workers;

    (void)key;
    if (yaml_int(reader, value, 0, LIMIT_WORKERS, &workers))
        *(int *)target = (int)workers;
}

static void read_isolation(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                           void *target)
{
    static const char *const WORDS[] = {"process", "thread", NULL};
    int chosen = settings_choose(reader, value, "isolation", WORDS, "process or thread");

    (void)key;
    if (chosen >= 0)
        *(enum settings_isolation *)target = (enum settings_isolation)chosen;
}

static void read_device(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target)
{
    char text[16], *end;
    long number;

    (void)key;
    if (!yaml_text(reader, value, text, sizeof text))
        return;
    if (strcmp(text, "none") == 0 || strcmp(text, "cuda") == 0) {
        *(int *)target = text[0] == 'c';
        return;
    }
    number = strncmp(text, "cuda:", 5) == 0 && text[5] >= '0' && text[5] <= '9'
                 ? strtol(text + 5, &end, 10)
                 : -1;
    if (number < 0 || number >= SETTINGS_DEVICES_MAX || *end != '\0')
        yaml_problem(reader, value,
                     "\"%s\" is no device for decoding: none, cuda, or cuda:1 for the second card",
                     text);
    else
        *(int *)target = (int)number + 1;
}

static void read_level(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                       void *target)
{
    enum log_level level;
    char           text[16];

    (void)key;
    if (!yaml_text(reader, value, text, sizeof text))
        return;
    if (log_level_from_text(text, &level))
        memcpy(target, text, sizeof text);
    else
        yaml_problem(reader, value, "\"%s\" is no level: error, warning, info or debug", text);
}

static void read_listen(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                        void *target)
{
    unsigned char address[16];
    char          text[64];

    (void)key;
    if (!yaml_text(reader, value, text, sizeof text))
        return;
    if (inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1)
        memcpy(target, text, sizeof text);
    else
        yaml_problem(reader, value,
                     "\"%s\" is no IP address: 127.0.0.1 for this machine alone, 0.0.0.0 for all",
                     text);
}

static void read_redis_url(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                           void *target)
{
    struct secret *secret = target;

    settings_read_secret(reader, key, value, target);
    if (secret->value[0] != '\0' && strncmp(secret->value, "redis://", strlen("redis://")) != 0)
        yaml_problem(reader, value,
                     "a Redis address is redis://[:password@]host[:port][/database]");
}

static const struct yaml_key HTTP_KEYS[] = {
    {"listen", read_listen, offsetof(struct settings, http_listen), NULL},
    {"port", read_port, offsetof(struct settings, http_port), NULL},
    {"token", settings_read_secret, offsetof(struct settings, http_token), NULL},
    {"token_file", settings_read_path, offsetof(struct settings, http_token_file), NULL},
    {0},
};
static const struct yaml_key REDIS_KEYS[] = {
    {"url", read_redis_url, offsetof(struct settings, redis_url), NULL},
    {0},
};
static const struct yaml_key LOG_KEYS[] = {
    {"level", read_level, offsetof(struct settings, log_level), NULL},
    {0},
};
static const struct yaml_key INFERENCE_KEYS[] = {
    {"workers", read_workers, offsetof(struct settings, inference_workers), NULL},
    {0},
};
static const struct yaml_key DECODE_KEYS[] = {
    {"workers", read_workers, offsetof(struct settings, decode_workers), NULL},
    {"isolation", read_isolation, offsetof(struct settings, decode_isolation), NULL},
    {"device", read_device, offsetof(struct settings, decode_device), NULL},
    {0},
};

static void read_mib(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value, void *target)
{
    long mib;

    (void)key;
    if (yaml_int(reader, value, 0, UPLOADS_MIB_MAX, &mib))
        *(int *)target = (int)mib;
}

static const struct yaml_key UPLOADS_KEYS[] = {
    {"file_mib", read_mib, offsetof(struct settings, uploads_file_mib), NULL},
    {"total_mib", read_mib, offsetof(struct settings, uploads_total_mib), NULL},
    {0},
};

static void read_cameras(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                         void *target)
{
    (void)key;
    /* An empty "cameras:" is how a new file begins. */
    if (yaml_is_empty(value))
        return;
    yaml_read_names(reader, value, "cameras", LIMIT_CAMERAS, settings_read_camera, target);
}

/* It was read before the cameras, wherever it stands in the file. */
static void read_already(struct yaml_reader *reader, yaml_node_t *key, yaml_node_t *value,
                         void *target)
{
    (void)reader;
    (void)key;
    (void)value;
    (void)target;
}

static const struct yaml_key OBJECTS_KEYS[] = {{"track", read_already, 0, NULL}, {0}};

static const struct yaml_key TOP_KEYS[] = {
    {"http", NULL, 0, HTTP_KEYS},
    {"data", settings_read_path, offsetof(struct settings, data), NULL},
    {"model", settings_read_model, offsetof(struct settings, model), NULL},
    {"redis", NULL, 0, REDIS_KEYS},
    {"log", NULL, 0, LOG_KEYS},
    {"inference", NULL, 0, INFERENCE_KEYS},
    {"decode", NULL, 0, DECODE_KEYS},
    {"objects", NULL, 0, OBJECTS_KEYS},
    {"uploads", NULL, 0, UPLOADS_KEYS},
    {"cameras_allowed", read_already, 0, NULL},
    {"cameras", read_cameras, 0, NULL},
    {0},
};

static const struct yaml_key MANAGED_KEYS[] = {{"cameras", read_cameras, 0, NULL}, {0}};

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* What holds for all cameras must be known before the first one is read. */
static unsigned read_default_classes(struct yaml_reader *reader, yaml_node_t *root)
{
    yaml_node_t *track   = yaml_child(reader, yaml_child(reader, root, "objects"), "track");
    unsigned     classes = SETTINGS_ALL_CLASSES;

    if (track != NULL)
        settings_read_classes(reader, track, track, &classes);
    return classes;
}

static void read_allowed(struct yaml_reader *reader, yaml_node_t *root, struct settings *settings)
{
    yaml_node_t *allowed = yaml_child(reader, root, "cameras_allowed");

    if (allowed != NULL && !reader->managed)
        settings_read_reach(reader, allowed, allowed, &settings->cameras_allowed);
}

static void check_whole(struct yaml_reader *reader, yaml_node_t *root,
                        const struct settings *settings)
{
    yaml_node_t *http = yaml_child(reader, root, "http");

    if (settings->http_token.value[0] != '\0' && settings->http_token_file[0] != '\0')
        yaml_problem(reader, http, "give either token or token_file, not both");
    if (settings->http_token.value[0] != '\0' &&
        strlen(settings->http_token.value) < TOKEN_MIN_BYTES)
        yaml_problem(reader, yaml_child(reader, http, "token"),
                     "a token needs at least %d characters", TOKEN_MIN_BYTES);
    if (!is_loopback(settings->http_listen) && settings->http_token.value[0] == '\0' &&
        settings->http_token_file[0] == '\0')
        yaml_problem(reader, yaml_child(reader, http, "listen"),
                     "listening on %s needs credentials: set http.token, or http.token_file to a "
                     "file that is made with a random token at first start",
                     settings->http_listen);
}

/* Where the key of sealed passwords lies must be known before the first of them is read. */
static void find_data(struct yaml_reader *reader, yaml_node_t *root,
                      const struct settings *settings)
{
    struct settings_problems none  = {.count = SETTINGS_MAX_PROBLEMS}; /* told when it is read */
    struct yaml_reader       quiet = *reader;
    yaml_node_t             *data  = yaml_child(reader, root, "data");

    memcpy(reader->data, settings->data, sizeof reader->data);
    quiet.problems = &none;
    if (data != NULL && !reader->managed)
        settings_read_path(&quiet, data, data, reader->data);
}

static void read_root(struct yaml_reader *reader, yaml_node_t *root, struct settings *settings)
{
    struct settings_read_target target;

    find_data(reader, root, settings);
    /* The camera reader gets the defaults along with the settings. */
    target                 = (struct settings_read_target){.settings = *settings};
    target.default_classes = read_default_classes(reader, root);
    read_allowed(reader, root, &target.settings);
    yaml_read_table(reader, root, reader->managed ? settings->managed_file : "the file",
                    reader->managed ? MANAGED_KEYS : TOP_KEYS, &target);
    *settings = target.settings;
    if (!reader->managed)
        check_whole(reader, root, settings);
}

static void parse_problem(struct yaml_reader *reader, const yaml_parser_t *parser)
{
    yaml_node_t place = {.start_mark = parser->problem_mark};

    if (parser->error == YAML_MEMORY_ERROR)
        yaml_problem(reader, NULL, "out of memory");
    else if (parser->context != NULL)
        yaml_problem(reader, &place, "%s (%s that begins in line %zu)", parser->problem,
                     parser->context, parser->context_mark.line + 1);
    else
        yaml_problem(reader, &place, "%s", parser->problem);
}

static void read_text(struct yaml_reader *reader, const char *text, size_t bytes,
                      struct settings *settings)
{
    yaml_parser_t   parser;
    yaml_document_t document;
    yaml_document_t second;

    if (!yaml_parser_initialize(&parser)) {
        yaml_problem(reader, NULL, "out of memory");
        return;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    if (!yaml_parser_load(&parser, &document)) {
        parse_problem(reader, &parser);
        goto done;
    }
    reader->document = &document;
    if (yaml_document_get_root_node(&document) == NULL)
        yaml_problem(reader, NULL, "the file is empty");
    else
        read_root(reader, yaml_document_get_root_node(&document), settings);
    yaml_document_delete(&document);
    reader->document = NULL;
    if (!yaml_parser_load(&parser, &second)) {
        parse_problem(reader, &parser);
        goto done;
    }
    if (yaml_document_get_root_node(&second) != NULL)
        yaml_problem(reader, yaml_document_get_root_node(&second), "a second document in the file");
    yaml_document_delete(&second);

done:
    yaml_parser_delete(&parser);
}

/* NULL, or why this is not even text. */
static const char *refuse_text(const char *text, size_t bytes)
{
    if (bytes > LIMIT_FILE_CONFIG_BYTES)
        return "the file is larger than any configuration (1 MiB)";
    if (!json_utf8_valid(text, bytes))
        return "the file is not UTF-8 text";
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)text[i] < 0x20 && (text[i] == '\0' || strchr("\n\r\t", text[i]) == NULL))
            return "the file holds control characters";
    }
    return NULL;
}

int settings_load_text(struct settings **out, const char *text, size_t bytes, const char *name,
                       struct settings_problems *problems)
{
    struct yaml_reader reader = {.file = name, .problems = problems};
    const char        *slash  = strrchr(name, '/');
    const char        *refused;
    struct settings   *settings;

    *out            = NULL;
    problems->count = 0;
    if (slash != NULL)
        snprintf(reader.folder, sizeof reader.folder, "%.*s", (int)(slash - name), name);
    refused = refuse_text(text, bytes);
    if (refused != NULL) {
        yaml_problem(&reader, NULL, "%s", refused);
        return ERR_LIMIT;
    }
    settings = calloc(1, sizeof *settings);
    if (settings == NULL) {
        yaml_problem(&reader, NULL, "out of memory");
        return ERR_MEMORY;
    }
    settings_default(settings);
    snprintf(settings->file, sizeof settings->file, "%s", name);
    read_text(&reader, text, bytes, settings);
    if (problems->count > 0) {
        settings_free(&settings);
        return ERR_INVALID;
    }
    *out = settings;
    return 0;
}

int settings_add_managed(struct settings *settings, const char *text, size_t bytes,
                         struct settings_problems *problems)
{
    struct yaml_reader reader = {
        .file = settings->managed_file, .problems = problems, .managed = true};
    const char *refused = refuse_text(text, bytes);
    int         before  = problems->count;

    if (refused != NULL)
        yaml_problem(&reader, NULL, "%s", refused);
    else
        read_text(&reader, text, bytes, settings);
    return problems->count == before ? 0 : ERR_INVALID;
}
