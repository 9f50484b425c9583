#include "gpu/backend_cuda.h"

#include "config/err.h"
#include "config/limits.h"
#include "config/log.h"
#include "gpu/cuda/cuda_plugin.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN_NAME "libsightline_cuda.so"

/* Written once, under `once`; then read only. */
static pthread_once_t            once = PTHREAD_ONCE_INIT;
static const struct backend_ops *loaded; /* NULL: not usable, see `reason` */
static struct why                reason;

static void say(const char *text)
{
    log_info("cuda", "%s", text);
}

static const struct cuda_host HOST = {.model_graph = model_graph, .say = say};

static void                      load_once(void);
static void                     *open_library(void);
static const struct cuda_plugin *check_plugin(void *library);

static bool available(struct why *why)
{
    pthread_once(&once, load_once);
    if (loaded == NULL)
        why_set(why, 0, "%s", reason.text);
    return loaded != NULL;
}

static int best_batch(const struct model *model)
{
    return loaded->best_batch(model);
}

static int best_workers(void)
{
    return loaded->best_workers();
}

static int supports(const struct model *model, const struct runner_settings *settings,
                    struct why *why)
{
    if (!available(why))
        return ERR_UNSUPPORTED;
    return loaded->supports(model, settings, why);
}

static int open_runner(struct runner **out, const struct model *model,
                       const struct runner_settings *settings, struct why *why)
{
    *out = NULL;
    if (!available(why))
        return ERR_UNSUPPORTED;
    return loaded->open(out, model, settings, why);
}

static int run(struct runner *runner, const float *input, int batch, struct why *why)
{
    return loaded->run(runner, input, batch, why);
}

static const float *output(const struct runner *runner, int index)
{
    return loaded->output(runner, index);
}

static int open_boxes(struct runner *runner, const struct boxes_settings *settings, struct why *why)
{
    return loaded->open_boxes(runner, settings, why);
}

static bool reads(const struct runner *runner, const struct frame *frame)
{
    return loaded->reads(runner, frame);
}

static int run_boxes(struct runner *runner, struct frame *const *frames, int batch,
                     struct box (*boxes)[LIMIT_BOXES], int *counts, int64_t *prepare_ns,
                     struct why *why)
{
    return loaded->run_boxes(runner, frames, batch, boxes, counts, prepare_ns, why);
}

static void close_runner(struct runner **runner)
{
    if (*runner != NULL)
        loaded->close(runner);
}

static int hold(int device, void **context, struct why *why)
{
    *context = NULL;
    if (!available(why))
        return ERR_UNSUPPORTED;
    return loaded->hold(device, context, why);
}

static void let_go(int device)
{
    loaded->let_go(device);
}

static int copy_out(const struct frame *frame, struct frame *to, struct why *why)
{
    return loaded->copy_out(frame, to, why);
}

const struct backend_ops BACKEND_CUDA = {.name         = "cuda",
                                         .available    = available,
                                         .best_batch   = best_batch,
                                         .best_workers = best_workers,
                                         .supports     = supports,
                                         .open         = open_runner,
                                         .run          = run,
                                         .output       = output,
                                         .open_boxes   = open_boxes,
                                         .reads        = reads,
                                         .run_boxes    = run_boxes,
                                         .close        = close_runner,
                                         .hold         = hold,
                                         .let_go       = let_go,
                                         .copy_out     = copy_out};

/* The library stays open to the end: device libraries do not survive being closed and opened. */
static void load_once(void)
{
    const struct cuda_plugin *plugin;
    void                     *library = open_library();

    if (library != NULL && (plugin = check_plugin(library)) != NULL &&
        plugin->probe(&HOST, &reason))
        loaded = plugin->ops;
    if (loaded == NULL)
        log_info("cuda", "not used: %s", reason.text);
}

static void *open_at(const char *path)
{
    void       *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *text    = library == NULL ? dlerror() : NULL;

    if (library == NULL)
        why_set(&reason, 0, "the CUDA plug-in cannot be used: %s", text != NULL ? text : path);
    return library;
}

static void *open_library(void)
{
    static const char *const folders[] = {"", "../lib/sightline/"};
    const char              *set       = getenv("SIGHTLINE_CUDA_PLUGIN");
    char                     program[LIMIT_PATH_BYTES], path[LIMIT_PATH_BYTES + 64];
    ssize_t                  bytes;
    char                    *slash;

    if (set != NULL && set[0] == '\0') {
        why_set(&reason, 0, "CUDA is switched off by an empty SIGHTLINE_CUDA_PLUGIN");
        return NULL;
    }
    if (set != NULL)
        return open_at(set);
    bytes = readlink("/proc/self/exe", program, sizeof program - 1);
    if (bytes <= 0) {
        why_set(&reason, 0, "the CUDA plug-in cannot be looked for: /proc is not there");
        return NULL;
    }
    program[bytes] = '\0';
    if ((slash = strrchr(program, '/')) != NULL)
        slash[1] = '\0';
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s%s%s", program, folders[i], PLUGIN_NAME);
        if (access(path, F_OK) == 0)
            return open_at(path);
    }
    why_set(&reason, 0,
            "there is no CUDA plug-in: %s is neither in %s nor in ../lib/sightline from there",
            PLUGIN_NAME, program);
    return NULL;
}

static const struct cuda_plugin *check_plugin(void *library)
{
    union {
        void           *symbol;
        cuda_plugin_fn *function;
    } entry                          = {.symbol = dlsym(library, CUDA_PLUGIN_SYMBOL)};
    const struct cuda_plugin *plugin = entry.symbol != NULL ? entry.function() : NULL;

    if (plugin == NULL || plugin->abi != CUDA_PLUGIN_ABI ||
        plugin->graph_bytes != sizeof(struct graph) || plugin->node_bytes != sizeof(struct node) ||
        plugin->value_bytes != sizeof(struct value) ||
        plugin->ops_bytes != sizeof(struct backend_ops) ||
        plugin->head_bytes != sizeof(struct head) ||
        plugin->class_map_bytes != sizeof(struct class_map) ||
        plugin->frame_bytes != sizeof(struct frame)) {
        why_set(&reason, 0,
                "the CUDA plug-in is of another build of Sightline: take the one that "
                "was built with this program");
        return NULL;
    }
    return plugin;
}
