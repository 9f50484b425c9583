// links: gpu
// The same small network as other exporters write it: channels last, bytes or halves as input, a
// size that is left open or replaced, weights in a file of their own. Each takes the same picture
// and gives the same numbers as the plain one.
#include "gpu/model.h"

#include "config/err.h"
#include "gpu/backend.h"
#include "tests/onnx_writer.h"
#include "tests/tap.h"

#include <math.h>
#include <unistd.h>

#define SIDE    64
#define FILTERS 5

enum { FLOAT = 1, UINT8 = 2, FLOAT16 = 10 };

static const int64_t WEIGHTS[] = {FILTERS, 3, 3, 3};
static float         weights[FILTERS * 3 * 3 * 3];
static float         picture[3 * 96 * 96]; /* whole numbers 0..255 */
static float         plain[FILTERS * SIDE * SIDE];

/* From the input "x" to "y"; `weights_there` when they have been written already. */
static void write_network(struct onnx_writer *onnx, bool last, bool cast, bool weights_there)
{
    const char *from = "x";

    onnx_output(onnx, "y");
    if (!weights_there)
        onnx_floats(onnx, "w", 4, WEIGHTS, weights);
    if (cast) {
        onnx_node(onnx, "Cast", from, "f", "to:i=1");
        from = "f";
    }
    if (last) {
        onnx_node(onnx, "Transpose", from, "t", "perm:is=0,3,1,2");
        from = "t";
    }
    char inputs[16];
    snprintf(inputs, sizeof inputs, "%s,w", from);
    onnx_node(onnx, "Conv", inputs, "y", "pads:is=1,1,1,1");
}

/* Runs it on the picture; the numbers of the output, of which *count are there, or NULL. */
static float *run(const struct model *model, size_t *count)
{
    struct why     why = {""};
    struct runner *runner;
    float         *numbers;

    if (backend_find("cpu", NULL)
            ->open(&runner, model, &(struct runner_settings){.precision = PRECISION_F32}, &why) !=
        0) {
        diag("%s", why.text);
        return NULL;
    }
    runner->ops->run(runner, picture, 1, &why);
    *count  = onnx_elements(model_info(model)->output[0].dimension_count,
                            model_info(model)->output[0].dimension);
    numbers = malloc(*count * sizeof *numbers);
    if (numbers == NULL)
        abort();
    memcpy(numbers, runner->ops->output(runner, 0), *count * sizeof *numbers);
    runner->ops->close(&runner);
    return numbers;
}

static bool has_size(const struct model *model, int64_t height, int64_t width)
{
    const struct model_tensor *input = &model_info(model)->input;

    return input->dimension_count == 4 && input->dimension[0] == 1 && input->dimension[1] == 3 &&
           input->dimension[2] == height && input->dimension[3] == width;
}

/* Takes the picture as the plain network does, and gives what it gives. */
static void gives_the_same(struct model *model, const char *what)
{
    size_t count   = 0;
    float *numbers = run(model, &count);
    double worst   = 0;

    for (size_t i = 0; numbers != NULL && i < count && i < FILTERS * SIDE * SIDE; i++) {
        double error = fabs((double)numbers[i] - (double)plain[i]) / (1 + fabs((double)plain[i]));
        worst        = error <= worst ? worst : error;
    }
    ok(numbers != NULL && has_size(model, SIDE, SIDE) && count == FILTERS * SIDE * SIDE &&
           worst < 1e-5,
       "%s: the same picture, the same numbers (error %.1e)", what, worst);
    free(numbers);
}

static struct model *load(struct onnx_writer *onnx, const struct model_options *options)
{
    struct why     why = {""};
    struct model  *model;
    size_t         count;
    const uint8_t *bytes = onnx_finish(onnx, &count);

    if (model_load_bytes_with(&model, bytes, count, "network", options, &why) != 0)
        diag("%s", why.text);
    onnx_free(onnx);
    return model;
}

static void test_layouts(void)
{
    static const struct {
        const char *name;
        int         type;
        bool        last;
    } cases[] = {
        {"float32, channels first", FLOAT, false},  {"float32, channels last", FLOAT, true},
        {"bytes, channels first", UINT8, false},    {"bytes, channels last", UINT8, true},
        {"halves, channels first", FLOAT16, false}, {"halves, channels last", FLOAT16, true},
    };
    const int64_t first[] = {1, 3, SIDE, SIDE}, last[] = {1, SIDE, SIDE, 3};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct onnx_writer onnx = {.opset = 13};
        struct model      *model;
        onnx_typed_input(&onnx, "x", cases[i].type, 4, cases[i].last ? last : first);
        write_network(&onnx, cases[i].last, cases[i].type != FLOAT, false);
        model = load(&onnx, NULL);
        if (model == NULL) {
            ok(false, "%s loads", cases[i].name);
            continue;
        }
        gives_the_same(model, cases[i].name);
        if (cases[i].type == UINT8)
            ok(model_info(model)->traits.takes_bytes, "%s: that it wants bytes is known",
               cases[i].name);
        model_close(&model);
    }
}

static void open_size(struct onnx_writer *onnx, bool last)
{
    const int64_t first[] = {-1, 3, -1, -1}, behind[] = {-1, -1, -1, 3};

    onnx->opset = 13;
    onnx_input(onnx, "x", 4, last ? behind : first);
    write_network(onnx, last, false, false);
}

static void test_open_sizes(void)
{
    struct model_options options = {.height = SIDE, .width = SIDE};
    struct onnx_writer   onnx    = {0};
    struct model        *model;

    open_size(&onnx, false);
    model = load(&onnx, NULL);
    ok(model != NULL && has_size(model, MODEL_DEFAULT_SIDE, MODEL_DEFAULT_SIDE),
       "a size that is left open is the default");
    model_close(&model);
    for (int last = 0; last < 2; last++) {
        open_size(&onnx, last == 1);
        model = load(&onnx, &options);
        if (model != NULL)
            gives_the_same(model, last == 1 ? "an open size, channels last" : "an open size");
        else
            ok(false, "an open size takes the one that is asked for");
        model_close(&model);
    }
    open_size(&onnx, false);
    onnx_entry(&onnx.file, 14, "imgsz", "[64, 96]");
    model = load(&onnx, NULL);
    ok(model != NULL && has_size(model, 64, 96), "or that of the file's metadata");
    ok(model != NULL && model_info(model)->output[0].dimension[2] == 64 &&
           model_info(model)->output[0].dimension[3] == 96,
       "and the output follows it");
    model_close(&model);
    open_size(&onnx, false);
    onnx_entry(&onnx.file, 14, "imgsz", "[64, 96]");
    options.width = 80;
    model         = load(&onnx, &options);
    ok(model != NULL && has_size(model, 64, 80), "unless another is asked for");
    model_close(&model);
}

static void test_other_size(void)
{
    const int64_t              fixed[] = {1, 3, 96, 96};
    const struct model_options options = {.height = SIDE, .width = SIDE};
    struct onnx_writer         onnx    = {.opset = 13};
    struct model              *model;

    onnx_input(&onnx, "x", 4, fixed);
    write_network(&onnx, false, false, false);
    model = load(&onnx, &options);
    if (model != NULL)
        gives_the_same(model, "another size than the file's");
    else
        ok(false, "another size than the file's");
    model_close(&model);
}

/* ---- weights in a file of their own ---- */

static void write_file(const char *folder, const char *name, const void *bytes, size_t count)
{
    char  path[96];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, count, file) != count || fclose(file) != 0)
        abort();
}

static void external_network(struct onnx_writer *onnx, const char *location, size_t offset)
{
    const int64_t first[] = {1, 3, SIDE, SIDE};

    onnx->opset = 13;
    onnx_input(onnx, "x", 4, first);
    onnx_external(onnx, "w", 4, WEIGHTS, location, offset, sizeof weights);
    write_network(onnx, false, false, true);
}

static int load_external(const char *folder, const char *location, size_t offset,
                         struct model **model, struct why *why)
{
    struct onnx_writer onnx = {0};
    size_t             count;
    char               path[96];
    int                rc;

    external_network(&onnx, location, offset);
    const uint8_t *bytes = onnx_finish(&onnx, &count);
    write_file(folder, "network.onnx", bytes, count);
    snprintf(path, sizeof path, "%s/network.onnx", folder);
    rc = model_load(model, path, why);
    onnx_free(&onnx);
    return rc;
}

static void test_external(void)
{
    char               folder[] = "/tmp/sightline-inputs-XXXXXX", path[96];
    uint8_t            stored[128 + sizeof weights];
    struct onnx_writer onnx = {0};
    struct why         why  = {""};
    struct model      *model;
    char               digest[sizeof((struct model_info *)NULL)->digest] = "";

    if (mkdtemp(folder) == NULL)
        abort();
    memset(stored, 0xff, 128);
    memcpy(stored + 128, weights, sizeof weights);
    write_file(folder, "weights.bin", stored, sizeof stored);
    if (load_external(folder, "weights.bin", 128, &model, &why) == 0)
        gives_the_same(model, "weights in another file");
    else
        ok(false, "weights in another file: %s", why.text);
    model_close(&model);
    for (int i = 0; i < 3; i++) { /* the second time as the first, the third time otherwise */
        stored[128] ^= i == 2;
        write_file(folder, "weights.bin", stored, sizeof stored);
        if (load_external(folder, "weights.bin", 128, &model, &why) != 0)
            abort();
        if (i > 0)
            ok((strcmp(digest, model_info(model)->digest) == 0) == (i == 1),
               i == 1 ? "the same file and weights: the same digest" : "other weights: another");
        snprintf(digest, sizeof digest, "%s", model_info(model)->digest);
        model_close(&model);
    }
    is_int(load_external(folder, "weights.bin", 132, &model, &why), ERR_INVALID,
           "weights that reach beyond that file: %s", why.text);
    ok(load_external(folder, "../weights.bin", 128, &model, &why) != 0,
       "a file in another folder: %s", why.text);
    ok(load_external(folder, "/etc/hostname", 0, &model, &why) != 0, "one at an absolute path: %s",
       why.text);
    external_network(&onnx, "weights.bin", 128);
    ok(load(&onnx, NULL) == NULL, "without a folder there is no other file");
    external_network(&onnx, "weights.bin", 128);
    model = load(&onnx, &(struct model_options){.folder = folder});
    ok(model != NULL, "with one that is named there is");
    model_close(&model);
    snprintf(path, sizeof path, "%s/weights.bin", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/network.onnx", folder);
    unlink(path);
    is_int(rmdir(folder), 0, "nothing is left behind");
}

int main(void)
{
    struct onnx_writer onnx = {.opset = 13};
    struct model      *model;
    size_t             count;
    float             *numbers;

    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        weights[i] = (float)((i * 37) % 41) / 100.0F - 0.2F;
    for (size_t i = 0; i < sizeof picture / sizeof *picture; i++)
        picture[i] = (float)((i * 7919) % 256);
    onnx_input(&onnx, "x", 4, (int64_t[]){1, 3, SIDE, SIDE});
    write_network(&onnx, false, false, false);
    model   = load(&onnx, NULL);
    numbers = model != NULL ? run(model, &count) : NULL;
    if (numbers == NULL)
        return 1;
    memcpy(plain, numbers, sizeof plain);
    free(numbers);
    model_close(&model);
    ok(plain[SIDE + 1] != 0.0F, "the plain network runs");
    test_layouts();
    test_open_sizes();
    test_other_size();
    test_external();
    return done_testing();
}
