/* server/camera/decode_spawn.h: the program of a decoder process, found and started: with a socket
 * to us, the memory of its packets both ways, no environment, and nothing else of ours. */
#ifndef SIGHTLINE_SERVER_CAMERA_DECODE_SPAWN_H
#define SIGHTLINE_SERVER_CAMERA_DECODE_SPAWN_H

#include "config/why.h"

#include <sys/types.h>

/* `sightline-decode` beside the running program, or in ../bin. ERR_NOT_FOUND. */
int decode_spawn_find(char *path, size_t bytes, struct why *why);
/* *sock: our end. ERR_NOT_FOUND, ERR_IO. */
int decode_spawn(pid_t *pid, int *sock, int area_fd, int back_fd, struct why *why);

#endif
