/* The files of the settings: the user's, and the server's own beside the ledger. */
#include "config/settings.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/err.h"
#include "config/plain_file.h"
#include "config/sealed_secret.h"
#include "config/settings_managed.h"

static int file_problem(struct settings_problems *problems, int rc, const char *path,
                        const char *text)
{
    struct why why;

    why_set(&why, rc, "%s:1:1: %s", path, text);
    if (problems->count < SETTINGS_MAX_PROBLEMS)
        problems->problem[problems->count] = why;
    problems->count++;
    return rc;
}

/* All of it, at most one byte more than is allowed. */
static int read_stream(FILE *file, const char *path, char **text, size_t *bytes,
                       struct settings_problems *problems)
{
    *text = malloc(LIMIT_FILE_CONFIG_BYTES + 1);
    if (*text != NULL)
        *bytes = fread(*text, 1, LIMIT_FILE_CONFIG_BYTES + 1, file);
    if (*text != NULL && !ferror(file))
        return 0;
    free(*text);
    *text = NULL;
    return file_problem(problems, ERR_IO, path, "cannot be read");
}

/* ERR_NOT_FOUND is told by the caller. */
static int read_whole(const char *path, char **text, size_t *bytes,
                      struct settings_problems *problems)
{
    struct why reason;
    FILE      *file;
    int        rc = plain_file_stream(path, &file, &reason);

    *text = NULL;
    if (rc == ERR_NOT_FOUND)
        return rc;
    if (rc != 0) {
        why_prefix(&reason, "cannot be opened");
        return file_problem(problems, ERR_IO, path, reason.text);
    }
    rc = read_stream(file, path, text, bytes, problems);
    fclose(file);
    return rc;
}

static struct sealed_key own_key; /* written once, under `once` */
static pthread_once_t    once = PTHREAD_ONCE_INIT;

static void make_own_key(void)
{
    randombytes_buf(own_key.bytes, sizeof own_key.bytes);
}

/* Of the folder's key, so that they outlive the process; before there is one, no camera can be changed
 * that has a version to tell. */
static void note_versions(struct settings *settings)
{
    struct sealed_key key;

    if (sealed_key_open(&key, settings->data, false, NULL) != 0) {
        pthread_once(&once, make_own_key);
        key = own_key;
    }
    for (int i = 0; i < settings->camera_count; i++)
        settings_managed_version(&settings->cameras[i], &key, settings->cameras[i].version);
    sealed_key_forget(&key);
}

/* Frees `text`. */
static int load(struct settings **out, char *text, size_t bytes, const char *path,
                struct settings_problems *problems)
{
    int rc = settings_load_text(out, text, bytes, path, problems);

    free(text);
    if (rc != 0)
        return rc;
    bytes = 0;
    if ((size_t)snprintf((*out)->managed_file, sizeof(*out)->managed_file, "%s/%s", (*out)->data,
                         SETTINGS_MANAGED_FILE) >= sizeof(*out)->managed_file) {
        rc = file_problem(problems, ERR_LIMIT, path, "the path of the data folder is too long");
        goto fail;
    }
    rc = read_whole((*out)->managed_file, &text, &bytes, problems);
    if (rc == 0)
        rc = settings_add_managed(*out, text, bytes, problems);
    free(text);
    if (rc == 0 || rc == ERR_NOT_FOUND) {
        note_versions(*out);
        return 0;
    }

fail:
    settings_free(out);
    return rc;
}

int settings_load(struct settings **out, const char *path, struct settings_problems *problems)
{
    char  *text;
    size_t bytes = 0;
    int    rc;

    *out            = NULL;
    problems->count = 0;
    rc              = read_whole(path, &text, &bytes, problems);
    if (rc == ERR_NOT_FOUND)
        return file_problem(problems, rc, path, "cannot be opened: there is no such file");
    return rc != 0 ? rc : load(out, text, bytes, path, problems);
}

int settings_load_stream(struct settings **out, FILE *file, const char *name,
                         struct settings_problems *problems)
{
    char  *text;
    size_t bytes = 0;
    int    rc;

    *out            = NULL;
    problems->count = 0;
    rc              = read_stream(file, name, &text, &bytes, problems);
    return rc != 0 ? rc : load(out, text, bytes, name, problems);
}
