// links: gpu
// Models that were changed within the structure of their file (tests/onnx_mutate.h): each is refused
// with words or loads, and what is small enough runs too. None crashes, none takes more memory than
// the bound below. 1,000 of them, 150 under sanitizers; SIGHTLINE_MUTANTS=N for another number. The
// fuzzer (tests/fuzz/onnx_fuzz.c) goes further. Changed are the fuzzer's seeds and, where they are
// there, real models.
#include "gpu/backend.h"
#include "gpu/graph.h"
#include "tests/onnx_mutate.h"
#include "tests/tap.h"

#include <dirent.h>
#include <malloc.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MUTANTS       150
#define HAS_SANITIZER true
#else
#define MUTANTS       1000
#define HAS_SANITIZER false
#endif

#define SEEDS_MAX   128
#define CHANGES_MAX 4
#define REAL_EVERY  20 /* one in so many is a real model, which takes longer */
/* Of this process at its highest: a loaded model with all its forms, and what one run needs. */
#define PEAK_MAX_KB (256L << 10)

#define WORK_MAX     20000000 /* multiply-adds and numbers written by one run */
#define ELEMENTS_MAX 1000000

struct seed {
    char     name[96];
    uint8_t *bytes;
    size_t   count;
};

static struct seed seeds[SEEDS_MAX];
static int         seed_count, real_first;

static void add_seed(const char *folder, const char *name)
{
    char         path[700];
    struct seed *seed = &seeds[seed_count];
    struct why   why;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (seed_count == SEEDS_MAX || name[0] == '.' ||
        model_read_file(path, &seed->bytes, &seed->count, &why) != 0)
        return;
    snprintf(seed->name, sizeof seed->name, "%s", name);
    seed_count++;
}

static void read_seeds(void)
{
    const char     *folder  = "tests/fuzz/seeds/onnx_fuzz";
    struct dirent **entries = NULL;
    int             count   = scandir(folder, &entries, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        add_seed(folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    real_first = seed_count;
    if (material() == NULL)
        return;
    char models[600];
    snprintf(models, sizeof models, "%s/models", material());
    add_seed(models, "FastestDet.onnx");
    add_seed(models, "nanodet_m.onnx");
    add_seed(models, "yolox_nano_coco_416.onnx");
}

static int64_t work_of(const struct model *model)
{
    const struct graph *graph = model_graph(model);
    int64_t             work  = model_info(model)->multiply_adds;

    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].kind != NODE_REMOVED)
            work += graph->values[graph->nodes[i].output].elements;
    return work;
}

enum fate { REFUSED, SILENT, LOADED, RUN };

static enum fate try_model(const uint8_t *bytes, size_t count)
{
    const struct runner_settings settings = {.precision = PRECISION_F32};
    struct why                   why      = {""};
    struct model                *model;
    struct runner               *runner;
    enum fate                    fate = LOADED;
    int64_t                      elements;
    float                       *input;

    if (model_load_bytes(&model, bytes, count, "mutant", &why) != 0)
        return strlen(why.text) > strlen("mutant: ") ? REFUSED : SILENT;
    elements = graph_elements(model_info(model)->input.dimension_count,
                              model_info(model)->input.dimension, ELEMENTS_MAX);
    input    = elements > 0 ? calloc((size_t)elements, sizeof *input) : NULL;
    if (input != NULL && work_of(model) <= WORK_MAX) {
        fate = SILENT;
        if (backend_find("cpu", NULL)->open(&runner, model, &settings, &why) == 0) {
            if (runner->ops->run(runner, input, 1, &why) == 0)
                fate = RUN;
            runner->ops->close(&runner);
        } else if (why.text[0] != '\0') {
            fate = REFUSED;
        }
    }
    free(input);
    model_close(&model);
    return fate;
}

static enum fate try_mutant(const struct seed *seed, uint64_t *random)
{
    struct onnx_bytes mutant = {0};
    enum fate         fate;

    onnx_put(&mutant, seed->bytes, seed->count);
    for (uint64_t changes = 1 + *random / 3 % CHANGES_MAX; changes > 0; changes--) {
        struct onnx_bytes next = {0};
        onnx_mutate(mutant.data, mutant.used, random, &next);
        if (next.used == 0) { /* cut somewhere, it is no message any more */
            free(next.data);
            break;
        }
        free(mutant.data);
        mutant = next;
    }
    fate = try_model(mutant.data, mutant.used);
    free(mutant.data);
    return fate;
}

int main(void)
{
    const char   *wanted   = getenv("SIGHTLINE_MUTANTS");
    int           mutants  = wanted != NULL ? (int)strtol(wanted, NULL, 10) : MUTANTS;
    int           fates[4] = {0};
    uint64_t      random   = 88172645463325252;
    struct rusage usage;

    read_seeds();
    if (seed_count == 0) {
        skip_one("no seeds: run it from the root of the repository");
        return done_testing();
    }
    for (int i = 0; i < mutants; i++) {
        bool real = i % REAL_EVERY == 0 && real_first < seed_count;
        int  of   = real             ? real_first + i / REAL_EVERY % (seed_count - real_first)
                    : real_first > 0 ? i % real_first
                                     : i % seed_count;
        fates[try_mutant(&seeds[of], &random)]++;
    }
    ok(fates[REFUSED] + fates[LOADED] + fates[RUN] == mutants,
       "of %d changed models %d are refused, %d load, %d load and run", mutants, fates[REFUSED],
       fates[LOADED], fates[RUN]);
    is_int(fates[SILENT], 0, "every refusal says why");
    ok(fates[REFUSED] > mutants / 10 && fates[RUN] > mutants / 10,
       "the changes reach what lies behind the parser, and behind the importer");
    getrusage(RUSAGE_SELF, &usage);
    if (HAS_SANITIZER)
        skip_one("a sanitizer's own memory says nothing of ours: %ld KiB", usage.ru_maxrss);
    else
        ok(usage.ru_maxrss < PEAK_MAX_KB, "at most %ld KiB at any time, of %ld", usage.ru_maxrss,
           PEAK_MAX_KB);
    for (int i = 0; i < seed_count; i++)
        free(seeds[i].bytes);
    return done_testing();
}
