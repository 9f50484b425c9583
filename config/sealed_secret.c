#include "config/sealed_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/err.h"
#include "config/plain_file.h"

#define PREFIX       "sealed:"
#define BASE64       sodium_base64_VARIANT_ORIGINAL
#define BOXED_BYTES  (crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + LIMIT_SECRET_BYTES)
#define KEY_TEXT_MAX 64

_Static_assert(SEALED_KEY_BYTES == crypto_secretbox_KEYBYTES, "the key is secretbox's");
_Static_assert(sizeof PREFIX + sodium_base64_ENCODED_LEN(BOXED_BYTES, BASE64) <= SEALED_TEXT_BYTES,
               "the longest secret fits");

static int make_key(struct sealed_key *key, const char *path, struct why *why)
{
    char text[KEY_TEXT_MAX];
    bool written;
    int  fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return why_set(why, ERR_IO, "the key file %s cannot be made: %s", path, strerror(errno));
    randombytes_buf(key->bytes, sizeof key->bytes);
    sodium_bin2base64(text, sizeof text, key->bytes, sizeof key->bytes, BASE64);
    written = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
    close(fd);
    sodium_memzero(text, sizeof text);
    if (!written) {
        unlink(path);
        return why_set(why, ERR_IO, "the key file %s cannot be written: %s", path, strerror(errno));
    }
    return 0;
}

int sealed_key_open(struct sealed_key *key, const char *folder, bool make, struct why *why)
{
    char        path[LIMIT_PATH_BYTES];
    char        text[KEY_TEXT_MAX] = "";
    struct stat status;
    ssize_t     got;
    size_t      bytes = 0;
    int         fd;

    if (sodium_init() < 0)
        return why_set(why, ERR_IO, "no source of random numbers");
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, SEALED_KEY_FILE) >= sizeof path)
        return why_set(why, ERR_LIMIT, "the path of the key file is too long");
    fd = plain_file_open(path, PLAIN_FILE_NO_LINKS, NULL, why);
    if (fd == ERR_NOT_FOUND && make)
        return make_key(key, path, why);
    if (fd < 0) {
        why_prefix(why, "the key file %s cannot be read", path);
        return fd;
    }
    got = fstat(fd, &status) == 0 ? read(fd, text, sizeof text - 1) : -1;
    close(fd);
    if (got >= 0 && (status.st_mode & 077) != 0)
        return why_set(why, ERR_DENIED, "the key file %s may be read by others: chmod 600 %s", path,
                       path);
    if (got < 0 ||
        sodium_base642bin(key->bytes, sizeof key->bytes, text, (size_t)got, " \r\n", &bytes, NULL,
                          BASE64) != 0 ||
        bytes != sizeof key->bytes)
        return why_set(why, ERR_CORRUPT, "the key file %s holds no key: put back a copy of it",
                       path);
    sodium_memzero(text, sizeof text);
    return 0;
}

void sealed_key_forget(struct sealed_key *key)
{
    sodium_memzero(key, sizeof *key);
}

bool sealed_secret_is(const char *text)
{
    return strncmp(text, PREFIX, strlen(PREFIX)) == 0;
}

void sealed_secret_seal(const struct sealed_key *key, const struct secret *secret,
                        char out[static SEALED_TEXT_BYTES])
{
    unsigned char box[BOXED_BYTES];
    size_t        bytes = strlen(secret->value);

    randombytes_buf(box, crypto_secretbox_NONCEBYTES);
    crypto_secretbox_easy(box + crypto_secretbox_NONCEBYTES, (const unsigned char *)secret->value,
                          bytes, box, key->bytes);
    memcpy(out, PREFIX, sizeof PREFIX);
    sodium_bin2base64(out + strlen(PREFIX), SEALED_TEXT_BYTES - strlen(PREFIX), box,
                      crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + bytes, BASE64);
}

int sealed_secret_open(const struct sealed_key *key, const char *text, struct secret *secret,
                       struct why *why)
{
    unsigned char box[BOXED_BYTES];
    size_t        bytes = 0;
    size_t        clear;

    memset(secret, 0, sizeof *secret);
    if (!sealed_secret_is(text) ||
        sodium_base642bin(box, sizeof box, text + strlen(PREFIX), strlen(text) - strlen(PREFIX),
                          NULL, &bytes, NULL, BASE64) != 0 ||
        bytes < crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES)
        return why_set(why, ERR_CORRUPT, "a sealed password is damaged");
    clear = bytes - crypto_secretbox_NONCEBYTES - crypto_secretbox_MACBYTES;
    if (clear >= sizeof secret->value ||
        crypto_secretbox_open_easy((unsigned char *)secret->value,
                                   box + crypto_secretbox_NONCEBYTES,
                                   bytes - crypto_secretbox_NONCEBYTES, box, key->bytes) != 0) {
        memset(secret, 0, sizeof *secret);
        return why_set(why, ERR_CORRUPT, "a sealed password was sealed with another key");
    }
    return 0;
}
