#include "server/model_place.h"

#include "config/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_NAME "default.onnx"

/* The folder that the running program lies in, or "." when the system does not tell. */
static void program_folder(char folder[static LIMIT_PATH_BYTES])
{
    ssize_t used = readlink("/proc/self/exe", folder, LIMIT_PATH_BYTES - 1);
    char   *slash;

    folder[used > 0 ? used : 0] = '\0';
    slash                       = strrchr(folder, '/');
    if (slash == NULL)
        memcpy(folder, ".", sizeof ".");
    else
        *slash = '\0';
}

int model_place(const char *wanted, char path[static LIMIT_PATH_BYTES], struct why *why)
{
    char folder[LIMIT_PATH_BYTES];

    if (wanted != NULL && wanted[0] != '\0') {
        snprintf(path, LIMIT_PATH_BYTES, "%s", wanted);
        if (access(path, R_OK) == 0)
            return 0;
        return why_set(why, ERR_NOT_FOUND, "the model %s cannot be read: %s", wanted,
                       strerror(errno));
    }
    snprintf(path, LIMIT_PATH_BYTES, "models/%s", DEFAULT_NAME);
    if (access(path, R_OK) == 0)
        return 0;
    program_folder(folder);
    snprintf(path, LIMIT_PATH_BYTES, "%s/../share/sightline/%s", folder, DEFAULT_NAME);
    if (access(path, R_OK) == 0)
        return 0;
    snprintf(path, LIMIT_PATH_BYTES, "/usr/share/sightline/%s", DEFAULT_NAME);
    if (access(path, R_OK) == 0)
        return 0;
    return why_set(
        why, ERR_NOT_FOUND,
        "no model found: put the ONNX file of a detector (YOLOX, NanoDet, FastestDet) at "
        "models/%s or /usr/share/sightline/%s, or name it with \"model:\" in the "
        "configuration or --model",
        DEFAULT_NAME, DEFAULT_NAME);
}
