/* server/picture_file.h: pictures out of files, for the tools: JPEG, PNG and WebP whole, of anything
 * else (a video) one in PICTURE_FILE_STEP pictures. The bytes are as hostile as a camera's. */
#ifndef SIGHTLINE_SERVER_PICTURE_FILE_H
#define SIGHTLINE_SERVER_PICTURE_FILE_H

#include "config/why.h"
#include "gpu/frame.h"

#define PICTURE_FILE_STEP      10
#define PICTURE_FILE_BYTES_MAX (64 << 20) /* of a still picture */

/* Takes over one reference of the frame. Not 0: no more pictures are wanted. */
typedef int picture_file_fn(void *arg, struct frame *frame, int number);

/* Calls `each` for every picture, at most `most`. ERR_NOT_FOUND, ERR_DENIED, ERR_INVALID (no
 * regular file), ERR_IO, ERR_LIMIT, ERR_UNSUPPORTED, ERR_CORRUPT (no picture in it could be decoded),
 * ERR_MEMORY; or what `each` returned. */
int picture_file_read(const char *path, int most, picture_file_fn *each, void *arg,
                      struct why *why);

#endif
