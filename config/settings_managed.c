#include "config/settings_managed.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/err.h"
#include "config/object_class.h"
#include "config/settings_source.h"

#define POINTS_BYTES (LIMIT_ZONE_POINTS * 32) /* two of at most 15 characters, and commas */

static void put_flag(struct json_writer *json, const char *key, bool flag)
{
    json_key(json, key);
    json_put_bool(json, flag);
}

/* "All" is left out, so that it goes on to mean all. */
static void put_classes(struct json_writer *json, const char *key, unsigned classes)
{
    if (classes == SETTINGS_ALL_CLASSES)
        return;
    json_key(json, key);
    json_begin_array(json);
    for (int i = 0; i < OBJECT_CLASSES; i++) {
        if ((classes >> i & 1U) != 0)
            json_put_string(json, object_class_name((enum object_class)i));
    }
    json_end_array(json);
}

/* Nine digits bring a float back to the bit. */
static void points_text(const struct settings_point *points, int count, char text[POINTS_BYTES])
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, POINTS_BYTES - used, "%s%.9g,%.9g", i == 0 ? "" : ",",
                                 (double)points[i].x, (double)points[i].y);
}

static void put_points(struct json_writer *json, const struct settings_point *points, int count)
{
    char text[POINTS_BYTES];

    points_text(points, count, text);
    json_put_pair(json, "coordinates", text);
}

static void put_line(struct json_writer *json, const struct settings_line *line)
{
    json_key(json, line->name);
    json_begin_object(json);
    put_points(json, line->points, line->point_count);
    put_classes(json, "objects", line->classes);
    json_key(json, "directions");
    json_begin_object(json);
    json_put_pair(json, "a_to_b", line->a_to_b);
    json_put_pair(json, "b_to_a", line->b_to_a);
    json_end_object(json);
    json_end_object(json);
}

static void put_zone(struct json_writer *json, const struct settings_zone *zone)
{
    json_key(json, zone->name);
    json_begin_object(json);
    put_points(json, zone->points, zone->point_count);
    put_classes(json, "objects", zone->classes);
    json_key(json, "inertia");
    json_put_int(json, zone->inertia);
    json_end_object(json);
}

static void put_role(struct json_writer *json, const char *role)
{
    json_key(json, "roles");
    json_begin_array(json);
    json_put_string(json, role);
    json_end_array(json);
}

static void put_credentials(struct json_writer *json, const char *user,
                            const struct secret *password, const struct sealed_key *key)
{
    char sealed[SEALED_TEXT_BYTES];

    if (user[0] != '\0')
        json_put_pair(json, "user", user);
    if (key != NULL && password->value[0] != '\0') {
        sealed_secret_seal(key, password, sealed);
        json_put_pair(json, "password", sealed);
    }
}

static void put_inputs(struct json_writer *json, const struct settings_camera *camera,
                       const struct sealed_key *key)
{
    json_key(json, "inputs");
    json_begin_array(json);
    json_begin_object(json);
    json_put_pair(json, "path", camera->url);
    if (camera->view.url[0] != '\0') {
        put_role(json, "detect");
        json_end_object(json);
        json_begin_object(json);
        json_put_pair(json, "path", camera->view.url);
        put_credentials(json, camera->view.user, &camera->view.password, key);
        put_role(json, "view");
    }
    json_end_object(json);
    json_end_array(json);
}

static void put_source(struct json_writer *json, const struct settings_camera *camera,
                       const struct sealed_key *key)
{
    json_key(json, "ffmpeg");
    json_begin_object(json);
    put_inputs(json, camera, key);
    json_end_object(json);
    put_credentials(json, camera->user, &camera->password, key);
    json_put_pair(json, "transport", SETTINGS_TRANSPORTS[camera->transport]);
    put_flag(json, "tls_verify", !camera->tls_unverified);
    if (camera->tls_fingerprint[0] != '\0')
        json_put_pair(json, "tls_fingerprint", camera->tls_fingerprint);
    put_flag(json, "loop", camera->loop);
    json_put_pair(json, "pace", SETTINGS_PACES[camera->pace]);
}

static void put_detect(struct json_writer *json, const struct settings_camera *camera)
{
    char fps[32];

    /* Seventeen digits bring a double back to the bit. */
    snprintf(fps, sizeof fps, "%.17g", camera->detect_fps);
    json_key(json, "detect");
    json_begin_object(json);
    json_key(json, "fps");
    json_put_raw(json, fps, strlen(fps));
    json_end_object(json);
    json_key(json, "objects");
    json_begin_object(json);
    put_classes(json, "track", camera->classes);
    json_end_object(json);
}

static void put_motion(struct json_writer *json, const struct settings_motion *motion)
{
    char text[POINTS_BYTES];

    json_key(json, "motion");
    json_begin_object(json);
    put_flag(json, "enabled", motion->enabled);
    json_key(json, "mask");
    json_begin_array(json);
    for (int i = 0; i < motion->mask_count; i++) {
        points_text(motion->masks[i].points, motion->masks[i].point_count, text);
        json_put_string(json, text);
    }
    json_end_array(json);
    json_end_object(json);
}

/* All that can be set, with the values that are the defaults now: what a camera was given stays when
 * they change. Each key of SETTINGS_CAMERA_KEYS has its place here; a test sees to it. */
static void put_camera(struct json_writer *json, const struct settings_camera *camera,
                       const struct sealed_key *key)
{
    json_key(json, camera->name);
    json_begin_object(json);
    put_flag(json, "enabled", camera->enabled);
    put_source(json, camera, key);
    put_detect(json, camera);
    json_key(json, "lines");
    json_begin_object(json);
    for (int i = 0; i < camera->line_count; i++)
        put_line(json, &camera->lines[i]);
    json_end_object(json);
    json_key(json, "zones");
    json_begin_object(json);
    for (int i = 0; i < camera->zone_count; i++)
        put_zone(json, &camera->zones[i]);
    json_end_object(json);
    put_motion(json, &camera->motion);
    json_end_object(json);
}

void settings_managed_write(struct json_writer *json, const struct settings_camera *cameras,
                            int count, const struct sealed_key *key)
{
    json_begin_object(json);
    json_key(json, "cameras");
    json_begin_object(json);
    for (int i = 0; i < count; i++) {
        if (cameras[i].managed)
            put_camera(json, &cameras[i], key);
    }
    json_end_object(json);
    json_end_object(json);
}

void settings_managed_version(const struct settings_camera *camera, const struct sealed_key *key,
                              char version[static SETTINGS_VERSION_BYTES])
{
    unsigned char      digest[(SETTINGS_VERSION_BYTES - 1) / 2];
    struct json_writer json;
    const char        *text;
    size_t             bytes;

    version[0] = '\0';
    json_init(&json, LIMIT_FILE_CONFIG_BYTES);
    json_begin_object(&json);
    put_camera(&json, camera, NULL);
    json_end_object(&json);
    text = json_text(&json, &bytes);
    if (text != NULL && crypto_generichash(digest, sizeof digest, (const unsigned char *)text,
                                           bytes, key->bytes, sizeof key->bytes) == 0)
        sodium_bin2hex(version, SETTINGS_VERSION_BYTES, digest, sizeof digest);
    json_free(&json);
}

static int failed(struct why *why, const char *path)
{
    return why_set(why, errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : ERR_IO,
                   "%s cannot be written: %s", path, strerror(errno));
}

static bool write_all(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, text, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        bytes -= (size_t)written;
    }
    return true;
}

/* The new name is durable once the folder is. */
static void sync_folder(const char *path)
{
    char  folder[LIMIT_PATH_BYTES];
    char *slash;
    int   fd;

    snprintf(folder, sizeof folder, "%s", path);
    slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    fd = open(slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

int settings_managed_save(const char *path, const char *text, size_t bytes, struct why *why)
{
    char fresh[LIMIT_PATH_BYTES];
    int  fd;
    int  rc = 0;

    if ((size_t)snprintf(fresh, sizeof fresh, "%s.new", path) >= sizeof fresh)
        return why_set(why, ERR_LIMIT, "the path of the data folder is too long");
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed(why, fresh);
    if (!write_all(fd, text, bytes) || !write_all(fd, "\n", 1) || fsync(fd) != 0)
        rc = failed(why, fresh);
    close(fd);
    if (rc == 0 && rename(fresh, path) != 0)
        rc = failed(why, path);
    if (rc != 0) {
        unlink(fresh);
        return rc;
    }
    sync_folder(path);
    return 0;
}
