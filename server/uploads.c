#include "server/uploads.h"

#include "config/err.h"
#include "config/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Two that begin at once, on two workers, must not both take the last room. */
static pthread_mutex_t room_lock = PTHREAD_MUTEX_INITIALIZER;

static int failed(struct why *why, const char *what)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return why_set(why, ERR_NO_SPACE, "%s: the disk is full", what);
    return why_set(why, ERR_IO, "%s: %s", what, strerror(errno));
}

static bool folder_path(char path[static LIMIT_PATH_BYTES], const char *data)
{
    return (size_t)snprintf(path, LIMIT_PATH_BYTES, "%s/" UPLOAD_FOLDER, data) < LIMIT_PATH_BYTES;
}

static void sync_folder(const char *data)
{
    char path[LIMIT_PATH_BYTES];
    int  fd = folder_path(path, data) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* What all files there have, those that are still on their way with their whole size. */
static uint64_t bytes_there(const char *folder)
{
    int            fd      = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR           *entries = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    struct stat    status;
    uint64_t       bytes = 0;

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        if (fstatat(dirfd(entries), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode))
            bytes += (uint64_t)status.st_size;
    }
    if (entries != NULL)
        closedir(entries);
    else if (fd >= 0)
        close(fd);
    return bytes;
}

static int check_room(const char *folder, uint64_t bytes, uint64_t total_bytes, struct why *why)
{
    uint64_t       there = bytes_there(folder);
    struct statvfs disk;

    if (there + bytes > total_bytes)
        return why_set(why, ERR_LIMIT,
                       "all videos together may have %llu MiB (uploads.total_mib), of which %llu "
                       "are taken: remove a camera that plays one",
                       (unsigned long long)(total_bytes >> 20), (unsigned long long)(there >> 20));
    if (statvfs(folder, &disk) != 0)
        return failed(why, "the folder of videos");
    if ((uint64_t)disk.f_bavail * disk.f_frsize < bytes + UPLOADS_FREE_BYTES)
        return why_set(why, ERR_NO_SPACE,
                       "the disk has no room for a video of %llu MiB: %d MiB must stay free",
                       (unsigned long long)(bytes >> 20), (int)(UPLOADS_FREE_BYTES >> 20));
    return 0;
}

static int make_file(struct upload_file *file, const char *data, uint64_t bytes, struct why *why)
{
    unsigned char random[UPLOAD_DIGITS / 2];
    char          path[LIMIT_PATH_BYTES];
    int           rc = 0;

    randombytes_buf(random, sizeof random);
    sodium_bin2hex(file->name, sizeof file->name, random, sizeof random);
    if (!upload_path(path, data, file->name, UPLOAD_PART))
        return why_set(why, ERR_LIMIT, "the path of the data folder is too long");
    file->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->fd < 0)
        return failed(why, "the video's file");
    /* The blocks are taken now, where the file system can: it is not full in the middle. */
    if (ftruncate(file->fd, (off_t)bytes) != 0 ||
        (fallocate(file->fd, 0, 0, (off_t)bytes) != 0 && errno != EOPNOTSUPP && errno != ENOSYS))
        rc = failed(why, "the video's file");
    if (rc != 0) {
        close(file->fd);
        file->fd = -1;
        unlink(path);
    }
    return rc;
}

int uploads_create(struct upload_file *file, const char *data, uint64_t bytes, uint64_t total_bytes,
                   struct why *why)
{
    char folder[LIMIT_PATH_BYTES];
    int  rc;

    file->fd = -1;
    if (!folder_path(folder, data))
        return why_set(why, ERR_LIMIT, "the path of the data folder is too long");
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return failed(why, "the folder of videos");
    pthread_mutex_lock(&room_lock);
    rc = check_room(folder, bytes, total_bytes, why);
    if (rc == 0)
        rc = make_file(file, data, bytes, why);
    pthread_mutex_unlock(&room_lock);
    return rc;
}

int uploads_write(const struct upload_file *file, uint64_t at, const void *bytes, size_t count,
                  struct why *why)
{
    const char *rest = bytes;

    while (count > 0) {
        ssize_t written = pwrite(file->fd, rest, count, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return failed(why, "the video's file");
        rest += written;
        at += (uint64_t)written;
        count -= (size_t)written;
    }
    return 0;
}

int uploads_finish(struct upload_file *file, struct why *why)
{
    int rc = fsync(file->fd) == 0 ? 0 : failed(why, "the video's file");

    close(file->fd);
    file->fd = -1;
    return rc;
}

int uploads_keep(const char *data, const char *name, struct why *why)
{
    char part[LIMIT_PATH_BYTES], video[LIMIT_PATH_BYTES];

    if (!upload_path(part, data, name, UPLOAD_PART) ||
        !upload_path(video, data, name, UPLOAD_VIDEO))
        return why_set(why, ERR_LIMIT, "the path of the data folder is too long");
    if (access(video, F_OK) == 0)
        return 0;
    if (rename(part, video) != 0)
        return errno == ENOENT ? why_set(why, ERR_NOT_FOUND, "this video is no longer there")
                               : failed(why, "the video's file");
    sync_folder(data);
    return 0;
}

void uploads_remove(const char *data, const char *name)
{
    char path[LIMIT_PATH_BYTES];

    for (int i = 0; i < UPLOAD_KINDS; i++) {
        if (upload_path(path, data, name, (enum upload_kind)i) && unlink(path) != 0 &&
            errno != ENOENT)
            log_warning("uploads", "%s cannot be removed: %s", path, strerror(errno));
    }
}

void uploads_mark(const char *data, const char *name, enum upload_kind kind)
{
    char path[LIMIT_PATH_BYTES];
    int  fd = upload_path(path, data, name, UPLOAD_VIDEO) && access(path, F_OK) == 0 &&
                     upload_path(path, data, name, kind)
                  ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)
                  : -1;

    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
    sync_folder(data);
}

static bool is_named(const struct settings *settings, const char *name)
{
    char other[UPLOAD_NAME_BYTES];

    for (int i = 0; i < settings->camera_count; i++) {
        if (settings->cameras[i].managed && upload_name_of(settings->cameras[i].url, other) &&
            strcmp(other, name) == 0)
            return true;
    }
    return false;
}

void uploads_sweep(const struct settings *settings)
{
    char             folder[LIMIT_PATH_BYTES], name[UPLOAD_NAME_BYTES];
    DIR             *entries = folder_path(folder, settings->data) ? opendir(folder) : NULL;
    struct dirent   *entry;
    enum upload_kind kind;

    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        if (!upload_name_of_file(entry->d_name, name, &kind))
            continue;
        if (is_named(settings, name))
            continue;
        log_info("uploads", "%s is removed: no camera plays it", entry->d_name);
        uploads_remove(settings->data, name);
    }
    if (entries != NULL)
        closedir(entries);
}
