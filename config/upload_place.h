/* config/upload_place.h: where videos lie that came through the API, and how they are named.
 *
 * A client never names a file: the server makes up 16 hexadecimal digits, and a camera's address for
 * such a video is "upload:" and these. Under DATA/uploads/ DIGITS.part is one that no camera plays
 * (yet), DIGITS.video one that a camera plays. Of one that is played once, DIGITS.begun says that
 * it plays or did, and DIGITS.played that it did to its end: a restart does not count it again. Pure
 * functions, any thread. */
#ifndef SIGHTLINE_CONFIG_UPLOAD_PLACE_H
#define SIGHTLINE_CONFIG_UPLOAD_PLACE_H

#include "config/limits.h"

#include <stdbool.h>
#include <stddef.h>

#define UPLOAD_FOLDER     "uploads"
#define UPLOAD_SCHEME     "upload:"
#define UPLOAD_DIGITS     16
#define UPLOAD_NAME_BYTES (UPLOAD_DIGITS + 1)

enum upload_kind { UPLOAD_PART, UPLOAD_VIDEO, UPLOAD_BEGUN, UPLOAD_PLAYED, UPLOAD_KINDS };

/* The digits of "upload:DIGITS", of nothing more and nothing less; false: it is no such address. */
bool upload_name_of(const char *address, char name[static UPLOAD_NAME_BYTES]);
/* Those of a file's name in the folder, and its kind; false: it is none of ours. */
bool upload_name_of_file(const char *file, char name[static UPLOAD_NAME_BYTES],
                         enum upload_kind *kind);
/* DATA/uploads/DIGITS.video; false: it is too long. */
bool upload_path(char path[static LIMIT_PATH_BYTES], const char *data, const char *name,
                 enum upload_kind kind);

#endif
