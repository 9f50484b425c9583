// links: config
/* The configuration reader on any bytes. */
#include "config/settings.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct settings_problems problems;
    struct settings                *settings;

    if (settings_load_text(&settings, (const char *)data, size, "fuzz.yml", &problems) == 0)
        settings_free(&settings);
    else if (problems.count == 0)
        __builtin_trap(); /* refused without a reason */
    return 0;
}
