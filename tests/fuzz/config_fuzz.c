// links: config
/* The configuration reader on any bytes: as the user's file, and as the server's own. */
#include "config/settings.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct settings_problems problems;
    struct settings                *settings;

    if (settings_load_text(&settings, (const char *)data, size, "fuzz.yml", &problems) == 0)
        settings_free(&settings);
    else if (problems.count == 0)
        __builtin_trap(); /* refused without a reason */
    if (settings_load_text(&settings, "{}", 2, "fuzz.yml", &problems) != 0)
        __builtin_trap();
    settings_add_managed(settings, (const char *)data, size, &problems);
    for (int i = 0; i < settings->camera_count; i++) {
        const struct settings_camera *camera = &settings->cameras[i];
        if (camera->url[0] != '\0' && strstr(camera->url, "://") == NULL)
            __builtin_trap(); /* a file of this machine */
        if (camera->view.url[0] != '\0' && strstr(camera->view.url, "://") == NULL)
            __builtin_trap(); /* likewise */
    }
    settings_free(&settings);
    return 0;
}
