/* Tensors whose numbers lie in another file of the model's folder. The name comes from the model,
 * which nobody trusts: a plain file name is all that it may be. */
#include "gpu/onnx_file.h"

#include "config/err.h"
#include "config/limits.h"
#include "config/plain_file.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *entry_of(const Onnx__TensorProto *tensor, const char *key)
{
    for (size_t i = 0; i < tensor->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = tensor->external_data[i];
        if (entry->key != NULL && entry->value != NULL && strcmp(entry->key, key) == 0)
            return entry->value;
    }
    return NULL;
}

static int64_t number_of(const Onnx__TensorProto *tensor, const char *key, int64_t fallback)
{
    const char *text = entry_of(tensor, key);
    char       *end;
    long long   number;

    if (text == NULL)
        return fallback;
    errno  = 0;
    number = strtoll(text, &end, 10);
    return errno != 0 || *end != '\0' || end == text || number < 0 ? -1 : (int64_t)number;
}

static int read_part(int fd, int64_t offset, uint8_t *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t got = pread(fd, bytes + done, count - done, (off_t)(offset + (int64_t)done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ERR_IO;
        done += (size_t)got;
    }
    return 0;
}

/* The file's descriptor, or a negative code. */
static int open_file(const char *folder, const char *name, int64_t *bytes, struct why *why)
{
    char       path[1024];
    struct why reason;
    int        fd;

    if (strncmp(name, "./", 2) == 0)
        name += 2;
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
        return why_set(why, ERR_INVALID,
                       "its weights are said to lie at '%.100s': only a file beside the model is "
                       "read",
                       name);
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return why_set(why, ERR_LIMIT, "the path of '%.100s' is too long", name);
    fd = plain_file_open(path, PLAIN_FILE_NO_LINKS, bytes, &reason);
    if (fd == ERR_NOT_FOUND)
        return why_set(why, ERR_UNSUPPORTED,
                       "its weights lie in another file, '%.100s', which is not beside it: fetch "
                       "that too, or save the model as one file",
                       name);
    if (fd < 0)
        return why_set(why, ERR_UNSUPPORTED, "its weights lie in another file, '%.100s': %s", name,
                       reason.text);
    return fd;
}

static void add_to_digest(struct onnx_external *external, const uint8_t *bytes, size_t count)
{
    uint8_t before[GRAPH_DIGEST_BYTES];

    memcpy(before, external->digest, sizeof before);
    crypto_generichash(external->digest, sizeof external->digest, bytes, count, before,
                       sizeof before);
}

int onnx_external_read(struct onnx_external *external, const Onnx__TensorProto *tensor,
                       size_t wanted, uint8_t **bytes, struct why *why)
{
    const char *name   = entry_of(tensor, "location");
    int64_t     offset = number_of(tensor, "offset", 0), size = 0;
    int64_t     length = number_of(tensor, "length", (int64_t)wanted);
    int         fd, rc = 0;

    *bytes = NULL;
    if (external == NULL || external->folder == NULL)
        return why_set(why, ERR_UNSUPPORTED,
                       "its weights lie in another file: save the model as one file");
    if (name == NULL || offset < 0 || length != (int64_t)wanted)
        return why_set(why, ERR_INVALID, "where its weights lie is not said properly");
    if (wanted > LIMIT_FILE_MODEL_BYTES || external->bytes > LIMIT_FILE_MODEL_BYTES - wanted)
        return why_set(why, ERR_LIMIT, "its weights are more than %d bytes",
                       LIMIT_FILE_MODEL_BYTES);
    fd = open_file(external->folder, name, &size, why);
    if (fd < 0)
        return fd;
    if (offset > size || length > size - offset)
        rc = why_set(why, ERR_INVALID, "'%.100s' is too short: fetch it again", name);
    else if ((*bytes = malloc(wanted + 1)) == NULL)
        rc = why_set(why, ERR_MEMORY, "out of memory for its weights");
    else if (read_part(fd, offset, *bytes, wanted) != 0)
        rc = why_set(why, ERR_IO, "'%.100s' could not be read", name);
    close(fd);
    if (rc == 0) {
        external->bytes += wanted;
        add_to_digest(external, *bytes, wanted);
    }
    return rc;
}
