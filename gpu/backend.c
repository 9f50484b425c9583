#include "gpu/backend.h"

#include "gpu/cpu/backend_cpu.h"

#include <string.h>

const struct backend_ops *const BACKENDS[] = {
    &BACKEND_CPU,
    NULL,
};

const struct backend_ops *backend_find(const char *name, struct why *why)
{
    bool any = name == NULL || strcmp(name, "auto") == 0;

    for (int i = 0; BACKENDS[i] != NULL; i++) {
        if (!any && strcmp(BACKENDS[i]->name, name) != 0)
            continue;
        if (BACKENDS[i]->available(why))
            return BACKENDS[i];
        if (!any)
            return NULL;
    }
    why_set(why, 0, "there is no backend '%s': possible are auto and cpu", any ? "auto" : name);
    return NULL;
}
