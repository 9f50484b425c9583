/* config/settings_managed.h: the cameras that were added through the API, in a file of the server's own.
 *
 * DATA/cameras.yml has the shape of `cameras:` in the configuration (written as JSON, which is YAML),
 * so that it is read and checked by the same code, can be read by people, and its entries can be
 * moved into the configuration by hand. Passwords in it are sealed (sealed_secret.h). What came over
 * the network stands for itself alone: placeholders and paths of files are not followed in it.
 * Written whole, under another name first: it is the old file or the new one after a power cut. */
#ifndef SIGHTLINE_CONFIG_SETTINGS_MANAGED_H
#define SIGHTLINE_CONFIG_SETTINGS_MANAGED_H

#include "config/json_writer.h"
#include "config/sealed_secret.h"
#include "config/settings.h"

#define SETTINGS_MANAGED_FILE "cameras.yml"

/* The text of the file for the cameras that are `managed`; the others are left out. The writer's
 * flag tells when it does not fit. */
void settings_managed_write(struct json_writer *json, const struct settings_camera *cameras,
                            int count, const struct sealed_key *key);

/* What stands in settings_camera's `version`; empty when there is no memory. With a key, as it is told to
 * whoever sees the cameras: a password that stands in an address could be guessed out of it. */
void settings_managed_version(const struct settings_camera *camera, const struct sealed_key *key,
                              char version[static SETTINGS_VERSION_BYTES]);

/* Puts the file in place, durably. ERR_IO, ERR_NO_SPACE, ERR_LIMIT. Waits for the disk: not on the
 * loop. */
int settings_managed_save(const char *path, const char *text, size_t bytes, struct why *why);

#endif
