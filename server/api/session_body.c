#include "server/api/session_body.h"

#include <jansson.h>
#include <string.h>

bool session_body_parse(const char *text, size_t bytes, char token[static LIMIT_SECRET_BYTES])
{
    json_t     *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    const char *value;
    size_t      value_bytes;
    bool        good;

    good = root != NULL && json_is_object(root) &&
           json_unpack_ex(root, NULL, JSON_STRICT, "{s:s%}", "token", &value, &value_bytes) == 0 &&
           value_bytes < LIMIT_SECRET_BYTES;
    if (good) {
        memcpy(token, value, value_bytes);
        token[value_bytes] = '\0';
    }
    json_decref(root);
    return good;
}
