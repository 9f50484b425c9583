/* Placeholders in settings: {SIGHTLINE_NAME} or {FRIGATE_NAME} from the environment or a secret file,
 * {file:PATH} from a file. Only these prefixes: a configuration must not be able to read the whole
 * environment of the server by accident. */
#include "config/plain_file.h"
#include "config/sealed_secret.h"
#include "config/settings_yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_secret_file(const char *path, char *value, size_t room)
{
    FILE  *file;
    size_t used;

    if (plain_file_stream(path, &file, NULL) != 0)
        return false;
    used = fread(value, 1, room - 1, file);
    fclose(file);
    /* A file made with an editor or `echo` ends with a newline that is not part of the secret. */
    while (used > 0 && (value[used - 1] == '\n' || value[used - 1] == '\r'))
        used--;
    value[used] = '\0';
    return used > 0 && memchr(value, '\0', used) == NULL && strchr(value, '\n') == NULL;
}

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool look_up(struct yaml_reader *reader, yaml_node_t *node, const char *name, char *value,
                    size_t room)
{
    /* Docker and Podman secrets; systemd's LoadCredential. */
    const char *folders[] = {"/run/secrets", getenv("CREDENTIALS_DIRECTORY")};
    const char *set;
    char        path[LIMIT_PATH_BYTES];

    if (has_prefix(name, "file:")) {
        snprintf(path, sizeof path, "%s", name + strlen("file:"));
        if (yaml_path(reader, node, path, sizeof path) && read_secret_file(path, value, room))
            return true;
        yaml_problem(reader, node, "cannot read one line of text from the file in {%s}", name);
        return false;
    }
    set = getenv(name);
    if (set != NULL) {
        snprintf(value, room, "%s", set);
        return true;
    }
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (folders[i] == NULL || strchr(name, '/') != NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", folders[i], name);
        if (read_secret_file(path, value, room))
            return true;
    }
    yaml_problem(reader, node,
                 "{%s} is not set: neither in the environment nor as a file in /run/secrets", name);
    return false;
}

/* Appends `value`, percent-encoded where it would end the user part of a URL too early. */
static bool append(char *text, size_t *used, size_t room, const char *value, bool encode)
{
    static const char HEX[] = "0123456789ABCDEF";

    for (const char *c = value; *c != '\0'; c++) {
        bool escaped = encode && strchr("@:/?#%[] ", *c) != NULL;
        if (*used + (escaped ? 3 : 1) >= room)
            return false;
        if (escaped) {
            text[(*used)++] = '%';
            text[(*used)++] = HEX[(unsigned char)*c >> 4];
            text[(*used)++] = HEX[(unsigned char)*c & 15];
        } else {
            text[(*used)++] = *c;
        }
    }
    text[*used] = '\0';
    return true;
}

/* Whether the placeholder that ends at `after` stands in "scheme://user:password@". */
static bool in_user_part(const char *start, const char *placeholder, const char *after)
{
    const char *scheme = strstr(start, "://");

    return scheme != NULL && scheme < placeholder && strchr(after, '@') != NULL;
}

bool yaml_substitute(struct yaml_reader *reader, yaml_node_t *node, char *text, size_t room)
{
    char        whole[LIMIT_URL_BYTES];
    const char *rest = whole;
    size_t      used = 0;

    if (reader->managed)
        return true;
    snprintf(whole, sizeof whole, "%s", text);
    memset(text, 0, room);
    while (*rest != '\0') {
        char        value[LIMIT_SECRET_BYTES];
        char        name[LIMIT_PATH_BYTES];
        const char *end = *rest == '{' ? strchr(rest, '}') : NULL;
        bool        fits;
        if (end != NULL && (has_prefix(rest, "{SIGHTLINE_") || has_prefix(rest, "{FRIGATE_") ||
                            has_prefix(rest, "{file:"))) {
            snprintf(name, sizeof name, "%.*s", (int)(end - rest - 1), rest + 1);
            if (!look_up(reader, node, name, value, sizeof value))
                return false;
            fits = append(text, &used, room, value, in_user_part(whole, rest, end));
            rest = end + 1;
        } else {
            char one[2] = {*rest++, '\0'};
            fits        = append(text, &used, room, one, false);
        }
        if (!fits) {
            yaml_problem(reader, node, "value is longer than %zu bytes after substitution",
                         room - 1);
            return false;
        }
    }
    return true;
}

void yaml_secret(struct yaml_reader *reader, yaml_node_t *node, struct secret *secret)
{
    char              text[SEALED_TEXT_BYTES];
    struct sealed_key key;
    struct why        why;

    if (!yaml_text(reader, node, text, sizeof text))
        return;
    if (!sealed_secret_is(text)) {
        if (yaml_text(reader, node, secret->value, sizeof secret->value))
            yaml_substitute(reader, node, secret->value, sizeof secret->value);
        return;
    }
    if (sealed_key_open(&key, reader->data, false, &why) != 0 ||
        sealed_secret_open(&key, text, secret, &why) != 0)
        yaml_problem(reader, node, "%s", why.text);
    sealed_key_forget(&key);
}
