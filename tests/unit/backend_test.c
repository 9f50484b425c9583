// links: gpu
// Which backend runs a model: the first that is there and can, in the order of the table, with words
// for each that was passed over; one that is named stands, whatever it can.
#include "gpu/backend.h"

#include "config/err.h"
#include "tests/tap.h"

static bool device_there, device_can;

static bool device_available(struct why *why)
{
    if (!device_there)
        why_set(why, 0, "no device");
    return device_there;
}

static bool always(struct why *why)
{
    (void)why;
    return true;
}

static int device_supports(const struct model *model, const struct runner_settings *settings,
                           struct why *why)
{
    (void)model;
    (void)settings;
    return device_can ? 0 : why_set(why, ERR_UNSUPPORTED, "node 'm' has an operator of its own");
}

static const struct backend_ops DEVICE = {
    .name = "device", .available = device_available, .supports = device_supports};
static const struct backend_ops        PROCESSOR = {.name = "processor", .available = always};
static const struct backend_ops *const TABLE[]   = {&DEVICE, &PROCESSOR, NULL};

static const char *found(const char *name, struct why *why)
{
    static int                   stands_for_a_model;
    const struct runner_settings settings = {.precision = PRECISION_AUTO};
    const struct backend_ops    *backend;

    *why    = (struct why){""};
    backend = backend_find_for(TABLE, name, (const struct model *)(void *)&stands_for_a_model,
                               &settings, why);
    return backend != NULL ? backend->name : "none";
}

int main(void)
{
    struct why why;

    is_text(found("auto", &why), "processor", "without a device the processor");
    device_there = true;
    is_text(found(NULL, &why), "processor", "a device that does not run the model is passed over");
    ok(strstr(why.text, "'m'") != NULL, "and the node is named: %s", why.text);
    is_text(found("device", &why), "device", "unless it is named");
    device_can = true;
    is_text(found("auto", &why), "device", "a device that runs it is taken");
    is_text(found("processor", &why), "processor", "but not against what is named");
    device_there = false;
    is_text(found("device", &why), "none", "a named device that is not there is no other");
    ok(strstr(why.text, "no device") != NULL, "in its words: %s", why.text);
    is_text(found("abacus", &why), "none", "nor is what nobody knows");
    return done_testing();
}
