#include "server/camera/decode_spawn.h"

#include "config/err.h"
#include "config/limits.h"
#include "server/camera/decode_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROGRAM "sightline-decode"
/* Above the numbers that the child's descriptors get. */
#define FIRST_FD 10

int decode_spawn_find(char *path, size_t bytes, struct why *why)
{
    static const char *const PLACES[] = {"", "../bin/"};
    char                     own[LIMIT_PATH_BYTES];
    ssize_t                  got = readlink("/proc/self/exe", own, sizeof own - 1);
    char                    *slash;

    if (got <= 0)
        return why_set(why, ERR_NOT_FOUND, "/proc is not there: our own program cannot be found");
    own[got] = '\0';
    slash    = strrchr(own, '/');
    if (slash != NULL)
        slash[1] = '\0';
    for (size_t i = 0; i < sizeof PLACES / sizeof PLACES[0]; i++) {
        int used = snprintf(path, bytes, "%s%s" PROGRAM, own, PLACES[i]);

        if (used > 0 && (size_t)used < bytes && access(path, X_OK) == 0)
            return 0;
    }
    return why_set(why, ERR_NOT_FOUND,
                   "%s" PROGRAM " is not there: install it beside sightline, or set "
                   "decode.isolation to thread",
                   own);
}

/* Both ends, out of the way of the numbers that the child gives its own. */
static int make_sockets(int ends[2], struct why *why)
{
    int low[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, low) != 0)
        return why_set(why, ERR_IO, "no socket for a decoder process: %s", strerror(errno));
    ends[0] = fcntl(low[0], F_DUPFD_CLOEXEC, FIRST_FD);
    ends[1] = fcntl(low[1], F_DUPFD_CLOEXEC, FIRST_FD);
    close(low[0]);
    close(low[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return 0;
    why_set(why, ERR_IO, "no socket for a decoder process: %s", strerror(errno));
    if (ends[0] >= 0)
        close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
    return ERR_IO;
}

static int prepare(posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, int sock,
                   int area_fd, int back_fd)
{
    sigset_t none, all;
    int      failed = 0;

    sigemptyset(&none);
    sigfillset(&all);
    failed |= posix_spawnattr_setsigmask(attributes, &none);
    failed |= posix_spawnattr_setsigdefault(attributes, &all);
    failed |= posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    failed |= posix_spawn_file_actions_adddup2(actions, sock, DECODE_WIRE_SOCKET);
    failed |= posix_spawn_file_actions_adddup2(actions, area_fd, DECODE_WIRE_PACKET);
    failed |= posix_spawn_file_actions_adddup2(actions, back_fd, DECODE_WIRE_BACK);
    /* What it has to say comes through the socket, checked. A sanitizer's report has no other
     * way. */
    for (int fd = 0; fd <= (DECODE_WIRE_SANITIZED ? 1 : 2); fd++)
        failed |= posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
    failed |= posix_spawn_file_actions_addclosefrom_np(actions, DECODE_WIRE_BACK + 1);
    return failed;
}

int decode_spawn(pid_t *pid, int *sock, int area_fd, int back_fd, struct why *why)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t          attributes;
    char                       path[LIMIT_PATH_BYTES];
    char                      *arguments[]   = {PROGRAM, NULL};
    char                      *environment[] = {NULL};
    int                        ends[2]       = {-1, -1};
    int                        high_area     = fcntl(area_fd, F_DUPFD_CLOEXEC, FIRST_FD);
    int                        high_back     = fcntl(back_fd, F_DUPFD_CLOEXEC, FIRST_FD);
    int                        error         = ENOMEM;
    int                        rc            = decode_spawn_find(path, sizeof path, why);

    if (rc == 0 && (high_area < 0 || high_back < 0))
        rc = why_set(why, ERR_IO, "too few descriptors for a decoder process");
    if (rc == 0)
        rc = make_sockets(ends, why);
    if (rc != 0)
        goto done;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    if (prepare(&actions, &attributes, ends[1], high_area, high_back) == 0)
        error = posix_spawn(pid, path, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        rc = why_set(why, ERR_IO, "%s cannot be started: %s", path, strerror(error));
        goto done;
    }
    *sock = ends[0];

done:
    if (high_area >= 0)
        close(high_area);
    if (high_back >= 0)
        close(high_back);
    return rc;
}
