#include "gpu/backend.h"

#include "config/err.h"
#include "gpu/backend_cuda.h"
#include "gpu/cpu/backend_cpu.h"

#include <string.h>

const struct backend_ops *const BACKENDS[] = {
    &BACKEND_CUDA,
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
    why_set(why, 0, "there is no backend '%s': possible are auto, cuda and cpu",
            any ? "auto" : name);
    return NULL;
}

static const char *const NAMES[PRECISION_COUNT] = {
    [PRECISION_AUTO] = "auto", [PRECISION_F32] = "f32",   [PRECISION_F16] = "f16",
    [PRECISION_BF16] = "bf16", [PRECISION_INT8] = "int8",
};

const char *precision_name(enum precision precision)
{
    return (unsigned)precision < PRECISION_COUNT ? NAMES[precision] : "unknown";
}

bool precision_find(const char *name, enum precision *precision)
{
    for (int i = 0; i < PRECISION_COUNT; i++)
        if (strcmp(NAMES[i], name) == 0) {
            *precision = (enum precision)i;
            return true;
        }
    return false;
}

int backend_supports(const struct backend_ops *backend, const struct model *model,
                     const struct runner_settings *settings, struct why *why)
{
    if (backend->supports != NULL)
        return backend->supports(model, settings, why);
    if (settings->precision == PRECISION_AUTO || settings->precision == PRECISION_F32)
        return 0;
    return why_set(why, ERR_UNSUPPORTED, "the backend '%s' knows f32 only, not %s", backend->name,
                   precision_name(settings->precision));
}

enum precision runner_precision(const struct runner *runner)
{
    return runner->precision == PRECISION_AUTO ? PRECISION_F32 : runner->precision;
}
