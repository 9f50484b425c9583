#include "gpu/backend.h"

#include "config/err.h"
#include "config/log.h"
#include "gpu/backend_cuda.h"
#include "gpu/cpu/backend_cpu.h"

#include <string.h>

const struct backend_ops *const BACKENDS[] = {
    &BACKEND_CUDA,
    &BACKEND_CPU,
    NULL,
};

static const struct backend_ops *find(const struct backend_ops *const *among, const char *name,
                                      const struct model           *model,
                                      const struct runner_settings *settings, struct why *why)
{
    bool any = name == NULL || strcmp(name, "auto") == 0;

    for (int i = 0; among[i] != NULL; i++) {
        if (!any && strcmp(among[i]->name, name) != 0)
            continue;
        if (among[i]->available(why) && (!any || model == NULL || among[i + 1] == NULL ||
                                         backend_supports(among[i], model, settings, why) == 0))
            return among[i];
        if (!any)
            return NULL;
        if (model != NULL && among[i]->available(NULL))
            log_warning("backend", "%s does not run this model, the next is tried: %s",
                        among[i]->name, why->text);
    }
    why_set(why, 0, "there is no backend '%s': possible are auto, cuda and cpu",
            any ? "auto" : name);
    return NULL;
}

const struct backend_ops *backend_find(const char *name, struct why *why)
{
    return find(BACKENDS, name, NULL, NULL, why);
}

const struct backend_ops *backend_find_for(const struct backend_ops *const *among, const char *name,
                                           const struct model           *model,
                                           const struct runner_settings *settings, struct why *why)
{
    struct why reason = {""};

    return find(among, name, model, settings, why != NULL ? why : &reason);
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
