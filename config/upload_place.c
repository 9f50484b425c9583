#include "config/upload_place.h"

#include <stdio.h>
#include <string.h>

static const char *const ENDINGS[UPLOAD_KINDS] = {".part", ".video", ".begun", ".played"};

static bool take_digits(const char *text, char name[static UPLOAD_NAME_BYTES])
{
    if (strspn(text, "0123456789abcdef") != UPLOAD_DIGITS)
        return false;
    memcpy(name, text, UPLOAD_DIGITS);
    name[UPLOAD_DIGITS] = '\0';
    return true;
}

bool upload_name_of(const char *address, char name[static UPLOAD_NAME_BYTES])
{
    size_t scheme = strlen(UPLOAD_SCHEME);

    return strncmp(address, UPLOAD_SCHEME, scheme) == 0 &&
           strlen(address) == scheme + UPLOAD_DIGITS && take_digits(address + scheme, name);
}

bool upload_name_of_file(const char *file, char name[static UPLOAD_NAME_BYTES],
                         enum upload_kind *kind)
{
    if (!take_digits(file, name))
        return false;
    for (int i = 0; i < UPLOAD_KINDS; i++) {
        if (strcmp(file + UPLOAD_DIGITS, ENDINGS[i]) == 0) {
            *kind = (enum upload_kind)i;
            return true;
        }
    }
    return false;
}

bool upload_path(char path[static LIMIT_PATH_BYTES], const char *data, const char *name,
                 enum upload_kind kind)
{
    return (size_t)snprintf(path, LIMIT_PATH_BYTES, "%s/" UPLOAD_FOLDER "/%s%s", data, name,
                            ENDINGS[kind]) < LIMIT_PATH_BYTES;
}
