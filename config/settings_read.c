/* The shape of sightline.yml: one table of keys per mapping, and what each value must be. */
#include "config/err.h"
#include "config/json_writer.h"
#include "config/log.h"
#include "config/object_class.h"
#include "config/settings_camera.h"
#include "config/settings_yaml.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_path(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                      void *target)
{
    (void)key;
    if (yaml_text(reader, value, target, LIMIT_PATH_BYTES) &&
        yaml_substitute(reader, value, target, LIMIT_PATH_BYTES))
        yaml_path(reader, value, target, LIMIT_PATH_BYTES);
}

static void read_secret(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                        void *target)
{
    struct secret *secret = target;

    (void)key;
    if (yaml_text(reader, value, secret->value, sizeof secret->value))
        yaml_substitute(reader, value, secret->value, sizeof secret->value);
}

static void read_port(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                      void *target)
{
    long port;

    (void)key;
    if (yaml_int(reader, value, 0, 65535, &port))
        *(uint16_t *)target = (uint16_t)port;
}

static void read_workers(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                         void *target)
{
    long workers;

    (void)key;
    if (yaml_int(reader, value, 0, LIMIT_WORKERS, &workers))
        *(int *)target = (int)workers;
}

static void read_level(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
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

static void read_listen(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
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

static void read_redis_url(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                           void *target)
{
    struct secret *secret = target;

    read_secret(reader, key, value, target);
    if (secret->value[0] != '\0' && strncmp(secret->value, "redis://", strlen("redis://")) != 0)
        yaml_problem(reader, value,
                     "a Redis address is redis://[:password@]host[:port][/database]");
}

static const struct yaml_key HTTP_KEYS[] = {
    {"listen", read_listen, offsetof(struct settings, http_listen)},
    {"port", read_port, offsetof(struct settings, http_port)},
    {"token", read_secret, offsetof(struct settings, http_token)},
    {"token_file", read_path, offsetof(struct settings, http_token_file)},
    {0},
};
static const struct yaml_key REDIS_KEYS[] = {
    {"url", read_redis_url, offsetof(struct settings, redis_url)},
    {0},
};
static const struct yaml_key LOG_KEYS[] = {
    {"level", read_level, offsetof(struct settings, log_level)},
    {0},
};
static const struct yaml_key INFERENCE_KEYS[] = {
    {"workers", read_workers, offsetof(struct settings, inference_workers)},
    {0},
};
static const struct yaml_key DECODE_KEYS[] = {
    {"workers", read_workers, offsetof(struct settings, decode_workers)},
    {0},
};

static void read_http(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                      void *target)
{
    (void)key;
    yaml_read_table(reader, value, "http", HTTP_KEYS, target);
}

static void read_redis(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                       void *target)
{
    (void)key;
    yaml_read_table(reader, value, "redis", REDIS_KEYS, target);
}

static void read_log(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                     void *target)
{
    (void)key;
    yaml_read_table(reader, value, "log", LOG_KEYS, target);
}

static void read_inference(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                           void *target)
{
    (void)key;
    yaml_read_table(reader, value, "inference", INFERENCE_KEYS, target);
}

static void read_decode(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                        void *target)
{
    (void)key;
    yaml_read_table(reader, value, "decode", DECODE_KEYS, target);
}

static void read_cameras(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                         void *target)
{
    (void)key;
    /* An empty "cameras:" is how a new file begins. */
    if (fy_node_is_scalar(value) && fy_node_get_scalar0(value) != NULL &&
        (fy_node_get_scalar0(value)[0] == '\0' || strcmp(fy_node_get_scalar0(value), "null") == 0))
        return;
    yaml_read_names(reader, value, "cameras", LIMIT_CAMERAS, settings_read_camera, target);
}

/* read_default_classes() has read it before the cameras, wherever it stands in the file. */
static void read_already(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                         void *target)
{
    (void)reader;
    (void)key;
    (void)value;
    (void)target;
}

static const struct yaml_key OBJECTS_KEYS[] = {{"track", read_already, 0}, {0}};

static void read_objects(struct yaml_reader *reader, struct fy_node *key, struct fy_node *value,
                         void *target)
{
    (void)key;
    yaml_read_table(reader, value, "objects", OBJECTS_KEYS, target);
}

static const struct yaml_key TOP_KEYS[] = {
    {"http", read_http, 0},
    {"data", read_path, offsetof(struct settings, data)},
    {"model", read_path, offsetof(struct settings, model)},
    {"redis", read_redis, 0},
    {"log", read_log, 0},
    {"inference", read_inference, 0},
    {"decode", read_decode, 0},
    {"objects", read_objects, 0},
    {"cameras", read_cameras, 0},
    {0},
};

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static struct fy_node *child(struct fy_node *mapping, const char *name)
{
    mapping = yaml_resolve(mapping);
    if (mapping == NULL || !fy_node_is_mapping(mapping))
        return NULL;
    return yaml_resolve(fy_node_mapping_lookup_by_string(mapping, name, (size_t)-1));
}

/* What holds for all cameras must be known before the first one is read. */
static unsigned read_default_classes(struct yaml_reader *reader, struct fy_node *root)
{
    struct fy_node *track   = child(child(root, "objects"), "track");
    unsigned        classes = SETTINGS_ALL_CLASSES;

    if (track != NULL)
        settings_read_classes(reader, track, track, &classes);
    return classes;
}

static void check_whole(struct yaml_reader *reader, struct fy_node *root,
                        const struct settings *settings)
{
    struct fy_node *http = child(root, "http");

    if (settings->http_token.value[0] != '\0' && settings->http_token_file[0] != '\0')
        yaml_problem(reader, http, "give either token or token_file, not both");
    if (settings->http_token.value[0] != '\0' &&
        strlen(settings->http_token.value) < TOKEN_MIN_BYTES)
        yaml_problem(reader, child(http, "token"), "a token needs at least %d characters",
                     TOKEN_MIN_BYTES);
    if (!is_loopback(settings->http_listen) && settings->http_token.value[0] == '\0' &&
        settings->http_token_file[0] == '\0')
        yaml_problem(reader, child(http, "listen"),
                     "listening on %s needs credentials: set http.token, or http.token_file to a "
                     "file that is made with a random token at first start",
                     settings->http_listen);
}

static void collect_parse_errors(struct yaml_reader *reader, struct fy_diag *diag)
{
    struct fy_diag_error     *error;
    void                     *iterator = NULL;
    struct settings_problems *problems = reader->problems;

    while ((error = fy_diag_errors_iterate(diag, &iterator)) != NULL) {
        if (problems->count < SETTINGS_MAX_PROBLEMS)
            why_set(&problems->problem[problems->count], 0, "%s:%d:%d: %s", reader->file,
                    error->line + 1, error->column + 1, error->msg);
        problems->count++;
    }
    if (problems->count == 0)
        yaml_problem(reader, NULL, "not a YAML document");
}

static void read_document(struct yaml_reader *reader, struct fy_document *document,
                          struct settings *settings)
{
    struct fy_node             *root = fy_document_root(document);
    struct settings_read_target target;

    if (root == NULL) {
        yaml_problem(reader, NULL, "the file is empty");
        return;
    }
    /* The camera reader gets the defaults along with the settings. */
    target                 = (struct settings_read_target){.settings = *settings};
    target.default_classes = read_default_classes(reader, root);
    yaml_read_table(reader, root, "the file", TOP_KEYS, &target);
    *settings = target.settings;
    check_whole(reader, root, settings);
}

/* What libfyaml 0.7 does not survive and no configuration needs is refused before it sees the text:
 * deep nesting (its recursion is not bounded), bytes that are not text, and the rarer parts of YAML
 * (it reads some of them for ever and crashes on others, as the fuzzer found). */
struct text_check {
    int  depth;  /* of brackets */
    int  indent; /* spaces and dashes of this line */
    char quote;  /* the one that we are inside of, or 0 */
    bool comment;
};

static bool begins_token(char before)
{
    return strchr(" \n\r[{,:-", before) != NULL; /* also the NUL before the first character */
}

/* A character outside of comments and quotes; NULL, or what is wrong with it. */
static const char *refuse_structure(struct text_check *check, char before, char c)
{
    if (c == '\t')
        return "tabs are not allowed: use spaces";
    if (strchr("?!|>%@`", c) != NULL && begins_token(before))
        return "a value that begins with one of ? ! | > % @ must stand in quotes";
    if (c == '[' || c == '{')
        check->depth++;
    else if ((c == ']' || c == '}') && check->depth > 0)
        check->depth--;
    else if (c == '-' || c == ' ')
        check->indent++;
    else if ((c == '"' || c == '\'') && begins_token(before))
        check->quote = c;
    else if (c == '#' && begins_token(before))
        check->comment = true;
    if (check->depth > YAML_NESTING_MAX || check->indent > YAML_LINE_MAX)
        return "the file is nested more deeply than any configuration";
    return NULL;
}

/* NULL, or what is wrong. */
static const char *refuse_text(const char *text, size_t bytes)
{
    struct text_check check   = {.depth = 0};
    const char       *problem = NULL;

    if (bytes > LIMIT_FILE_CONFIG_BYTES)
        return "the file is larger than any configuration (1 MiB)";
    if (!json_utf8_valid(text, bytes))
        return "the file is not UTF-8 text";
    for (size_t i = 0; i < bytes && problem == NULL; i++) {
        char c = text[i];
        if ((unsigned char)c < 0x20 && c != '\n' && c != '\r' && c != '\t')
            return "the file holds control characters";
        if (c == '\n') {
            check.indent  = 0;
            check.comment = false;
            /* A quoted value of several lines is none of ours, and hides structure from this check. */
            if (check.quote != 0)
                return "a quote is not closed on its line";
        } else if (check.quote != 0) {
            check.quote = c == check.quote ? 0 : check.quote;
        } else if (!check.comment) {
            problem = refuse_structure(&check, i == 0 ? '\0' : text[i - 1], c);
        }
    }
    return problem;
}

int settings_load_text(struct settings **out, const char *text, size_t bytes, const char *name,
                       struct settings_problems *problems)
{
    struct fy_diag_cfg  diag_config;
    struct fy_diag     *diag     = NULL;
    struct fy_document *document = NULL;
    struct settings    *settings = NULL;
    struct yaml_reader  reader   = {.file = name, .problems = problems};
    const char         *slash    = strrchr(name, '/');
    const char         *refused;
    int                 rc = ERR_MEMORY;

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
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    diag           = fy_diag_create(&diag_config);
    if (settings == NULL || diag == NULL)
        goto done;
    fy_diag_set_collect_errors(diag, true);
    settings_default(settings);
    snprintf(settings->file, sizeof settings->file, "%s", name);
    document = fy_document_build_from_string(
        &(struct fy_parse_cfg){.flags = FYPCF_QUIET, .diag = diag}, text, bytes);
    if (document == NULL)
        collect_parse_errors(&reader, diag);
    else
        read_document(&reader, document, settings);
    rc = problems->count == 0 ? 0 : ERR_INVALID;

done:
    if (rc == ERR_MEMORY)
        yaml_problem(&reader, NULL, "out of memory");
    if (rc == 0)
        *out = settings;
    else
        settings_free(&settings);
    fy_document_destroy(document);
    if (diag != NULL)
        fy_diag_destroy(diag);
    return rc;
}

int settings_load(struct settings **out, const char *path, struct settings_problems *problems)
{
    FILE  *file  = fopen(path, "re");
    char  *text  = NULL;
    size_t bytes = 0;
    int    rc;

    *out            = NULL;
    problems->count = 0;
    if (file == NULL) {
        problems->count = 1;
        return why_set(&problems->problem[0], errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                       "%s:1:1: cannot be opened: %s", path, strerror(errno));
    }
    text = malloc(LIMIT_FILE_CONFIG_BYTES + 1);
    if (text != NULL)
        bytes = fread(text, 1, LIMIT_FILE_CONFIG_BYTES + 1, file);
    if (text == NULL || ferror(file)) {
        problems->count = 1;
        rc              = why_set(&problems->problem[0], ERR_IO, "%s:1:1: cannot be read", path);
    } else {
        rc = settings_load_text(out, text, bytes, path, problems);
    }
    free(text);
    fclose(file);
    return rc;
}
