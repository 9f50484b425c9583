/* config/sealed_secret.h: passwords at rest.
 *
 * What the server writes itself (cameras that were added through the dashboard) holds passwords only as
 * "sealed:" and the base64 of a random nonce and the encrypted, authenticated password (libsodium's
 * secretbox: XSalsa20-Poly1305). What a camera wants in the path or query of its address, such as a token, is
 * part of the address: hidden where that is shown, and not sealed. The key lies in a file of its own, readable by its owner alone, so
 * that a copy of the configuration or a backup without it gives nothing away. An entry that is moved
 * into the configuration file keeps its sealed password: it is read there too. Any thread. */
#ifndef SIGHTLINE_CONFIG_SEALED_SECRET_H
#define SIGHTLINE_CONFIG_SEALED_SECRET_H

#include "config/settings.h"
#include "config/why.h"

#include <stdbool.h>
#include <stddef.h>

#define SEALED_KEY_BYTES  32
#define SEALED_TEXT_BYTES 512          /* of a secret of LIMIT_SECRET_BYTES, with its NUL */
#define SEALED_KEY_FILE   "secret.key" /* in the data folder */

struct sealed_key {
    unsigned char bytes[SEALED_KEY_BYTES];
};

/* Reads the key in `folder`; makes one (0600) when there is none and `make` says so. ERR_NOT_FOUND,
 * ERR_DENIED (others may read it), ERR_CORRUPT, ERR_IO, with what to do. */
int sealed_key_open(struct sealed_key *key, const char *folder, bool make, struct why *why);
/* Overwrites it. */
void sealed_key_forget(struct sealed_key *key);

bool sealed_secret_is(const char *text);
void sealed_secret_seal(const struct sealed_key *key, const struct secret *secret,
                        char out[static SEALED_TEXT_BYTES]);
/* ERR_CORRUPT: no such text, or sealed with another key. */
int sealed_secret_open(const struct sealed_key *key, const char *text, struct secret *secret,
                       struct why *why);

#endif
