/* server/camera/file_end.h: whether a video file that was read to its end lacks what came after.
 *
 * For containers that FFmpeg reads to the last byte without a word. An AVI file says how many bytes it
 * has, once its recorder has closed it: before, the field holds nothing, and whether anything is lacking
 * cannot be known. A transport stream has no length at all: only where it ends within one of its packets
 * can one see that it was cut. Cut between two packets, or by a recorder that writes whole packets until
 * its power fails, it looks like a whole one; likewise FLV, MPEG program streams and bare streams, which
 * are not looked at here. MP4 and Matroska say how long they last, which others compare. */
#ifndef SIGHTLINE_SERVER_CAMERA_FILE_END_H
#define SIGHTLINE_SERVER_CAMERA_FILE_END_H

#include "config/why.h"

#include <stdbool.h>

/* `container`: FFmpeg's name. True: it is cut off, and `why` says how one can tell. False: it is not, or
 * nothing is known. Leaves the descriptor's place as it was. With lseek(2) and read(2) alone, as the
 * sandbox has no more. */
bool file_end_is_cut(int fd, const char *container, struct why *why);

/* False: an AVI file that its recorder has not closed, or wrote into a pipe. What else it says of how long
 * it is are places that were kept free for that. Leaves the descriptor's place as it was. */
bool file_end_is_known(int fd, const char *container);

#endif
