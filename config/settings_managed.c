#include "config/settings_managed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/err.h"
#include "config/object_class.h"

static void put(struct json_writer *json, const char *key, const char *text)
{
    json_key(json, key);
    json_put_string(json, text);
}

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
static void put_points(struct json_writer *json, const struct settings_point *points, int count)
{
    char   text[LIMIT_ZONE_POINTS * 32];
    size_t used = 0;

    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.9g,%.9g", i == 0 ? "" : ",",
                                 (double)points[i].x, (double)points[i].y);
    put(json, "coordinates", text);
}

static void put_line(struct json_writer *json, const struct settings_line *line)
{
    json_key(json, line->name);
    json_begin_object(json);
    put_points(json, line->points, line->point_count);
    put_classes(json, "objects", line->classes);
    json_key(json, "directions");
    json_begin_object(json);
    put(json, "a_to_b", line->a_to_b);
    put(json, "b_to_a", line->b_to_a);
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
        put(json, "user", user);
    if (password->value[0] != '\0') {
        sealed_secret_seal(key, password, sealed);
        put(json, "password", sealed);
    }
}

static void put_inputs(struct json_writer *json, const struct settings_camera *camera,
                       const struct sealed_key *key)
{
    json_key(json, "inputs");
    json_begin_array(json);
    json_begin_object(json);
    put(json, "path", camera->url);
    if (camera->view.url[0] != '\0') {
        put_role(json, "detect");
        json_end_object(json);
        json_begin_object(json);
        put(json, "path", camera->view.url);
        put_credentials(json, camera->view.user, &camera->view.password, key);
        put_role(json, "view");
    }
    json_end_object(json);
    json_end_array(json);
}

static void put_source(struct json_writer *json, const struct settings_camera *camera,
                       const struct sealed_key *key)
{
    static const char *const TRANSPORTS[] = {"auto", "tcp", "udp"};

    json_key(json, "ffmpeg");
    json_begin_object(json);
    put_inputs(json, camera, key);
    json_end_object(json);
    put_credentials(json, camera->user, &camera->password, key);
    if (camera->transport != TRANSPORT_AUTO)
        put(json, "transport", TRANSPORTS[camera->transport]);
    if (camera->tls_fingerprint[0] != '\0')
        put(json, "tls_fingerprint", camera->tls_fingerprint);
    if (camera->tls_unverified) {
        json_key(json, "tls_verify");
        json_put_bool(json, false);
    }
}

static void put_camera(struct json_writer *json, const struct settings_camera *camera,
                       const struct sealed_key *key)
{
    json_key(json, camera->name);
    json_begin_object(json);
    json_key(json, "enabled");
    json_put_bool(json, camera->enabled);
    put_source(json, camera, key);
    if (camera->file[0] != '\0') {
        json_key(json, "loop");
        json_put_bool(json, camera->loop);
    }
    json_key(json, "detect");
    json_begin_object(json);
    json_key(json, "fps");
    json_put_fixed(json, camera->detect_fps, 6);
    json_end_object(json);
    if (camera->classes != SETTINGS_ALL_CLASSES) {
        json_key(json, "objects");
        json_begin_object(json);
        put_classes(json, "track", camera->classes);
        json_end_object(json);
    }
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
