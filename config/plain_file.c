#include "config/plain_file.h"

#include "config/err.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LENT_PAUSE_MS 10

static int why_errno(struct why *why)
{
    if (errno == ENOENT || errno == ENOTDIR)
        return why_set(why, ERR_NOT_FOUND, "there is no such file");
    if (errno == EACCES || errno == EPERM)
        return why_set(why, ERR_DENIED, "this file may not be read (no permission)");
    return why_set(why, ERR_IO, "%s", strerror(errno));
}

static int why_not_regular(struct why *why)
{
    return why_set(why, ERR_INVALID, "this is not a regular file");
}

/* Without waiting for the far end of what is no regular file, if that stands at `path` by now. A server
 * of files on this machine (NFS, Samba) may have lent the file to one of its clients: then the attempt
 * itself calls it back, and a moment later it is here. */
static int open_at_once(const char *path, int no_links)
{
    static const struct timespec pause = {.tv_nsec = LENT_PAUSE_MS * 1000000L};
    int                          fd    = -1;

    for (int tries = 0; fd < 0 && tries <= PLAIN_FILE_LENT_MS / LENT_PAUSE_MS; tries++) {
        if (tries > 0)
            nanosleep(&pause, NULL);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | no_links);
        if (fd < 0 && errno != EWOULDBLOCK)
            break;
    }
    return fd;
}

/* Looked at before it is opened, since opening a device or a FIFO can do things or wait; and again
 * after, since it may have been exchanged in between. */
int plain_file_open(const char *path, enum plain_file_links links, int64_t *bytes, struct why *why)
{
    int         no_links = links == PLAIN_FILE_NO_LINKS ? O_NOFOLLOW : 0;
    struct stat status;
    int         fd;

    if ((no_links != 0 ? lstat(path, &status) : stat(path, &status)) != 0)
        return why_errno(why);
    if (!S_ISREG(status.st_mode))
        return why_not_regular(why);
    fd = open_at_once(path, no_links);
    if (fd < 0)
        return why_errno(why);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return why_not_regular(why);
    }
    if (bytes != NULL)
        *bytes = status.st_size;
    return fd;
}

int plain_file_stream(const char *path, FILE **file, struct why *why)
{
    int fd = plain_file_open(path, PLAIN_FILE_LINKS, NULL, why);

    *file = NULL;
    if (fd < 0)
        return fd;
    *file = fdopen(fd, "rb");
    if (*file != NULL)
        return 0;
    close(fd);
    return why_set(why, ERR_MEMORY, "out of memory");
}
