#include "config/object_class.h"

#include <string.h>

static const char *const NAMES[OBJECT_CLASSES] = {
#define X(name, number, text) [name] = (text),
    OBJECT_CLASS_TABLE(X)
#undef X
};

const char *object_class_name(enum object_class object_class)
{
    if ((unsigned)object_class >= OBJECT_CLASSES)
        return "unknown";
    return NAMES[object_class];
}

bool object_class_from_name(const char *name, enum object_class *object_class)
{
    for (int i = 0; i < OBJECT_CLASSES; i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            *object_class = (enum object_class)i;
            return true;
        }
    }
    return false;
}
